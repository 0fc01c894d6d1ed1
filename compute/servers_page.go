package compute

import (
	"context"
	"slices"

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
