package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/convert"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// disk is a volume's or a snapshot's file.
type disk struct {
	id, format string
	path       string
	size       int64 // bytes, as a guest sees them
	seq        int   // of a snapshot
}

func (k disk) sizeGiB() int { return int((k.size + gibibyte - 1) / gibibyte) }

// splitName takes a file's name apart; false is a name that is not ours.
func splitName(name string) (id, format string, ok bool) {
	for _, format := range []string{volume.FormatRaw, volume.FormatQCOW2} {
		if id, ok := strings.CutSuffix(name, "."+format); ok && volume.CheckID("ID", id) == nil {
			return id, format, true
		}
	}
	return "", "", false
}

// splitSnapshot takes a snapshot file's name apart.
func splitSnapshot(name string) (seq int, id, format string, ok bool) {
	number, rest, ok := strings.Cut(name, "@")
	if !ok {
		return 0, "", "", false
	}
	seq, err := strconv.Atoi(number)
	if err != nil || seq < 1 || strconv.Itoa(seq) != number {
		return 0, "", "", false
	}
	id, format, ok = splitName(rest)
	return seq, id, format, ok
}

// measure fills in the size that a guest sees.
func measure(k disk) (disk, error) {
	if k.format == volume.FormatQCOW2 {
		h, err := convert.ReadHeader(k.path)
		if err != nil {
			return k, err
		}
		k.size = h.Size
		return k, nil
	}
	info, err := os.Lstat(k.path)
	if err != nil {
		return k, err
	}
	if !info.Mode().IsRegular() {
		return k, fmt.Errorf("%s is not a regular file", filepath.Base(k.path))
	}
	k.size = info.Size()
	return k, nil
}

// find returns the volume's file, or ErrNotFound.
func (d *Driver) find(id string) (disk, error) {
	if err := volume.CheckID("volume ID", id); err != nil {
		return disk{}, err
	}
	for _, format := range []string{volume.FormatRaw, volume.FormatQCOW2} {
		k, err := measure(disk{id: id, format: format, path: d.dir("volumes", id+"."+format)})
		if err == nil {
			return k, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return disk{}, fmt.Errorf("looking at volume %s: %w", id, err)
		}
	}
	return disk{}, nephos.NotFound("Volume", id)
}

// snapshots returns the volume's snapshots, oldest first, without their sizes.
func (d *Driver) snapshots(volumeID string) ([]disk, error) {
	entries, err := os.ReadDir(d.dir("snapshots", volumeID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing snapshots of volume %s: %w", volumeID, err)
	}
	var out []disk
	for _, e := range entries {
		if seq, id, format, ok := splitSnapshot(e.Name()); ok {
			out = append(out, disk{id: id, format: format, seq: seq, path: d.dir("snapshots", volumeID, e.Name())})
		}
	}
	slices.SortFunc(out, func(a, b disk) int { return a.seq - b.seq })
	return out, nil
}

func (d *Driver) view(k disk) (volume.Volume, error) {
	v := volume.Volume{ID: k.id, SizeGiB: k.sizeGiB(), Format: k.format}
	snaps, err := d.snapshots(k.id)
	for _, s := range snaps {
		v.Snapshots = append(v.Snapshots, s.id)
	}
	return v, err
}

// existing tells whether the volume is there already, in that size.
func (d *Driver) existing(id string, sizeGiB int) (bool, error) {
	k, err := d.find(id)
	if errors.Is(err, nephos.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if k.sizeGiB() != sizeGiB {
		return false, nephos.Errorf(nephos.ErrConflict, "volume %s exists with %d GiB", id, k.sizeGiB())
	}
	return true, nil
}

// make makes a volume: fill writes a temporary file, which then gets the
// volume's name. fill returns the format that it wrote.
func (d *Driver) make(ctx context.Context, id string, spec volume.Spec, fill func(*durable.Temp) (format string, err error)) (err error) {
	if err := volume.CheckID("volume ID", id); err != nil {
		return err
	}
	if err := spec.Check(); err != nil {
		return err
	}
	if spec.Encryption != nil {
		return fmt.Errorf("encryption: %w", errors.ErrUnsupported)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if there, err := d.existing(id, spec.SizeGiB); there || err != nil {
		return err
	}
	made := false
	done, err := d.reserve(spec.SizeGiB)
	if err != nil {
		return err
	}
	defer func() { done(made) }()
	t, err := d.temp()
	if err != nil {
		return err
	}
	defer t.Abort()
	format, err := fill(t)
	if err != nil {
		return err
	}
	unlock, err := d.locks.Lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if there, err := d.existing(id, spec.SizeGiB); there || err != nil {
		return err // another call was faster
	}
	if err := d.set(id, settings{Limits: spec.Limits}); err != nil {
		return err
	}
	if err := t.Commit(d.dir("volumes", id+"."+format)); err != nil {
		return err
	}
	made = true
	return nil
}

// Create implements volume.Driver.
func (d *Driver) Create(ctx context.Context, id string, spec volume.Spec) error {
	err := d.make(ctx, id, spec, func(t *durable.Temp) (string, error) {
		if d.cfg.Format == volume.FormatQCOW2 {
			return volume.FormatQCOW2, d.blankQCOW2(ctx, t, spec.SizeGiB)
		}
		return volume.FormatRaw, t.Truncate(int64(spec.SizeGiB) * gibibyte)
	})
	if err != nil {
		return fmt.Errorf("creating volume %s: %w", id, meaning(err))
	}
	return nil
}

// Delete implements volume.Driver. A volume with snapshots stays.
func (d *Driver) Delete(ctx context.Context, id string) error {
	if err := volume.CheckID("volume ID", id); err != nil {
		return err
	}
	unlock, err := d.locks.Lock(ctx, id)
	if err != nil {
		return fmt.Errorf("deleting volume %s: %w", id, err)
	}
	defer unlock()
	k, err := d.find(id)
	if errors.Is(err, nephos.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("deleting volume %s: %w", id, err)
	}
	used, err := d.connected(id)
	if err != nil {
		return err
	}
	if used {
		return nephos.Errorf(nephos.ErrConflict, "volume %s is connected", id)
	}
	snaps, err := d.snapshots(id)
	if err != nil {
		return err
	}
	if len(snaps) > 0 {
		return nephos.Errorf(nephos.ErrConflict, "volume %s has snapshots", id)
	}
	if err := durable.Remove(k.path); err != nil {
		return fmt.Errorf("deleting volume %s: %w", id, err)
	}
	d.release(k.sizeGiB())
	if err := d.set(id, settings{}); err != nil {
		return fmt.Errorf("deleting volume %s: %w", id, err)
	}
	return nil
}

// Get implements volume.Driver.
func (d *Driver) Get(ctx context.Context, id string) (volume.Volume, error) {
	if err := ctx.Err(); err != nil {
		return volume.Volume{}, err
	}
	k, err := d.find(id)
	if err != nil {
		return volume.Volume{}, err
	}
	return d.view(k)
}

// List implements volume.Driver, in the order of the IDs.
func (d *Driver) List(ctx context.Context) ([]volume.Volume, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return d.list()
}

func (d *Driver) list() ([]volume.Volume, error) {
	entries, err := os.ReadDir(d.dir("volumes"))
	if err != nil {
		return nil, fmt.Errorf("listing volumes: %w", err)
	}
	out := make([]volume.Volume, 0, len(entries))
	for _, e := range entries {
		id, format, ok := splitName(e.Name())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		k, err := measure(disk{id: id, format: format, path: d.dir("volumes", e.Name())})
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("listing volumes: %s: %w", id, err)
		}
		v, err := d.view(k)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b volume.Volume) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

// Stats implements volume.Driver.
func (d *Driver) Stats(ctx context.Context) (volume.Stats, error) {
	if err := ctx.Err(); err != nil {
		return volume.Stats{}, err
	}
	total, free, err := diskSpace(d.cfg.Dir)
	if err != nil {
		return volume.Stats{}, fmt.Errorf("asking for the pool's capacity: %w", err)
	}
	d.mu.Lock()
	allocated := float64(d.allocated)
	d.mu.Unlock()
	s := volume.Stats{TotalGiB: total, FreeGiB: free, AllocatedGiB: allocated, Backend: d.cfg.Backend, Protocol: "file", Thin: true}
	if d.cfg.MaxGiB > 0 {
		s.TotalGiB = float64(d.cfg.MaxGiB)
		s.FreeGiB = max(0, s.TotalGiB-allocated)
	}
	return s, nil
}

// Extend implements volume.Extender. A qcow2 volume in use is for its
// hypervisor to grow: ErrConflict.
func (d *Driver) Extend(ctx context.Context, id string, sizeGiB int, opts volume.ExtendOptions) error {
	if err := (volume.Spec{SizeGiB: sizeGiB}).Check(); err != nil {
		return err
	}
	if err := volume.CheckID("volume ID", id); err != nil {
		return err
	}
	unlock, err := d.locks.Lock(ctx, id)
	if err != nil {
		return fmt.Errorf("extending volume %s: %w", id, err)
	}
	defer unlock()
	k, err := d.find(id)
	if err != nil {
		return err
	}
	if err := notSmaller(sizeGiB, k); err != nil {
		return err
	}
	if sizeGiB == k.sizeGiB() {
		return nil
	}
	used, err := d.connected(id)
	if err != nil {
		return err
	}
	if k.format == volume.FormatQCOW2 && (used || opts.InUse) {
		return nephos.Errorf(nephos.ErrConflict, "volume %s is in use, and its format qcow2 can then be grown by the hypervisor only", id)
	}
	done, err := d.reserve(sizeGiB - k.sizeGiB())
	if err != nil {
		return err
	}
	err = d.grow(ctx, k, sizeGiB)
	done(err == nil)
	if err != nil {
		return fmt.Errorf("extending volume %s: %w", id, meaning(err))
	}
	return nil
}

func notSmaller(sizeGiB int, source disk) error {
	if sizeGiB < source.sizeGiB() {
		return nephos.Errorf(nephos.ErrInvalid, "%d GiB is smaller than the %d GiB that %s has", sizeGiB, source.sizeGiB(), source.id).WithField("size")
	}
	return nil
}

// grow makes a file larger, where it is.
func (d *Driver) grow(ctx context.Context, k disk, sizeGiB int) error {
	if k.format == volume.FormatQCOW2 {
		if err := d.resizeQCOW2(ctx, k.path, sizeGiB); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(k.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if k.format == volume.FormatRaw {
		if err := f.Truncate(int64(sizeGiB) * gibibyte); err != nil {
			return err
		}
	}
	return f.Sync()
}
