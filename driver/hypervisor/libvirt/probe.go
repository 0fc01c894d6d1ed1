//go:build libvirt

package libvirt

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	virt "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
)

// probeTime is how long the probe's guest may take.
const probeTime = 5 * time.Second

// probeSector is the probe's guest: mov dx,0x604; mov ax,0x2000; out dx,ax; hlt.
// That is the power button of a PC's chip set.
func probeSector() []byte {
	b := make([]byte, 512)
	copy(b, []byte{0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4, 0xeb, 0xfd})
	b[510], b[511] = 0x55, 0xaa
	return b
}

// probe has libvirt boot something, and remembers the answer until the host
// boots again: there are hosts whose /dev/kvm is there and hangs.
func (d *Driver) probe(ctx context.Context, conn *virt.Connect, p domain.Platform) error {
	if p.Arch != "x86_64" && p.Arch != "i686" {
		return nil // no boot sectors there
	}
	type answer struct{ BootID, Type, Error string }
	path := filepath.Join(d.cfg.Dir, "probe.json")
	var old answer
	if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &old) == nil && old.BootID == bootID() && old.Type == p.Type {
		if old.Error != "" {
			return fmt.Errorf("probe %s: %s: %w", p.Type, old.Error, nephos.ErrUnavailable)
		}
		return nil
	}
	err := d.bootProbe(ctx, conn, p)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now := answer{BootID: bootID(), Type: p.Type}
	if err != nil {
		now.Error = err.Error()
	}
	data, _ := json.Marshal(now) // plain data always marshals
	if writeErr := os.WriteFile(path, data, 0o600); writeErr != nil {
		return writeErr
	}
	return err
}

func (d *Driver) bootProbe(ctx context.Context, conn *virt.Connect, p domain.Platform) error {
	f, err := os.CreateTemp(d.cfg.Dir, ".probe-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(probeSector(), make([]byte, 1<<20-512)...))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	id := nephos.IDs{}.New()
	def := libvirtxml.Domain{
		Type: p.Type, Name: "nephos-probe-" + id, UUID: id, Memory: &libvirtxml.DomainMemory{Value: 32, Unit: "MiB"},
		VCPU:       &libvirtxml.DomainVCPU{Value: 1},
		OS:         &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Arch: p.Arch, Machine: p.Machine, Type: p.OS}},
		OnPoweroff: "destroy",
		Features:   &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}},
		Devices: &libvirtxml.DomainDeviceList{
			Emulator:    p.Emulator,
			Controllers: []libvirtxml.DomainController{{Type: "usb", Index: new(uint), Model: "none"}},
			Disks: []libvirtxml.DomainDisk{{
				Device: "disk", Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: "raw"},
				Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: f.Name()}},
				Target: &libvirtxml.DomainDiskTarget{Dev: "vda", Bus: "virtio"},
			}},
			MemBalloon: &libvirtxml.DomainMemBalloon{Model: "none"},
		},
	}
	text, err := def.Marshal()
	if err != nil {
		return err
	}
	ended := make(chan struct{}, 1)
	callback, err := conn.DomainEventLifecycleRegister(nil, func(_ *virt.Connect, dom *virt.Domain, e *virt.DomainEventLifecycle) {
		if its, err := dom.GetUUIDString(); err == nil && its == id && e.Event == virt.DOMAIN_EVENT_STOPPED {
			select {
			case ended <- struct{}{}:
			default:
			}
		}
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.DomainEventDeregister(callback) }()
	dom, err := conn.DomainCreateXML(text, 0)
	if err != nil {
		return fmt.Errorf("probe %s: %w", p.Type, meant(err))
	}
	defer dom.Free()
	select {
	case <-ended:
		return nil
	case <-d.clock.After(probeTime):
		err = fmt.Errorf("probe %s: nothing boots: %w", p.Type, nephos.ErrUnavailable)
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = dom.Destroy()
	return err
}
