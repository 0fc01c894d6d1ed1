package identity

import (
	"context"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// Role is a name for what its holder may do. A role with a domain can be
// assigned in that domain only, and counts only through the roles it implies.
type Role struct {
	ID          string `bun:",pk"`
	Name        string
	DomainID    string // empty: the role is global
	Description *string
	Options     map[string]any // "immutable" is the only one
	Extra       map[string]any // attributes that the API does not name
}

// RoleSpec describes a role to create.
type RoleSpec struct {
	Name        string // required, unique within its domain
	DomainID    string
	Description *string
	Options     map[string]any
	Extra       map[string]any
}

// RoleUpdate changes a role; what is nil stays. An option that is nil is
// removed; Extra is merged.
type RoleUpdate struct {
	Name        *string
	DomainID    *string // must be the role's own: a role cannot move
	Description *string
	Options     map[string]any
	Extra       map[string]any
}

// RoleFilter narrows a list of roles. DomainID "" means the global roles.
type RoleFilter struct {
	Name     []Match
	DomainID string
}

// Roles is what the Identity API's roles need.
type Roles interface {
	// CreateRole makes a role. A name that is taken is ErrConflict.
	CreateRole(ctx context.Context, spec RoleSpec) (Role, error)
	// Role returns a role; ErrNotFound when there is none.
	Role(ctx context.Context, id string) (Role, error)
	// ListRoles returns roles in the order of their ids, and whether more follow.
	ListRoles(ctx context.Context, f RoleFilter, p nephos.Page) ([]Role, bool, error)
	// UpdateRole changes a role. One with the option immutable is ErrForbidden,
	// unless the update takes just that option away.
	UpdateRole(ctx context.Context, id string, u RoleUpdate) (Role, error)
	// DeleteRole removes a role, its assignments and implications.
	DeleteRole(ctx context.Context, id string) error
}

var _ Roles = (*Service)(nil)

// CreateRole implements [Roles].
func (s *Service) CreateRole(ctx context.Context, spec RoleSpec) (Role, error) {
	if err := s.enforce(ctx, roleRule("create", spec.DomainID), roleTarget(Role{DomainID: spec.DomainID})); err != nil {
		return Role{}, err
	}
	if err := checkName("role", spec.Name); err != nil {
		return Role{}, err
	}
	if spec.Description != nil {
		if err := tooLong("role.description", *spec.Description, 255); err != nil {
			return Role{}, err
		}
	}
	role := Role{
		ID: s.cfg.IDs.Hex(), Name: spec.Name, DomainID: spec.DomainID, Description: spec.Description,
		Options: mergeOptions(nil, spec.Options), Extra: mergeExtra(nil, spec.Extra),
	}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		id, first, err := tx.Once(ctx, "identity.create_role", role.ID)
		if err != nil {
			return err
		}
		if !first {
			role, err = loadRole(ctx, tx, id)
			return err
		}
		if role.DomainID != "" {
			if _, err := loadDomain(ctx, tx, role.DomainID); err != nil {
				return err
			}
		}
		if _, err := tx.NewInsert().Model(&roleRow{Role: role}).Exec(ctx); err != nil {
			return err
		}
		return s.emit(ctx, tx, "role.create", role.ID, nil)
	})
	return role, taken(err, "role", spec.Name, spec.DomainID)
}

// Role implements [Roles].
func (s *Service) Role(ctx context.Context, id string) (Role, error) {
	return s.roleFor(ctx, "get", id)
}

// roleFor loads a role and enforces the rule of the verb. As in Keystone, which
// rule that is depends on the role, so that anybody learns whether it exists.
func (s *Service) roleFor(ctx context.Context, verb, id string) (Role, error) {
	role, err := loadRole(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return Role{}, err
	}
	return role, s.enforce(ctx, roleRule(verb, role.DomainID), roleTarget(role))
}

// ListRoles implements [Roles].
func (s *Service) ListRoles(ctx context.Context, f RoleFilter, p nephos.Page) ([]Role, bool, error) {
	rule := "identity:list_roles"
	if f.DomainID != "" {
		rule = "identity:list_domain_roles"
	}
	if err := s.enforce(ctx, rule, target("target.domain_id", f.DomainID)); err != nil {
		return nil, false, err
	}
	var rows []roleRow
	q := s.cfg.Store.Reader().NewSelect().Model(&rows).Where("role.domain_id = ?", f.DomainID)
	more, err := page(ctx, s, where(q, "role.name", f.Name), &rows, "role", p)
	return rolesOf(rows), more, err
}

// UpdateRole implements [Roles].
func (s *Service) UpdateRole(ctx context.Context, id string, u RoleUpdate) (Role, error) {
	role, err := s.roleFor(ctx, "update", id)
	if err != nil {
		return Role{}, err
	}
	if u.Name != nil {
		if err := checkName("role", *u.Name); err != nil {
			return Role{}, err
		}
	}
	if u.Description != nil {
		if err := tooLong("role.description", *u.Description, 255); err != nil {
			return Role{}, err
		}
	}
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if role, err = loadRole(ctx, tx, id); err != nil {
			return err
		}
		if err := checkImmutable("role", role.ID, role.Options, u.Options, u.Name != nil || u.Description != nil || len(u.Extra) > 0); err != nil {
			return err
		}
		if u.DomainID != nil && *u.DomainID != role.DomainID {
			return nephos.Errorf(nephos.ErrInvalid, "Update of `domain_id` is not allowed.").WithField("domain_id")
		}
		set(&role.Name, u.Name)
		if u.Description != nil {
			role.Description = u.Description
		}
		role.Options = mergeOptions(role.Options, u.Options)
		role.Extra = mergeExtra(role.Extra, u.Extra)
		if _, err := tx.NewUpdate().Model(&roleRow{Role: role}).WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.emit(ctx, tx, "role.update", role.ID, nil)
	})
	return role, taken(err, "role", role.Name, role.DomainID)
}

// DeleteRole implements [Roles].
func (s *Service) DeleteRole(ctx context.Context, id string) error {
	if _, err := s.roleFor(ctx, "delete", id); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		role, err := loadRole(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := checkImmutableDelete("role", role.ID, role.Options); err != nil {
			return err
		}
		for _, q := range []string{
			"DELETE FROM identity_assignments WHERE role_id = ?0",
			"DELETE FROM identity_implied_roles WHERE prior_id = ?0 OR implied_id = ?0",
			"DELETE FROM identity_roles WHERE id = ?0",
		} {
			if _, err := tx.NewRaw(q, id).Exec(ctx); err != nil {
				return err
			}
		}
		return s.emit(ctx, tx, "role.delete", id, nil)
	})
}

// roleRule is the name of the rule that guards an operation on a role: those of
// a domain have rules of their own.
func roleRule(verb, domainID string) string {
	if domainID != "" {
		return "identity:" + verb + "_domain_role"
	}
	return "identity:" + verb + "_role"
}

// roleTarget says None for the domain of a global role, as the rules ask.
func roleTarget(r Role) policy.Target {
	t := target("target.role.id", r.ID, "target.role.name", r.Name, "target.role.domain_id", r.DomainID)
	if r.DomainID == "" {
		t["target.role.domain_id"] = nil
	}
	return t
}
