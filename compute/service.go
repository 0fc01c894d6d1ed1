package compute

import (
	"cmp"
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// Config are the parts of a Service. Store and Policy are needed; the zero
// value of the rest means production, and a nil seam that what it stands for
// cannot be done.
type Config struct {
	Store  *store.DB
	Policy *policy.Enforcer // with [Rules] among its defaults
	Clock  nephos.Clock
	IDs    nephos.IDs
	Log    *slog.Logger
	// Fleet is how hosts are reached.
	Fleet driver.Fleet
	// Claims is where capacity is given out.
	Claims  Claims
	Images  ImageSource
	Sink    ImageSink     // nil: no images are made of servers
	Ports   Ports         // nil: servers have no cards
	Groups  NetworkGroups // nil: there are no security groups
	Volumes BlockDevices  // nil: there are no volumes
	// Projects tells which projects exist; nil: nobody knows, and all may.
	Projects Projects

	// HostName names the controller in lists of services; empty means nephos.
	HostName string
	// Zone is the availability zone of hosts that are in none; empty means nova.
	Zone string
	// Quotas replaces default quotas by resource (instances, cores, ram …); -1 is
	// no limit.
	Quotas map[string]int
	// HostTimeout is how long a host counts as up after its last heartbeat; 0
	// means 75 seconds.
	HostTimeout time.Duration
	// BootDeadline is how long a server may take from its host's acceptance to
	// running; 0 means ten minutes.
	BootDeadline time.Duration
	// ActionDeadline is how long a host may take to carry out anything else; 0
	// means two minutes.
	ActionDeadline time.Duration
	// SnapshotDeadline is how long making an image of a server may go on; 0 means
	// two hours.
	SnapshotDeadline time.Duration
	// Resend is how long a host may be silent before it is sent a server again; 0
	// means ten seconds.
	Resend time.Duration
	// Attempts is how many hosts are tried for a server; 0 means 3.
	Attempts int
	// Grace is how long a guest has to stop by itself; 0 means one minute.
	Grace time.Duration
	// KeepDeleted is how long the records of deleted servers are kept for lists
	// that ask for them; 0 means one day, negative not at all.
	KeepDeleted time.Duration
	// ConsoleLife is how long a console's token may wait to be used; 0 means ten
	// minutes.
	ConsoleLife time.Duration
	// ConsoleURL returns the public URL of the console door, such as
	// https://cloud.example/console; nil: there are no remote consoles.
	ConsoleURL func() string
	// Crash is for tests.
	Crash nephos.CrashPoint
}

// Service implements every interface of this package on a database. It is safe
// for concurrent use.
type Service struct {
	cfg Config
	// passwordKey makes the passwords that a boot answers with.
	passwordKey [32]byte
	published   atomic.Bool // all hosts, to the scheduler
	subnets     subnetCache
}

// New returns a service on a database that was migrated with [Migrations].
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Policy == nil {
		return nil, errors.New("making the compute service: it needs a store and a policy")
	}
	cfg.Clock = cmp.Or[nephos.Clock](cfg.Clock, nephos.WallClock{})
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	cfg.Zone = cmp.Or(cfg.Zone, "nova")
	cfg.HostName = cmp.Or(cfg.HostName, "nephos")
	cfg.HostTimeout = cmp.Or(cfg.HostTimeout, 75*time.Second)
	cfg.BootDeadline = cmp.Or(cfg.BootDeadline, 10*time.Minute)
	cfg.ActionDeadline = cmp.Or(cfg.ActionDeadline, 2*time.Minute)
	cfg.SnapshotDeadline = cmp.Or(cfg.SnapshotDeadline, 2*time.Hour)
	cfg.Resend = cmp.Or(cfg.Resend, 10*time.Second)
	cfg.Attempts = cmp.Or(cfg.Attempts, 3)
	cfg.Grace = cmp.Or(cfg.Grace, time.Minute)
	cfg.KeepDeleted = cmp.Or(cfg.KeepDeleted, 24*time.Hour)
	cfg.ConsoleLife = cmp.Or(cfg.ConsoleLife, 10*time.Minute)
	s := &Service{cfg: cfg}
	_, _ = rand.Read(s.passwordKey[:])
	return s, nil
}

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the service's tables.
func Migrations() store.Migrations { return store.MigrationsOf("compute", migrations) }

// Rules returns every rule that this package enforces, by OpenStack's names and
// with the defaults of its secure RBAC.
func Rules() []policy.Rule {
	var rules []policy.Rule
	for _, part := range [][]policy.Rule{
		serverRules(), catalogRules(),
	} {
		rules = append(rules, part...)
	}
	return rules
}

func caller(ctx context.Context) nephos.Caller {
	c, _ := nephos.CallerFrom(ctx)
	return c
}

// set assigns what an update names.
func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}
