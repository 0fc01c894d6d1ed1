//go:build ceph

package rbd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/ceph/go-ceph/rbd"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/internal/ceph"
)

const (
	leastRoom = 64 << 20 // what an image of unknown size begins with
	mostRoom  = 1 << 40  // what is believed of an announced size
	mostSize  = 1 << 50  // of one object: 1 PiB
)

// Put implements blob.Driver.
func (d *Driver) Put(ctx context.Context, id string, body io.Reader, size int64) (int64, error) {
	if err := blob.CheckID(id); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n, err := d.put(ctx, id, blob.Reader(ctx, body), size)
	if err != nil {
		return 0, fmt.Errorf("putting object %s: %w", id, err)
	}
	return n, nil
}

// put reads the body itself, so that nobody reads it after Put has returned.
func (d *Driver) put(ctx context.Context, id string, body io.Reader, size int64) (n int64, err error) {
	leave, err := d.pool.Enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	room := max(leastRoom, min(size, mostRoom))
	err = d.make(ctx, id, func(name string) (*rbd.Image, error) {
		if err := d.pool.Create(name, room); err != nil {
			return nil, err
		}
		im, err := rbd.OpenImage(d.pool.IO, name, rbd.NoSnapshot)
		if err != nil {
			return nil, ceph.Meaning(err)
		}
		n, err = ceph.Fill(ctx, im, body, func(need int64) error {
			if need > mostSize {
				return nephos.Errorf(nephos.ErrTooLarge, "object exceeds %d bytes", int64(mostSize))
			}
			for need > room {
				room *= 2
				if need <= room {
					return ceph.Meaning(im.Resize(uint64(room)))
				}
			}
			return nil
		})
		if err == nil {
			err = ceph.Meaning(im.Resize(uint64(n)))
		}
		return im, err
	})
	return n, err
}

// make makes an object: fill makes and opens an image of the name that it is
// given. The image stays open, and so in use, until its entry is there.
func (d *Driver) make(ctx context.Context, id string, fill func(name string) (*rbd.Image, error)) (err error) {
	name := imagePrefix + d.cfg.IDs.Hex()
	entered := false
	im, err := fill(name)
	if err == nil {
		entered, err = d.commit(ctx, id, name, im)
	}
	if im != nil {
		if closeErr := im.Close(); err == nil && !entered {
			err = ceph.Meaning(closeErr)
		}
	}
	if err != nil && !entered {
		_ = d.pool.Remove(name)
	}
	return err
}

// commit makes a whole image the object, and tells whether its entry is, or after
// an error may be, there.
func (d *Driver) commit(ctx context.Context, id, name string, im *rbd.Image) (entered bool, err error) {
	n, err := im.GetSize()
	if err == nil {
		_, err = im.CreateSnapshot(snapshotName)
	}
	if err == nil {
		err = im.SetMetadata("nephos.id", id)
	}
	if err == nil {
		err = im.SetMetadata("nephos.size", strconv.FormatUint(n, 10))
	}
	if err != nil {
		return false, ceph.Meaning(err)
	}
	unlock, err := d.locks.Lock(ctx, id)
	if err != nil {
		return false, err
	}
	defer unlock()
	before, err := d.lookup(id)
	if err != nil && !errors.Is(err, nephos.ErrNotFound) {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := d.enter(id, entry{Image: name, Size: int64(n), Created: d.cfg.Clock.Now()}); err != nil {
		return true, err // an answer that is late may be a yes
	}
	if before.Image != "" {
		d.drop(before.Image)
	}
	return true, nil
}

// Copy implements blob.Copier. The copy shares the source's bytes.
func (d *Driver) Copy(ctx context.Context, dst, src string) error {
	if err := errors.Join(blob.CheckID(dst), blob.CheckID(src)); err != nil {
		return err
	}
	err := d.pool.Do(ctx, func() error {
		from, err := d.lookup(src)
		if err != nil || dst == src {
			return err
		}
		return d.make(ctx, dst, func(name string) (*rbd.Image, error) {
			err := d.pool.Clone(d.pool.IO, from.Image, snapshotName, name)
			if ceph.Is(err, ceph.ENOENT) {
				return nil, nephos.Errorf(nephos.ErrConflict, "object %s was deleted or replaced meanwhile", src)
			}
			if err != nil {
				return nil, ceph.Meaning(err)
			}
			im, err := rbd.OpenImage(d.pool.IO, name, rbd.NoSnapshot)
			return im, ceph.Meaning(err)
		})
	})
	if err != nil {
		return fmt.Errorf("copying object %s: %w", src, err)
	}
	return nil
}
