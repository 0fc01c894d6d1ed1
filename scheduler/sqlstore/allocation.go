package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// Allocations are all that one consumer uses.
type Allocations struct {
	Consumer Consumer
	// Generation is the consumer's.
	Generation int64
	// Of is what it uses, by provider.
	Of map[string]Allocation
	// CreatedAt is that of the newest.
	CreatedAt time.Time
}

// Allocation is what a consumer uses of one provider.
type Allocation struct {
	Generation int64 // the provider's
	Resources  scheduler.Resources
}

// Allocations returns what a consumer uses; without allocations Of is empty.
func (s *Store) Allocations(ctx context.Context, consumer string) (Allocations, error) {
	all, err := s.allocationsWhere(ctx, "allocation.consumer_uuid = ?", consumer)
	if err != nil || len(all) == 0 {
		return Allocations{Consumer: Consumer{ID: consumer}, Of: map[string]Allocation{}}, err
	}
	return all[0], nil
}

// ProviderAllocations returns a provider and who uses how much of it.
func (s *Store) ProviderAllocations(ctx context.Context, uuid string) (Provider, []Allocations, error) {
	p, err := s.Provider(ctx, uuid)
	if err != nil {
		return Provider{}, nil, err
	}
	all, err := s.allocationsWhere(ctx, "allocation.provider_uuid = ?", uuid)
	return p, all, err
}

func (s *Store) allocationsWhere(ctx context.Context, where, arg string) ([]Allocations, error) {
	var rows []struct {
		ConsumerUUID, ProviderUUID, Class, ProjectID, UserID, Type string
		Used, Generation, ProviderGeneration                       int64
		CreatedAt                                                  time.Time
	}
	err := s.cfg.Store.Reader().NewSelect().TableExpr("placement_allocations AS allocation").
		Join("JOIN placement_consumers AS consumer ON consumer.uuid = allocation.consumer_uuid").
		Join("JOIN placement_providers AS provider ON provider.uuid = allocation.provider_uuid").
		ColumnExpr("allocation.consumer_uuid, allocation.provider_uuid, allocation.class, allocation.used, allocation.created_at").
		ColumnExpr("consumer.project_id, consumer.user_id, consumer.type, consumer.generation, provider.generation - provider.uncounted AS provider_generation").
		Where(where, arg).Order("allocation.consumer_uuid", "allocation.provider_uuid").Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	var all []Allocations
	for _, r := range rows {
		if len(all) == 0 || all[len(all)-1].Consumer.ID != r.ConsumerUUID {
			all = append(all, Allocations{
				Consumer: Consumer{r.ConsumerUUID, r.ProjectID, r.UserID, r.Type}, Generation: r.Generation, Of: map[string]Allocation{},
			})
		}
		a := &all[len(all)-1]
		if _, ok := a.Of[r.ProviderUUID]; !ok {
			a.Of[r.ProviderUUID] = Allocation{Generation: r.ProviderGeneration, Resources: scheduler.Resources{}}
		}
		a.Of[r.ProviderUUID].Resources[r.Class] = r.Used
		if r.CreatedAt.After(a.CreatedAt) {
			a.CreatedAt = r.CreatedAt
		}
	}
	return all, nil
}

// AllocationSpec is what a consumer shall use from now on: nothing when Of is
// empty.
type AllocationSpec struct {
	Consumer Consumer
	// KeepType leaves a known consumer's type as it is.
	KeepType bool
	// Check demands that the consumer's generation is Generation; nil that there
	// is no such consumer.
	Check      bool
	Generation *int64
	Of         map[string]scheduler.Resources // by provider
}

// SetAllocations replaces all that the consumers use, in one transaction: all or
// nothing. It fails with nephos.ErrConflict if something does not fit or a
// generation is another, and with nephos.ErrInvalid if a provider or a class
// does not exist.
func (s *Store) SetAllocations(ctx context.Context, specs []AllocationSpec) error {
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error { return s.setAllocations(ctx, tx, specs) })
}

// DeleteAllocations ends all use of a consumer; nephos.ErrNotFound if there is
// none.
func (s *Store) DeleteAllocations(ctx context.Context, consumer string) error {
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		held, err := loadAllocations(ctx, tx, consumer)
		if err != nil {
			return err
		}
		if len(held) == 0 {
			return nephos.Errorf(nephos.ErrNotFound, "No allocations for consumer '%.255s'", consumer)
		}
		return s.Release(ctx, tx, consumer)
	})
}

// change of one provider by a set of allocations.
type providerChange struct {
	delta     scheduler.Resources
	consumers int
	counts    bool // for the generation: consumers use it, or lose all that they used
}

func (s *Store) setAllocations(ctx context.Context, tx *store.Tx, specs []AllocationSpec) error {
	changes := map[string]*providerChange{}
	at := func(uuid string) *providerChange {
		if changes[uuid] == nil {
			changes[uuid] = &providerChange{delta: scheduler.Resources{}}
		}
		return changes[uuid]
	}
	consumers := make([]string, len(specs))
	for i, spec := range specs {
		consumers[i] = spec.Consumer.ID
		held, err := loadAllocations(ctx, tx, spec.Consumer.ID)
		if err != nil {
			return err
		}
		for uuid, amounts := range held {
			at(uuid).consumers--
			at(uuid).counts = at(uuid).counts || len(spec.Of) == 0
			for class, n := range amounts {
				at(uuid).delta[class] -= n
			}
		}
		for uuid, amounts := range spec.Of {
			at(uuid).consumers++
			at(uuid).counts = true
			for class, n := range amounts {
				if n < 0 || n > maxAmount || at(uuid).delta[class] > maxAmount {
					return nephos.Errorf(nephos.ErrInvalid, "allocating %d of %s: out of bounds", n, class).WithField("resources")
				}
				at(uuid).delta[class] += n
			}
		}
	}
	known, err := s.putConsumers(ctx, tx, specs)
	if err != nil {
		return err
	}
	if err := s.checkSpecs(ctx, tx, specs); err != nil {
		return err
	}
	for _, uuid := range slices.Sorted(maps.Keys(changes)) {
		c := changes[uuid]
		maps.DeleteFunc(c.delta, func(_ string, n int64) bool { return n == 0 })
		err := s.change(ctx, tx, uuid, c.delta, nil, c.consumers, c.counts)
		var f *full
		if errors.As(err, &f) {
			return nephos.Errorf(nephos.ErrConflict, "Unable to allocate inventory: Unable to create allocation for '%s' on resource provider '%s'. "+
				"The requested amount would exceed the capacity.", f.class, uuid)
		}
		if err != nil {
			return err
		}
	}
	if len(known) > 0 {
		if _, err := tx.NewDelete().Model((*allocationRow)(nil)).Where("consumer_uuid IN (?)", bun.List(known)).Exec(ctx); err != nil {
			return err
		}
	}
	var rows []allocationRow
	for _, spec := range specs {
		for uuid, amounts := range spec.Of {
			for class, n := range amounts {
				rows = append(rows, allocationRow{ConsumerUUID: spec.Consumer.ID, ProviderUUID: uuid, Class: class, Used: n, CreatedAt: tx.Now()})
			}
		}
	}
	if len(rows) > 0 {
		if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
			return err
		}
	}
	_, err = tx.NewRaw(`DELETE FROM placement_consumers WHERE uuid IN (?) AND NOT EXISTS
		(SELECT 1 FROM placement_allocations a WHERE a.consumer_uuid = placement_consumers.uuid)`, bun.List(consumers)).Exec(ctx)
	return err
}

// putConsumers checks the consumers' generations and writes their records. It
// returns those that were there.
func (s *Store) putConsumers(ctx context.Context, tx *store.Tx, specs []AllocationSpec) ([]string, error) {
	var known []string
	for _, spec := range specs {
		if err := spec.Consumer.check(); err != nil {
			return nil, err
		}
		var rows []consumerRow
		if err := tx.NewSelect().Model(&rows).Where("uuid = ?", spec.Consumer.ID).Scan(ctx); err != nil {
			return nil, err
		}
		expected, got := "null", "None"
		if len(rows) > 0 {
			expected = fmt.Sprint(rows[0].Generation)
		}
		if spec.Generation != nil {
			got = fmt.Sprint(*spec.Generation)
		}
		if spec.Check && expected != got && (len(rows) > 0 || spec.Generation != nil) {
			return nil, nephos.Errorf(nephos.ErrConflict, "consumer generation conflict - expected %s but got %s", expected, got).WithReason(ReasonConcurrentUpdate)
		}
		if len(rows) == 0 {
			if _, err := enter(ctx, tx, spec.Consumer); err != nil {
				return nil, err
			}
			continue
		}
		row := rows[0]
		known = append(known, row.UUID)
		row.Generation, row.ProjectID, row.UserID, row.UpdatedAt = row.Generation+1, spec.Consumer.ProjectID, spec.Consumer.UserID, tx.Now()
		if !spec.KeepType {
			row.Type = spec.Consumer.Type
		}
		if _, err := tx.NewUpdate().Model(&row).WherePK().Exec(ctx); err != nil {
			return nil, err
		}
	}
	return known, nil
}

// FieldClass is the field of the error for allocations of a class that is not
// there.
const FieldClass = "resource_class"

// checkSpecs says whether the providers and classes are there, and whether the
// inventories' units allow the amounts.
func (s *Store) checkSpecs(ctx context.Context, tx *store.Tx, specs []AllocationSpec) error {
	inventories := map[string]map[string]inventoryRow{}
	for _, spec := range specs {
		for _, uuid := range slices.Sorted(maps.Keys(spec.Of)) {
			if inventories[uuid] == nil {
				if _, err := loadProvider(ctx, tx, uuid); kindOf(err) == nephos.ErrNotFound {
					return nephos.Errorf(nephos.ErrInvalid, "Allocation for resource provider '%s' that does not exist.", uuid)
				} else if err != nil {
					return err
				}
				rows, err := loadInventories(ctx, tx, uuid)
				if err != nil {
					return err
				}
				inventories[uuid] = rows
			}
			for _, class := range slices.Sorted(maps.Keys(spec.Of[uuid])) {
				row, ok := inventories[uuid][class]
				if !ok {
					if _, err := loadClass(ctx, tx, class); kindOf(err) == nephos.ErrNotFound {
						return nephos.Errorf(nephos.ErrInvalid, "%w", err).WithField(FieldClass)
					} else if err != nil {
						return err
					}
					return nephos.Errorf(nephos.ErrConflict, "Unable to allocate inventory: Inventory for '%s' on resource provider '%s' invalid.", class, uuid)
				}
				if !row.inventory().Fits(spec.Of[uuid][class]) {
					return nephos.Errorf(nephos.ErrConflict, "Unable to allocate inventory: Unable to create allocation for '%s' on resource provider '%s'. "+
						"The requested amount would violate inventory constraints.", class, uuid)
				}
			}
		}
	}
	return nil
}

// Reshape replaces inventories and allocations of several providers in one
// transaction: use may move from one to another that did not exist before.
// The generations are those of the providers.
func (s *Store) Reshape(ctx context.Context, inventories map[string][]Inventory, generations map[string]int64, specs []AllocationSpec) error {
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		for _, uuid := range slices.Sorted(maps.Keys(inventories)) {
			row, err := loadProvider(ctx, tx, uuid)
			if kindOf(err) == nephos.ErrNotFound {
				return nephos.Errorf(nephos.ErrInvalid, "Resource provider %s in inventories not found: %w", uuid, err).WithReason(ReasonNoProvider)
			}
			if err != nil {
				return err
			}
			if generation := row.provider().Generation; generation != generations[uuid] {
				return nephos.Errorf(nephos.ErrConflict, "resource provider generation conflict for provider %s: actual: %d, given: %d",
					uuid, generation, generations[uuid]).WithReason(ReasonConcurrentUpdate)
			}
			if err := s.knownClasses(ctx, tx, inventories[uuid]); err != nil {
				return nephos.Errorf(nephos.ErrInvalid, "malformed reshaper data: %w", err)
			}
			if len(inventories[uuid]) == 0 {
				continue
			}
			if err := s.writeInventories(ctx, tx, &row, inventories[uuid]); err != nil {
				return err
			}
		}
		if err := s.setAllocations(ctx, tx, specs); err != nil {
			return err
		}
		for uuid, list := range inventories {
			if err := s.dropInventories(ctx, tx, uuid, list); err != nil {
				return nephos.Errorf(nephos.ErrConflict, "update conflict: %w", err).WithReason(ReasonInventoryInUse)
			}
			// What is there before and after the move counts as two changes.
			if err := s.raise(ctx, tx, uuid); err != nil {
				return err
			}
		}
		return nil
	})
}
