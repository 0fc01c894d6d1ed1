package scheduler

import (
	"fmt"
	"maps"
	"slices"

	"github.com/nephos-cloud/nephos"
)

// NUMACell is one NUMA cell of a host: CPUs and the memory near them.
//
// What servers take of it is counted under resource classes of the cell's own,
// so that it is claimed, and given back, in one step with all else:
// CUSTOM_NUMA0_VCPU, CUSTOM_NUMA0_PCPU, CUSTOM_NUMA0_MEMORY_MB, and
// CUSTOM_NUMA0_PAGES_2048 for huge pages of 2048 KiB.
type NUMACell struct {
	ID int
	// VCPUs are the CPUs that servers share, by the host's ratio for VCPU; PCPUs
	// are those that are given to one server each.
	VCPUs, PCPUs int64
	// MemoryMB is the memory in pages of the usual size, in MiB, shared by the
	// host's ratio for MEMORY_MB.
	MemoryMB int64
	// Pages counts the huge pages by size in KiB. They are never overcommitted.
	Pages map[int64]int64

	// CPUs and Dedicated are the processors that VCPUs and PCPUs count, by the
	// host's numbers, and Cores tells of them which core they are a thread of;
	// see [Assign]. Hosts that only count leave them out.
	CPUs, Dedicated []int       `json:",omitempty"`
	Cores           map[int]int `json:",omitempty"`
}

// maxCells bounds the NUMA cells of a host and of a server.
const maxCells = 64

// SmallPage is the size of the usual page in KiB.
const SmallPage = 4

func (c NUMACell) clone() NUMACell {
	c.Pages, c.Cores = maps.Clone(c.Pages), maps.Clone(c.Cores)
	c.CPUs, c.Dedicated = slices.Clone(c.CPUs), slices.Clone(c.Dedicated)
	return c
}

// Class returns the resource class of a part of the cell: VCPU, PCPU or
// MEMORY_MB.
func (c NUMACell) Class(part string) string { return fmt.Sprintf("CUSTOM_NUMA%d_%s", c.ID, part) }

// PageClass returns the resource class of the cell's huge pages of a size in
// KiB.
func (c NUMACell) PageClass(size int64) string {
	return fmt.Sprintf("CUSTOM_NUMA%d_PAGES_%d", c.ID, size)
}

func (c NUMACell) inventories(into map[string]Inventory, cpuRatio, ramRatio float64) {
	put := func(class string, total int64, ratio float64) {
		if total > 0 {
			into[class] = Inventory{Total: total, Ratio: ratio}
		} else {
			delete(into, class)
		}
	}
	put(c.Class(VCPU), c.VCPUs, cpuRatio)
	put(c.Class(PCPU), c.PCPUs, 1)
	put(c.Class(MemoryMB), c.MemoryMB, ramRatio)
	for size, n := range c.Pages {
		put(c.PageClass(size), n, 1)
	}
}

func checkNUMA(cells []NUMACell) error {
	bad := func(what string) error {
		return nephos.Errorf(nephos.ErrInvalid, "NUMA cells have an invalid %s", what).WithField("numa")
	}
	if len(cells) > maxCells {
		return bad("number")
	}
	seen, cpus := map[int]bool{}, map[int]bool{}
	for _, c := range cells {
		switch {
		case c.ID < 0 || c.ID > 1<<20 || seen[c.ID]:
			return bad("id")
		case c.VCPUs < 0 || c.PCPUs < 0 || c.VCPUs > maxAmount || c.PCPUs > maxAmount:
			return bad("number of CPUs")
		case c.MemoryMB < 0 || c.MemoryMB > maxAmount:
			return bad("amount of memory")
		case len(c.Pages) > 16:
			return bad("number of page sizes")
		case len(c.CPUs) > 0 && int64(len(c.CPUs)) != c.VCPUs || len(c.Dedicated) > 0 && int64(len(c.Dedicated)) != c.PCPUs ||
			len(c.CPUs) > 1<<16 || len(c.Dedicated) > 1<<16 || len(c.Cores) > len(c.CPUs)+len(c.Dedicated):
			return bad("list of CPUs")
		}
		for _, list := range [][]int{c.CPUs, c.Dedicated} {
			for _, cpu := range list {
				if cpu < 0 || cpu > 1<<20 || cpus[cpu] {
					return bad("list of CPUs")
				}
				cpus[cpu] = true
			}
		}
		for size, n := range c.Pages {
			if size <= 0 || size > 1<<30 || n < 0 || n > maxAmount {
				return bad("number of pages")
			}
		}
		seen[c.ID] = true
	}
	return nil
}
