package domain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// place adds how the guest's processors look, where on the host it is, and the
// devices of the host that it has. A device that the older definition has keeps its
// address in the guest.
func place(p Platform, d *libvirtxml.Domain, spec hypervisor.Spec, old *libvirtxml.Domain) error {
	if t := spec.Topology; t != (hypervisor.Topology{}) && !p.Container() {
		cpu(d).Topology = &libvirtxml.DomainCPUTopology{Sockets: t.Sockets, Cores: t.Cores, Threads: t.Threads}
	}
	if len(spec.NUMA) > 0 {
		cells(d, spec)
	}
	d.Devices.Hostdevs = nil
	for _, address := range spec.PCI {
		at, err := parsePCI(address)
		if err != nil {
			return err
		}
		dev := libvirtxml.DomainHostdev{
			Managed:   "yes",
			SubsysPCI: &libvirtxml.DomainHostdevSubsysPCI{Source: &libvirtxml.DomainHostdevSubsysPCISource{Address: at}},
		}
		if old != nil && old.Devices != nil && oldMachine(old) == spec.Machine {
			for _, x := range old.Devices.Hostdevs {
				if PCIAddress(x) == address {
					dev.Address = x.Address
				}
			}
		}
		d.Devices.Hostdevs = append(d.Devices.Hostdevs, dev)
	}
	return nil
}

// cpu is the domain's processor, made if the platform has none to name.
func cpu(d *libvirtxml.Domain) *libvirtxml.DomainCPU {
	if d.CPU == nil {
		d.CPU = &libvirtxml.DomainCPU{}
	}
	return d.CPU
}

// cells are the guest's NUMA cells, and where they are.
func cells(d *libvirtxml.Domain, spec hypervisor.Spec) {
	numa, memory, tune := &libvirtxml.DomainNuma{}, &libvirtxml.DomainNUMATune{}, &libvirtxml.DomainCPUTune{}
	var pages []libvirtxml.DomainMemoryHugepage
	var hosts, used []int
	for i, c := range spec.NUMA {
		id := uint(i)
		var vcpus []int
		for _, pin := range c.Pins {
			vcpus, used = append(vcpus, pin.VCPU), append(used, pin.CPUs...)
			tune.VCPUPin = append(tune.VCPUPin, libvirtxml.DomainCPUTuneVCPUPin{VCPU: uint(pin.VCPU), CPUSet: list(pin.CPUs)})
		}
		numa.Cell = append(numa.Cell, libvirtxml.DomainCell{ID: &id, CPUs: list(vcpus), Memory: uint(c.MemoryMiB), Unit: "MiB"})
		memory.MemNodes = append(memory.MemNodes, libvirtxml.DomainNUMATuneMemNode{CellID: id, Mode: "strict", Nodeset: strconv.Itoa(c.Host)})
		hosts = append(hosts, c.Host)
		if c.PageKiB > 0 {
			pages = append(pages, libvirtxml.DomainMemoryHugepage{Size: uint(c.PageKiB), Unit: "KiB", Nodeset: strconv.Itoa(i)})
		}
	}
	slices.SortFunc(tune.VCPUPin, func(a, b libvirtxml.DomainCPUTuneVCPUPin) int { return int(a.VCPU) - int(b.VCPU) })
	memory.Memory = &libvirtxml.DomainNUMATuneMemory{Mode: "strict", Nodeset: list(hosts)}
	if len(spec.EmulatorCPUs) > 0 {
		used = spec.EmulatorCPUs
	}
	tune.EmulatorPin = &libvirtxml.DomainCPUTuneEmulatorPin{CPUSet: list(used)}
	cpu(d).Numa, d.NUMATune, d.CPUTune = numa, memory, tune
	if len(pages) > 0 {
		d.MemoryBacking = &libvirtxml.DomainMemoryBacking{MemoryHugePages: &libvirtxml.DomainMemoryHugepages{Hugepages: pages}}
	}
}

// list writes numbers as libvirt has sets: 0,2,3.
func list(numbers []int) string {
	var words []string
	for _, n := range slices.Compact(slices.Sorted(slices.Values(numbers))) {
		words = append(words, strconv.Itoa(n))
	}
	return strings.Join(words, ",")
}

func parsePCI(address string) (*libvirtxml.DomainAddressPCI, error) {
	var domain, bus, slot, function uint
	if n, err := fmt.Sscanf(address, "%x:%x:%x.%x", &domain, &bus, &slot, &function); err != nil || n != 4 {
		return nil, fmt.Errorf("PCI device %.80q is no address such as 0000:81:00.0: %w", address, nephos.ErrInvalid)
	}
	return &libvirtxml.DomainAddressPCI{Domain: &domain, Bus: &bus, Slot: &slot, Function: &function}, nil
}

// PCIAddress is the address on the host of a device that a domain has; empty if it
// is no PCI device.
func PCIAddress(x libvirtxml.DomainHostdev) string {
	if x.SubsysPCI == nil || x.SubsysPCI.Source == nil || x.SubsysPCI.Source.Address == nil {
		return ""
	}
	a := x.SubsysPCI.Source.Address
	part := func(n *uint) uint {
		if n == nil {
			return 0
		}
		return *n
	}
	return fmt.Sprintf("%04x:%02x:%02x.%x", part(a.Domain), part(a.Bus), part(a.Slot), part(a.Function))
}

// HostCells are the host's cells that the memory of a domain's cells comes from, in
// the guest's order.
func HostCells(d *libvirtxml.Domain) []int {
	if d.NUMATune == nil {
		return nil
	}
	nodes := slices.Clone(d.NUMATune.MemNodes)
	slices.SortFunc(nodes, func(a, b libvirtxml.DomainNUMATuneMemNode) int { return int(a.CellID) - int(b.CellID) })
	var out []int
	for _, n := range nodes {
		if cell, err := strconv.Atoi(n.Nodeset); err == nil {
			out = append(out, cell)
		}
	}
	return out
}
