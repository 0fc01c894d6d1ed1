package hypervisor

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// Bounds on what a host may tell of itself.
const (
	MaxTraits   = 512
	MaxFeatures = 1024
	MaxCells    = 64
	MaxDevices  = 1024
	MaxMetrics  = 256
)

var traitName = regexp.MustCompile(`^[A-Z0-9][A-Z0-9_]{0,254}$`)

// Validate returns an error that wraps ErrInvalid and names the field when a
// driver tells of its host what cannot be.
func (h Host) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), nephos.ErrInvalid)
	}
	const most = 1 << 40
	switch {
	case h.VCPUs < 0 || h.MemoryMiB < 0 || h.DiskGiB < 0 || h.VCPUs > most || h.MemoryMiB > most || h.DiskGiB > most:
		return bad("its size is %d processors, %d MiB and %d GiB", h.VCPUs, h.MemoryMiB, h.DiskGiB)
	case len(h.CPUFeatures) > MaxFeatures:
		return bad("cpu_features has %d entries, want at most %d", len(h.CPUFeatures), MaxFeatures)
	case len(h.Traits) > MaxTraits:
		return bad("traits has %d entries, want at most %d", len(h.Traits), MaxTraits)
	case len(h.NUMA) > MaxCells:
		return bad("numa has %d cells, want at most %d", len(h.NUMA), MaxCells)
	case len(h.PCI) > MaxDevices:
		return bad("pci has %d devices, want at most %d", len(h.PCI), MaxDevices)
	case len(h.Metrics) > MaxMetrics:
		return bad("metrics has %d entries, want at most %d", len(h.Metrics), MaxMetrics)
	}
	for _, t := range h.Traits {
		if !traitName.MatchString(t) {
			return bad("trait %.80q is not of A-Z, 0-9 and _", t)
		}
	}
	for name, v := range h.Metrics {
		if name == "" || len(name) > 255 || math.IsNaN(v) || math.IsInf(v, 0) {
			return bad("metric %.80q is %v", name, v)
		}
	}
	if err := validateCells(h.NUMA); err != nil {
		return err
	}
	return validateDevices(h.PCI)
}

func validateCells(cells []driver.NUMACell) error {
	ids, cpus := map[int]bool{}, map[int]bool{}
	for _, c := range cells {
		bad := c.ID < 0 || c.ID > 1<<20 || ids[c.ID] || c.MemoryMiB < 0 || c.MemoryMiB > 1<<40 ||
			len(c.Pages) > 16 || len(c.CPUs)+len(c.Dedicated) > 1<<16
		ids[c.ID] = true
		for size, n := range c.Pages {
			bad = bad || size <= 0 || size > 1<<30 || n < 0 || n > 1<<40
		}
		for _, list := range [][]int{c.CPUs, c.Dedicated} {
			for _, cpu := range list {
				bad = bad || cpu < 0 || cpus[cpu]
				cpus[cpu] = true
			}
		}
		for cpu, core := range c.Cores {
			bad = bad || core < 0 || !slices.Contains(c.CPUs, cpu) && !slices.Contains(c.Dedicated, cpu)
		}
		if bad {
			return fmt.Errorf("NUMA cell %d is out of bounds, has its number or a processor twice, or a core of others' processors: %w", c.ID, nephos.ErrInvalid)
		}
	}
	return nil
}

func validateDevices(devices []driver.PCIDevice) error {
	seen := map[string]bool{}
	for _, d := range devices {
		switch {
		case !pciAddress.MatchString(d.Address) || seen[d.Address]:
			return fmt.Errorf("PCI device %.80q has no address of its own, such as 0000:81:00.0: %w", d.Address, nephos.ErrInvalid)
		case !hex4(d.VendorID) || !hex4(d.ProductID):
			return fmt.Errorf("PCI device %s is %.20q:%.20q, want four hexadecimal digits each: %w", d.Address, d.VendorID, d.ProductID, nephos.ErrInvalid)
		case d.Type != "" && d.Type != "type-PCI" && d.Type != "type-PF" && d.Type != "type-VF":
			return fmt.Errorf("PCI device %s has type %.20q: %w", d.Address, d.Type, nephos.ErrInvalid)
		case d.NUMANode != nil && (*d.NUMANode < 0 || *d.NUMANode > 1<<20):
			return fmt.Errorf("PCI device %s is near NUMA cell %d: %w", d.Address, *d.NUMANode, nephos.ErrInvalid)
		case d.ResourceClass != "" && (!traitName.MatchString(d.ResourceClass) || !strings.HasPrefix(d.ResourceClass, "CUSTOM_")):
			return fmt.Errorf("PCI device %s has resource class %.80q, want CUSTOM_…: %w", d.Address, d.ResourceClass, nephos.ErrInvalid)
		case len(d.Tags) > 64:
			return fmt.Errorf("PCI device %s has %d tags, want at most 64: %w", d.Address, len(d.Tags), nephos.ErrInvalid)
		}
		seen[d.Address] = true
	}
	return nil
}

func hex4(s string) bool {
	return len(s) == 4 && strings.Trim(strings.ToLower(s), "0123456789abcdef") == ""
}
