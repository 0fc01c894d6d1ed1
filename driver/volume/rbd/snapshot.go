//go:build ceph

package rbd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ceph/go-ceph/rbd"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/ceph"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// snapshot returns one snapshot of an open image.
func snapshot(im *rbd.Image, snapshotID string) (rbd.SnapInfo, error) {
	snaps, err := snapshots(im)
	if err != nil {
		return rbd.SnapInfo{}, err
	}
	i := slices.IndexFunc(snaps, func(s rbd.SnapInfo) bool { return s.Name == snapshotPrefix+snapshotID })
	if i < 0 {
		return rbd.SnapInfo{}, nephos.NotFound("Snapshot", snapshotID)
	}
	return snaps[i], nil
}

// CreateSnapshot implements volume.Snapshotter: it holds what a disk holds after
// the power fails, at one moment, whoever uses the volume.
func (d *Driver) CreateSnapshot(ctx context.Context, volumeID, snapshotID string) error {
	if err := volume.CheckID("snapshot ID", snapshotID); err != nil {
		return err
	}
	err := d.locked(ctx, volumeID, func() error {
		return d.with(volumeID, func(im *rbd.Image) error {
			_, err := im.CreateSnapshot(snapshotPrefix + snapshotID)
			if ceph.Is(err, ceph.EEXIST) {
				return nil
			}
			return ceph.Meaning(err)
		})
	})
	if err != nil {
		return fmt.Errorf("creating snapshot %s of volume %s: %w", snapshotID, volumeID, err)
	}
	return nil
}

// DeleteSnapshot implements volume.Snapshotter.
func (d *Driver) DeleteSnapshot(ctx context.Context, volumeID, snapshotID string) error {
	if err := errors.Join(volume.CheckID("volume ID", volumeID), volume.CheckID("snapshot ID", snapshotID)); err != nil {
		return err
	}
	err := d.locked(ctx, volumeID, func() error {
		return d.with(volumeID, func(im *rbd.Image) error {
			err := im.GetSnapshot(snapshotPrefix + snapshotID).Remove()
			if ceph.Is(err, ceph.ENOENT) {
				return nil
			}
			return ceph.Meaning(err)
		})
	})
	if err != nil && !errors.Is(err, nephos.ErrNotFound) {
		return fmt.Errorf("deleting snapshot %s: %w", snapshotID, err)
	}
	return nil
}

// CreateFromSnapshot implements volume.Snapshotter. The volume shares the
// snapshot's bytes until they are written to.
func (d *Driver) CreateFromSnapshot(ctx context.Context, id string, spec volume.Spec, volumeID, snapshotID string) error {
	if err := volume.CheckID("snapshot ID", snapshotID); err != nil {
		return err
	}
	err := d.make(ctx, id, spec, func(name string) error {
		err := d.with(volumeID, func(im *rbd.Image) error {
			s, err := snapshot(im, snapshotID)
			if err != nil {
				return err
			}
			return notSmaller(spec, int64(s.Size))
		})
		if err != nil {
			return err
		}
		return d.clone(volumeID, snapshotPrefix+snapshotID, name)
	})
	if err != nil {
		return fmt.Errorf("creating volume %s from snapshot %s: %w", id, snapshotID, err)
	}
	return nil
}

func notSmaller(spec volume.Spec, n int64) error {
	if int64(spec.SizeGiB)*gibibyte < n {
		return nephos.Errorf(nephos.ErrInvalid, "%d GiB is smaller than the %d GiB of what is copied", spec.SizeGiB, ceilGiB(n)).WithField("size")
	}
	return nil
}

func (d *Driver) clone(volumeID, snap, name string) error {
	err := d.pool.Clone(d.pool.IO, volumePrefix+volumeID, snap, name)
	if ceph.Is(err, ceph.ENOENT) {
		return nephos.Errorf(nephos.ErrConflict, "volume %s or its snapshot was deleted meanwhile", volumeID)
	}
	return ceph.Meaning(err)
}

// Clone implements volume.Cloner, at one moment of the source, in use or not. The
// two share what they have in common.
func (d *Driver) Clone(ctx context.Context, id string, spec volume.Spec, sourceID string) error {
	err := d.make(ctx, id, spec, func(name string) error {
		return d.with(sourceID, func(im *rbd.Image) error {
			n, err := size(im)
			if err == nil {
				err = notSmaller(spec, n)
			}
			if err != nil {
				return err
			}
			snap := workPrefix + name
			s, err := im.CreateSnapshot(snap)
			if err != nil {
				return ceph.Meaning(err)
			}
			err = d.clone(sourceID, snap, name)
			return errors.Join(err, ceph.Meaning(s.Remove()))
		})
	})
	if err != nil {
		return fmt.Errorf("creating volume %s from %s: %w", id, sourceID, err)
	}
	return nil
}

// Flatten makes a volume share bytes with no other. It takes the time of a copy.
func (d *Driver) Flatten(ctx context.Context, id string) error {
	if err := volume.CheckID("volume ID", id); err != nil {
		return err
	}
	err := d.locked(ctx, id, func() error {
		err := d.pool.Flatten(volumePrefix + id)
		if ceph.Is(err, ceph.ENOENT) {
			return nephos.NotFound("Volume", id)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("flattening volume %s: %w", id, err)
	}
	return nil
}

// Revert implements volume.Reverter. The volume keeps its size where it has grown
// since. Cut short, it has to be done again.
func (d *Driver) Revert(ctx context.Context, volumeID, snapshotID string) error {
	if err := volume.CheckID("snapshot ID", snapshotID); err != nil {
		return err
	}
	err := d.locked(ctx, volumeID, func() error {
		return d.with(volumeID, func(im *rbd.Image) error {
			if _, err := snapshot(im, snapshotID); err != nil {
				return err
			}
			snaps, err := snapshots(im)
			if err != nil {
				return err
			}
			if newest := snaps[len(snaps)-1].Name; newest != snapshotPrefix+snapshotID {
				return nephos.Errorf(nephos.ErrConflict, "snapshot %s is not the newest of volume %s", snapshotID, volumeID)
			}
			if err := unused(im, volumeID); err != nil {
				return err
			}
			n, err := size(im)
			if err != nil {
				return err
			}
			if err := im.GetSnapshot(snapshotPrefix + snapshotID).Rollback(); err != nil {
				return ceph.Meaning(err)
			}
			return ceph.Meaning(im.Resize(uint64(n)))
		})
	})
	if err != nil {
		return fmt.Errorf("reverting volume %s: %w", volumeID, err)
	}
	return nil
}
