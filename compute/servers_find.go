package compute

import (
	"context"
	"maps"
	"slices"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// everywhere reports whether the caller sees all projects.
func (s *Service) everywhere(ctx context.Context) bool {
	return s.cfg.Policy.Allowed(ctx, "context_is_admin", nil) || caller(ctx).HasRole("service")
}

// target is what policy rules see of a server.
func (s Server) target() policy.Target {
	return policy.Target{"project_id": s.ProjectID, "user_id": s.UserID}
}

// visible narrows a query to a server that the caller may know of: another
// project's is not found.
func (s *Service) visible(ctx context.Context, q *bun.SelectQuery, id string, deletedToo bool) *bun.SelectQuery {
	q = q.Where("server.id = ?", id)
	if !deletedToo {
		q = q.Where("NOT server.deleted")
	}
	if !s.everywhere(ctx) {
		q = q.Where("server.project_id = ?", caller(ctx).ProjectID)
	}
	return q
}

// find loads a server that the caller may know of.
func (s *Service) find(ctx context.Context, id string, deletedToo bool) (*serverRow, error) {
	var rows []serverRow
	if err := s.visible(ctx, s.cfg.Store.Reader().NewSelect().Model(&rows), id, deletedToo).Scan(ctx); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, serverNotFound(id)
	}
	return &rows[0], nil
}

// change runs f on a server that the caller may do the rule to, in one
// transaction, and returns what became of it. Unless locked is set, a locked
// server is refused.
func (s *Service) change(ctx context.Context, id, rule string, lockedToo bool, f func(ctx context.Context, tx *store.Tx, row *serverRow) error) (*serverRow, error) {
	var owner []serverRow
	q := s.cfg.Store.Reader().NewSelect().Model(&owner).Column("project_id", "user_id")
	if err := s.visible(ctx, q, id, false).Scan(ctx); err != nil {
		return nil, err
	}
	if len(owner) == 0 {
		return nil, serverNotFound(id)
	}
	if err := s.cfg.Policy.Enforce(ctx, rule, owner[0].target()); err != nil {
		return nil, err
	}
	var row *serverRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		cur, err := loadServer(ctx, tx, id)
		if err != nil {
			return err
		}
		row = &cur
		if !lockedToo {
			if err := s.unlocked(ctx, row); err != nil {
				return err
			}
		}
		return f(ctx, tx, row)
	})
	return row, err
}

// Server implements [Servers].
func (s *Service) Server(ctx context.Context, id string) (Server, error) {
	q := s.cfg.Store.Reader().NewSelect().Model((*serverRow)(nil))
	servers, err := readServers(ctx, s.visible(ctx, q, id, false), true)
	if err != nil {
		return Server{}, err
	}
	if len(servers) == 0 {
		return Server{}, serverNotFound(id)
	}
	if err := s.cfg.Policy.Enforce(ctx, serversRule("show"), servers[0].target()); err != nil {
		return Server{}, err
	}
	return s.whole(ctx, servers[0])
}

// whole adds a server's disks and its host's status.
func (s *Service) whole(ctx context.Context, server Server) (Server, error) {
	list := []Server{server}
	db := s.cfg.Store.Reader()
	if err := addDisks(ctx, db, list); err != nil {
		return server, err
	}
	if err := addStatus(ctx, db, list); err != nil {
		return server, err
	}
	return list[0], nil
}

// addDisks fills in the volumes of servers, in one query.
func addDisks(ctx context.Context, db bun.IDB, servers []Server) error {
	if len(servers) == 0 {
		return nil
	}
	ids := make([]string, len(servers))
	for i := range servers {
		ids[i] = servers[i].ID
	}
	var rows []struct {
		bun.BaseModel `bun:"table:compute_disks,alias:disk"`
		Disk
	}
	err := db.NewSelect().Model(&rows).Where("disk.server_id IN (?) AND disk.destination = 'volume' AND disk.volume_id <> ''", bun.List(ids)).
		Order("disk.server_id", "disk.position").Scan(ctx)
	if err != nil {
		return err
	}
	by := map[string][]Disk{}
	for _, r := range rows {
		by[r.ServerID] = append(by[r.ServerID], r.Disk)
	}
	for i := range servers {
		servers[i].Disks = by[servers[i].ID]
	}
	return nil
}

// addStatus fills in the status of servers' hosts, in one query.
func addStatus(ctx context.Context, db bun.IDB, servers []Server) error {
	by := map[string]string{}
	for i := range servers {
		if h := servers[i].Host; h != "" {
			by[h] = ""
		}
	}
	if len(by) == 0 {
		return nil
	}
	var rows []struct {
		Name                     string
		Up, Disabled, ForcedDown bool
	}
	err := db.NewSelect().Table("compute_hosts").Column("name", "up", "disabled", "forced_down").Where("name IN (?)", bun.List(slices.Sorted(maps.Keys(by)))).Scan(ctx, &rows)
	if err != nil {
		return err
	}
	for _, r := range rows {
		by[r.Name] = Host{Up: r.Up, Disabled: r.Disabled, ForcedDown: r.ForcedDown}.Status()
	}
	for i := range servers {
		servers[i].HostStatus = by[servers[i].Host]
	}
	return nil
}

// DeleteServer implements [Servers].
func (s *Service) DeleteServer(ctx context.Context, id string, force bool) error {
	rule := serversRule("delete")
	if force {
		rule = "os_compute_api:os-deferred-delete:force"
	}
	_, err := s.change(ctx, id, rule, false, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		if row.Phase == phaseDeleting {
			return nil
		}
		if err := row.leave(ctx, tx); err != nil {
			return err
		}
		// A host that was to forget the server already keeps its tombstone.
		row.Phase, row.TaskState, row.CheckAt = phaseDeleting, TaskDeleting, nil
		if err := s.bury(ctx, tx, row); err != nil {
			return err
		}
		name := "delete"
		if force {
			name = "forceDelete"
		}
		if err := row.begin(ctx, tx, name); err != nil {
			return err
		}
		if err := row.emit(ctx, tx, "delete.start"); err != nil {
			return err
		}
		if err := row.save(ctx, tx, "phase", "task_state", "check_at", "revision", "deadline", "action"); err != nil {
			return err
		}
		return reconcile.Enqueue(ctx, tx, kindServer, row.ID, tx.Now())
	})
	return err
}

// UpdateServer implements [Servers].
func (s *Service) UpdateServer(ctx context.Context, id string, u ServerUpdate) (Server, error) {
	for field, v := range map[string]*string{"accessIPv4": u.AccessIPv4, "accessIPv6": u.AccessIPv6} {
		if v != nil {
			if err := checkAccess(field, *v); err != nil {
				return Server{}, err
			}
		}
	}
	row, err := s.change(ctx, id, serversRule("update"), true, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		renamed := u.Name != nil && *u.Name != row.Name || u.Hostname != nil && *u.Hostname != row.Hostname
		set(&row.Name, u.Name)
		set(&row.Hostname, u.Hostname)
		set(&row.AccessIPv4, u.AccessIPv4)
		set(&row.AccessIPv6, u.AccessIPv6)
		set(&row.DiskConfig, u.DiskConfig)
		set(&row.Description, u.Description)
		columns := []string{"name", "hostname", "access_ipv4", "access_ipv6", "disk_config", "description"}
		if renamed {
			changed, err := s.tellGuest(ctx, tx, row)
			if err != nil {
				return err
			}
			columns = append(columns, changed...)
		}
		if err := row.emit(ctx, tx, "update"); err != nil {
			return err
		}
		return row.save(ctx, tx, columns...)
	})
	if err != nil {
		return Server{}, err
	}
	return s.whole(ctx, row.Server)
}

// tellGuest wishes for the host to serve the guest new metadata, where there is
// one. It returns the columns to save.
func (s *Service) tellGuest(ctx context.Context, tx *store.Tx, row *serverRow) ([]string, error) {
	if row.Phase != phaseLive && row.Phase != phaseWait {
		return nil, nil
	}
	return wishColumns, s.wishQuietly(ctx, tx, row)
}
