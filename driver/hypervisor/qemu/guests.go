package qemu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// trash begins the name of a directory that is being removed.
const trash = ".gone-"

// Ensure implements hypervisor.Driver. A local disk's file is made once, and
// made anew when the guest is off and its base has another digest; it only
// grows; and it stays until Destroy when it leaves the spec.
func (d *Driver) Ensure(ctx context.Context, id string, spec hypervisor.Spec) error {
	err := ctx.Err()
	if err == nil {
		err = hypervisor.CheckID(id)
	}
	if err == nil {
		err = d.checkSpec(spec)
	}
	if err == nil && !spec.SamePlace(d.specOf(id)) {
		err = d.checkPlace(spec)
	}
	if err == nil {
		d.mu.Lock()
		g := d.guests[id]
		closed := d.closed
		if g == nil && !closed {
			g = newGuest(id, d.guestDir(id))
			d.guests[id] = g
		}
		d.mu.Unlock()
		if closed {
			err = fmt.Errorf("the driver is closed: %w", nephos.ErrUnavailable)
		} else {
			err = d.alone(ctx, g, func(g *guest) error { return d.ensure(ctx, g, spec) })
		}
	}
	if err != nil {
		return fmt.Errorf("ensure guest %s: %w", id, err)
	}
	return nil
}

// ensure does the work. The caller has the guest's turn.
func (d *Driver) ensure(ctx context.Context, g *guest, spec hypervisor.Spec) (err error) {
	d.mu.Lock()
	old := g.rec
	d.mu.Unlock()
	v, status := d.now(g)
	switch {
	case v == nil:
	case status == "shutdown": // it has powered itself off and is going
		err = v.awaitGone(ctx)
		v = nil
	case status == "prelaunch": // a start was cut short; it has not run
		err = v.cut(ctx)
		v = nil
	}
	if err != nil {
		return err
	}
	if m := old.Move; m != nil && m.Incoming {
		if v == nil || status == "inmigrate" {
			return fmt.Errorf("it waits for its memory from another host: %w", nephos.ErrConflict)
		}
		old.Move = nil // it has arrived
	}
	fresh := old.ID == ""
	if !fresh && old.Spec.CloudID != spec.CloudID {
		return fmt.Errorf("it belongs to another cloud: %w", nephos.ErrConflict)
	}
	if v == nil && !fresh && g.suspended() && !sameDevices(old.Spec, spec) {
		return fmt.Errorf("its devices cannot change while it is suspended: %w", nephos.ErrConflict)
	}
	err = os.Mkdir(g.dir, 0o700)
	ours := err == nil
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	defer func() {
		if err != nil && fresh {
			d.discard(g, ours)
		}
	}()
	rec := record{
		ID: g.id, Spec: withoutSecrets(spec), Made: maps.Clone(old.Made),
		Sizes: maps.Clone(old.Sizes), Rescue: old.Rescue, Move: old.Move,
	}
	rec.Slots = assignSlots(old.Slots, rec.running().Spec)
	maps.DeleteFunc(rec.Sizes, func(id string, _ int64) bool { return !hasDisk(spec.Disks, id) })
	if rec.Made == nil {
		rec.Made = make(map[string]madeDisk)
	}
	for _, disk := range spec.Disks {
		if !ownFile(disk) {
			continue
		}
		if v == nil && imported(g.dir, disk.ID) {
			rec.Made[disk.ID] = madeDisk{Base: disk.Base, Whole: true}
			continue
		}
		made, known := rec.Made[disk.ID]
		if known && !sameBase(made.Base, disk.Base) {
			if v != nil {
				return fmt.Errorf("disk %s has another base, and the guest is on: %w", disk.ID, nephos.ErrConflict)
			}
			if err := removeDisk(g.dir, disk); err != nil {
				return err
			}
			made = madeDisk{}
			delete(rec.Sizes, disk.ID)
		}
		if err := d.makeDisk(ctx, g.dir, disk); err != nil {
			return err
		}
		rec.Made[disk.ID] = madeDisk{Base: disk.Base, Whole: made.Whole}
	}
	if err := writeSecrets(g.dir, spec.Disks); err != nil {
		return err
	}
	if v != nil {
		before, after := old.running(), rec.running()
		if err := v.converge(ctx, g.dir, before.Spec, after); err != nil {
			return err
		}
		if err := v.throttleAll(ctx, before, after); err != nil {
			return err
		}
	}
	if err := d.save(g, rec); err != nil {
		return err
	}
	return takeImports(g.dir, rec)
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

// discard forgets a guest whose first Ensure failed, and removes its directory
// if that call made it.
func (d *Driver) discard(g *guest, ours bool) {
	if ours {
		if err := os.RemoveAll(g.dir); err != nil {
			d.log.Warn("cannot remove a half-made guest", "guest", g.id, "error", err)
		}
	}
	d.forget(g)
}

func (d *Driver) forget(g *guest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g.gone = true
	if d.guests[g.id] == g {
		delete(d.guests, g.id)
	}
}

// Destroy implements hypervisor.Driver.
func (d *Driver) Destroy(ctx context.Context, id string) error {
	err := ctx.Err()
	if err == nil {
		err = hypervisor.CheckID(id)
	}
	if err == nil {
		d.mu.Lock()
		g := d.guests[id]
		if d.closed {
			err = fmt.Errorf("the driver is closed: %w", nephos.ErrUnavailable)
		} else if g == nil {
			g = newGuest(id, d.guestDir(id)) // perhaps a half-made one
			d.guests[id] = g
		}
		d.mu.Unlock()
		if err == nil {
			err = d.alone(ctx, g, func(g *guest) error { return d.destroy(ctx, g) })
		}
	}
	if err != nil && !errors.Is(err, nephos.ErrNotFound) {
		return fmt.Errorf("destroy guest %s: %w", id, err)
	}
	return nil
}

func (d *Driver) destroy(ctx context.Context, g *guest) error {
	d.mu.Lock()
	v := g.vm
	d.mu.Unlock()
	if v != nil {
		if err := v.cut(ctx); err != nil {
			return err
		}
	}
	parent := filepath.Join(d.cfg.Dir, "guests")
	doomed := filepath.Join(parent, trash+g.id)
	if err := os.RemoveAll(doomed); err != nil {
		return err
	}
	err := os.Rename(g.dir, doomed)
	if err == nil {
		err = syncDir(parent)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	d.forget(g)
	return os.RemoveAll(doomed)
}

// Get implements hypervisor.Driver.
func (d *Driver) Get(ctx context.Context, id string) (hypervisor.Guest, error) {
	err := ctx.Err()
	if err == nil {
		var g *guest
		if g, err = d.lookup(id); err == nil {
			d.mu.Lock()
			defer d.mu.Unlock()
			return g.view(), nil
		}
	}
	return hypervisor.Guest{}, fmt.Errorf("get guest %s: %w", id, err)
}

// List implements hypervisor.Driver.
func (d *Driver) List(ctx context.Context) ([]hypervisor.Guest, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := ctx.Err()
	if err == nil && d.closed {
		err = fmt.Errorf("the driver is closed: %w", nephos.ErrUnavailable)
	}
	if err != nil {
		return nil, fmt.Errorf("list guests: %w", err)
	}
	list := make([]hypervisor.Guest, 0, len(d.guests))
	for _, g := range d.guests {
		if g.rec.ID != "" && g.rec.Spec.CloudID == d.cfg.CloudID {
			list = append(list, g.view())
		}
	}
	slices.SortFunc(list, func(a, b hypervisor.Guest) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}
