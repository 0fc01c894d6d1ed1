package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
)

// Driver implements blob.Driver, for reading, and blob.Locator.
type Driver struct {
	cfg       Config
	base      *url.URL
	client    *http.Client
	transport *http.Transport
}

// Stat implements blob.Driver. A server that does not say how large the object
// is gives ErrUnsupported.
func (d *Driver) Stat(ctx context.Context, id string) (blob.Object, error) {
	o, err := d.stat(ctx, id)
	if err != nil {
		return blob.Object{}, fmt.Errorf("looking at object %s: %w", id, err)
	}
	return o, nil
}

func (d *Driver) stat(ctx context.Context, id string) (blob.Object, error) {
	resp, err := d.do(ctx, id, http.MethodHead, "")
	if err != nil {
		return blob.Object{}, err
	}
	_ = resp.Body.Close()
	size := resp.ContentLength
	if resp.StatusCode != http.StatusOK || size < 0 {
		// Not every server knows HEAD; a byte's range tells the same.
		if resp, err = d.do(ctx, id, http.MethodGet, "bytes=0-0"); err != nil {
			return blob.Object{}, err
		}
		_ = resp.Body.Close()
		if size, err = total(resp, id, 0); err != nil {
			return blob.Object{}, err
		}
	}
	if size < 0 {
		return blob.Object{}, fmt.Errorf("the server does not say how large the object is: %w", errors.ErrUnsupported)
	}
	if err := d.fits(size); err != nil {
		return blob.Object{}, err
	}
	return blob.Object{ID: id, Size: size, Created: d.created(resp)}, nil
}

func (d *Driver) fits(size int64) error {
	if size > d.cfg.MaxSize {
		return nephos.Errorf(nephos.ErrTooLarge, "object of %d bytes exceeds the limit of %d", size, d.cfg.MaxSize)
	}
	return nil
}

func (d *Driver) created(resp *http.Response) time.Time {
	for _, h := range []string{"Last-Modified", "Date"} {
		if t, err := http.ParseTime(resp.Header.Get(h)); err == nil {
			return t.UTC()
		}
	}
	return d.cfg.Clock.Now()
}

// Get implements blob.Driver. A server that knows no ranges is read from the
// object's beginning. A body that is longer than its server said, or than the
// limit, or shorter, gives an error and no more bytes.
func (d *Driver) Get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	r, err := d.get(ctx, id, offset, length)
	if err != nil {
		return nil, fmt.Errorf("opening object %s: %w", id, err)
	}
	return r, nil
}

func (d *Driver) get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 || length == 0 || length > math.MaxInt64-offset {
		return d.empty(ctx, id, offset, length) // there is no such Range header
	}
	ranged := ""
	switch {
	case length > 0:
		ranged = fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)
	case offset > 0:
		ranged = fmt.Sprintf("bytes=%d-", offset)
	}
	resp, err := d.do(ctx, id, http.MethodGet, ranged)
	if err != nil {
		return nil, err
	}
	r, err := d.section(ctx, resp, id, offset, length)
	if err == nil && r == nil {
		_ = resp.Body.Close()
		return d.empty(ctx, id, offset, length)
	}
	if err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return r, nil
}

// section returns the asked range of an answer; nil if the server says that
// there is no such range.
func (d *Driver) section(ctx context.Context, resp *http.Response, id string, offset, length int64) (*body, error) {
	if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return nil, nil //nolint:nilnil // see above
	}
	size, err := total(resp, id, offset)
	if err != nil {
		return nil, err
	}
	r := &body{ctx: ctx, rc: resp.Body, id: id, left: -1, room: d.cfg.MaxSize - offset}
	if size >= 0 {
		if err := d.fits(size); err != nil {
			return nil, err
		}
		if r.left, err = blob.Range(size, offset, length); err != nil {
			return nil, err
		}
	} else if length >= 0 {
		r.left = length
	}
	if resp.StatusCode == http.StatusOK && offset > 0 { // all of it
		if err := d.fits(offset); err != nil {
			return nil, err
		}
		n, err := io.CopyN(io.Discard, resp.Body, offset)
		if errors.Is(err, io.EOF) {
			return nil, nephos.Errorf(nephos.ErrRange, "range from %d is outside an object of %d bytes", offset, n)
		}
		if err != nil {
			return nil, meaning(err)
		}
	}
	return r, nil
}

// empty answers a range that has no bytes, or is outside the object.
func (d *Driver) empty(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	o, err := d.stat(ctx, id)
	if err != nil {
		return nil, err
	}
	n, err := blob.Range(o.Size, offset, length)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		return nil, nephos.Errorf(nephos.ErrUnavailable, "the server of object %s says that %d bytes from %d are outside it, and that it has %d", id, n, offset, o.Size)
	}
	return http.NoBody, nil
}

// do sends one request. Answers that mean an error are turned into one, but for
// a HEAD that the server does not know and a range that it does not have.
func (d *Driver) do(ctx context.Context, id, method, ranged string) (*http.Response, error) {
	u, err := d.target(id)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, nephos.Errorf(nephos.ErrInvalid, "object ID %q: %w", id, err)
	}
	req.Header.Set("User-Agent", "nephos")
	if ranged != "" {
		req.Header.Set("Range", ranged)
	}
	d.authorize(req)
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, meaning(err)
	}
	s := resp.StatusCode
	switch {
	case s == http.StatusOK, ranged != "" && (s == http.StatusPartialContent || s == http.StatusRequestedRangeNotSatisfiable):
		return resp, nil
	case method == http.MethodHead && (s == http.StatusMethodNotAllowed || s == http.StatusNotImplemented || s == http.StatusForbidden || s == http.StatusBadRequest):
		return resp, nil
	}
	_ = resp.Body.Close()
	return nil, status(resp, id)
}

// status gives an answer its meaning.
func status(resp *http.Response, id string) error {
	s := resp.StatusCode
	switch {
	case s == http.StatusNotFound, s == http.StatusGone:
		return nephos.NotFound("Object", id)
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return fmt.Errorf("the server refuses us (%s); check the configured Authorization", resp.Status)
	case s >= 500, s == http.StatusTooManyRequests, s == http.StatusRequestTimeout:
		return nephos.Errorf(nephos.ErrUnavailable, "the server answered %s", resp.Status)
	}
	return fmt.Errorf("the server answered %s", resp.Status)
}

// meaning gives an error on the way its meaning.
func meaning(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, nephos.ErrInvalid):
		return err
	case errors.Is(err, errTarget):
		return fmt.Errorf("%w: %w", nephos.ErrInvalid, err)
	}
	return fmt.Errorf("the server is out of reach: %w: %w", nephos.ErrUnavailable, err)
}

// total returns the size of the whole object, -1 if the answer does not tell.
func total(resp *http.Response, id string, offset int64) (int64, error) {
	switch resp.StatusCode {
	case http.StatusOK:
		return resp.ContentLength, nil
	case http.StatusRequestedRangeNotSatisfiable: // of an empty object
		n, err := strconv.ParseInt(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes */"), 10, 64)
		if err != nil || n < 0 {
			return -1, nil
		}
		return n, nil
	}
	value := resp.Header.Get("Content-Range")
	span, size, _ := strings.Cut(strings.TrimPrefix(value, "bytes "), "/")
	first, _, _ := strings.Cut(span, "-")
	start, err := strconv.ParseInt(first, 10, 64)
	if err != nil || start != offset {
		return 0, nephos.Errorf(nephos.ErrUnavailable, "the server of object %s answered a range from byte %d with Content-Range %q", id, offset, value)
	}
	if size == "*" {
		return -1, nil
	}
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 {
		return 0, nephos.Errorf(nephos.ErrUnavailable, "the server of object %s answered with Content-Range %q", id, value)
	}
	return n, nil
}

// Location implements blob.Locator: the object's URL.
func (d *Driver) Location(ctx context.Context, id string) (string, error) {
	if _, err := d.Stat(ctx, id); err != nil {
		return "", err
	}
	u, err := d.target(id)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

func readOnly(op string) error {
	return fmt.Errorf("%s: the HTTP store only reads: %w", op, errors.ErrUnsupported)
}

// Put implements blob.Driver, by refusing.
func (d *Driver) Put(context.Context, string, io.Reader, int64) (int64, error) {
	return 0, readOnly("putting an object")
}

// Delete implements blob.Driver, by refusing.
func (d *Driver) Delete(context.Context, string) error { return readOnly("deleting an object") }

// List implements blob.Driver, by refusing.
func (d *Driver) List(context.Context, func(blob.Object) bool) error {
	return fmt.Errorf("listing objects: a web server has no list: %w", errors.ErrUnsupported)
}

// Close implements blob.Driver. Readers that are open read on.
func (d *Driver) Close() error {
	d.transport.CloseIdleConnections()
	return nil
}
