package identity

import (
	"context"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// Project is what resources belong to. Projects make a tree below their domain.
type Project struct {
	ID          string `bun:",pk"`
	Name        string
	DomainID    string // empty for a project that is a domain
	ParentID    string // the domain's id at the top of the tree; empty for a domain
	IsDomain    bool
	Enabled     bool
	Description *string
	Options     map[string]any
	Extra       map[string]any
	Tags        []string `bun:"-"` // sorted
}

// ProjectSpec describes a project to create.
type ProjectSpec struct {
	Name          string
	DomainID      string // empty: the caller's domain scope, else the default domain
	ParentID      string // empty: the domain
	IsDomain      bool
	Enabled       *bool // nil: true
	Description   *string
	NoDescription bool // it is null, whatever Description says
	Options       map[string]any
	Tags          []string
	Extra         map[string]any
}

// ProjectUpdate changes a project; what is nil stays.
type ProjectUpdate struct {
	Name          *string
	DomainID      *string // these three must be what they are:
	ParentID      *string // a project cannot move
	IsDomain      *bool
	Enabled       *bool
	Description   *string
	NoDescription bool // it is null, whatever Description says
	Options       map[string]any
	Tags          *[]string
	Extra         map[string]any
}

// ProjectFilter narrows a list of projects.
type ProjectFilter struct {
	Name       []Match
	DomainID   string
	ParentID   string
	Enabled    *bool
	IsDomain   bool     // list those that are domains instead
	Tags       []string // all of these
	TagsAny    []string // one of these
	NotTags    []string // not all of these
	NotTagsAny []string // none of these
}

// Projects is what the Identity API's projects need.
type Projects interface {
	// CreateProject makes a project. A name taken in its domain is ErrConflict.
	CreateProject(ctx context.Context, spec ProjectSpec) (Project, error)
	// Project returns a project, or a domain as one.
	Project(ctx context.Context, id string) (Project, error)
	// ListProjects returns projects in the order of their ids, and whether more follow.
	ListProjects(ctx context.Context, f ProjectFilter, p nephos.Page) ([]Project, bool, error)
	// ListUserProjects returns the projects on which a user has a role.
	ListUserProjects(ctx context.Context, userID string, f ProjectFilter) ([]Project, error)
	// UpdateProject changes a project. One is disabled only when all below it
	// are, and enabled only when all above it are.
	UpdateProject(ctx context.Context, id string, u ProjectUpdate) (Project, error)
	// DeleteProject removes a project without children, and every assignment on it.
	DeleteProject(ctx context.Context, id string) error
	// ProjectTree returns the projects above, nearest first and ending with the
	// domain, and all those below in no particular order. The lists hold those
	// on which the caller has a role only, unless all is set.
	ProjectTree(ctx context.Context, id string, all bool) (parents, subtree []Project, err error)
}

var _ Projects = (*Service)(nil)

// maxDepth is how deep projects nest below their domain, as in Keystone.
const maxDepth = 5

// CreateProject implements [Projects].
func (s *Service) CreateProject(ctx context.Context, spec ProjectSpec) (Project, error) {
	if !spec.IsDomain {
		spec.DomainID = homeDomain(ctx, spec.DomainID)
	}
	project := Project{
		ID: s.cfg.IDs.Hex(), Name: strings.TrimSpace(spec.Name), DomainID: spec.DomainID, ParentID: spec.ParentID,
		IsDomain: spec.IsDomain, Enabled: spec.Enabled == nil || *spec.Enabled, Description: described(spec.Description, spec.NoDescription),
		Options: mergeOptions(nil, spec.Options), Extra: mergeExtra(nil, spec.Extra), Tags: sortedTags(spec.Tags),
	}
	if project.IsDomain {
		project.DomainID = "" // before the rule is asked: no domain's manager makes domains
	}
	if project.ParentID == "" {
		project.ParentID = project.DomainID
	}
	if err := s.enforce(ctx, "identity:create_project", projectTarget(project)); err != nil {
		return Project{}, err
	}
	if err := checkName("project", project.Name); err != nil {
		return Project{}, err
	}
	if err := checkTags(project.Tags); err != nil {
		return Project{}, err
	}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		id, first, err := tx.Once(ctx, "identity.create_project", project.ID)
		if err != nil {
			return err
		}
		if !first {
			project, err = loadProject(ctx, tx, id)
			return err
		}
		if err := checkPlace(ctx, tx, project); err != nil {
			return err
		}
		return s.insertProject(ctx, tx, project)
	})
	return project, projectTaken(err, project)
}

func (s *Service) insertProject(ctx context.Context, tx *store.Tx, project Project) error {
	if _, err := tx.NewInsert().Model(&projectRow{Project: project}).Exec(ctx); err != nil {
		return err
	}
	if err := writeTags(ctx, tx, project.ID, project.Tags); err != nil {
		return err
	}
	kind := "project.create"
	if project.IsDomain {
		kind = "domain.create"
	}
	return s.emit(ctx, tx, kind, project.ID, nil)
}

// checkPlace refuses a new project that does not fit where it says it belongs.
func checkPlace(ctx context.Context, tx *store.Tx, p Project) error {
	if p.IsDomain {
		if p.ParentID != "" {
			return nephos.Errorf(nephos.ErrInvalid, "only root projects are allowed to act as domains.").WithField("parent_id")
		}
		return nil
	}
	// A place that does not exist is the request's fault here, not a 404.
	if _, err := loadDomain(ctx, tx, p.DomainID); err != nil {
		return asInvalid(err, "domain_id")
	}
	parent, err := loadProject(ctx, tx, p.ParentID)
	if err != nil {
		return asInvalid(err, "parent_id")
	}
	switch {
	case parent.IsDomain && parent.ID != p.DomainID:
		return nephos.Errorf(nephos.ErrInvalid, "Cannot create project, the parent (%s) is acting as a domain, but this project's domain id (%s) "+
			"does not match the parent's id.", parent.ID, p.DomainID).WithField("parent_id")
	case !parent.IsDomain && parent.DomainID != p.DomainID:
		return nephos.Errorf(nephos.ErrInvalid, "Cannot create project, since it specifies its domain_id %s, but specifies a parent in a different "+
			"domain (%s).", p.DomainID, parent.DomainID).WithField("parent_id")
	}
	above, err := loadParents(ctx, tx, parent.ID)
	if err != nil {
		return err
	}
	above = append([]Project{parent}, above...)
	for _, a := range above {
		if !a.Enabled {
			return nephos.Errorf(nephos.ErrInvalid, "cannot create a project in a branch containing a disabled project: %s", a.ID).WithField("parent_id")
		}
	}
	if len(above) > maxDepth {
		return nephos.Errorf(nephos.ErrForbidden, "Max hierarchy depth reached for %s branch.", p.ParentID).WithField("parent_id")
	}
	return nil
}

// Project implements [Projects].
func (s *Service) Project(ctx context.Context, id string) (Project, error) {
	project, err := loadProject(ctx, s.cfg.Store.Reader(), id)
	if e := s.enforce(ctx, "identity:get_project", projectTarget(project)); e != nil {
		return Project{}, e
	}
	return project, err
}

// ListProjects implements [Projects].
func (s *Service) ListProjects(ctx context.Context, f ProjectFilter, p nephos.Page) ([]Project, bool, error) {
	empty, err := s.enforceList(ctx, "identity:list_projects", &f.DomainID)
	if err != nil || empty {
		return nil, false, err
	}
	var rows []projectRow
	q := filterProjects(s.cfg.Store.Reader().NewSelect().Model(&rows), f)
	more, err := page(ctx, s, q, &rows, "project", p)
	if err != nil {
		return nil, false, err
	}
	projects, err := withTags(ctx, s.cfg.Store.Reader(), rows)
	return projects, more, err
}

// UpdateProject implements [Projects].
func (s *Service) UpdateProject(ctx context.Context, id string, u ProjectUpdate) (Project, error) {
	old, err := loadProject(ctx, s.cfg.Store.Reader(), id)
	if e := s.enforce(ctx, "identity:update_project", projectTarget(old)); e != nil {
		return Project{}, e
	}
	if err != nil {
		return Project{}, err
	}
	return s.updateProject(ctx, id, u)
}

func (s *Service) updateProject(ctx context.Context, id string, u ProjectUpdate) (Project, error) {
	if u.Name != nil {
		u.Name = trimmed(u.Name)
		if err := checkName("project", *u.Name); err != nil {
			return Project{}, err
		}
	}
	if u.Tags != nil {
		tags := sortedTags(*u.Tags)
		u.Tags = &tags
		if err := checkTags(tags); err != nil {
			return Project{}, err
		}
	}
	var project Project
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var row projectRow
		if ok, err := one(ctx, tx.NewSelect().Model(&row).Where("project.id = ?", id)); err != nil || !ok {
			return orNotFound(err, "project", id)
		}
		old := row.Project
		if err := s.checkProjectUpdate(ctx, tx, old, u); err != nil {
			return err
		}
		set(&row.Name, u.Name)
		set(&row.Enabled, u.Enabled)
		describe(&row.Description, u.Description, u.NoDescription)
		row.Options, row.Extra = mergeOptions(row.Options, u.Options), mergeExtra(row.Extra, u.Extra)
		if old.Enabled && !row.Enabled {
			row.TokensAfter = voidUntil(row.TokensAfter, tx.Now())
		}
		if _, err := tx.NewUpdate().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		if u.Tags != nil {
			if err := writeTags(ctx, tx, id, *u.Tags); err != nil {
				return err
			}
		}
		kind := "project.update"
		if row.IsDomain {
			kind = "domain.update"
		}
		if err := s.emit(ctx, tx, kind, id, map[string]any{"enabled": row.Enabled}); err != nil {
			return err
		}
		var err error
		project, err = loadProject(ctx, tx, id)
		return err
	})
	if project.Name == "" && u.Name != nil {
		project.ID, project.Name = id, *u.Name
	}
	return project, projectTaken(err, project)
}

func (s *Service) checkProjectUpdate(ctx context.Context, tx *store.Tx, old Project, u ProjectUpdate) error {
	resource := "project"
	if old.IsDomain {
		resource = "domain"
	}
	others := u.Name != nil || u.Enabled != nil || u.Description != nil || u.NoDescription || u.Tags != nil || len(u.Extra) > 0
	if err := checkImmutable(resource, old.ID, old.Options, u.Options, others); err != nil {
		return err
	}
	switch {
	case u.DomainID != nil && *u.DomainID != old.DomainID:
		return nephos.Errorf(nephos.ErrInvalid, "Cannot change Domain ID").WithField("domain_id")
	case u.ParentID != nil && *u.ParentID != old.ParentID:
		return nephos.Errorf(nephos.ErrForbidden, "Update of `parent_id` is not allowed.").WithField("parent_id")
	case u.IsDomain != nil && *u.IsDomain != old.IsDomain:
		return nephos.Errorf(nephos.ErrInvalid, "Update of `is_domain` is not allowed.").WithField("is_domain")
	case u.Enabled == nil || *u.Enabled == old.Enabled || old.IsDomain:
		return nil
	}
	if *u.Enabled {
		above, err := loadParents(ctx, tx, old.ID)
		if err != nil {
			return err
		}
		for _, a := range above {
			if !a.Enabled {
				return nephos.Errorf(nephos.ErrForbidden, "Cannot enable project %s since it has disabled parents", old.ID).WithField("enabled")
			}
		}
		return nil
	}
	below, err := loadSubtree(ctx, tx, old.ID)
	if err != nil {
		return err
	}
	for _, b := range below {
		if b.Enabled {
			return nephos.Errorf(nephos.ErrForbidden, "Cannot disable project %s since its subtree contains enabled projects.", old.ID).WithField("enabled")
		}
	}
	return nil
}

// DeleteProject implements [Projects].
func (s *Service) DeleteProject(ctx context.Context, id string) error {
	old, err := loadProject(ctx, s.cfg.Store.Reader(), id)
	if e := s.enforce(ctx, "identity:delete_project", projectTarget(old)); e != nil {
		return e
	}
	if err != nil {
		return err
	}
	if old.IsDomain {
		return s.deleteDomain(ctx, id)
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		p, err := loadProject(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := checkImmutableDelete("project", id, p.Options); err != nil {
			return err
		}
		children, err := tx.NewSelect().Model((*projectRow)(nil)).Where("project.parent_id = ?", id).Exists(ctx)
		if err != nil {
			return err
		}
		if children {
			return nephos.Errorf(nephos.ErrForbidden, "Cannot delete the project %s since it is not a leaf in the hierarchy. "+
				"Use the cascade option if you want to delete a whole subtree.", id)
		}
		for _, q := range []string{
			"DELETE FROM identity_assignments WHERE target_id = ? AND target_type = 'project'",
			"DELETE FROM identity_project_tags WHERE project_id = ?",
			"DELETE FROM identity_application_credentials WHERE project_id = ?",
			"UPDATE identity_users SET default_project_id = '' WHERE default_project_id = ?",
			"DELETE FROM identity_projects WHERE id = ?",
		} {
			if _, err := tx.NewRaw(q, id).Exec(ctx); err != nil {
				return err
			}
		}
		return s.emit(ctx, tx, "project.delete", id, nil)
	})
}

// ProjectTree implements [Projects].
func (s *Service) ProjectTree(ctx context.Context, id string, all bool) (parents, subtree []Project, err error) {
	if _, err := s.Project(ctx, id); err != nil {
		return nil, nil, err
	}
	db := s.cfg.Store.Reader()
	if parents, err = loadParents(ctx, db, id); err != nil {
		return nil, nil, err
	}
	if subtree, err = loadSubtree(ctx, db, id); err != nil || all {
		return parents, subtree, err
	}
	caller, _ := nephos.CallerFrom(ctx)
	mine, err := loadUserProjects(ctx, db, caller.UserID, ProjectFilter{})
	if err != nil {
		return nil, nil, err
	}
	held := map[string]bool{}
	for _, p := range mine {
		held[p.ID] = true
	}
	keep := func(projects []Project) []Project {
		kept := []Project{}
		for _, p := range projects {
			if held[p.ID] {
				kept = append(kept, p)
			}
		}
		return kept
	}
	return keep(parents), keep(subtree), nil
}

// ListUserProjects implements [Projects].
func (s *Service) ListUserProjects(ctx context.Context, userID string, f ProjectFilter) ([]Project, error) {
	user, err := loadUser(ctx, s.cfg.Store.Reader(), userID)
	if e := s.enforce(ctx, "identity:list_user_projects", userTarget(user.User)); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	return loadUserProjects(ctx, s.cfg.Store.Reader(), userID, f)
}

// homeDomain is the domain of a new resource that names none.
func homeDomain(ctx context.Context, id string) string {
	if id != "" {
		return id
	}
	if c, _ := nephos.CallerFrom(ctx); c.DomainID != "" {
		return c.DomainID
	}
	return DefaultDomainID
}

// enforceList checks the rule of a list, which a caller with a domain's scope
// sees of that domain only. It narrows the filter so, or reports that nothing
// is left of it.
func (s *Service) enforceList(ctx context.Context, rule string, domainID *string) (empty bool, err error) {
	c, _ := nephos.CallerFrom(ctx)
	about := target("target.domain_id", c.DomainID, "target.group.domain_id", c.DomainID)
	if err := s.enforce(ctx, rule, about); err != nil {
		return false, err
	}
	if c.DomainID == "" || *domainID == c.DomainID {
		return false, nil
	}
	if *domainID != "" {
		return true, nil
	}
	*domainID = c.DomainID
	return false, nil
}

// projectTarget leaves the domain of a project that is one empty: those who
// manage a domain do not manage what it is.
func projectTarget(p Project) policy.Target {
	return target("target.project.id", p.ID, "target.project.name", p.Name, "target.project.domain_id", p.DomainID)
}

func projectTaken(err error, p Project) error {
	if err == nil || !store.UniqueViolation(err) {
		return err
	}
	if p.IsDomain {
		return nephos.Errorf(nephos.ErrConflict, "Conflict occurred attempting to store project - it is not permitted to have two projects "+
			"acting as domains with the same name: %s.", p.Name).WithField("name")
	}
	return nephos.Errorf(nephos.ErrConflict, "Conflict occurred attempting to store project - it is not permitted to have two projects with "+
		"either the same name or same id in the same domain: name is %s, project id %s.", p.Name, p.ID).WithField("name")
}

// asInvalid makes a missing reference the fault of the request's field.
func asInvalid(err error, field string) error {
	if e, ok := err.(*nephos.Error); ok && e.Kind == nephos.ErrNotFound {
		return nephos.Errorf(nephos.ErrInvalid, "%s", e.Message).WithField(field)
	}
	return err
}

func orNotFound(err error, resource, id string) error {
	if err != nil {
		return err
	}
	return notFound(resource, id)
}

// described is the description of something new: empty when it is not said, unless
// it is to be none.
func described(said *string, none bool) *string {
	if none {
		return nil
	}
	return orEmpty(said)
}

// describe changes a description.
func describe(at **string, said *string, none bool) {
	if said != nil || none {
		*at = said
	}
	if none {
		*at = nil
	}
}

func orEmpty(s *string) *string {
	if s == nil {
		s = new(string)
	}
	return s
}
