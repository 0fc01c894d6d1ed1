//go:build libvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	virt "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/internal/linuxhost"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
)

// give tells what of the host one guest may have for itself. root is the file
// system of the host.
func (d *Driver) give(h *hypervisor.Host, root fs.FS) (err error) {
	own := d.can(hypervisor.CanPassDevices) // the host is one of ours
	if !d.can(hypervisor.CanPlace) || own && !linuxhost.MountsHugePages(root) {
		for i := range h.NUMA {
			h.NUMA[i].Pages = nil
		}
	}
	if !own {
		return nil
	}
	if err := linuxhost.Dedicate(h.NUMA, d.cfg.Dedicated); err != nil {
		return err
	}
	h.PCI, err = linuxhost.ReadDevices(root, d.cfg.Devices)
	return err
}

// checkGifts refuses a configuration that gives guests what the host does not have.
func (d *Driver) checkGifts(ctx context.Context) error {
	if len(d.cfg.Dedicated)+len(d.cfg.Devices) == 0 {
		return nil
	}
	if !d.can(hypervisor.CanPassDevices) {
		return fmt.Errorf("Config.Dedicated and Config.Devices are for connections to QEMU: %w", errors.ErrUnsupported)
	}
	h, err := d.Info(ctx)
	if err == nil {
		err = h.Validate()
	}
	return err
}

// checkPlace refuses a place that the host does not have, or cannot give.
func (d *Driver) checkPlace(ctx context.Context, spec hypervisor.Spec) error {
	if len(spec.NUMA) == 0 && len(spec.PCI) == 0 {
		return nil
	}
	if len(spec.NUMA) > 0 && !d.can(hypervisor.CanPlace) || len(spec.PCI) > 0 && !d.can(hypervisor.CanPassDevices) {
		return fmt.Errorf("libvirt's driver for these guests gives them no part of the host: %w", errors.ErrUnsupported)
	}
	h, err := d.Info(ctx)
	if err != nil {
		return err
	}
	return h.Holds(spec)
}

// Placement implements hypervisor.Placer: of processors by what the kernel says,
// of memory by the running domain's definition, which QEMU had the kernel bind.
func (d *Driver) Placement(ctx context.Context, id string) (hypervisor.Placement, error) {
	return look(ctx, d, "find the place of", id, func(w *work) (hypervisor.Placement, error) {
		var p hypervisor.Placement
		def, err := w.runningDef()
		if err != nil {
			return p, err
		}
		vcpus, err := w.dom.GetVcpus()
		if err != nil {
			return p, err
		}
		for _, v := range vcpus {
			pin := hypervisor.Pin{VCPU: int(v.Number)}
			for cpu, on := range v.CpuMap {
				if on {
					pin.CPUs = append(pin.CPUs, cpu)
				}
			}
			p.Pins = append(p.Pins, pin)
		}
		p.Cells = domain.HostCells(def)
		return p, nil
	})
}

// Devices implements hypervisor.DevicePasser.
func (d *Driver) Devices(ctx context.Context, id string) ([]string, error) {
	return look(ctx, d, "list the devices of", id, func(w *work) ([]string, error) {
		def, err := w.runningDef()
		if err != nil || def.Devices == nil {
			return nil, err
		}
		var list []string
		for _, x := range def.Devices.Hostdevs {
			if address := domain.PCIAddress(x); address != "" {
				list = append(list, address)
			}
		}
		slices.Sort(list)
		return list, nil
	})
}

// runningDef is the definition that a running domain has.
func (w *work) runningDef() (*libvirtxml.Domain, error) {
	_, state, err := w.now()
	if err != nil {
		return nil, err
	}
	if state != hypervisor.Running && state != hypervisor.Paused {
		return nil, fmt.Errorf("it is %s: %w", state, nephos.ErrConflict)
	}
	text, err := w.dom.GetXMLDesc(virt.DomainXMLFlags(0))
	if err != nil {
		return nil, err
	}
	def := new(libvirtxml.Domain)
	if err := def.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("read the domain's definition: %w", err)
	}
	return def, nil
}
