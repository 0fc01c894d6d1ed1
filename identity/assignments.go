package identity

import (
	"context"
	"errors"
	"maps"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// The values of actor_type, target_type and the system's target_id.
const (
	userActor         = "user"
	groupActor        = "group"
	projectTargetType = "project"
	domainTargetType  = "domain"
	systemTarget      = "system"
	systemID          = "system"
)

// Grant is who holds what role on what: a user or a group; a project, a domain
// or the system. An inherited one counts on all projects below its target, and
// not on the target itself.
type Grant struct {
	UserID, GroupID     string // one of them
	ProjectID, DomainID string // one of them, or System
	System              bool
	RoleID              string // empty where roles are listed
	Inherited           bool
}

// Grants is what the Identity API's assignments need.
type Grants interface {
	// CreateGrant gives a role; one that is given already stays.
	CreateGrant(ctx context.Context, g Grant) error
	// CheckGrant returns ErrNotFound when the role is not given, just so.
	CheckGrant(ctx context.Context, g Grant) error
	// ListGrants returns the roles given directly, ignoring RoleID.
	ListGrants(ctx context.Context, g Grant) ([]Role, error)
	// RevokeGrant takes a role back; ErrNotFound when it is not given. Tokens
	// lose it at once, and end when it was their last.
	RevokeGrant(ctx context.Context, g Grant) error
}

var _ Grants = (*Service)(nil)

// CreateGrant implements [Grants].
func (s *Service) CreateGrant(ctx context.Context, g Grant) error {
	role, err := s.grantFor(ctx, "create", g)
	if err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := loadGrantEnds(ctx, tx, g); err != nil {
			return err
		}
		if err := checkRoleDomain(ctx, tx, role, g); err != nil {
			return err
		}
		return s.grant(ctx, tx, g)
	})
}

// grant writes an assignment.
func (s *Service) grant(ctx context.Context, tx *store.Tx, g Grant) error {
	row := assignmentOf(g)
	if _, err := tx.NewInsert().Model(&row).On("CONFLICT DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
		return err
	}
	return s.emit(ctx, tx, "role_assignment.create", g.RoleID, row)
}

// checkRoleDomain refuses to give a domain's role on another domain's project
// or on the system.
func checkRoleDomain(ctx context.Context, tx *store.Tx, role Role, g Grant) error {
	if role.DomainID == "" {
		return nil
	}
	if g.System {
		return nephos.Errorf(nephos.ErrForbidden, "Role %s is a domain-specific role. Unable to use a domain-specific role in a system assignment.", role.ID)
	}
	if g.ProjectID == "" {
		return nil // a domain takes another domain's role, as in Keystone
	}
	p, err := loadProject(ctx, tx, g.ProjectID)
	if err != nil {
		return err
	}
	domain := p.DomainID
	if p.IsDomain {
		domain = p.ID
	}
	if domain != role.DomainID {
		return nephos.Errorf(nephos.ErrForbidden, "Project %s must be in the same domain as the role %s being assigned.", g.ProjectID, role.ID)
	}
	return nil
}

// CheckGrant implements [Grants].
func (s *Service) CheckGrant(ctx context.Context, g Grant) error {
	if _, err := s.grantFor(ctx, "check", g); err != nil {
		return err
	}
	row := assignmentOf(g)
	found, err := s.cfg.Store.Reader().NewSelect().Model(&row).WherePK().Exists(ctx)
	if err == nil && !found {
		return noGrant(row)
	}
	return err
}

// ListGrants implements [Grants].
func (s *Service) ListGrants(ctx context.Context, g Grant) ([]Role, error) {
	g.RoleID = ""
	if _, err := s.grantFor(ctx, "list", g); err != nil {
		return nil, err
	}
	a := assignmentOf(g)
	var rows []roleRow
	err := s.cfg.Store.Reader().NewSelect().Model(&rows).Where(`role.id IN (SELECT role_id FROM identity_assignments
		WHERE actor_type = ? AND actor_id = ? AND target_type = ? AND target_id = ? AND inherited = ?)`,
		a.ActorType, a.ActorID, a.TargetType, a.TargetID, a.Inherited).Order("role.id").Scan(ctx)
	return rolesOf(rows), err
}

// RevokeGrant implements [Grants].
func (s *Service) RevokeGrant(ctx context.Context, g Grant) error {
	if _, err := s.grantFor(ctx, "revoke", g); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row := assignmentOf(g)
		res, err := tx.NewDelete().Model(&row).WherePK().Exec(ctx)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if n == 0 {
			return noGrant(row)
		}
		return s.emit(ctx, tx, "role_assignment.delete", g.RoleID, row)
	})
}

func noGrant(a assignmentRow) error {
	return nephos.Errorf(nephos.ErrNotFound, "Could not find role assignment with role: %s, user or group: %s, project, domain, or system: %s.",
		a.RoleID, a.ActorID, a.TargetID)
}

// grantFor checks the rule of an operation on a grant, with all its ends as the
// target, and that they exist. It returns the role.
func (s *Service) grantFor(ctx context.Context, verb string, g Grant) (Role, error) {
	ends, err := loadGrantEnds(ctx, s.cfg.Store.Reader(), g)
	if e := s.enforce(ctx, grantRule(verb, g), ends.target()); e != nil {
		return Role{}, e
	}
	if verb == "revoke" && errors.Is(err, nephos.ErrNotFound) && ends.onlyActorMissing(g) {
		err = noGrant(assignmentOf(g)) // who is gone holds nothing
	}
	return ends.role, err
}

func grantRule(verb string, g Grant) string {
	object := "_grant"
	if verb == "list" {
		object = "_grants"
	}
	switch {
	case !g.System:
		return "identity:" + verb + object
	case g.UserID != "":
		return "identity:" + verb + "_system" + object + "_for_user"
	}
	return "identity:" + verb + "_system" + object + "_for_group"
}

// grantEnds are the resources at the ends of a grant.
type grantEnds struct {
	role    Role
	user    User
	group   Group
	project Project
	domain  Project
}

// onlyActorMissing reports whether all but the user or the group was found.
func (e grantEnds) onlyActorMissing(g Grant) bool {
	return e.role.ID == g.RoleID && e.project.ID == g.ProjectID && e.domain.ID == g.DomainID &&
		(e.user.ID != g.UserID || e.group.ID != g.GroupID)
}

func (e grantEnds) target() policy.Target {
	t := target("target.user.id", e.user.ID, "target.user.domain_id", e.user.DomainID, "target.group.id", e.group.ID,
		"target.group.domain_id", e.group.DomainID, "target.project.id", e.project.ID, "target.project.domain_id", e.project.DomainID,
		"target.domain.id", e.domain.ID)
	if e.role.ID != "" {
		maps.Copy(t, roleTarget(e.role))
	}
	return t
}
