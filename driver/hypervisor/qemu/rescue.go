package qemu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

var _ hypervisor.Rescuer = (*Driver)(nil)

// Rescue implements hypervisor.Rescuer.
func (d *Driver) Rescue(ctx context.Context, id string, disk driver.Disk) error {
	return d.change(ctx, "rescue", id, func(g *guest) error {
		if err := errors.Join(hypervisor.ValidateRescue(disk), checkDisk(disk)); err != nil {
			return err
		}
		d.mu.Lock()
		rec := g.rec
		d.mu.Unlock()
		switch {
		case hasDisk(rec.Spec.Disks, disk.ID):
			return fmt.Errorf("disk %s is its own: %w", disk.ID, nephos.ErrInvalid)
		case rec.Rescue != nil && rec.Rescue.ID != disk.ID:
			return fmt.Errorf("it is rescued with disk %s: %w", rec.Rescue.ID, nephos.ErrConflict)
		case rec.Rescue != nil:
			return d.start(ctx, g)
		}
		disk.BootIndex = -1 << 30 // before all others
		rec.Rescue = &disk
		with := rec.running().Spec
		if err := d.checkSpec(with); err != nil {
			return err
		}
		if err := d.off(ctx, g, 0); err != nil {
			return err
		}
		if err := removeDisk(g.dir, disk); err != nil { // what an earlier rescue left
			return err
		}
		if ownFile(disk) {
			if err := d.makeDisk(ctx, g.dir, disk); err != nil {
				return err
			}
		}
		rec.Slots = assignSlots(rec.Slots, with)
		if err := d.save(g, rec); err != nil {
			return err
		}
		return d.start(ctx, g)
	})
}

// Unrescue implements hypervisor.Rescuer.
func (d *Driver) Unrescue(ctx context.Context, id string) error {
	return d.change(ctx, "unrescue", id, func(g *guest) error {
		d.mu.Lock()
		rec := g.rec
		d.mu.Unlock()
		if rec.Rescue == nil {
			return nil
		}
		if err := d.off(ctx, g, 0); err != nil {
			return err
		}
		disk := *rec.Rescue
		rec.Rescue = nil
		rec.Slots = assignSlots(rec.Slots, rec.Spec)
		if err := d.save(g, rec); err != nil {
			return err
		}
		return removeDisk(g.dir, disk)
	})
}

func removeDisk(dir string, disk driver.Disk) error {
	if err := os.Remove(diskPath(dir, disk.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
