package sqlstore

import (
	"context"
	"maps"
	"slices"
	"strings"

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
	// SameSubtree lists sets of suffixes whose providers lie below one of them.
	SameSubtree [][]string
	// RootsOnly leaves out providers that have a parent.
	RootsOnly bool
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

// place is a provider while candidates are sought.
type place struct {
	ProviderSummary
	by         map[string]Inventory
	traits     map[string]bool
	aggregates map[string]bool
}

func (p *place) has(sets [][]string, names map[string]bool) bool {
	for _, set := range sets {
		if !slices.ContainsFunc(set, func(n string) bool { return names[n] }) {
			return false
		}
	}
	return true
}

func (p *place) fits(class string, n int64) bool {
	inv, ok := p.by[class]
	units := scheduler.Inventory{MinUnit: inv.MinUnit, MaxUnit: inv.MaxUnit, StepSize: inv.StepSize}
	return ok && inv.Used+n <= inv.Capacity && units.Fits(n)
}

// Candidates returns the ways to serve a request and what their providers have,
// in the order of the trees' creation. A trait or class that does not exist is
// nephos.ErrInvalid.
func (s *Store) Candidates(ctx context.Context, req CandidatesRequest) ([]Candidate, []ProviderSummary, error) {
	db := s.cfg.Store.Reader()
	if err := s.checkCandidates(ctx, db, req); err != nil {
		return nil, nil, err
	}
	sharing, err := loadPlaces(ctx, db, `uuid IN (SELECT provider_uuid FROM placement_provider_traits WHERE trait = ?)`, sharingTrait)
	if err != nil {
		return nil, nil, err
	}
	roots, err := candidateRoots(ctx, db, req, sharing)
	if err != nil {
		return nil, nil, err
	}
	var out []Candidate
	summaries := map[string]ProviderSummary{}
	seen := map[string]bool{}
	for part := range slices.Chunk(roots, chunk) {
		places, err := loadPlaces(ctx, db, "root_uuid IN (?)", bun.List(part))
		if err != nil {
			return nil, nil, err
		}
		trees := map[string][]*place{}
		for _, p := range places {
			trees[p.RootUUID] = append(trees[p.RootUUID], p)
		}
		for _, root := range part {
			t := newTree(req, root, trees[root], sharing)
			for _, c := range t.candidates() {
				key := c.key()
				if seen[key] {
					continue
				}
				seen[key] = true
				out = append(out, c)
				t.summarize(c, summaries)
				if req.Limit > 0 && len(out) == req.Limit {
					return out, sortedSummaries(summaries), nil
				}
			}
		}
	}
	return out, sortedSummaries(summaries), nil
}

func sortedSummaries(m map[string]ProviderSummary) []ProviderSummary {
	out := make([]ProviderSummary, 0, len(m))
	for _, uuid := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[uuid])
	}
	return out
}

func (s *Store) checkCandidates(ctx context.Context, db bun.IDB, req CandidatesRequest) error {
	classes, traits := scheduler.Resources{}, slices.Concat(req.RootRequired, req.RootForbidden)
	for _, g := range req.Groups {
		maps.Copy(classes, g.Resources)
		traits = append(traits, slices.Concat(g.Required...)...)
		traits = append(traits, g.Forbidden...)
	}
	if err := s.checkClasses(ctx, db, classes); err != nil {
		return nephos.Errorf(nephos.ErrInvalid, "Invalid resource class in resources parameter: %w", err).WithField("resources")
	}
	unknown, err := unknownTraits(ctx, db, traits)
	if err == nil && len(unknown) > 0 {
		err = nephos.Errorf(nephos.ErrInvalid, "No such trait(s): %s.", strings.Join(unknown, ", ")).WithField("required")
	}
	return err
}

// candidateRoots returns the trees that have, or share, room for each class.
func candidateRoots(ctx context.Context, db bun.IDB, req CandidatesRequest, sharing []*place) ([]string, error) {
	q := db.NewSelect().Model((*providerRow)(nil)).Column("uuid").Where("parent_uuid = ''").Order("created_at", "uuid")
	for _, g := range req.Groups {
		if g.InTree != "" {
			q = q.Where("uuid = (SELECT root_uuid FROM placement_providers WHERE uuid = ?)", g.InTree)
		}
		for class, n := range g.Resources {
			if slices.ContainsFunc(sharing, func(p *place) bool { return p.fits(class, n) }) {
				continue
			}
			q = q.Where(`uuid IN (SELECT p.root_uuid FROM placement_providers p JOIN placement_inventories i ON i.provider_uuid = p.uuid
				WHERE i.class = ? AND i.used + ? <= i.capacity)`, class, n)
		}
	}
	var roots []string
	err := q.Scan(ctx, &roots)
	return roots, err
}

func loadPlaces(ctx context.Context, db bun.IDB, where string, arg any) ([]*place, error) {
	var rows []providerRow
	if err := db.NewSelect().Model(&rows).Where(where, arg).Order("created_at", "uuid").Scan(ctx); err != nil || len(rows) == 0 {
		return nil, err
	}
	places := make([]*place, len(rows))
	by, uuids := map[string]*place{}, make([]string, len(rows))
	for i, r := range rows {
		places[i] = &place{
			ProviderSummary: ProviderSummary{Provider: r.provider(), Traits: []string{}},
			by:              map[string]Inventory{}, traits: map[string]bool{}, aggregates: map[string]bool{},
		}
		by[r.UUID], uuids[i] = places[i], r.UUID
	}
	var inventories []inventoryRow
	var traits []providerTraitRow
	var aggregates []providerAggregateRow
	for _, load := range []struct {
		rows  any
		order string
	}{{&inventories, "class"}, {&traits, "trait"}, {&aggregates, "aggregate_uuid"}} {
		if err := db.NewSelect().Model(load.rows).Where("provider_uuid IN (?)", bun.List(uuids)).Order(load.order).Scan(ctx); err != nil {
			return nil, err
		}
	}
	for _, r := range inventories {
		p := by[r.ProviderUUID]
		p.Inventories = append(p.Inventories, r.listed())
		p.by[r.Class] = r.listed()
	}
	for _, r := range traits {
		p := by[r.ProviderUUID]
		p.Traits = append(p.Traits, r.Trait)
		p.traits[r.Trait] = true
	}
	for _, r := range aggregates {
		by[r.ProviderUUID].aggregates[r.AggregateUUID] = true
	}
	return places, nil
}
