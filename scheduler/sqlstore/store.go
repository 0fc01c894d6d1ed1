package sqlstore

import (
	"context"
	"embed"
	"io"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/trace"
	"github.com/nephos-cloud/nephos/store"
)

// Topic is woken in the store by every transaction that changes what a host has.
const Topic = "placement"

// Config are the parts of a Store. Zero seams mean production.
type Config struct {
	// Store is the database, migrated with [Migrations]. It is needed.
	Store *store.DB
	Clock nephos.Clock
	Log   *slog.Logger
	IDs   nephos.IDs
	// Scheduler decides; nil means the defaults of [scheduler.New].
	Scheduler *scheduler.Scheduler
	// Ratios are the allocation ratios of classes for which a host gives none;
	// nil means [scheduler.DefaultRatios].
	Ratios map[string]float64
	// Record, where set, gets what the scheduler sees and decides, as lines of the
	// format of package trace that scheduler/lab can replay. Each is one call of
	// Write; an error ends the recording and nothing else. Decisions fall one
	// after the other meanwhile.
	Record io.Writer
	// Explanations is how many explanations of decisions are kept; 0 means
	// 10,000, negative none.
	Explanations int
}

// Store keeps hosts and claims. It is safe for concurrent use. A PostgreSQL
// database may have several, one in each process; a SQLite database has one.
type Store struct {
	cfg   Config
	sched *scheduler.Scheduler
	snap  *scheduler.Snapshot
	// changes is the snapshot, or what records its changes too.
	changes  changes
	recorder *trace.Recorder // nil: nothing is recorded

	wake <-chan struct{}
	stop func()

	loading sync.Mutex // held while rows are read into the snapshot

	mu     sync.Mutex
	loaded bool
	stale  bool // all is to be read again
	// reading says that what was stale or dirty is on its way into the snapshot.
	reading bool
	dirty   map[string]bool // providers that this process changed since
	seen    time.Time       // of the newest row that was read
	read    time.Time       // when rows were read last
	hosts   map[string]*host
	byUUID  map[string]string // provider to host id
	builds  map[string]build  // by consumer
	// given counts what may have given room. onTheWay is how many reservations
	// stand; ended is closed when the next of them ends, if anybody waits for it.
	given    uint64
	onTheWay int
	ended    chan struct{}

	canopy canopy // the providers, as allocation candidates see them

	claims [64]turns // PostgreSQL: of claims of one host, or few
	turns  turns     // PostgreSQL: of all claims on their way
}

// changes are the ways to change a snapshot.
type changes interface {
	Put(h scheduler.Host) error
	Remove(id string) bool
	Claim(id string, want scheduler.Resources) error
	SetUsage(id string, u scheduler.Usage) error
}

// choose decides on the snapshot.
func (s *Store) choose(req scheduler.Request, o scheduler.Options) (scheduler.Decision, error) {
	if s.recorder != nil {
		return s.recorder.Select(s.sched, req, o)
	}
	return s.sched.Select(s.snap, req, o)
}

// New returns a store of claims.
func New(cfg Config) (*Store, error) {
	if cfg.Store == nil {
		return nil, nephos.Errorf(nephos.ErrInvalid, "making the store of claims: it needs a database").WithField("Store")
	}
	if cfg.Clock == nil {
		cfg.Clock = nephos.WallClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Ratios == nil {
		cfg.Ratios = scheduler.DefaultRatios()
	}
	cfg.Ratios = maps.Clone(cfg.Ratios)
	if cfg.Explanations == 0 {
		cfg.Explanations = 10_000
	}
	if cfg.Scheduler == nil {
		s, err := scheduler.New(scheduler.Config{})
		if err != nil {
			return nil, err
		}
		cfg.Scheduler = s
	}
	s := &Store{
		cfg: cfg, sched: cfg.Scheduler,
		snap:   scheduler.NewSnapshot(scheduler.SnapshotConfig{Ratios: cfg.Ratios}),
		dirty:  map[string]bool{},
		hosts:  map[string]*host{},
		byUUID: map[string]string{},
		builds: map[string]build{},
		canopy: canopy{dirty: map[string]bool{}, use: map[string][]useChange{}},
	}
	for i := range s.claims {
		s.claims[i].limit = 1
	}
	s.changes = s.snap
	if cfg.Record != nil {
		s.recorder = trace.NewRecorder(cfg.Record, s.snap, cfg.Ratios, cfg.Clock)
		s.changes = s.recorder
	}
	s.wake, s.stop = cfg.Store.Watch(Topic)
	return s, nil
}

// Close ends the watch of the database.
func (s *Store) Close() { s.stop() }

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the tables.
func Migrations() store.Migrations { return store.MigrationsOf("placement", migrations) }

// tx runs a transaction that changes what a host has.
func (s *Store) tx(ctx context.Context, f func(ctx context.Context, tx *store.Tx) error) error {
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		tx.Wake(Topic)
		return f(ctx, tx)
	})
}
