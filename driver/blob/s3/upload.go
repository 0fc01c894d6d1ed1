package s3

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what the protocol's ETags and checksums are
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
)

// Put implements blob.Driver. A body of one part goes up in one request; what is
// longer in parts, side by side.
func (d *Driver) Put(ctx context.Context, id string, body io.Reader, size int64) (int64, error) {
	key, err := d.key(id)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return 0, err
	}
	n, err := d.put(ctx, key, blob.Reader(ctx, body), size)
	if err != nil {
		return 0, fmt.Errorf("putting object %s: %w", id, err)
	}
	return n, nil
}

func (d *Driver) put(ctx context.Context, key string, body io.Reader, size int64) (int64, error) {
	part := d.partSize(size)
	first, err := readPart(body, nil, part)
	if errors.Is(err, io.EOF) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		sums := d.sums(first)
		_, err := d.core.PutObject(ctx, d.cfg.Bucket, key, bytes.NewReader(first), int64(len(first)), sums.Md5Base64, sums.Sha256Hex,
			minio.PutObjectOptions{DisableContentSha256: true})
		return int64(len(first)), meaning(err, "")
	}
	if err != nil {
		return 0, err
	}
	return d.putParts(ctx, key, body, first, part)
}

// partSize is the configured one, or what a body of the announced size needs.
func (d *Driver) partSize(size int64) int64 {
	part := d.cfg.PartSize
	if size > part*maxParts {
		part = min(size/maxParts+1, maxPartSize)
	}
	return part
}

// readPart reads up to size bytes into buf's memory, which grows with what comes
// in: what a client announces it does not get before it sends it. The error is
// io.EOF at the body's end, and the body's own otherwise.
func readPart(r io.Reader, buf []byte, size int64) ([]byte, error) {
	buf = buf[:0]
	for int64(len(buf)) < size {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(max(2*int64(cap(buf)), 256<<10), size))
			copy(grown, buf)
			buf = grown
		}
		n, err := r.Read(buf[len(buf):min(int64(cap(buf)), size)])
		buf = buf[:len(buf)+n]
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// markHeader is the metadata that tells which upload made an object.
const markHeader = "Nephos-Upload"

// upload is a body on its way in parts.
type upload struct {
	d       *Driver
	key, id string
	mark    string      // what the object will have as metadata
	free    chan []byte // buffers to use again

	mu    sync.Mutex
	parts []minio.CompletePart
}

func (d *Driver) putParts(ctx context.Context, key string, body io.Reader, first []byte, part int64) (int64, error) {
	mark := d.cfg.IDs.Hex()
	id, err := d.core.NewMultipartUpload(ctx, d.cfg.Bucket, key, minio.PutObjectOptions{UserMetadata: map[string]string{markHeader: mark}})
	if err != nil {
		return 0, fmt.Errorf("beginning the upload: %w", meaning(err, ""))
	}
	u := &upload{d: d, key: key, id: id, mark: mark, free: make(chan []byte, d.cfg.Parallel+1)}
	n, err := u.send(ctx, body, first, part)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = u.complete(ctx)
	}
	if err != nil {
		u.abort(ctx)
		return 0, err
	}
	return n, nil
}

// send sends all parts, of which the first has been read already.
func (u *upload) send(ctx context.Context, body io.Reader, first []byte, size int64) (int64, error) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(u.d.cfg.Parallel)
	total, number, content := int64(0), 0, first
	var readErr error
	for {
		if len(content) > 0 {
			number++
			total += int64(len(content))
			part, data := number, content
			g.Go(func() error {
				etag, err := u.sendPart(gctx, part, data)
				u.free <- data
				u.sent(part, etag)
				return err
			})
		}
		if readErr != nil || gctx.Err() != nil {
			break
		}
		if number == maxParts {
			readErr = nephos.Errorf(nephos.ErrTooLarge, "the body has more than %d parts of %d bytes; configure a larger PartSize", maxParts, size)
			break
		}
		content, readErr = readPart(body, u.buffer(), size)
		if readErr != nil && !errors.Is(readErr, io.EOF) {
			break
		}
	}
	err := g.Wait()
	switch {
	case readErr != nil && !errors.Is(readErr, io.EOF):
		return 0, readErr
	case err != nil:
		return 0, fmt.Errorf("sending a part: %w", meaning(err, ""))
	}
	return total, nil
}

// sent notes a part, which may be done before those that precede it.
func (u *upload) sent(number int, etag string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.parts) < number {
		u.parts = append(u.parts, minio.CompletePart{})
	}
	u.parts[number-1] = minio.CompletePart{PartNumber: number, ETag: etag}
}

func (u *upload) buffer() []byte {
	select {
	case b := <-u.free:
		return b
	default:
		return nil
	}
}

func (u *upload) sendPart(ctx context.Context, number int, content []byte) (string, error) {
	p, err := u.d.core.PutObjectPart(ctx, u.d.cfg.Bucket, u.key, u.id, number, bytes.NewReader(content), int64(len(content)), u.d.sums(content))
	return p.ETag, err
}

// sums has the service check what comes in.
func (d *Driver) sums(content []byte) minio.PutObjectPartOptions {
	s := d.newSummer()
	_, _ = s.Write(content)
	return s.options()
}

// summer sums up what is sent. Without TLS the content is signed too: whole,
// because not every service knows signatures in chunks.
type summer struct{ md5, sha256 hash.Hash }

func (d *Driver) newSummer() *summer {
	s := &summer{md5: md5.New()} //nolint:gosec // see above
	if d.core.EndpointURL().Scheme == "http" {
		s.sha256 = sha256.New()
	}
	return s
}

func (s *summer) Write(p []byte) (int, error) {
	_, _ = s.md5.Write(p)
	if s.sha256 != nil {
		_, _ = s.sha256.Write(p)
	}
	return len(p), nil
}

func (s *summer) options() minio.PutObjectPartOptions {
	o := minio.PutObjectPartOptions{Md5Base64: base64.StdEncoding.EncodeToString(s.md5.Sum(nil)), DisableContentSha256: true}
	if s.sha256 != nil {
		o.Sha256Hex = hex.EncodeToString(s.sha256.Sum(nil))
	}
	return o
}

// complete makes the parts an object. An answer that was lost on its way is
// found out by looking at the object.
func (u *upload) complete(ctx context.Context) error {
	b := u.d.cfg.Bucket
	_, err := u.d.core.CompleteMultipartUpload(ctx, b, u.key, u.id, u.parts, minio.PutObjectOptions{})
	if err == nil {
		return nil
	}
	if response(err).Code == "NoSuchUpload" {
		info, statErr := u.d.core.StatObject(ctx, b, u.key, minio.StatObjectOptions{})
		if statErr == nil && info.UserMetadata[markHeader] == u.mark {
			return nil
		}
	}
	return fmt.Errorf("ending the upload: %w", meaning(err, ""))
}

// abort takes the parts back, also when the caller is gone.
func (u *upload) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err := u.d.core.AbortMultipartUpload(ctx, u.d.cfg.Bucket, u.key, u.id)
	if err != nil && response(err).Code != "NoSuchUpload" {
		u.d.cfg.Log.Warn("taking back a failed upload failed; opening the store takes it back later",
			"bucket", u.d.cfg.Bucket, "key", u.key, "error", err)
	}
}

// takeBack ends uploads that nobody will finish, and returns how many.
func (d *Driver) takeBack(ctx context.Context) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	before := d.cfg.Clock.Now().Add(-d.cfg.Abandoned)
	meant := make(map[string]bool) // they stay until somebody says otherwise
	ids, err := d.ListUploads(ctx)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		upload, err := d.uploadOf(ctx, id)
		if err != nil && !errors.Is(err, nephos.ErrNotFound) {
			return 0, err
		}
		meant[upload] = true
	}
	n := 0
	var keyMarker, idMarker string
	for {
		page, err := d.core.ListMultipartUploads(ctx, d.cfg.Bucket, d.cfg.Prefix, keyMarker, idMarker, "", 1000)
		if err != nil {
			return n, meaning(err, "")
		}
		for _, up := range page.Uploads {
			id, ok := strings.CutPrefix(up.Key, d.cfg.Prefix)
			if !ok || blob.CheckID(id) != nil || meant[up.UploadID] || up.Initiated.IsZero() || up.Initiated.After(before) {
				continue
			}
			err := d.core.AbortMultipartUpload(ctx, d.cfg.Bucket, up.Key, up.UploadID)
			if err != nil && response(err).Code != "NoSuchUpload" {
				return n, meaning(err, "")
			}
			n++
		}
		if !page.IsTruncated || (page.NextKeyMarker == keyMarker && page.NextUploadIDMarker == idMarker) {
			return n, nil
		}
		keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}
