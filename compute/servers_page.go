package compute

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
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
	order := store.Keyset{Table: "compute_servers", Alias: "server", Missing: func(marker string) error {
		return invalid("marker [%.64s] not found", marker).WithField("marker")
	}}
	add := func(column string, desc bool) {
		if expr := orderOf(column); !order.Has(expr) {
			order.Keys = append(order.Keys, store.Key{Expr: expr, Desc: desc})
		}
	}
	for _, k := range p.Sort {
		column, ok := sortColumns[k.Key]
		if !ok {
			return nil, invalid("Sort key %.64s is not one of servers'.", k.Key).WithField("sort_key")
		}
		add(column, k.Desc)
	}
	if len(order.Keys) == 0 {
		add("created_at", true)
	}
	add("id", order.Keys[0].Desc)
	return order.Page(ctx, db, q, p)
}

// orderOf is the expression by which rows are ordered: columns that may be
// unset sort as if they were the least.
func orderOf(column string) string {
	switch column {
	case "launched_at", "deleted_at":
		return "COALESCE(@." + column + ", '1970-01-01 00:00:00+00:00')"
	case "description":
		return "COALESCE(@." + column + ", '')"
	}
	return "@." + column
}
