package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
	"github.com/nephos-cloud/nephos/driver/volume"
)

var _ volume.Adopter = (*Driver)(nil)

// ListAdoptable implements volume.Adopter: the files NAME.FORMAT in unmanaged/,
// where an operator puts what is to be adopted and Release puts what it forgets.
func (d *Driver) ListAdoptable(ctx context.Context) ([]volume.Adoptable, error) {
	managed, err := d.List(ctx)
	if err != nil {
		return nil, err
	}
	var list []volume.Adoptable
	for _, v := range managed {
		list = append(list, volume.Adoptable{
			Reference: v.ID + "." + v.Format, SizeBytes: int64(v.SizeGiB) * gibibyte, VolumeID: v.ID, Reason: "it is a volume already",
		})
	}
	entries, err := os.ReadDir(d.dir("unmanaged"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing what can be adopted: %w", err)
	}
	for _, e := range entries {
		if volume.CheckID("reference", e.Name()) != nil {
			continue
		}
		a := volume.Adoptable{Reference: e.Name()}
		k, err := d.unmanaged(e.Name())
		if a.SizeBytes = k.size; err != nil {
			a.Reason = err.Error()
		}
		list = append(list, a)
	}
	return list, nil
}

// unmanaged looks at a file that may be adopted.
func (d *Driver) unmanaged(reference string) (disk, error) {
	if err := volume.CheckID("reference", reference); err != nil {
		return disk{}, err
	}
	path := d.dir("unmanaged", reference)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return disk{}, nephos.NotFound("Reference", reference)
	}
	if err != nil {
		return disk{}, err
	}
	id, format, ok := splitName(reference)
	switch {
	case !info.Mode().IsRegular():
		return disk{}, nephos.Errorf(nephos.ErrConflict, "%s is not a regular file", reference)
	case !ok:
		return disk{}, nephos.Errorf(nephos.ErrConflict, "%s ends in neither .raw nor .qcow2", reference)
	}
	k, err := measure(disk{id: id, format: format, path: path})
	if err != nil {
		return k, fmt.Errorf("%s cannot be a volume: %w: %w", reference, nephos.ErrConflict, err)
	}
	if k.sizeGiB() > volume.MaxSizeGiB {
		return k, nephos.Errorf(nephos.ErrConflict, "%s is larger than a volume can be", reference)
	}
	return k, nil
}

// Adopt implements volume.Adopter. The file is moved, in one step.
func (d *Driver) Adopt(ctx context.Context, id, reference string) (volume.Volume, error) {
	if err := errors.Join(volume.CheckID("volume ID", id), volume.CheckID("reference", reference)); err != nil {
		return volume.Volume{}, err
	}
	unlock, err := d.locks.Lock(ctx, id)
	if err != nil {
		return volume.Volume{}, fmt.Errorf("adopting %s as volume %s: %w", reference, id, err)
	}
	defer unlock()
	k, err := d.find(id)
	if errors.Is(err, nephos.ErrNotFound) {
		k, err = d.adopt(ctx, id, reference)
	} else if err == nil {
		var s settings
		if s, err = d.settings(id); err == nil && s.Reference != reference {
			err = nephos.Errorf(nephos.ErrConflict, "volume %s exists", id)
		}
	}
	if err != nil {
		return volume.Volume{}, fmt.Errorf("adopting %s as volume %s: %w", reference, id, meaning(err))
	}
	return d.view(k)
}

func (d *Driver) adopt(ctx context.Context, id, reference string) (disk, error) {
	k, err := d.unmanaged(reference)
	if errors.Is(err, nephos.ErrNotFound) {
		if other, _, ok := splitName(reference); ok {
			if _, there := d.find(other); there == nil {
				return k, nephos.Errorf(nephos.ErrConflict, "%s is volume %s already", reference, other)
			}
		}
	}
	if err != nil {
		return k, err
	}
	size := max(1, k.sizeGiB())
	done, err := d.reserve(size)
	if err != nil {
		return k, err
	}
	kept := false
	defer func() { done(kept) }()
	if k.size != int64(size)*gibibyte {
		if err := d.grow(ctx, k, size); err != nil {
			return k, err
		}
	}
	if d.cfg.UID > 0 || d.cfg.GID > 0 {
		if err := os.Chown(k.path, d.cfg.UID, d.cfg.GID); err != nil {
			return k, err
		}
	}
	if err := os.Chmod(k.path, 0o600); err != nil {
		return k, err
	}
	if err := d.set(id, settings{Reference: reference}); err != nil {
		return k, err
	}
	if err := os.Rename(k.path, d.dir("volumes", id+"."+k.format)); err != nil {
		return k, err
	}
	kept = true
	if err := errors.Join(durable.SyncDir(d.dir("volumes")), durable.SyncDir(d.dir("unmanaged"))); err != nil {
		return k, err
	}
	return d.find(id)
}

// Release implements volume.Adopter.
func (d *Driver) Release(ctx context.Context, id string) (reference string, err error) {
	err = d.change(ctx, "releasing", id, func(k disk) error {
		used, err := d.connected(id)
		if err != nil {
			return err
		}
		if used {
			return nephos.Errorf(nephos.ErrConflict, "it is connected")
		}
		snaps, err := d.snapshots(id)
		if err != nil {
			return err
		}
		if len(snaps) > 0 {
			return nephos.Errorf(nephos.ErrConflict, "it has snapshots")
		}
		s, err := d.settings(id)
		if err != nil {
			return err
		}
		reference = id + "." + k.format
		if s.Reference != "" && strings.HasSuffix(s.Reference, "."+k.format) {
			if _, err := os.Lstat(d.dir("unmanaged", s.Reference)); errors.Is(err, fs.ErrNotExist) {
				reference = s.Reference
			}
		}
		to := d.dir("unmanaged", reference)
		if _, err := os.Lstat(to); err == nil {
			return nephos.Errorf(nephos.ErrConflict, "unmanaged/%s is there already", reference)
		}
		if err := durable.MkdirAll(d.dir("unmanaged"), 0o711); err != nil {
			return err
		}
		if err := os.Rename(k.path, to); err != nil {
			return err
		}
		d.release(k.sizeGiB())
		return errors.Join(durable.SyncDir(d.dir("unmanaged")), durable.SyncDir(d.dir("volumes")), d.set(id, settings{}))
	})
	return reference, err
}
