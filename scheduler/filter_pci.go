package scheduler

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// PCIRequest asks for Count devices, each of which meets one of Specs.
type PCIRequest struct {
	Alias string // what the request is called, for explanations
	Count int64
	Specs []PCISpec
	// NUMA is the policy for the server's NUMA cells: "required", "legacy",
	// "preferred", "socket", or empty for the flavor's, or else legacy: a device
	// whose cell is known must be near. Which cells share a socket is not known, so
	// that socket is as strict as required.
	NUMA string
}

// PCISpec says which devices will do; empty fields mean any.
type PCISpec struct {
	VendorID, ProductID, DevType string
	ResourceClass                string
	Tags                         map[string]string
}

func (s PCISpec) meets(p *PCIPool, class string) bool {
	devType := p.DevType
	if devType == "" {
		devType = PCIDevice
	}
	ok := (s.VendorID == "" || strings.EqualFold(s.VendorID, p.VendorID)) &&
		(s.ProductID == "" || strings.EqualFold(s.ProductID, p.ProductID)) &&
		(s.DevType == "" || s.DevType == devType) && (s.ResourceClass == "" || s.ResourceClass == class)
	for k, v := range s.Tags {
		ok = ok && p.Tags[k] == v
	}
	return ok
}

// PCIAlias is what operators call a kind of device, and flavors ask for by
// pci_passthrough:alias.
type PCIAlias struct {
	Name  string
	Specs []PCISpec
	NUMA  string
}

// PciPassthroughFilter turns away hosts without the PCI devices that the
// flavor's extra spec pci_passthrough:alias ("gpu:1,nic:2") and Request.PCI ask
// for; a server that is placed takes them. Where the host has NUMA cells and the
// server asks for some, the devices must be near, by the policy. An alias that
// nobody defined turns every host away.
//
// It always runs, as [NUMATopologyFilter] does: without aliases if none are
// given.
type PciPassthroughFilter struct{ Aliases []PCIAlias }

// Bounds on what one server asks for.
const (
	maxPCIRequests = 32
	maxPCIDevices  = 256 // in one request
)

// Name implements [Filter].
func (PciPassthroughFilter) Name() string { return "PciPassthroughFilter" }

// Prepare implements [Filter].
func (f PciPassthroughFilter) Prepare(req *Request) Check {
	wants, problem := f.wants(req)
	if problem != "" {
		return turnAll("without an answer to a request for PCI devices that cannot be read", problem)
	}
	if len(wants) == 0 {
		return Check{}
	}
	req.devices = wants
	fit := fitter{pci: wants}
	fit.numa, _ = numaOf(req) // what cannot be read is the NUMA filter's to tell
	return Check{
		Host: func(h HostView) Verdict {
			if fit.place(h) != nil {
				return Verdict{}
			}
			return fit.lacking(h)
		},
		Claim: func(h HostView) Resources { return fit.deviceClaim(h, fit.place(h)) },
	}
}

// wants reads what devices the request asks for.
func (f PciPassthroughFilter) wants(req *Request) (wants []PCIRequest, problem string) {
	wants = slices.Clone(req.PCI)
	for part := range strings.SplitSeq(req.ExtraSpecs["pci_passthrough:alias"], ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, count, found := strings.Cut(part, ":")
		n, err := strconv.ParseInt(strings.TrimSpace(count), 10, 32)
		if !found {
			n, err = 1, nil
		}
		if err != nil || n < 1 || n > maxPCIDevices {
			return nil, "alias " + clip(part) + " has no number of devices"
		}
		i := slices.IndexFunc(f.Aliases, func(a PCIAlias) bool { return a.Name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, "alias " + clip(name) + " is not defined"
		}
		wants = append(wants, PCIRequest{Alias: f.Aliases[i].Name, Count: n, Specs: f.Aliases[i].Specs, NUMA: f.Aliases[i].NUMA})
	}
	if len(wants) > maxPCIRequests {
		return nil, "there are too many"
	}
	for i := range wants {
		if wants[i].Count < 0 || wants[i].Count > maxPCIDevices {
			return nil, "request " + clip(wants[i].Alias) + " has no valid number of devices"
		}
		if wants[i].NUMA == "" {
			wants[i].NUMA = req.ExtraSpecs["hw:pci_numa_affinity_policy"]
		}
	}
	return wants, ""
}

// pciOf returns the devices that the PciPassthroughFilter found to be wanted.
func pciOf(req *Request) []PCIRequest { return req.devices }

// placement is where the cells of a server go, and what devices it gets.
type placement struct {
	cells   []int            // by cell of the server; nil if it asks for none
	devices map[string]int64 // by class
}

// maxPlacings bounds how many ways of placing cells are tried on one host.
const maxPlacings = 2048

// place finds cells and devices that go together, or returns nil. What the
// NUMATopologyFilter and the PciPassthroughFilter claim comes from the same
// placement.
func (f *fitter) place(h HostView) *placement {
	cells := h.NUMA()
	if f.numa == nil || len(cells) == 0 {
		d, ok := f.devices(h, nil)
		if !ok {
			return nil
		}
		return &placement{devices: d}
	}
	first := f.match(h, f.order(h))
	if first == nil {
		return nil
	}
	if d, ok := f.devices(h, first); ok {
		return &placement{first, d}
	}
	at, taken, tries := make([]int, len(f.numa.Cells)), make([]bool, len(cells)), 0
	var walk func(g int) *placement
	walk = func(g int) *placement {
		if g == len(at) {
			if d, ok := f.devices(h, at); ok {
				return &placement{slices.Clone(at), d}
			}
			return nil
		}
		for c := range cells {
			if taken[c] || !f.fits(h, f.numa.Cells[g], c) {
				continue
			}
			if tries++; tries > maxPlacings {
				return nil
			}
			at[g], taken[c] = c, true
			if p := walk(g + 1); p != nil {
				return p
			}
			taken[c] = false
		}
		return nil
	}
	return walk(0)
}

// near says whether devices of the pool may serve the request when the server
// is in the given cells.
func (f *fitter) near(h HostView, r *PCIRequest, p *PCIPool, at []int) bool {
	if at == nil || r.NUMA == "preferred" {
		return true
	}
	if p.NUMANode == nil {
		return r.NUMA != "required" && r.NUMA != "socket"
	}
	return slices.ContainsFunc(at, func(c int) bool { return h.NUMA()[c].ID == *p.NUMANode })
}

// devices shares out the host's devices among the requests, so that each gets
// its number if that can be at all.
func (f *fitter) devices(h HostView, at []int) (map[string]int64, bool) {
	if len(f.pci) == 0 {
		return nil, true
	}
	pools := h.PCI()
	if len(pools) == 0 {
		return nil, !slices.ContainsFunc(f.pci, func(r PCIRequest) bool { return r.Count > 0 })
	}
	classes := h.rest().more.devices
	free := make([]int64, len(pools))
	for p := range pools {
		free[p] = max(h.Free(classes[p]), 0)
	}
	may := func(r, p int) bool {
		return f.near(h, &f.pci[r], &pools[p], at) && (len(f.pci[r].Specs) == 0 ||
			slices.ContainsFunc(f.pci[r].Specs, func(s PCISpec) bool { return s.meets(&pools[p], classes[p]) }))
	}
	given := make([][]int64, len(f.pci)) // by request and pool
	for r := range given {
		given[r] = make([]int64, len(pools))
	}
	// give finds one more device for a request, moving those of others to other
	// pools where that helps.
	var give func(r int, seen []bool) bool
	give = func(r int, seen []bool) bool {
		for p := range pools {
			if seen[p] || !may(r, p) {
				continue
			}
			seen[p] = true
			if free[p] > 0 {
				free[p]--
				given[r][p]++
				return true
			}
			for other := range f.pci {
				if other != r && given[other][p] > 0 && give(other, seen) {
					given[other][p]--
					given[r][p]++
					return true
				}
			}
		}
		return false
	}
	for r := range f.pci {
		for range f.pci[r].Count {
			if !give(r, make([]bool, len(pools))) {
				return nil, false
			}
		}
	}
	out := map[string]int64{}
	for r := range given {
		for p, n := range given[r] {
			if n > 0 {
				out[classes[p]] += n
			}
		}
	}
	return out, true
}

func (f *fitter) deviceClaim(_ HostView, p *placement) Resources {
	if p == nil {
		return nil
	}
	return maps.Clone(p.devices)
}

// lacking says which devices the host has too few of.
func (f *fitter) lacking(h HostView) Verdict {
	for i := range f.pci {
		r := &f.pci[i]
		free := int64(0)
		for p := range h.PCI() {
			class := h.rest().more.devices[p]
			if len(r.Specs) == 0 || slices.ContainsFunc(r.Specs, func(s PCISpec) bool { return s.meets(&h.PCI()[p], class) }) {
				free += max(h.Free(class), 0)
			}
		}
		if free < r.Count {
			return Verdict{
				Reason: "lack PCI devices", Want: strconv.FormatInt(r.Count, 10) + " " + clip(r.Alias), Saw: strconv.FormatInt(free, 10),
				Fix: "free PCI devices, or add some",
			}
		}
	}
	return Verdict{Reason: "lack PCI devices near the server's NUMA cells", Fix: "use hw:pci_numa_affinity_policy preferred"}
}

// PCIWeigher keeps hosts with PCI devices for servers that ask for some: those
// prefer hosts with more free devices, all others hosts with fewer.
type PCIWeigher struct{}

// Name implements [Weigher].
func (PCIWeigher) Name() string { return "PCIWeigher" }

// Weigh implements [Weigher].
func (PCIWeigher) Weigh(req *Request, h HostView) float64 {
	free := int64(0)
	for p := range h.PCI() {
		free += max(h.Free(h.rest().more.devices[p]), 0)
	}
	if len(req.PCI) > 0 || req.ExtraSpecs["pci_passthrough:alias"] != "" {
		return float64(free)
	}
	return -float64(free)
}
