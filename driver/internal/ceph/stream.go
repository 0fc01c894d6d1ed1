//go:build ceph

package ceph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ceph/go-ceph/rbd"
	"golang.org/x/sync/errgroup"
)

const (
	chunk   = 4 << 20 // one object of an image, by default
	writers = 4       // chunks on their way at a time
	window  = 1 << 30 // whose extents are asked for at once
)

var zeros [64 << 10]byte

func isZero(p []byte) bool {
	for len(p) > 0 {
		n := min(len(p), len(zeros))
		if !bytes.Equal(p[:n], zeros[:n]) {
			return false
		}
		p = p[n:]
	}
	return true
}

// Fill writes the body into an image that reads as zeros, from its beginning,
// and returns its length. Before it writes beyond what room allows so far it asks
// for more; the error that room gives ends it. Errors of the body are returned as
// they are.
func Fill(ctx context.Context, im *rbd.Image, body io.Reader, room func(n int64) error) (int64, error) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	free := make(chan []byte, writers+1)
	var total int64
	var readErr error
	for gctx.Err() == nil {
		var buf []byte
		select {
		case buf = <-free:
		default:
			buf = make([]byte, chunk)
		}
		var n int
		n, readErr = fill(body, buf)
		if n > 0 {
			if err := room(total + int64(n)); err != nil {
				readErr = err
				break
			}
			at := total
			total += int64(n)
			g.Go(func() error {
				defer func() { free <- buf }()
				if isZero(buf[:n]) {
					return nil
				}
				if _, err := im.WriteAt(buf[:n], at); err != nil {
					return fmt.Errorf("writing the image: %w", Meaning(err))
				}
				return nil
			})
		}
		if readErr != nil {
			break
		}
	}
	err := g.Wait()
	if readErr != nil && !errors.Is(readErr, io.EOF) {
		return total, readErr
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = Meaning(im.Flush())
	}
	return total, err
}

// fill reads until p is full. Unlike io.ReadFull it returns the reader's error
// as it is: io.ErrUnexpectedEOF of a body means that its sender is gone.
func fill(r io.Reader, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m, err := r.Read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Extent is a part of an image.
type Extent struct {
	Offset, Length int64
	Zero           bool // it was there and is no more
}

// Extents returns the parts of [offset, offset+length) that an opened image, or
// the snapshot that it is opened at, has since the snapshot from; all that it has
// if from is empty.
func Extents(im *rbd.Image, from string, offset, length int64) ([]Extent, error) {
	var out []Extent
	err := im.DiffIterate(rbd.DiffIterateConfig{
		SnapName: from, Offset: uint64(offset), Length: uint64(length),
		IncludeParent: rbd.IncludeParent, WholeObject: rbd.EnableWholeObject,
		Callback: func(off, n uint64, exists int, _ any) int {
			if last := len(out) - 1; last >= 0 && out[last].Offset+out[last].Length == int64(off) && out[last].Zero == (exists == 0) {
				out[last].Length += int64(n)
				return 0
			}
			out = append(out, Extent{Offset: int64(off), Length: int64(n), Zero: exists == 0})
			return 0
		},
	})
	return out, Meaning(err)
}

// Reader reads a part of an image, or of a snapshot, and knows what of it is
// zeros without asking for it.
type Reader struct {
	ctx     context.Context
	im      *rbd.Image
	at, end int64
	known   int64    // up to where extents are known
	extents []Extent // with data, from at on
	buf     []byte   // read already: the bytes at at
	space   []byte
	close   func() error
}

// NewReader reads n bytes from offset on. Close calls the function given.
func NewReader(ctx context.Context, im *rbd.Image, offset, n int64, closeImage func() error) *Reader {
	return &Reader{ctx: ctx, im: im, at: offset, end: offset + n, known: offset, close: closeImage}
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if len(r.buf) > 0 {
		n := copy(p, r.buf)
		r.buf, r.at = r.buf[n:], r.at+int64(n)
		return n, nil
	}
	if r.at >= r.end {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.extents) > 0 && r.extents[0].Offset+r.extents[0].Length <= r.at {
		r.extents = r.extents[1:]
	}
	if len(r.extents) == 0 && r.at >= r.known {
		n := min(window, r.end-r.at)
		extents, err := Extents(r.im, "", r.at, n)
		if err != nil {
			return 0, fmt.Errorf("looking for data in the image: %w", err)
		}
		r.extents, r.known = extents, r.at+n
	}
	if len(r.extents) == 0 || r.extents[0].Offset > r.at || r.extents[0].Zero {
		next := r.known
		if len(r.extents) > 0 {
			if next = r.extents[0].Offset; next <= r.at {
				next += r.extents[0].Length
			}
		}
		n := min(int64(len(p)), next-r.at, r.end-r.at)
		clear(p[:n])
		r.at += n
		return int(n), nil
	}
	// One chunk at a time, ending where objects do.
	n := min(chunk-r.at%chunk, r.extents[0].Offset+r.extents[0].Length-r.at, r.end-r.at)
	if r.space == nil {
		r.space = make([]byte, chunk)
	}
	m, err := r.im.ReadAt(r.space[:n], r.at)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, fmt.Errorf("reading the image: %w", Meaning(err))
	}
	r.buf = r.space[:m]
	return r.Read(p)
}

// Close implements io.Closer.
func (r *Reader) Close() error {
	if r.close == nil {
		return nil
	}
	f := r.close
	r.close = nil
	return f()
}
