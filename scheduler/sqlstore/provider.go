package sqlstore

import (
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// Provider is a resource provider of the Placement API. A host is one without a
// parent; see [ProviderID].
type Provider struct {
	UUID, Name string
	// Generation rises with every change of inventories, traits and aggregates, and
	// with new allocations. Allocations that only end leave it as it is.
	Generation           int64
	ParentUUID, RootUUID string // ParentUUID is empty, and RootUUID its own, of a root
	CreatedAt, UpdatedAt time.Time
}

func (r providerRow) provider() Provider {
	return Provider{
		UUID: r.UUID, Name: r.Name, Generation: r.Generation - r.Uncounted, ParentUUID: r.ParentUUID, RootUUID: r.RootUUID,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
}

// The reasons of errors, which are the Placement API's error codes.
const (
	ReasonConcurrentUpdate = "placement.concurrent_update"
	ReasonDuplicateName    = "placement.duplicate_name"
	ReasonInventoryInUse   = "placement.inventory.inuse"
	ReasonProviderInUse    = "placement.resource_provider.inuse"
	ReasonParent           = "placement.resource_provider.cannot_delete_parent"
	ReasonNoProvider       = "placement.resource_provider.not_found"
)

// ProviderFilter narrows a list of providers; empty fields do not.
type ProviderFilter struct {
	UUID, Name string
	InTree     string // of any provider in the tree
	// MemberOf: of each set, the provider is in one aggregate. NotMemberOf: it is
	// in none of these.
	MemberOf    [][]string
	NotMemberOf []string
	// Required: of each set, the provider has one trait. Forbidden: it has none
	// of these.
	Required  [][]string
	Forbidden []string
	// Resources are amounts that the provider could give.
	Resources scheduler.Resources
}

func loadProvider(ctx context.Context, db bun.IDB, uuid string) (providerRow, error) {
	var rows []providerRow
	if err := db.NewSelect().Model(&rows).Where("uuid = ?", uuid).Scan(ctx); err != nil {
		return providerRow{}, err
	}
	if len(rows) == 0 {
		return providerRow{}, nephos.Errorf(nephos.ErrNotFound, "No resource provider with uuid %.64s found", uuid)
	}
	return rows[0], nil
}

// Provider returns a provider; nephos.ErrNotFound when there is none.
func (s *Store) Provider(ctx context.Context, uuid string) (Provider, error) {
	row, err := loadProvider(ctx, s.cfg.Store.Reader(), uuid)
	return row.provider(), err
}

// Providers returns the providers that pass the filter, in the order of their
// creation. A trait or resource class that does not exist is nephos.ErrInvalid.
func (s *Store) Providers(ctx context.Context, f ProviderFilter) ([]Provider, error) {
	db := s.cfg.Store.Reader()
	var rows []providerRow
	q := db.NewSelect().Model(&rows).Order("created_at", "uuid")
	if f.UUID != "" {
		q = q.Where("uuid = ?", f.UUID)
	}
	if f.Name != "" {
		q = q.Where("name = ?", f.Name)
	}
	if f.InTree != "" {
		q = q.Where("root_uuid = (SELECT root_uuid FROM placement_providers WHERE uuid = ?)", f.InTree)
	}
	const inAggregates = "(SELECT provider_uuid FROM placement_provider_aggregates WHERE aggregate_uuid IN (?))"
	for _, set := range f.MemberOf {
		q = q.Where("uuid IN "+inAggregates, bun.List(set))
	}
	if len(f.NotMemberOf) > 0 {
		q = q.Where("uuid NOT IN "+inAggregates, bun.List(f.NotMemberOf))
	}
	var traits []string
	const withTraits = "(SELECT provider_uuid FROM placement_provider_traits WHERE trait IN (?))"
	for _, set := range f.Required {
		q = q.Where("uuid IN "+withTraits, bun.List(set))
		traits = append(traits, set...)
	}
	if len(f.Forbidden) > 0 {
		q = q.Where("uuid NOT IN "+withTraits, bun.List(f.Forbidden))
		traits = append(traits, f.Forbidden...)
	}
	unknown, err := unknownTraits(ctx, db, traits)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(traits, func(n string) bool { return slices.Contains(unknown, n) }); i >= 0 {
		return nil, nephos.Errorf(nephos.ErrInvalid, "Invalid trait(s) in \"required\" parameter: No such trait(s): %.255s.", traits[i]).WithField("required")
	}
	for class, n := range f.Resources {
		q = q.Where(`uuid IN (SELECT provider_uuid FROM placement_inventories WHERE class = ?0 AND used + ?1 <= capacity
			AND min_unit <= ?1 AND (max_unit = 0 OR max_unit >= ?1) AND ?1 % step_size = 0)`, class, n)
	}
	if err := s.checkClasses(ctx, db, f.Resources); err != nil {
		return nil, nephos.Errorf(nephos.ErrInvalid, "Invalid resource class in resources parameter: %w", err).WithField("resources")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	out := make([]Provider, len(rows))
	for i, r := range rows {
		out[i] = r.provider()
	}
	return out, nil
}

// CreateProvider makes a provider of UUID (empty: a new one), Name and
// ParentUUID. A taken UUID or name is nephos.ErrConflict, an unknown parent
// nephos.ErrInvalid.
func (s *Store) CreateProvider(ctx context.Context, p Provider) (Provider, error) {
	if p.UUID == "" {
		p.UUID = s.cfg.IDs.New()
	}
	failed := func(reason string) error {
		return nephos.Errorf(nephos.ErrInvalid, "Unable to create resource provider \"%s\", %s: Object action create failed because: %s",
			p.Name, p.UUID, reason).WithField("parent_provider_uuid")
	}
	if p.ParentUUID == p.UUID {
		return Provider{}, failed("parent provider UUID cannot be same as UUID. Please set parent provider UUID to None if there is no parent.")
	}
	row := providerRow{UUID: p.UUID, Name: p.Name, ParentUUID: p.ParentUUID, RootUUID: p.UUID}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row.CreatedAt, row.UpdatedAt = tx.Now(), tx.Now()
		if row.ParentUUID != "" {
			parent, err := loadProvider(ctx, tx, row.ParentUUID)
			if kindOf(err) == nephos.ErrNotFound {
				return failed("parent provider UUID does not exist.")
			}
			if err != nil {
				return err
			}
			row.RootUUID = parent.RootUUID
		}
		var taken []providerRow
		if err := tx.NewSelect().Model(&taken).Where("uuid = ? OR name = ?", row.UUID, row.Name).Scan(ctx); err != nil {
			return err
		}
		if len(taken) > 0 {
			what := "name: " + row.Name
			if taken[0].UUID == row.UUID {
				what = "uuid: " + row.UUID
			}
			return nephos.Errorf(nephos.ErrConflict, "Conflicting resource provider %s already exists.", what).WithReason(ReasonDuplicateName)
		}
		_, err := tx.NewInsert().Model(&row).Exec(ctx)
		s.touched(tx, row.UUID)
		return err
	})
	return row.provider(), err
}

// ProviderUpdate changes a provider; what is nil stays. A ParentUUID that is
// empty makes it a root.
type ProviderUpdate struct {
	Name       *string
	ParentUUID *string
	// Move allows a provider with a parent to get another, or none.
	Move bool
}

// UpdateProvider changes a provider's name or place in its tree.
func (s *Store) UpdateProvider(ctx context.Context, uuid string, u ProviderUpdate) (Provider, error) {
	var row providerRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		if row, err = loadProvider(ctx, tx, uuid); err != nil {
			return err
		}
		if u.Name != nil {
			row.Name = *u.Name
			taken, err := tx.NewSelect().Model((*providerRow)(nil)).Where("name = ? AND uuid <> ?", row.Name, uuid).Count(ctx)
			if err != nil {
				return err
			}
			if taken > 0 {
				return nephos.Errorf(nephos.ErrConflict, "Conflicting resource provider %s already exists.", row.Name).WithReason(ReasonDuplicateName)
			}
		}
		if u.ParentUUID != nil && *u.ParentUUID != row.ParentUUID {
			if err := s.move(ctx, tx, &row, *u.ParentUUID, u.Move); err != nil {
				return err
			}
		}
		row.UpdatedAt = tx.Now()
		s.touched(tx, uuid)
		_, err = tx.NewRaw("UPDATE placement_providers SET name = ?, parent_uuid = ?, root_uuid = ?, shape = shape + 1, updated_at = ? WHERE uuid = ?",
			row.Name, row.ParentUUID, row.RootUUID, row.UpdatedAt, uuid).Exec(ctx)
		return err
	})
	return row.provider(), err
}

// move hangs a provider, with all below it, on another parent.
func (s *Store) move(ctx context.Context, tx *store.Tx, row *providerRow, parentUUID string, allowed bool) error {
	failed := func(action, reason string) error {
		return nephos.Errorf(nephos.ErrInvalid, "Unable to save resource provider %s: Object action %s failed because: %s", row.UUID, action, reason).
			WithField("parent_provider_uuid")
	}
	root := row.UUID
	if parentUUID != "" {
		parent, err := loadProvider(ctx, tx, parentUUID)
		if kindOf(err) == nephos.ErrNotFound {
			return failed("create", "parent provider UUID does not exist.")
		}
		if err != nil {
			return err
		}
		if row.ParentUUID != "" && !allowed {
			return failed("update", "re-parenting a provider is not currently allowed.")
		}
		root = parent.RootUUID
	} else if !allowed {
		return failed("update", "un-parenting a provider is not currently allowed.")
	}
	var tree []providerRow
	if err := tx.NewSelect().Model(&tree).Where("root_uuid = ?", row.RootUUID).Scan(ctx); err != nil {
		return err
	}
	children := map[string][]string{}
	for _, p := range tree {
		children[p.ParentUUID] = append(children[p.ParentUUID], p.UUID)
	}
	below := []string{row.UUID}
	for i := 0; i < len(below); i++ {
		if below[i] == parentUUID {
			return failed("update", "creating loop in the provider tree is not allowed.")
		}
		below = append(below, children[below[i]]...)
	}
	row.ParentUUID, row.RootUUID = parentUUID, root
	for _, uuid := range below {
		s.touched(tx, uuid)
	}
	_, err := tx.NewUpdate().Model((*providerRow)(nil)).Set("root_uuid = ?", root).Set("shape = shape + 1").Set("updated_at = ?", tx.Now()).Where("uuid IN (?)", bun.List(below)).Exec(ctx)
	return err
}

// DeleteProvider removes a provider with its inventories. One that has
// allocations or children is nephos.ErrConflict.
func (s *Store) DeleteProvider(ctx context.Context, uuid string) error {
	return s.tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := loadProvider(ctx, tx, uuid); err != nil {
			if kindOf(err) == nephos.ErrNotFound {
				return nephos.Errorf(nephos.ErrNotFound, "No resource provider with uuid %.64s found for delete", uuid)
			}
			return err
		}
		return s.deleteProvider(ctx, tx, uuid)
	})
}

// deleteProvider removes a provider and what hangs on it.
func (s *Store) deleteProvider(ctx context.Context, tx *store.Tx, uuid string) error {
	children, err := tx.NewSelect().Model((*providerRow)(nil)).Where("parent_uuid = ?", uuid).Count(ctx)
	if err != nil {
		return err
	}
	if children > 0 {
		return nephos.Errorf(nephos.ErrConflict, "Unable to delete parent resource provider %s: It has child resource providers.", uuid).WithReason(ReasonParent)
	}
	used, err := tx.NewSelect().Model((*allocationRow)(nil)).Where("provider_uuid = ?", uuid).Count(ctx)
	if err != nil {
		return err
	}
	if used > 0 {
		return nephos.Errorf(nephos.ErrConflict, "Unable to delete resource provider %s: Resource provider has allocations.", uuid).WithReason(ReasonProviderInUse)
	}
	for _, table := range []string{"placement_inventories", "placement_provider_traits", "placement_provider_aggregates", "placement_hosts", "placement_parts", "placement_assignments"} {
		if _, err := tx.NewRaw("DELETE FROM ? WHERE provider_uuid = ?", bun.Ident(table), uuid).Exec(ctx); err != nil {
			return err
		}
	}
	s.touched(tx, uuid)
	_, err = tx.NewRaw("DELETE FROM placement_providers WHERE uuid = ?", uuid).Exec(ctx)
	return err
}

// current loads a provider and refuses one whose generation is not the one that
// the caller saw; nil sees none.
func current(ctx context.Context, tx *store.Tx, uuid string, generation *int64, message string) (providerRow, error) {
	row, err := loadProvider(ctx, tx, uuid)
	if err == nil && generation != nil && *generation != row.provider().Generation {
		err = nephos.Errorf(nephos.ErrConflict, "%s", message).WithReason(ReasonConcurrentUpdate)
	}
	return row, err
}
