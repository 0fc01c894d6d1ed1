package sqlstore

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos/scheduler"
)

// search seeks candidates, one tree after the other.
type search struct {
	req    CandidatesRequest
	forest *forest
	// groups are the request's, those with a suffix first: one provider serves
	// them, so they have fewer choices.
	groups  []RequestGroup
	classes [][]string   // of each group, sorted
	roots   []*grove     // of each group's InTree; nil where it has none
	most    []classCount // of all groups together, the most of each class

	// Of the tree at hand:
	grove  *grove
	places []*place // its own, then those that share with it
	found  []Candidate
	steps  int
	// The choice so far.
	taken  []booking
	serves map[string][]*place // by suffix
}

type classCount struct {
	class string
	n     int64
}

// booking is what the choice so far takes of one class of a provider.
type booking struct {
	p     *place
	class string
	n     int64
}

// newSearch prepares a search. It is nil when a group's tree does not exist.
func newSearch(req CandidatesRequest, f *forest) *search {
	s := &search{req: req, forest: f, groups: slices.Clone(req.Groups), serves: map[string][]*place{}}
	slices.SortStableFunc(s.groups, func(a, b RequestGroup) int { return strings.Compare(b.Suffix, a.Suffix) })
	most := scheduler.Resources{}
	for _, g := range s.groups {
		s.classes = append(s.classes, slices.Sorted(maps.Keys(g.Resources)))
		for class, n := range g.Resources {
			most[class] = max(most[class], n)
		}
		var root *grove
		if g.InTree != "" {
			if _, root = f.find(g.InTree); root == nil {
				return nil
			}
		}
		s.roots = append(s.roots, root)
	}
	for _, class := range slices.Sorted(maps.Keys(most)) {
		s.most = append(s.most, classCount{class, most[class]})
	}
	return s
}

// in returns the candidates of one tree, which are valid until the next call.
func (s *search) in(g *grove) []Candidate {
	for _, name := range s.req.RootRequired {
		if !g.root.hasTrait(name) {
			return nil
		}
	}
	if slices.ContainsFunc(s.req.RootForbidden, g.root.hasTrait) {
		return nil
	}
	s.grove, s.places = g, g.places
	for _, p := range s.forest.sharing {
		if p.RootUUID != g.root.UUID && slices.ContainsFunc(g.places, func(o *place) bool { return overlap(o.aggregates, p.aggregates) }) {
			s.places = append(slices.Clip(s.places), p)
		}
	}
	for _, m := range s.most { // most trees that have none are found out here
		if !slices.ContainsFunc(s.places, func(p *place) bool { return p.fits(m.class, m.n) }) {
			return nil
		}
	}
	s.found, s.steps = s.found[:0], 0
	s.group(0)
	return s.found
}

// overlap says whether two sorted lists have something in common.
func overlap(a, b []string) bool {
	for len(a) > 0 && len(b) > 0 {
		switch c := strings.Compare(a[0], b[0]); {
		case c == 0:
			return true
		case c < 0:
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	return false
}

// anyOf says whether a sorted list has one name of each set.
func anyOf(sets [][]string, names []string) bool {
	for _, set := range sets {
		if !containsAny(names, set) {
			return false
		}
	}
	return true
}

// containsAny says whether a sorted list has one of the names.
func containsAny(sorted, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		_, ok := slices.BinarySearch(sorted, n)
		return ok
	})
}

// tired says whether enough was found in the tree, or sought.
func (s *search) tired() bool {
	s.steps++
	return len(s.found) >= maxPerTree || s.steps > maxSteps
}

// inReach says whether a group may use a provider at all.
func (s *search) inReach(i int, p *place) bool {
	g := &s.groups[i]
	if containsAny(p.Traits, g.Forbidden) {
		return false
	}
	own := p.RootUUID == s.grove.root.UUID
	if in := s.roots[i]; in != nil && (p.RootUUID != in.root.UUID || g.Suffix == "" && !own) {
		return false
	}
	if g.Suffix != "" {
		return anyOf(g.MemberOf, p.aggregates) && !containsAny(p.aggregates, g.NotMemberOf)
	}
	// The aggregates of a root span its tree, and what is shared with it.
	root := s.grove.root.aggregates
	return (anyOf(g.MemberOf, p.aggregates) || own && anyOf(g.MemberOf, root)) &&
		!containsAny(p.aggregates, g.NotMemberOf) && !containsAny(root, g.NotMemberOf)
}

// take books an amount, or says that it does not fit with what is booked.
func (s *search) take(p *place, class string, n int64) bool {
	if !p.fits(class, n) {
		return false
	}
	sum := n
	for i := range s.taken {
		if s.taken[i].p == p && s.taken[i].class == class {
			sum += s.taken[i].n
		}
	}
	if sum > n {
		if inv := p.inventory(class); inv.Used+sum > inv.Capacity || sum > inv.MaxUnit {
			return false
		}
	}
	s.taken = append(s.taken, booking{p, class, n})
	return true
}

// group chooses providers for the groups from the i-th on.
func (s *search) group(i int) {
	if s.tired() {
		return
	}
	if i == len(s.groups) {
		s.done()
		return
	}
	g := &s.groups[i]
	if g.Suffix == "" {
		s.spread(i, s.classes[i], nil)
		return
	}
	for _, p := range s.places {
		if !s.inReach(i, p) || !anyOf(g.Required, p.Traits) || s.req.Isolate && s.serving(p) {
			continue
		}
		before := len(s.taken)
		if !slices.ContainsFunc(s.classes[i], func(class string) bool { return !s.take(p, class, g.Resources[class]) }) {
			s.serves[g.Suffix] = []*place{p}
			s.group(i + 1)
			delete(s.serves, g.Suffix)
		}
		s.taken = s.taken[:before]
	}
}

// serving says whether a provider serves a group already.
func (s *search) serving(p *place) bool {
	for _, list := range s.serves {
		if slices.Contains(list, p) {
			return true
		}
	}
	return false
}

// spread chooses a provider for each class of the group without a suffix.
func (s *search) spread(i int, classes []string, chosen []*place) {
	if s.tired() {
		return
	}
	g := &s.groups[i]
	if len(classes) == 0 {
		for _, set := range g.Required {
			if !slices.ContainsFunc(chosen, func(p *place) bool { return containsAny(p.Traits, set) }) {
				return
			}
		}
		s.serves[""] = chosen
		s.group(i + 1)
		delete(s.serves, "")
		return
	}
	for _, p := range s.places {
		if !s.inReach(i, p) || !s.take(p, classes[0], g.Resources[classes[0]]) {
			continue
		}
		with := chosen
		if !slices.Contains(chosen, p) {
			with = append(slices.Clip(chosen), p)
		}
		s.spread(i, classes[1:], with)
		s.taken = s.taken[:len(s.taken)-1]
	}
}

// done keeps the choice if it meets what concerns all groups together.
func (s *search) done() {
	for _, set := range s.req.SameSubtree {
		var all []*place
		for _, suffix := range set {
			all = append(all, s.serves[suffix]...)
		}
		if !slices.ContainsFunc(all, func(top *place) bool {
			return !slices.ContainsFunc(all, func(p *place) bool { return !s.below(p, top) })
		}) {
			return
		}
	}
	c := Candidate{Resources: make(map[string]scheduler.Resources, 1), Mappings: make(map[string][]string, len(s.serves))}
	for _, b := range s.taken {
		if c.Resources[b.p.UUID] == nil {
			c.Resources[b.p.UUID] = make(scheduler.Resources, len(s.most))
		}
		c.Resources[b.p.UUID][b.class] += b.n
	}
	if s.req.Flat && s.nested(c) {
		return
	}
	for suffix, list := range s.serves {
		uuids := make([]string, len(list))
		for i, p := range list {
			uuids[i] = p.UUID
		}
		c.Mappings[suffix] = uuids
	}
	s.found = append(s.found, c)
}

// nested says whether a candidate takes of several providers of one tree.
func (s *search) nested(c Candidate) bool {
	roots := map[string]bool{}
	for uuid := range c.Resources {
		p, _ := s.forest.find(uuid)
		if roots[p.RootUUID] {
			return true
		}
		roots[p.RootUUID] = true
	}
	return false
}

// below says whether a provider is another one or below it.
func (s *search) below(p, top *place) bool {
	for p != nil && p != top {
		p, _ = s.forest.find(p.ParentUUID)
	}
	return p == top
}

// key is the same for candidates that are the same.
func (c Candidate) key() string {
	sorted := make(map[string][]string, len(c.Mappings))
	for suffix, uuids := range c.Mappings {
		sorted[suffix] = slices.Sorted(slices.Values(uuids))
	}
	return fmt.Sprint(c.Resources, sorted)
}
