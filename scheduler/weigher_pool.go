package scheduler

// CapacityWeigher prefers pools of storage with more room: free space, or, for
// thin volumes, what may still be promised. A pool that does not know its size
// comes last.
type CapacityWeigher struct{}

// Name implements [Weigher].
func (CapacityWeigher) Name() string { return "CapacityWeigher" }

// Weigh implements [Weigher]; the unit is GiB.
func (CapacityWeigher) Weigh(req *Request, h HostView) float64 {
	p := h.Pool()
	if p == nil || p.TotalGB < 0 || p.FreeGB < 0 {
		return -1
	}
	taken := 0.0
	if req.Volume != nil {
		taken = float64(h.Picks()) * float64(req.Volume.SizeGB)
	}
	reserved := p.TotalGB * float64(p.ReservedPercentage) / 100
	if p.thin(req) {
		return p.TotalGB*p.ratio() - p.ProvisionedGB - reserved - taken
	}
	return p.FreeGB - reserved - taken
}

// AllocatedCapacityWeigher counts what volumes were promised; a negative
// multiplier spreads volumes.
type AllocatedCapacityWeigher struct{}

// Name implements [Weigher].
func (AllocatedCapacityWeigher) Name() string { return "AllocatedCapacityWeigher" }

// Weigh implements [Weigher]; the unit is GiB.
func (AllocatedCapacityWeigher) Weigh(req *Request, h HostView) float64 {
	p := h.Pool()
	if p == nil {
		return 0
	}
	n := p.ProvisionedGB
	if req.Volume != nil {
		n += float64(h.Picks()) * float64(req.Volume.SizeGB)
	}
	return n
}

// VolumeNumberWeigher counts the volumes in the pool; a negative multiplier
// prefers pools with few.
type VolumeNumberWeigher struct{}

// Name implements [Weigher].
func (VolumeNumberWeigher) Name() string { return "VolumeNumberWeigher" }

// Weigh implements [Weigher].
func (VolumeNumberWeigher) Weigh(_ *Request, h HostView) float64 { return float64(h.NumInstances()) }
