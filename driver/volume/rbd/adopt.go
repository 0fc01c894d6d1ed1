//go:build ceph

package rbd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ceph/go-ceph/rbd"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/ceph"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// ListAdoptable implements volume.Adopter: the images of the pool, by name.
func (d *Driver) ListAdoptable(ctx context.Context) ([]volume.Adoptable, error) {
	out, err := ceph.Ask(ctx, d.pool, func() ([]volume.Adoptable, error) {
		names, err := rbd.GetImageNames(d.pool.IO)
		if err != nil {
			return nil, ceph.Meaning(err)
		}
		slices.Sort(names)
		var out []volume.Adoptable
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if strings.HasPrefix(name, makingPrefix) || strings.HasPrefix(name, ceph.Ghost) {
				continue
			}
			if a, err := d.adoptable(name); err == nil {
				out = append(out, a)
			} else if !ceph.Is(err, ceph.ENOENT) {
				return nil, err
			}
		}
		return out, nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing what can be adopted: %w", err)
	}
	return out, nil
}

func (d *Driver) adoptable(name string) (volume.Adoptable, error) {
	a := volume.Adoptable{Reference: name}
	im, err := rbd.OpenImage(d.pool.IO, name, rbd.NoSnapshot)
	if err != nil {
		return a, err
	}
	defer im.Close()
	if a.SizeBytes, err = size(im); err != nil {
		return a, err
	}
	if id, ok := strings.CutPrefix(name, volumePrefix); ok && volume.CheckID("ID", id) == nil {
		a.VolumeID = id
		a.Reason = "it is volume " + id + " already"
		return a, nil
	}
	a.Reason, err = unfit(im, a.SizeBytes)
	return a, err
}

// unfit tells why an image cannot become a volume.
func unfit(im *rbd.Image, n int64) (string, error) {
	switch old, err := im.IsOldFormat(); {
	case err != nil:
		return "", ceph.Meaning(err)
	case old:
		return "it is in the old format", nil
	case ceilGiB(n) < 1 || ceilGiB(n) > volume.MaxSizeGiB:
		return "its size is out of bounds", nil
	}
	snaps, err := im.GetSnapshotNames()
	if err != nil {
		return "", ceph.Meaning(err)
	}
	if len(snaps) > 0 {
		return "it has snapshots", nil
	}
	watchers, err := im.ListWatchers()
	if err != nil {
		return "", ceph.Meaning(err)
	}
	if len(watchers) > 1 { // one is us
		return "it is in use", nil
	}
	return "", nil
}

// Adopt implements volume.Adopter, by giving the image another name.
func (d *Driver) Adopt(ctx context.Context, id, reference string) (volume.Volume, error) {
	if err := volume.CheckID("volume ID", id); err != nil {
		return volume.Volume{}, err
	}
	if reference == "" || len(reference) > 200 || strings.ContainsAny(reference, "/@\x00") {
		return volume.Volume{}, nephos.Errorf(nephos.ErrInvalid, "reference %q is no name of an image in the pool", reference).WithField("reference")
	}
	v, err := ceph.Ask(ctx, d.pool, func() (volume.Volume, error) {
		unlock, err := d.locks.Lock(ctx, id)
		if err != nil {
			return volume.Volume{}, err
		}
		defer unlock()
		if err := d.adopt(id, reference); err != nil {
			return volume.Volume{}, err
		}
		return d.view(id)
	})
	if err != nil {
		return volume.Volume{}, fmt.Errorf("adopting %s: %w", reference, err)
	}
	return v, nil
}

func (d *Driver) adopt(id, reference string) error {
	a, err := d.adoptable(reference)
	if ceph.Is(err, ceph.ENOENT) {
		return d.adopted(id, reference)
	}
	if err != nil {
		return ceph.Meaning(err)
	}
	if a.VolumeID == id {
		return nil
	}
	if a.Reason != "" || strings.HasPrefix(reference, makingPrefix) || strings.HasPrefix(reference, ceph.Ghost) {
		return nephos.Errorf(nephos.ErrConflict, "image %s cannot be adopted: %s", reference, a.Reason)
	}
	im, err := rbd.OpenImage(d.pool.IO, reference, rbd.NoSnapshot)
	if err != nil {
		return ceph.Meaning(err)
	}
	err = d.label(im, id, ceilGiB(a.SizeBytes))
	if err == nil {
		err = ceph.Meaning(im.SetMetadata(labelReference, reference))
	}
	if err := errors.Join(err, ceph.Meaning(im.Close())); err != nil {
		return err
	}
	err = rbd.GetImage(d.pool.IO, reference).Rename(volumePrefix + id)
	if ceph.Is(err, ceph.EEXIST) {
		return nephos.Errorf(nephos.ErrConflict, "volume %s exists", id)
	}
	return ceph.Meaning(err)
}

// adopted tells whether the volume is what the reference was.
func (d *Driver) adopted(id, reference string) error {
	was := ""
	err := d.with(id, func(im *rbd.Image) (err error) {
		was, err = im.GetMetadata(labelReference)
		if ceph.Is(err, ceph.ENOENT) {
			err = nil
		}
		return ceph.Meaning(err)
	})
	if err == nil && was == reference {
		return nil
	}
	if err != nil && !errors.Is(err, nephos.ErrNotFound) {
		return err
	}
	return nephos.NotFound("Image", reference)
}

// Release implements volume.Adopter. The image gets the name released-ID, unless
// that is taken.
func (d *Driver) Release(ctx context.Context, id string) (string, error) {
	reference, err := ceph.Ask(ctx, d.pool, func() (string, error) {
		unlock, err := d.locks.Lock(ctx, id)
		if err != nil {
			return "", err
		}
		defer unlock()
		return d.release(id)
	})
	if err != nil {
		return "", fmt.Errorf("releasing volume %s: %w", id, err)
	}
	return reference, nil
}

func (d *Driver) release(id string) (string, error) {
	err := d.with(id, func(im *rbd.Image) error {
		if err := unused(im, id); err != nil {
			return err
		}
		snaps, err := snapshots(im)
		if err == nil && len(snaps) > 0 {
			err = nephos.Errorf(nephos.ErrConflict, "volume %s has snapshots", id)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	reference := "released-" + id
	err = rbd.GetImage(d.pool.IO, volumePrefix+id).Rename(reference)
	if ceph.Is(err, ceph.EEXIST) {
		reference += "-" + d.cfg.IDs.Hex()[:8]
		err = rbd.GetImage(d.pool.IO, volumePrefix+id).Rename(reference)
	}
	if err != nil {
		return "", ceph.Meaning(err)
	}
	d.remember(id, 0)
	return reference, nil
}
