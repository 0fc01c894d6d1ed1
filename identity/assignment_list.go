package identity

import (
	"context"
	"slices"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
)

// Named is a resource with its name and domain, where those were asked for.
type Named struct {
	ID, Name             string
	DomainID, DomainName string
}

// Assignment is a line of the list of who holds what: a grant, or in effective
// mode one of the roles that it amounts to.
type Assignment struct {
	User, Group     *Named // one of them
	Project, Domain *Named // one of them, or System
	System          bool
	Role            Named
	// Inherited says that the grant is one for the projects below its target, or
	// comes from such a one.
	Inherited bool
	// What an effective assignment comes from, where not from a grant as it is.
	ViaGroupID   string // the user's membership
	ViaProjectID string // inherited from a project
	ViaDomainID  string // inherited from a domain
	ViaRoleID    string // implied by a role
}

// AssignmentFilter narrows a list of assignments.
type AssignmentFilter struct {
	UserID, GroupID     string
	ProjectID, DomainID string
	System              bool
	RoleID              string
	Inherited           *bool
	// Subtree includes the projects below ProjectID.
	Subtree bool
	// Effective resolves groups, inheritance and implied roles into what users
	// hold on projects and domains, and with System on the system, which Keystone
	// leaves out otherwise.
	Effective bool
	Names     bool // fill in names
}

// Assignments is what the Identity API's list of assignments needs.
type Assignments interface {
	// ListAssignments lists assignments, in no particular order.
	ListAssignments(ctx context.Context, f AssignmentFilter) ([]Assignment, error)
}

var _ Assignments = (*Service)(nil)

// ListAssignments implements [Assignments].
func (s *Service) ListAssignments(ctx context.Context, f AssignmentFilter) ([]Assignment, error) {
	c, _ := nephos.CallerFrom(ctx)
	rule, about := "identity:list_role_assignments", target("target.domain_id", c.DomainID)
	if f.Subtree {
		rule, about = "identity:list_role_assignments_for_tree", nil
	}
	if err := s.enforce(ctx, rule, about); err != nil {
		return nil, err
	}
	db := s.cfg.Store.Reader()
	x := expansion{f: f, children: map[string][]string{}, domainOf: map[string]string{}}
	if err := x.load(ctx, db, c.DomainID != ""); err != nil {
		return nil, err
	}
	lines := x.run()
	if f.Effective && !f.System {
		lines = slices.DeleteFunc(lines, func(a Assignment) bool { return a.System })
	}
	if c.DomainID != "" {
		kept := lines[:0]
		for _, a := range lines {
			if a.Domain != nil && a.Domain.ID == c.DomainID || a.Project != nil && x.domainOf[a.Project.ID] == c.DomainID {
				kept = append(kept, a)
			}
		}
		lines = kept
	}
	if f.Names {
		if err := nameAll(ctx, db, lines); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// expansion turns grants into lines.
type expansion struct {
	f          AssignmentFilter
	rows       []assignmentRow
	members    map[string][]string // of groups
	children   map[string][]string // of projects and domains
	domainOf   map[string]string   // of projects
	implied    map[string][]string
	domainRole map[string]bool
	within     map[string]bool // the projects of the filter; nil: all
}

// load reads what the filter touches, in a constant number of queries.
func (x *expansion) load(ctx context.Context, db bun.IDB, domains bool) error {
	f := x.f
	q := db.NewSelect().Model(&x.rows)
	switch {
	case f.UserID != "" && f.Effective:
		q = q.Where(actorIs, f.UserID)
	case f.UserID != "":
		q = q.Where("actor_type = 'user' AND actor_id = ?", f.UserID)
	case f.GroupID != "":
		q = q.Where("actor_type = 'group' AND actor_id = ?", f.GroupID)
	}
	if !f.Effective {
		if f.RoleID != "" {
			q = q.Where("role_id = ?", f.RoleID)
		}
		if f.Inherited != nil {
			q = q.Where("inherited = ?", *f.Inherited)
		}
	}
	if err := q.Order("actor_id", "target_id", "role_id").Scan(ctx); err != nil {
		return err
	}
	if f.Effective || f.Subtree || domains {
		var tree []struct{ ID, ParentID, DomainID string }
		if err := db.NewRaw("SELECT id, parent_id, domain_id FROM identity_projects").Scan(ctx, &tree); err != nil {
			return err
		}
		for _, p := range tree {
			x.children[p.ParentID] = append(x.children[p.ParentID], p.ID)
			x.domainOf[p.ID] = p.DomainID
		}
	}
	if f.ProjectID != "" {
		x.within = map[string]bool{f.ProjectID: true}
		if f.Subtree {
			for _, p := range x.below(f.ProjectID) {
				x.within[p] = true
			}
		}
	}
	if !f.Effective {
		return nil
	}
	var members []struct{ UserID, GroupID string }
	if err := db.NewRaw("SELECT user_id, group_id FROM identity_memberships ORDER BY user_id").Scan(ctx, &members); err != nil {
		return err
	}
	x.members, x.implied, x.domainRole = map[string][]string{}, map[string][]string{}, map[string]bool{}
	for _, m := range members {
		if f.UserID == "" || f.UserID == m.UserID {
			x.members[m.GroupID] = append(x.members[m.GroupID], m.UserID)
		}
	}
	var implied []impliedRow
	if err := db.NewSelect().Model(&implied).Scan(ctx); err != nil {
		return err
	}
	for _, i := range implied {
		x.implied[i.PriorID] = append(x.implied[i.PriorID], i.ImpliedID)
	}
	var local []string
	if err := db.NewRaw("SELECT id FROM identity_roles WHERE domain_id <> ''").Scan(ctx, &local); err != nil {
		return err
	}
	for _, id := range local {
		x.domainRole[id] = true
	}
	return nil
}

// below returns all projects below one.
func (x *expansion) below(id string) []string {
	var all []string
	for next := x.children[id]; len(next) > 0; {
		id, next = next[0], next[1:]
		all = append(all, id)
		next = append(next[:len(next):len(next)], x.children[id]...)
	}
	return all
}

func (x *expansion) run() []Assignment {
	lines := []Assignment{}
	keep := func(a Assignment) {
		if x.keeps(a) {
			lines = append(lines, a)
		}
	}
	for _, r := range x.rows {
		a := lineOf(r)
		if !x.f.Effective {
			keep(a)
			continue
		}
		for _, b := range x.actors(a) {
			for _, c := range x.targets(b) {
				x.roles(c, keep)
			}
		}
	}
	return lines
}

// keeps applies the filters that concern what an expansion results in.
func (x *expansion) keeps(a Assignment) bool {
	f := x.f
	switch {
	case f.RoleID != "" && a.Role.ID != f.RoleID,
		f.System && !a.System,
		f.DomainID != "" && (a.Domain == nil || a.Domain.ID != f.DomainID),
		x.within != nil && (a.Project == nil || !x.within[a.Project.ID]),
		f.Inherited != nil && a.Inherited != *f.Inherited,
		f.Effective && x.domainRole[a.Role.ID]:
		return false
	}
	return true
}

// actors resolves a group into its members.
func (x *expansion) actors(a Assignment) []Assignment {
	if a.Group == nil {
		return []Assignment{a}
	}
	var out []Assignment
	for _, u := range x.members[a.Group.ID] {
		b := a
		b.ViaGroupID, b.Group, b.User = a.Group.ID, nil, &Named{ID: u}
		out = append(out, b)
	}
	return out
}

// targets resolves an inherited grant into the projects below.
func (x *expansion) targets(a Assignment) []Assignment {
	if !a.Inherited {
		return []Assignment{a}
	}
	top := a.Domain
	if top == nil {
		top = a.Project
	}
	var out []Assignment
	for _, p := range x.below(top.ID) {
		b := a
		b.Project, b.Domain = &Named{ID: p}, nil
		if a.Domain != nil {
			b.ViaDomainID = top.ID
		} else {
			b.ViaProjectID = top.ID
		}
		out = append(out, b)
	}
	return out
}

// roles adds the roles that one implies.
func (x *expansion) roles(a Assignment, keep func(Assignment)) {
	seen := map[string]bool{a.Role.ID: true}
	for todo := []Assignment{a}; len(todo) > 0; todo = todo[1:] {
		at := todo[0]
		keep(at)
		for _, id := range x.implied[at.Role.ID] {
			if seen[id] {
				continue
			}
			seen[id] = true
			b := at
			b.ViaRoleID, b.Role = at.Role.ID, Named{ID: id}
			todo = append(todo[:len(todo):len(todo)], b)
		}
	}
}

func lineOf(r assignmentRow) Assignment {
	a := Assignment{Role: Named{ID: r.RoleID}, Inherited: r.Inherited}
	if r.ActorType == groupActor {
		a.Group = &Named{ID: r.ActorID}
	} else {
		a.User = &Named{ID: r.ActorID}
	}
	switch r.TargetType {
	case systemTarget:
		a.System = true
	case domainTargetType:
		a.Domain = &Named{ID: r.TargetID}
	default:
		a.Project = &Named{ID: r.TargetID}
	}
	return a
}

// nameAll fills in the names of all that the lines mention.
func nameAll(ctx context.Context, db bun.IDB, lines []Assignment) error {
	tables := map[string][]*Named{}
	for i := range lines {
		a := &lines[i]
		// Lines made of one another share what they point to.
		for table, n := range map[string]**Named{"users": &a.User, "groups": &a.Group, "projects": &a.Project} {
			if *n != nil {
				tables[table] = append(tables[table], *n)
			}
		}
		if a.Domain != nil {
			tables["projects"] = append(tables["projects"], a.Domain)
		}
		tables["roles"] = append(tables["roles"], &a.Role)
	}
	for table, refs := range tables {
		ids := map[string]bool{}
		for _, n := range refs {
			ids[n.ID] = true
		}
		list := make([]string, 0, len(ids))
		for id := range ids {
			list = append(list, id)
		}
		if len(list) > maxIn {
			list = nil
		}
		var found []Named
		err := db.NewRaw(`SELECT t.id, t.name, t.domain_id, COALESCE(d.name, '') AS domain_name FROM ? t
			LEFT JOIN identity_projects d ON d.id = t.domain_id WHERE ? OR t.id IN (?)`,
			bun.Safe("identity_"+table), list == nil, bun.List(append(list, ""))).Scan(ctx, &found)
		if err != nil {
			return err
		}
		byID := make(map[string]Named, len(found))
		for _, n := range found {
			byID[n.ID] = n
		}
		for _, n := range refs {
			if got, ok := byID[n.ID]; ok {
				*n = got
			}
		}
	}
	return nil
}
