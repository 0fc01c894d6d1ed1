package compute

import (
	"context"
	"encoding/json"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// exactColumns are the columns of the filters that must match exactly.
var exactColumns = map[string]string{
	"access_ip_v4": "access_ipv4", "access_ip_v6": "access_ipv6", "availability_zone": "zone", "config_drive": "config_drive",
	"flavor": "flavor_id", "host": "host", "hostname": "hostname", "image": "image_id", "key_name": "key_name", "launch_index": "launch_index",
	"node": "node", "power_state": "power_state", "project_id": "project_id", "reservation_id": "reservation_id",
	"root_device_name": "root_device", "uuid": "id", "user_id": "user_id", "task_state": "task_state", "vm_state": "vm_state",
	"description": "description", "disk_config": "disk_config", "locked_by": "locked_by",
}

// momentColumns are the columns of the filters for moments.
var momentColumns = map[string]string{"created_at": "created_at", "launched_at": "launched_at", "terminated_at": "deleted_at"}

// ListServers implements [Servers]. It takes a constant number of queries.
func (s *Service) ListServers(ctx context.Context, f ServerFilter, p nephos.Page) ([]Server, bool, error) {
	rule := "index"
	if f.Disks || f.HostStatus {
		rule = "detail"
	}
	me := caller(ctx)
	if err := s.cfg.Policy.Enforce(ctx, serversRule(rule), map[string]any{"project_id": me.ProjectID, "user_id": me.UserID}); err != nil {
		return nil, false, err
	}
	if f.AllProjects {
		if err := s.cfg.Policy.Enforce(ctx, serversRule(rule+":get_all_tenants"), nil); err != nil {
			return nil, false, err
		}
	} else {
		f.ProjectID = me.ProjectID
	}
	match, err := f.matcher()
	if err != nil {
		return nil, false, err
	}
	servers, more, err := s.list(ctx, f, p, match)
	if err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	if f.Disks {
		if err := addDisks(ctx, db, servers); err != nil {
			return nil, false, err
		}
	}
	if f.HostStatus {
		if err := addStatus(ctx, db, servers); err != nil {
			return nil, false, err
		}
	}
	return servers, more, nil
}

// list fetches a page. What SQL cannot match is matched here, page by page.
func (s *Service) list(ctx context.Context, f ServerFilter, p nephos.Page, match func(*Server) bool) ([]Server, bool, error) {
	limit := p.Limit
	if match != nil {
		limit = max(limit, 500)
	}
	var out []Server
	for {
		page := p
		page.Limit = limit
		q, err := s.listQuery(ctx, s.cfg.Store.Reader().NewSelect().Model((*serverRow)(nil)), f, page)
		if err != nil {
			return nil, false, err
		}
		servers, err := readServers(ctx, q, f.UserData)
		if err != nil {
			return nil, false, err
		}
		more := store.More(&servers, limit)
		if match == nil {
			return servers, more, nil
		}
		for i := range servers {
			if !match(&servers[i]) {
				continue
			}
			if p.Limit > 0 && len(out) == p.Limit {
				return out, true, nil
			}
			out = append(out, servers[i])
		}
		if !more {
			return out, false, nil
		}
		p.Marker = servers[limit-1].ID
	}
}

func (s *Service) listQuery(ctx context.Context, q *bun.SelectQuery, f ServerFilter, p nephos.Page) (*bun.SelectQuery, error) {
	where := func(column string, op string, v any) {
		q = q.Where("? ? ?", bun.Ident("server."+column), bun.Safe(op), v)
	}
	if f.ProjectID != "" {
		where("project_id", "=", f.ProjectID)
	}
	if f.UserID != "" {
		where("user_id", "=", f.UserID)
	}
	if f.Deleted != nil {
		where("deleted", "=", *f.Deleted)
	}
	if len(f.IDs) > 0 {
		q = q.Where("server.id IN (?)", bun.List(f.IDs))
	}
	if len(f.VMStates) > 0 {
		q = q.Where("server.vm_state IN (?)", bun.List(f.VMStates))
	}
	if len(f.TaskStates) > 0 {
		q = q.Where("server.task_state IN (?)", bun.List(f.TaskStates))
	}
	if f.Since != nil {
		where("updated_at", ">=", *f.Since)
	}
	if f.Before != nil {
		where("updated_at", "<=", *f.Before)
	}
	for name, at := range f.At {
		column, ok := momentColumns[name]
		if !ok {
			return nil, invalid("Invalid filter field: %.64s.", name).WithField(name)
		}
		if at = at.UTC(); at.Nanosecond() != 0 {
			where(column, "=", at)
			continue
		}
		where(column, ">=", at)
		where(column, "<", at.Add(time.Second))
	}
	if f.Locked != nil {
		op := "="
		if *f.Locked {
			op = "<>"
		}
		where("locked_by", op, "")
	}
	if plain(f.Name) && f.Name != "" {
		q = q.Where("REPLACE(server.name, ?, '') <> server.name", f.Name)
	}
	for name, v := range f.Exact {
		column, ok := exactColumns[name]
		if !ok {
			return nil, invalid("Invalid filter field: %.64s.", name).WithField(name)
		}
		q = q.Where("CAST(? AS VARCHAR) = ?", bun.Ident("server."+column), v)
	}
	q = filterTags(q, f)
	return pageServers(ctx, s.cfg.Store.Reader(), q, p)
}

func filterTags(q *bun.SelectQuery, f ServerFilter) *bun.SelectQuery {
	pattern := func(tag string) string {
		b, _ := json.Marshal(tag)
		return string(b)
	}
	// Unlike LIKE, this tells letters' case apart on every database.
	const has = `REPLACE(server.tags, ?, '') <> server.tags`
	any := func(tags []string) func(*bun.SelectQuery) *bun.SelectQuery {
		return func(q *bun.SelectQuery) *bun.SelectQuery {
			for _, t := range tags {
				q = q.WhereOr(has, pattern(t))
			}
			return q
		}
	}
	all := func(tags []string) func(*bun.SelectQuery) *bun.SelectQuery {
		return func(q *bun.SelectQuery) *bun.SelectQuery {
			for _, t := range tags {
				q = q.Where(has, pattern(t))
			}
			return q
		}
	}
	for _, one := range []struct {
		tags []string
		sep  string
		add  func([]string) func(*bun.SelectQuery) *bun.SelectQuery
	}{{f.Tags, " AND ", all}, {f.TagsAny, " AND ", any}, {f.NotTags, " AND NOT ", all}, {f.NotTagsAny, " AND NOT ", any}} {
		if len(one.tags) > 0 {
			q = q.WhereGroup(one.sep, one.add(one.tags))
		}
	}
	return q
}
