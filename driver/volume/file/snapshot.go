package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/convert"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// snapshot returns one snapshot of the volume, measured, or ErrNotFound.
func (d *Driver) snapshot(volumeID, snapshotID string) (disk, error) {
	if err := errors.Join(volume.CheckID("volume ID", volumeID), volume.CheckID("snapshot ID", snapshotID)); err != nil {
		return disk{}, err
	}
	snaps, err := d.snapshots(volumeID)
	if err != nil {
		return disk{}, err
	}
	i := slices.IndexFunc(snaps, func(s disk) bool { return s.id == snapshotID })
	if i < 0 {
		return disk{}, nephos.NotFound("Snapshot", snapshotID)
	}
	return measure(snaps[i])
}

// CreateSnapshot implements volume.Snapshotter; see the package comment for what
// a snapshot of a volume in use holds.
func (d *Driver) CreateSnapshot(ctx context.Context, volumeID, snapshotID string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	k, err := d.find(volumeID)
	if err != nil {
		return err
	}
	if _, err := d.snapshot(volumeID, snapshotID); !errors.Is(err, nephos.ErrNotFound) {
		return err
	}
	if err := d.createSnapshot(ctx, k, snapshotID); err != nil {
		return fmt.Errorf("creating snapshot %s of volume %s: %w", snapshotID, volumeID, meaning(err))
	}
	return nil
}

func (d *Driver) createSnapshot(ctx context.Context, k disk, snapshotID string) error {
	t, err := d.temp()
	if err != nil {
		return err
	}
	defer t.Abort()
	src, err := os.Open(k.path)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := d.copyStill(ctx, t.File, src); err != nil {
		return err
	}
	// Most of the work for the disk is done before others have to wait.
	if err := t.Sync(); err != nil {
		return err
	}
	unlock, err := d.locks.Lock(ctx, k.id)
	if err != nil {
		return err
	}
	defer unlock()
	if still, err := sameFile(src, k.path); err != nil || !still {
		return nephos.Errorf(nephos.ErrConflict, "the volume was deleted or reverted meanwhile")
	}
	snaps, err := d.snapshots(k.id)
	if err != nil {
		return err
	}
	seq := 1
	for _, s := range snaps {
		if s.id == snapshotID {
			return nil // another call was faster
		}
		seq = s.seq + 1
	}
	if err := durable.MkdirAll(d.dir("snapshots", k.id), 0o711); err != nil {
		return err
	}
	return t.Commit(d.dir("snapshots", k.id, strconv.Itoa(seq)+"@"+snapshotID+"."+k.format))
}

func sameFile(f *os.File, path string) (bool, error) {
	a, err := f.Stat()
	if err != nil {
		return false, err
	}
	b, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	return os.SameFile(a, b), nil
}

// DeleteSnapshot implements volume.Snapshotter.
func (d *Driver) DeleteSnapshot(ctx context.Context, volumeID, snapshotID string) error {
	if err := errors.Join(volume.CheckID("volume ID", volumeID), volume.CheckID("snapshot ID", snapshotID)); err != nil {
		return err
	}
	unlock, err := d.locks.Lock(ctx, volumeID)
	if err != nil {
		return fmt.Errorf("deleting snapshot %s: %w", snapshotID, err)
	}
	defer unlock()
	snaps, err := d.snapshots(volumeID)
	if err != nil {
		return err
	}
	for _, s := range snaps {
		if s.id != snapshotID {
			continue
		}
		if err := durable.Remove(s.path); err != nil {
			return fmt.Errorf("deleting snapshot %s: %w", snapshotID, err)
		}
	}
	_ = os.Remove(d.dir("snapshots", volumeID)) // if it is empty
	return nil
}

// CreateFromSnapshot implements volume.Snapshotter.
func (d *Driver) CreateFromSnapshot(ctx context.Context, id string, spec volume.Spec, volumeID, snapshotID string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, err := d.snapshot(volumeID, snapshotID)
	if err != nil {
		return err
	}
	return d.copyOf(ctx, id, spec, s)
}

// Clone implements volume.Cloner.
func (d *Driver) Clone(ctx context.Context, id string, spec volume.Spec, sourceID string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	k, err := d.find(sourceID)
	if err != nil {
		return err
	}
	return d.copyOf(ctx, id, spec, k)
}

// copyOf makes a volume of another's file, in its format.
func (d *Driver) copyOf(ctx context.Context, id string, spec volume.Spec, source disk) error {
	err := d.make(ctx, id, spec, func(t *durable.Temp) (string, error) {
		if err := notSmaller(spec.SizeGiB, source); err != nil {
			return "", err
		}
		return source.format, d.fillFrom(ctx, t, source, spec.SizeGiB)
	})
	if err != nil {
		return fmt.Errorf("creating volume %s from %s: %w", id, source.id, meaning(err))
	}
	return nil
}

// fillFrom copies a file into t and grows it.
func (d *Driver) fillFrom(ctx context.Context, t *durable.Temp, source disk, sizeGiB int) error {
	src, err := os.Open(source.path)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := d.copyStill(ctx, t.File, src); err != nil {
		return err
	}
	if source.format == volume.FormatRaw {
		return t.Truncate(int64(sizeGiB) * gibibyte)
	}
	if _, err := convert.ReadHeader(t.Name()); err != nil {
		return err
	}
	if sizeGiB > source.sizeGiB() {
		return d.resizeQCOW2(ctx, t.Name(), sizeGiB)
	}
	return nil
}

// Revert implements volume.Reverter. The volume keeps its size where it has
// grown since.
func (d *Driver) Revert(ctx context.Context, volumeID, snapshotID string) error {
	if err := errors.Join(volume.CheckID("volume ID", volumeID), volume.CheckID("snapshot ID", snapshotID)); err != nil {
		return err
	}
	unlock, err := d.locks.Lock(ctx, volumeID)
	if err != nil {
		return fmt.Errorf("reverting volume %s: %w", volumeID, err)
	}
	defer unlock()
	k, err := d.find(volumeID)
	if err != nil {
		return err
	}
	s, err := d.snapshot(volumeID, snapshotID)
	if err != nil {
		return err
	}
	snaps, err := d.snapshots(volumeID)
	if err != nil {
		return err
	}
	if newest := snaps[len(snaps)-1]; newest.id != snapshotID {
		return nephos.Errorf(nephos.ErrConflict, "snapshot %s is not the newest of volume %s, which is %s", snapshotID, volumeID, newest.id)
	}
	used, err := d.connected(volumeID)
	if err != nil {
		return err
	}
	if used {
		return nephos.Errorf(nephos.ErrConflict, "volume %s is connected", volumeID)
	}
	if err := d.revert(ctx, k, s); err != nil {
		return fmt.Errorf("reverting volume %s: %w", volumeID, meaning(err))
	}
	return nil
}

func (d *Driver) revert(ctx context.Context, k, s disk) error {
	t, err := d.temp()
	if err != nil {
		return err
	}
	defer t.Abort()
	if err := d.fillFrom(ctx, t, s, k.sizeGiB()); err != nil {
		return err
	}
	return t.Commit(k.path)
}
