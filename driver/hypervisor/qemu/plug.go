package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/internal/qmp"
)

// HotPlug implements hypervisor.HotPlugger.
func (d *Driver) HotPlug() (disks, nics bool) { return true, true }

// converge plugs and unplugs until the process has the disks and cards of the
// spec. What it has, it is asked.
func (v *vm) converge(ctx context.Context, dir string, old hypervisor.Spec, rec record) error {
	want := rec.Spec
	has, err := v.devices(ctx)
	if err != nil {
		return err
	}
	for _, disk := range old.Disks {
		if has[diskDevice(disk.ID)] && !hasDisk(want.Disks, disk.ID) && !hotPluggable(disk) {
			return fmt.Errorf("disk %s on bus %s cannot be unplugged while the guest is on: %w", disk.ID, busOf(disk), errors.ErrUnsupported)
		}
	}
	keep := make(map[string]bool)
	for _, disk := range want.Disks {
		keep[diskDevice(disk.ID)] = true
	}
	before := make(map[string]driver.NIC)
	for _, nic := range old.NICs {
		before[nic.ID] = nic
	}
	for _, nic := range want.NICs {
		was, known := before[nic.ID]
		keep[nicDevice(nic.ID)] = !known || was == nic
	}
	for device := range has {
		if keep[device] {
			continue
		}
		if err := v.unplug(ctx, device); err != nil {
			return err
		}
		delete(has, device)
	}
	for _, disk := range want.Disks {
		if !has[diskDevice(disk.ID)] {
			if err := v.plugDisk(ctx, dir, disk, rec.Slots[diskDevice(disk.ID)]); err != nil {
				return fmt.Errorf("plug disk %s: %w", disk.ID, err)
			}
		}
	}
	for _, nic := range want.NICs {
		if !has[nicDevice(nic.ID)] {
			if err := v.plugNIC(ctx, nic, rec.Slots[nicDevice(nic.ID)]); err != nil {
				return fmt.Errorf("plug card %s: %w", nic.ID, err)
			}
		}
	}
	return v.grow(ctx, want.Disks)
}

func hotPluggable(d driver.Disk) bool { return busOf(d) == "virtio" || busOf(d) == "scsi" }

// devices returns the disks and cards that the process has.
func (v *vm) devices(ctx context.Context) (map[string]bool, error) {
	var list []struct{ Name string }
	if err := v.execute(ctx, "qom-list", map[string]any{"path": "/machine/peripheral"}, &list); err != nil {
		return nil, err
	}
	has := make(map[string]bool)
	for _, one := range list {
		if strings.HasPrefix(one.Name, diskDevice("")) || strings.HasPrefix(one.Name, nicDevice("")) {
			has[one.Name] = true
		}
	}
	return has, nil
}

// fdset hands a file to the process and returns its path there.
func (v *vm) fdset(ctx context.Context, f *os.File) (path string, remove func(), err error) {
	c, err := v.client()
	if err != nil {
		return "", nil, err
	}
	var set struct {
		ID int `json:"fdset-id"`
	}
	if err := c.ExecuteFile(ctx, "add-fd", nil, &set, f); err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/dev/fdset/%d", set.ID), func() {
		// The nodes that use it have duplicates; QEMU drops the set with them.
		_ = v.execute(context.WithoutCancel(ctx), "remove-fd", map[string]any{"fdset-id": set.ID}, nil)
	}, nil
}

// plugDisk adds a disk. What a call before it left half done is taken away
// first.
func (v *vm) plugDisk(ctx context.Context, dir string, d driver.Disk, slot int) error {
	if !hotPluggable(d) {
		return fmt.Errorf("bus %s takes no disk while the guest is on: %w", busOf(d), errors.ErrUnsupported)
	}
	_ = v.dropNode(ctx, diskNode(d.ID))
	if err := v.plugData(ctx, dir, d); err != nil {
		return err
	}
	at := place{pci: slot}
	if busOf(d) == "scsi" {
		at.unit = v.freeLUN(ctx)
	}
	if err := v.execute(ctx, "device_add", diskDeviceOf(d, at), nil); err != nil {
		err = errors.Join(err, v.dropNode(context.WithoutCancel(ctx), diskNode(d.ID)))
		v.dropObjects(ctx, d.ID)
		return err
	}
	return nil
}

// plugData adds a disk's data, which no device shows yet.
func (v *vm) plugData(ctx context.Context, dir string, d driver.Disk) error {
	d, err := withSecrets(dir, d)
	if err != nil {
		return err
	}
	if r, err := remoteOf(d); err != nil {
		return err
	} else if r != nil {
		return v.plugRemote(ctx, dir, d, r)
	}
	top, under, device, err := openDisk(dir, d)
	if err != nil {
		return err
	}
	defer top.Close()
	var base *source
	if under != nil {
		defer under.Close()
		path, remove, err := v.fdset(ctx, under)
		if err != nil {
			return err
		}
		defer remove()
		base = &source{path: path}
	}
	path, remove, err := v.fdset(ctx, top)
	if err != nil {
		return err
	}
	defer remove()
	return v.execute(ctx, "blockdev-add", nodeOf(d, source{path, device}, base), nil)
}

// freeLUN returns a number that no disk on the SCSI bus has.
func (v *vm) freeLUN(ctx context.Context) int {
	used := make(map[int]bool)
	has, _ := v.devices(ctx)
	for device := range has {
		var lun int
		if v.execute(ctx, "qom-get", map[string]any{"path": "/machine/peripheral/" + device, "property": "lun"}, &lun) == nil {
			used[lun] = true
		}
	}
	for lun := 0; ; lun++ {
		if !used[lun] {
			return lun
		}
	}
}

func (v *vm) dropNode(ctx context.Context, node string) error {
	return v.execute(ctx, "blockdev-del", map[string]any{"node-name": node}, nil)
}

// plugNIC adds a card on its tap.
func (v *vm) plugNIC(ctx context.Context, n driver.NIC, slot int) error {
	_ = v.execute(ctx, "netdev_del", map[string]any{"id": netdev(n.ID)}, nil)
	tap, err := openTap(n)
	if err != nil {
		return err
	}
	defer tap.Close()
	c, err := v.client()
	if err != nil {
		return err
	}
	name := "tap-" + digest(n.ID)
	if err := c.ExecuteFile(ctx, "getfd", map[string]any{"fdname": name}, nil, tap); err != nil {
		return err
	}
	if err := v.execute(ctx, "netdev_add", map[string]any{"type": "tap", "id": netdev(n.ID), "fd": name}, nil); err != nil {
		return err
	}
	if err := v.execute(ctx, "device_add", nicDeviceOf(n, slot), nil); err != nil {
		return errors.Join(err, v.execute(context.WithoutCancel(ctx), "netdev_del", map[string]any{"id": netdev(n.ID)}, nil))
	}
	return nil
}

// unplug asks the guest to let go of a device and waits until it has.
func (v *vm) unplug(ctx context.Context, device string) error {
	gone := make(chan struct{})
	v.d.mu.Lock()
	if there := v.deleted[device]; there != nil {
		gone = there
	} else {
		v.deleted[device] = gone
	}
	v.d.mu.Unlock()
	over := v.d.clock.After(v.d.cfg.Unplug)
	for waiting := true; waiting; {
		var refusal *qmp.Error
		err := v.execute(ctx, "device_del", map[string]any{"id": device}, nil)
		switch {
		case errors.As(err, &refusal) && refusal.Class == "DeviceNotFound":
			waiting = false // it went between two looks
			continue
		case errors.As(err, &refusal): // such as: it is being unplugged already
		case err != nil:
			return fmt.Errorf("unplug %s: %w", device, err)
		}
		select {
		case <-gone:
			waiting = false
		case <-v.d.clock.After(askAgain): // a guest that boots overhears
		case <-over:
			return fmt.Errorf("unplug %s: the guest does not let go: %w", device, nephos.ErrUnavailable)
		case <-v.gone:
			return fmt.Errorf("unplug %s: the guest stopped: %w", device, nephos.ErrUnavailable)
		case <-ctx.Done():
			return fmt.Errorf("unplug %s: %w", device, ctx.Err())
		}
	}
	if id, ok := strings.CutPrefix(device, diskDevice("")); ok {
		err := v.dropNode(ctx, diskNode(id))
		v.dropObjects(ctx, id)
		return err
	}
	id := strings.TrimPrefix(device, nicDevice(""))
	return v.execute(ctx, "netdev_del", map[string]any{"id": netdev(id)}, nil)
}

// grow makes disks as large as the spec wants them; they never shrink.
func (v *vm) grow(ctx context.Context, disks []driver.Disk) error {
	var nodes []struct {
		Name  string `json:"node-name"`
		Image struct {
			Size int64 `json:"virtual-size"`
		} `json:"image"`
	}
	if err := v.execute(ctx, "query-named-block-nodes", map[string]any{"flat": true}, &nodes); err != nil {
		return err
	}
	for _, d := range disks {
		for _, n := range nodes {
			want := (d.SizeBytes + 511) &^ 511
			if n.Name != diskNode(d.ID) || readOnly(d) || n.Image.Size >= want {
				continue
			}
			if err := v.execute(ctx, "block_resize", map[string]any{"node-name": n.Name, "size": want}, nil); err != nil {
				return fmt.Errorf("grow disk %s: %w", d.ID, err)
			}
		}
	}
	return nil
}
