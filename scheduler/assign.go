package scheduler

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/nephos-cloud/nephos"
)

// Assignment is which parts of its host a server has: what the amounts that it
// claims of NUMA cells and devices come to. It is plain data, to be kept as JSON.
type Assignment struct {
	Cells []AssignedCell `json:"cells,omitempty"`
	// Emulator is where the hypervisor's own threads run; nil: on the server's CPUs.
	Emulator *AssignedCPU `json:"emulator,omitempty"`
	// Threads is how many threads each core of the server has, if its CPUs are
	// threads of whole cores because it requires that; else 0.
	Threads int `json:"threads,omitempty"`
	// PCI are the addresses of the server's devices.
	PCI []string `json:"pci,omitempty"`
}

// AssignedCell is one cell of a server, in the server's order.
type AssignedCell struct {
	Host     int           `json:"host"` // the id of the host's cell
	MemoryMB int64         `json:"memory_mb"`
	PageKiB  int64         `json:"page_kib,omitempty"` // of huge pages; 0: the usual
	CPUs     []AssignedCPU `json:"cpus"`
}

// AssignedCPU says on which of the host's CPUs one of the server's runs: on one
// that is its own, or on any that servers share.
type AssignedCPU struct {
	Guest int   `json:"guest"`
	Host  []int `json:"host"`
	Own   bool  `json:"own,omitempty"`
}

// Parts names what no other server may have: cpu:7, pci:0000:81:00.0.
func (a *Assignment) Parts() []string {
	var out []string
	add := func(cpu AssignedCPU) {
		if cpu.Own {
			out = append(out, cpuPart(cpu.Host[0]))
		}
	}
	for _, c := range a.Cells {
		for _, cpu := range c.CPUs {
			add(cpu)
		}
	}
	if a.Emulator != nil {
		add(*a.Emulator)
	}
	for _, address := range a.PCI {
		out = append(out, pciPart(address))
	}
	return out
}

func cpuPart(cpu int) string        { return "cpu:" + strconv.Itoa(cpu) }
func pciPart(address string) string { return "pci:" + address }

// Assign chooses the parts of the host that a claim comes to: claim is what
// [Choice.Claim] tells of the host for the request, and taken are the parts, as
// [Assignment.Parts] names them, that other servers have. It returns nil if the
// request asks for no part of the host, or the host only counts what it has.
//
// CPUs of one core go to one server as far as that can be; where the server
// requires threads, all of them do. It fails with nephos.ErrNoCapacity if too few
// parts are left, or not such.
func Assign(h Host, req Request, claim Resources, taken map[string]bool) (*Assignment, error) {
	a := assigner{host: &h, claim: claim, taken: maps.Clone(taken)}
	if a.taken == nil {
		a.taken = map[string]bool{}
	}
	numa, err := numaOf(&req)
	if err != nil {
		return nil, err
	}
	if numa != nil && slices.ContainsFunc(h.NUMA, func(c NUMACell) bool { return len(c.CPUs)+len(c.Dedicated) > 0 }) {
		if err := a.cells(numa); err != nil {
			return nil, err
		}
	}
	if err := a.devices(); err != nil {
		return nil, err
	}
	if len(a.out.Cells)+len(a.out.PCI) == 0 {
		return nil, nil
	}
	return &a.out, nil
}

type assigner struct {
	host  *Host
	claim Resources
	taken map[string]bool
	out   Assignment
}

func (a *assigner) full(what string) error {
	return nephos.Errorf(nephos.ErrNoCapacity, "giving a server its part of host %s: too few %s are left", a.host.ID, what)
}

// cells gives each of the server's cells the host's cell that was claimed for it.
// Of cells that want the same, it does not matter which is which.
func (a *assigner) cells(numa *NUMARequest) error {
	given := make([]bool, len(a.host.NUMA))
	for g, want := range numa.Cells {
		at, page := -1, int64(0)
		for i := range a.host.NUMA {
			if size, ok := a.claimed(&a.host.NUMA[i], want); ok && !given[i] {
				at, page = i, size
				break
			}
		}
		if at < 0 {
			return nephos.Errorf(nephos.ErrInvalid, "giving a server its part of host %s: nothing is claimed for its NUMA cell %d", a.host.ID, g)
		}
		given[at] = true
		if err := a.cell(numa, g, &a.host.NUMA[at], page); err != nil {
			return err
		}
	}
	return nil
}

// claimed says whether the claim has just what one cell of the server wants of one
// of the host's, and in pages of what size.
func (a *assigner) claimed(c *NUMACell, want NUMACellRequest) (page int64, ok bool) {
	if a.claim[c.Class(VCPU)] != want.VCPUs || a.claim[c.Class(PCPU)] != want.PCPUs {
		return 0, false
	}
	if a.claim[c.Class(MemoryMB)] == want.MemoryMB {
		return 0, true
	}
	for size := range c.Pages {
		if n := a.claim[c.PageClass(size)]; n > 0 && n*size == want.MemoryMB*1024 {
			return size, true
		}
	}
	return 0, false
}

func (a *assigner) cell(numa *NUMARequest, g int, c *NUMACell, page int64) error {
	want := numa.Cells[g]
	out := AssignedCell{Host: c.ID, MemoryMB: want.MemoryMB, PageKiB: page}
	own, threads := a.pick(c, len(want.Dedicated), numa.Threads)
	if len(own) < len(want.Dedicated) {
		return a.full("CPUs of the kind that it asks for")
	}
	for i, cpu := range want.Dedicated {
		a.taken[cpuPart(own[i])] = true
		out.CPUs = append(out.CPUs, AssignedCPU{Guest: cpu, Host: own[i : i+1 : i+1], Own: true})
	}
	for _, cpu := range want.Shared {
		if len(c.CPUs) == 0 {
			return a.full("CPUs that servers share")
		}
		out.CPUs = append(out.CPUs, AssignedCPU{Guest: cpu, Host: slices.Clone(c.CPUs)})
	}
	slices.SortFunc(out.CPUs, func(x, y AssignedCPU) int { return cmp.Compare(x.Guest, y.Guest) })
	a.out.Cells = append(a.out.Cells, out)
	if numa.Threads == "require" && len(want.Shared) == 0 && (g == 0 || threads == a.out.Threads) {
		a.out.Threads = threads
	} else {
		a.out.Threads = 0
	}
	return a.emulator(numa, g, c)
}

// emulator gives the hypervisor's threads their CPUs, with the first cell.
func (a *assigner) emulator(numa *NUMARequest, g int, c *NUMACell) error {
	if g > 0 {
		return nil
	}
	switch numa.Emulator {
	case "isolate":
		one, _ := a.pick(c, 1, "")
		if len(one) == 0 {
			return a.full("CPUs for the emulator")
		}
		a.taken[cpuPart(one[0])] = true
		a.out.Emulator = &AssignedCPU{Host: one, Own: true}
	case "share":
		var shared []int
		for i := range a.host.NUMA {
			shared = append(shared, a.host.NUMA[i].CPUs...)
		}
		if slices.Sort(shared); len(shared) > 0 {
			a.out.Emulator = &AssignedCPU{Host: shared}
		}
	}
	return nil
}

// pick chooses n of a cell's free dedicated CPUs: whole cores first, the smallest
// rest that will do after them. Where threads are required, no CPU is alone on its
// core but the last of an odd number. It also tells how many threads all the cores
// have of which CPUs were chosen, or 0. If it finds too few, it returns fewer.
func (a *assigner) pick(c *NUMACell, n int, policy string) (cpus []int, threads int) {
	free := map[int][]int{} // by core; those without one have a negative number of their own
	for _, cpu := range slices.Sorted(slices.Values(c.Dedicated)) {
		if a.taken[cpuPart(cpu)] {
			continue
		}
		core, ok := c.Cores[cpu]
		if !ok {
			core = -1 - cpu
		}
		free[core] = append(free[core], cpu)
	}
	groups := slices.Collect(maps.Values(free))
	if policy == "require" {
		groups = slices.DeleteFunc(groups, func(g []int) bool { return len(g) < 2 })
	}
	whole := true
	for len(cpus) < n && len(groups) > 0 {
		left := n - len(cpus)
		// The largest core of which all is wanted, else the smallest.
		best := slices.MinFunc(groups, func(x, y []int) int {
			fx, fy := len(x) <= left, len(y) <= left
			switch {
			case fx != fy && fx:
				return -1
			case fx != fy:
				return 1
			case len(x) != len(y) && fx:
				return len(y) - len(x)
			case len(x) != len(y):
				return len(x) - len(y)
			}
			return x[0] - y[0]
		})
		groups = slices.DeleteFunc(groups, func(g []int) bool { return g[0] == best[0] })
		take := best[:min(left, len(best))]
		if len(cpus) > 0 && threads != len(take) {
			whole = false
		}
		threads = len(take)
		cpus = append(cpus, take...)
	}
	if !whole || threads < 2 {
		threads = 0
	}
	return cpus, threads
}

// devices gives the server as many devices of each pool as it claims.
func (a *assigner) devices() error {
	for i := range a.host.PCI {
		p := &a.host.PCI[i]
		n := int(a.claim[p.Class()])
		if n == 0 || len(p.Addresses) == 0 {
			continue
		}
		for _, address := range p.Addresses {
			if n > 0 && !a.taken[pciPart(address)] {
				a.taken[pciPart(address)] = true
				a.out.PCI = append(a.out.PCI, address)
				n--
			}
		}
		if n > 0 {
			return a.full("devices of class " + p.Class())
		}
	}
	return nil
}
