package domain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// Host is what a connection's capabilities tell of the host's processors and of
// the memory near them.
type Host struct {
	Model, Vendor string // of the processor; empty where libvirt does not know
	Threads       bool   // cores run several threads
	Cells         []driver.NUMACell
}

// ReadHost reads the host's part of capabilities.
func ReadHost(capabilities string) (Host, error) {
	var caps libvirtxml.Caps
	if err := caps.Unmarshal(capabilities); err != nil {
		return Host{}, fmt.Errorf("read libvirt's capabilities: %w", err)
	}
	h := Host{}
	if cpu := caps.Host.CPU; cpu != nil {
		h.Model, h.Vendor = cpu.Model, cpu.Vendor
		h.Threads = cpu.Topology != nil && cpu.Topology.Threads > 1
	}
	if caps.Host.NUMA == nil || caps.Host.NUMA.Cells == nil || len(caps.Host.NUMA.Cells.Cells) > hypervisor.MaxCells {
		return h, nil
	}
	for _, x := range caps.Host.NUMA.Cells.Cells {
		c := cell(x)
		if x.CPUS != nil {
			for _, cpu := range x.CPUS.CPUs {
				c.CPUs = append(c.CPUs, cpu.ID)
				if strings.ContainsAny(cpu.Siblings, ",-") {
					h.Threads = true
					core(&c, cpu)
				}
			}
		}
		if len(c.CPUs) > 0 || c.MemoryMiB > 0 {
			h.Cells = append(h.Cells, c)
		}
	}
	return h, nil
}

// core notes which core a processor is a thread of: the one that is called by the
// first of its siblings.
func core(c *driver.NUMACell, cpu libvirtxml.CapsHostNUMACPU) {
	first, _, _ := strings.Cut(cpu.Siblings, ",")
	first, _, _ = strings.Cut(first, "-")
	if n, err := strconv.Atoi(first); err == nil && n >= 0 {
		if c.Cores == nil {
			c.Cores = map[int]int{}
		}
		c.Cores[cpu.ID] = n
	}
}

// cell is a cell's memory in pages of the usual size, which are its smallest, and
// the number of its other pages.
func cell(x libvirtxml.CapsHostNUMACell) driver.NUMACell {
	c := driver.NUMACell{ID: x.ID}
	if x.Memory != nil {
		c.MemoryMiB = int64(x.Memory.Size >> 10)
	}
	if len(x.PageInfo) > 0 {
		usual := slices.MinFunc(x.PageInfo, func(a, b libvirtxml.CapsHostNUMAPageInfo) int { return a.Size - b.Size })
		c.MemoryMiB = int64(usual.Count) * int64(usual.Size) >> 10
		for _, p := range x.PageInfo {
			if p.Size != usual.Size && p.Count > 0 && p.Size > 0 && p.Count <= 1<<40 {
				if c.Pages == nil {
					c.Pages = map[int64]int64{}
				}
				c.Pages[int64(p.Size)] = int64(p.Count)
			}
		}
	}
	return c
}

// Processor describes the processor that guests get, for libvirt to tell all
// that it can do; empty where that is not known before a guest runs.
func (p Platform) Processor(capabilities string) (string, error) {
	switch p.CPU {
	case "", "maximum", "host-passthrough":
		return "", nil
	case "host-model":
	default:
		cpu := libvirtxml.CapsHostCPU{Arch: p.Arch, Model: p.CPU}
		return cpu.Marshal()
	}
	var caps libvirtxml.DomainCaps
	if err := caps.Unmarshal(capabilities); err != nil {
		return "", fmt.Errorf("read libvirt's domain capabilities: %w", err)
	}
	if caps.CPU == nil {
		return "", nil
	}
	for _, mode := range caps.CPU.Modes {
		if mode.Name != "host-model" || len(mode.Models) == 0 {
			continue
		}
		cpu := libvirtxml.DomainCPU{Mode: "custom", Match: "exact", Vendor: mode.Vendor, Model: &libvirtxml.DomainCPUModel{Fallback: "forbid", Value: mode.Models[0].Name}}
		for _, f := range mode.Features {
			cpu.Features = append(cpu.Features, libvirtxml.DomainCPUFeature(f))
		}
		return cpu.Marshal()
	}
	return "", nil
}

// Features are the names of what a processor can do, of libvirt's description
// with everything in it.
func Features(processor string) ([]string, error) {
	var cpu libvirtxml.DomainCPU
	if err := cpu.Unmarshal(processor); err != nil {
		return nil, fmt.Errorf("read libvirt's processor: %w", err)
	}
	var names []string
	for _, f := range cpu.Features {
		if f.Policy != "disable" && f.Policy != "forbid" {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// deviceTraits are the Placement API's names of what guests may be made of: by
// the bus of a disk.
var deviceTraits = map[string]string{
	"virtio": "COMPUTE_STORAGE_BUS_VIRTIO", "scsi": "COMPUTE_STORAGE_BUS_SCSI", "ide": "COMPUTE_STORAGE_BUS_IDE",
	"sata": "COMPUTE_STORAGE_BUS_SATA", "xen": "COMPUTE_STORAGE_BUS_XEN",
}

// traits are the Placement API's names of what guests of QEMU may be made of.
func traits(p *Platform, caps *libvirtxml.DomainCaps) []string {
	if !p.qemu() || caps.Devices == nil {
		return nil
	}
	out := []string{"COMPUTE_NET_VIF_MODEL_E1000", "COMPUTE_NET_VIF_MODEL_VIRTIO"}
	for bus, name := range deviceTraits {
		if offers(caps.Devices.Disk, "bus", bus) {
			out = append(out, name)
		}
	}
	if p.Video != "" {
		out = append(out, "COMPUTE_GRAPHICS_MODEL_"+strings.ToUpper(p.Video))
	}
	if isX86(p.Arch) {
		out = append(out, "COMPUTE_FIRMWARE_BIOS")
	}
	if p.UEFI {
		out = append(out, "COMPUTE_FIRMWARE_UEFI")
	}
	slices.Sort(out)
	return out
}
