package scheduler

import (
	"maps"
	"slices"
)

// view is the snapshot as one decision sees it: with what its own picks have
// taken so far.
type view struct {
	*Snapshot
	req     *Request
	members map[int32]int32     // group members by row
	picks   map[int32]int32     // picks of this decision by row
	extras  map[int32]Resources // what the picks took beyond the request's resources
	picked  int
}

func newView(s *Snapshot, req *Request) *view {
	v := &view{Snapshot: s, req: req}
	if g := req.Group; g != nil {
		v.members = make(map[int32]int32, len(g.MembersByHost))
		for id, n := range g.MembersByHost {
			if i, ok := s.index[id]; ok && n > 0 {
				v.members[i] = int32(min(n, 1<<30))
			}
		}
	}
	return v
}

// pick counts a server that was placed, with what it takes there beyond the
// request's resources.
func (v *view) pick(i int32, extra Resources) {
	if len(extra) > 0 {
		if v.extras == nil {
			v.extras = map[int32]Resources{}
		}
		v.extras[i] = v.extras[i].Add(extra)
	}
	if v.picks == nil {
		v.picks = map[int32]int32{}
	}
	v.picks[i]++
	v.picked++
}

func (v *view) ref(i int32) HostRef {
	t := &v.rests[i]
	return HostRef{ID: t.id, Name: t.name, Zone: v.profiles[v.rows[i].profile].zone}
}

// HostView is one host as filters and weighers see it. It is valid only during
// the call that it is given to. Values returned are shared: read, don't write.
type HostView struct {
	v *view
	i int32
}

func (h HostView) row() *row         { return &h.v.rows[h.i] }
func (h HostView) rest() *rest       { return &h.v.rests[h.i] }
func (h HostView) profile() *profile { return h.v.profiles[h.row().profile] }

// taken is what picks of this decision have taken here, of one class.
func (h HostView) taken(class string) int64 {
	if h.v.picked == 0 {
		return 0
	}
	return int64(h.v.picks[h.i])*h.v.req.Resources[class] + h.v.extras[h.i][class]
}

// ID returns the host's id.
func (h HostView) ID() string { return h.rest().id }

// Name returns the host's name.
func (h HostView) Name() string { return h.rest().name }

// Node returns the hypervisor's host name.
func (h HostView) Node() string { return h.rest().node }

// Up says whether the host reports.
func (h HostView) Up() bool { return h.row().flags&rowUp != 0 }

// Enabled says whether operators let new servers onto the host.
func (h HostView) Enabled() bool { return h.row().flags&rowEnabled != 0 }

// DisabledReason is what an operator wrote when disabling the host.
func (h HostView) DisabledReason() string { return h.rest().reason }

// Zone returns the availability zone, empty if neither the host nor its
// aggregates name one.
func (h HostView) Zone() string { return h.profile().zone }

// Free is what may still be handed out of a class, counting the allocation
// ratio and the earlier picks of this decision. It is 0 for a class that the
// host lacks, and negative on a host that is overcommitted.
func (h HostView) Free(class string) int64 {
	c := h.rest().find(class)
	if c == nil {
		return 0
	}
	return c.cap - c.used - h.taken(class)
}

// Capacity is what may be handed out of a class in all.
func (h HostView) Capacity(class string) int64 {
	if c := h.rest().find(class); c != nil {
		return c.cap
	}
	return 0
}

// Used is what is handed out of a class, with the earlier picks of this
// decision.
func (h HostView) Used(class string) int64 {
	if c := h.rest().find(class); c != nil {
		return c.used + h.taken(class)
	}
	return 0
}

// Inventory returns the host's inventory of a class; false if it has none.
func (h HostView) Inventory(class string) (Inventory, bool) {
	c := h.rest().find(class)
	if c == nil || c.inv == (Inventory{}) {
		return Inventory{}, false
	}
	return c.inv, true
}

// HasTrait says whether the host has the trait.
func (h HostView) HasTrait(name string) bool {
	_, ok := slices.BinarySearch(h.profile().traits, name)
	return ok
}

// Traits returns the host's traits, sorted.
func (h HostView) Traits() []string { return h.profile().traits }

// Attribute returns one of the host's attributes.
func (h HostView) Attribute(name string) (string, bool) {
	for k, own := range ownAttributes {
		if name == own {
			v := h.rest().own[k]
			return v, v != ""
		}
	}
	v, ok := h.profile().attributes[name]
	return v, ok
}

// Attributes returns a copy of all attributes.
func (h HostView) Attributes() map[string]string { return h.rest().attributes(h.profile()) }

// Supported returns the kinds of guest that the host runs.
func (h HostView) Supported() []Guest { return h.profile().supported }

// NUMA returns the host's NUMA cells.
func (h HostView) NUMA() []NUMACell {
	if m := h.rest().more; m != nil {
		return m.numa
	}
	return nil
}

// PCI returns the host's pools of PCI devices.
func (h HostView) PCI() []PCIPool {
	if m := h.rest().more; m != nil {
		return m.pci
	}
	return nil
}

// Metric returns one of the host's measurements.
func (h HostView) Metric(name string) (float64, bool) {
	if m := h.rest().more; m != nil {
		v, ok := m.metrics[name]
		return v, ok
	}
	return 0, false
}

// Metrics returns the names of the host's measurements, sorted.
func (h HostView) Metrics() []string {
	if m := h.rest().more; m != nil {
		return slices.Sorted(maps.Keys(m.metrics))
	}
	return nil
}

// Classes returns the resource classes that the host has.
func (h HostView) Classes() []string {
	t := h.rest()
	out := make([]string, 0, len(t.dense)+len(t.extra))
	for _, cells := range [][]cell{t.dense[:], t.extra} {
		for k := range cells {
			if cells[k].inv != (Inventory{}) {
				out = append(out, cells[k].class)
			}
		}
	}
	return out
}

// Pool returns the pool of storage, or nil if this is a host of servers.
func (h HostView) Pool() *Pool {
	if m := h.rest().more; m != nil {
		return m.pool
	}
	return nil
}

// Aggregates returns the aggregates that the host is in.
func (h HostView) Aggregates() []Aggregate { return h.profile().aggregates }

// AggregateValues returns what the host's aggregates say under a metadata key,
// with values that are separated by commas taken apart.
func (h HostView) AggregateValues(key string) []string { return h.profile().values(key) }

// NumInstances counts the servers on the host, with earlier picks.
func (h HostView) NumInstances() int {
	return int(h.row().numInst) + h.Picks()
}

// NumIOOps counts the builds, resizes, snapshots and moves under way on the
// host, with earlier picks of this decision, each of which is a build.
func (h HostView) NumIOOps() int { return int(h.row().numIO) + h.Picks() }

// FailedBuilds counts the builds that failed since one succeeded.
func (h HostView) FailedBuilds() int { return int(h.row().failed) }

// GroupMembers counts the members of the request's group on the host, with
// earlier picks of this decision; 0 if the request has no group.
func (h HostView) GroupMembers() int {
	if h.v.req.Group == nil {
		return 0
	}
	return int(h.v.members[h.i]) + h.Picks()
}

// Picks counts the earlier picks of this decision on this host.
func (h HostView) Picks() int {
	if h.v.picked == 0 {
		return 0
	}
	return int(h.v.picks[h.i])
}

// PicksInAll counts the earlier picks of this decision on all hosts.
func (h HostView) PicksInAll() int { return h.v.picked }

// Host returns a copy of the whole record, for filters that need it; it costs
// more than the other methods.
func (h HostView) Host() Host { return h.v.host(h.i) }
