package identity

import (
	"context"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Inference is a role and those it implies: who holds it holds them, too.
type Inference struct {
	Prior   Role
	Implied []Role
}

// ImpliedRoles is what the Identity API's implied roles need.
type ImpliedRoles interface {
	// ImplyRole makes one role imply another; one that does already stays. The
	// role admin cannot be implied, nor a role imply itself, by whatever way.
	ImplyRole(ctx context.Context, priorID, impliedID string) (Inference, error)
	// ImpliedRole returns ErrNotFound when the one does not imply the other
	// directly. check asks only whether it does, which has a rule of its own.
	ImpliedRole(ctx context.Context, priorID, impliedID string, check bool) (Inference, error)
	// ListImpliedRoles returns what a role implies directly.
	ListImpliedRoles(ctx context.Context, priorID string) (Inference, error)
	// UnimplyRole ends an implication.
	UnimplyRole(ctx context.Context, priorID, impliedID string) error
	// ListInferences returns all roles that imply others.
	ListInferences(ctx context.Context) ([]Inference, error)
}

var _ ImpliedRoles = (*Service)(nil)

// notImplied are the names of roles that nothing may imply.
const notImplied = "admin"

// ImplyRole implements [ImpliedRoles].
func (s *Service) ImplyRole(ctx context.Context, priorID, impliedID string) (Inference, error) {
	if err := s.enforce(ctx, "identity:create_implied_role", nil); err != nil {
		return Inference{}, err
	}
	var inf Inference
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		prior, err := loadRole(ctx, tx, priorID)
		if err != nil {
			return err
		}
		implied, err := loadRole(ctx, tx, impliedID)
		if err != nil {
			return err
		}
		inf = Inference{Prior: prior, Implied: []Role{implied}}
		if implied.Name == notImplied {
			return nephos.Errorf(nephos.ErrForbidden, "%s cannot be an implied roles.", impliedID)
		}
		if implied.DomainID != "" && prior.DomainID == "" {
			return nephos.Errorf(nephos.ErrForbidden, "%s cannot be an implied roles.", impliedID)
		}
		var back []string
		err = tx.NewRaw(`WITH RECURSIVE held(id) AS (
				SELECT id FROM identity_roles WHERE id = ?
				UNION SELECT i.implied_id FROM identity_implied_roles i JOIN held ON i.prior_id = held.id
			) SELECT id FROM held WHERE id = ?`, impliedID, priorID).Scan(ctx, &back)
		if err != nil {
			return err
		}
		if len(back) > 0 {
			return nephos.Errorf(nephos.ErrForbidden, "%s cannot be an implied roles.", impliedID)
		}
		added, err := tx.NewRaw("INSERT INTO identity_implied_roles (prior_id, implied_id) VALUES (?, ?) ON CONFLICT DO NOTHING", priorID, impliedID).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := added.RowsAffected(); err == nil && n == 0 {
			return nephos.Errorf(nephos.ErrConflict, "Conflict occurred attempting to store implied_role - Duplicate entry.")
		}
		return s.emit(ctx, tx, "role.imply", priorID, map[string]any{"implied_role_id": impliedID})
	})
	return inf, err
}

// ImpliedRole implements [ImpliedRoles].
func (s *Service) ImpliedRole(ctx context.Context, priorID, impliedID string, check bool) (Inference, error) {
	rule := "identity:get_implied_role"
	if check {
		rule = "identity:check_implied_role"
	}
	if err := s.enforce(ctx, rule, nil); err != nil {
		return Inference{}, err
	}
	inf, err := s.inference(ctx, priorID)
	if err != nil {
		return Inference{}, err
	}
	implied, err := loadRole(ctx, s.cfg.Store.Reader(), impliedID)
	if err != nil {
		return Inference{}, err
	}
	for _, r := range inf.Implied {
		if r.ID == impliedID {
			inf.Implied = []Role{implied}
			return inf, nil
		}
	}
	return Inference{}, doesNotImply(priorID, impliedID)
}

func doesNotImply(priorID, impliedID string) error {
	return nephos.Errorf(nephos.ErrNotFound, "%s does not imply %s.", clip(priorID), clip(impliedID))
}

// ListImpliedRoles implements [ImpliedRoles].
func (s *Service) ListImpliedRoles(ctx context.Context, priorID string) (Inference, error) {
	if err := s.enforce(ctx, "identity:list_implied_roles", nil); err != nil {
		return Inference{}, err
	}
	return s.inference(ctx, priorID)
}

func (s *Service) inference(ctx context.Context, priorID string) (Inference, error) {
	prior, err := loadRole(ctx, s.cfg.Store.Reader(), priorID)
	if err != nil {
		return Inference{}, err
	}
	var rows []roleRow
	err = s.cfg.Store.Reader().NewSelect().Model(&rows).
		Where("role.id IN (SELECT implied_id FROM identity_implied_roles WHERE prior_id = ?)", priorID).Order("role.id").Scan(ctx)
	return Inference{Prior: prior, Implied: rolesOf(rows)}, err
}

// UnimplyRole implements [ImpliedRoles].
func (s *Service) UnimplyRole(ctx context.Context, priorID, impliedID string) error {
	if err := s.enforce(ctx, "identity:delete_implied_role", nil); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		for _, id := range []string{priorID, impliedID} {
			if _, err := loadRole(ctx, tx, id); err != nil {
				return err
			}
		}
		res, err := tx.NewRaw("DELETE FROM identity_implied_roles WHERE prior_id = ? AND implied_id = ?", priorID, impliedID).Exec(ctx)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if n == 0 {
			return doesNotImply(priorID, impliedID)
		}
		return s.emit(ctx, tx, "role.unimply", priorID, map[string]any{"implied_role_id": impliedID})
	})
}

// ListInferences implements [ImpliedRoles].
func (s *Service) ListInferences(ctx context.Context) ([]Inference, error) {
	if err := s.enforce(ctx, "identity:list_role_inference_rules", nil); err != nil {
		return nil, err
	}
	db := s.cfg.Store.Reader()
	var pairs []impliedRow
	if err := db.NewSelect().Model(&pairs).Order("implied.prior_id", "implied.implied_id").Scan(ctx); err != nil {
		return nil, err
	}
	var rows []roleRow
	err := db.NewSelect().Model(&rows).Where(`role.id IN (SELECT prior_id FROM identity_implied_roles
		UNION SELECT implied_id FROM identity_implied_roles)`).Scan(ctx)
	if err != nil {
		return nil, err
	}
	byID := map[string]Role{}
	for _, r := range rows {
		byID[r.ID] = r.Role
	}
	var all []Inference
	for _, p := range pairs {
		if n := len(all); n == 0 || all[n-1].Prior.ID != p.PriorID {
			all = append(all, Inference{Prior: byID[p.PriorID]})
		}
		last := &all[len(all)-1]
		last.Implied = append(last.Implied, byID[p.ImpliedID])
	}
	return all, nil
}
