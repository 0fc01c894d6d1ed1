package compute

import (
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// Group is a server group: what its servers' hosts have to do with one another.
type Group struct {
	ID               string
	ProjectID        string
	UserID           string
	Name             string
	Policy           string // scheduler.Affinity and its siblings
	MaxServerPerHost *int   // of anti-affinity; nil: not given, which means one
	CreatedAt        time.Time

	Members []string `bun:"-"` // ids of its servers
}

// GroupSpec describes a server group to create.
type GroupSpec struct {
	Name             string
	Policy           string
	MaxServerPerHost *int
}

// GroupFilter narrows a list of server groups.
type GroupFilter struct {
	AllProjects bool // for operators; others get their own project's
	Offset      int  // how many to leave out
}

// Groups is what the Compute API's server groups need.
type Groups interface {
	// CreateGroup makes a group in the caller's project; ErrQuota when there are
	// too many.
	CreateGroup(ctx context.Context, spec GroupSpec) (Group, error)
	Group(ctx context.Context, id string) (Group, error)
	// ListGroups returns groups as they were made, and whether more follow.
	ListGroups(ctx context.Context, f GroupFilter, p nephos.Page) ([]Group, bool, error)
	// DeleteGroup removes a group. Its servers stay.
	DeleteGroup(ctx context.Context, id string) error
}

var _ Groups = (*Service)(nil)

type groupRow struct {
	bun.BaseModel `bun:"table:compute_groups,alias:grp"`
	Seq           int64 `bun:",pk,autoincrement"`
	Group
}

func groupNotFound(id string) error { return nephos.NotFound("Instance group", clip(id)) }

// CreateGroup implements [Groups].
func (s *Service) CreateGroup(ctx context.Context, spec GroupSpec) (Group, error) {
	if err := s.cfg.Policy.Enforce(ctx, groupRule("create"), ownProject(ctx)); err != nil {
		return Group{}, err
	}
	switch {
	case spec.Name == "" || len(spec.Name) > 255:
		return Group{}, invalid("Invalid input received: name must be 1 to 255 characters long.").WithField("name")
	case !slices.Contains([]string{scheduler.Affinity, scheduler.AntiAffinity, scheduler.SoftAffinity, scheduler.SoftAntiAffinity}, spec.Policy):
		return Group{}, invalid("Invalid input received: there is no policy %s.", clip(spec.Policy)).WithField("policy")
	case spec.MaxServerPerHost != nil && spec.Policy != scheduler.AntiAffinity:
		return Group{}, invalid("Only anti-affinity policy supports rules.").WithField("rules")
	case spec.MaxServerPerHost != nil && (*spec.MaxServerPerHost < 1 || *spec.MaxServerPerHost > maxAmount):
		return Group{}, invalid("Invalid input received: max_server_per_host must be positive.").WithField("max_server_per_host")
	}
	me := caller(ctx)
	g := Group{
		ID: s.cfg.IDs.New(), ProjectID: me.ProjectID, UserID: me.UserID, Name: spec.Name, Policy: spec.Policy,
		MaxServerPerHost: spec.MaxServerPerHost, Members: []string{},
	}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		id, first, err := tx.Once(ctx, "compute.create_group", g.ID)
		if err != nil {
			return err
		}
		if !first {
			g, err = s.loadGroup(ctx, tx, id)
			return err
		}
		limit, err := s.limitOf(ctx, tx, g.ProjectID, "server_groups")
		if err != nil {
			return err
		}
		if limit >= 0 {
			n, err := tx.NewSelect().Model((*groupRow)(nil)).Where("grp.project_id = ?", g.ProjectID).Count(ctx)
			if err != nil {
				return err
			}
			if int(n) >= limit {
				return nephos.Errorf(nephos.ErrQuota, "Quota exceeded, too many server groups.")
			}
		}
		g.CreatedAt = tx.Now()
		row := groupRow{Group: g}
		if _, err := tx.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		return tx.Emit(ctx, store.Event{Service: "compute", Type: "server_group.create", ResourceID: g.ID}, nil)
	})
	return g, err
}

// loadGroup returns a group that the caller's project owns, or any for operators.
func (s *Service) loadGroup(ctx context.Context, db bun.IDB, id string) (Group, error) {
	var rows []groupRow
	q := db.NewSelect().Model(&rows).Where("grp.id = ?", id)
	if !s.isAdmin(ctx) {
		q = q.Where("grp.project_id = ?", caller(ctx).ProjectID)
	}
	if err := q.Scan(ctx); err != nil {
		return Group{}, err
	}
	if len(rows) == 0 {
		return Group{}, groupNotFound(id)
	}
	groups, err := withMembers(ctx, db, rows)
	if err != nil {
		return Group{}, err
	}
	return groups[0], nil
}

// withMembers adds the members of all groups by one query.
func withMembers(ctx context.Context, db bun.IDB, rows []groupRow) ([]Group, error) {
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	var members []struct{ ID, GroupID string }
	if len(ids) > 0 {
		err := db.NewSelect().Table("compute_servers").Column("id", "group_id").
			Where("group_id IN (?) AND NOT deleted", bun.List(ids)).Order("created_at", "id").Scan(ctx, &members)
		if err != nil {
			return nil, err
		}
	}
	by := map[string][]string{}
	for _, m := range members {
		by[m.GroupID] = append(by[m.GroupID], m.ID)
	}
	out := make([]Group, len(rows))
	for i, r := range rows {
		out[i] = r.Group
		out[i].Members = append([]string{}, by[r.ID]...)
	}
	return out, nil
}

// Group implements [Groups].
func (s *Service) Group(ctx context.Context, id string) (Group, error) {
	return s.ownGroup(ctx, "show", id)
}

func (s *Service) ownGroup(ctx context.Context, verb, id string) (Group, error) {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return Group{}, s.cfg.Policy.Enforce(ctx, groupRule(verb), nil)
	}
	g, err := s.loadGroup(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return Group{}, err
	}
	return g, s.cfg.Policy.Enforce(ctx, groupRule(verb), map[string]any{"project_id": g.ProjectID})
}

// ListGroups implements [Groups].
func (s *Service) ListGroups(ctx context.Context, f GroupFilter, p nephos.Page) ([]Group, bool, error) {
	if err := s.cfg.Policy.Enforce(ctx, groupRule("index"), ownProject(ctx)); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []groupRow
	q := db.NewSelect().Model(&rows).Order("grp.seq")
	if f.AllProjects && s.isAdmin(ctx) {
		if err := s.cfg.Policy.Enforce(ctx, groupRule("index:all_projects"), ownProject(ctx)); err != nil {
			return nil, false, err
		}
	} else {
		q = q.Where("grp.project_id = ?", caller(ctx).ProjectID)
	}
	if f.Offset > 0 {
		q = q.Offset(int64(f.Offset))
	}
	if p.Limit > 0 {
		q = q.Limit(int64(p.Limit + 1))
	} else if f.Offset > 0 {
		q = q.Limit(maxAmount) // SQLite has no offset without a limit
	}
	if err := q.Scan(ctx); err != nil {
		return nil, false, err
	}
	more := store.More(&rows, p.Limit)
	groups, err := withMembers(ctx, db, rows)
	return groups, more, err
}

// DeleteGroup implements [Groups].
func (s *Service) DeleteGroup(ctx context.Context, id string) error {
	g, err := s.ownGroup(ctx, "delete", id)
	if err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		res, err := tx.NewRaw("DELETE FROM compute_groups WHERE id = ?", id).Exec(ctx)
		if err != nil {
			return err
		}
		if n, _ := res.RowsAffected(); n == 0 {
			return groupNotFound(id)
		}
		if _, err := tx.NewRaw("UPDATE compute_servers SET group_id = '' WHERE group_id = ?", id).Exec(ctx); err != nil {
			return err
		}
		return tx.Emit(ctx, store.Event{Service: "compute", Type: "server_group.delete", ResourceID: id, ProjectID: g.ProjectID}, nil)
	})
}
