package domain

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos"
)

// AgentChannel is the channel that the guest agent listens on.
const AgentChannel = "org.qemu.guest_agent.0"

// ConsoleLog is the file, in a guest's directory, of what it writes to its first
// serial port.
const ConsoleLog = "console.log"

// maxSocket is the longest path of a unix socket.
const maxSocket = 107

// SerialSocket is where a guest's QEMU serves its serial port to libvirtd, below
// the directory that holds those of the guests: paths of sockets must be short.
func SerialSocket(dir, id string) string {
	return filepath.Join(filepath.Dir(filepath.Dir(dir)), Sockets, UUID(id)[24:])
}

// MountLink is the link to a file that a container mounts: the kernel keeps no
// more than 63 bytes of the names of such files, and libvirt insists.
func MountLink(dir, id, disk string) string {
	return filepath.Join(filepath.Dir(filepath.Dir(dir)), Sockets, UUID("mount " + id + " " + disk)[24:])
}

// Sockets is the directory of the sockets and links, whose paths must be short.
const Sockets = "s"

// Build describes the guest's domain. dir holds its own files. Of old, the
// domain's present definition or nil, it keeps what the guest must find again.
func Build(p Platform, dir string, rec Record, run Run, old *libvirtxml.Domain) (*libvirtxml.Domain, error) {
	spec := rec.Active()
	keep := old != nil && old.OS != nil && old.OS.Type != nil && old.Type != "" && oldMachine(old) == spec.Machine && old.OS.Type.Arch == p.Arch
	d := &libvirtxml.Domain{
		Type: p.Type, Name: rec.ID, UUID: UUID(rec.ID), Title: title(spec.Name),
		Memory:        &libvirtxml.DomainMemory{Value: uint(spec.MemoryMiB), Unit: "MiB"},
		CurrentMemory: &libvirtxml.DomainCurrentMemory{Value: uint(spec.MemoryMiB), Unit: "MiB"},
		VCPU:          &libvirtxml.DomainVCPU{Placement: "static", Value: uint(spec.VCPUs)},
		OS:            &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Arch: p.Arch, Machine: p.Machine, Type: p.OS}},
		Clock:         &libvirtxml.DomainClock{Offset: "utc"},
		OnPoweroff:    "destroy", OnReboot: "restart", OnCrash: "destroy",
		Devices: &libvirtxml.DomainDeviceList{Emulator: p.Emulator},
	}
	if spec.Machine != "" {
		d.OS.Type.Machine = spec.Machine
	}
	p.Machine = d.OS.Type.Machine
	var before string
	if old != nil && old.Metadata != nil {
		before = old.Metadata.XML
	}
	meta, err := metadata(before, rec, run)
	if err != nil {
		return nil, err
	}
	d.Metadata = &libvirtxml.DomainMetadata{XML: meta}
	if err := firmware(p, d, spec.Firmware); err != nil {
		return nil, err
	}
	if p.qemu() {
		machineOfQEMU(p, d, rec.ID)
	}
	if p.Container() {
		d.OS.Init = "/sbin/init"
	}
	switch {
	case keep:
		devices := *old.Devices
		devices.Disks, devices.Interfaces, devices.Filesystems, devices.Hostdevs = nil, nil, nil, nil
		devices.Emulator = p.Emulator
		d.Devices, d.OS.Type.Machine, d.OS.NVRam = &devices, old.OS.Type.Machine, old.OS.NVRam
		p.Machine = d.OS.Type.Machine
	case p.Container():
		d.Devices.Consoles = []libvirtxml.DomainConsole{{Source: pty()}}
	default:
		fixedDevices(p, d.Devices, dir, rec.ID)
	}
	if err := place(p, d, spec, old); err != nil {
		return nil, err
	}
	return d, devices(p, d, dir, rec, old)
}

// oldMachine is the machine that the spec of an older definition asked for.
func oldMachine(old *libvirtxml.Domain) string {
	if old.Metadata == nil {
		return ""
	}
	rec, _, err := ReadMetadata(old.Metadata.XML)
	if err != nil || rec == nil {
		return ""
	}
	return rec.Active().Machine
}

// title is a guest's name as a title may be: one line.
func title(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufffe' || r == '\uffff' || r == '\ufffd' {
			return ' '
		}
		return r
	}, name)
}

func firmware(p Platform, d *libvirtxml.Domain, want string) error {
	if want != "uefi" {
		return nil
	}
	if !p.UEFI {
		return fmt.Errorf("firmware uefi: libvirt offers none for %s guests of machine %s; install the firmware (Debian: ovmf), or ask for bios: %w",
			p.Type, p.Machine, nephos.ErrInvalid)
	}
	d.OS.Firmware = "efi"
	return nil
}

// machineOfQEMU adds what a machine of QEMU has besides devices.
func machineOfQEMU(p Platform, d *libvirtxml.Domain, id string) {
	d.Features = &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}}
	if isX86(p.Arch) {
		d.Features.APIC = &libvirtxml.DomainFeatureAPIC{}
		d.SysInfo = []libvirtxml.DomainSysInfo{{SMBIOS: &libvirtxml.DomainSysInfoSMBIOS{
			System: &libvirtxml.DomainSysInfoSystem{Entry: []libvirtxml.DomainSysInfoEntry{
				{Name: "manufacturer", Value: "OpenStack Foundation"},
				{Name: "product", Value: "OpenStack Nova"},
				{Name: "serial", Value: id},
				{Name: "uuid", Value: UUID(id)},
				{Name: "family", Value: "Virtual Machine"},
			}},
		}}}
		d.OS.SMBios = &libvirtxml.DomainSMBios{Mode: "sysinfo"}
	}
	if p.Type == "qemu" {
		// Unbounded, the cache of translated code outgrows a small guest.
		d.Features.TCG = &libvirtxml.DomainFeatureTCG{TBCache: &libvirtxml.DomainFeatureTCGTBCache{Unit: "MiB", Size: 32}}
	}
	switch p.CPU {
	case "":
	case "host-model", "maximum", "host-passthrough":
		d.CPU = &libvirtxml.DomainCPU{Mode: p.CPU}
	default:
		d.CPU = &libvirtxml.DomainCPU{Mode: "custom", Match: "exact", Model: &libvirtxml.DomainCPUModel{Fallback: "forbid", Value: p.CPU}}
	}
}

func pty() *libvirtxml.DomainChardevSource {
	return &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}}
}

// fixedDevices are those that every guest has. No console listens anywhere: the
// driver asks libvirt for each stream.
func fixedDevices(p Platform, l *libvirtxml.DomainDeviceList, dir, id string) {
	if p.paravirtual() {
		l.Consoles = []libvirtxml.DomainConsole{{Source: pty(), Target: &libvirtxml.DomainConsoleTarget{Type: "xen"}}}
		return
	}
	serial := libvirtxml.DomainSerial{Source: pty(), Target: &libvirtxml.DomainSerialTarget{Port: new(uint)}}
	if path := SerialSocket(dir, id); p.qemu() && len(path) <= maxSocket {
		// QEMU looks at a terminal once a second only, and loses what somebody
		// typed who has gone by then.
		serial.Source = &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{Mode: "bind", Path: path}}
	}
	if p.Type != "xen" {
		serial.Log = &libvirtxml.DomainChardevLog{File: filepath.Join(dir, ConsoleLog), Append: "on"}
	}
	l.Serials = []libvirtxml.DomainSerial{serial}
	socket := []libvirtxml.DomainGraphicListener{{Socket: &libvirtxml.DomainGraphicListenerSocket{}}}
	if p.VNC {
		l.Graphics = append(l.Graphics, libvirtxml.DomainGraphic{VNC: &libvirtxml.DomainGraphicVNC{Listeners: socket}})
	}
	if p.SPICE {
		l.Graphics = append(l.Graphics, libvirtxml.DomainGraphic{Spice: &libvirtxml.DomainGraphicSpice{Listeners: socket}})
		l.Audios = []libvirtxml.DomainAudio{{ID: 1, None: &libvirtxml.DomainAudioNone{}}}
	}
	if p.Video != "" {
		l.Videos = []libvirtxml.DomainVideo{{Model: libvirtxml.DomainVideoModel{Type: p.Video}}}
	}
	if !p.qemu() {
		return
	}
	usb := libvirtxml.DomainController{Type: "usb", Index: new(uint), Model: "none"}
	l.Controllers = append(l.Controllers, usb)
	if p.express() {
		l.Controllers = append(l.Controllers, expressPorts()...)
	}
	if p.Agent {
		l.Channels = []libvirtxml.DomainChannel{{
			Source: &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{}},
			Target: &libvirtxml.DomainChannelTarget{VirtIO: &libvirtxml.DomainChannelTargetVirtIO{Name: AgentChannel}},
		}}
	}
	l.MemBalloon = &libvirtxml.DomainMemBalloon{Model: "virtio", Stats: &libvirtxml.DomainMemBalloonStats{Period: 10}}
	l.RNGs = []libvirtxml.DomainRNG{{
		Model:   "virtio",
		Backend: &libvirtxml.DomainRNGBackend{Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"}},
	}}
}

// expressSlots is how many devices a machine with PCI Express has room for; its
// own take about five.
const expressSlots = 28

// expressPorts make room for devices that are plugged while the guest is on:
// PCI Express has a port for each, and none appears meanwhile.
func expressPorts() []libvirtxml.DomainController {
	ports := []libvirtxml.DomainController{{Type: "pci", Index: new(uint), Model: "pcie-root"}}
	for range expressSlots {
		n := uint(len(ports))
		ports = append(ports, libvirtxml.DomainController{Type: "pci", Index: &n, Model: "pcie-root-port"})
	}
	return ports
}

// devices adds disks and cards. A device that the older definition has keeps
// its address.
func devices(p Platform, d *libvirtxml.Domain, dir string, rec Record, old *libvirtxml.Domain) error {
	spec := rec.Active()
	diskAt, nicAt := addresses(rec, old)
	if p.Container() {
		return containerDevices(p, d, dir, rec)
	}
	order := bootOrder(spec.Disks)
	scsi := false
	for _, disk := range spec.Disks {
		target := rec.Targets[disk.ID]
		x, err := Disk(p, rec.ID, dir, disk, target)
		if err != nil {
			return err
		}
		if n := order[disk.ID]; n > 0 && !p.paravirtual() {
			x.Boot = &libvirtxml.DomainDeviceBoot{Order: n}
		}
		if at, ok := diskAt[target+"/"+x.Target.Bus]; ok {
			x.Address = at
		}
		scsi = scsi || x.Target.Bus == "scsi"
		d.Devices.Disks = append(d.Devices.Disks, x)
	}
	if scsi && p.qemu() && !slices.ContainsFunc(d.Devices.Controllers, func(c libvirtxml.DomainController) bool { return c.Type == "scsi" }) {
		d.Devices.Controllers = append(slices.Clone(d.Devices.Controllers), libvirtxml.DomainController{Type: "scsi", Index: new(uint), Model: "virtio-scsi"})
	}
	for _, nic := range spec.NICs {
		x := NIC(p, nic)
		if at, ok := nicAt[nic.MAC+"/"+nic.Model]; ok {
			x.Address = at
		}
		d.Devices.Interfaces = append(d.Devices.Interfaces, x)
	}
	return nil
}

// addresses are those of the older definition's devices, of disks by target and
// bus, of cards by MAC and model.
func addresses(rec Record, old *libvirtxml.Domain) (disks, nics map[string]*libvirtxml.DomainAddress) {
	disks, nics = make(map[string]*libvirtxml.DomainAddress), make(map[string]*libvirtxml.DomainAddress)
	if old == nil || old.Devices == nil || oldMachine(old) != rec.Active().Machine {
		return disks, nics
	}
	for _, x := range old.Devices.Disks {
		if x.Target != nil && x.Address != nil {
			disks[x.Target.Dev+"/"+x.Target.Bus] = x.Address
		}
	}
	for _, x := range old.Devices.Interfaces {
		if x.MAC != nil && x.Address != nil {
			model := ""
			if x.Model != nil && x.Model.Type != "virtio" {
				model = x.Model.Type
			}
			nics[x.MAC.Address+"/"+model] = x.Address
		}
	}
	return disks, nics
}

// containerDevices gives a container its disks as file systems.
func containerDevices(p Platform, d *libvirtxml.Domain, dir string, rec Record) error {
	for _, disk := range rec.Active().Disks {
		x, err := Disk(p, rec.ID, dir, disk, rec.Targets[disk.ID])
		if err != nil {
			return err
		}
		if x.Source.File == nil {
			return fmt.Errorf("disk %s: a container's disk is a file: %w", disk.ID, nephos.ErrInvalid)
		}
		at := "/mnt/" + disk.ID
		if disk.ID == "root" {
			at = "/"
		}
		kind := "loop"
		if x.Driver.Type != "raw" {
			kind = "nbd"
		}
		fs := libvirtxml.DomainFilesystem{
			AccessMode: "passthrough",
			Driver:     &libvirtxml.DomainFilesystemDriver{Type: kind, Format: x.Driver.Type},
			Source:     &libvirtxml.DomainFilesystemSource{File: &libvirtxml.DomainFilesystemSourceFile{File: MountLink(dir, rec.ID, disk.ID)}},
			Target:     &libvirtxml.DomainFilesystemTarget{Dir: at},
		}
		if disk.ReadOnly {
			fs.ReadOnly = &libvirtxml.DomainFilesystemReadOnly{}
		}
		d.Devices.Filesystems = append(d.Devices.Filesystems, fs)
	}
	return nil
}
