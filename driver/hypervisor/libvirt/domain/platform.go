package domain

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos"
)

// Platform is the kind of guest that a connection runs.
type Platform struct {
	Driver   string // as libvirt names its driver: QEMU, LXC, Xen, TEST
	Type     string // of domains: kvm, qemu, lxc, xen, test
	OS       string // hvm, xen, exe
	Arch     string
	Machine  string // the machine type of new guests; empty lets libvirt choose
	Emulator string
	CPU      string // mode host-model, maximum, or the name of a model; empty lets libvirt choose
	VNC      bool
	SPICE    bool
	Agent    bool   // a channel for the guest agent can be had
	Video    string // the model of the graphics card; empty: none
	UEFI     bool
	Traits   []string // of what guests may be made of, by the Placement API's names
}

// Wanted narrows the choice of [Choose]. Empty fields let it choose.
type Wanted struct {
	Type, OS, Arch, Machine string
}

// Choose picks what guests will be from the capabilities of a connection:
// the host's own architecture before others, full virtualization before others,
// KVM before emulation.
func Choose(driverName string, capabilities string, want Wanted) (Platform, error) {
	var caps libvirtxml.Caps
	if err := caps.Unmarshal(capabilities); err != nil {
		return Platform{}, fmt.Errorf("read libvirt's capabilities: %w", err)
	}
	host := map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i686"}[runtime.GOARCH]
	if caps.Host.CPU != nil && caps.Host.CPU.Arch != "" {
		host = caps.Host.CPU.Arch
	}
	var all []Platform
	for _, g := range caps.Guests {
		for _, d := range g.Arch.Domains {
			p := Platform{
				Driver: driverName, Type: d.Type, OS: g.OSType, Arch: g.Arch.Name,
				Emulator: cmp.Or(d.Emulator, g.Arch.Emulator), Machine: want.Machine,
			}
			if p.Machine == "" {
				p.Machine = chooseMachine(append(d.Machines, g.Arch.Machines...))
			}
			fits := (want.Type == "" || want.Type == p.Type) && (want.OS == "" || want.OS == p.OS) && (want.Arch == "" || want.Arch == p.Arch)
			if fits {
				all = append(all, p)
			}
		}
	}
	if len(all) == 0 {
		return Platform{}, fmt.Errorf("choose a kind of guest: libvirt's %s driver offers none of type %q, os %q, arch %q: %w",
			driverName, want.Type, want.OS, want.Arch, nephos.ErrInvalid)
	}
	rank := func(p Platform) int {
		r := 0
		if p.Arch != host {
			r += 100
		}
		r += 10 * max(0, slices.Index([]string{"hvm", "xen", "exe"}, p.OS))
		r += max(0, slices.Index([]string{"kvm", "xen", "qemu", "lxc", "test"}, p.Type))
		return r
	}
	slices.SortStableFunc(all, func(a, b Platform) int { return cmp.Compare(rank(a), rank(b)) })
	return all[0], nil
}

// chooseMachine prefers the classic PC, whose bus takes hot-plugged devices
// without ports made for them, then the architecture's usual one.
func chooseMachine(machines []libvirtxml.CapsGuestMachine) string {
	for _, name := range []string{"pc", "virt", "pseries", "s390-ccw-virtio"} {
		for _, m := range machines {
			if m.Name == name {
				return name
			}
		}
	}
	if len(machines) > 0 {
		return machines[0].Name
	}
	return ""
}

// Refine adds what the capabilities of such domains say. Connections that have
// none leave the platform as it is: without consoles, with libvirt's own choice
// of a processor.
func (p *Platform) Refine(capabilities string) error {
	var caps libvirtxml.DomainCaps
	if err := caps.Unmarshal(capabilities); err != nil {
		return fmt.Errorf("read libvirt's domain capabilities: %w", err)
	}
	if dev := caps.Devices; dev != nil {
		p.VNC = offers(dev.Graphics, "type", "vnc")
		p.SPICE = offers(dev.Graphics, "type", "spice")
		p.Agent = p.Driver == "QEMU" && (dev.Channel == nil || offers(dev.Channel, "type", "unix"))
		for _, model := range []string{"virtio", "vga", "cirrus"} {
			if offers(dev.Video, "modelType", model) && (p.Video == "" || model == "vga" && isX86(p.Arch)) {
				p.Video = model
			}
		}
	}
	if caps.OS != nil {
		for _, e := range caps.OS.Enums {
			p.UEFI = p.UEFI || e.Name == "firmware" && slices.Contains(e.Values, "efi")
		}
	}
	p.CPU = chooseCPU(p, caps.CPU)
	p.Traits = traits(p, &caps)
	return nil
}

func isX86(arch string) bool { return arch == "x86_64" || arch == "i686" }

func chooseCPU(p *Platform, cpu *libvirtxml.DomainCapsCPU) string {
	if cpu == nil {
		return ""
	}
	mode := func(name string) *libvirtxml.DomainCapsCPUMode {
		for i, m := range cpu.Modes {
			if m.Name == name && m.Supported == "yes" {
				return &cpu.Modes[i]
			}
		}
		return nil
	}
	if p.Type != "qemu" && mode("host-model") != nil {
		return "host-model"
	}
	// An emulated processor is the same on every host: guests can move.
	if custom := mode("custom"); custom != nil && p.Type == "qemu" {
		for _, m := range custom.Models {
			if m.Name == "qemu64" && m.Usable != "no" {
				return "qemu64"
			}
		}
	}
	if mode("maximum") != nil {
		return "maximum"
	}
	return ""
}

func offers(d *libvirtxml.DomainCapsDevice, enum, value string) bool {
	if d == nil || d.Supported != "yes" {
		return false
	}
	for _, e := range d.Enums {
		if e.Name == enum {
			return slices.Contains(e.Values, value)
		}
	}
	return false
}

// Container reports whether guests share the host's kernel.
func (p Platform) Container() bool { return p.OS == "exe" }

// paravirtual reports whether guests know that they are Xen's.
func (p Platform) paravirtual() bool { return p.Type == "xen" && p.OS != "hvm" }

// real reports whether guests are machines of QEMU, rather than imagined ones.
func (p Platform) qemu() bool { return p.Type == "qemu" || p.Type == "kvm" }

// express reports whether the machine's devices are on PCI Express.
func (p Platform) express() bool {
	return strings.Contains(p.Machine, "q35") || p.Machine == "virt" || strings.HasPrefix(p.Machine, "virt-")
}

// buses maps the buses of the contract to the platform's.
func (p Platform) bus(name string, cdrom bool) (string, error) {
	switch {
	case p.Type == "xen" && (name == "" || name == "virtio") && !(cdrom && p.OS == "hvm"):
		return "xen", nil
	case name == "" && cdrom && strings.Contains(p.Machine, "q35"):
		return "sata", nil
	case name == "" && cdrom && isX86(p.Arch):
		return "ide", nil
	case name == "" && cdrom:
		return "scsi", nil
	case name == "":
		return "virtio", nil
	case name == "ide" && (!isX86(p.Arch) || strings.Contains(p.Machine, "q35")):
		return "sata", nil
	}
	return name, nil
}
