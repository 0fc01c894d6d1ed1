package network

import (
	"context"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/store"
)

// defaultGroupName is the name of the group that every project has.
const defaultGroupName = "default"

// SecurityGroup is a set of rules that ports share.
type SecurityGroup struct {
	Meta
	Name, Description string
	Stateful          bool
	DefaultOf         *string // the project whose default group it is

	Rules []SecurityGroupRule `bun:"-"` // oldest first
}

// SecurityGroupSpec describes a group to create.
type SecurityGroupSpec struct {
	ProjectID, Name, Description string
	Stateful                     *bool // true
}

// SecurityGroupUpdate changes a group; what is nil stays.
type SecurityGroupUpdate struct {
	Name, Description *string
	Stateful          *bool
}

// SecurityGroups is what the Networking API's security groups need.
type SecurityGroups interface {
	// CreateSecurityGroups makes all of the groups, or none. A new group lets
	// everything out and nothing in.
	CreateSecurityGroups(ctx context.Context, specs []SecurityGroupSpec) ([]SecurityGroup, error)
	SecurityGroup(ctx context.Context, id string) (SecurityGroup, error)
	// ListSecurityGroups also makes the default group of the caller's project if
	// there is none yet.
	ListSecurityGroups(ctx context.Context, f Filter, p nephos.Page) ([]SecurityGroup, bool, error)
	UpdateSecurityGroup(ctx context.Context, id string, u SecurityGroupUpdate) (SecurityGroup, error)
	// DeleteSecurityGroup deletes a group that no port is in; the default group
	// is ErrConflict.
	DeleteSecurityGroup(ctx context.Context, id string) error
}

var _ SecurityGroups = (*Service)(nil)

type groupRow struct {
	bun.BaseModel `bun:"table:network_security_groups,alias:sg"`
	SecurityGroup
}

var groupList = &listing{
	table: "network_security_groups", alias: "sg", missing: groupNotFound,
	fields: metaFields("sg", map[string]field{
		"name":     {column: "sg.name"},
		"stateful": {column: "sg.stateful", kind: boolean},
		"shared": {where: func(q *bun.SelectQuery, values []string) (*bun.SelectQuery, error) {
			for _, v := range values {
				if b, err := parseBool(v); err != nil {
					return nil, err
				} else if b {
					q = q.Where("1 = 0") // no group is
				}
			}
			return q, nil
		}},
	}),
}

// CreateSecurityGroups implements [SecurityGroups].
func (s *Service) CreateSecurityGroups(ctx context.Context, specs []SecurityGroupSpec) ([]SecurityGroup, error) {
	for i := range specs {
		owner, err := s.ownerOf(ctx, specs[i].ProjectID)
		if err != nil {
			return nil, err
		}
		specs[i].ProjectID = owner
		if err := s.allow(ctx, owned(owner), "create_security_group"); err != nil {
			return nil, err
		}
		if strings.EqualFold(specs[i].Name, defaultGroupName) {
			return nil, conflict("SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
		}
	}
	return create(ctx, s.groups(), specs, func(ctx context.Context, tx *store.Tx, id string, spec SecurityGroupSpec) (SecurityGroup, error) {
		g := SecurityGroup{Meta: s.newMeta(id, spec.ProjectID), Name: spec.Name, Description: spec.Description, Stateful: or(spec.Stateful, true)}
		return g, s.insertGroup(ctx, tx, &g)
	})
}

// insertGroup writes a group with the rules that it begins with.
func (s *Service) insertGroup(ctx context.Context, tx *store.Tx, g *SecurityGroup) error {
	g.Revision = 1
	if _, err := tx.NewInsert().Model(&groupRow{SecurityGroup: *g}).Exec(ctx); err != nil {
		return err
	}
	var rows []ruleRow
	add := func(direction, ethertype, remote string) {
		r := SecurityGroupRule{Meta: s.newMeta(s.cfg.IDs.New(), g.ProjectID), GroupID: g.ID, Direction: direction, Ethertype: ethertype, RemoteGroup: remote}
		r.Sameness = r.sameness()
		g.Rules = append(g.Rules, r)
		rows = append(rows, ruleRow{SecurityGroupRule: r})
	}
	for _, ethertype := range []string{"IPv4", "IPv6"} {
		if g.DefaultOf != nil {
			add("ingress", ethertype, g.ID)
		}
		add("egress", ethertype, "")
	}
	if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
		return err
	}
	return emit(ctx, tx, "security_group.create", g.Meta, nil)
}

// defaultGroup returns the id of the project's default group, and makes it if
// there is none. A unique index keeps two from being made.
func (s *Service) defaultGroup(ctx context.Context, tx *store.Tx, projectID string) (string, error) {
	var ids []string
	err := tx.NewSelect().Table("network_security_groups").Column("id").Where("default_of = ?", projectID).Scan(ctx, &ids)
	if err != nil {
		return "", err
	}
	if len(ids) == 1 {
		return ids[0], nil
	}
	g := SecurityGroup{
		Meta: s.newMeta(s.cfg.IDs.New(), projectID), Name: defaultGroupName, Description: "Default security group",
		Stateful: true, DefaultOf: &projectID,
	}
	err = s.insertGroup(ctx, tx, &g)
	if store.UniqueViolation(err) {
		err = errAgain
	}
	return g.ID, err
}

// haveDefaultGroup makes the caller's project's default group if need be.
func (s *Service) haveDefaultGroup(ctx context.Context) error {
	project := caller(ctx).ProjectID
	if project == "" {
		return nil
	}
	n, err := s.cfg.Store.Reader().NewSelect().Table("network_security_groups").Where("default_of = ?", project).Count(ctx)
	if err != nil || n > 0 {
		return err
	}
	return s.retry(func() error {
		return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
			_, err := s.defaultGroup(ctx, tx, project)
			return err
		})
	})
}

// SecurityGroup implements [SecurityGroups].
func (s *Service) SecurityGroup(ctx context.Context, id string) (SecurityGroup, error) {
	return s.groups().shown(ctx, id)
}

// ListSecurityGroups implements [SecurityGroups].
func (s *Service) ListSecurityGroups(ctx context.Context, f Filter, p nephos.Page) ([]SecurityGroup, bool, error) {
	if err := s.signedIn(ctx); err != nil {
		return nil, false, err
	}
	if err := s.haveDefaultGroup(ctx); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []groupRow
	q, ok := s.ownOnly(ctx, db.NewSelect().Model(&rows), "sg", "get_security_group")
	if !ok {
		return nil, false, nil
	}
	more, err := find(ctx, db, groupList, q, &rows, f, p)
	if err != nil {
		return nil, false, err
	}
	groups, err := wholeGroups(ctx, db, rows)
	return groups, more, err
}

// ownOnly narrows a list to the caller's project unless the caller sees all; not
// ok when the caller may see nothing even there.
func (s *Service) ownOnly(ctx context.Context, q *bun.SelectQuery, alias, rule string) (*bun.SelectQuery, bool) {
	if s.everywhere(ctx) {
		return q, true
	}
	project := caller(ctx).ProjectID
	return q.Where("?.project_id = ?", bun.Safe(alias), project), s.cfg.Policy.Allowed(ctx, rule, owned(project))
}

// UpdateSecurityGroup implements [SecurityGroups].
func (s *Service) UpdateSecurityGroup(ctx context.Context, id string, u SecurityGroupUpdate) (SecurityGroup, error) {
	g, err := s.SecurityGroup(ctx, id)
	if err != nil {
		return g, err
	}
	if err := s.allow(ctx, owned(g.ProjectID), "update_security_group"); err != nil {
		return g, err
	}
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		groups, err := loadGroups(ctx, tx, id)
		if err != nil {
			return err
		}
		if len(groups) == 0 {
			return groupNotFound(id)
		}
		g = groups[0]
		if err := checkRevision(ctx, g.Meta); err != nil || u == (SecurityGroupUpdate{}) {
			return err
		}
		if u.Name != nil && *u.Name != g.Name {
			if g.DefaultOf != nil {
				return conflict("SecurityGroupCannotUpdateDefault", "Updating default security group not allowed.")
			}
			if strings.EqualFold(*u.Name, defaultGroupName) {
				return conflict("SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
			}
		}
		if u.Stateful != nil && *u.Stateful != g.Stateful {
			if err := groupUnused(ctx, tx, id); err != nil {
				return err
			}
		}
		set(&g.Name, u.Name)
		set(&g.Description, u.Description)
		set(&g.Stateful, u.Stateful)
		g.touch(tx.Now())
		if _, err := tx.NewUpdate().Model(&groupRow{SecurityGroup: g}).WherePK().Exec(ctx); err != nil {
			return err
		}
		return emit(ctx, tx, "security_group.update", g.Meta, nil)
	})
	return g, err
}

func groupUnused(ctx context.Context, tx *store.Tx, id string) error {
	n, err := tx.NewSelect().Table("network_port_groups").Where("group_id = ?", id).Count(ctx)
	if err == nil && n > 0 {
		err = conflict("SecurityGroupInUse", "Security Group %s in use.", id)
	}
	return err
}

// DeleteSecurityGroup implements [SecurityGroups].
func (s *Service) DeleteSecurityGroup(ctx context.Context, id string) error {
	g, err := s.SecurityGroup(ctx, id)
	if err != nil {
		return err
	}
	if err := s.allow(ctx, owned(g.ProjectID), "delete_security_group"); err != nil {
		return err
	}
	if g.DefaultOf != nil && !s.everywhere(ctx) {
		return conflict("SecurityGroupCannotRemoveDefault", "Insufficient rights for removing default security group.")
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := s.groups().current(ctx, tx, id); err != nil {
			return err
		}
		if err := groupUnused(ctx, tx, id); err != nil {
			return err
		}
		// Rules of others that name it would match nobody: they go with it.
		var referring []string
		err := tx.NewSelect().Table("network_security_rules").ColumnExpr("DISTINCT group_id").Where("remote_group = ? AND group_id <> ?", id, id).Scan(ctx, &referring)
		if err != nil {
			return err
		}
		for _, q := range []string{
			"DELETE FROM network_security_rules WHERE group_id = ?0 OR remote_group = ?0",
			"DELETE FROM network_security_groups WHERE id = ?0",
		} {
			if _, err := tx.NewRaw(q, id).Exec(ctx); err != nil {
				return err
			}
		}
		if err := emit(ctx, tx, "security_group.delete", g.Meta, nil); err != nil {
			return err
		}
		return s.enqueueIfPlaced(ctx, tx, kindGroup, driver.KindSecurityGroup, append(referring, id)...)
	})
}

// loadGroups returns those groups that exist, with their rules. It checks no
// policy.
func loadGroups(ctx context.Context, db bun.IDB, ids ...string) ([]SecurityGroup, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []groupRow
	if err := db.NewSelect().Model(&rows).Where("sg.id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, err
	}
	return wholeGroups(ctx, db, rows)
}

func wholeGroups(ctx context.Context, db bun.IDB, rows []groupRow) ([]SecurityGroup, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	groups := make([]SecurityGroup, len(rows))
	at := make(map[string]int, len(rows))
	ids := make([]string, len(rows))
	for i := range rows {
		g := rows[i].SecurityGroup
		g.Tags, g.Rules = nonNil(g.Tags), []SecurityGroupRule{}
		groups[i], at[g.ID], ids[i] = g, i, g.ID
	}
	var rules []ruleRow
	if err := db.NewSelect().Model(&rules).Where("rule.group_id IN (?)", bun.List(ids)).OrderExpr("rule.created_at, rule.id").Scan(ctx); err != nil {
		return nil, err
	}
	for _, r := range rules {
		g := &groups[at[r.GroupID]]
		g.Rules = append(g.Rules, r.whole())
	}
	return groups, nil
}
