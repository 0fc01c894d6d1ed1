package compute

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/driver"
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

type hostRow struct {
	bun.BaseModel `bun:"table:compute_hosts,alias:host"`
	Host
}

// loadHosts returns all hosts by name, or those named.
func loadHosts(ctx context.Context, db bun.IDB, names ...string) ([]Host, error) {
	var rows []hostRow
	q := db.NewSelect().Model(&rows).Order("host.name")
	if len(names) > 0 {
		q = q.Where("host.name IN (?)", bun.In(names))
	}
	err := q.Scan(ctx)
	hosts := make([]Host, len(rows))
	for i, r := range rows {
		hosts[i] = r.Host
	}
	return hosts, err
}
