package sqlstore

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// PutHost records what its owner knows of a host, and makes it a root resource
// provider under its Node name. Used, NumInstances and Generation are ignored:
// they follow from the claims.
//
// What changed since the owner's last PutHost is written; what an operator
// changed meanwhile through the Placement API otherwise stays; but the owner's
// traits come back if they were taken away. A changed inventory, trait or
// aggregate raises the provider's generation. A class that is gone but in use
// keeps its use and has no capacity. Putting the same host again costs no
// transaction.
//
// It fails with nephos.ErrInvalid if the description is out of bounds, and with
// nephos.ErrConflict if another provider has the name.
func (s *Store) PutHost(ctx context.Context, h scheduler.Host) error {
	if h.Name == "" {
		h.Name = h.ID
	}
	if h.Node == "" {
		h.Node = h.Name
	}
	// A snapshot is the judge of what a host may look like.
	if err := scheduler.NewSnapshot(scheduler.SnapshotConfig{Ratios: s.cfg.Ratios}).Put(h); err != nil {
		return fmt.Errorf("putting host %.64q: %w", h.ID, err)
	}
	h.Inventory = h.Inventories(s.cfg.Ratios) // with those of NUMA cells and PCI pools
	text, err := describe(h)
	if err != nil {
		return fmt.Errorf("putting host %s: %w", h.ID, err)
	}
	if s.outdated() || len(h.Traits) > 0 && s.touchedSince(ProviderID(h.ID)) {
		if err := s.refresh(ctx); err != nil {
			return err
		}
	}
	if s.knows(h.ID, text) && s.carries(h.ID, h.Traits) {
		return nil
	}
	err = s.tx(ctx, func(ctx context.Context, tx *store.Tx) error { return s.putHost(ctx, tx, h, text) })
	if store.UniqueViolation(err) {
		return nephos.Errorf(nephos.ErrConflict, "putting host %s: another resource provider is named %s", h.ID, h.Node).WithField("name")
	}
	return err
}

// touchedSince says whether a provider's rows changed here since they were read.
func (s *Store) touchedSince(uuid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dirty[uuid]
}

// carries says whether a host has the traits.
func (s *Store) carries(id string, traits []string) bool {
	if len(traits) == 0 {
		return true
	}
	h, ok := s.snap.Get(id)
	return ok && len(difference(h.Traits, traits)) == 0
}

func (s *Store) putHost(ctx context.Context, tx *store.Tx, h scheduler.Host, text string) error {
	uuid, now := ProviderID(h.ID), tx.Now()
	var hosts []hostRow
	if err := tx.NewSelect().Model(&hosts).Where("host_id = ?", h.ID).Scan(ctx); err != nil {
		return err
	}
	row, old := hostRow{HostID: h.ID, ProviderUUID: uuid, Revision: 1, Description: text}, scheduler.Host{}
	var have []string
	err := tx.NewSelect().Model((*providerTraitRow)(nil)).Column("trait").Where("provider_uuid = ?", uuid).Scan(ctx, &have)
	if err != nil {
		return err
	}
	if len(hosts) == 1 {
		if hosts[0].Description == text && len(difference(have, h.Traits)) == 0 {
			return nil
		}
		if old, err = undescribe(hosts[0].Description); err != nil {
			return err
		}
		row.Revision = hosts[0].Revision + 1
	}
	_, err = tx.NewRaw(`INSERT INTO placement_providers
		(uuid, name, generation, consumers, parent_uuid, root_uuid, created_at, updated_at) VALUES (?0, ?1, 0, 0, '', ?0, ?2, ?2)
		ON CONFLICT (uuid) DO UPDATE SET name = excluded.name, updated_at = excluded.updated_at`, uuid, h.Node, now).Exec(ctx)
	if err != nil {
		return err
	}
	_, err = tx.NewInsert().Model(&row).On("CONFLICT (host_id) DO UPDATE").
		Set("revision = EXCLUDED.revision").Set("description = EXCLUDED.description").Exec(ctx)
	if err != nil {
		return err
	}
	changed := false
	for _, step := range []func() (bool, error){
		func() (bool, error) { return s.putInventories(ctx, tx, uuid, old, h) },
		func() (bool, error) {
			// Those of the owner's that were taken away count as new ones.
			return putTraits(ctx, tx, uuid, slices.DeleteFunc(old.Traits, func(t string) bool { return !slices.Contains(have, t) }), h.Traits)
		},
		func() (bool, error) { return putAggregates(ctx, tx, uuid, old.Aggregates, h.Aggregates) },
	} {
		c, err := step()
		if err != nil {
			return err
		}
		changed = changed || c
	}
	if changed {
		return s.raise(ctx, tx, uuid)
	}
	s.touched(tx, uuid)
	return nil
}

// raise raises a provider's generation after something about it was changed.
func (s *Store) raise(ctx context.Context, tx *store.Tx, uuid string) error {
	s.touched(tx, uuid)
	_, err := tx.NewRaw("UPDATE placement_providers SET generation = generation + 1, shape = shape + 1, updated_at = ? WHERE uuid = ?", tx.Now(), uuid).Exec(ctx)
	return err
}

// inventoryOf is the row for what a host says of a class.
func (s *Store) inventoryOf(uuid, class string, h scheduler.Host) inventoryRow {
	inv := h.Inventory[class]
	ratio := h.Ratio(class, s.cfg.Ratios)
	return inventoryRow{
		ProviderUUID: uuid, Class: class, Total: inv.Total, Reserved: inv.Reserved,
		MinUnit: max(inv.MinUnit, 1), MaxUnit: inv.MaxUnit, StepSize: max(inv.StepSize, 1),
		Ratio: ratio, Capacity: inv.Capacity(ratio),
	}
}

func (s *Store) putInventories(ctx context.Context, tx *store.Tx, uuid string, old, h scheduler.Host) (bool, error) {
	rows, err := loadInventories(ctx, tx, uuid)
	if err != nil {
		return false, err
	}
	var put []inventoryRow
	for _, class := range slices.Sorted(maps.Keys(h.Inventory)) {
		want := s.inventoryOf(uuid, class, h)
		_, had := old.Inventory[class]
		if _, ok := rows[class]; ok && had && s.inventoryOf(uuid, class, old) == want {
			continue
		}
		put = append(put, want)
	}
	var gone []string
	for class := range old.Inventory {
		row, ok := rows[class]
		if _, stays := h.Inventory[class]; stays || !ok {
			continue
		}
		if row.Used == 0 {
			gone = append(gone, class)
			continue
		}
		row.Reserved, row.Capacity = row.Total, 0
		put = append(put, row)
	}
	if len(gone) > 0 {
		_, err := tx.NewDelete().Model((*inventoryRow)(nil)).Where("provider_uuid = ? AND class IN (?)", uuid, bun.List(gone)).Exec(ctx)
		if err != nil {
			return false, err
		}
	}
	if err := ensureClasses(ctx, tx, put); err != nil {
		return false, err
	}
	return len(put)+len(gone) > 0, upsertInventories(ctx, tx, put)
}

// upsertInventories writes inventories and leaves their use alone.
func upsertInventories(ctx context.Context, tx *store.Tx, rows []inventoryRow) error {
	if len(rows) == 0 {
		return nil
	}
	for i := range rows {
		rows[i].Used, rows[i].CreatedAt, rows[i].UpdatedAt = 0, tx.Now(), tx.Now()
	}
	q := tx.NewInsert().Model(&rows).On("CONFLICT (provider_uuid, class) DO UPDATE")
	for _, c := range []string{"total", "reserved", "min_unit", "max_unit", "step_size", "ratio", "capacity", "updated_at"} {
		q = q.Set("? = EXCLUDED.?", bun.Ident(c), bun.Ident(c))
	}
	_, err := q.Exec(ctx)
	return err
}

// loadInventories returns a provider's inventories by class.
func loadInventories(ctx context.Context, db bun.IDB, uuid string) (map[string]inventoryRow, error) {
	var rows []inventoryRow
	if err := db.NewSelect().Model(&rows).Where("provider_uuid = ?", uuid).Scan(ctx); err != nil {
		return nil, err
	}
	by := make(map[string]inventoryRow, len(rows))
	for _, r := range rows {
		by[r.Class] = r
	}
	return by, nil
}

// difference returns what is in b and not in a.
func difference(a, b []string) []string {
	var out []string
	for _, v := range b {
		if !slices.Contains(a, v) && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func putTraits(ctx context.Context, tx *store.Tx, uuid string, old, traits []string) (bool, error) {
	lost, won := difference(traits, old), difference(old, traits)
	if len(lost) > 0 {
		_, err := tx.NewDelete().Model((*providerTraitRow)(nil)).Where("provider_uuid = ? AND trait IN (?)", uuid, bun.List(lost)).Exec(ctx)
		if err != nil {
			return false, err
		}
	}
	if err := ensureTraits(ctx, tx, won); err != nil {
		return false, err
	}
	return len(lost)+len(won) > 0, insertTraits(ctx, tx, uuid, won)
}

func insertTraits(ctx context.Context, tx *store.Tx, uuid string, traits []string) error {
	if len(traits) == 0 {
		return nil
	}
	rows := make([]providerTraitRow, len(traits))
	for i, t := range traits {
		rows[i] = providerTraitRow{ProviderUUID: uuid, Trait: t}
	}
	_, err := tx.NewInsert().Model(&rows).On("CONFLICT DO NOTHING").Exec(ctx)
	return err
}

// putAggregates keeps the aggregates whose id is a UUID, which is what the
// Placement API calls an aggregate by.
func putAggregates(ctx context.Context, tx *store.Tx, uuid string, old, aggregates []scheduler.Aggregate) (bool, error) {
	ids := func(list []scheduler.Aggregate) (out []string) {
		for _, a := range list {
			if uuidPattern.MatchString(a.ID) {
				out = append(out, a.ID)
			}
		}
		return out
	}
	lost, won := difference(ids(aggregates), ids(old)), difference(ids(old), ids(aggregates))
	if len(lost) > 0 {
		_, err := tx.NewDelete().Model((*providerAggregateRow)(nil)).Where("provider_uuid = ? AND aggregate_uuid IN (?)", uuid, bun.List(lost)).Exec(ctx)
		if err != nil {
			return false, err
		}
	}
	return len(lost)+len(won) > 0, insertAggregates(ctx, tx, uuid, won)
}

func insertAggregates(ctx context.Context, tx *store.Tx, uuid string, aggregates []string) error {
	if len(aggregates) == 0 {
		return nil
	}
	rows := make([]providerAggregateRow, len(aggregates))
	for i, a := range aggregates {
		rows[i] = providerAggregateRow{ProviderUUID: uuid, AggregateUUID: a}
	}
	_, err := tx.NewInsert().Model(&rows).On("CONFLICT DO NOTHING").Exec(ctx)
	return err
}

// RemoveHost forgets a host and its resource provider. Removing one that is not
// there is no error. It fails with nephos.ErrConflict while the host carries
// claims.
func (s *Store) RemoveHost(ctx context.Context, id string) error {
	uuid := ProviderID(id)
	err := s.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := loadProvider(ctx, tx, uuid)
		if nephos.ErrNotFound == kindOf(err) {
			s.touched(tx, uuid)
			return nil
		}
		if err != nil {
			return err
		}
		return s.deleteProvider(ctx, tx, uuid)
	})
	return err
}

// Host returns a host with its present use.
func (s *Store) Host(ctx context.Context, id string) (scheduler.Host, error) {
	if err := s.refresh(ctx); err != nil {
		return scheduler.Host{}, err
	}
	h, ok := s.snap.Get(id)
	if !ok {
		return scheduler.Host{}, nephos.NotFound("Host", id)
	}
	return h, nil
}

// Hosts returns all hosts with their present use, by id.
func (s *Store) Hosts(ctx context.Context) ([]scheduler.Host, error) {
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	ids := s.snap.IDs()
	hosts := make([]scheduler.Host, 0, len(ids))
	for _, id := range ids {
		if h, ok := s.snap.Get(id); ok {
			hosts = append(hosts, h)
		}
	}
	return hosts, nil
}

// Judge asks every filter about each of the hosts; see [scheduler.Scheduler].
func (s *Store) Judge(ctx context.Context, req scheduler.Request, hostIDs []string) ([]scheduler.Judgement, error) {
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	return s.sched.Judge(s.snap, req, hostIDs)
}
