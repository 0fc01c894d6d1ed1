package compute

import (
	"context"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// ServerUsage is what a server used in a period.
type ServerUsage struct {
	ServerID  string
	Name      string
	ProjectID string
	Flavor    string // name
	VCPUs     int
	MemoryMiB int
	DiskGiB   int // root and ephemeral
	StartedAt time.Time
	EndedAt   *time.Time
	State     string        // the vm_state, or terminated
	Hours     float64       // within the period
	Uptime    time.Duration // as a whole
}

// UsageFilter narrows use to a period, and to a project if that is not empty.
type UsageFilter struct {
	ProjectID   string
	Start, Stop time.Time
}

// Usages is what the Compute API's tenant usage needs.
type Usages interface {
	// ListUsage returns what servers that were ever up used, by project and
	// server id, and whether more follow. The marker is a server's id. Servers
	// deleted longer ago than their records are kept (Config.KeepDeleted) are
	// missing.
	ListUsage(ctx context.Context, f UsageFilter, p nephos.Page) ([]ServerUsage, bool, error)
}

var _ Usages = (*Service)(nil)

// ListUsage implements [Usages].
func (s *Service) ListUsage(ctx context.Context, f UsageFilter, p nephos.Page) ([]ServerUsage, bool, error) {
	verb := "list"
	if f.ProjectID != "" {
		verb = "show"
	}
	target := map[string]any{"project_id": f.ProjectID}
	if err := s.cfg.Policy.Enforce(ctx, usageRule(verb), target); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	now := s.cfg.Clock.Now()
	if f.Stop.After(now) {
		f.Stop = now
	}
	var rows []serverRow
	q := db.NewSelect().Model(&rows).Column("id", "name", "project_id", "flavor", "launched_at", "deleted_at", "vm_state").
		Where("server.launched_at < ? AND (server.deleted_at IS NULL OR server.deleted_at > ?)", f.Stop, f.Start)
	if f.ProjectID != "" {
		q = q.Where("server.project_id = ?", f.ProjectID)
	}
	order := store.Keyset{
		Table: "compute_servers", Alias: "server", Keys: []store.Key{{Expr: "@.project_id"}, {Expr: "@.id"}}, Missing: noMarker,
	}
	more, err := store.ReadPage(ctx, db, order, q, &rows, p)
	if err != nil {
		return nil, false, err
	}
	out := make([]ServerUsage, len(rows))
	for i, r := range rows {
		out[i] = usageOf(r.Server, f, now)
	}
	return out, more, nil
}

func usageOf(r Server, f UsageFilter, now time.Time) ServerUsage {
	u := ServerUsage{
		ServerID: r.ID, Name: r.Name, ProjectID: r.ProjectID, Flavor: r.Flavor.Name, VCPUs: r.Flavor.VCPUs,
		MemoryMiB: r.Flavor.MemoryMiB, DiskGiB: r.Flavor.DiskGiB + r.Flavor.EphemeralGB, State: r.VMState, EndedAt: r.DeletedAt,
	}
	set(&u.StartedAt, r.LaunchedAt)
	from, to, end := u.StartedAt, f.Stop, now
	if from.Before(f.Start) {
		from = f.Start
	}
	if r.DeletedAt != nil {
		u.State, end = "terminated", *r.DeletedAt
		if end.Before(to) {
			to = end
		}
	}
	if to.After(from) {
		u.Hours = to.Sub(from).Hours()
	}
	u.Uptime = max(end.Sub(u.StartedAt), 0)
	return u
}
