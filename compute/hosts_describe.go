package compute

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/scheduler"
)

// sameHost reports whether two heartbeats describe the same host, apart from
// what changes all the time. A metric that moved by less than a twentieth is the
// same.
func sameHost(a, b driver.HostBeat) bool {
	return a.Zone == b.Zone && a.Type == b.Type && a.Version == b.Version && a.Arch == b.Arch && a.CPUModel == b.CPUModel &&
		a.HostIP == b.HostIP && a.VCPUs == b.VCPUs && a.MemoryMiB == b.MemoryMiB && a.DiskGiB == b.DiskGiB && a.CPUVendor == b.CPUVendor &&
		slices.Equal(a.Abilities, b.Abilities) && slices.Equal(a.Networks, b.Networks) && slices.Equal(a.Formats, b.Formats) &&
		slices.Equal(a.CPUFeatures, b.CPUFeatures) && slices.Equal(a.Traits, b.Traits) && maps.EqualFunc(a.Metrics, b.Metrics, sameMetric) &&
		sameParts(a.NUMA, b.NUMA) && sameParts(a.PCI, b.PCI)
}

func sameMetric(a, b float64) bool { return math.Abs(a-b) <= 0.05*max(1, math.Abs(a)) }

// sameParts compares lists of plain data; none is none, decoded or not.
func sameParts[T any](a, b []T) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// schedulerHost describes a host to the scheduler. NUMA cells and devices that its
// hypervisor driver cannot give to guests are not there for it.
func schedulerHost(h Host, aggregates []scheduler.Aggregate) scheduler.Host {
	b := h.Beat
	if !slices.Contains(b.Abilities, hypervisor.CanPlace) {
		b.NUMA = nil
	}
	if !slices.Contains(b.Abilities, hypervisor.CanPassDevices) {
		b.PCI = nil
	}
	out := scheduler.Host{
		ID: h.Name, Name: h.Name, Node: h.Name, Zone: h.Zone, Aggregates: aggregates, Enabled: !h.Disabled, Up: h.Up && !h.ForcedDown,
		DisabledReason: h.DisabledReason, Generation: h.Generation,
		Inventory: map[string]scheduler.Inventory{
			scheduler.VCPU:     {Total: int64(b.VCPUs), MaxUnit: int64(b.VCPUs)},
			scheduler.MemoryMB: {Total: int64(b.MemoryMiB), MaxUnit: int64(b.MemoryMiB)},
			scheduler.DiskGB:   {Total: int64(b.DiskGiB), MaxUnit: int64(b.DiskGiB)},
		},
		Attributes: map[string]string{
			"hypervisor_type": b.Type, "hypervisor_version": strconv.Itoa(b.Version), "hypervisor_hostname": h.Name,
			"cpu_arch": b.Arch, "cpu_model": b.CPUModel, "cpu_info": cpuInfo(b), "host_ip": b.HostIP,
		},
		Traits: slices.Clone(b.Traits), NUMA: cells(b.NUMA), PCI: pciPools(b.PCI), Metrics: b.Metrics,
	}
	if h.Disabled {
		out.Traits = append(out.Traits, "COMPUTE_STATUS_DISABLED") // as Nova tells Placement
	}
	if own := dedicated(b.NUMA); own > 0 {
		shared := max(int64(b.VCPUs)-own, 0)
		out.Inventory[scheduler.PCPU] = scheduler.Inventory{Total: own, MaxUnit: own}
		if out.Inventory[scheduler.VCPU] = (scheduler.Inventory{Total: shared, MaxUnit: shared}); shared == 0 {
			delete(out.Inventory, scheduler.VCPU)
		}
	}
	if b.Arch != "" {
		for _, kind := range []string{"qemu", "kvm", cmp.Or(b.Type, "qemu")} {
			out.Supported = append(out.Supported, scheduler.Guest{Arch: b.Arch, HVType: lower(kind), VMMode: "hvm"})
		}
	}
	for _, a := range aggregates {
		if z := a.Metadata["availability_zone"]; z != "" {
			out.Zone = z
		}
	}
	return out
}

// cpuInfo is a host's processors in JSON, as Nova has them, for flavors that ask
// for capabilities:cpu_info:features.
func cpuInfo(b driver.HostBeat) string {
	text, _ := json.Marshal(map[string]any{ // plain data
		"arch": b.Arch, "model": b.CPUModel, "vendor": b.CPUVendor, "features": append([]string{}, b.CPUFeatures...),
	})
	return string(text)
}

// cells are a host's NUMA cells to the scheduler.
func cells(of []driver.NUMACell) []scheduler.NUMACell {
	var out []scheduler.NUMACell
	for _, c := range of {
		out = append(out, scheduler.NUMACell{
			ID: c.ID, VCPUs: int64(len(c.CPUs)), PCPUs: int64(len(c.Dedicated)), MemoryMB: c.MemoryMiB, Pages: c.Pages,
			CPUs: c.CPUs, Dedicated: c.Dedicated, Cores: c.Cores,
		})
	}
	return out
}

// dedicated counts the processors that servers may have for themselves.
func dedicated(of []driver.NUMACell) (n int64) {
	for _, c := range of {
		n += int64(len(c.Dedicated))
	}
	return n
}

// pciPools counts a host's devices by kind. Of tags those count that all of a kind
// have, and of a cell that they are near, if that is all's. A device of a class
// that is another kind's is counted by its own kind.
func pciPools(of []driver.PCIDevice) []scheduler.PCIPool {
	var out []scheduler.PCIPool
	at := map[string]int{}
	for _, d := range of {
		p := scheduler.PCIPool{
			VendorID: strings.ToLower(d.VendorID), ProductID: strings.ToLower(d.ProductID), DevType: d.Type, NUMANode: d.NUMANode,
			ResourceClass: d.ResourceClass, Tags: maps.Clone(d.Tags), Count: 1, Addresses: []string{d.Address},
		}
		i, ok := at[p.Class()]
		if ok && (out[i].VendorID != p.VendorID || out[i].ProductID != p.ProductID || out[i].DevType != p.DevType) {
			p.ResourceClass = ""
			i, ok = at[p.Class()]
		}
		if !ok {
			at[p.Class()] = len(out)
			out = append(out, p)
			continue
		}
		out[i].Count++
		out[i].Addresses = append(out[i].Addresses, d.Address)
		if n := out[i].NUMANode; n != nil && (p.NUMANode == nil || *n != *p.NUMANode) {
			out[i].NUMANode = nil
		}
		maps.DeleteFunc(out[i].Tags, func(k, v string) bool { return p.Tags[k] != v })
	}
	return out
}
