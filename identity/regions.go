package identity

import (
	"context"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Region is a place where endpoints are. Regions make a tree.
type Region struct {
	ID          string `bun:",pk"` // chosen by whoever makes it
	ParentID    string // may be empty
	Description string
	Extra       map[string]any
}

// RegionUpdate changes a region; what is nil stays.
type RegionUpdate struct {
	ParentID    *string // empty: none
	Description *string
	Extra       map[string]any
}

// Regions is what the Identity API's regions need.
type Regions interface {
	// CreateRegion makes a region; an id is made up when it has none. An id that
	// is taken is ErrConflict, an unknown parent ErrNotFound.
	CreateRegion(ctx context.Context, r Region) (Region, error)
	Region(ctx context.Context, id string) (Region, error)
	// ListRegions returns regions, or with a parent given only those below it.
	ListRegions(ctx context.Context, parentID string, p nephos.Page) ([]Region, bool, error)
	UpdateRegion(ctx context.Context, id string, u RegionUpdate) (Region, error)
	// DeleteRegion removes a region and those below it. It is ErrForbidden while
	// one of them has endpoints.
	DeleteRegion(ctx context.Context, id string) error
}

var _ Regions = (*Service)(nil)

// CreateRegion implements [Regions].
func (s *Service) CreateRegion(ctx context.Context, r Region) (Region, error) {
	if err := s.enforce(ctx, "identity:create_region", nil); err != nil {
		return Region{}, err
	}
	if r.ID == "" {
		r.ID = s.cfg.IDs.Hex()
	}
	if err := tooLong("region.id", r.ID, 255); err != nil {
		return Region{}, err
	}
	if err := tooLong("region.description", r.Description, 255); err != nil {
		return Region{}, err
	}
	r.Extra = mergeExtra(nil, r.Extra)
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		id, first, err := tx.Once(ctx, "identity.create_region", r.ID)
		if err != nil {
			return err
		}
		if !first {
			r, err = loadRegion(ctx, tx, id)
			return err
		}
		if r.ParentID != "" && r.ParentID != r.ID {
			if _, err := loadRegion(ctx, tx, r.ParentID); err != nil {
				return err
			}
		}
		if r.ParentID == r.ID {
			return circular(r.ParentID)
		}
		return s.insertRegion(ctx, tx, r)
	})
	if store.UniqueViolation(err) {
		err = nephos.Errorf(nephos.ErrConflict, "Conflict occurred attempting to store region - Duplicate ID, %s..", r.ID).WithField("id")
	}
	return r, err
}

func circular(parent string) error {
	return nephos.Errorf(nephos.ErrInvalid, "The specified parent region %s would create a circular region hierarchy.", parent).WithField("parent_region_id")
}

func (s *Service) insertRegion(ctx context.Context, tx *store.Tx, r Region) error {
	if _, err := tx.NewInsert().Model(&regionRow{Region: r}).Exec(ctx); err != nil {
		return err
	}
	return s.emitCatalog(ctx, tx, "region.create", r.ID)
}

// Region implements [Regions].
func (s *Service) Region(ctx context.Context, id string) (Region, error) {
	if err := s.enforce(ctx, "identity:get_region", nil); err != nil {
		return Region{}, err
	}
	return loadRegion(ctx, s.cfg.Store.Reader(), id)
}

// ListRegions implements [Regions].
func (s *Service) ListRegions(ctx context.Context, parentID string, p nephos.Page) ([]Region, bool, error) {
	if err := s.enforce(ctx, "identity:list_regions", nil); err != nil {
		return nil, false, err
	}
	var rows []regionRow
	q := s.cfg.Store.Reader().NewSelect().Model(&rows)
	if parentID != "" {
		q = q.Where("region.parent_id = ?", parentID)
	}
	more, err := page(ctx, s, q, &rows, "region", p)
	regions := make([]Region, len(rows))
	for i, r := range rows {
		regions[i] = r.Region
	}
	return regions, more, err
}

// UpdateRegion implements [Regions].
func (s *Service) UpdateRegion(ctx context.Context, id string, u RegionUpdate) (Region, error) {
	if err := s.enforce(ctx, "identity:update_region", nil); err != nil {
		return Region{}, err
	}
	if u.Description != nil {
		if err := tooLong("region.description", *u.Description, 255); err != nil {
			return Region{}, err
		}
	}
	var r Region
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		if r, err = loadRegion(ctx, tx, id); err != nil {
			return err
		}
		if u.ParentID != nil && *u.ParentID != "" {
			// Walk up from the new parent: it must not lead back here.
			for at := *u.ParentID; at != ""; {
				if at == id {
					return circular(*u.ParentID)
				}
				parent, err := loadRegion(ctx, tx, at)
				if err != nil {
					return err
				}
				at = parent.ParentID
			}
		}
		set(&r.ParentID, u.ParentID)
		set(&r.Description, u.Description)
		r.Extra = mergeExtra(r.Extra, u.Extra)
		if _, err := tx.NewUpdate().Model(&regionRow{Region: r}).WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.emitCatalog(ctx, tx, "region.update", id)
	})
	return r, err
}

// DeleteRegion implements [Regions].
func (s *Service) DeleteRegion(ctx context.Context, id string) error {
	if err := s.enforce(ctx, "identity:delete_region", nil); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := loadRegion(ctx, tx, id); err != nil {
			return err
		}
		const tree = `WITH RECURSIVE down(id) AS (
			SELECT id FROM identity_regions WHERE id = ?
			UNION SELECT r.id FROM identity_regions r JOIN down ON r.parent_id = down.id) `
		var used []string
		if err := tx.NewRaw(tree+"SELECT id FROM identity_endpoints WHERE region_id IN (SELECT id FROM down) LIMIT 1", id).Scan(ctx, &used); err != nil {
			return err
		}
		if len(used) > 0 {
			return nephos.Errorf(nephos.ErrForbidden, "Unable to delete region %s because it or its child regions have associated endpoints.", id)
		}
		if _, err := tx.NewRaw(tree+"DELETE FROM identity_regions WHERE id IN (SELECT id FROM down)", id).Exec(ctx); err != nil {
			return err
		}
		return s.emitCatalog(ctx, tx, "region.delete", id)
	})
}
