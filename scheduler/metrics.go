package scheduler

import (
	"maps"
	"math"
	"slices"
)

// MetricsFilter turns away hosts that do not report the named metrics, so that
// [MetricsWeigher] has what it needs.
type MetricsFilter struct{ Names []string }

// Name implements [Filter].
func (MetricsFilter) Name() string { return "MetricsFilter" }

// Prepare implements [Filter].
func (f MetricsFilter) Prepare(*Request) Check {
	if len(f.Names) == 0 {
		return Check{}
	}
	return Check{Host: func(h HostView) Verdict {
		for _, name := range f.Names {
			if _, ok := h.Metric(name); !ok {
				return Verdict{Reason: "do not report a metric", Want: name, Fix: "have the host report " + name}
			}
		}
		return Verdict{}
	}}
}

// MetricsWeigher adds up hosts' metrics, each times its ratio, as
// {"cpu.percent": -1.0} prefers idle hosts.
type MetricsWeigher struct {
	Ratios map[string]float64
	// Optional weighs a host that lacks one of the metrics as Unavailable; else
	// such a host counts as the least of all.
	Optional    bool
	Unavailable float64 // 0 means Nova's default of -10000
}

// Name implements [Weigher].
func (MetricsWeigher) Name() string { return "MetricsWeigher" }

// Applies implements [Selective].
func (w MetricsWeigher) Applies(*Request) bool { return len(w.Ratios) > 0 }

// Weigh implements [Weigher].
func (w MetricsWeigher) Weigh(_ *Request, h HostView) float64 {
	sum := 0.0
	for _, name := range slices.Sorted(maps.Keys(w.Ratios)) { // in order: sums of floats depend on it
		v, ok := h.Metric(name)
		switch {
		case ok:
			sum += v * w.Ratios[name]
		case !w.Optional:
			return math.NaN()
		case w.Unavailable == 0:
			return -10000
		default:
			return w.Unavailable
		}
	}
	return sum
}
