package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/internal/qemuimg"
)

// ownFile reports whether the driver keeps a file for the disk: it does for
// local ones, but for a CD, which is its base itself.
func ownFile(d driver.Disk) bool { return d.Source.Type == "local" && !d.CDROM }

func diskPath(dir, id string) string { return filepath.Join(dir, "disk-"+id+".qcow2") }

// checkDisk refuses what this driver can never attach.
func checkDisk(d driver.Disk) error {
	switch {
	case d.Source.Type == "local" && d.CDROM && d.Base == nil:
		return fmt.Errorf("disk %s is a CD without a base: %w", d.ID, nephos.ErrInvalid)
	case d.Source.Type == "local" && d.Base != nil && !filepath.IsAbs(d.Base.Path):
		return fmt.Errorf("disk %s: base path %q is not absolute: %w", d.ID, d.Base.Path, nephos.ErrInvalid)
	case d.Source.Type == "local":
		return nil
	case d.Source.Type == "file" && filepath.IsAbs(d.Source.Path):
		return nil
	case d.Source.Type == "file":
		return fmt.Errorf("disk %s: path %q is not absolute: %w", d.ID, d.Source.Path, nephos.ErrInvalid)
	}
	if r, err := remoteOf(d); r != nil || err != nil {
		return err
	}
	return fmt.Errorf("disk %s: connections of type %q: %w", d.ID, d.Source.Type, errors.ErrUnsupported)
}

// img is qemu-img. The paths it gets are ours and never start with a dash or hold
// a protocol prefix, being absolute.
func (d *Driver) img() qemuimg.Tool { return qemuimg.Tool{Path: d.cfg.Img} }

// makeDisk makes a local disk's file, if it is not there.
func (d *Driver) makeDisk(ctx context.Context, dir string, disk driver.Disk) error {
	path := diskPath(dir, disk.ID)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	var base qemuimg.Base
	if disk.Base != nil {
		base = qemuimg.Base{Path: disk.Base.Path, Format: disk.Base.Format}
	}
	made := path + ".new"
	if err := d.img().Create(ctx, made, disk.SizeBytes, base); err != nil {
		_ = os.Remove(made)
		return fmt.Errorf("make disk %s: %w", disk.ID, err)
	}
	return os.Rename(made, path)
}

// openRegular opens a disk's file, or block device.
func openRegular(path string, write bool) (f *os.File, device bool, err error) {
	flags := os.O_RDONLY
	if write {
		flags = os.O_RDWR
	}
	f, err = os.OpenFile(path, flags|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, fmt.Errorf("%w: %w", nephos.ErrUnavailable, err)
	}
	if err != nil {
		return nil, false, err
	}
	info, err := f.Stat()
	if err == nil {
		mode := info.Mode()
		device = mode&fs.ModeDevice != 0 && mode&fs.ModeCharDevice == 0
		if mode.IsRegular() || device {
			return f, device, nil
		}
		err = fmt.Errorf("%s is neither a file nor a block device: %w", path, nephos.ErrInvalid)
	}
	_ = f.Close()
	return nil, false, err
}

// openDisk opens what a disk needs; the caller closes the files. Base is nil
// when there is none.
func openDisk(dir string, d driver.Disk) (top, base *os.File, device bool, err error) {
	path := d.Source.Path
	switch {
	case ownFile(d):
		path = diskPath(dir, d.ID)
	case d.Source.Type == "local":
		path = d.Base.Path
	}
	top, device, err = openRegular(path, !readOnly(d))
	if err != nil {
		return nil, nil, false, fmt.Errorf("open disk %s: %w", d.ID, err)
	}
	if ownFile(d) && d.Base != nil {
		if base, _, err = openRegular(d.Base.Path, false); err != nil {
			_ = top.Close()
			return nil, nil, false, fmt.Errorf("open the base of disk %s: %w", d.ID, err)
		}
	}
	return top, base, device, nil
}

func readOnly(d driver.Disk) bool { return d.ReadOnly || d.CDROM }

// formatOf is the format of the file that openDisk opens.
func formatOf(d driver.Disk) string {
	switch {
	case ownFile(d):
		return "qcow2"
	case d.Source.Type == "local":
		return d.Base.Format
	}
	return d.Format
}

// nodeOf describes an opened disk; name gives QEMU's path of each file.
func nodeOf(d driver.Disk, top source, base *source) map[string]any {
	baseFormat := ""
	if d.Base != nil {
		baseFormat = d.Base.Format
	}
	return blockNode(diskNode(d.ID), formatOf(d), readOnly(d), top, base, baseFormat)
}

// disk adds a disk's data to a command line.
func (c *command) disk(owner *Driver, dir string, d driver.Disk) error {
	d, err := withSecrets(dir, d)
	if err != nil {
		return err
	}
	if r, err := remoteOf(d); err != nil {
		return err
	} else if r != nil {
		return c.remote(owner, dir, d, r)
	}
	top, under, device, err := openDisk(dir, d)
	if err != nil {
		return err
	}
	var base *source
	if under != nil {
		base = &source{path: c.fdset(under)}
	}
	c.json("-blockdev", nodeOf(d, source{c.fdset(top), device}, base))
	return nil
}
