package compute

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/uptrace/bun"
)

// Lists are the busiest calls and their rows the widest, so they are read without
// reflection: the database's processor time is spent on columns, ours on their
// JSON, and the two go on side by side.

// listColumns are what lists show of servers, in the order of listRow.into.
var listColumns = []string{
	"id", "project_id", "user_id", "name", "description", "hostname", "created_at", "updated_at", "launched_at", "deleted_at", "deleted",
	"vm_state", "task_state", "power_state", "fault", "image_id", "flavor_id", "flavor", "key_name", "zone", "pinned_zone", "security_groups",
	"metadata", "tags", "group_id", "config_drive", "access_ipv4", "access_ipv6", "disk_config", "reservation_id", "launch_index",
	"root_device", "locked_by", "locked_reason", "host", "node", "nics",
}

// listRow is a row of a list, its JSON not decoded yet.
type listRow struct {
	Server
	fault                                 *string
	flavor, groups, metadata, tags, cards string
}

// into is where the values of listColumns go; one more for the user data.
func (r *listRow) into(userData bool) []any {
	to := []any{
		&r.ID, &r.ProjectID, &r.UserID, &r.Name, &r.Description, &r.Hostname, &r.CreatedAt, &r.UpdatedAt, &r.LaunchedAt, &r.DeletedAt, &r.Deleted,
		&r.VMState, &r.TaskState, &r.PowerState, &r.fault, &r.ImageID, &r.FlavorID, &r.flavor, &r.KeyName, &r.Zone, &r.PinnedZone, &r.groups,
		&r.metadata, &r.tags, &r.GroupID, &r.ConfigDrive, &r.AccessIPv4, &r.AccessIPv6, &r.DiskConfig, &r.ReservationID, &r.LaunchIndex,
		&r.RootDevice, &r.LockedBy, &r.LockedReason, &r.Host, &r.Node, &r.cards,
	}
	if userData {
		to = append(to, &r.UserData)
	}
	return to
}

// chunkRows is how many rows at most are read before they are handed on to be
// decoded.
const chunkRows = 64

// readServers runs a query for listColumns.
func readServers(ctx context.Context, q *bun.SelectQuery, userData bool) ([]Server, error) {
	q = q.Column(listColumns...)
	if userData {
		q = q.Column("user_data")
	}
	rows, err := q.Rows(ctx)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var (
		out     []Server
		broken  error
		chunks  = make(chan []listRow, 16)
		decoder sync.WaitGroup
	)
	decoder.Go(func() {
		met := newDecoded()
		for chunk := range chunks {
			for i := range chunk {
				if broken == nil {
					broken = met.fill(&chunk[i])
				}
				out = append(out, chunk[i].Server)
			}
		}
	})
	read := func() error {
		defer decoder.Wait()
		defer close(chunks)
		var chunk []listRow
		for rows.Next() {
			if len(chunk) == cap(chunk) {
				size := 1 // as when it is a single server
				if chunk != nil {
					chunks <- chunk
					size = chunkRows
				}
				chunk = make([]listRow, 0, size)
			}
			chunk = chunk[:len(chunk)+1]
			if err := rows.Scan(chunk[len(chunk)-1].into(userData)...); err != nil {
				return err
			}
		}
		chunks <- chunk
		return rows.Err()
	}
	if err := read(); err != nil {
		return nil, err
	}
	return out, broken
}

// decoded are the JSON texts of one list that have been met: much of it is the
// same in many servers, which share the value and must not change it.
type decoded struct {
	flavors map[string]Flavor
	texts   map[string][]string
	maps    map[string]map[string]string
}

func newDecoded() *decoded {
	return &decoded{map[string]Flavor{}, map[string][]string{}, map[string]map[string]string{}}
}

func (d *decoded) fill(r *listRow) (err error) {
	if r.Flavor, err = once(d.flavors, r.flavor); err != nil {
		return err
	}
	if r.SecurityGroups, err = once(d.texts, r.groups); err != nil {
		return err
	}
	if r.Tags, err = once(d.texts, r.tags); err != nil {
		return err
	}
	if r.Metadata, err = once(d.maps, r.metadata); err != nil {
		return err
	}
	if r.fault != nil {
		if err := json.Unmarshal([]byte(*r.fault), &r.Fault); err != nil {
			return err
		}
	}
	return json.Unmarshal([]byte(r.cards), &r.NICs)
}

func once[T any](met map[string]T, text string) (T, error) {
	v, ok := met[text]
	if !ok {
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			return v, err
		}
		met[text] = v
	}
	return v, nil
}
