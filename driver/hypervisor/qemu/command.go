package qemu

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

const sandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

// command collects QEMU's arguments and the files it inherits.
type command struct {
	args  []string
	files []*os.File // descriptors 3, 4 …
}

// file lets QEMU inherit f and returns the descriptor's number there.
func (c *command) file(f *os.File) int {
	c.files = append(c.files, f)
	return 2 + len(c.files)
}

// fdset lets QEMU inherit f as a path and returns that.
func (c *command) fdset(f *os.File) string {
	n := strconv.Itoa(c.file(f))
	c.add("-add-fd", "fd="+n+",set="+n)
	return "/dev/fdset/" + n
}

func (c *command) add(args ...string) { c.args = append(c.args, args...) }

// json adds an option whose value is an object.
func (c *command) json(option string, value map[string]any) {
	data, err := json.Marshal(value)
	if err != nil {
		panic("qemu: " + err.Error()) // plain data always marshals
	}
	c.add(option, string(data))
}

// close closes our copies of the inherited files.
func (c *command) close() {
	for _, f := range c.files {
		_ = f.Close()
	}
}

// monitor adds the machine protocol on an inherited listening socket.
func (c *command) monitor(f *os.File) {
	c.add("-chardev", fmt.Sprintf("socket,id=mon0,fd=%d,server=on,wait=off", c.file(f)), "-mon", "chardev=mon0,mode=control")
}

// machine adds all but disks and cards of a guest.
func (c *command) machine(id, name, accel string, spec hypervisor.Spec) {
	c.add("-name", name, "-machine", "pc,usb=off", "-nodefaults", "-no-user-config", "-sandbox", sandbox,
		"-S", "-no-shutdown", "-display", "none", "-vnc", "none", "-boot", "strict=on",
		"-m", strconv.Itoa(spec.MemoryMiB), "-smp", smp(spec),
		"-rtc", "base=utc,driftfix=slew",
		"-smbios", "type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova,serial="+id)
	c.numa(spec.NUMA)
	if accel == "kvm" {
		c.add("-accel", "kvm", "-cpu", "host")
	} else {
		c.add("-accel", "tcg,tb-size=32", "-cpu", "qemu64")
	}
	c.json("-device", map[string]any{"driver": "VGA", "id": "video0", "vgamem_mb": 16, "addr": pciAddress(slotVideo)})
	c.json("-device", map[string]any{"driver": "virtio-balloon-pci", "id": "balloon0", "addr": pciAddress(slotBalloon)})
	c.add("-object", "rng-random,id=entropy0,filename=/dev/urandom")
	c.json("-device", map[string]any{"driver": "virtio-rng-pci", "id": "rng0", "rng": "entropy0", "addr": pciAddress(slotEntropy)})
	buses := make(map[string]bool)
	for _, d := range spec.Disks {
		buses[d.Bus] = true
	}
	if buses["scsi"] {
		c.json("-device", map[string]any{"driver": "virtio-scsi-pci", "id": "scsi", "addr": pciAddress(slotSCSI)})
	}
	if buses["sata"] {
		c.json("-device", map[string]any{"driver": "ich9-ahci", "id": "sata", "addr": pciAddress(slotSATA)})
	}
}

// serial adds the first serial port: a socket for clients, all of it logged.
func (c *command) serial(socket, log *os.File) {
	c.add("-chardev", fmt.Sprintf("socket,id=ser0,fd=%d,server=on,wait=off,logfile=%s,logappend=on", c.file(socket), c.fdset(log)),
		"-serial", "chardev:ser0")
}

// Names inside QEMU. Block nodes hold at most 31 bytes, so theirs are digests.
func diskDevice(id string) string { return "disk-" + id }
func nicDevice(id string) string  { return "nic-" + id }
func netdev(id string) string     { return "net-" + id }
func diskNode(id string) string   { return "d" + digest(id) }

func digest(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:13])
}

// blockNode describes a disk's data to QEMU. Formats are those given, and the
// backing file is the given one or none, whatever the image's header says.
func blockNode(name, format string, readOnly bool, top source, base *source, baseFormat string) map[string]any {
	node := map[string]any{
		"driver": format, "node-name": name, "read-only": readOnly, "discard": "unmap",
		"file": top.protocol(readOnly),
	}
	if format == "qcow2" {
		node["backing"] = nil
		if base != nil {
			under := map[string]any{"driver": baseFormat, "read-only": true, "file": base.protocol(true)}
			if baseFormat == "qcow2" {
				under["backing"] = nil
			}
			node["backing"] = under
		}
	}
	return node
}

// source is an opened file as QEMU names it.
type source struct {
	path   string // /dev/fdset/N
	device bool   // a block device
}

func (s source) protocol(readOnly bool) map[string]any {
	kind := "file"
	if s.device {
		kind = "host_device"
	}
	return map[string]any{"driver": kind, "filename": s.path, "read-only": readOnly, "discard": "unmap"}
}

// pciAddress is a slot as a device's property.
func pciAddress(slot int) string { return fmt.Sprintf("%#x", slot) }

// place says where a disk goes: a PCI slot, or the number on a bus of its own;
// boot is 0 for never, else 1 boots first.
type place struct{ pci, unit, boot int }

// diskDeviceOf describes the device that shows a disk to the guest.
func diskDeviceOf(d driver.Disk, at place) map[string]any {
	dev := map[string]any{"id": diskDevice(d.ID), "drive": diskNode(d.ID)}
	if d.Serial != "" {
		dev["serial"] = d.Serial
	}
	if at.boot > 0 {
		dev["bootindex"] = at.boot
	}
	if d.Source.Shared {
		dev["share-rw"] = true
	}
	kind := "hd"
	if d.CDROM {
		kind = "cd"
	}
	switch busOf(d) {
	case "virtio":
		dev["driver"], dev["addr"] = "virtio-blk-pci", pciAddress(at.pci)
	case "scsi":
		dev["driver"], dev["bus"], dev["lun"] = "scsi-"+kind, "scsi.0", at.unit
	case "sata":
		dev["driver"], dev["bus"] = "ide-"+kind, "sata."+strconv.Itoa(at.unit)
	case "ide":
		dev["driver"], dev["bus"], dev["unit"] = "ide-"+kind, "ide."+strconv.Itoa(at.unit/2), at.unit%2
	}
	return dev
}

// busOf returns the disk's bus; a CD without one is on IDE.
func busOf(d driver.Disk) string {
	switch {
	case d.Bus == "" && d.CDROM:
		return "ide"
	case d.Bus == "":
		return "virtio"
	}
	return d.Bus
}

// busSlots is how many disks fit on a bus that has a bound of its own.
var busSlots = map[string]int{"ide": 4, "sata": 6, "scsi": 200}

// bootOrder numbers the bootable disks from 1: by BootIndex, then as listed.
func bootOrder(disks []driver.Disk) map[string]int {
	var bootable []driver.Disk
	for _, d := range disks {
		if d.BootIndex >= 0 {
			bootable = append(bootable, d)
		}
	}
	slices.SortStableFunc(bootable, func(a, b driver.Disk) int { return cmp.Compare(a.BootIndex, b.BootIndex) })
	order := make(map[string]int, len(bootable))
	for i, d := range bootable {
		order[d.ID] = i + 1
	}
	return order
}

// nicDeviceOf describes a network card.
func nicDeviceOf(n driver.NIC, slot int) map[string]any {
	dev := map[string]any{"driver": "virtio-net-pci", "id": nicDevice(n.ID), "netdev": netdev(n.ID), "mac": n.MAC, "romfile": "", "addr": pciAddress(slot)}
	if n.Model == "e1000" {
		dev["driver"] = "e1000"
	} else if n.MTU > 0 && n.MTU != 1500 {
		dev["host_mtu"] = n.MTU
	}
	return dev
}
