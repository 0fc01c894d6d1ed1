package scheduler

import (
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
			trait, ok := strings.CutPrefix(key, "trait:")
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
