package sqlstore

import (
	"context"
	"maps"
	"slices"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

// RequestGroup is one group of a request for allocation candidates. The group
// with the empty Suffix may be served by several providers of a tree, and by
// sharing ones; any other by a single provider.
type RequestGroup struct {
	Suffix      string
	Resources   scheduler.Resources
	Required    [][]string // of each set one trait
	Forbidden   []string
	MemberOf    [][]string // of each set one aggregate
	NotMemberOf []string
	InTree      string
}

// CandidatesRequest asks which providers could serve some groups together.
type CandidatesRequest struct {
	Groups []RequestGroup
	Limit  int // 0: none
	// Isolate demands a provider of its own for each group with a suffix.
	Isolate                     bool
	RootRequired, RootForbidden []string
	// SameSubtree lists sets of suffixes; the providers of each set lie below one
	// of them.
	SameSubtree [][]string
	// Flat leaves out candidates that take of several providers of one tree, and
	// summaries of providers that no candidate takes of, within the limit or beyond.
	Flat bool
}

// Candidate is one way to serve a request.
type Candidate struct {
	Resources map[string]scheduler.Resources // by provider
	Mappings  map[string][]string            // providers by group suffix
}

// ProviderSummary is what a candidate's provider has.
type ProviderSummary struct {
	Provider
	Inventories []Inventory
	Traits      []string
}

const (
	// sharingTrait marks a provider whose inventory the members of its
	// aggregates may use.
	sharingTrait = "MISC_SHARES_VIA_AGGREGATE"
	// maxPerTree bounds the candidates of one tree.
	maxPerTree = 1000
	// maxSteps bounds the search in one tree: a request can be made that would
	// take for ever.
	maxSteps = 100_000
)

// Candidates returns the ways to serve a request and what the trees of their
// providers have, in the order of the trees' creation. It sees every change that
// was committed before the call. Nothing of the answer may be changed. A trait or
// class that does not exist is nephos.ErrInvalid.
func (s *Store) Candidates(ctx context.Context, req CandidatesRequest) ([]Candidate, []ProviderSummary, error) {
	if err := s.checkCandidates(ctx, s.cfg.Store.Reader(), req); err != nil {
		return nil, nil, err
	}
	f, err := s.providers(ctx)
	if err != nil {
		return nil, nil, err
	}
	look := newSearch(req, f)
	if look == nil {
		return nil, nil, nil
	}
	var out []Candidate
	seen := map[string]bool{}
	for _, g := range f.groves {
		for _, c := range look.in(g) {
			if len(f.sharing) > 0 { // what is shared turns up in several trees
				key := c.key()
				if seen[key] {
					continue
				}
				seen[key] = true
			}
			out = append(out, c)
		}
		if req.Limit > 0 && len(out) >= req.Limit {
			return out[:req.Limit], f.summaries(req, out[:req.Limit], out[req.Limit:]), nil
		}
	}
	return out, f.summaries(req, out, nil), nil
}

// summaries returns what the providers of the candidates have, with all others
// in their trees; flat, with those of them that the candidates beyond the limit
// take of.
func (f *forest) summaries(req CandidatesRequest, list, beyond []Candidate) []ProviderSummary {
	out := make([]ProviderSummary, 0, len(list))
	done := make(map[*place]bool, len(list))
	add := func(p *place) {
		if !done[p] {
			done[p] = true
			out = append(out, p.ProviderSummary)
		}
	}
	for _, c := range list {
		for uuid := range c.Resources {
			p, g := f.find(uuid)
			if done[p] {
				continue
			}
			if req.Flat {
				add(p)
				continue
			}
			for _, p := range g.places {
				add(p)
			}
		}
	}
	if !req.Flat || len(beyond) == 0 {
		return out
	}
	trees := map[string]bool{}
	for i := range out {
		trees[out[i].RootUUID] = true
	}
	for _, c := range beyond {
		for uuid := range c.Resources {
			if p, _ := f.find(uuid); trees[p.RootUUID] {
				add(p)
			}
		}
	}
	return out
}

// checkCandidates says whether all classes and traits exist. It complains of the
// first that does not: the roots' traits come first, then each group's classes
// and traits.
func (s *Store) checkCandidates(ctx context.Context, db bun.IDB, req CandidatesRequest) error {
	root := slices.Concat(req.RootRequired, req.RootForbidden)
	var classes []string
	traits := slices.Clone(root)
	for _, g := range req.Groups {
		classes = slices.AppendSeq(classes, maps.Keys(g.Resources))
		traits = append(append(traits, slices.Concat(g.Required...)...), g.Forbidden...)
	}
	noClasses, err := unknownClasses(ctx, db, classes)
	if err != nil {
		return err
	}
	noTraits, err := unknownTraits(ctx, db, traits)
	if err != nil || len(noClasses)+len(noTraits) == 0 {
		return err
	}
	check := func(names []string) error {
		if i := slices.IndexFunc(names, func(n string) bool { return slices.Contains(noTraits, n) }); i >= 0 {
			return nephos.Errorf(nephos.ErrInvalid, "No such trait(s): %.255s.", names[i]).WithField("required")
		}
		return nil
	}
	if err := check(root); err != nil {
		return err
	}
	for _, g := range req.Groups {
		for _, class := range slices.Sorted(maps.Keys(g.Resources)) {
			if slices.Contains(noClasses, class) {
				return nephos.Errorf(nephos.ErrInvalid, "Invalid resource class in resources parameter: %w", noClass(class)).WithField("resources")
			}
		}
		if err := check(append(slices.Concat(g.Required...), g.Forbidden...)); err != nil {
			return err
		}
	}
	return nil
}
