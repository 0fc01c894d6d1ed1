package scheduler

import (
	"math"
	"slices"
	"strings"
)

// TraitFilter turns away hosts without a trait that the flavor's extra specs
// or the image's properties require (trait:HW_CPU_X86_AVX2=required), and hosts
// with one that they forbid (trait:…=forbidden).
type TraitFilter struct{}

// Name implements [Filter].
func (TraitFilter) Name() string { return "TraitFilter" }

// Prepare implements [Filter].
func (TraitFilter) Prepare(req *Request) Check {
	var required, forbidden []string
	for _, specs := range []map[string]string{req.ExtraSpecs, req.ImageProperties} {
		for key, value := range specs {
			trait, ok := traitOf(key)
			switch {
			case ok && value == "required":
				required = append(required, trait)
			case ok && value == "forbidden":
				forbidden = append(forbidden, trait)
			}
		}
	}
	if len(required)+len(forbidden) == 0 {
		return Check{}
	}
	slices.Sort(required)
	slices.Sort(forbidden)
	return Check{Shared: true, Host: func(h HostView) Verdict {
		for _, t := range required {
			if !h.HasTrait(t) {
				return Verdict{Reason: "lack a required trait", Want: t, Fix: "give the host trait " + t}
			}
		}
		for _, t := range forbidden {
			if h.HasTrait(t) {
				return Verdict{Reason: "have a forbidden trait", Saw: t, Fix: "take trait " + t + " from the host"}
			}
		}
		return Verdict{}
	}}
}

// traitOf reads the trait from a key such as trait:HW_CPU_X86_AVX2, or
// trait1:… of a group of resources.
func traitOf(key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, "trait")
	if !ok {
		return "", false
	}
	group, trait, ok := strings.Cut(rest, ":")
	return trait, ok && strings.Trim(group, "0123456789") == ""
}

// TraitsWeigher prefers hosts with more of the traits that the flavor's extra
// specs or the image's properties prefer (trait:HW_CPU_X86_AVX2=preferred).
type TraitsWeigher struct{}

// Name implements [Weigher].
func (TraitsWeigher) Name() string { return "TraitsWeigher" }

// Applies implements [Selective].
func (TraitsWeigher) Applies(req *Request) bool { return len(preferred(req)) > 0 }

// Weigh implements [Weigher].
func (TraitsWeigher) Weigh(req *Request, h HostView) float64 {
	n := 0
	for _, t := range preferred(req) {
		if h.HasTrait(t) {
			n++
		}
	}
	return float64(n)
}

// Bounds implements [Bounded].
func (TraitsWeigher) Bounds() (lo, hi float64) { return 0, math.Inf(1) }

func preferred(req *Request) (out []string) {
	for _, specs := range []map[string]string{req.ExtraSpecs, req.ImageProperties} {
		for key, value := range specs {
			if value != "preferred" {
				continue
			}
			if t, ok := traitOf(key); ok && !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	return out
}
