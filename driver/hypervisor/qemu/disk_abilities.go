package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/internal/convert"
	"github.com/nephos-cloud/nephos/driver/internal/qemuimg"
)

var (
	_ hypervisor.DiskResizer   = (*Driver)(nil)
	_ hypervisor.DiskThrottler = (*Driver)(nil)
	_ hypervisor.DiskExporter  = (*Driver)(nil)
	_ hypervisor.DiskImporter  = (*Driver)(nil)
)

// disks are those of the guest's next power-on: the rescue disk first, local
// ones as large as they have been grown, and imported ones without a base.
func (r record) disks() []driver.Disk {
	out := make([]driver.Disk, 0, len(r.Spec.Disks)+1)
	if r.Rescue != nil {
		out = append(out, *r.Rescue)
	}
	for _, d := range r.Spec.Disks {
		d.SizeBytes = max(d.SizeBytes, r.Sizes[d.ID])
		if made := r.Made[d.ID]; made.Whole && ownFile(d) {
			d.Base = nil
		}
		out = append(out, d)
	}
	return out
}

// running is the record as a process has it.
func (r record) running() record {
	r.Spec.Disks = r.disks()
	return r
}

// size is how large a local disk is, or will be when the guest is started.
func (d *Driver) size(g *guest, rec record, disk driver.Disk) (int64, error) {
	size := max(disk.SizeBytes, rec.Sizes[disk.ID])
	if !ownFile(disk) {
		return size, nil
	}
	have, err := qemuimg.VirtualSize(diskPath(g.dir, disk.ID), "qcow2")
	return max(size, have), err
}

// ResizeDisk implements hypervisor.DiskResizer. A disk of a guest that is off
// grows when it is started.
func (d *Driver) ResizeDisk(ctx context.Context, id, diskID string, size int64) error {
	return d.change(ctx, "resize a disk of", id, func(g *guest) error {
		d.mu.Lock()
		rec := g.rec
		d.mu.Unlock()
		disk, err := findDisk(rec.Spec.Disks, diskID)
		if err != nil {
			return err
		}
		have, err := d.size(g, rec, disk)
		if err != nil {
			return err
		}
		if size < have {
			return fmt.Errorf("disk %s has %d bytes and cannot shrink to %d: %w", diskID, have, size, nephos.ErrInvalid)
		}
		sizes := map[string]int64{diskID: size}
		for k, v := range rec.Sizes {
			if k != diskID {
				sizes[k] = v
			}
		}
		rec.Sizes = sizes
		if err := d.save(g, rec); err != nil {
			return err
		}
		if v, status := d.now(g); v != nil && (status == "running" || status == "paused") {
			disk.SizeBytes = size
			return v.grow(ctx, []driver.Disk{disk})
		}
		return nil
	})
}

// ThrottleDisk implements hypervisor.DiskThrottler.
func (d *Driver) ThrottleDisk(ctx context.Context, id, diskID string, limits driver.Limits) error {
	return d.change(ctx, "throttle a disk of", id, func(g *guest) error {
		if err := limits.Validate(); err != nil {
			return err
		}
		d.mu.Lock()
		rec := g.rec
		d.mu.Unlock()
		disk, err := findDisk(rec.Spec.Disks, diskID)
		if err != nil {
			return err
		}
		all := map[string]driver.Limits{diskID: limits}
		for k, v := range rec.Limits {
			if k != diskID {
				all[k] = v
			}
		}
		rec.Limits = all
		if err := d.save(g, rec); err != nil {
			return err
		}
		if v, status := d.now(g); v != nil && (status == "running" || status == "paused") {
			return v.throttle(ctx, disk, limits)
		}
		return nil
	})
}

// limits are what bounds a disk: as ThrottleDisk said, else as its connection
// says.
func (r record) limits(d driver.Disk) driver.Limits {
	if l, ok := r.Limits[d.ID]; ok {
		return l
	}
	if d.Source.Limits != nil {
		return *d.Source.Limits
	}
	return driver.Limits{}
}

// throttleAll bounds the disks of a process that has the bounds of the record
// before, or none.
func (v *vm) throttleAll(ctx context.Context, before, rec record) error {
	was := make(map[string]driver.Limits)
	for _, d := range before.Spec.Disks {
		was[d.ID] = before.limits(d)
	}
	for _, d := range rec.Spec.Disks {
		if l := rec.limits(d); l != was[d.ID] {
			if err := v.throttle(ctx, d, l); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *vm) throttle(ctx context.Context, d driver.Disk, l driver.Limits) error {
	device := diskDevice(d.ID)
	if busOf(d) == "virtio" {
		device = "/machine/peripheral/" + device + "/virtio-backend"
	}
	args := map[string]any{
		"id":  device,
		"bps": l.TotalBytesSec, "bps_rd": l.ReadBytesSec, "bps_wr": l.WriteBytesSec,
		"iops": l.TotalIOPS, "iops_rd": l.ReadIOPS, "iops_wr": l.WriteIOPS,
	}
	for name, most := range map[string]int64{
		"bps_max": l.TotalBytesSecMax, "bps_rd_max": l.ReadBytesSecMax, "bps_wr_max": l.WriteBytesSecMax,
		"iops_max": l.TotalIOPSMax, "iops_rd_max": l.ReadIOPSMax, "iops_wr_max": l.WriteIOPSMax, "iops_size": l.SizeIOPS,
	} {
		if most > 0 {
			args[name] = most
		}
	}
	if err := v.execute(ctx, "block_set_io_throttle", args, nil); err != nil {
		return fmt.Errorf("throttle disk %s: %w", d.ID, err)
	}
	return nil
}

// ExportDisk implements hypervisor.DiskExporter: a qcow2 image that a QEMU in the
// sandbox makes, and that has no name any more when it is read.
func (d *Driver) ExportDisk(ctx context.Context, id, diskID string) (image hypervisor.DiskImage, body io.ReadCloser, err error) {
	err = d.change(ctx, "export a disk of", id, func(g *guest) error {
		d.mu.Lock()
		rec := g.rec
		d.mu.Unlock()
		disk, err := findDisk(rec.running().Spec.Disks, diskID)
		if err != nil {
			return err
		}
		if !ownFile(disk) {
			return fmt.Errorf("disk %s is no local disk: %w", diskID, nephos.ErrInvalid)
		}
		if v, status := d.now(g); v != nil {
			return fmt.Errorf("it is %s: %w", status, nephos.ErrConflict)
		} else if g.suspended() {
			return fmt.Errorf("it is suspended, and its disks belong to its memory: %w", nephos.ErrConflict)
		}
		size, err := d.size(g, rec, disk)
		if err != nil {
			return err
		}
		dir, err := os.MkdirTemp(g.dir, copyDir)
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "export.qcow2")
		if err := d.copyOff(ctx, g, disk, path); err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return errors.Join(err, f.Close())
		}
		image = hypervisor.DiskImage{Format: "qcow2", Size: info.Size(), VirtualSize: size}
		body = &stoppable{ctx, f}
		return nil
	})
	return image, body, err
}

// stoppable is a file whose reading ends with a context.
type stoppable struct {
	ctx context.Context
	f   *os.File
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.f.Read(p)
}

func (s *stoppable) Close() error { return s.f.Close() }

// importPath is where an imported disk waits until the guest's record says that
// the disk is whole.
func importPath(dir, id string) string { return filepath.Join(dir, "import-"+id+".qcow2") }

// ImportDisk implements hypervisor.DiskImporter. A qcow2 image is taken as it is
// once its header has been checked, a raw one is converted.
func (d *Driver) ImportDisk(ctx context.Context, id, diskID string, image hypervisor.DiskImage, body io.Reader) error {
	err := errors.Join(ctx.Err(), hypervisor.CheckID(id), hypervisor.CheckID(diskID), image.Validate())
	if err == nil {
		d.mu.Lock()
		g, closed := d.guests[id], d.closed
		if g == nil && !closed {
			g = newGuest(id, d.guestDir(id))
			d.guests[id] = g
		}
		d.mu.Unlock()
		if closed {
			err = fmt.Errorf("the driver is closed: %w", nephos.ErrUnavailable)
		} else {
			err = d.alone(ctx, g, func(g *guest) error { return d.importDisk(ctx, g, diskID, image, body) })
		}
	}
	if err != nil {
		return fmt.Errorf("import disk %s of guest %s: %w", diskID, id, err)
	}
	return nil
}

func (d *Driver) importDisk(ctx context.Context, g *guest, diskID string, image hypervisor.DiskImage, body io.Reader) error {
	if v, status := d.now(g); v != nil {
		return fmt.Errorf("it is %s: %w", status, nephos.ErrConflict)
	} else if g.suspended() {
		return fmt.Errorf("it is suspended, and its disks belong to its memory: %w", nephos.ErrConflict)
	}
	if err := os.Mkdir(g.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.MkdirTemp(g.dir, copyDir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "import")
	if err := spool(ctx, made, image, body); err != nil {
		return err
	}
	if image.Format == "raw" {
		raw := qemuimg.Source{Format: "raw", File: map[string]any{"driver": "file", "filename": made}}
		if err := d.img().Copy(ctx, raw, made+".qcow2"); err != nil {
			return err
		}
		made += ".qcow2"
	}
	header, err := convert.ReadHeader(made)
	if err != nil {
		return err
	}
	if err := os.Chmod(made, 0o600); err != nil {
		return err
	}
	if err := os.Rename(made, importPath(g.dir, diskID)); err != nil {
		return err
	}
	if err := syncDir(g.dir); err != nil {
		return err
	}
	d.mu.Lock()
	rec := g.rec
	d.mu.Unlock()
	if rec.ID == "" {
		return nil // its first Ensure takes it
	}
	disk, err := findDisk(rec.Spec.Disks, diskID)
	if err != nil {
		return nil //nolint:nilerr // an Ensure that has the disk takes it
	}
	rec.Made = withMade(rec.Made, diskID, madeDisk{Base: disk.Base, Whole: true})
	sizes := map[string]int64{diskID: header.Size}
	for k, v := range rec.Sizes {
		if k != diskID {
			sizes[k] = v
		}
	}
	rec.Sizes = sizes
	if err := d.save(g, rec); err != nil {
		return err
	}
	return takeImports(g.dir, rec)
}

func withMade(made map[string]madeDisk, id string, m madeDisk) map[string]madeDisk {
	out := map[string]madeDisk{id: m}
	for k, v := range made {
		if k != id {
			out[k] = v
		}
	}
	return out
}

// imported tells whether a disk waits to be taken.
func imported(dir, id string) bool {
	_, err := os.Lstat(importPath(dir, id))
	return err == nil
}

// takeImports gives imported disks their names. The record that says that they
// are whole has been saved.
func takeImports(dir string, rec record) error {
	for _, disk := range rec.Spec.Disks {
		if !ownFile(disk) || !rec.Made[disk.ID].Whole || !imported(dir, disk.ID) {
			continue
		}
		if err := os.Rename(importPath(dir, disk.ID), diskPath(dir, disk.ID)); err != nil {
			return err
		}
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// spool writes a stream to a new file and on disk, and checks its length.
func spool(ctx context.Context, path string, image hypervisor.DiskImage, body io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, ctxReader{ctx, body})
	switch {
	case err != nil:
		err = fmt.Errorf("reading the disk: %w", err)
	case image.Size >= 0 && n != image.Size:
		err = fmt.Errorf("reading the disk: body of %s bytes instead of %d: %w", strconv.FormatInt(n, 10), image.Size, nephos.ErrInvalid)
	case image.Format == "raw":
		err = f.Truncate((max(n, image.VirtualSize) + 511) &^ 511)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
