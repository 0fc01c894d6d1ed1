package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/nephos-cloud/nephos"
)

// reader reads a part of one version of an object, over as many connections as
// it takes.
type reader struct {
	ctx     context.Context
	d       *Driver
	id, key string
	at, end int64 // the next byte; the one after the last, -1 before it is known
	etag    string
	version string
	body    io.ReadCloser
	failed  int // connections that broke without having brought a byte
}

// connect asks for the bytes from at on, and returns the object's whole size.
func (r *reader) connect() (int64, error) {
	var opts minio.GetObjectOptions
	ranged := r.at > 0 || r.end >= 0
	if ranged {
		h := fmt.Sprintf("bytes=%d-", r.at)
		if r.end >= 0 {
			h += strconv.FormatInt(r.end-1, 10)
		}
		opts.Set("Range", h)
	}
	if r.etag != "" {
		if err := opts.SetMatchETag(r.etag); err != nil {
			return 0, err
		}
		opts.VersionID = r.version
	}
	body, info, header, err := r.d.core.GetObject(r.ctx, r.d.cfg.Bucket, r.key, opts)
	if err != nil {
		return 0, err
	}
	total := info.Size
	if ranged {
		total, err = contentRange(header, r.at)
	}
	if err == nil && r.etag != "" && info.ETag != r.etag {
		err = errReplaced
	}
	if err == nil && total < 0 {
		err = errors.New("the service did not say how long the object is")
	}
	if err != nil {
		_ = body.Close()
		return 0, err
	}
	r.body, r.etag, r.version = body, info.ETag, info.VersionID
	return total, nil
}

var errReplaced = errors.New("the object was replaced")

// contentRange returns the total of a Content-Range header, which must start
// where it was asked to.
func contentRange(h http.Header, at int64) (int64, error) {
	value := h.Get("Content-Range")
	spec, ok := strings.CutPrefix(value, "bytes ")
	span, total, ok2 := strings.Cut(spec, "/")
	first, _, ok3 := strings.Cut(span, "-")
	start, err := strconv.ParseInt(first, 10, 64)
	size, err2 := strconv.ParseInt(total, 10, 64)
	if !ok || !ok2 || !ok3 || err != nil || err2 != nil || start != at || size < 0 {
		return 0, fmt.Errorf("the service answered a range from byte %d with Content-Range %q", at, value)
	}
	return size, nil
}

// Read implements io.Reader. A connection that breaks is made again.
func (r *reader) Read(p []byte) (int, error) {
	for {
		if r.at == r.end {
			return 0, io.EOF
		}
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		if r.body == nil {
			if err := r.again(); err != nil {
				return 0, fmt.Errorf("reading object %s from byte %d on: %w", r.id, r.at, err)
			}
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.end-r.at)])
		r.at += int64(n)
		if n > 0 {
			r.failed = 0
		}
		if err != nil && r.at < r.end {
			if ctxErr := r.ctx.Err(); ctxErr != nil {
				return n, ctxErr
			}
			_ = r.body.Close()
			r.body = nil
			r.failed++
			if r.failed > r.d.cfg.Attempts {
				if err == io.EOF { //nolint:errorlint // bare by contract
					err = io.ErrUnexpectedEOF
				}
				return n, fmt.Errorf("reading object %s: %w", r.id, meaning(err, r.id))
			}
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
}

// again connects once more, to the same version.
func (r *reader) again() error {
	_, err := r.connect()
	if errors.Is(err, errReplaced) || response(err).StatusCode == http.StatusPreconditionFailed || response(err).Code == "NoSuchKey" {
		return nephos.Errorf(nephos.ErrConflict, "the connection broke, and object %s has been replaced or deleted since", r.id)
	}
	return meaning(err, r.id)
}

// Close implements io.Closer.
func (r *reader) Close() error {
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}
