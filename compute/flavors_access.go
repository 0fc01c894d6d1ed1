package compute

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// FlavorAccess is what the Compute API needs for flavors that only some
// projects see. Each operation returns the projects with access, in order.
type FlavorAccess interface {
	// FlavorProjects is ErrNotFound for a public flavor.
	FlavorProjects(ctx context.Context, flavorID string) ([]string, error)
	// AddFlavorAccess is ErrConflict for a project that has access already.
	AddFlavorAccess(ctx context.Context, flavorID, projectID string) ([]string, error)
	// RemoveFlavorAccess is ErrNotFound for a project without access.
	RemoveFlavorAccess(ctx context.Context, flavorID, projectID string) ([]string, error)
}

type flavorAccessRow struct {
	bun.BaseModel `bun:"table:compute_flavor_access,alias:access"`

	FlavorID  string `bun:",pk"`
	ProjectID string `bun:",pk"`
}

// FlavorProjects implements [FlavorAccess].
func (s *Service) FlavorProjects(ctx context.Context, flavorID string) ([]string, error) {
	if err := s.cfg.Policy.Enforce(ctx, ruleFlavorAccess, nil); err != nil {
		return nil, err
	}
	f, err := s.visibleFlavor(ctx, flavorID)
	if err != nil {
		return nil, err
	}
	if f.Public {
		return nil, nephos.Errorf(nephos.ErrNotFound, "Access list not available for public flavors.")
	}
	return flavorProjects(ctx, s.cfg.Store.Reader(), flavorID)
}

func flavorProjects(ctx context.Context, db bun.IDB, flavorID string) ([]string, error) {
	var rows []flavorAccessRow
	err := db.NewSelect().Model(&rows).Where("access.flavor_id = ?", flavorID).Order("access.project_id").Scan(ctx)
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r.ProjectID
	}
	return out, err
}

// AddFlavorAccess implements [FlavorAccess].
func (s *Service) AddFlavorAccess(ctx context.Context, flavorID, projectID string) ([]string, error) {
	if err := s.cfg.Policy.Enforce(ctx, ruleFlavorAccess+":add_tenant_access", nil); err != nil {
		return nil, err
	}
	if err := s.checkProject(ctx, projectID); err != nil {
		return nil, err
	}
	return s.changeAccess(ctx, flavorID, projectID, "flavor.access.add", func(ctx context.Context, tx *store.Tx, row *flavorAccessRow) error {
		res, err := tx.NewInsert().Model(row).On("CONFLICT DO NOTHING").Returning("NULL").Exec(ctx)
		if err != nil {
			return err
		}
		if n, _ := res.RowsAffected(); n == 0 {
			return nephos.Errorf(nephos.ErrConflict, "Flavor access already exists for flavor %s and project %s combination.", flavorID, projectID)
		}
		return nil
	})
}

// RemoveFlavorAccess implements [FlavorAccess].
func (s *Service) RemoveFlavorAccess(ctx context.Context, flavorID, projectID string) ([]string, error) {
	if err := s.cfg.Policy.Enforce(ctx, ruleFlavorAccess+":remove_tenant_access", nil); err != nil {
		return nil, err
	}
	return s.changeAccess(ctx, flavorID, projectID, "flavor.access.remove", func(ctx context.Context, tx *store.Tx, row *flavorAccessRow) error {
		res, err := tx.NewDelete().Model(row).WherePK().Exec(ctx)
		if err != nil {
			return err
		}
		if n, _ := res.RowsAffected(); n == 0 {
			return nephos.Errorf(nephos.ErrNotFound, "Flavor access not found for %s / %s combination.", flavorID, clip(projectID))
		}
		return nil
	})
}

func (s *Service) changeAccess(ctx context.Context, flavorID, projectID, event string,
	change func(ctx context.Context, tx *store.Tx, row *flavorAccessRow) error,
) (projects []string, err error) {
	if projectID == "" || len(projectID) > 255 {
		return nil, invalid("Project ID %s is not a valid project.", clip(projectID)).WithField("tenant")
	}
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := loadFlavor(ctx, tx, flavorID); err != nil {
			return err
		}
		if err := change(ctx, tx, &flavorAccessRow{FlavorID: flavorID, ProjectID: projectID}); err != nil {
			return err
		}
		if projects, err = flavorProjects(ctx, tx, flavorID); err != nil {
			return err
		}
		return tx.Emit(ctx, store.Event{Service: "compute", Type: event, ResourceID: flavorID, ProjectID: projectID}, nil)
	})
	return projects, err
}
