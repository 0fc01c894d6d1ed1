package sqlstore

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// Inventory is what a provider has of one resource class; see
// [scheduler.Inventory].
type Inventory struct {
	Class                      string
	Total, Reserved            int64
	MinUnit, MaxUnit, StepSize int64
	Ratio                      float64
	Capacity, Used             int64 // Capacity is ignored when an inventory is set, as is Used
	UpdatedAt                  time.Time
}

// maxUnit stands for no bound: the greatest number that the Placement API knows.
const maxUnit = math.MaxInt32

func (r inventoryRow) listed() Inventory {
	inv := Inventory{
		Class: r.Class, Total: r.Total, Reserved: r.Reserved, MinUnit: r.MinUnit, MaxUnit: r.MaxUnit, StepSize: r.StepSize,
		Ratio: r.Ratio, Capacity: r.Capacity, Used: r.Used, UpdatedAt: r.UpdatedAt,
	}
	if inv.MaxUnit == 0 {
		inv.MaxUnit = maxUnit
	}
	return inv
}

func (i Inventory) row(uuid string) inventoryRow {
	inv := scheduler.Inventory{Total: i.Total, Reserved: i.Reserved}
	return inventoryRow{
		ProviderUUID: uuid, Class: i.Class, Total: i.Total, Reserved: i.Reserved,
		MinUnit: max(i.MinUnit, 1), MaxUnit: i.MaxUnit, StepSize: max(i.StepSize, 1), Ratio: i.Ratio, Capacity: inv.Capacity(i.Ratio),
	}
}

// Inventories returns a provider and what it has, by class.
func (s *Store) Inventories(ctx context.Context, uuid string) (Provider, []Inventory, error) {
	db := s.cfg.Store.Reader()
	p, err := loadProvider(ctx, db, uuid)
	if err != nil {
		return Provider{}, nil, err
	}
	rows, err := loadInventories(ctx, db, uuid)
	if err != nil {
		return Provider{}, nil, err
	}
	out := make([]Inventory, 0, len(rows))
	for _, class := range slices.Sorted(maps.Keys(rows)) {
		out = append(out, rows[class].listed())
	}
	return p.provider(), out, nil
}

const (
	generationConflict = "resource provider generation conflict"
	traitConflict      = "Resource provider's generation already changed. Please update the generation and try again."
)

func (s *Store) knownClasses(ctx context.Context, tx *store.Tx, list []Inventory) error {
	want := scheduler.Resources{}
	for _, i := range list {
		want[i.Class] = 1
	}
	return s.checkClasses(ctx, tx, want)
}

// SetInventories replaces all that a provider has, if its generation is the
// given one; nil is any. A class that is in use cannot go: nephos.ErrConflict.
func (s *Store) SetInventories(ctx context.Context, uuid string, generation *int64, list []Inventory) (Provider, error) {
	var row providerRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		if row, err = current(ctx, tx, uuid, generation, generationConflict); err != nil {
			return err
		}
		if err := s.knownClasses(ctx, tx, list); err != nil {
			return nephos.Errorf(nephos.ErrInvalid, "Unknown resource class in inventory for resource provider %s: %w", uuid, err).WithField("inventories")
		}
		if err := s.dropInventories(ctx, tx, uuid, list); err != nil {
			if kindOf(err) == nephos.ErrConflict && generation != nil { // not of a DELETE
				return nephos.Errorf(nephos.ErrConflict, "update conflict: %w", err).WithReason(ReasonInventoryInUse)
			}
			return err
		}
		return s.writeInventories(ctx, tx, &row, list)
	})
	return row.provider(), err
}

func (s *Store) writeInventories(ctx context.Context, tx *store.Tx, p *providerRow, list []Inventory) error {
	rows := make([]inventoryRow, len(list))
	for i, inv := range list {
		rows[i] = inv.row(p.UUID)
	}
	if err := upsertInventories(ctx, tx, rows); err != nil {
		return err
	}
	p.Generation++
	return s.raise(ctx, tx, p.UUID)
}

// dropInventories removes a provider's inventories but those of the classes to
// keep.
func (s *Store) dropInventories(ctx context.Context, tx *store.Tx, uuid string, keep []Inventory) error {
	rows, err := loadInventories(ctx, tx, uuid)
	if err != nil {
		return err
	}
	for _, i := range keep {
		delete(rows, i.Class)
	}
	if len(rows) == 0 {
		return nil
	}
	gone := slices.SortedFunc(maps.Keys(rows), compareClasses)
	var used []string
	for _, class := range gone {
		if rows[class].Used > 0 {
			used = append(used, class)
		}
	}
	if len(used) > 0 {
		return nephos.Errorf(nephos.ErrConflict, "Inventory for '%s' on resource provider '%s' in use.", strings.Join(used, ", "), uuid).WithReason(ReasonInventoryInUse)
	}
	_, err = tx.NewDelete().Model((*inventoryRow)(nil)).Where("provider_uuid = ? AND class IN (?)", uuid, bun.List(gone)).Exec(ctx)
	return err
}

// AddInventory adds a class that the provider does not have yet.
func (s *Store) AddInventory(ctx context.Context, uuid string, inv Inventory) (Provider, error) {
	var row providerRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		if row, err = loadProvider(ctx, tx, uuid); err != nil {
			return err
		}
		if err := s.knownClasses(ctx, tx, []Inventory{inv}); err != nil {
			return nephos.Errorf(nephos.ErrInvalid, "Unable to create inventory for resource provider %s: %w", uuid, err).WithField("resource_class")
		}
		rows, err := loadInventories(ctx, tx, uuid)
		if err != nil {
			return err
		}
		if _, ok := rows[inv.Class]; ok {
			return nephos.Errorf(nephos.ErrConflict, "Update conflict: resource provider %s has an inventory of %s already", uuid, inv.Class).WithReason(ReasonConcurrentUpdate)
		}
		return s.writeInventories(ctx, tx, &row, []Inventory{inv})
	})
	return row.provider(), err
}

// UpdateInventory replaces what a provider has of one class.
func (s *Store) UpdateInventory(ctx context.Context, uuid string, generation *int64, inv Inventory) (Provider, error) {
	var row providerRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		if row, err = current(ctx, tx, uuid, generation, generationConflict); err != nil {
			return err
		}
		rows, err := loadInventories(ctx, tx, uuid)
		if err != nil {
			return err
		}
		if _, ok := rows[inv.Class]; !ok {
			return nephos.Errorf(nephos.ErrInvalid, "No inventory record with resource class for resource provider %s: No inventory of class %s found.", uuid, inv.Class)
		}
		return s.writeInventories(ctx, tx, &row, []Inventory{inv})
	})
	return row.provider(), err
}

// DeleteInventory removes one class from what a provider has.
func (s *Store) DeleteInventory(ctx context.Context, uuid, class string) error {
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row, err := loadProvider(ctx, tx, uuid)
		if err != nil {
			return err
		}
		rows, err := loadInventories(ctx, tx, uuid)
		if err != nil {
			return err
		}
		if _, ok := rows[class]; !ok {
			return nephos.Errorf(nephos.ErrNotFound, "No inventory of class %.255s found for delete: No inventory of class %.255s found for delete", class, class)
		}
		keep := make([]Inventory, 0, len(rows))
		for c, r := range rows {
			if c != class {
				keep = append(keep, r.listed())
			}
		}
		if err := s.dropInventories(ctx, tx, uuid, keep); err != nil {
			if kindOf(err) == nephos.ErrConflict {
				return nephos.Errorf(nephos.ErrConflict, "Unable to delete inventory of class %s: %w", class, err).WithReason(ReasonConcurrentUpdate)
			}
			return err
		}
		return s.writeInventories(ctx, tx, &row, nil)
	})
}
