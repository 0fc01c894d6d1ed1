//go:build libvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
)

// Rescue implements hypervisor.Rescuer.
func (d *Driver) Rescue(ctx context.Context, id string, disk driver.Disk) error {
	return d.change(ctx, "rescue", id, func(w *work) error {
		if err := hypervisor.ValidateRescue(disk); err != nil {
			return err
		}
		if err := domain.CheckDisk(disk); err != nil {
			return err
		}
		switch {
		case hasDisk(w.rec.Spec.Disks, disk.ID):
			return fmt.Errorf("disk %s is the guest's own: %w", disk.ID, nephos.ErrInvalid)
		case w.rec.Rescue != nil && w.rec.Rescue.ID != disk.ID:
			return fmt.Errorf("it is being rescued with disk %s: %w", w.rec.Rescue.ID, nephos.ErrConflict)
		case w.rec.Rescue != nil:
			return w.start()
		case w.rec.Left != nil || w.rec.Incoming:
			return fmt.Errorf("it is moving between hosts: %w", nephos.ErrConflict)
		}
		if err := w.cut(); err != nil {
			return err
		}
		if err := w.dropMemory(); err != nil {
			return err
		}
		if domain.OwnFile(disk) {
			path := w.p.DiskPath(w.dir, disk.ID)
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			if err := w.makeDisk(path, disk); err != nil {
				return fmt.Errorf("make disk %s: %w", disk.ID, err)
			}
		}
		disk.BootIndex = 0
		if err := w.redo(func(rec *domain.Record) { rec.Rescue = &disk }); err != nil {
			return err
		}
		return w.start()
	})
}

// Unrescue implements hypervisor.Rescuer.
func (d *Driver) Unrescue(ctx context.Context, id string) error {
	return d.change(ctx, "unrescue", id, func(w *work) error {
		if w.rec.Rescue == nil {
			return nil
		}
		disk := *w.rec.Rescue
		if err := w.cut(); err != nil {
			return err
		}
		if err := w.dropMemory(); err != nil {
			return err
		}
		if err := w.redo(func(rec *domain.Record) { rec.Rescue = nil }); err != nil {
			return err
		}
		if err := os.Remove(w.p.DiskPath(w.dir, disk.ID)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	})
}

// redo changes the record of a guest that is off, with its disks.
func (w *work) redo(change func(*domain.Record)) error {
	rec := w.rec.Clone()
	change(&rec)
	targets, err := domain.AssignTargets(w.p, rec.Targets, rec.Active().Disks, nil)
	if err != nil {
		return err
	}
	rec.Targets = targets
	return w.define(rec)
}
