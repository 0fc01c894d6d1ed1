package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
)

const (
	chunk     = 1 << 20  // what is read at a time
	grain     = 64 << 10 // what is compared with zeros, so that files stay sparse
	writeback = 8 << 20  // what is handed to the disk at a time

	// A copy of a file that is written to is tried again for stillTime, and at
	// least stillTries times, but not more often than stillMost.
	stillTime  = 30 * time.Second
	stillTries = 5
	stillMost  = 200
	// stampGrain is more than what any file system's time stamps may lag.
	stampGrain = 20 * time.Millisecond
)

var zeros [grain]byte

func isZero(p []byte) bool { return bytes.Equal(p, zeros[:len(p)]) }

// version is how a file that changed is told from one that did not.
type version struct {
	mtime time.Time
	size  int64
}

// stamp returns the file's version once the file has been left alone for so long
// that the next write is sure to change it, or as it is if that takes too long.
func stamp(ctx context.Context, f *os.File) (version, error) {
	for range 3 {
		info, err := f.Stat()
		if err != nil {
			return version{}, err
		}
		v := version{info.ModTime(), info.Size()}
		// Stamps are the kernel's, so this is the kernel's time, not the clock's.
		age := time.Since(v.mtime)
		if age < 0 || age > stampGrain {
			return v, nil
		}
		timer := time.NewTimer(stampGrain - age + time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return version{}, ctx.Err()
		case <-timer.C:
		}
	}
	return version{}, nil // equal to no file's: the copy is tried again
}

// copyStill makes dst the same as src at one moment, though another process may
// write to src: it shares src's blocks if the file system can, and else copies
// until nobody has written to src during a copy.
func (d *Driver) copyStill(ctx context.Context, dst, src *os.File) error {
	if err := reflink(dst, src); err == nil {
		return nil
	}
	start := d.cfg.Clock.Now()
	for try := range stillMost {
		before, err := stamp(ctx, src)
		if err != nil {
			return err
		}
		if err := copySparse(ctx, dst, src, try > 0); err != nil {
			return err
		}
		info, err := src.Stat()
		if err != nil {
			return err
		}
		if (version{info.ModTime(), info.Size()}) == before {
			return nil
		}
		if try+1 >= stillTries && d.cfg.Clock.Now().Sub(start) > stillTime {
			break
		}
	}
	return nephos.Errorf(nephos.ErrUnavailable, "it is written to faster than it can be copied; pause the guest, or keep the pool on a file system that can share blocks")
}

// copySparse copies src's data and leaves its holes. With update, dst holds an
// earlier copy: only what differs is written.
func copySparse(ctx context.Context, dst, src *os.File, update bool) error {
	info, err := src.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	if err := dst.Truncate(size); err != nil {
		return err
	}
	c := copier{dst: dst, src: src, buf: make([]byte, chunk)}
	if update {
		c.old = make([]byte, chunk)
	}
	for off := int64(0); off < size; {
		from, to, err := nextData(src, off, size)
		if err != nil {
			return fmt.Errorf("looking for data: %w", err)
		}
		if update && from > off {
			if err := punch(dst, off, from-off); err != nil {
				return err
			}
		}
		for off = from; off < to; off += chunk {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := c.copy(off, min(chunk, to-off)); err != nil {
				return err
			}
		}
		off = to
	}
	return ctx.Err()
}

type copier struct {
	dst, src *os.File
	buf, old []byte
	dirty    int64 // bytes written since the disk was last told to begin
}

// copy copies n bytes at off, at most a chunk.
func (c *copier) copy(off, n int64) error {
	p := c.buf[:n]
	m, err := c.src.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the source: %w", err)
	}
	clear(p[m:]) // the file shrank: the next try will see
	if c.old != nil {
		q := c.old[:n]
		if _, err := c.dst.ReadAt(q, off); err != nil {
			return fmt.Errorf("reading the copy: %w", err)
		}
		if bytes.Equal(p, q) {
			return nil
		}
	}
	return c.write(p, off, c.old != nil)
}

// write writes all grains that are not zeros; with zeros, those as well.
func (c *copier) write(p []byte, off int64, withZeros bool) error {
	for i := 0; i < len(p); {
		j := i
		for j < len(p) && (withZeros || !isZero(p[j:min(j+grain, len(p))])) {
			j = min(j+grain, len(p))
		}
		if j > i {
			if _, err := c.dst.WriteAt(p[i:j], off+int64(i)); err != nil {
				return err
			}
			if c.dirty += int64(j - i); c.dirty >= writeback {
				durable.StartWriteback(c.dst, 0, 0)
				c.dirty = 0
			}
		}
		i = min(j+grain, len(p))
	}
	return nil
}

func writeZeros(f *os.File, off, n int64) error {
	for n > 0 {
		m := min(n, grain)
		if _, err := f.WriteAt(zeros[:m], off); err != nil {
			return err
		}
		off, n = off+m, n-m
	}
	return nil
}
