//go:build ceph

package rbd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ceph/go-ceph/rbd"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/ceph"
	"github.com/nephos-cloud/nephos/driver/internal/convert"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// CreateFromImage implements volume.ImageWriter. A raw image streams into the
// cluster; another leads through a file in Config.Scratch and qemu-img.
func (d *Driver) CreateFromImage(ctx context.Context, id string, spec volume.Spec, image volume.Image) error {
	if err := errors.Join(spec.Check(), image.Check(spec.SizeGiB)); err != nil {
		return err
	}
	leave, err := d.pool.Enter()
	if err != nil {
		return err
	}
	defer leave()
	most := int64(spec.SizeGiB) * gibibyte
	err = d.makeNow(ctx, id, spec, func(name string) error {
		if image.Format == volume.FormatRaw {
			return d.fill(ctx, name, &counted{r: image.Body, want: image.Size}, most)
		}
		raw, err := d.converted(ctx, image, spec.SizeGiB)
		if err != nil {
			return err
		}
		defer raw.Abort()
		return d.fill(ctx, name, raw, most)
	})
	if err != nil {
		return fmt.Errorf("creating volume %s from an image: %w", id, err)
	}
	return nil
}

// fill makes an image of a body, at most so many bytes of it.
func (d *Driver) fill(ctx context.Context, name string, body io.Reader, most int64) error {
	if err := d.pool.Create(name, most); err != nil {
		return err
	}
	im, err := rbd.OpenImage(d.pool.IO, name, rbd.NoSnapshot)
	if err != nil {
		return ceph.Meaning(err)
	}
	_, err = ceph.Fill(ctx, im, body, func(n int64) error {
		if n > most {
			return nephos.Errorf(nephos.ErrInvalid, "image has more than %d bytes", most).WithField("size")
		}
		return nil
	})
	return errors.Join(err, ceph.Meaning(im.Close()))
}

// counted notices a body that has not as many bytes as it should; a negative
// want is any number.
type counted struct {
	r       io.Reader
	n, want int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.want >= 0 && (c.n > c.want || errors.Is(err, io.EOF) && c.n < c.want) {
		return n, nephos.Errorf(nephos.ErrUnavailable, "reading the image: body of %d bytes or more instead of %d", c.n, c.want)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("reading the image: %w", err)
	}
	return n, err
}

// converted returns the image as a raw file, at its beginning, for the caller to
// abort.
func (d *Driver) converted(ctx context.Context, image volume.Image, sizeGiB int) (*durable.Temp, error) {
	src, err := d.temp()
	if err != nil {
		return nil, err
	}
	defer src.Abort()
	// A qcow2 file may be somewhat larger than the disk inside it.
	most := int64(sizeGiB) * (gibibyte + gibibyte/8)
	body := &stopped{ctx, &counted{r: image.Body, want: image.Size}}
	n, err := io.Copy(src, io.LimitReader(body, most+64<<20+1))
	if err == nil && n > most+64<<20 {
		err = nephos.Errorf(nephos.ErrInvalid, "image has more than %d bytes", n-1).WithField("size")
	}
	if err != nil {
		return nil, full(err)
	}
	raw, err := d.temp()
	if err != nil {
		return nil, err
	}
	err = d.tool.Convert(ctx, convert.QCOW2, src.File, convert.Raw, raw.File, sizeGiB)
	if err != nil {
		raw.Abort()
		return nil, err
	}
	return raw, nil
}

// stopped reads until its context ends.
type stopped struct {
	ctx context.Context
	r   io.Reader
}

func (s *stopped) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

func (d *Driver) temp() (*durable.Temp, error) {
	t, err := durable.Create(d.cfg.Scratch, 0o600)
	if err != nil {
		return nil, full(err)
	}
	if d.cfg.UID > 0 || d.cfg.GID > 0 {
		if err := t.Chown(d.cfg.UID, d.cfg.GID); err != nil {
			t.Abort()
			return nil, fmt.Errorf("giving a file to its owner: %w", err)
		}
	}
	return t, nil
}

func full(err error) error {
	if durable.IsFull(err) {
		return fmt.Errorf("the scratch directory is full: %w: %w", nephos.ErrNoCapacity, err)
	}
	return err
}

// Read implements volume.ImageReader: what the volume held at the moment of the
// call, whoever writes to it meanwhile.
func (d *Driver) Read(ctx context.Context, id string) (io.ReadCloser, error) {
	r, err := ceph.Ask(ctx, d.pool, func() (io.ReadCloser, error) { return d.read(ctx, id) })
	if err != nil {
		return nil, fmt.Errorf("reading volume %s: %w", id, err)
	}
	return r, nil
}

func (d *Driver) read(ctx context.Context, id string) (io.ReadCloser, error) {
	snap := workPrefix + "read-" + d.cfg.IDs.Hex()
	err := d.with(id, func(im *rbd.Image) error {
		_, err := im.CreateSnapshot(snap)
		return ceph.Meaning(err)
	})
	if err != nil {
		return nil, err
	}
	drop := func() error {
		return d.with(id, func(im *rbd.Image) error { return ceph.Meaning(im.GetSnapshot(snap).Remove()) })
	}
	im, err := d.image(id, snap)
	if err != nil {
		return nil, errors.Join(err, drop())
	}
	leave, err := d.pool.Enter()
	var n int64
	if err == nil {
		n, err = size(im)
	}
	if err != nil {
		return nil, errors.Join(err, im.Close(), drop())
	}
	return ceph.NewReader(ctx, im, 0, n, func() error {
		defer leave()
		return errors.Join(ceph.Meaning(im.Close()), drop())
	}), nil
}

// CloneImage implements volume.ImageCloner, for raw images that the blob driver
// rbd, or Glance, keeps in the same cluster: rbd://FSID/POOL/IMAGE/SNAPSHOT, with
// /NAMESPACE after the pool if there is one.
func (d *Driver) CloneImage(ctx context.Context, id string, spec volume.Spec, image volume.ImageLocation) error {
	from, err := parseLocation(image.Location)
	if err != nil {
		return err
	}
	switch {
	case image.Format != volume.FormatRaw:
		return fmt.Errorf("cloning an image: its format is %s and not raw: %w", image.Format, errors.ErrUnsupported)
	case from.fsid != d.pool.FSID:
		return fmt.Errorf("cloning an image: it is in the cluster %s, not in %s: %w", from.fsid, d.pool.FSID, errors.ErrUnsupported)
	case image.VirtualSize > int64(spec.SizeGiB)*gibibyte:
		return nephos.Errorf(nephos.ErrInvalid, "image of %d bytes does not fit a volume of %d GiB", image.VirtualSize, spec.SizeGiB).WithField("size")
	}
	err = d.make(ctx, id, spec, func(name string) error { return d.cloneImage(from, spec, name) })
	if err != nil {
		return fmt.Errorf("creating volume %s from an image: %w", id, err)
	}
	return nil
}

func (d *Driver) cloneImage(from location, spec volume.Spec, name string) error {
	absent := func(err error) error {
		if ceph.Is(err, ceph.ENOENT) || ceph.Is(err, ceph.EPERM) || ceph.Is(err, ceph.EACCES) {
			return fmt.Errorf("no image to clone at %s: %w: %w", from, errors.ErrUnsupported, err)
		}
		return ceph.Meaning(err)
	}
	pool, err := d.pool.Other(from.pool, from.namespace)
	if err != nil {
		return absent(err)
	}
	defer pool.Destroy()
	im, err := rbd.OpenImageReadOnly(pool, from.image, from.snapshot)
	if err != nil {
		return absent(err)
	}
	n, err := size(im)
	if err := errors.Join(err, ceph.Meaning(im.Close())); err != nil {
		return err
	}
	if err := notSmaller(spec, n); err != nil {
		return err
	}
	return absent(d.pool.Clone(pool, from.image, from.snapshot, name))
}
