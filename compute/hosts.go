package compute

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// Host is a host that runs servers, as its agent's heartbeats and the operators
// describe it. It stands behind the Compute API's services (nova-compute) and
// hypervisors.
type Host struct {
	Name           string `bun:",pk"`
	ID             string // a UUID of ours: the hypervisor's; the service's is derived from it
	AgentID        string
	BootID         string
	Zone           string // that the agent asked for; aggregates may say otherwise
	Up             bool   // heartbeats arrive
	SeenAt         time.Time
	Disabled       bool
	DisabledReason string
	ForcedDown     bool
	Beat           driver.HostBeat
	Generation     int64
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Status is what the Compute API calls host_status.
func (h Host) Status() string {
	switch {
	case h.ForcedDown:
		return "DOWN"
	case !h.Up:
		return "UNKNOWN"
	case h.Disabled:
		return "MAINTENANCE"
	}
	return "UP"
}

type hostRow struct {
	bun.BaseModel `bun:"table:compute_hosts,alias:host"`
	Host
}

// loadHosts returns all hosts by name, or those named.
func loadHosts(ctx context.Context, db bun.IDB, names ...string) ([]Host, error) {
	var rows []hostRow
	q := db.NewSelect().Model(&rows).Order("host.name")
	if len(names) > 0 {
		q = q.Where("host.name IN (?)", bun.List(names))
	}
	err := q.Scan(ctx)
	hosts := make([]Host, len(rows))
	for i, r := range rows {
		hosts[i] = r.Host
	}
	return hosts, err
}

// Beat implements [driver.Observer].
func (s *Service) Beat(ctx context.Context, beat driver.HostBeat) error {
	changed, again := false, false
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var rows []hostRow
		if err := tx.NewSelect().Model(&rows).Where("host.name = ?", beat.Host).Scan(ctx); err != nil {
			return err
		}
		now := tx.Now()
		if len(rows) == 0 {
			changed = true
			row := hostRow{Host: Host{
				Name: beat.Host, ID: nephos.ChildID(beat.Host, "compute host"), AgentID: beat.AgentID, BootID: beat.BootID, Zone: beat.Zone,
				Up: true, SeenAt: now, Beat: beat, Generation: 1, CreatedAt: now, UpdatedAt: now,
			}}
			_, err := tx.NewInsert().Model(&row).Returning("NULL").Exec(ctx)
			if err != nil {
				return err
			}
			return s.startSweeping(ctx, tx)
		}
		row := &rows[0]
		changed = !row.Up || !sameHost(row.Beat, beat)
		if row.AgentID != beat.AgentID {
			if err := s.startSweeping(ctx, tx); err != nil {
				return err
			}
		}
		again = !now.Truncate(retell).Equal(row.SeenAt.Truncate(retell))
		if !changed {
			beat.Metrics = row.Beat.Metrics // as the scheduler has them, so that small changes add up
		}
		row.AgentID, row.BootID, row.Zone, row.Up, row.SeenAt, row.Beat = beat.AgentID, beat.BootID, beat.Zone, true, now, beat
		if changed {
			row.Generation, row.UpdatedAt = row.Generation+1, now
		}
		_, err := tx.NewUpdate().Model(row).Column("agent_id", "boot_id", "zone", "up", "seen_at", "beat", "generation", "updated_at").
			WherePK().Returning("NULL").Exec(ctx)
		return err
	})
	if err != nil || !changed && !again {
		return err
	}
	return s.publishHosts(ctx, beat.Host)
}

// retell is how often the scheduler is told of a host that has not changed, as
// operators may have taken away by the Placement API what is the host's.
const retell = time.Minute

// publishHosts tells the scheduler what the hosts are now: those named, or all.
// Whoever changes a host's record or its aggregates calls it after the commit.
func (s *Service) publishHosts(ctx context.Context, names ...string) error {
	if s.cfg.Claims == nil {
		return nil
	}
	db := s.cfg.Store.Reader()
	hosts, err := loadHosts(ctx, db, names...)
	if err != nil {
		return err
	}
	aggregates, err := aggregatesOf(ctx, db, names...)
	if err != nil {
		return err
	}
	for _, h := range hosts {
		if err := s.cfg.Claims.PutHost(ctx, schedulerHost(h, aggregates[h.Name])); err != nil {
			return err
		}
	}
	return nil
}

// Republish implements [driver.Observer].
func (s *Service) Republish(ctx context.Context, host string, put func(driver.Object) error) error {
	db := s.cfg.Store.Reader()
	var stones []tombstoneRow
	if err := db.NewSelect().Model(&stones).Where("tombstone.host = ?", host).Scan(ctx); err != nil {
		return err
	}
	for _, t := range stones {
		if err := put(driver.Object{Kind: driver.KindServer, ID: t.ServerID, Revision: t.Revision, Deleted: true}); err != nil {
			return err
		}
	}
	const batch = 200
	for after := ""; ; {
		var rows []serverRow
		err := db.NewSelect().Model(&rows).Where("server.host = ? AND NOT server.deleted AND server.id > ? AND server.phase IN (?, ?)",
			host, after, phaseWait, phaseLive).Order("server.id").Limit(batch).Scan(ctx)
		if err != nil {
			return err
		}
		ids := make([]string, len(rows))
		for i := range rows {
			ids[i] = rows[i].ID
		}
		disks, err := disksOf(ctx, db, ids)
		if err != nil {
			return err
		}
		for i := range rows {
			o, err := s.object(rows[i].served(ctx), &rows[i], disks[rows[i].ID])
			if err != nil {
				// One server's trouble does not keep the others from their host.
				s.cfg.Log.Error("publishing a server again", "server", rows[i].ID, "host", host, "error", err)
				continue
			}
			if err := put(o); err != nil {
				return err
			}
		}
		if len(rows) < batch {
			return nil
		}
		after = rows[len(rows)-1].ID
	}
}

// disksOf returns the disks of servers, in one query.
func disksOf(ctx context.Context, db bun.IDB, ids []string) (map[string][]diskRow, error) {
	out := map[string][]diskRow{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []diskRow
	err := db.NewSelect().Model(&rows).Where("disk.server_id IN (?)", bun.List(ids)).Order("disk.server_id", "disk.position").Scan(ctx)
	for _, r := range rows {
		out[r.ServerID] = append(out[r.ServerID], r)
	}
	return out, err
}

// kindSweep is the work that looks after everything that waits: one item.
const kindSweep = "compute.sweep"

// sweepEvery is how often.
const sweepEvery = 2 * time.Second

func (s *Service) startSweeping(ctx context.Context, tx *store.Tx) error {
	return reconcile.Enqueue(ctx, tx, kindSweep, "all", tx.Now().Add(sweepEvery))
}
