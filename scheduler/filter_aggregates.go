package scheduler

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// AggregateInstanceExtraSpecsFilter turns away hosts whose aggregates' metadata
// do not meet the flavor's extra specs, those in the scope
// aggregate_instance_extra_specs and those without a scope. See [Match] for the
// operators. It is not among the defaults, as in Nova: keys without a scope that
// are meant for [ComputeCapabilitiesFilter] would turn every host away.
type AggregateInstanceExtraSpecsFilter struct{}

// Name implements [Filter].
func (AggregateInstanceExtraSpecsFilter) Name() string { return "AggregateInstanceExtraSpecsFilter" }

// Prepare implements [Filter].
func (AggregateInstanceExtraSpecsFilter) Prepare(req *Request) Check {
	type want struct{ key, value string }
	var wants []want
	for _, key := range slices.Sorted(maps.Keys(req.ExtraSpecs)) {
		scope, rest, scoped := strings.Cut(key, ":")
		switch {
		case !scoped:
			wants = append(wants, want{key, req.ExtraSpecs[key]})
		case scope == "aggregate_instance_extra_specs":
			wants = append(wants, want{rest, req.ExtraSpecs[key]})
		}
	}
	if len(wants) == 0 {
		return Check{}
	}
	return Check{Shared: true, Host: func(h HostView) Verdict {
		for _, w := range wants {
			values := h.AggregateValues(w.key)
			if !slices.ContainsFunc(values, func(v string) bool { return Match(v, w.value) }) {
				return Verdict{
					Reason: "not in an aggregate for the flavor", Want: w.key + " " + w.value,
					Saw: clip(strings.Join(values, ", ")), Fix: "add the host to an aggregate with metadata " + w.key,
				}
			}
		}
		return Verdict{}
	}}
}

// AggregateMultiTenancyIsolation keeps hosts in aggregates that name projects
// in their metadata (filter_tenant_id, also with a suffix) for those projects.
type AggregateMultiTenancyIsolation struct{}

// Name implements [Filter].
func (AggregateMultiTenancyIsolation) Name() string { return "AggregateMultiTenancyIsolation" }

// Prepare implements [Filter].
func (AggregateMultiTenancyIsolation) Prepare(req *Request) Check {
	return Check{Shared: true, Host: func(h HostView) Verdict {
		found := false
		for _, a := range h.Aggregates() {
			for key, value := range a.Metadata {
				if !strings.HasPrefix(key, "filter_tenant_id") {
					continue
				}
				found = true
				for id := range strings.SplitSeq(value, ",") {
					if strings.TrimSpace(id) == req.ProjectID {
						return Verdict{}
					}
				}
			}
		}
		if !found {
			return Verdict{}
		}
		return Verdict{Reason: "kept for other projects", Fix: "add the project to filter_tenant_id of the host's aggregate"}
	}}
}

// NumInstancesFilter turns away hosts with Max servers or more. The aggregates'
// metadata max_instances_per_host overrule Max; the smallest counts.
type NumInstancesFilter struct {
	Max int // 0 means Nova's default of 50
}

// Name implements [Filter].
func (NumInstancesFilter) Name() string { return "NumInstancesFilter" }

// Prepare implements [Filter].
func (f NumInstancesFilter) Prepare(*Request) Check {
	most := f.Max
	if most <= 0 {
		most = 50
	}
	return Check{Host: func(h HostView) Verdict {
		n, m := h.NumInstances(), smallest(h, "max_instances_per_host", most)
		if n < m {
			return Verdict{}
		}
		return Verdict{Reason: "have too many servers", Wanted: int64(m), Free: int64(n), Fix: "raise max_instances_per_host"}
	}}
}

// IoOpsFilter turns away hosts with Max or more builds, resizes, snapshots and
// moves under way. The aggregates' metadata max_io_ops_per_host overrule Max;
// the smallest counts.
type IoOpsFilter struct {
	Max int // 0 means Nova's default of 8
}

// Name implements [Filter].
func (IoOpsFilter) Name() string { return "IoOpsFilter" }

// Prepare implements [Filter].
func (f IoOpsFilter) Prepare(*Request) Check {
	most := f.Max
	if most <= 0 {
		most = 8
	}
	return Check{Host: func(h HostView) Verdict {
		n, m := h.NumIOOps(), smallest(h, "max_io_ops_per_host", most)
		if n < m {
			return Verdict{}
		}
		return Verdict{Reason: "busy with builds and moves", Wanted: int64(m), Free: int64(n), Fix: "wait, or raise max_io_ops_per_host"}
	}}
}

// smallest is the least number that the host's aggregates give under a key, or
// fallback.
func smallest(h HostView, key string, fallback int) int {
	best, found := 0, false
	for _, a := range h.Aggregates() {
		n, err := strconv.Atoi(strings.TrimSpace(a.Metadata[key]))
		if err == nil && (!found || n < best) {
			best, found = n, true
		}
	}
	if !found {
		return fallback
	}
	return best
}
