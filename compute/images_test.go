package compute_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/image"
)

// testImages is an image service with one image.
type testImages struct {
	id    string
	url   string
	body  []byte
	image image.Image

	mu   sync.Mutex
	made map[string]*image.Image // by owner key
	sent map[string][]byte       // what hosts sent, by image
	full bool                    // uploads are refused
}

func newImages(t testing.TB) *testImages {
	body := []byte(strings.Repeat("boot", 1024))
	i := &testImages{made: map[string]*image.Image{}, sent: map[string][]byte{}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			i.take(w, r)
			return
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(srv.Close)
	sum := sha512.Sum512(body)
	size := int64(len(body))
	id := "33333333-3333-4333-8333-333333333333"
	i.id, i.url, i.body, i.image = id, srv.URL, body, image.Image{
		ID: id, Status: image.Active, DiskFormat: "raw", ContainerFormat: "bare", Size: &size, HashAlgo: "sha512",
		HashValue: hex.EncodeToString(sum[:]), Properties: map[string]string{},
	}
	return i
}

// take is an upload.
func (i *testImages) take(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.full {
		http.Error(w, "full", http.StatusRequestEntityTooLarge)
		return
	}
	b, err := io.ReadAll(r.Body)
	id := strings.TrimPrefix(r.URL.Path, "/")
	for _, img := range i.made {
		if img.ID == id && err == nil {
			img.Status, i.sent[id] = image.Active, b
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	http.Error(w, "no such image", http.StatusNotFound)
}

// EnsureImage implements compute.ImageSink.
func (i *testImages) EnsureImage(_ context.Context, key string, spec image.Spec) (image.Image, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.made[key] == nil {
		i.made[key] = &image.Image{
			ID: spec.ID, Name: spec.Name, Status: image.Queued, Visibility: spec.Visibility, Owner: *spec.Owner, DiskFormat: spec.DiskFormat,
			ContainerFormat: spec.ContainerFormat, MinDisk: spec.MinDisk, Properties: spec.Properties,
		}
	}
	return *i.made[key], nil
}

// SignedUploadURL implements compute.ImageSink.
func (i *testImages) SignedUploadURL(_ context.Context, id string, _ time.Duration) (string, error) {
	return i.url + "/" + id, nil
}

// DeleteOwned implements compute.ImageSink.
func (i *testImages) DeleteOwned(_ context.Context, key string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.made, key)
	return nil
}

func (i *testImages) Image(_ context.Context, id string) (image.Image, error) {
	if id != i.id {
		return image.Image{}, nephos.Errorf(nephos.ErrNotFound, "No image found with ID %s", id)
	}
	return i.image, nil
}

func (i *testImages) Open(ctx context.Context, id string) (image.Image, io.ReadCloser, error) {
	img, err := i.Image(ctx, id)
	return img, io.NopCloser(bytes.NewReader(i.body)), err
}

func (i *testImages) SignedURL(_ context.Context, id string, _ time.Duration) (string, error) {
	if id != i.id {
		return "", errors.New("no such image")
	}
	return i.url, nil
}
