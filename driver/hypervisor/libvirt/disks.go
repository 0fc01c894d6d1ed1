//go:build libvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	virt "libvirt.org/go/libvirt"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
	"github.com/nephos-cloud/nephos/driver/internal/qemuimg"
)

// makeDisks makes the files of local disks that are not there, and notes what
// they were made on.
func (w *work) makeDisks(disks []driver.Disk, rec *domain.Record, live bool) error {
	for _, disk := range disks {
		if !domain.OwnFile(disk) {
			continue
		}
		path := w.p.DiskPath(w.dir, disk.ID)
		made, known := rec.Made[disk.ID]
		if known && !sameBase(made, disk.Base) {
			if live {
				return fmt.Errorf("disk %s has another base, and the guest is on: %w", disk.ID, nephos.ErrConflict)
			}
			for _, old := range []string{filepath.Join(w.dir, importedMark(disk.ID)), path} {
				if err := os.Remove(old); err != nil && !errors.Is(err, os.ErrNotExist) {
					return err
				}
			}
			delete(rec.Imported, disk.ID)
			delete(rec.Sizes, disk.ID)
		}
		if _, err := os.Stat(filepath.Join(w.dir, importedMark(disk.ID))); err == nil {
			rec.Imported[disk.ID] = true
		}
		if err := w.makeDisk(path, disk); err != nil {
			return fmt.Errorf("make disk %s: %w", disk.ID, err)
		}
		rec.Made[disk.ID] = disk.Base
	}
	return nil
}

func (w *work) makeDisk(path string, disk driver.Disk) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	made := path + ".new"
	img := qemuimg.Tool{Path: w.d.cfg.Img}
	base := qemuimg.Base{}
	if disk.Base != nil {
		base = qemuimg.Base{Path: disk.Base.Path, Format: disk.Base.Format}
	}
	make := img.Create
	if w.p.Container() {
		make = w.makeFileSystem
	}
	if err := make(w.ctx, made, disk.SizeBytes, base); err != nil {
		_ = os.Remove(made)
		return err
	}
	return os.Rename(made, path)
}

// link makes the links to the files that a container mounts.
func (w *work) link(disks []driver.Disk) error {
	if !w.p.Container() {
		return nil
	}
	for _, disk := range disks {
		to := disk.Source.Path
		switch {
		case domain.OwnFile(disk):
			to = w.p.DiskPath(w.dir, disk.ID)
		case disk.Source.Type == "local":
			to = disk.Base.Path
		}
		link := domain.MountLink(w.dir, w.id, disk.ID)
		if is, err := os.Readlink(link); err == nil && is == to {
			continue
		}
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.Symlink(to, link); err != nil {
			return fmt.Errorf("disk %s: %w", disk.ID, err)
		}
	}
	return nil
}

// unlink removes the links of disks.
func (w *work) unlink(disks []driver.Disk) error {
	for _, disk := range disks {
		if err := os.Remove(domain.MountLink(w.dir, w.id, disk.ID)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// makeFileSystem makes a disk that a container can mount: a copy of its base,
// else an empty file system.
func (w *work) makeFileSystem(ctx context.Context, path string, size int64, base qemuimg.Base) error {
	if base != (qemuimg.Base{}) {
		tool := qemuimg.Tool{Path: w.d.cfg.Img}
		from := qemuimg.Source{Format: base.Format, File: map[string]any{"driver": "file", "filename": base.Path}}
		if err := tool.CopyTo(ctx, from, path, "raw"); err != nil {
			return err
		}
		if err := tool.Grow(ctx, path, "raw", size); err != nil {
			return err
		}
		return os.Chmod(path, 0o600)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "mke2fs", "-q", "-F", "-t", "ext4", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make a file system (Debian: e2fsprogs): %w: %.300s", err, out)
	}
	return nil
}

// sameBase reports whether a disk made on one base fits the other: they have
// the same digest, or the same path where one has none.
func sameBase(a, b *driver.Image) bool {
	switch {
	case a == nil || b == nil:
		return a == b
	case a.Digest != "" && b.Digest != "":
		return a.Digest == b.Digest && a.Format == b.Format
	}
	return a.Path == b.Path && a.Format == b.Format
}

// ensureSecrets gives libvirt the keys of disks. It keeps them in memory only.
func (w *work) ensureSecrets(disks []driver.Disk) error {
	for _, disk := range disks {
		secrets, err := domain.Secrets(w.id, disk)
		if err != nil {
			return err
		}
		for _, one := range secrets {
			s, err := w.conn.SecretDefineXML(one.XML, 0)
			if err != nil {
				return fmt.Errorf("disk %s: give libvirt its secret: %w", disk.ID, meant(err))
			}
			err = s.SetValue(one.Value, 0)
			_ = s.Free()
			if err != nil {
				return fmt.Errorf("disk %s: give libvirt its secret: %w", disk.ID, meant(err))
			}
		}
	}
	return nil
}

// dropSecrets forgets the keys of disks that the guest had and is not to keep.
func (w *work) dropSecrets(had, keep []driver.Disk) {
	for _, disk := range had {
		if disk.Source.Type != "rbd" && disk.Source.Encryption == nil || hasDisk(keep, disk.ID) {
			continue
		}
		for _, uuid := range []string{domain.SecretUUID(w.id, disk.ID), domain.PassphraseUUID(w.id, disk.ID)} {
			s, err := w.conn.LookupSecretByUUIDString(uuid)
			if err != nil {
				continue
			}
			if err := s.Undefine(); err != nil && !is(err, virt.ERR_NO_SECRET) {
				w.d.log.Warn("cannot forget a disk's secret", "guest", w.id, "disk", disk.ID, "error", err)
			}
			_ = s.Free()
		}
	}
}

func hasDisk(disks []driver.Disk, id string) bool {
	for _, d := range disks {
		if d.ID == id {
			return true
		}
	}
	return false
}

func findDisk(disks []driver.Disk, id string) (driver.Disk, error) {
	for _, disk := range disks {
		if disk.ID == id {
			return disk, nil
		}
	}
	return driver.Disk{}, fmt.Errorf("it has no disk %s: %w", id, nephos.ErrNotFound)
}
