package scheduler

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// CapacityFilter turns away pools of storage without room for the volume, as
// Cinder's does. A pool keeps reserved_percentage free. A thin pool may promise
// max_over_subscription_ratio times its size in all, and that many times what is
// left of it to one volume; a thick one promises what it has. A pool that does
// not know its size passes.
type CapacityFilter struct{}

// Name implements [Filter].
func (CapacityFilter) Name() string { return "CapacityFilter" }

// Prepare implements [Filter].
func (CapacityFilter) Prepare(req *Request) Check {
	if req.Volume == nil {
		return Check{}
	}
	return Check{Host: func(h HostView) Verdict {
		p := h.Pool()
		if p == nil {
			return Verdict{Reason: "not a pool of storage"}
		}
		kind := req.Volume.Provisioning
		if kind == "thin" && !p.Thin || kind == "thick" && p.Thin && !p.Thick {
			return Verdict{Reason: "cannot make " + kind + " volumes", Want: kind, Fix: "use a type without provisioning:type"}
		}
		room, limit := p.room(p.thin(req), float64(h.Picks())*float64(req.Volume.SizeGB))
		if float64(req.Volume.SizeGB) <= room {
			return Verdict{}
		}
		v := Verdict{Reason: "lack free space", Class: DiskGB, Wanted: req.Volume.SizeGB, Free: int64(room)}
		if limit != "free space" {
			v.Reason, v.Fix = "lack room to promise more", "raise max_over_subscription_ratio, or add space"
		}
		v.Saw = fmt.Sprintf("total %.0f, free %.0f, provisioned %.0f GiB, reserved %d%%, ratio %g, thin %v",
			p.TotalGB, p.FreeGB, p.ProvisionedGB, p.ReservedPercentage, p.ratio(), p.thin(req))
		return v
	}}
}

// PoolZoneFilter turns away pools of other zones than the one asked for, or
// than those that the volume type allows (RESKEY:availability_zones).
type PoolZoneFilter struct {
	// Default is the zone of pools without one; empty means "nova".
	Default string
}

// Name implements [Filter].
func (PoolZoneFilter) Name() string { return "AvailabilityZoneFilter" }

// Prepare implements [Filter].
func (f PoolZoneFilter) Prepare(req *Request) Check {
	var allowed []string
	if req.Volume != nil {
		allowed = req.Volume.Zones
	}
	if req.Zone == "" && len(allowed) == 0 {
		return Check{}
	}
	fallback := f.Default
	if fallback == "" {
		fallback = "nova"
	}
	return Check{Shared: true, Host: func(h HostView) Verdict {
		zone := h.Zone()
		if zone == "" {
			zone = fallback
		}
		switch {
		case req.Zone != "" && zone != req.Zone:
			return Verdict{Reason: "in another zone", Want: req.Zone, Saw: zone, Fix: "ask for zone " + zone}
		case len(allowed) > 0 && !slices.Contains(allowed, zone):
			return Verdict{Reason: "in a zone that the volume type does not allow", Want: strings.Join(allowed, ", "), Saw: zone}
		}
		return Verdict{}
	}}
}

// CapabilitiesFilter turns away pools that do not meet the volume type's extra
// specs: those in scope "capabilities:" and those without a scope, such as
// volume_backend_name or multiattach = "<is> True". See [Match] for the other
// operators.
type CapabilitiesFilter struct{}

// Name implements [Filter].
func (CapabilitiesFilter) Name() string { return "CapabilitiesFilter" }

// Prepare implements [Filter].
func (CapabilitiesFilter) Prepare(req *Request) Check {
	type want struct{ name, value string }
	var wants []want
	for _, key := range slices.Sorted(maps.Keys(req.ExtraSpecs)) {
		scope, name, scoped := strings.Cut(key, ":")
		switch {
		case !scoped:
			wants = append(wants, want{key, req.ExtraSpecs[key]})
		case scope == "capabilities":
			wants = append(wants, want{name, req.ExtraSpecs[key]})
		}
	}
	if len(wants) == 0 {
		return Check{}
	}
	return Check{Host: func(h HostView) Verdict {
		for _, w := range wants {
			has, ok := poolFact(h, w.name)
			if !ok {
				return Verdict{Reason: "lack a capability of the volume type", Want: w.name + " " + w.value}
			}
			if !matchCapability(has, w.value) {
				return Verdict{Reason: "do not meet a capability of the volume type", Want: w.name + " " + w.value, Saw: clip(has)}
			}
		}
		return Verdict{}
	}}
}

// matchCapability knows the operator <is>, which compares truth, beside those
// of Match.
func matchCapability(has, want string) bool {
	if rest, ok := strings.CutPrefix(strings.TrimSpace(want), "<is>"); ok {
		return truth(has) == truth(rest)
	}
	return Match(has, want) || has == want
}

func truth(s string) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "1", "t", "true", "on", "y", "yes":
		return true
	}
	return false
}

// poolFact is a capability of a pool, its numbers by Cinder's names included.
func poolFact(h HostView, name string) (string, bool) {
	if v, ok := h.Attribute(name); ok {
		return v, true
	}
	p := h.Pool()
	if p == nil {
		return capabilityOf(h, strings.Split(name, ":"))
	}
	number := func(f float64) (string, bool) {
		if f < 0 {
			return "unknown", true
		}
		return fmt.Sprint(math.Round(f*1000) / 1000), true
	}
	yes := func(b bool) (string, bool) {
		if b {
			return "True", true
		}
		return "False", true
	}
	switch name {
	case "total_capacity_gb":
		return number(p.TotalGB)
	case "free_capacity_gb":
		return number(p.FreeGB)
	case "provisioned_capacity_gb":
		return number(p.ProvisionedGB)
	case "max_over_subscription_ratio":
		return number(p.ratio())
	case "reserved_percentage":
		return fmt.Sprint(p.ReservedPercentage), true
	case "total_volumes":
		return fmt.Sprint(p.Volumes), true
	case "pool_name":
		_, pool, _ := strings.Cut(p.ID, "#")
		return pool, pool != ""
	case "thin_provisioning_support":
		return yes(p.Thin)
	case "thick_provisioning_support":
		return yes(p.Thick || !p.Thin)
	}
	return capabilityOf(h, strings.Split(name, ":"))
}

// PoolAffinityFilter keeps a volume in, or out of, the pools of other volumes:
// the hints same_host and different_host of the Block Storage API.
type PoolAffinityFilter struct{}

// Name implements [Filter].
func (PoolAffinityFilter) Name() string { return "PoolAffinityFilter" }

// Prepare implements [Filter].
func (PoolAffinityFilter) Prepare(req *Request) Check {
	if req.Volume == nil || len(req.Volume.Same)+len(req.Volume.Different) == 0 {
		return Check{}
	}
	v := req.Volume
	return Check{Host: func(h HostView) Verdict {
		p := h.Pool()
		if p == nil {
			return Verdict{Reason: "not a pool of storage"}
		}
		switch {
		case len(v.Same) > 0 && !slices.ContainsFunc(v.Same, p.named):
			return Verdict{Reason: "not the pool of the volume named by same_host", Want: clip(strings.Join(v.Same, ", "))}
		case slices.ContainsFunc(v.Different, p.named):
			return Verdict{Reason: "the pool of a volume named by different_host", Saw: p.ID}
		}
		return Verdict{}
	}}
}
