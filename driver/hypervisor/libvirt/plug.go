//go:build libvirt

package libvirt

import (
	"errors"
	"fmt"
	"strings"
	"time"

	virt "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
)

// askAgain is how long to wait for a guest before asking it again: one that
// still boots overhears the first time.
const askAgain = 5 * time.Second

var errRefused = errors.New("the guest refuses")

// HotPlug implements hypervisor.HotPlugger.
func (d *Driver) HotPlug() (disks, nics bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	can := d.platform.Driver == "QEMU"
	return can, can
}

// devices are the disks and cards that a running domain has, by our IDs.
type devices struct {
	disks   map[string]libvirtxml.DomainDisk
	nics    map[string]libvirtxml.DomainInterface
	foreign []string // targets of disks that are not ours
}

// devices asks the domain, which knows better than any record: a driver that
// died may have plugged what it did not write down.
func (w *work) devices() (*devices, error) {
	live, err := w.live()
	if err != nil {
		return nil, err
	}
	have := &devices{disks: make(map[string]libvirtxml.DomainDisk), nics: make(map[string]libvirtxml.DomainInterface)}
	byTarget := make(map[string]string)
	for id, target := range w.rec.Targets {
		byTarget[target] = id
	}
	for _, x := range live.Devices.Disks {
		id := ""
		if x.Alias != nil {
			if kind, of, ok := domain.IDOfAlias(x.Alias.Name); ok && kind == "disk" {
				id = of
			}
		}
		if id == "" && x.Target != nil {
			id = byTarget[x.Target.Dev]
		}
		if id != "" {
			have.disks[id] = x
		} else if x.Target != nil {
			have.foreign = append(have.foreign, x.Target.Dev)
		}
	}
	for _, x := range live.Devices.Filesystems { // a container's
		for _, disk := range w.rec.Active().Disks {
			if x.Source != nil && x.Source.File != nil && x.Source.File.File == domain.MountLink(w.dir, w.id, disk.ID) {
				have.disks[disk.ID] = libvirtxml.DomainDisk{Target: &libvirtxml.DomainDiskTarget{Dev: w.rec.Targets[disk.ID]}}
			}
		}
	}
	byMAC := make(map[string]string)
	for _, nic := range w.rec.Active().NICs {
		byMAC[nic.MAC] = nic.ID
	}
	for _, x := range live.Devices.Interfaces {
		id := ""
		if x.Alias != nil {
			if kind, of, ok := domain.IDOfAlias(x.Alias.Name); ok && kind == "nic" {
				id = of
			}
		}
		if id == "" && x.MAC != nil {
			id = byMAC[x.MAC.Address]
		}
		if id != "" {
			have.nics[id] = x
		}
	}
	return have, nil
}

// converge plugs and unplugs until the running domain has the disks and cards of
// the spec, and notes the addresses of new ones in w.def.
func (w *work) converge(spec hypervisor.Spec, rec domain.Record, have *devices) error {
	before := make(map[string]driver.NIC)
	for _, nic := range w.rec.Active().NICs {
		before[nic.ID] = nic
	}
	keepNIC := make(map[string]bool)
	for _, nic := range spec.NICs {
		was, known := before[nic.ID]
		keepNIC[nic.ID] = !known || domain.SameNIC(was, nic)
	}
	plugged := false
	for id, x := range have.disks {
		if hasDisk(spec.Disks, id) {
			continue
		}
		if !w.pluggable(x.Target.Bus) {
			return fmt.Errorf("disk %s on bus %s cannot be unplugged while the guest is on: %w", id, x.Target.Bus, errors.ErrUnsupported)
		}
		if err := w.unplug(x.Alias, "disk "+id); err != nil {
			return err
		}
		delete(have.disks, id)
	}
	for id, x := range have.nics {
		if keepNIC[id] {
			continue
		}
		if err := w.unplug(x.Alias, "card "+id); err != nil {
			return err
		}
		delete(have.nics, id)
	}
	for _, disk := range spec.Disks {
		if _, ok := have.disks[disk.ID]; ok {
			continue
		}
		x, err := domain.Disk(w.p, w.id, w.dir, disk, rec.Targets[disk.ID])
		if err == nil && !w.pluggable(x.Target.Bus) {
			err = fmt.Errorf("bus %s takes no disk while the guest is on: %w", x.Target.Bus, errors.ErrUnsupported)
		}
		if err == nil {
			err = w.plug(&x)
		}
		if err != nil {
			return fmt.Errorf("plug disk %s: %w", disk.ID, meant(err))
		}
		plugged = true
	}
	for _, nic := range spec.NICs {
		if _, ok := have.nics[nic.ID]; ok {
			continue
		}
		x := domain.NIC(w.p, nic)
		if err := w.plug(&x); err != nil {
			return fmt.Errorf("plug card %s: %w", nic.ID, meant(err))
		}
		plugged = true
	}
	if plugged {
		if err := w.noteAddresses(); err != nil {
			return err
		}
	}
	if err := w.rethrottle(have, spec.Disks); err != nil {
		return err
	}
	return w.growTo(spec.Disks, rec.Targets)
}

func (w *work) pluggable(bus string) bool {
	return w.p.Driver == "QEMU" && (bus == "virtio" || bus == "scsi")
}

func (w *work) plug(x libvirtxml.Document) error {
	if w.p.Driver != "QEMU" {
		return fmt.Errorf("libvirt's %s driver plugs nothing into running guests: %w", w.p.Driver, errors.ErrUnsupported)
	}
	text, err := x.Marshal()
	if err != nil {
		return err
	}
	err = w.dom.AttachDeviceFlags(text, virt.DOMAIN_DEVICE_MODIFY_LIVE)
	if is(err, virt.ERR_INTERNAL_ERROR) && strings.Contains(err.Error(), "No more available PCI") {
		return fmt.Errorf("%w: the machine has no room for another device: %v", nephos.ErrNoCapacity, err) // it has no other meaning
	}
	return err
}

// noteAddresses puts the devices of the running domain where the next definition
// takes addresses from, so that the guest finds new ones at the same place after
// a power cycle.
func (w *work) noteAddresses() error {
	live, err := w.live()
	if err != nil || w.def == nil || w.def.Devices == nil {
		return err
	}
	known := func(c libvirtxml.DomainController) bool {
		for _, one := range w.def.Devices.Controllers {
			if one.Type == c.Type && (one.Index == nil && c.Index == nil || one.Index != nil && c.Index != nil && *one.Index == *c.Index) {
				return true
			}
		}
		return false
	}
	for _, c := range live.Devices.Controllers {
		if !known(c) {
			c.Alias = nil
			w.def.Devices.Controllers = append(w.def.Devices.Controllers, c)
		}
	}
	w.def.Devices.Disks = append(w.def.Devices.Disks, live.Devices.Disks...)
	w.def.Devices.Interfaces = append(w.def.Devices.Interfaces, live.Devices.Interfaces...)
	return nil
}

// unplug asks the guest to let go of a device and waits until it has.
func (w *work) unplug(alias *libvirtxml.DomainAlias, what string) error {
	if w.p.Driver != "QEMU" || alias == nil {
		return fmt.Errorf("unplug %s: libvirt's %s driver unplugs nothing from running guests: %w", what, w.p.Driver, errors.ErrUnsupported)
	}
	d, g := w.d, w.g
	gone := make(chan error, 1)
	d.mu.Lock()
	g.removed[alias.Name] = gone
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(g.removed, alias.Name)
	}()
	over := d.clock.After(d.cfg.Unplug)
	for {
		err := w.dom.DetachDeviceAlias(alias.Name, virt.DOMAIN_DEVICE_MODIFY_LIVE)
		switch {
		case is(err, virt.ERR_DEVICE_MISSING):
			return nil // it went between two looks
		case is(err, virt.ERR_OPERATION_FAILED, virt.ERR_INTERNAL_ERROR): // such as: it is being unplugged already
		case err != nil:
			return fmt.Errorf("unplug %s: %w", what, meant(err))
		}
		d.mu.Lock()
		stopped := g.state != hypervisor.Running && g.state != hypervisor.Paused
		changed := g.changed
		d.mu.Unlock()
		if stopped {
			return fmt.Errorf("unplug %s: the guest stopped: %w", what, nephos.ErrUnavailable)
		}
		select {
		case err := <-gone:
			if err == nil {
				return nil
			}
			return fmt.Errorf("unplug %s: %w: %w", what, err, nephos.ErrUnavailable)
		case <-changed:
		case <-d.clock.After(askAgain):
		case <-over:
			return fmt.Errorf("unplug %s: the guest does not let go: %w", what, nephos.ErrUnavailable)
		case <-w.l.lost:
			return fmt.Errorf("unplug %s: the connection to libvirt was lost: %w", what, nephos.ErrUnavailable)
		case <-w.ctx.Done():
			return fmt.Errorf("unplug %s: %w", what, w.ctx.Err())
		}
	}
}

// grow makes the disks of a running domain as large as the spec wants them; they
// never shrink.
func (w *work) grow(disks []driver.Disk) error { return w.growTo(disks, w.rec.Targets) }

func (w *work) growTo(disks []driver.Disk, targets map[string]string) error {
	if w.p.Driver != "QEMU" {
		return nil
	}
	for _, disk := range disks {
		if disk.ReadOnly || disk.CDROM || disk.SizeBytes == 0 {
			continue
		}
		target, want := targets[disk.ID], uint64(disk.SizeBytes+511)&^511
		if target == "" {
			continue
		}
		info, err := w.dom.GetBlockInfo(target, 0)
		if err != nil {
			return fmt.Errorf("grow disk %s: %w", disk.ID, meant(err))
		}
		if info.Capacity >= want {
			continue
		}
		if err := w.dom.BlockResize(target, want, virt.DOMAIN_BLOCK_RESIZE_BYTES); err != nil {
			return fmt.Errorf("grow disk %s: %w", disk.ID, meant(err))
		}
	}
	return nil
}

// target is the name of a disk's target in the domain as it is now.
func (w *work) target(disk string) string { return w.rec.Targets[disk] }
