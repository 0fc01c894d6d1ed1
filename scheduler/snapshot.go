package scheduler

import (
	"hash/fnv"
	"maps"
	"slices"
	"sync"

	"github.com/nephos-cloud/nephos"
)

// denseClasses are kept in every row; other classes in a list of the row.
var denseClasses = [3]string{VCPU, MemoryMB, DiskGB}

const (
	rowUp = 1 << iota
	rowEnabled
	rowUnits // some inventory has a least unit or a step above 1
)

// row is the part of a host that a default decision reads, packed so that a
// walk over 100,000 hosts stays in the processor's caches.
type row struct {
	avail   [3]int64 // the most that one more server can get: min(free, MaxUnit)
	free    [3]int64 // capacity - used; negative when overcommitted
	physMem int64    // without the ratio, as Nova's RAM weigher sees it
	physDsk int64
	profile int32
	flags   uint32
	numInst int32
	numIO   int32
	failed  int32
}

// cell is one resource class of one host.
type cell struct {
	class string
	inv   Inventory // Ratio as the host gave it
	cap   int64
	used  int64
}

// rest is the part of a host that few decisions read.
type rest struct {
	id, name, node string
	reason         string
	hash           uint64 // of the id, for settling ties
	dense          [3]cell
	extra          []cell // by class
	more           *more  // nil for most hosts
	own            [len(ownAttributes)]string
	generation     int64
}

// more is what only some hosts have. It is never changed.
type more struct {
	numa    []NUMACell
	cells   []cellClasses // beside numa
	pci     []PCIPool
	devices []string // the classes, beside pci
	metrics map[string]float64
	pool    *Pool
}

func newMore(h *Host) *more {
	if len(h.NUMA)+len(h.PCI)+len(h.Metrics) == 0 && h.Pool == nil {
		return nil
	}
	m := &more{metrics: maps.Clone(h.Metrics)}
	for _, c := range h.NUMA {
		m.numa = append(m.numa, c.clone())
		m.cells = append(m.cells, newCellClasses(c))
	}
	for _, p := range h.PCI {
		m.pci = append(m.pci, p.clone())
		m.devices = append(m.devices, p.Class())
	}
	if h.Pool != nil {
		p := h.Pool.clone()
		m.pool = &p
	}
	return m
}

// SnapshotConfig configures [NewSnapshot]; the zero value is Nova's defaults.
type SnapshotConfig struct {
	// Ratios are the allocation ratios of classes for which a host gives none;
	// nil means [DefaultRatios].
	Ratios map[string]float64
}

// Snapshot holds what the scheduler knows of the hosts. It is kept up to date
// host by host, and is safe for concurrent use; see the package comment for
// what a decision sees meanwhile. Changing one host costs microseconds, however
// many there are, and a host takes well below 2 KiB.
type Snapshot struct {
	mu     sync.RWMutex
	ratios map[string]float64

	rows  []row
	rests []rest
	index map[string]int32 // by host id

	profiles  []*profile // by slot; nil where free
	freeSlots []int32
	byKey     map[string]*profile
	classes   map[string]string // one copy of each class name
}

// NewSnapshot returns a snapshot without hosts.
func NewSnapshot(c SnapshotConfig) *Snapshot {
	if c.Ratios == nil {
		c.Ratios = DefaultRatios()
	}
	return &Snapshot{
		ratios:  maps.Clone(c.Ratios),
		index:   map[string]int32{},
		byKey:   map[string]*profile{},
		classes: map[string]string{},
	}
}

// Put adds the host or replaces what is known of it. It keeps no reference to
// the host's maps and slices. It fails with nephos.ErrInvalid if an amount or a
// name is out of bounds, and with nephos.ErrConflict if the snapshot knows a
// later generation of the host; then nothing changes.
func (s *Snapshot) Put(h Host) error {
	if err := h.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, known := s.index[h.ID]
	if known && h.Generation != 0 && h.Generation < s.rests[i].generation {
		return nephos.Errorf(nephos.ErrConflict, "putting host %s: generation %d is older than %d", h.ID, h.Generation, s.rests[i].generation)
	}
	p := s.intern(&h)
	if known {
		s.unref(s.profiles[s.rows[i].profile])
	} else {
		i = int32(len(s.rows))
		s.rows = append(s.rows, row{})
		s.rests = append(s.rests, rest{})
		s.index[h.ID] = i
	}
	s.rows[i], s.rests[i] = s.build(&h, p.slot)
	return nil
}

// build computes the rows of a host.
func (s *Snapshot) build(h *Host, slot int32) (row, rest) {
	r := row{profile: slot, numInst: int32(h.NumInstances), numIO: int32(h.NumIOOps), failed: int32(h.FailedBuilds)}
	if h.Up {
		r.flags |= rowUp
	}
	if h.Enabled {
		r.flags |= rowEnabled
	}
	t := rest{
		id: h.ID, name: h.Name, node: h.Node, reason: h.DisabledReason,
		hash: hashString(h.ID), generation: h.Generation, more: newMore(h),
	}
	if t.name == "" {
		t.name = h.ID
	}
	if t.node == "" {
		t.node = t.name
	}
	for k, name := range ownAttributes {
		t.own[k] = h.Attributes[name]
	}
	for k, class := range denseClasses {
		t.dense[k] = s.cell(h, class, h.Inventory[class])
	}
	all := h.Inventories(s.ratios)
	for _, class := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(denseClasses[:], class) {
			t.extra = append(t.extra, s.cell(h, class, all[class]))
		}
	}
	t.extra = slices.Clip(t.extra)
	for k := range t.dense {
		if inv := t.dense[k].inv; inv.MinUnit > 1 || inv.StepSize > 1 {
			r.flags |= rowUnits
		}
		r.settle(&t, k)
	}
	return r, t
}

func (s *Snapshot) cell(h *Host, class string, inv Inventory) cell {
	name, ok := s.classes[class]
	if !ok {
		name = class
		s.classes[class] = class
	}
	return cell{class: name, inv: inv, cap: inv.Capacity(h.ratio(class, inv, s.ratios)), used: h.Used[class]}
}

// settle copies what the hot row needs of one class.
func (r *row) settle(t *rest, k int) {
	c := &t.dense[k]
	r.free[k] = c.cap - c.used
	r.avail[k] = r.free[k]
	if c.inv.MaxUnit > 0 {
		r.avail[k] = min(r.free[k], c.inv.MaxUnit)
	}
	phys := c.inv.Total - c.inv.Reserved - c.used
	switch denseClasses[k] {
	case MemoryMB:
		r.physMem = phys
	case DiskGB:
		r.physDsk = phys
	}
}

// Remove forgets the host; it says whether the snapshot knew it.
func (s *Snapshot) Remove(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[id]
	if !ok {
		return false
	}
	s.unref(s.profiles[s.rows[i].profile])
	last := int32(len(s.rows) - 1)
	if i != last {
		s.rows[i], s.rests[i] = s.rows[last], s.rests[last]
		s.index[s.rests[i].id] = i
	}
	s.rests[last] = rest{}
	s.rows, s.rests = s.rows[:last], s.rests[:last]
	delete(s.index, id)
	return true
}

// Len is the number of hosts.
func (s *Snapshot) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.rows)
}

// Get returns a copy of what is known of a host.
func (s *Snapshot) Get(id string) (Host, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, ok := s.index[id]
	if !ok {
		return Host{}, false
	}
	return s.host(i), true
}

// IDs returns the ids of all hosts, sorted.
func (s *Snapshot) IDs() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.index))
}

// host writes the row out as the Host that was put, with its present use.
func (s *Snapshot) host(i int32) Host {
	r, t := &s.rows[i], &s.rests[i]
	p := s.profiles[r.profile]
	h := Host{
		ID: t.id, Name: t.name, Node: t.node, Zone: p.own,
		Enabled: r.flags&rowEnabled != 0, Up: r.flags&rowUp != 0, DisabledReason: t.reason,
		Inventory: map[string]Inventory{}, Used: Resources{},
		Traits: slices.Clone(p.traits), Attributes: t.attributes(p), Supported: slices.Clone(p.supported),
		Aggregates:   slices.Clone(p.aggregates),
		NumInstances: int(r.numInst), NumIOOps: int(r.numIO), FailedBuilds: int(r.failed), Generation: t.generation,
	}
	for k := range h.Aggregates {
		h.Aggregates[k].Metadata = maps.Clone(h.Aggregates[k].Metadata)
	}
	put := func(c *cell) {
		if c.inv != (Inventory{}) {
			h.Inventory[c.class] = c.inv
		}
		if c.used != 0 {
			h.Used[c.class] = c.used
		}
	}
	for k := range t.dense {
		put(&t.dense[k])
	}
	for k := range t.extra {
		put(&t.extra[k])
	}
	if m := t.more; m != nil {
		copied := newMore(&Host{NUMA: m.numa, PCI: m.pci, Metrics: m.metrics, Pool: m.pool})
		h.NUMA, h.PCI, h.Metrics, h.Pool = copied.numa, copied.pci, copied.metrics, copied.pool
	}
	return h
}

// attributes returns a copy of the host's attributes, its own and the shared.
func (t *rest) attributes(p *profile) map[string]string {
	all := maps.Clone(p.attributes)
	for k, name := range ownAttributes {
		if t.own[k] != "" {
			if all == nil {
				all = map[string]string{}
			}
			all[name] = t.own[k]
		}
	}
	return all
}

// find returns the row's cell of a class, or nil.
func (t *rest) find(class string) *cell {
	for k := range denseClasses {
		if denseClasses[k] == class {
			return &t.dense[k]
		}
	}
	for k := range t.extra {
		if t.extra[k].class == class {
			return &t.extra[k]
		}
	}
	return nil
}

func hashString(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}

// mix spreads the bits of a 64-bit number (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
