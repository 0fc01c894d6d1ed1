package compute

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
)

// sortColumns are the columns of what servers can be sorted by, by the Compute
// API's names.
var sortColumns = map[string]string{
	"access_ip_v4": "access_ipv4", "access_ip_v6": "access_ipv6", "auto_disk_config": "disk_config",
	"availability_zone": "zone", "config_drive": "config_drive", "created_at": "created_at", "display_description": "description",
	"display_name": "name", "host": "host", "hostname": "hostname", "image_ref": "image_id", "instance_type_id": "flavor_id",
	"key_name": "key_name", "launch_index": "launch_index", "launched_at": "launched_at", "locked": "locked_by", "node": "node",
	"power_state": "power_state", "project_id": "project_id", "root_device_name": "root_device", "task_state": "task_state",
	"terminated_at": "deleted_at", "updated_at": "updated_at", "user_id": "user_id", "uuid": "id", "vm_state": "vm_state",
}

// exactColumns are the columns of the filters that must match exactly.
var exactColumns = map[string]string{
	"access_ip_v4": "access_ipv4", "access_ip_v6": "access_ipv6", "availability_zone": "zone", "config_drive": "config_drive",
	"flavor": "flavor_id", "host": "host", "hostname": "hostname", "image": "image_id", "key_name": "key_name", "launch_index": "launch_index",
	"node": "node", "power_state": "power_state", "project_id": "project_id", "reservation_id": "reservation_id",
	"root_device_name": "root_device", "uuid": "id", "user_id": "user_id", "task_state": "task_state", "vm_state": "vm_state",
	"description": "description", "disk_config": "disk_config",
}

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
	var out []Server
	flavors := map[string]Flavor{}
	for {
		var views []listView
		q, err := s.listQuery(ctx, s.cfg.Store.Reader().NewSelect().Model(&views), f, p)
		if err != nil {
			return nil, false, err
		}
		q = q.ExcludeColumn("flavor").ColumnExpr("server.flavor AS flavor_text")
		if !f.UserData {
			q = q.ExcludeColumn("user_data")
		}
		limit := p.Limit
		if match != nil {
			limit = max(limit, 500)
		}
		if limit > 0 {
			q = q.Limit(int64(limit + 1))
		}
		if err := q.Scan(ctx); err != nil {
			return nil, false, err
		}
		for i := range views {
			if limit > 0 && i == limit {
				break
			}
			if match != nil && !match(&views[i].Server) {
				continue
			}
			if p.Limit > 0 && len(out) == p.Limit {
				return out, true, nil
			}
			flavor, ok := flavors[views[i].FlavorText]
			if !ok {
				if err := json.Unmarshal([]byte(views[i].FlavorText), &flavor); err != nil {
					return nil, false, err
				}
				flavors[views[i].FlavorText] = flavor
			}
			views[i].Flavor = flavor
			out = append(out, views[i].Server)
		}
		if limit <= 0 || len(views) <= limit {
			return out, false, nil
		}
		if match == nil {
			return out, true, nil
		}
		p.Marker = views[limit-1].ID
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
		q = q.Where("server.id IN (?)", bun.In(f.IDs))
	}
	if len(f.VMStates) > 0 {
		q = q.Where("server.vm_state IN (?)", bun.In(f.VMStates))
	}
	if len(f.TaskStates) > 0 {
		q = q.Where("server.task_state IN (?)", bun.In(f.TaskStates))
	}
	if f.Since != nil {
		where("updated_at", ">=", *f.Since)
	}
	if f.Before != nil {
		where("updated_at", "<=", *f.Before)
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
		return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(string(b)) + "%"
	}
	const has = `server.tags LIKE ? ESCAPE '\'`
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

// pageServers adds order, marker and limit.
func pageServers(ctx context.Context, db bun.IDB, q *bun.SelectQuery, p nephos.Page) (*bun.SelectQuery, error) {
	type key struct {
		column string
		desc   bool
	}
	var keys []key
	for _, k := range p.Sort {
		column, ok := sortColumns[k.Key]
		if !ok {
			return nil, invalid("Sort key %.64s is not one of servers'.", k.Key).WithField("sort_key")
		}
		if !slices.ContainsFunc(keys, func(have key) bool { return have.column == column }) {
			keys = append(keys, key{column, k.Desc})
		}
	}
	if len(keys) == 0 {
		keys = []key{{"created_at", true}}
	}
	if !slices.ContainsFunc(keys, func(k key) bool { return k.column == "id" }) {
		keys = append(keys, key{"id", keys[0].desc})
	}
	if p.Marker != "" {
		n, err := db.NewSelect().Table("compute_servers").Where("id = ?", p.Marker).Count(ctx)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, invalid("marker [%.64s] not found", p.Marker).WithField("marker")
		}
		// The rows after the marker: those beyond it by the first key, or equal by
		// that and beyond by the second, and so on. An unset value sorts as the
		// oldest time.
		q = q.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
			for i := range keys {
				q = q.WhereGroup(" OR ", func(q *bun.SelectQuery) *bun.SelectQuery {
					for j, k := range keys[:i+1] {
						op := "="
						if j == i {
							if op = ">"; k.desc {
								op = "<"
							}
						}
						q = q.Where("? ? (SELECT ? FROM compute_servers m WHERE m.id = ?)", orderOf("server", k.column), bun.Safe(op), orderOf("m", k.column), p.Marker)
					}
					return q
				})
			}
			return q
		})
	}
	for _, k := range keys {
		dir := "ASC"
		if k.desc {
			dir = "DESC"
		}
		q = q.OrderExpr("? ?", orderOf("server", k.column), bun.Safe(dir))
	}
	return q, nil
}

// orderOf is the expression by which rows are ordered: columns that may be
// unset sort as if they were the least.
func orderOf(alias, column string) bun.Safe {
	switch column {
	case "launched_at", "deleted_at":
		return bun.Safe("COALESCE(" + alias + "." + column + ", '1970-01-01 00:00:00+00:00')")
	case "description":
		return bun.Safe("COALESCE(" + alias + "." + column + ", '')")
	}
	return bun.Safe(alias + "." + column)
}

var meta = regexp.MustCompile(`[\\.+*?()|\[\]{}^$]`)

// plain reports whether a pattern is no more than a piece of text.
func plain(pattern string) bool { return !meta.MatchString(pattern) }

// maxPattern bounds the patterns that users match names and addresses with.
const maxPattern = 255

// matcher returns what is left to match of the filter; nil when nothing is.
func (f ServerFilter) matcher() (func(*Server) bool, error) {
	var checks []func(*Server) bool
	compile := func(field, pattern string) (*regexp.Regexp, error) {
		if len(pattern) > maxPattern {
			return nil, invalid("Invalid filter field: %s.", field).WithField(field)
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, invalid("Invalid input for query parameters %s. Value: %s. It is not a regular expression.", field, pattern).WithField(field)
		}
		return re, nil
	}
	if f.Name != "" && !plain(f.Name) {
		re, err := compile("name", f.Name)
		if err != nil {
			return nil, err
		}
		checks = append(checks, func(s *Server) bool { return re.MatchString(s.Name) })
	}
	for field, pattern := range map[string]string{"ip": f.IP, "ip6": f.IP6} {
		if pattern == "" {
			continue
		}
		re, err := compile(field, pattern)
		if err != nil {
			return nil, err
		}
		checks = append(checks, func(s *Server) bool {
			for _, n := range s.NICs {
				for _, a := range n.Addresses {
					if strings.Contains(a.IP, ":") == (field == "ip6") && startsWith(re, a.IP) {
						return true
					}
				}
			}
			return false
		})
	}
	if len(checks) == 0 {
		return nil, nil
	}
	return func(s *Server) bool {
		for _, c := range checks {
			if !c(s) {
				return false
			}
		}
		return true
	}, nil
}

// startsWith reports whether the pattern matches at the beginning, as Nova
// matches addresses.
func startsWith(re *regexp.Regexp, s string) bool {
	at := re.FindStringIndex(s)
	return at != nil && at[0] == 0
}
