package scheduler

import (
	"slices"
	"strings"
)

// AvailabilityZoneFilter turns away hosts of other availability zones. A host's
// zone is its own, or else any that its aggregates name in their metadata
// (availability_zone), or else Default.
type AvailabilityZoneFilter struct {
	// Default is the zone of hosts without one; empty means "nova".
	Default string
}

// Name implements [Filter].
func (AvailabilityZoneFilter) Name() string { return "AvailabilityZoneFilter" }

// Prepare implements [Filter].
func (f AvailabilityZoneFilter) Prepare(req *Request) Check {
	if req.Zone == "" {
		return Check{}
	}
	fallback := f.Default
	if fallback == "" {
		fallback = "nova"
	}
	return Check{Shared: true, Host: func(h HostView) Verdict {
		zones := h.AggregateValues("availability_zone")
		if z := h.Zone(); z != "" && !slices.Contains(zones, z) {
			zones = append(zones, z)
		}
		if len(zones) == 0 {
			zones = []string{fallback}
		}
		if slices.Contains(zones, req.Zone) {
			return Verdict{}
		}
		return Verdict{Reason: "in another zone", Want: req.Zone, Saw: strings.Join(zones, ", "), Fix: "ask for zone " + zones[0]}
	}}
}
