package scheduler

import (
	"maps"
	"slices"
	"strconv"
)

// NUMATopologyFilter turns away hosts whose NUMA cells cannot take the server's:
// each cell of the server goes to a cell of its own of the host, with enough
// shared CPUs (by the host's ratio), CPUs for itself, and memory or pages. See
// [ParseNUMA] for what a server asks. A server that asks for nothing passes
// everywhere, one that asks passes only hosts with cells, and takes what the
// cells have. What cannot be read turns every host away.
//
// It always runs, also where an operator forces the host: what a server asks for
// it gets, or it does not boot.
type NUMATopologyFilter struct{}

// Name implements [Filter].
func (NUMATopologyFilter) Name() string { return "NUMATopologyFilter" }

// Prepare implements [Filter].
func (NUMATopologyFilter) Prepare(req *Request) Check {
	numa, err := numaOf(req)
	if err != nil {
		return turnAll("without an answer to a NUMA topology that cannot be read", err.Error())
	}
	if numa == nil {
		return Check{}
	}
	f := fitter{numa: numa}
	return Check{
		Host: func(h HostView) Verdict {
			switch threads := h.HasTrait("HW_CPU_HYPERTHREADING"); {
			case len(h.NUMA()) == 0:
				return Verdict{
					Reason: "without NUMA cells", Want: "cells, and a hypervisor driver that is a Placer",
					Fix: "use a flavor without a NUMA topology, or a hypervisor driver that places guests",
				}
			case numa.Threads == "require" && !threads:
				return Verdict{Reason: "without CPU threads", Want: "HW_CPU_HYPERTHREADING"}
			case numa.Threads == "isolate" && threads:
				return Verdict{Reason: "with CPU threads", Saw: "HW_CPU_HYPERTHREADING"}
			}
			if f.match(h, f.order(h)) != nil {
				return Verdict{}
			}
			return f.why(h)
		},
		Claim: func(h HostView) Resources {
			if len(h.NUMA()) == 0 {
				return nil
			}
			f := f
			f.pci = pciOf(req)
			if p := f.place(h); p != nil {
				return f.cellClaim(h, p.cells)
			}
			return nil
		},
	}
}

// numaOf reads the topology that a request asks for.
func numaOf(req *Request) (*NUMARequest, error) {
	if len(req.ExtraSpecs) == 0 && len(req.ImageProperties) == 0 {
		return nil, nil
	}
	vcpus, memory := req.VCPUs, req.MemoryMB
	if vcpus == 0 {
		vcpus = req.Resources[VCPU] + req.Resources[PCPU]
		if req.Resources[PCPU] > 0 && req.ExtraSpecs["hw:emulator_threads_policy"] == "isolate" {
			vcpus--
		}
	}
	if memory == 0 {
		memory = req.Resources[MemoryMB]
	}
	return ParseNUMA(req.ExtraSpecs, req.ImageProperties, vcpus, memory)
}

// cellClasses are the resource classes of a cell, made once for each host.
type cellClasses struct {
	vcpu, pcpu, memory string
	pages              []pageClass // largest first
}

type pageClass struct {
	size  int64 // KiB
	class string
}

func newCellClasses(c NUMACell) cellClasses {
	k := cellClasses{vcpu: c.Class(VCPU), pcpu: c.Class(PCPU), memory: c.Class(MemoryMB)}
	for _, size := range slices.Backward(slices.Sorted(maps.Keys(c.Pages))) {
		k.pages = append(k.pages, pageClass{size, c.PageClass(size)})
	}
	return k
}

// fitter puts the cells of a server, and devices near them, onto a host.
type fitter struct {
	numa *NUMARequest // or nil
	pci  []PCIRequest
}

// amount is so much of a class.
type amount struct {
	class string
	n     int64
}

// memory is what the server's cell would take of the host's, if it is there.
func (f *fitter) memory(h HostView, c int, mib int64) (amount, bool) {
	k := &h.rest().more.cells[c]
	small := func(overcommit bool) (amount, bool) {
		inv, ok := h.Inventory(k.memory)
		free := inv.Total - h.Used(k.memory)
		if overcommit {
			free = h.Free(k.memory)
		}
		return amount{k.memory, mib}, ok && mib <= free && mib <= inv.Total
	}
	pages := func(only int64) (amount, bool) {
		for _, p := range k.pages {
			if only != 0 && only != p.size || mib*1024%p.size != 0 {
				continue
			}
			if n := mib * 1024 / p.size; n <= h.Free(p.class) {
				return amount{p.class, n}, true
			}
		}
		return amount{}, false
	}
	switch f.numa.PageSize {
	case "":
		return small(true)
	case "small", "4":
		return small(false)
	case "large":
		return pages(0)
	case "any":
		if a, ok := pages(0); ok {
			return a, true
		}
		return small(false)
	}
	size, _ := strconv.ParseInt(f.numa.PageSize, 10, 64)
	return pages(size)
}

// fits says whether one cell of the server fits one of the host.
func (f *fitter) fits(h HostView, g NUMACellRequest, c int) bool {
	k := &h.rest().more.cells[c]
	if g.PCPUs > 0 && g.PCPUs > h.Free(k.pcpu) {
		return false
	}
	if g.VCPUs > 0 && (g.VCPUs > h.Free(k.vcpu) || g.VCPUs > h.NUMA()[c].VCPUs) {
		return false
	}
	_, ok := f.memory(h, c, g.MemoryMB)
	return ok
}

// order lists the host's cells, those first that have no devices which servers
// may want to be near.
func (f *fitter) order(h HostView) []int {
	cells := h.NUMA()
	near := map[int]bool{}
	for _, p := range h.PCI() {
		if p.NUMANode != nil {
			near[*p.NUMANode] = true
		}
	}
	out := make([]int, 0, len(cells))
	for _, with := range []bool{false, true} {
		for i := range cells {
			if near[cells[i].ID] == with {
				out = append(out, i)
			}
		}
	}
	return out
}

// match gives each cell of the server one of the given cells of the host, or
// returns nil if that cannot be.
func (f *fitter) match(h HostView, cells []int) []int {
	if len(f.numa.Cells) > len(cells) {
		return nil
	}
	owner := make([]int, len(h.NUMA())) // host cell to 1 + the server's
	var try func(g int, seen []bool) bool
	try = func(g int, seen []bool) bool {
		for _, c := range cells { // a free one, if there is one
			if owner[c] == 0 && f.fits(h, f.numa.Cells[g], c) {
				owner[c] = g + 1
				return true
			}
		}
		for _, c := range cells {
			if seen[c] || owner[c] == 0 || !f.fits(h, f.numa.Cells[g], c) {
				continue
			}
			seen[c] = true
			if try(owner[c]-1, seen) {
				owner[c] = g + 1
				return true
			}
		}
		return false
	}
	for g := range f.numa.Cells {
		if !try(g, make([]bool, len(owner))) {
			return nil
		}
	}
	out := make([]int, len(f.numa.Cells))
	for c, g := range owner {
		if g > 0 {
			out[g-1] = c
		}
	}
	return out
}

// why says what the host's cells lack.
func (f *fitter) why(h HostView) Verdict {
	cells := h.NUMA()
	if len(f.numa.Cells) > len(cells) {
		return Verdict{
			Reason: "have too few NUMA cells", Want: strconv.Itoa(len(f.numa.Cells)), Saw: strconv.Itoa(len(cells)),
			Fix: "use a flavor with fewer NUMA nodes",
		}
	}
	most := func(class func(*cellClasses) string) int64 {
		best := int64(0)
		for c := range cells {
			best = max(best, h.Free(class(&h.rest().more.cells[c])))
		}
		return best
	}
	for _, g := range f.numa.Cells {
		if n := most(func(k *cellClasses) string { return k.pcpu }); g.PCPUs > n {
			return Verdict{Reason: "lack dedicated CPUs in a NUMA cell", Class: PCPU, Wanted: g.PCPUs, Free: n}
		}
		if n := most(func(k *cellClasses) string { return k.vcpu }); g.VCPUs > n {
			return Verdict{Reason: "lack CPUs in a NUMA cell", Class: VCPU, Wanted: g.VCPUs, Free: n}
		}
		fits := false
		for c := range cells {
			_, ok := f.memory(h, c, g.MemoryMB)
			fits = fits || ok
		}
		if !fits && f.numa.PageSize == "" {
			n := most(func(k *cellClasses) string { return k.memory })
			return Verdict{Reason: "lack memory in a NUMA cell", Class: MemoryMB, Wanted: g.MemoryMB, Free: n}
		}
		if !fits {
			return Verdict{
				Reason: "lack pages of the size asked for", Want: amountOf(MemoryMB, g.MemoryMB) + " of " + f.numa.PageSize,
				Fix: "reserve pages on the host, or use a flavor without hw:mem_page_size",
			}
		}
	}
	return Verdict{Reason: "have no NUMA cells that fit together", Fix: "free CPUs and memory of one cell"}
}

// cellClaim is what a server takes of the cells that it was given.
func (f *fitter) cellClaim(h HostView, at []int) Resources {
	if at == nil {
		return nil
	}
	out := Resources{}
	for g, c := range at {
		k, want := &h.rest().more.cells[c], f.numa.Cells[g]
		if want.VCPUs > 0 {
			out[k.vcpu] += want.VCPUs
		}
		if want.PCPUs > 0 {
			out[k.pcpu] += want.PCPUs
		}
		if a, ok := f.memory(h, c, want.MemoryMB); ok && a.n > 0 {
			out[a.class] += a.n
		}
	}
	return out
}
