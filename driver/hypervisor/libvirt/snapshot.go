//go:build libvirt

package libvirt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	virt "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
	"github.com/nephos-cloud/nephos/driver/internal/qemuimg"
)

// Snapshot implements hypervisor.Snapshotter, for any disk of the guest. Of a
// guest that is on, the copy is of the moment at which the call ends.
func (d *Driver) Snapshot(ctx context.Context, id, diskID, path string) error {
	live, err := look(ctx, d, "snapshot", id, func(w *work) (bool, error) {
		disk, err := findDisk(w.rec.Active().Disks, diskID)
		if err != nil {
			return false, err
		}
		if !filepath.IsAbs(path) {
			return false, fmt.Errorf("path %q is not absolute: %w", path, nephos.ErrInvalid)
		}
		_, state, err := w.now()
		if err != nil || state != hypervisor.Running && state != hypervisor.Paused {
			return false, err
		}
		return true, w.copyLive(disk, path)
	})
	if err != nil || live {
		return err
	}
	return d.change(ctx, "snapshot", id, func(w *work) error {
		disk, err := findDisk(w.rec.Active().Disks, diskID)
		if err != nil {
			return err
		}
		_, state, err := w.now()
		if err != nil {
			return err
		}
		if state == hypervisor.Running || state == hypervisor.Paused { // it was started meanwhile
			return w.copyLive(disk, path)
		}
		return w.copyOff(disk, path)
	})
}

// copyLive mirrors a disk into a new image and stops when both are the same.
func (w *work) copyLive(disk driver.Disk, path string) (err error) {
	target := w.target(disk.ID)
	said, done, err := w.job(target)
	if err != nil {
		return err
	}
	defer done()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	to := libvirtxml.DomainDisk{
		Driver: &libvirtxml.DomainDiskDriver{Type: "qcow2"},
		Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}},
	}
	text, err := to.Marshal()
	if err != nil {
		return err
	}
	// The job is of this run of the guest only: a persistent domain takes no other.
	if err := w.dom.BlockCopy(target, text, &virt.DomainBlockCopyParameters{}, virt.DOMAIN_BLOCK_COPY_TRANSIENT_JOB); err != nil {
		return meant(err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	for {
		select {
		case end := <-said:
			switch {
			case end.lost:
				return fmt.Errorf("copy disk %s: the connection to libvirt was lost: %w", disk.ID, nephos.ErrUnavailable)
			case end.status == virt.DOMAIN_BLOCK_JOB_READY:
				if err := w.dom.BlockJobAbort(target, 0); err != nil {
					return fmt.Errorf("copy disk %s: end the copy: %w", disk.ID, meant(err))
				}
				return nil
			default:
				return fmt.Errorf("copy disk %s: libvirt gave the copy up: %w", disk.ID, nephos.ErrUnavailable)
			}
		case <-w.ctx.Done():
			_ = w.dom.BlockJobAbort(target, 0)
			return w.ctx.Err()
		}
	}
}

// copyOff copies a disk of a guest that is off, in its turn.
func (w *work) copyOff(disk driver.Disk, path string) error {
	from, err := w.source(disk)
	if err != nil {
		return err
	}
	made := path + ".new"
	if err := (qemuimg.Tool{Path: w.d.cfg.Img}).Copy(w.ctx, from, made); err != nil {
		_ = os.Remove(made)
		return fmt.Errorf("copy disk %s: %w", disk.ID, err)
	}
	return os.Rename(made, path)
}

// source describes a disk for qemu-img.
func (w *work) source(disk driver.Disk) (from qemuimg.Source, err error) {
	file := func(path string) map[string]any {
		return map[string]any{"driver": "file", "filename": path}
	}
	from = qemuimg.Source{Format: disk.Format}

	switch {
	case domain.OwnFile(disk):
		path := w.p.DiskPath(w.dir, disk.ID)
		// A guest that took over its QEMU may have made the header name any file.
		if _, err := qemuimg.VirtualSize(path, w.p.DiskFormat()); err != nil {
			return from, err
		}
		from.Format, from.File = w.p.DiskFormat(), file(path)
		if disk.Base != nil && from.Format == "qcow2" {
			from.Base = qemuimg.Base{Path: disk.Base.Path, Format: disk.Base.Format}
		}
	case disk.Source.Type == "local":
		from.Format, from.File = disk.Base.Format, file(disk.Base.Path)
	case disk.Source.Type == "file":
		from.File = file(disk.Source.Path)
		if info, err := os.Stat(disk.Source.Path); err == nil && info.Mode()&os.ModeDevice != 0 {
			from.File["driver"] = "host_device"
		}
	case disk.Source.Type == "nbd" && (disk.Source.Options["tls"] == "" || disk.Source.Options["tls"] == "no"):
		o := disk.Source.Options
		server := map[string]any{"type": "inet", "host": o["host"], "port": cmp.Or(o["port"], "10809")}
		if o["socket"] != "" {
			server = map[string]any{"type": "unix", "path": o["socket"]}
		}
		from.File = map[string]any{"driver": "nbd", "server": server, "export": o["export"]}
	default:
		return from, fmt.Errorf("a disk of a connection of type %q, of a guest that is off, is its pool's to copy: %w", disk.Source.Type, errors.ErrUnsupported)
	}
	return from, nil
}
