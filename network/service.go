package network

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// Config are the parts of a Service. Store and Policy are needed; the zero
// value of the rest means production.
type Config struct {
	Store  *store.DB
	Policy *policy.Enforcer // with [Rules] among its defaults
	Clock  nephos.Clock
	IDs    nephos.IDs
	Log    *slog.Logger
	// Fleet is how hosts are reached. Nil means that there are none: networks
	// are of type local then, and nothing is sent.
	Fleet driver.Fleet

	// TenantNetworkType is what kind of segment a network gets that names none:
	// vxlan, vlan or local. Empty means vxlan with a Fleet, local without.
	TenantNetworkType string
	// VXLAN is the range of identifiers for vxlan networks; zero means 1 to 2²⁴-1.
	VXLAN Range
	// PhysicalNetworks are those that flat and vlan networks can be made on.
	PhysicalNetworks []PhysicalNetwork
	// MTU is what the physical networks carry, in bytes; 0 means 1500. A vxlan
	// network gets 50 less.
	MTU int
	// Zone is the name of the availability zone that networks and routers are in;
	// empty means nova.
	Zone string
	// Quotas replaces default quotas by resource (port, network …); -1 is no limit.
	Quotas map[string]int
	// Resend is how long a host may take to report an object before it is sent
	// again; 0 means five seconds.
	Resend time.Duration
	// Coalesce is how long changes of a security group's members are gathered
	// before the hosts hear of them; 0 means 200 milliseconds.
	Coalesce time.Duration
	// BindDeadline is how long a port may take to come up on its host before its
	// status says ERROR; 0 means two minutes.
	BindDeadline time.Duration
	// HostTimeout is how long a host counts as alive after its last heartbeat; 0
	// means 75 seconds.
	HostTimeout time.Duration
}

// Range is a range of numbers, both ends included.
type Range struct{ Min, Max int64 }

// PhysicalNetwork is a network outside the cloud that hosts are connected to.
type PhysicalNetwork struct {
	Name  string
	Flat  bool  // networks without a VLAN tag may be made on it
	VLANs Range // zero: none are given out to networks that name no VLAN
}

// Service implements every interface of this package on a database. It is safe
// for concurrent use.
type Service struct {
	cfg      Config
	defaults map[string]int // quotas
}

// New returns a service on a database that was migrated with [Migrations].
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Policy == nil {
		return nil, errors.New("making the network service: it needs a store and a policy")
	}
	cfg.Clock = cmp.Or[nephos.Clock](cfg.Clock, nephos.WallClock{})
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	if cfg.TenantNetworkType == "" {
		cfg.TenantNetworkType = TypeVXLAN
		if cfg.Fleet == nil {
			cfg.TenantNetworkType = TypeLocal
		}
	}
	switch cfg.TenantNetworkType {
	case TypeVXLAN, TypeVLAN, TypeLocal:
	default:
		return nil, fmt.Errorf("making the network service: tenant network type %q is none of vxlan, vlan, local", cfg.TenantNetworkType)
	}
	cfg.VXLAN = cmp.Or(cfg.VXLAN, Range{1, 1<<24 - 1})
	cfg.MTU = cmp.Or(cfg.MTU, 1500)
	cfg.Zone = cmp.Or(cfg.Zone, "nova")
	cfg.Resend = cmp.Or(cfg.Resend, 5*time.Second)
	cfg.Coalesce = cmp.Or(cfg.Coalesce, 200*time.Millisecond)
	cfg.BindDeadline = cmp.Or(cfg.BindDeadline, 2*time.Minute)
	cfg.HostTimeout = cmp.Or(cfg.HostTimeout, 75*time.Second)
	s := &Service{cfg: cfg, defaults: defaultQuotas()}
	for resource, n := range cfg.Quotas {
		if _, ok := s.defaults[resource]; !ok {
			return nil, fmt.Errorf("making the network service: there is no quota of %q", resource)
		}
		s.defaults[resource] = n
	}
	return s, nil
}

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the service's tables.
func Migrations() store.Migrations { return store.MigrationsOf("network", migrations) }

// Meta is what every resource has.
type Meta struct {
	ID        string `bun:",pk"`
	ProjectID string
	Tags      []string
	Revision  int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

func (s *Service) newMeta(id, projectID string) Meta {
	now := s.cfg.Clock.Now()
	return Meta{ID: id, ProjectID: projectID, Tags: []string{}, CreatedAt: now, UpdatedAt: now}
}

// touch marks the resource changed.
func (m *Meta) touch(now time.Time) { m.Revision, m.UpdatedAt = m.Revision+1, now }

// emit records a change of a resource.
func emit(ctx context.Context, tx *store.Tx, kind string, m Meta, data any) error {
	return tx.Emit(ctx, store.Event{Service: "network", Type: kind, ResourceID: m.ID, ProjectID: m.ProjectID}, data)
}

type revisionKey struct{}

// IfRevision returns a context whose update or delete is done only if the
// resource has the revision number, as the API's If-Match header asks.
func IfRevision(ctx context.Context, n int64) context.Context {
	return context.WithValue(ctx, revisionKey{}, n)
}

// checkRevision holds what [IfRevision] asked against the resource.
func checkRevision(ctx context.Context, m Meta) error {
	want, ok := ctx.Value(revisionKey{}).(int64)
	if ok && want != m.Revision {
		return nephos.Errorf(nephos.ErrPrecondition, "Constrained to %d, but current revision is %d", want, m.Revision).
			WithReason("RevisionNumberConstraintFailed")
	}
	return nil
}

// set assigns what an update names.
func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// or returns what the pointer points at, or the default.
func or[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}

func caller(ctx context.Context) nephos.Caller {
	c, _ := nephos.CallerFrom(ctx)
	return c
}
