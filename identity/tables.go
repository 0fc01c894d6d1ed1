package identity

import (
	"context"
	"errors"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
)

type roleRow struct {
	bun.BaseModel `bun:"table:identity_roles,alias:role"`
	Role
}

func loadRole(ctx context.Context, db bun.IDB, id string) (Role, error) {
	var row roleRow
	ok, err := one(ctx, db.NewSelect().Model(&row).Where("role.id = ?", id))
	if err == nil && !ok {
		err = notFound("role", id)
	}
	return row.Role, err
}

func rolesOf(rows []roleRow) []Role {
	roles := make([]Role, len(rows))
	for i, r := range rows {
		roles[i] = r.Role
	}
	return roles
}

// projectRow is a project or a domain. TokensAfter is the second (Unix) up to
// which tokens on it are void.
type projectRow struct {
	bun.BaseModel `bun:"table:identity_projects,alias:project"`
	Project
	TokensAfter int64
}

type tagRow struct {
	bun.BaseModel `bun:"table:identity_project_tags,alias:tag"`
	ProjectID     string `bun:",pk"`
	Tag           string `bun:",pk"`
}

// loadProject loads a project, or a domain as one.
func loadProject(ctx context.Context, db bun.IDB, id string) (Project, error) {
	var rows []projectRow
	if err := db.NewSelect().Model(&rows).Where("project.id = ?", id).Scan(ctx); err != nil {
		return Project{}, err
	}
	if len(rows) == 0 {
		return Project{}, notFound("project", id)
	}
	projects, err := withTags(ctx, db, rows)
	if err != nil {
		return Project{}, err
	}
	return projects[0], nil
}

func loadDomain(ctx context.Context, db bun.IDB, id string) (Project, error) {
	p, err := loadProject(ctx, db, id)
	if err != nil && !errors.Is(err, nephos.ErrNotFound) {
		return Project{}, err
	}
	if err != nil || !p.IsDomain {
		return Project{}, notFound("domain", id)
	}
	return p, nil
}

// maxIn is how many ids a query names; for more it reads all.
const maxIn = 5000

// withTags fills the projects' tags by one query for all.
func withTags(ctx context.Context, db bun.IDB, rows []projectRow) ([]Project, error) {
	projects := make([]Project, len(rows))
	if len(rows) == 0 {
		return projects, nil
	}
	at := make(map[string]int, len(rows))
	ids := make([]string, len(rows))
	for i, r := range rows {
		projects[i], ids[i], at[r.ID] = r.Project, r.ID, i
		projects[i].Tags = []string{}
	}
	var tags []tagRow
	q := db.NewSelect().Model(&tags).Order("tag.tag")
	if len(ids) <= maxIn {
		q = q.Where("tag.project_id IN (?)", bun.List(ids))
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	for _, t := range tags {
		if i, ok := at[t.ProjectID]; ok {
			projects[i].Tags = append(projects[i].Tags, t.Tag)
		}
	}
	return projects, nil
}

func filterProjects(q *bun.SelectQuery, f ProjectFilter) *bun.SelectQuery {
	q = where(q, "project.name", f.Name).Where("project.is_domain = ?", f.IsDomain)
	if f.DomainID != "" {
		q = q.Where("project.domain_id = ?", f.DomainID)
	}
	if f.ParentID != "" {
		q = q.Where("project.parent_id = ?", f.ParentID)
	}
	if f.Enabled != nil {
		q = q.Where("project.enabled = ?", *f.Enabled)
	}
	return filterTags(q, f)
}

// loadParents loads the projects above one, nearest first, the domain last.
func loadParents(ctx context.Context, db bun.IDB, id string) ([]Project, error) {
	var rows []projectRow
	err := db.NewRaw(`WITH RECURSIVE up(id, depth) AS (
			SELECT parent_id, 1 FROM identity_projects WHERE id = ?
			UNION ALL
			SELECT p.parent_id, up.depth + 1 FROM identity_projects p JOIN up ON p.id = up.id WHERE p.parent_id <> ''
		) SELECT project.* FROM identity_projects project JOIN up ON project.id = up.id ORDER BY up.depth`, id).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	return withTags(ctx, db, rows)
}

// loadSubtree loads all projects below one.
func loadSubtree(ctx context.Context, db bun.IDB, id string) ([]Project, error) {
	var rows []projectRow
	err := db.NewRaw(`WITH RECURSIVE down(id, depth) AS (
			SELECT id, 1 FROM identity_projects WHERE parent_id = ?
			UNION ALL
			SELECT p.id, down.depth + 1 FROM identity_projects p JOIN down ON p.parent_id = down.id
		) SELECT project.* FROM identity_projects project JOIN down ON project.id = down.id ORDER BY down.depth, project.id`, id).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	return withTags(ctx, db, rows)
}

// userRow is a user. TokensAfter is the second (Unix) up to which the user's
// tokens are void.
type userRow struct {
	bun.BaseModel `bun:"table:identity_users,alias:usr"`
	User
	PasswordHash string
	TokensAfter  int64
}

type groupRow struct {
	bun.BaseModel `bun:"table:identity_groups,alias:grp"`
	Group
}

func loadUser(ctx context.Context, db bun.IDB, id string) (userRow, error) {
	var row userRow
	ok, err := one(ctx, db.NewSelect().Model(&row).Where("usr.id = ?", id))
	if err == nil && !ok {
		err = notFound("user", id)
	}
	return row, err
}

func loadGroup(ctx context.Context, db bun.IDB, id string) (Group, error) {
	var row groupRow
	ok, err := one(ctx, db.NewSelect().Model(&row).Where("grp.id = ?", id))
	if err == nil && !ok {
		err = notFound("group", id)
	}
	return row.Group, err
}

func usersOf(rows []userRow) []User {
	users := make([]User, len(rows))
	for i, r := range rows {
		users[i] = r.User
	}
	return users
}

func groupsOf(rows []groupRow) []Group {
	groups := make([]Group, len(rows))
	for i, r := range rows {
		groups[i] = r.Group
	}
	return groups
}

var timeOps = map[string]string{"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}

func filterUsers(q *bun.SelectQuery, f UserFilter) (*bun.SelectQuery, error) {
	q = where(q, "usr.name", f.Name)
	if f.DomainID != "" {
		q = q.Where("usr.domain_id = ?", f.DomainID)
	}
	if f.Enabled != nil {
		q = q.Where("usr.enabled = ?", *f.Enabled)
	}
	if f.DefaultProjectID != "" {
		q = q.Where("usr.default_project_id = ?", f.DefaultProjectID)
	}
	for _, m := range f.PasswordExpires {
		op, ok := timeOps[m.Op]
		if !ok {
			return nil, nephos.Errorf(nephos.ErrInvalid, "The given operator %s is not valid. It must be one of the following: "+
				"'eq', 'neq', 'lt', 'lte', 'gt', or 'gte'.", clip(m.Op)).WithField("password_expires_at")
		}
		q = q.Where("usr.password_expires_at ? ?", bun.Safe(op), m.Time)
	}
	return q, nil
}

func filterGroups(q *bun.SelectQuery, f GroupFilter) *bun.SelectQuery {
	q = where(q, "grp.name", f.Name)
	if f.DomainID != "" {
		q = q.Where("grp.domain_id = ?", f.DomainID)
	}
	return q
}

type assignmentRow struct {
	bun.BaseModel `bun:"table:identity_assignments,alias:assignment" json:"-"`
	ActorType     string `bun:",pk" json:"actor_type"`
	ActorID       string `bun:",pk" json:"actor_id"`
	TargetType    string `bun:",pk" json:"target_type"`
	TargetID      string `bun:",pk" json:"target_id"`
	RoleID        string `bun:",pk" json:"role_id"`
	Inherited     bool   `bun:",pk" json:"inherited"`
}

func assignmentOf(g Grant) assignmentRow {
	a := assignmentRow{ActorType: userActor, ActorID: g.UserID, RoleID: g.RoleID, Inherited: g.Inherited}
	if g.GroupID != "" {
		a.ActorType, a.ActorID = groupActor, g.GroupID
	}
	switch {
	case g.System:
		a.TargetType, a.TargetID = systemTarget, systemID
	case g.DomainID != "":
		a.TargetType, a.TargetID = domainTargetType, g.DomainID
	default:
		a.TargetType, a.TargetID = projectTargetType, g.ProjectID
	}
	return a
}

// loadGrantEnds loads what is at the ends of a grant, and fails with the first
// that does not exist; the others are loaded nonetheless.
func loadGrantEnds(ctx context.Context, db bun.IDB, g Grant) (grantEnds, error) {
	var e grantEnds
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	var err error
	if g.RoleID != "" {
		e.role, err = loadRole(ctx, db, g.RoleID)
		note(err)
	}
	if g.UserID != "" {
		var row userRow
		row, err = loadUser(ctx, db, g.UserID)
		e.user = row.User
		note(err)
	}
	if g.GroupID != "" {
		e.group, err = loadGroup(ctx, db, g.GroupID)
		note(err)
	}
	if g.ProjectID != "" {
		e.project, err = loadProject(ctx, db, g.ProjectID)
		note(err)
	}
	if g.DomainID != "" {
		e.domain, err = loadDomain(ctx, db, g.DomainID)
		note(err)
	}
	return e, first
}

type serviceRow struct {
	bun.BaseModel `bun:"table:identity_services,alias:service"`
	CloudService
	Managed bool // made by Bootstrap, which keeps it up to date
}

type endpointRow struct {
	bun.BaseModel `bun:"table:identity_endpoints,alias:endpoint"`
	Endpoint
	Managed bool // made by Bootstrap, which keeps it up to date
}

type regionRow struct {
	bun.BaseModel `bun:"table:identity_regions,alias:region"`
	Region
}

func loadService(ctx context.Context, db bun.IDB, id string) (CloudService, error) {
	var row serviceRow
	ok, err := one(ctx, db.NewSelect().Model(&row).Where("service.id = ?", id))
	if err == nil && !ok {
		err = notFound("service", id)
	}
	return row.CloudService, err
}

func loadEndpoint(ctx context.Context, db bun.IDB, id string) (Endpoint, error) {
	var row endpointRow
	ok, err := one(ctx, db.NewSelect().Model(&row).Where("endpoint.id = ?", id))
	if err == nil && !ok {
		err = notFound("endpoint", id)
	}
	return row.Endpoint, err
}

func loadRegion(ctx context.Context, db bun.IDB, id string) (Region, error) {
	var row regionRow
	ok, err := one(ctx, db.NewSelect().Model(&row).Where("region.id = ?", id))
	if err == nil && !ok {
		err = notFound("region", id)
	}
	return row.Region, err
}

type impliedRow struct {
	bun.BaseModel `bun:"table:identity_implied_roles,alias:implied"`
	PriorID       string `bun:",pk"`
	ImpliedID     string `bun:",pk"`
}
