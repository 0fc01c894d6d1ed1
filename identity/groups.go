package identity

import (
	"context"
	"maps"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// Group is users who hold roles together.
type Group struct {
	ID          string `bun:",pk"`
	Name        string
	DomainID    string
	Description *string
	Extra       map[string]any
}

// GroupSpec describes a group to create.
type GroupSpec struct {
	Name          string
	DomainID      string // empty: the caller's domain scope, else the default domain
	Description   *string
	NoDescription bool // it is null, whatever Description says
	Extra         map[string]any
}

// GroupUpdate changes a group; what is nil stays.
type GroupUpdate struct {
	Name          *string
	DomainID      *string // must be the group's own
	Description   *string
	NoDescription bool // it is null, whatever Description says
	Extra         map[string]any
}

// GroupFilter narrows a list of groups.
type GroupFilter struct {
	Name     []Match
	DomainID string
}

// Groups is what the Identity API's groups need.
type Groups interface {
	// CreateGroup makes a group. A name taken in its domain is ErrConflict.
	CreateGroup(ctx context.Context, spec GroupSpec) (Group, error)
	Group(ctx context.Context, id string) (Group, error)
	ListGroups(ctx context.Context, f GroupFilter, p nephos.Page) ([]Group, bool, error)
	UpdateGroup(ctx context.Context, id string, u GroupUpdate) (Group, error)
	// DeleteGroup removes a group and its assignments, which its members lose at
	// once.
	DeleteGroup(ctx context.Context, id string) error

	// ListGroupUsers returns the members of a group.
	ListGroupUsers(ctx context.Context, groupID string, f UserFilter, p nephos.Page) ([]User, bool, error)
	// ListUserGroups returns the groups a user is a member of.
	ListUserGroups(ctx context.Context, userID string, f GroupFilter, p nephos.Page) ([]Group, bool, error)
	// AddGroupUser makes a user a member; one who is stays one.
	AddGroupUser(ctx context.Context, groupID, userID string) error
	// CheckGroupUser returns ErrNotFound when the user is no member.
	CheckGroupUser(ctx context.Context, groupID, userID string) error
	// RemoveGroupUser ends a membership; ErrNotFound when there is none.
	RemoveGroupUser(ctx context.Context, groupID, userID string) error
}

var _ Groups = (*Service)(nil)

// CreateGroup implements [Groups].
func (s *Service) CreateGroup(ctx context.Context, spec GroupSpec) (Group, error) {
	group := Group{
		ID: s.cfg.IDs.Hex(), Name: strings.TrimSpace(spec.Name), DomainID: homeDomain(ctx, spec.DomainID),
		Description: described(spec.Description, spec.NoDescription), Extra: mergeExtra(nil, spec.Extra),
	}
	if err := s.enforce(ctx, "identity:create_group", groupTarget(group)); err != nil {
		return Group{}, err
	}
	if err := checkName("group", group.Name); err != nil {
		return Group{}, err
	}
	if err := tooLong("group.name", group.Name, 64); err != nil {
		return Group{}, err
	}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		id, first, err := tx.Once(ctx, "identity.create_group", group.ID)
		if err != nil {
			return err
		}
		if !first {
			group, err = loadGroup(ctx, tx, id)
			return err
		}
		if _, err := loadDomain(ctx, tx, group.DomainID); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&groupRow{Group: group}).Exec(ctx); err != nil {
			return err
		}
		return s.emit(ctx, tx, "group.create", group.ID, nil)
	})
	return group, taken(err, "group", group.Name, group.DomainID)
}

// Group implements [Groups].
func (s *Service) Group(ctx context.Context, id string) (Group, error) {
	return s.groupFor(ctx, "identity:get_group", id)
}

func (s *Service) groupFor(ctx context.Context, rule, id string) (Group, error) {
	group, err := loadGroup(ctx, s.cfg.Store.Reader(), id)
	if err != nil && rule == "identity:delete_group" {
		return Group{}, err // as in Keystone, before it asks who wants to know
	}
	if e := s.enforce(ctx, rule, groupTarget(group)); e != nil {
		return Group{}, e
	}
	return group, err
}

// ListGroups implements [Groups].
func (s *Service) ListGroups(ctx context.Context, f GroupFilter, p nephos.Page) ([]Group, bool, error) {
	empty, err := s.enforceList(ctx, "identity:list_groups", &f.DomainID)
	if err != nil || empty {
		return nil, false, err
	}
	var rows []groupRow
	more, err := page(ctx, s, filterGroups(s.cfg.Store.Reader().NewSelect().Model(&rows), f), &rows, "grp", p)
	return groupsOf(rows), more, err
}

// UpdateGroup implements [Groups].
func (s *Service) UpdateGroup(ctx context.Context, id string, u GroupUpdate) (Group, error) {
	if _, err := s.groupFor(ctx, "identity:update_group", id); err != nil {
		return Group{}, err
	}
	if u.Name != nil {
		u.Name = trimmed(u.Name)
		if err := checkName("group", *u.Name); err != nil {
			return Group{}, err
		}
		if err := tooLong("group.name", *u.Name, 64); err != nil {
			return Group{}, err
		}
	}
	var group Group
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		if group, err = loadGroup(ctx, tx, id); err != nil {
			return err
		}
		if u.DomainID != nil && *u.DomainID != group.DomainID {
			return nephos.Errorf(nephos.ErrInvalid, "Cannot change Domain ID").WithField("domain_id")
		}
		set(&group.Name, u.Name)
		describe(&group.Description, u.Description, u.NoDescription)
		group.Extra = mergeExtra(group.Extra, u.Extra)
		if _, err := tx.NewUpdate().Model(&groupRow{Group: group}).WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.emit(ctx, tx, "group.update", id, nil)
	})
	return group, taken(err, "group", group.Name, group.DomainID)
}

// DeleteGroup implements [Groups].
func (s *Service) DeleteGroup(ctx context.Context, id string) error {
	if _, err := s.groupFor(ctx, "identity:delete_group", id); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := loadGroup(ctx, tx, id); err != nil {
			return err
		}
		for _, q := range []string{
			"DELETE FROM identity_assignments WHERE actor_id = ? AND actor_type = 'group'",
			"DELETE FROM identity_memberships WHERE group_id = ?",
			"DELETE FROM identity_groups WHERE id = ?",
		} {
			if _, err := tx.NewRaw(q, id).Exec(ctx); err != nil {
				return err
			}
		}
		return s.emit(ctx, tx, "group.delete", id, nil)
	})
}

// ListGroupUsers implements [Groups].
func (s *Service) ListGroupUsers(ctx context.Context, groupID string, f UserFilter, p nephos.Page) ([]User, bool, error) {
	if _, err := s.groupFor(ctx, "identity:list_users_in_group", groupID); err != nil {
		return nil, false, err
	}
	var rows []userRow
	q, err := filterUsers(s.cfg.Store.Reader().NewSelect().Model(&rows), f)
	if err != nil {
		return nil, false, err
	}
	q = q.Where("usr.id IN (SELECT user_id FROM identity_memberships WHERE group_id = ?)", groupID)
	more, err := page(ctx, s, q, &rows, "usr", p)
	return usersOf(rows), more, err
}

// ListUserGroups implements [Groups].
func (s *Service) ListUserGroups(ctx context.Context, userID string, f GroupFilter, p nephos.Page) ([]Group, bool, error) {
	if _, err := s.userFor(ctx, "identity:list_groups_for_user", userID); err != nil {
		return nil, false, err
	}
	var rows []groupRow
	q := filterGroups(s.cfg.Store.Reader().NewSelect().Model(&rows), f).
		Where("grp.id IN (SELECT group_id FROM identity_memberships WHERE user_id = ?)", userID)
	more, err := page(ctx, s, q, &rows, "grp", p)
	return groupsOf(rows), more, err
}

// AddGroupUser implements [Groups].
func (s *Service) AddGroupUser(ctx context.Context, groupID, userID string) error {
	if err := s.membershipFor(ctx, "identity:add_user_to_group", groupID, userID); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := loadGroup(ctx, tx, groupID); err != nil {
			return err
		}
		if _, err := loadUser(ctx, tx, userID); err != nil {
			return err
		}
		_, err := tx.NewRaw("INSERT INTO identity_memberships (user_id, group_id) VALUES (?, ?) ON CONFLICT DO NOTHING", userID, groupID).Exec(ctx)
		if err != nil {
			return err
		}
		return s.emit(ctx, tx, "group.add_user", groupID, map[string]any{"user_id": userID})
	})
}

// CheckGroupUser implements [Groups].
func (s *Service) CheckGroupUser(ctx context.Context, groupID, userID string) error {
	if err := s.membershipFor(ctx, "identity:check_user_in_group", groupID, userID); err != nil {
		return err
	}
	var found []string
	err := s.cfg.Store.Reader().NewRaw("SELECT user_id FROM identity_memberships WHERE user_id = ? AND group_id = ?", userID, groupID).Scan(ctx, &found)
	if err == nil && len(found) == 0 {
		return noMember(userID, groupID)
	}
	return err
}

// RemoveGroupUser implements [Groups].
func (s *Service) RemoveGroupUser(ctx context.Context, groupID, userID string) error {
	if err := s.membershipFor(ctx, "identity:remove_user_from_group", groupID, userID); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		res, err := tx.NewRaw("DELETE FROM identity_memberships WHERE user_id = ? AND group_id = ?", userID, groupID).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return noMemberOr(err, userID, groupID)
		}
		return s.emit(ctx, tx, "group.remove_user", groupID, map[string]any{"user_id": userID})
	})
}

func noMember(userID, groupID string) error {
	return nephos.Errorf(nephos.ErrNotFound, "User '%s' not found in group '%s'", clip(userID), clip(groupID))
}

func noMemberOr(err error, userID, groupID string) error {
	if err != nil {
		return err
	}
	return noMember(userID, groupID)
}

// membershipFor checks the rule with both ends of a membership as the target.
func (s *Service) membershipFor(ctx context.Context, rule, groupID, userID string) error {
	db := s.cfg.Store.Reader()
	group, groupErr := loadGroup(ctx, db, groupID)
	user, userErr := loadUser(ctx, db, userID)
	both := groupTarget(group)
	maps.Copy(both, userTarget(user.User))
	if err := s.enforce(ctx, rule, both); err != nil {
		return err
	}
	if groupErr != nil {
		return groupErr
	}
	return userErr
}

func groupTarget(g Group) policy.Target {
	return target("target.group.id", g.ID, "target.group.name", g.Name, "target.group.domain_id", g.DomainID)
}
