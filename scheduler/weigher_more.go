package scheduler

import (
	"strconv"
)

// NumInstancesWeigher counts the servers on a host. Its multiplier is 0 unless
// told otherwise, as in Nova: positive packs, negative spreads.
type NumInstancesWeigher struct{}

// Name implements [Weigher].
func (NumInstancesWeigher) Name() string { return "NumInstancesWeigher" }

// Weigh implements [Weigher].
func (NumInstancesWeigher) Weigh(_ *Request, h HostView) float64 { return float64(h.NumInstances()) }

// HypervisorVersionWeigher prefers hosts with a newer hypervisor (attribute
// hypervisor_version, a number).
type HypervisorVersionWeigher struct{}

// Name implements [Weigher].
func (HypervisorVersionWeigher) Name() string { return "HypervisorVersionWeigher" }

// Weigh implements [Weigher].
func (HypervisorVersionWeigher) Weigh(_ *Request, h HostView) float64 {
	text, _ := h.Attribute("hypervisor_version")
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return n
}
