package compute

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
)

// schedule chooses a host and claims its capacity, in one commit with the
// server's record.
func (s *Service) schedule(ctx context.Context, it *reconcile.Item, row *serverRow) error {
	req, err := s.request(ctx, row)
	if err != nil {
		return err
	}
	o := sqlstore.Options{
		Consumer: consumerOf(row), Seed: seedOf(row.ID), Alternates: 3, Building: true,
	}
	before := *row // the transaction may run again
	_, err = s.cfg.Claims.Schedule(ctx, req, o, func(ctx context.Context, tx *store.Tx, host scheduler.HostRef) error {
		*row = before
		if err := row.guard(ctx, tx); err != nil {
			return err
		}
		if err := checkGroup(ctx, tx, row, req.Group, host); err != nil {
			return err
		}
		if err := row.leave(ctx, tx); err != nil {
			return err
		}
		return s.chosen(ctx, tx, row, host)
	})
	if err != nil {
		*row = before
	}
	switch {
	case errors.Is(err, nephos.ErrConflict): // it uses something that is on no host
		if _, err = s.bootFailed(ctx, it, row, err); err == nil {
			err = errSuperseded
		}
	case errors.Is(err, nephos.ErrNoCapacity):
		message := noValidHost(err)
		if len(row.Tried) > 0 {
			message = fmt.Sprintf("Exceeded maximum number of retries. Exhausted all hosts available for retrying build failures for instance %s.", row.ID)
			if row.Fault != nil {
				message += " Last error: " + row.Fault.Message
			}
		}
		if _, err = s.abort(ctx, it, row, message, ""); err == nil {
			err = errSuperseded // by the release of what there is
		}
	}
	return err
}

// consumerOf is the server as what uses a host.
func consumerOf(row *serverRow) sqlstore.Consumer {
	return sqlstore.Consumer{ID: row.ID, ProjectID: row.ProjectID, UserID: row.UserID, Type: "INSTANCE"}
}

func noValidHost(err error) string {
	const none = "No valid host was found. "
	return none + strings.TrimPrefix(err.Error(), none)
}

// chosen writes down a server's host.
func (s *Service) chosen(ctx context.Context, tx *store.Tx, row *serverRow, host scheduler.HostRef) error {
	if slices.Contains(row.Tried, host.ID) {
		if _, err := tx.NewRaw("DELETE FROM compute_tombstones WHERE host = ? AND server_id = ?", host.ID, row.ID).Exec(ctx); err != nil {
			return err
		}
	}
	s.assign(row, host, tx.Now())
	return row.save(ctx, tx, "host", "node", "zone", "phase", "task_state", "scheduled_at", "deadline")
}

// assign gives a host to a server.
func (s *Service) assign(row *serverRow, host scheduler.HostRef, now time.Time) {
	row.Host, row.Node, row.Phase, row.TaskState = host.ID, host.Name, phaseConnect, TaskNetworking
	if row.Zone = host.Zone; row.Zone == "" {
		row.Zone = s.cfg.Zone
	}
	deadline := now.Add(s.cfg.BootDeadline)
	row.ScheduledAt, row.Deadline, row.UpdatedAt = &now, &deadline, now
}

// request describes the server to the scheduler.
func (s *Service) request(ctx context.Context, row *serverRow) (scheduler.Request, error) {
	db := s.cfg.Store.Reader()
	w := row.Wanted
	flavor := scheduler.Flavor{
		VCPUs: int64(row.Flavor.VCPUs), MemoryMB: int64(row.Flavor.MemoryMiB), RootGB: int64(row.Flavor.DiskGiB),
		EphemeralGB: int64(row.Flavor.EphemeralGB), SwapMB: int64(row.Flavor.SwapMiB), ExtraSpecs: row.Flavor.ExtraSpecs,
	}
	resources, err := flavor.Resources(row.ImageID == "")
	if err != nil {
		return scheduler.Request{}, err
	}
	if err := resources.Pin(flavor.ExtraSpecs, row.Image.Properties, flavor.VCPUs, flavor.MemoryMB); err != nil {
		return scheduler.Request{}, err
	}
	req := scheduler.Request{
		ID: row.ID, ProjectID: row.ProjectID, Resources: resources, VCPUs: flavor.VCPUs, MemoryMB: flavor.MemoryMB, Count: 1, Zone: w.Zone, ForcedHost: w.ForcedHost,
		ForcedNode: w.ForcedNode, RequestedHost: w.RequestedHost, RequestedNode: w.RequestedNode, IgnoreHosts: row.Tried,
		FlavorName: row.Flavor.Name, ExtraSpecs: row.Flavor.ExtraSpecs, ImageID: row.ImageID, ImageProperties: row.Image.Properties, Hints: w.Hints,
	}
	var others []string
	for _, hint := range []string{"same_host", "different_host"} {
		others = append(others, w.Hints[hint]...)
	}
	if len(others) > 0 {
		if req.ServerHosts, err = hostsOf(ctx, db, others); err != nil {
			return req, err
		}
	}
	if row.GroupID != "" {
		group, err := s.bootGroup(ctx, row.GroupID)
		if err != nil {
			return req, err
		}
		if group.MembersByHost, err = membersByHost(ctx, db, row.GroupID, row.ID); err != nil {
			return req, err
		}
		req.Group = &group
	}
	return req, nil
}

// hostsOf tells the hosts of servers.
func hostsOf(ctx context.Context, db bun.IDB, ids []string) (map[string]string, error) {
	var rows []struct{ ID, Host string }
	err := db.NewSelect().Table("compute_servers").Column("id", "host").Where("id IN (?) AND NOT deleted AND host <> ''", bun.List(ids)).Scan(ctx, &rows)
	out := map[string]string{}
	for _, r := range rows {
		out[r.ID] = r.Host
	}
	return out, err
}

// membersByHost counts a group's other servers by host.
func membersByHost(ctx context.Context, db bun.IDB, groupID, except string) (map[string]int, error) {
	var rows []struct {
		Host string
		N    int
	}
	err := db.NewSelect().Table("compute_servers").Column("host").ColumnExpr("COUNT(*) AS n").
		Where("group_id = ? AND NOT deleted AND host <> '' AND id <> ?", groupID, except).Group("host").Scan(ctx, &rows)
	out := map[string]int{}
	for _, r := range rows {
		out[r.Host] = r.N
	}
	return out, err
}

// checkGroup makes sure that a decision made on what was known of the group
// still keeps its policy, now that the transaction sees all of it. Each host is
// that of one more of its servers, none of which has a host yet.
func checkGroup(ctx context.Context, tx *store.Tx, row *serverRow, g *scheduler.Group, hosts ...scheduler.HostRef) error {
	if g == nil {
		return nil
	}
	members, err := membersByHost(ctx, tx, row.GroupID, row.ID)
	if err != nil {
		return err
	}
	most := max(g.MaxServerPerHost, 1)
	for _, h := range hosts {
		bad := g.Policy == scheduler.AntiAffinity && members[h.ID] >= most ||
			g.Policy == scheduler.Affinity && len(members) > 0 && members[h.ID] == 0
		if bad {
			return nephos.Errorf(nephos.ErrUnavailable, "scheduling server %s: its group %s changed meanwhile", row.ID, row.GroupID)
		}
		members[h.ID]++
	}
	return nil
}

// seedOf settles ties differently for each server, and always so for the same.
func seedOf(id string) uint64 {
	b, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(b) < 8 {
		return 1
	}
	return binary.BigEndian.Uint64(b)
}
