package blob

import (
	"context"
	"io"
	"os"

	"github.com/nephos-cloud/nephos"
)

// File reads a part of a regular file. It is what a driver's Get returns when
// the object's bytes are a file on this host: io.Copy to a TCP connection, or to
// an http.ResponseWriter above one, then moves them with sendfile.
type File struct {
	f  *os.File
	lr io.LimitedReader
}

// NewFile returns a reader of the next n bytes of f, which it owns.
func NewFile(f *os.File, n int64) *File {
	return &File{f: f, lr: io.LimitedReader{R: f, N: n}}
}

// Len returns how many bytes are left.
func (r *File) Len() int64 { return r.lr.N }

// OSFile returns the file itself, positioned at the next byte. The File keeps
// owning it.
func (r *File) OSFile() *os.File { return r.f }

// Read implements io.Reader. A file that ends early gives io.ErrUnexpectedEOF.
func (r *File) Read(p []byte) (int, error) {
	n, err := r.lr.Read(p)
	if err == io.EOF && r.lr.N > 0 && len(p) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// WriteTo implements io.WriterTo.
func (r *File) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(w, &r.lr)
	if err == nil && r.lr.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close closes the file.
func (r *File) Close() error { return r.f.Close() }

// Range checks the range that a Get asks of an object of size bytes and returns
// how many bytes it covers; a range outside the object gives ErrRange. It is
// for authors of drivers.
func Range(size, offset, length int64) (int64, error) {
	if offset < 0 || offset > size || length > size-offset {
		return 0, nephos.Errorf(nephos.ErrRange, "range of %d bytes from %d is outside an object of %d bytes", length, offset, size)
	}
	if length < 0 {
		return size - offset, nil
	}
	return length, nil
}

// Reader returns a reader that fails with the context's error once ctx is
// done. It is for authors of drivers, whose loops read a body that may block
// for as long as its sender likes only between two reads.
func Reader(ctx context.Context, r io.Reader) io.Reader { return &ctxReader{ctx, r} }

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
