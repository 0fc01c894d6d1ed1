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
}

func newImages(t testing.TB) *testImages {
	body := []byte(strings.Repeat("boot", 1024))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
	t.Cleanup(srv.Close)
	sum := sha512.Sum512(body)
	size := int64(len(body))
	id := "33333333-3333-4333-8333-333333333333"
	return &testImages{id: id, url: srv.URL, body: body, image: image.Image{
		ID: id, Status: image.Active, DiskFormat: "raw", ContainerFormat: "bare", Size: &size, HashAlgo: "sha512",
		HashValue: hex.EncodeToString(sum[:]), Properties: map[string]string{},
	}}
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
