package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/scheduler"
)

// place is a provider while candidates are sought. It does not change once a
// forest has it: another takes its place.
type place struct {
	ProviderSummary
	clock      int64 // the row's generation
	shape      int64
	aggregates []string // sorted
}

func (p *place) hasTrait(name string) bool {
	_, ok := slices.BinarySearch(p.Traits, name)
	return ok
}

// inventory returns what the provider has of a class, or nil.
func (p *place) inventory(class string) *Inventory {
	for i := range p.Inventories {
		if p.Inventories[i].Class == class {
			return &p.Inventories[i]
		}
	}
	return nil
}

// fits says whether the provider could give an amount to one consumer.
func (p *place) fits(class string, n int64) bool {
	inv := p.inventory(class)
	if inv == nil || inv.Used+n > inv.Capacity {
		return false
	}
	units := scheduler.Inventory{MinUnit: inv.MinUnit, MaxUnit: inv.MaxUnit, StepSize: inv.StepSize}
	return units.Fits(n)
}

// grove is one provider tree.
type grove struct {
	root   *place
	places []*place // in the order of their creation
}

// forest is every provider at one moment. It does not change: what readers hold
// stays as it is, while the next one shares all that is the same.
type forest struct {
	groves  []*grove        // in the order of the roots' creation
	at      map[string]spot // by provider; shared while no tree changes its shape
	sharing []*place        // whose inventory members of their aggregates may use
}

type spot struct{ grove, place int }

// find returns a provider and its tree.
func (f *forest) find(uuid string) (*place, *grove) {
	at, ok := f.at[uuid]
	if !ok {
		return nil, nil
	}
	g := f.groves[at.grove]
	return g.places[at.place], g
}

// grow makes a forest of places.
func grow(places []*place) *forest {
	slices.SortFunc(places, func(a, b *place) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.UUID, b.UUID))
	})
	f := &forest{at: make(map[string]spot, len(places))}
	by := map[string]*grove{}
	for _, p := range places {
		if p.ParentUUID == "" {
			g := &grove{root: p}
			by[p.UUID] = g
			f.groves = append(f.groves, g)
		}
	}
	for _, p := range places {
		if g := by[p.RootUUID]; g != nil {
			g.places = append(g.places, p)
		}
		if p.hasTrait(sharingTrait) {
			f.sharing = append(f.sharing, p)
		}
	}
	for i, g := range f.groves {
		for k, p := range g.places {
			f.at[p.UUID] = spot{i, k}
		}
	}
	return f
}

// replaced returns the forest with other places where old ones were, or nil if
// it has another shape with them.
func (f *forest) replaced(places []*place) *forest {
	out := &forest{groves: slices.Clone(f.groves), at: f.at, sharing: f.sharing}
	fresh := map[int]bool{}
	for _, p := range places {
		at, ok := f.at[p.UUID]
		if !ok {
			return nil
		}
		old := out.groves[at.grove].places[at.place]
		if old.ParentUUID != p.ParentUUID || old.RootUUID != p.RootUUID || !old.CreatedAt.Equal(p.CreatedAt) ||
			old.hasTrait(sharingTrait) != p.hasTrait(sharingTrait) {
			return nil
		}
		if !fresh[at.grove] {
			fresh[at.grove] = true
			g := *out.groves[at.grove]
			g.places = slices.Clone(g.places)
			out.groves[at.grove] = &g
		}
		g := out.groves[at.grove]
		g.places[at.place] = p
		if g.root == old {
			g.root = p
		}
		if p.hasTrait(sharingTrait) {
			out.sharing = slices.Clone(out.sharing)
			out.sharing[slices.Index(out.sharing, old)] = p
		}
	}
	return out
}

// canopy keeps the newest forest. Writers only note what they changed; the next
// reader takes it in, and reads from the database what it must.
type canopy struct {
	loading sync.Mutex // held while rows are read

	mu      sync.Mutex
	wanted  bool // somebody reads forests: changes are noted from then on
	forest  *forest
	dirty   map[string]bool // providers whose rows are to be read again
	use     map[string][]useChange
	reading bool      // what was dirty is on its way
	seen    time.Time // PostgreSQL: of the newest row that was read
}

// useChange is a provider's use as a transaction left it, of the classes that it
// changed.
type useChange struct {
	generation int64 // of the row
	uncounted  int64
	used       scheduler.Resources
	at         time.Time
}

// touch notes that a provider's rows changed.
func (c *canopy) touch(uuid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wanted {
		c.dirty[uuid] = true
	}
}

// maxUseChanges bounds what is noted of one provider between two readers.
const maxUseChanges = 8

// observe notes a provider's use.
func (c *canopy) observe(uuid string, u useChange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.wanted || c.dirty[uuid] {
		return
	}
	if len(c.use[uuid]) == maxUseChanges {
		delete(c.use, uuid)
		c.dirty[uuid] = true
		return
	}
	c.use[uuid] = append(c.use[uuid], u)
}

// current returns the newest forest if nothing is to be taken in.
func (c *canopy) current() *forest {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading || len(c.dirty)+len(c.use) > 0 {
		return nil
	}
	return c.forest
}

// providers returns all providers, with every change that was committed before
// the call.
func (s *Store) providers(ctx context.Context) (*forest, error) {
	c := &s.canopy
	if err := s.changedElsewhere(ctx); err != nil {
		return nil, err
	}
	if f := c.current(); f != nil {
		return f, nil
	}
	c.loading.Lock()
	defer c.loading.Unlock()
	if f := c.current(); f != nil {
		return f, nil
	}
	c.mu.Lock()
	dirty, use, old := c.dirty, c.use, c.forest
	c.dirty, c.use = map[string]bool{}, map[string][]useChange{}
	c.wanted, c.reading = true, true
	c.mu.Unlock()

	f, err := s.nextForest(ctx, old, dirty, use)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
	if err != nil {
		maps.Copy(c.dirty, dirty)
		for uuid := range use {
			c.dirty[uuid] = true
		}
		return nil, fmt.Errorf("reading the resource providers: %w", err)
	}
	c.forest = f
	return f, nil
}

// changedElsewhere notes what other processes on the same PostgreSQL database
// changed. A change sets the provider's updated_at; slack is what clocks, and
// the ends of transactions, may lie apart.
func (s *Store) changedElsewhere(ctx context.Context) error {
	c := &s.canopy
	c.mu.Lock()
	f, since := c.forest, c.seen
	c.mu.Unlock()
	if f == nil || !s.cfg.Store.Postgres() {
		return nil
	}
	db := s.cfg.Store.Reader()
	rows, err := db.QueryContext(ctx, "SELECT uuid, generation, shape, updated_at FROM placement_providers WHERE updated_at >= ?", since.Add(-slack))
	if err != nil {
		return fmt.Errorf("reading the resource providers: %w", err)
	}
	defer rows.Close()
	var stale []string
	for rows.Next() {
		var uuid string
		var generation, shape int64
		var at time.Time
		if err := rows.Scan(&uuid, &generation, &shape, &at); err != nil {
			return fmt.Errorf("reading the resource providers: %w", err)
		}
		if at.After(since) {
			since = at
		}
		if p, _ := f.find(uuid); p == nil || p.clock < generation || p.shape < shape {
			stale = append(stale, uuid)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the resource providers: %w", err)
	}
	var n int
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM placement_providers").Scan(&n); err != nil {
		return fmt.Errorf("counting the resource providers: %w", err)
	}
	for _, uuid := range stale {
		if p, _ := f.find(uuid); p == nil {
			n-- // not there yet
		}
	}
	if n != len(f.at) { // some are gone
		stale = slices.AppendSeq(stale, maps.Keys(f.at))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, uuid := range stale {
		c.dirty[uuid] = true
	}
	if since.After(c.seen) {
		c.seen = since
	}
	return nil
}

// nextForest takes in what changed since the old forest; nil is none.
func (s *Store) nextForest(ctx context.Context, old *forest, dirty map[string]bool, use map[string][]useChange) (*forest, error) {
	db := s.cfg.Store.Reader()
	if old == nil {
		places, err := loadPlaces(ctx, db, "")
		if err != nil {
			return nil, err
		}
		s.canopy.mu.Lock()
		for _, p := range places {
			if p.UpdatedAt.After(s.canopy.seen) {
				s.canopy.seen = p.UpdatedAt
			}
		}
		s.canopy.mu.Unlock()
		old, dirty = grow(places), nil
	}
	var changed []*place
	for uuid, list := range use {
		p, _ := old.find(uuid)
		if p == nil || dirty[uuid] {
			continue
		}
		if next, ok := p.afterUse(list); !ok {
			if dirty == nil {
				dirty = map[string]bool{}
			}
			dirty[uuid] = true
		} else if next != p {
			changed = append(changed, next)
		}
	}
	gone := maps.Clone(dirty)
	for part := range slices.Chunk(slices.Collect(maps.Keys(dirty)), chunk) {
		places, err := loadPlaces(ctx, db, "WHERE %s IN (?)", bun.List(part))
		if err != nil {
			return nil, err
		}
		for _, p := range places {
			delete(gone, p.UUID)
		}
		changed = append(changed, places...)
	}
	maps.DeleteFunc(gone, func(uuid string, _ bool) bool { _, ok := old.at[uuid]; return !ok })
	if len(gone) == 0 {
		if f := old.replaced(changed); f != nil {
			return f, nil
		}
	}
	all := changed
	isNew := map[string]bool{}
	for _, p := range changed {
		isNew[p.UUID] = true
	}
	for _, g := range old.groves {
		for _, p := range g.places {
			if !isNew[p.UUID] && !gone[p.UUID] {
				all = append(all, p)
			}
		}
	}
	return grow(all), nil
}

// afterUse is the place after changes of its use. They must follow one another
// without a gap: between them something else may have changed.
func (p *place) afterUse(list []useChange) (*place, bool) {
	slices.SortFunc(list, func(a, b useChange) int { return cmp.Compare(a.generation, b.generation) })
	next := p
	for _, u := range list {
		if u.generation <= next.clock {
			continue
		}
		if u.generation != next.clock+1 {
			return nil, false
		}
		if next == p {
			clone := *p
			clone.Inventories = slices.Clone(p.Inventories)
			next = &clone
		}
		next.clock, next.Generation, next.UpdatedAt = u.generation, u.generation-u.uncounted, u.at
		for i := range next.Inventories {
			if n, ok := u.used[next.Inventories[i].Class]; ok {
				next.Inventories[i].Used = n
			}
		}
	}
	return next, true
}

// loadPlaces reads providers whole. In where, %s stands for the column of the
// provider's UUID. The providers' rows are read first, so that what is read after
// them is no older than their generation.
func loadPlaces(ctx context.Context, db bun.IDB, where string, args ...any) ([]*place, error) {
	condition := func(column string) string {
		if where == "" {
			return ""
		}
		return " " + fmt.Sprintf(where, column)
	}
	var places []*place
	by := map[string]*place{}
	words := map[string]string{} // one copy of each trait, class and aggregate
	word := func(s string) string {
		if w, ok := words[s]; ok {
			return w
		}
		words[s] = s
		return s
	}
	var p Provider
	var clock, shape int64
	var inv Inventory
	var uuid, name string
	for _, q := range []struct {
		text, column string
		into         []any
		row          func()
	}{
		{
			"SELECT uuid, name, generation, generation - uncounted, shape, parent_uuid, root_uuid, created_at, updated_at FROM placement_providers", "uuid",
			[]any{&p.UUID, &p.Name, &clock, &p.Generation, &shape, &p.ParentUUID, &p.RootUUID, &p.CreatedAt, &p.UpdatedAt},
			func() {
				one := &place{ProviderSummary: ProviderSummary{Provider: p, Traits: []string{}}, clock: clock, shape: shape}
				places, by[p.UUID] = append(places, one), one
			},
		},
		{
			`SELECT provider_uuid, class, total, reserved, min_unit, max_unit, step_size, ratio, capacity, used, updated_at
			FROM placement_inventories`, "provider_uuid",
			[]any{&uuid, &inv.Class, &inv.Total, &inv.Reserved, &inv.MinUnit, &inv.MaxUnit, &inv.StepSize, &inv.Ratio, &inv.Capacity, &inv.Used, &inv.UpdatedAt},
			func() {
				if one := by[uuid]; one != nil {
					inv.Class = word(inv.Class)
					if inv.MaxUnit == 0 {
						inv.MaxUnit = maxUnit
					}
					one.Inventories = append(one.Inventories, inv)
				}
			},
		},
		{
			"SELECT provider_uuid, trait FROM placement_provider_traits", "provider_uuid",
			[]any{&uuid, &name},
			func() {
				if one := by[uuid]; one != nil {
					one.Traits = append(one.Traits, word(name))
				}
			},
		},
		{
			"SELECT provider_uuid, aggregate_uuid FROM placement_provider_aggregates", "provider_uuid",
			[]any{&uuid, &name},
			func() {
				if one := by[uuid]; one != nil {
					one.aggregates = append(one.aggregates, word(name))
				}
			},
		},
	} {
		rows, err := db.QueryContext(ctx, q.text+condition(q.column), args...)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			if err := rows.Scan(q.into...); err != nil {
				_ = rows.Close()
				return nil, err
			}
			q.row()
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	for _, p := range places {
		slices.Sort(p.Traits)
		slices.Sort(p.aggregates)
		slices.SortFunc(p.Inventories, func(a, b Inventory) int { return cmp.Compare(a.Class, b.Class) })
	}
	return places, nil
}
