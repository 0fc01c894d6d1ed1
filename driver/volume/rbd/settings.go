//go:build ceph

package rbd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ceph/go-ceph/rbd"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/internal/ceph"
	"github.com/nephos-cloud/nephos/driver/volume"
)

var (
	_ volume.Snapshotter   = (*Driver)(nil)
	_ volume.Cloner        = (*Driver)(nil)
	_ volume.ImageWriter   = (*Driver)(nil)
	_ volume.ImageReader   = (*Driver)(nil)
	_ volume.ImageCloner   = (*Driver)(nil)
	_ volume.Extender      = (*Driver)(nil)
	_ volume.Reverter      = (*Driver)(nil)
	_ volume.Retyper       = (*Driver)(nil)
	_ volume.Limiter       = (*Driver)(nil)
	_ volume.Migrator      = (*Driver)(nil)
	_ volume.MultiAttacher = (*Driver)(nil)
	_ volume.Adopter       = (*Driver)(nil)
	_ volume.DiffExporter  = (*Driver)(nil)
	_ volume.DiffImporter  = (*Driver)(nil)
)

// setLimits keeps limits with the image; connections carry them.
func setLimits(im *rbd.Image, limits *driver.Limits) error {
	if limits == nil || limits.IsZero() {
		err := im.RemoveMetadata(labelLimits)
		if ceph.Is(err, ceph.ENOENT) {
			err = nil
		}
		return ceph.Meaning(err)
	}
	value, err := json.Marshal(limits)
	if err != nil {
		return err
	}
	return ceph.Meaning(im.SetMetadata(labelLimits, string(value)))
}

func limitsOf(im *rbd.Image) (*driver.Limits, error) {
	value, err := im.GetMetadata(labelLimits)
	if ceph.Is(err, ceph.ENOENT) {
		return nil, nil //nolint:nilnil // there are none
	}
	if err != nil {
		return nil, ceph.Meaning(err)
	}
	var limits driver.Limits
	if err := json.Unmarshal([]byte(value), &limits); err != nil {
		return nil, fmt.Errorf("reading the limits: %w", err)
	}
	return &limits, limits.Validate()
}

// SetLimits implements volume.Limiter.
func (d *Driver) SetLimits(ctx context.Context, id string, limits driver.Limits) error {
	if err := limits.Validate(); err != nil {
		return err
	}
	err := d.locked(ctx, id, func() error {
		return d.with(id, func(im *rbd.Image) error { return setLimits(im, &limits) })
	})
	if err != nil {
		return fmt.Errorf("limiting volume %s: %w", id, err)
	}
	return nil
}

// Retype implements volume.Retyper: limits change, extra specs mean nothing here,
// and encryption cannot be had.
func (d *Driver) Retype(ctx context.Context, id string, spec volume.Spec) error {
	if err := spec.Check(); err != nil {
		return err
	}
	err := d.locked(ctx, id, func() error {
		return d.with(id, func(im *rbd.Image) error {
			n, err := size(im)
			switch {
			case err != nil:
				return err
			case spec.Encryption != nil:
				return fmt.Errorf("it would have to be encrypted: %w", errors.ErrUnsupported)
			case ceilGiB(n) != spec.SizeGiB:
				return nephos.Errorf(nephos.ErrInvalid, "it has %d GiB, not %d", ceilGiB(n), spec.SizeGiB).WithField("size")
			}
			return setLimits(im, spec.Limits)
		})
	})
	if err != nil {
		return fmt.Errorf("retyping volume %s: %w", id, err)
	}
	return nil
}

// Location implements volume.Migrator.
func (d *Driver) Location(ctx context.Context, id string) (volume.Location, error) {
	where := volume.Location{
		Type: "rbd", Name: volumePrefix + id, Format: volume.FormatRaw,
		Options: map[string]string{"fsid": d.pool.FSID, "pool": d.cfg.Pool, "namespace": d.cfg.Namespace},
	}
	n, err := ceph.Ask(ctx, d.pool, func() (n int64, err error) {
		err = d.with(id, func(im *rbd.Image) error {
			if err := unused(im, id); err != nil {
				return err
			}
			n, err = size(im)
			return err
		})
		return n, err
	})
	if err != nil {
		return volume.Location{}, fmt.Errorf("locating volume %s: %w", id, err)
	}
	where.SizeGiB = ceilGiB(n)
	return where, nil
}

// MigrateIn implements volume.Migrator, for volumes of other pools of the same
// cluster, whose bytes the cluster copies.
func (d *Driver) MigrateIn(ctx context.Context, id string, spec volume.Spec, from volume.Location) error {
	if from.Type != "rbd" || from.Options["fsid"] != d.pool.FSID || from.Name == "" || from.Options["pool"] == "" {
		return fmt.Errorf("moving volume %s: its source is not in the cluster %s: %w", id, d.pool.FSID, errors.ErrUnsupported)
	}
	err := d.make(ctx, id, spec, func(name string) error {
		snap := workPrefix + name
		source, err := d.pool.Other(from.Options["pool"], from.Options["namespace"])
		if err != nil {
			return ceph.Meaning(err)
		}
		defer source.Destroy()
		im, err := rbd.OpenImage(source, from.Name, rbd.NoSnapshot)
		if ceph.Is(err, ceph.ENOENT) {
			return nephos.Errorf(nephos.ErrNotFound, "there is no image %s in pool %s", from.Name, from.Options["pool"])
		}
		if err != nil {
			return ceph.Meaning(err)
		}
		n, err := size(im)
		if err == nil {
			err = notSmaller(spec, n)
		}
		if err != nil {
			return errors.Join(err, im.Close())
		}
		s, err := im.CreateSnapshot(snap)
		if err != nil {
			return errors.Join(ceph.Meaning(err), im.Close())
		}
		err = d.pool.Clone(source, from.Name, snap, name)
		if err == nil {
			err = d.pool.Flatten(name) // the source is about to go
		}
		return ceph.Meaning(errors.Join(err, s.Remove(), im.Close()))
	})
	if err != nil {
		return fmt.Errorf("moving volume %s: %w", id, err)
	}
	return nil
}
