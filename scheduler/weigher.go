package scheduler

import (
	"math"
	"strconv"
	"strings"
)

// Weigher gives a host that passed all filters a number; more is better.
// Implementations keep no state that a call changes.
//
// The numbers of all hosts are normalised: the least becomes 0, the greatest 1,
// and all become 0 if they are equal. A number that is not finite counts as the
// weigher's lower bound.
type Weigher interface {
	// Name is the weigher's name in explanations, such as "RAMWeigher".
	Name() string
	Weigh(req *Request, h HostView) float64
}

// Bounded is implemented by a weigher whose scale has fixed ends. Numbers beyond
// an end count as the end. An infinite end is taken from the hosts.
type Bounded interface {
	Bounds() (lo, hi float64)
}

// Selective is implemented by a weigher that has nothing to say about some
// requests.
type Selective interface {
	Applies(req *Request) bool
}

// Batcher is implemented by a weigher that weighs many hosts at once, where
// asking for each has a price of its own, such as a call to another process. It
// returns a number for each host, in their order. As with [Check], the snapshot
// waits meanwhile.
type Batcher interface {
	WeighAll(req *Request, hosts []HostView) []float64
}

// WeigherConfig is a weigher with its multiplier.
type WeigherConfig struct {
	Weigher Weigher
	// Multiplier is the weigher's influence; negative turns its sense around.
	Multiplier float64
	// AggregateKey names the aggregate metadata that overrules Multiplier for
	// the aggregate's hosts, such as "ram_weight_multiplier"; of several values
	// the smallest counts.
	AggregateKey string
}

// DefaultWeighers returns Nova's weighers with Nova's default multipliers.
func DefaultWeighers() []WeigherConfig {
	return []WeigherConfig{
		{RAMWeigher{}, 1, "ram_weight_multiplier"},
		{CPUWeigher{}, 1, "cpu_weight_multiplier"},
		{DiskWeigher{}, 1, "disk_weight_multiplier"},
		{IoOpsWeigher{}, -1, "io_ops_weight_multiplier"},
		{SoftAffinityWeigher{}, 1, "soft_affinity_weight_multiplier"},
		{SoftAntiAffinityWeigher{}, 1, "soft_anti_affinity_weight_multiplier"},
		{BuildFailureWeigher{}, 1_000_000, "build_failure_weight_multiplier"},
		{TraitsWeigher{}, 1, "traits_weight_multiplier"},
	}
}

// multipliers returns the multiplier for each profile.
func (c WeigherConfig) multipliers(profiles []*profile) []float64 {
	out := make([]float64, len(profiles))
	for i, p := range profiles {
		out[i] = c.Multiplier
		if p == nil || c.AggregateKey == "" {
			continue
		}
		found := false
		for _, a := range p.aggregates {
			f, err := strconv.ParseFloat(strings.TrimSpace(a.Metadata[c.AggregateKey]), 64)
			if err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) && (!found || f < out[i]) {
				out[i], found = f, true
			}
		}
	}
	return out
}

// bounds returns the fixed ends of a weigher's scale.
func bounds(w Weigher) (lo, hi float64) {
	if b, ok := w.(Bounded); ok {
		return b.Bounds()
	}
	return math.Inf(-1), math.Inf(1)
}

// RAMWeigher prefers hosts with more free memory: what is there, less reserved
// and used, without the allocation ratio, as Nova counts it.
type RAMWeigher struct{}

// Name implements [Weigher].
func (RAMWeigher) Name() string { return "RAMWeigher" }

// Weigh implements [Weigher]; the unit is MiB.
func (RAMWeigher) Weigh(_ *Request, h HostView) float64 {
	return float64(h.row().physMem - h.taken(MemoryMB))
}

// Bounds implements [Bounded].
func (RAMWeigher) Bounds() (lo, hi float64) { return 0, math.Inf(1) }

// CPUWeigher prefers hosts with more free VCPUs, with the allocation ratio.
type CPUWeigher struct{}

// Name implements [Weigher].
func (CPUWeigher) Name() string { return "CPUWeigher" }

// Weigh implements [Weigher].
func (CPUWeigher) Weigh(_ *Request, h HostView) float64 {
	return float64(h.row().free[0] - h.taken(VCPU))
}

// Bounds implements [Bounded].
func (CPUWeigher) Bounds() (lo, hi float64) { return 0, math.Inf(1) }

// DiskWeigher prefers hosts with more free disk, without the allocation ratio.
type DiskWeigher struct{}

// Name implements [Weigher].
func (DiskWeigher) Name() string { return "DiskWeigher" }

// Weigh implements [Weigher]; the unit is GiB.
func (DiskWeigher) Weigh(_ *Request, h HostView) float64 {
	return float64(h.row().physDsk - h.taken(DiskGB))
}

// Bounds implements [Bounded].
func (DiskWeigher) Bounds() (lo, hi float64) { return 0, math.Inf(1) }

// IoOpsWeigher counts builds and moves under way; its default multiplier is
// negative, so that quiet hosts are preferred.
type IoOpsWeigher struct{}

// Name implements [Weigher].
func (IoOpsWeigher) Name() string { return "IoOpsWeigher" }

// Weigh implements [Weigher].
func (IoOpsWeigher) Weigh(_ *Request, h HostView) float64 { return float64(h.NumIOOps()) }

// Bounds implements [Bounded].
func (IoOpsWeigher) Bounds() (lo, hi float64) { return 0, math.Inf(1) }

// BuildFailureWeigher avoids hosts where builds failed lately.
type BuildFailureWeigher struct{}

// Name implements [Weigher].
func (BuildFailureWeigher) Name() string { return "BuildFailureWeigher" }

// Weigh implements [Weigher].
func (BuildFailureWeigher) Weigh(_ *Request, h HostView) float64 { return -float64(h.FailedBuilds()) }

// SoftAffinityWeigher prefers hosts with more members of a server group that
// has policy soft-affinity, as long as they have fewer than MaxServerPerHost,
// if that is set.
type SoftAffinityWeigher struct{}

// Name implements [Weigher].
func (SoftAffinityWeigher) Name() string { return "ServerGroupSoftAffinityWeigher" }

// Applies implements [Selective].
func (SoftAffinityWeigher) Applies(req *Request) bool {
	return req.Group != nil && req.Group.Policy == SoftAffinity
}

// Weigh implements [Weigher].
func (SoftAffinityWeigher) Weigh(req *Request, h HostView) float64 {
	n := h.GroupMembers()
	if most := req.Group.MaxServerPerHost; most > 0 && n >= most {
		return 0
	}
	return float64(n)
}

// SoftAntiAffinityWeigher prefers hosts with fewer members of a server group
// that has policy soft-anti-affinity; fewer than MaxServerPerHost, if that is
// set, are as good as none.
type SoftAntiAffinityWeigher struct{}

// Name implements [Weigher].
func (SoftAntiAffinityWeigher) Name() string { return "ServerGroupSoftAntiAffinityWeigher" }

// Applies implements [Selective].
func (SoftAntiAffinityWeigher) Applies(req *Request) bool {
	return req.Group != nil && req.Group.Policy == SoftAntiAffinity
}

// Weigh implements [Weigher].
func (SoftAntiAffinityWeigher) Weigh(req *Request, h HostView) float64 {
	n := h.GroupMembers()
	if n < req.Group.MaxServerPerHost {
		return 0
	}
	return -float64(n)
}
