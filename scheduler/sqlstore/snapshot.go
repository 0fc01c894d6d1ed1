package sqlstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// host is what this process knows of a host beside the snapshot: what is
// committed, by the provider's generation, and what is on its way.
type host struct {
	ref              scheduler.HostRef
	uuid, text       string
	created          time.Time
	put              int64 // revision + generation of the rows that were put into the snapshot
	revision, shape  int64 // of the same rows
	generation       int64 // of used and consumers
	used             scheduler.Resources
	consumers        int
	numIOOps, failed int
	unfit            bool // not in the snapshot, which cannot take it

	pending scheduler.Resources
	waiting int

	building, broken int // builds under way, and those that failed since one did not
}

const (
	// slack is how far the clocks of several processes, and the ends of their
	// transactions, may lie apart without a change being read late.
	slack = 10 * time.Second
	// quiet is how long a process on PostgreSQL believes its snapshot.
	quiet = 500 * time.Millisecond
	// chunk bounds the values in one query.
	chunk = 500
)

// touched has the provider's rows read again after the commit, here and in
// other processes.
func (s *Store) touched(tx *store.Tx, uuid string) {
	tx.Wake(Topic)
	tx.AfterCommit(func() { s.markDirty(uuid) })
}

func (s *Store) markDirty(uuid string) {
	s.canopy.touch(uuid)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty[uuid] = true
}

func (s *Store) knows(id, text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hosts[id]
	return h != nil && h.text == text
}

// observe takes in a provider's use as a transaction saw it, of some classes. What
// others changed meanwhile of the rest is read soon enough.
func (s *Store) observe(uuid string, generation int64, used scheduler.Resources, consumers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hosts[s.byUUID[uuid]]
	if h == nil {
		s.dirty[uuid] = true
		return
	}
	if generation <= h.generation {
		return
	}
	if consumers <= h.consumers {
		s.given++
	}
	h.generation, h.used, h.consumers = generation, maps.Clone(h.used), consumers
	maps.Copy(h.used, used)
	s.settle(h)
}

// settle tells the snapshot a host's use: what is committed and what is on its
// way. The caller holds mu.
func (s *Store) settle(h *host) {
	if h.unfit {
		return
	}
	used := h.used
	if h.waiting > 0 {
		used = used.Add(h.pending)
	}
	err := s.changes.SetUsage(h.ref.ID, scheduler.Usage{
		Used: used, NumInstances: h.consumers + h.waiting, NumIOOps: h.numIOOps + h.building, FailedBuilds: h.failed + h.broken,
	})
	if err != nil {
		s.cfg.Log.Error("telling the scheduler a host's use", "host", h.ref.ID, "error", err)
	}
}

// reserve keeps room on a host away from other decisions until release. It says
// whether there was room.
func (s *Store) reserve(id string, want scheduler.Resources) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hosts[id]
	if h == nil || s.changes.Claim(id, want) != nil {
		return false
	}
	h.pending, h.waiting = h.pending.Add(want), h.waiting+1
	s.onTheWay++
	return true
}

// roomGiven counts what may have given room to a decision: claims that ended,
// reservations that were not claimed, hosts that changed.
func (s *Store) roomGiven() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given
}

// awaitRoom is called after a decision for no host, with the count before it. It
// says whether the decision may fall otherwise now; while it cannot tell, because
// room is kept for claims on their way, it waits for the next of them.
func (s *Store) awaitRoom(ctx context.Context, before uint64) (bool, error) {
	s.mu.Lock()
	if given := s.given != before; given || s.onTheWay == 0 {
		s.mu.Unlock()
		return given, nil
	}
	if s.ended == nil {
		s.ended = make(chan struct{})
	}
	ended := s.ended
	s.mu.Unlock()
	select {
	case <-ended:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// unreserve ends a reservation. free says that no claim took its place.
func (s *Store) unreserve(id string, want scheduler.Resources, free bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		s.onTheWay--
		if free {
			s.given++
		}
		if s.ended != nil {
			close(s.ended)
			s.ended = nil
		}
	}()
	h := s.hosts[id]
	if h == nil {
		return // removed meanwhile, reservations and all
	}
	for class, n := range want {
		h.pending[class] -= n
	}
	if h.waiting--; h.waiting == 0 {
		h.pending = nil
	}
	s.settle(h)
}

// refresh brings the snapshot up to date with the rows that changed here since
// the last time, and, where other processes write too, there.
func (s *Store) refresh(ctx context.Context) error {
	if fresh, _ := s.fresh(); fresh {
		return nil
	}
	s.loading.Lock()
	defer s.loading.Unlock()
	fresh, all := s.fresh()
	if fresh {
		return nil
	}
	s.mu.Lock()
	if all {
		select {
		case <-s.wake:
		default:
		}
	}
	dirty, since := slices.Collect(maps.Keys(s.dirty)), s.seen
	clear(s.dirty)
	s.reading = true // until it is done, nobody else may go on with the old
	s.mu.Unlock()
	err := s.load(ctx, since, dirty, all)
	if err == nil && all && s.cfg.Store.Postgres() {
		err = s.turns.count(ctx, s.cfg.Store, s.cfg.Clock.Now())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = false
	if err != nil {
		for _, uuid := range dirty {
			s.dirty[uuid] = true
		}
		s.stale = true
		return fmt.Errorf("reading the hosts: %w", err)
	}
	return nil
}

// fresh says whether the snapshot may be used as it is, and, if not, whether
// more than the dirty providers is to be read.
func (s *Store) fresh() (fresh, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all = !s.loaded || s.stale
	if s.cfg.Store.Postgres() {
		all = all || len(s.wake) > 0 || s.cfg.Clock.Now().Sub(s.read) >= quiet
	}
	return !all && len(s.dirty) == 0 && !s.reading, all
}

// reread has everything that other processes changed read again, before a
// decision is given up on account of what they may have given back.
func (s *Store) reread() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = true
}

// outdated says whether what is known of hosts may be too old to compare with.
// A change of one's own that was not read back yet does not count.
func (s *Store) outdated() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.loaded || s.stale || s.cfg.Store.Postgres() && s.cfg.Clock.Now().Sub(s.read) >= quiet
}

// found is a host's row with its provider's.
type found struct {
	HostID, ProviderUUID        string
	Revision, Generation, Shape int64
	Consumers                   int
	CreatedAt, UpdatedAt        time.Time
}

// findHosts reads the hosts that the condition holds for.
func (s *Store) findHosts(ctx context.Context, c condition) ([]found, error) {
	var out []found
	err := s.query(ctx, `SELECT host.host_id, host.provider_uuid, host.revision, provider.generation, provider.shape,
		provider.consumers, provider.created_at, provider.updated_at
		FROM placement_hosts AS host JOIN placement_providers AS provider ON provider.uuid = host.provider_uuid`, c,
		func(scan func(...any) error) error {
			var f found
			if err := scan(&f.HostID, &f.ProviderUUID, &f.Revision, &f.Generation, &f.Shape, &f.Consumers, &f.CreatedAt, &f.UpdatedAt); err != nil {
				return err
			}
			out = append(out, f)
			return nil
		})
	return out, err
}

// load reads what changed since a time, and the dirty providers. The
// generations are read first, so that what is read after them is no older.
func (s *Store) load(ctx context.Context, since time.Time, dirty []string, all bool) error {
	db := s.cfg.Store.Reader()
	now := s.cfg.Clock.Now()
	var changed []found
	if all {
		var c condition
		if !since.IsZero() {
			c = condition{"provider.updated_at", since.Add(-slack)}
		}
		var err error
		if changed, err = s.findHosts(ctx, c); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, f := range changed {
		seen[f.ProviderUUID] = true
	}
	dirty = slices.DeleteFunc(dirty, func(uuid string) bool { return seen[uuid] })
	for part := range slices.Chunk(dirty, chunk) {
		more, err := s.findHosts(ctx, condition{"host.provider_uuid", part})
		if err != nil {
			return err
		}
		changed = append(changed, more...)
	}
	s.mu.Lock()
	for _, f := range changed {
		if f.UpdatedAt.After(since) {
			since = f.UpdatedAt
		}
	}
	var used []found // no more than their use changed
	changed = slices.DeleteFunc(changed, func(f found) bool {
		h := s.hosts[f.HostID]
		if h == nil || !h.created.Equal(f.CreatedAt) || h.revision != f.Revision || h.shape != f.Shape {
			return false
		}
		if f.Generation > h.generation {
			used = append(used, f)
		}
		return true
	})
	s.mu.Unlock()
	for part := range slices.Chunk(used, chunk) {
		if err := s.loadUse(ctx, part); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(changed, chunk) {
		if err := s.loadHosts(ctx, db, part); err != nil {
			return err
		}
	}
	if err := s.forget(ctx, db); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if all {
		s.loaded, s.stale, s.seen, s.read = true, false, since, now
	}
	return nil
}

// loadUse tells the snapshot the use of hosts that it has.
func (s *Store) loadUse(ctx context.Context, list []found) error {
	uuids, use := make([]string, len(list)), make(map[string]scheduler.Resources, len(list))
	for i, f := range list {
		uuids[i], use[f.ProviderUUID] = f.ProviderUUID, scheduler.Resources{}
	}
	err := s.query(ctx, "SELECT provider_uuid, class, used FROM placement_inventories", condition{"provider_uuid", uuids}, func(scan func(...any) error) error {
		var uuid, class string
		var n int64
		if err := scan(&uuid, &class, &n); err != nil {
			return err
		}
		use[uuid][class] = n
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range list {
		if h := s.hosts[f.HostID]; h != nil && h.created.Equal(f.CreatedAt) && h.generation <= f.Generation {
			if f.Consumers <= h.consumers {
				s.given++
			}
			h.generation, h.used, h.consumers = f.Generation, use[f.ProviderUUID], f.Consumers
			s.settle(h)
		}
	}
	return nil
}

// loadHosts puts hosts into the snapshot.
func (s *Store) loadHosts(ctx context.Context, db bun.IDB, list []found) error {
	uuids := make([]string, len(list))
	for i, f := range list {
		uuids[i] = f.ProviderUUID
	}
	var hosts []hostRow
	var inventories []inventoryRow
	var traits []providerTraitRow
	for _, rows := range []any{&hosts, &inventories, &traits} {
		if err := db.NewSelect().Model(rows).Where("provider_uuid IN (?)", bun.List(uuids)).Scan(ctx); err != nil {
			return err
		}
	}
	text, inventoriesOf, traitsOf := map[string]string{}, map[string][]inventoryRow{}, map[string][]string{}
	for _, r := range hosts {
		text[r.ProviderUUID] = r.Description
	}
	for _, r := range inventories {
		inventoriesOf[r.ProviderUUID] = append(inventoriesOf[r.ProviderUUID], r)
	}
	for _, r := range traits {
		traitsOf[r.ProviderUUID] = append(traitsOf[r.ProviderUUID], r.Trait)
	}
	for _, f := range list {
		if text[f.ProviderUUID] == "" {
			continue // removed just now
		}
		h, err := undescribe(text[f.ProviderUUID])
		if err != nil {
			s.cfg.Log.Error("reading a host: nothing is scheduled to it", "host", f.HostID, "error", err)
			h = scheduler.Host{ID: f.HostID}
		}
		withoutRatios(&h)
		h.Traits, h.Generation = traitsOf[f.ProviderUUID], f.Revision+f.Generation
		h.Inventory, h.Used = map[string]scheduler.Inventory{}, scheduler.Resources{}
		for _, r := range inventoriesOf[f.ProviderUUID] {
			h.Inventory[r.Class], h.Used[r.Class] = r.inventory(), r.Used
		}
		s.putSnapshot(h, text[f.ProviderUUID], f)
	}
	return nil
}

// withoutRatios drops the allocation ratios that the host's aggregates set: they
// went into the inventories' rows, where an operator may have changed them.
func withoutRatios(h *scheduler.Host) {
	for _, a := range h.Aggregates {
		for _, key := range []string{"cpu_allocation_ratio", "ram_allocation_ratio", "disk_allocation_ratio"} {
			delete(a.Metadata, key)
		}
	}
}

// putSnapshot takes in what the rows say of a host. One that the snapshot cannot
// take, because an operator gave it too much of something, is left out.
func (s *Store) putSnapshot(h scheduler.Host, text string, f found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.hosts[h.ID]
	if known == nil {
		known = &host{uuid: f.ProviderUUID, generation: -1, created: f.CreatedAt}
	}
	if !known.created.Equal(f.CreatedAt) { // removed and put again
		s.changes.Remove(h.ID)
		known.created, known.put, known.generation = f.CreatedAt, 0, -1
	}
	if h.Generation < known.put {
		return
	}
	err := s.changes.Put(h)
	if known.unfit = err != nil; known.unfit {
		s.cfg.Log.Error("nothing is scheduled to a host that is out of bounds", "host", h.ID, "error", err)
		s.changes.Remove(h.ID)
	}
	s.hosts[h.ID], s.byUUID[f.ProviderUUID] = known, h.ID
	known.put, known.text, known.revision, known.shape = h.Generation, text, f.Revision, f.Shape
	known.ref = scheduler.HostRef{ID: h.ID, Name: h.Name, Zone: zoneOf(h)}
	s.given++
	known.numIOOps, known.failed = h.NumIOOps, h.FailedBuilds
	if f.Generation >= known.generation {
		known.generation, known.used, known.consumers = f.Generation, h.Used, f.Consumers
	}
	s.settle(known)
}

// zoneOf is the host's zone, its own or that of its aggregates.
func zoneOf(h scheduler.Host) string {
	if h.Zone != "" {
		return h.Zone
	}
	for _, a := range h.Aggregates {
		if z := a.Metadata["availability_zone"]; z != "" {
			return z
		}
	}
	return ""
}

// forget drops the hosts that are gone from the database.
func (s *Store) forget(ctx context.Context, db bun.IDB) error {
	n, err := db.NewSelect().Model((*hostRow)(nil)).Count(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	same := n == int64(len(s.hosts))
	s.mu.Unlock()
	if same {
		return nil
	}
	var ids []string
	if err := db.NewSelect().Model((*hostRow)(nil)).Column("host_id").Scan(ctx, &ids); err != nil {
		return err
	}
	there := make(map[string]bool, len(ids))
	for _, id := range ids {
		there[id] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, h := range s.hosts {
		if !there[id] {
			s.changes.Remove(id)
			delete(s.hosts, id)
			delete(s.byUUID, h.uuid)
		}
	}
	return nil
}
