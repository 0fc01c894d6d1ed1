package sqlstore

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos/scheduler"
)

// tree seeks candidates in one provider tree and what is shared with it.
type tree struct {
	req    CandidatesRequest
	root   string
	own    []*place // of the tree
	all    []*place // and the sharing ones
	by     map[string]*place
	groups []RequestGroup
	found  []Candidate
	steps  int

	// The choice so far.
	taken  map[string]scheduler.Resources
	serves map[string][]string // providers by suffix
}

func newTree(req CandidatesRequest, root string, own, sharing []*place) *tree {
	t := &tree{
		req: req, root: root, own: own, all: slices.Clone(own), by: map[string]*place{},
		taken: map[string]scheduler.Resources{}, serves: map[string][]string{},
	}
	for _, p := range own {
		t.by[p.UUID] = p
	}
	for _, p := range sharing {
		if t.by[p.UUID] == nil && slices.ContainsFunc(own, func(o *place) bool { return overlap(o.aggregates, p.aggregates) }) {
			t.all = append(t.all, p)
			t.by[p.UUID] = p
		}
	}
	// Groups that one provider serves have fewer choices: they go first.
	t.groups = slices.Clone(req.Groups)
	slices.SortStableFunc(t.groups, func(a, b RequestGroup) int { return strings.Compare(b.Suffix, a.Suffix) })
	return t
}

func overlap(a, b map[string]bool) bool {
	for k := range a {
		if b[k] {
			return true
		}
	}
	return false
}

func (t *tree) candidates() []Candidate {
	root := t.by[t.root]
	if root == nil {
		return nil
	}
	for _, name := range t.req.RootRequired {
		if !root.traits[name] {
			return nil
		}
	}
	if slices.ContainsFunc(t.req.RootForbidden, func(n string) bool { return root.traits[n] }) {
		return nil
	}
	t.group(0)
	return t.found
}

// tired says whether enough was found, or sought.
func (t *tree) tired() bool {
	t.steps++
	return len(t.found) >= maxPerTree || t.steps > maxSteps
}

// inReach says whether a group may use a provider at all.
func (t *tree) inReach(g RequestGroup, p *place) bool {
	if t.req.RootsOnly && p.ParentUUID != "" || slices.ContainsFunc(g.Forbidden, func(n string) bool { return p.traits[n] }) {
		return false
	}
	if g.InTree != "" && (t.by[g.InTree] == nil || p.RootUUID != t.by[g.InTree].RootUUID) {
		return false
	}
	aggregates := p.aggregates
	if root := t.by[p.RootUUID]; g.Suffix == "" && root != nil && root != p {
		// The aggregates of a root span its tree.
		aggregates = maps.Clone(aggregates)
		maps.Copy(aggregates, root.aggregates)
	}
	return p.has(g.MemberOf, aggregates) && !slices.ContainsFunc(g.NotMemberOf, func(n string) bool { return aggregates[n] })
}

// take books an amount, or says that it does not fit with what is booked.
func (t *tree) take(p *place, class string, n int64) bool {
	sum := t.taken[p.UUID][class] + n
	inv := p.by[class]
	if !p.fits(class, n) || inv.Used+sum > inv.Capacity || sum > inv.MaxUnit {
		return false
	}
	if t.taken[p.UUID] == nil {
		t.taken[p.UUID] = scheduler.Resources{}
	}
	t.taken[p.UUID][class] = sum
	return true
}

func (t *tree) giveBack(p *place, class string, n int64) {
	if t.taken[p.UUID][class] -= n; t.taken[p.UUID][class] == 0 {
		delete(t.taken[p.UUID], class)
	}
	if len(t.taken[p.UUID]) == 0 {
		delete(t.taken, p.UUID)
	}
}

// group chooses providers for the groups from the i-th on.
func (t *tree) group(i int) {
	if t.tired() {
		return
	}
	if i == len(t.groups) {
		t.done()
		return
	}
	g := t.groups[i]
	if g.Suffix == "" {
		t.spread(i, g, slices.Sorted(maps.Keys(g.Resources)), nil)
		return
	}
	for _, p := range t.all {
		if !t.inReach(g, p) || !p.has(g.Required, p.traits) || t.req.Isolate && t.isTaken(p) {
			continue
		}
		var booked []string
		ok := true
		for class, n := range g.Resources {
			if ok = t.take(p, class, n); !ok {
				break
			}
			booked = append(booked, class)
		}
		if ok {
			t.serves[g.Suffix] = []string{p.UUID}
			t.group(i + 1)
			delete(t.serves, g.Suffix)
		}
		for _, class := range booked {
			t.giveBack(p, class, g.Resources[class])
		}
	}
}

func (t *tree) isTaken(p *place) bool {
	for _, uuids := range t.serves {
		if slices.Contains(uuids, p.UUID) {
			return true
		}
	}
	return false
}

// spread chooses a provider for each class of the group without a suffix.
func (t *tree) spread(i int, g RequestGroup, classes []string, chosen []*place) {
	if t.tired() {
		return
	}
	if len(classes) == 0 {
		traits, uuids := map[string]bool{}, []string{}
		for _, p := range chosen {
			maps.Copy(traits, p.traits)
			if !slices.Contains(uuids, p.UUID) {
				uuids = append(uuids, p.UUID)
			}
		}
		if !(*place)(nil).has(g.Required, traits) {
			return
		}
		t.serves[""] = uuids
		t.group(i + 1)
		delete(t.serves, "")
		return
	}
	class, n := classes[0], g.Resources[classes[0]]
	for _, p := range t.all {
		if !t.inReach(g, p) || !t.take(p, class, n) {
			continue
		}
		t.spread(i, g, classes[1:], append(slices.Clip(chosen), p))
		t.giveBack(p, class, n)
	}
}

// done keeps the choice if it meets what concerns all groups together.
func (t *tree) done() {
	for _, set := range t.req.SameSubtree {
		var uuids []string
		for _, suffix := range set {
			uuids = append(uuids, t.serves[suffix]...)
		}
		if !slices.ContainsFunc(uuids, func(top string) bool {
			return !slices.ContainsFunc(uuids, func(u string) bool { return !t.below(u, top) })
		}) {
			return
		}
	}
	c := Candidate{Resources: map[string]scheduler.Resources{}, Mappings: map[string][]string{}}
	for uuid, amounts := range t.taken {
		c.Resources[uuid] = maps.Clone(amounts)
	}
	for suffix, uuids := range t.serves {
		c.Mappings[suffix] = slices.Clone(uuids)
	}
	t.found = append(t.found, c)
}

// below says whether a provider is another one or below it.
func (t *tree) below(uuid, top string) bool {
	for p := t.by[uuid]; p != nil; p = t.by[p.ParentUUID] {
		if p.UUID == top {
			return true
		}
	}
	return false
}

// summarize adds the tree's providers and the shared ones that are used.
func (t *tree) summarize(c Candidate, into map[string]ProviderSummary) {
	for _, p := range t.all {
		if t.req.RootsOnly && p.ParentUUID != "" {
			continue
		}
		if _, used := c.Resources[p.UUID]; used || p.RootUUID == t.root {
			into[p.UUID] = p.ProviderSummary
		}
	}
}

// key is the same for candidates that are the same.
func (c Candidate) key() string { return fmt.Sprint(c.Resources, c.Mappings) }
