package blockstorage

import (
	"context"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// TypeAccess implements [Types].
func (s *Service) TypeAccess(ctx context.Context, id string) ([]string, error) {
	if err := s.enforce(ctx, "volume_extension:volume_type_access:get_all_for_type", own(ctx)); err != nil {
		return nil, err
	}
	db := s.cfg.Store.Reader()
	t, err := loadType(ctx, db, id)
	if err != nil {
		return nil, err
	}
	if t.IsPublic {
		return nil, nephos.Errorf(nephos.ErrNotFound, "Access list not available for public volume types.")
	}
	var projects []string
	err = db.NewSelect().Model((*typeAccessRow)(nil)).Column("project_id").Where("access.type_id = ?", id).Order("project_id").Scan(ctx, &projects)
	return projects, err
}

// AddTypeAccess implements [Types].
func (s *Service) AddTypeAccess(ctx context.Context, id, projectID string) error {
	_, err := s.changeType(ctx, id, "volume_extension:volume_type_access:addProjectAccess", "volume_type.update", func(ctx context.Context, tx *store.Tx, t *Type) error {
		if t.IsPublic {
			return nephos.Errorf(nephos.ErrInvalid, "Invalid volume type: Type access modification is not applicable to public volume type.")
		}
		exists, err := tx.NewSelect().Model((*typeAccessRow)(nil)).Where("access.type_id = ? AND access.project_id = ?", id, projectID).Exists(ctx)
		if err != nil {
			return err
		}
		if exists {
			return nephos.Errorf(nephos.ErrConflict, "Volume type access for %s / %s combination already exists.", id, clip(projectID))
		}
		return insert(ctx, tx, &typeAccessRow{TypeID: id, ProjectID: projectID})
	})
	return err
}

// RemoveTypeAccess implements [Types].
func (s *Service) RemoveTypeAccess(ctx context.Context, id, projectID string) error {
	_, err := s.changeType(ctx, id, "volume_extension:volume_type_access:removeProjectAccess", "volume_type.update", func(ctx context.Context, tx *store.Tx, t *Type) error {
		if t.IsPublic {
			return nephos.Errorf(nephos.ErrInvalid, "Invalid volume type: Type access modification is not applicable to public volume type.")
		}
		res, err := tx.NewDelete().Model(&typeAccessRow{TypeID: id, ProjectID: projectID}).WherePK().Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return nephos.Errorf(nephos.ErrNotFound, "Volume type access not found for %s / %s combination.", id, clip(projectID))
		}
		return nil
	})
	return err
}

// SetDefaultType implements [Types].
func (s *Service) SetDefaultType(ctx context.Context, projectID, typeNameOrID string) (DefaultType, error) {
	if err := s.enforce(ctx, "volume_extension:default_set_or_update", policy.Target{"project_id": projectID}); err != nil {
		return DefaultType{}, err
	}
	row := defaultTypeRow{}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		t, err := s.findType(ctx, tx, typeNameOrID)
		if err != nil {
			return badRequest("Volume type %s could not be found.", clip(typeNameOrID))
		}
		row.DefaultType = DefaultType{ProjectID: projectID, TypeID: t.ID}
		if _, err := tx.NewInsert().Model(&row).On("CONFLICT (project_id) DO UPDATE").Set("type_id = excluded.type_id").Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		return s.emit(ctx, tx, "default_type.update", projectID, projectID, nil)
	})
	return row.DefaultType, err
}

// DefaultTypeOf implements [Types].
func (s *Service) DefaultTypeOf(ctx context.Context, projectID string) (DefaultType, error) {
	if err := s.enforce(ctx, "volume_extension:default_get", policy.Target{"project_id": projectID}); err != nil {
		return DefaultType{}, err
	}
	var rows []defaultTypeRow
	if err := s.cfg.Store.Reader().NewSelect().Model(&rows).Where("def.project_id = ?", projectID).Scan(ctx); err != nil {
		return DefaultType{}, err
	}
	if len(rows) == 0 {
		return DefaultType{}, nephos.Errorf(nephos.ErrNotFound, "Default type for project %s not found.", clip(projectID))
	}
	return rows[0].DefaultType, nil
}

// ListDefaultTypes implements [Types].
func (s *Service) ListDefaultTypes(ctx context.Context) ([]DefaultType, error) {
	if err := s.enforce(ctx, "volume_extension:default_get_all", own(ctx)); err != nil {
		return nil, err
	}
	var rows []defaultTypeRow
	err := s.cfg.Store.Reader().NewSelect().Model(&rows).Order("def.project_id").Scan(ctx)
	out := make([]DefaultType, len(rows))
	for i, r := range rows {
		out[i] = r.DefaultType
	}
	return out, err
}

// UnsetDefaultType implements [Types].
func (s *Service) UnsetDefaultType(ctx context.Context, projectID string) error {
	if err := s.enforce(ctx, "volume_extension:default_unset", policy.Target{"project_id": projectID}); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.NewRaw("DELETE FROM blockstorage_default_types WHERE project_id = ?", projectID).Exec(ctx); err != nil {
			return err
		}
		return s.emit(ctx, tx, "default_type.delete", projectID, projectID, nil)
	})
}
