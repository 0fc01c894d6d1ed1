package identity

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// Topic is woken in the store by every transaction that changes identities, and
// CatalogTopic by those that change the catalog.
const (
	Topic        = "identity"
	CatalogTopic = "identity.catalog"
)

// Config are the parts of a Service. Store and Policy are needed; the zero
// value of the rest means production.
type Config struct {
	Store  *store.DB
	Policy *policy.Enforcer // with [Rules] among its defaults
	Clock  nephos.Clock
	IDs    nephos.IDs
	Log    *slog.Logger

	// Keys holds the token keys: [OpenKeys] for a directory, [MemoryKeys] for
	// keys that go with the process. Nil means MemoryKeys.
	Keys *Keys
	// TokenLifetime is how long a token is good; 0 means one hour.
	TokenLifetime time.Duration
	// ExpiredWindow is how long after its end a token may still be shown with
	// allow_expired; 0 means two days, as in Keystone.
	ExpiredWindow time.Duration
	// TokenCache is how many verified tokens are remembered; 0 means 10000.
	TokenCache int
	// KeyRotation is how often the primary key is replaced; 0 means one day,
	// negative never.
	KeyRotation time.Duration
	// BcryptCost is the cost of hashing chosen passwords; 0 means 12.
	BcryptCost int
	// ListLimit is the most items that a list returns when no limit was asked
	// for; 0 means all.
	ListLimit int
}

// Service implements every interface of this package on a database. It is safe
// for concurrent use.
type Service struct {
	cfg Config

	identities, catalog changes

	tokens    *lru[string, *Token]
	catalogs  *lru[string, *Catalog]
	decoyHash string
	reloaded  atomic.Int64 // the second in which the keys were last read again
}

// changes counts the changes of something that this process made or heard of.
// What was read at one count is good while the number stands.
type changes struct {
	count atomic.Uint64
	wake  <-chan struct{}
	stop  func()
}

// now returns the count, after hearing of other processes' changes.
func (c *changes) now() uint64 {
	select {
	case <-c.wake:
		return c.count.Add(1)
	default:
		return c.count.Load()
	}
}

// generation is the count of both kinds of changes.
type generation struct{ identities, catalog uint64 }

func (s *Service) current() generation { return generation{s.identities.now(), s.catalog.now()} }

// New returns a service on a database that was migrated with [Migrations].
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Policy == nil {
		return nil, errors.New("making the identity service: it needs a store and a policy")
	}
	if cfg.Clock == nil {
		cfg.Clock = nephos.WallClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Keys == nil {
		cfg.Keys = MemoryKeys(cfg.IDs.Rand)
	}
	if cfg.TokenLifetime == 0 {
		cfg.TokenLifetime = time.Hour
	}
	if cfg.ExpiredWindow == 0 {
		cfg.ExpiredWindow = 48 * time.Hour
	}
	if cfg.TokenCache == 0 {
		cfg.TokenCache = 10_000
	}
	if cfg.KeyRotation == 0 {
		cfg.KeyRotation = 24 * time.Hour
	}
	if cfg.BcryptCost == 0 {
		cfg.BcryptCost = 12
	}
	s := &Service{
		cfg:      cfg,
		tokens:   newLRU[string, *Token](cfg.TokenCache),
		catalogs: newLRU[string, *Catalog](1000),
	}
	var err error
	if s.decoyHash, err = decoy(cfg.BcryptCost); err != nil {
		return nil, err
	}
	s.identities.wake, s.identities.stop = cfg.Store.Watch(Topic)
	s.catalog.wake, s.catalog.stop = cfg.Store.Watch(CatalogTopic)
	return s, nil
}

// Close ends the service's watch of the store.
func (s *Service) Close() {
	s.identities.stop()
	s.catalog.stop()
}

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the service's tables.
func Migrations() store.Migrations { return store.MigrationsOf("identity", migrations) }

// enforce checks a rule, and refuses in the Identity API's words.
func (s *Service) enforce(ctx context.Context, rule string, target policy.Target) error {
	err := s.cfg.Policy.Enforce(ctx, rule, target)
	if errors.Is(err, nephos.ErrForbidden) {
		return forbidden(rule, err)
	}
	return err
}

func forbidden(action string, cause error) error {
	e := nephos.Errorf(nephos.ErrForbidden, "You are not authorized to perform the requested action: %s.", action)
	e.Reason, e.Cause = "PolicyNotAuthorized", cause
	return e
}

// emit records a change: its event, and that what was remembered is stale.
func (s *Service) emit(ctx context.Context, tx *store.Tx, kind, id string, data any) error {
	s.changed(tx)
	return tx.Emit(ctx, store.Event{Service: "identity", Type: kind, ResourceID: id}, data)
}

func (s *Service) changed(tx *store.Tx) {
	tx.Wake(Topic)
	tx.AfterCommit(func() { s.identities.count.Add(1) })
}

// emitCatalog is emit for a change of the catalog.
func (s *Service) emitCatalog(ctx context.Context, tx *store.Tx, kind, id string) error {
	s.catalogChanged(tx)
	return tx.Emit(ctx, store.Event{Service: "identity", Type: kind, ResourceID: id}, nil)
}

func (s *Service) catalogChanged(tx *store.Tx) {
	tx.Wake(CatalogTopic)
	tx.AfterCommit(func() { s.catalog.count.Add(1) })
}
