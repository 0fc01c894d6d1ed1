//go:build libvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	virt "libvirt.org/go/libvirt"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
	"github.com/nephos-cloud/nephos/driver/internal/qemuimg"
)

// ResizeDisk implements hypervisor.DiskResizer. The size is kept in the record,
// so that a disk of a guest that is off grows at the next start.
func (d *Driver) ResizeDisk(ctx context.Context, id, diskID string, size int64) error {
	return d.change(ctx, "resize a disk of", id, func(w *work) error {
		disk, err := findDisk(w.rec.Spec.Disks, diskID)
		if err != nil {
			return err
		}
		if disk.ReadOnly || disk.CDROM {
			return fmt.Errorf("disk %s is read only: %w", diskID, nephos.ErrInvalid)
		}
		_, state, err := w.now()
		if err != nil {
			return err
		}
		has := max(disk.SizeBytes, w.rec.Sizes[diskID])
		on := state == hypervisor.Running || state == hypervisor.Paused
		if on {
			info, err := w.dom.GetBlockInfo(w.target(diskID), 0)
			if err != nil {
				return err
			}
			has = max(has, int64(info.Capacity))
		} else if domain.OwnFile(disk) {
			made, err := qemuimg.VirtualSize(w.p.DiskPath(w.dir, diskID), w.p.DiskFormat())
			if err != nil {
				return err
			}
			has = max(has, made)
		}
		if size < has && domain.OwnFile(disk) {
			return fmt.Errorf("disk %s has %d bytes and cannot shrink to %d: %w", diskID, has, size, nephos.ErrInvalid)
		}
		if on {
			// Of a disk that its pool has grown, the same call looks again.
			err := w.dom.BlockResize(w.target(diskID), uint64(size+511)&^511, virt.DOMAIN_BLOCK_RESIZE_BYTES)
			if err != nil {
				return err
			}
		}
		if !domain.OwnFile(disk) {
			return nil
		}
		return w.keep(func(rec *domain.Record) { rec.Sizes[diskID] = size })
	})
}

// keep changes the record of a guest and writes it down.
func (w *work) keep(change func(*domain.Record)) error {
	rec := w.rec.Clone()
	change(&rec)
	return w.define(rec)
}

// ThrottleDisk implements hypervisor.DiskThrottler.
func (d *Driver) ThrottleDisk(ctx context.Context, id, diskID string, limits driver.Limits) error {
	return d.change(ctx, "throttle a disk of", id, func(w *work) error {
		if err := limits.Validate(); err != nil {
			return err
		}
		if _, err := findDisk(w.rec.Spec.Disks, diskID); err != nil {
			return err
		}
		_, state, err := w.now()
		if err != nil {
			return err
		}
		if state == hypervisor.Running || state == hypervisor.Paused {
			if err := w.throttle(diskID, &limits); err != nil {
				return err
			}
		}
		return w.keep(func(rec *domain.Record) {
			for i := range rec.Spec.Disks {
				if rec.Spec.Disks[i].ID == diskID {
					rec.Spec.Disks[i].Source.Limits = &limits
				}
			}
		})
	})
}

// throttle bounds a disk of a running domain.
func (w *work) throttle(diskID string, l *driver.Limits) error {
	if l == nil {
		l = &driver.Limits{}
	}
	u := func(n int64) uint64 { return uint64(max(n, 0)) }
	return w.dom.SetBlockIoTune(w.target(diskID), &virt.DomainBlockIoTuneParameters{
		TotalBytesSecSet: true, TotalBytesSec: u(l.TotalBytesSec), ReadBytesSecSet: true, ReadBytesSec: u(l.ReadBytesSec),
		WriteBytesSecSet: true, WriteBytesSec: u(l.WriteBytesSec), TotalIopsSecSet: true, TotalIopsSec: u(l.TotalIOPS),
		ReadIopsSecSet: true, ReadIopsSec: u(l.ReadIOPS), WriteIopsSecSet: true, WriteIopsSec: u(l.WriteIOPS),
		TotalBytesSecMaxSet: true, TotalBytesSecMax: u(l.TotalBytesSecMax), ReadBytesSecMaxSet: true, ReadBytesSecMax: u(l.ReadBytesSecMax),
		WriteBytesSecMaxSet: true, WriteBytesSecMax: u(l.WriteBytesSecMax), TotalIopsSecMaxSet: true, TotalIopsSecMax: u(l.TotalIOPSMax),
		ReadIopsSecMaxSet: true, ReadIopsSecMax: u(l.ReadIOPSMax), WriteIopsSecMaxSet: true, WriteIopsSecMax: u(l.WriteIOPSMax),
		SizeIopsSecSet: true, SizeIopsSec: u(l.SizeIOPS),
	}, virt.DOMAIN_AFFECT_LIVE)
}

// rethrottle gives the disks of a running domain the limits of the spec.
func (w *work) rethrottle(have *devices, disks []driver.Disk) error {
	for _, disk := range disks {
		x, ok := have.disks[disk.ID]
		if !ok || domain.SameLimits(x.IOTune, disk.Source.Limits) {
			continue
		}
		if err := w.throttle(disk.ID, disk.Source.Limits); err != nil {
			return fmt.Errorf("throttle disk %s: %w", disk.ID, meant(err))
		}
	}
	return nil
}

// EncryptionFormats implements hypervisor.DiskDecrypter.
func (d *Driver) EncryptionFormats() []string { return []string{"luks"} }

// ExportDisk implements hypervisor.DiskExporter: the disk is copied whole into a
// file that is gone with the stream.
func (d *Driver) ExportDisk(ctx context.Context, id, diskID string) (hypervisor.DiskImage, io.ReadCloser, error) {
	type export struct {
		image hypervisor.DiskImage
		body  io.ReadCloser
	}
	var x export
	err := d.change(ctx, "export a disk of", id, func(w *work) error {
		disk, err := findDisk(w.rec.Active().Disks, diskID)
		if err != nil {
			return err
		}
		if !domain.OwnFile(disk) {
			return fmt.Errorf("disk %s is not local: %w", diskID, nephos.ErrInvalid)
		}
		_, state, err := w.now()
		if err != nil {
			return err
		}
		if state == hypervisor.Running || state == hypervisor.Paused {
			return fmt.Errorf("it is %s: %w", state, nephos.ErrConflict)
		}
		size, err := qemuimg.VirtualSize(w.p.DiskPath(w.dir, diskID), w.p.DiskFormat())
		if err != nil {
			return err
		}
		path := filepath.Join(w.dir, "export-"+nephos.IDs{}.Hex())
		defer os.Remove(path)
		if err := w.copyOff(disk, path); err != nil {
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
		x.image = hypervisor.DiskImage{Format: "qcow2", Size: info.Size(), VirtualSize: max(size, w.rec.Sizes[diskID], disk.SizeBytes)}
		x.body = untilDone{ctx, f}
		return nil
	})
	if err == nil && ctx.Err() != nil {
		err = errors.Join(ctx.Err(), x.body.Close())
	}
	if err != nil {
		return hypervisor.DiskImage{}, nil, err
	}
	return x.image, x.body, nil
}

// untilDone is a stream that its context ends.
type untilDone struct {
	ctx context.Context
	f   *os.File
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.f.Read(p)
}

func (u untilDone) Close() error { return u.f.Close() }

// ImportDisk implements hypervisor.DiskImporter. What arrives is looked at by
// its header, then made into an image of our own: nothing of it names other
// files afterwards.
func (d *Driver) ImportDisk(ctx context.Context, id, diskID string, image hypervisor.DiskImage, body io.Reader) error {
	err := hypervisor.CheckID(id)
	if err == nil {
		err = hypervisor.CheckID(diskID)
	}
	if err == nil {
		err = image.Validate()
	}
	if err == nil {
		_, err = within(ctx, func() (struct{}, error) {
			return struct{}{}, d.alone(ctx, id, func(w *work) error { return w.importDisk(diskID, image, body) })
		})
	}
	if err != nil {
		return fmt.Errorf("import disk %s of guest %s: %w", diskID, id, err)
	}
	return nil
}

func (w *work) importDisk(diskID string, image hypervisor.DiskImage, body io.Reader) error {
	err := w.load()
	switch {
	case err == nil:
		_, state, err := w.now()
		if err != nil {
			return err
		}
		saved, err := w.suspended()
		if err != nil {
			return err
		}
		if state == hypervisor.Running || state == hypervisor.Paused || saved {
			return fmt.Errorf("it is not stopped: %w", nephos.ErrConflict)
		}
	case errors.Is(err, errNotHere) && w.dom == nil:
		w.d.forget(w.id) // a disk is no guest
	case errors.Is(err, errNotHere):
		return fmt.Errorf("the domain is not ours: %w", nephos.ErrConflict)
	default:
		return err
	}
	if err := os.MkdirAll(w.dir, 0o711); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(w.dir, "import-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := receive(w.ctx, filepath.Join(dir, "came"), image, body); err != nil {
		return err
	}
	virtual, err := qemuimg.VirtualSize(filepath.Join(dir, "came"), image.Format)
	if err != nil {
		return err
	}
	from := qemuimg.Source{Format: image.Format, File: map[string]any{"driver": "file", "filename": filepath.Join(dir, "came")}}
	tool, made := qemuimg.Tool{Path: w.d.cfg.Img}, filepath.Join(dir, "made")
	if err := tool.CopyTo(w.ctx, from, made, w.p.DiskFormat()); err != nil {
		return err
	}
	if err := tool.Grow(w.ctx, made, w.p.DiskFormat(), max(virtual, image.VirtualSize)); err != nil {
		return err
	}
	if err := os.Chmod(made, 0o600); err != nil {
		return err
	}
	// A disk that came whole has no base: the mark tells the next Ensure.
	mark := filepath.Join(w.dir, importedMark(diskID))
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return err
	}
	if err := os.Rename(made, w.p.DiskPath(w.dir, diskID)); err != nil {
		return err
	}
	if w.dom == nil || !hasDisk(w.rec.Spec.Disks, diskID) {
		return nil
	}
	return w.keep(func(rec *domain.Record) { rec.Imported[diskID] = true })
}

// importedMark names the file that says that a disk came whole, from before the
// guest has a record until then.
func importedMark(diskID string) string { return "imported-" + diskID }

// receive writes a stream into a file.
func receive(ctx context.Context, path string, image hypervisor.DiskImage, body io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if image.Size >= 0 {
		body = io.LimitReader(body, image.Size+1)
	}
	n, err := io.Copy(f, &reading{ctx, body})
	if err != nil {
		return err
	}
	if image.Size >= 0 && n != image.Size {
		return fmt.Errorf("the body has not the %d bytes that were announced: %w", image.Size, nephos.ErrInvalid)
	}
	return f.Sync()
}

// reading is a reader that its context ends between two reads.
type reading struct {
	ctx context.Context
	r   io.Reader
}

func (r *reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
