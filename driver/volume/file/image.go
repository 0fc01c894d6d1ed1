package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// CreateFromImage implements volume.ImageWriter. A raw image streams into a raw
// volume; any other way leads through a temporary file and qemu-img. An image
// that refers to other files gives ErrInvalid.
func (d *Driver) CreateFromImage(ctx context.Context, id string, spec volume.Spec, image volume.Image) error {
	if err := image.Check(spec.SizeGiB); err != nil {
		return err
	}
	err := d.make(ctx, id, spec, func(t *durable.Temp) (string, error) {
		if image.Format == volume.FormatRaw && d.cfg.Format == volume.FormatRaw {
			return volume.FormatRaw, d.fillRaw(ctx, t, image, spec.SizeGiB)
		}
		return d.cfg.Format, d.fillConverted(ctx, t, image, spec.SizeGiB)
	})
	if err != nil {
		return fmt.Errorf("creating volume %s from an image: %w", id, meaning(err))
	}
	return nil
}

func (d *Driver) fillRaw(ctx context.Context, t *durable.Temp, image volume.Image, sizeGiB int) error {
	if err := spool(ctx, t.File, image, int64(sizeGiB)*gibibyte); err != nil {
		return err
	}
	return t.Truncate(int64(sizeGiB) * gibibyte)
}

func (d *Driver) fillConverted(ctx context.Context, t *durable.Temp, image volume.Image, sizeGiB int) error {
	s, err := d.temp()
	if err != nil {
		return err
	}
	defer s.Abort()
	// A qcow2 file may be somewhat larger than the disk inside it.
	size := int64(sizeGiB) * gibibyte
	if err := spool(ctx, s.File, image, size+size/8+64<<20); err != nil {
		return err
	}
	if err := d.tool.Convert(ctx, image.Format, s.File, d.cfg.Format, t.File, sizeGiB); err != nil {
		return err
	}
	if d.cfg.Format == volume.FormatQCOW2 {
		return d.resizeQCOW2(ctx, t.Name(), sizeGiB)
	}
	return t.Truncate(size)
}

// spool writes the image's body to an empty file, leaving holes for zeros, and
// checks its length.
func spool(ctx context.Context, f *os.File, image volume.Image, most int64) error {
	c := copier{dst: f, buf: make([]byte, chunk)}
	var n int64
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, readErr := fill(image.Body, c.buf)
		if n+int64(m) > most {
			return nephos.Errorf(nephos.ErrInvalid, "image has more than %d bytes", most).WithField("size")
		}
		if err := c.write(c.buf[:m], n, false); err != nil {
			return err
		}
		n += int64(m)
		if errors.Is(readErr, io.EOF) {
			break
		}
		if readErr != nil {
			return fmt.Errorf("reading the image: %w", readErr)
		}
	}
	if image.Size >= 0 && n != image.Size {
		return nephos.Errorf(nephos.ErrUnavailable, "reading the image: body of %d bytes instead of %d", n, image.Size)
	}
	return f.Truncate(n)
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

// Read implements volume.ImageReader. Of a volume in use a copy is made first,
// as for a snapshot.
func (d *Driver) Read(ctx context.Context, id string) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k, err := d.find(id)
	if err != nil {
		return nil, err
	}
	used, err := d.connected(id)
	if err != nil {
		return nil, err
	}
	src, err := os.Open(k.path)
	if err != nil {
		return nil, fmt.Errorf("reading volume %s: %w", id, err)
	}
	if !used && k.format == volume.FormatRaw {
		r, err := newStream(ctx, src, src.Close)
		if err != nil {
			_ = src.Close()
			return nil, fmt.Errorf("reading volume %s: %w", id, err)
		}
		return r, nil
	}
	defer src.Close()
	r, err := d.readCopy(ctx, k, src)
	if err != nil {
		return nil, fmt.Errorf("reading volume %s: %w", id, meaning(err))
	}
	return r, nil
}

// readCopy streams from a temporary file without a name.
func (d *Driver) readCopy(ctx context.Context, k disk, src *os.File) (io.ReadCloser, error) {
	t, err := d.temp()
	if err != nil {
		return nil, err
	}
	if err := d.copyStill(ctx, t.File, src); err != nil {
		t.Abort()
		return nil, err
	}
	if k.format == volume.FormatQCOW2 {
		raw, err := d.temp()
		if err != nil {
			t.Abort()
			return nil, err
		}
		err = d.tool.Convert(ctx, volume.FormatQCOW2, t.File, volume.FormatRaw, raw.File, k.sizeGiB())
		t.Abort()
		if err != nil {
			raw.Abort()
			return nil, err
		}
		t = raw
	}
	_ = os.Remove(t.Name())
	r, err := newStream(ctx, t.File, func() error { t.Abort(); return nil })
	if err != nil {
		t.Abort()
		return nil, err
	}
	return r, nil
}

// stream reads a raw file, and its holes without asking the disk.
type stream struct {
	ctx           context.Context
	f             *os.File
	off, size     int64
	from, to      int64 // the next data, where off < to
	closeResource func() error
}

func newStream(ctx context.Context, f *os.File, closeResource func() error) (*stream, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &stream{ctx: ctx, f: f, size: info.Size(), closeResource: closeResource}, nil
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	if s.off >= s.size {
		return 0, io.EOF
	}
	if s.off >= s.to {
		var err error
		if s.from, s.to, err = nextData(s.f, s.off, s.size); err != nil {
			return 0, fmt.Errorf("looking for data: %w", err)
		}
		if s.from == s.size {
			s.to = s.size
		}
	}
	if s.off < s.from {
		n := int(min(int64(len(p)), s.from-s.off))
		clear(p[:n])
		s.off += int64(n)
		return n, nil
	}
	n, err := s.f.ReadAt(p[:min(int64(len(p)), s.to-s.off)], s.off)
	s.off += int64(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the file shrank
	}
	return n, err
}

// Close implements io.Closer.
func (s *stream) Close() error { return s.closeResource() }
