package watch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// Config are the parts of a Service. Store and Policy are needed.
type Config struct {
	Store  *store.DB
	Policy *policy.Enforcer // with [Rules] among its defaults
	IDs    nephos.IDs
	Log    *slog.Logger // nil: discard
	// Visibility says which policy rule guards seeing the events of a kind of
	// resource, by "service.resource", beside and before [Visibility].
	Visibility map[string]string
	// Sources list what a snapshot holds; none means that snapshots are empty.
	Sources []Source
	// MaxReaders bounds the streams and waits that are open at a time, and
	// MaxStreams the streams of one user; 0 means 4096 and 64.
	MaxReaders, MaxStreams int
}

// Service tells of changes. It is safe for concurrent use, has no goroutine of
// its own and nothing to close.
type Service struct {
	cfg  Config
	feed feed

	mu      sync.Mutex
	epoch   uint64
	streams map[string]int // by user
}

// New returns a service on the store, which has been migrated.
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Policy == nil {
		return nil, errors.New("making the watch service: it needs a store and a policy")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxReaders == 0 {
		cfg.MaxReaders = 4096
	}
	if cfg.MaxStreams == 0 {
		cfg.MaxStreams = 64
	}
	return &Service{
		cfg: cfg, streams: map[string]int{},
		feed: feed{db: cfg.Store, max: cfg.MaxReaders, readers: map[*reader]struct{}{}},
	}, nil
}

// Follow wakes who waits for a resource to change: next returns after an event
// of the resource with the id, at once if there was one since the last call,
// or with the context's error. It says that something happened and not what:
// ask the resource's service, which knows what the caller may see. stop ends
// it and must be called. Too many readers are [nephos.ErrUnavailable].
func (s *Service) Follow(ctx context.Context, resourceID string) (next func(context.Context) error, stop func(), err error) {
	r, err := s.feed.join(ctx, resourceID)
	if err != nil {
		return nil, nil, err
	}
	return r.wait, r.leave, nil
}

const epochCursor = "watch.epoch"

// generation is the number that tells this database's events from those of
// another, or of one that was set back: tokens carry it.
func (s *Service) generation(ctx context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != 0 {
		return s.epoch, nil
	}
	var epoch int64
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var found []int64
		if err := tx.NewRaw("SELECT seq FROM event_cursors WHERE name = ?", epochCursor).Scan(ctx, &found); err != nil {
			return err
		}
		if len(found) > 0 {
			epoch = found[0]
			return nil
		}
		id := s.cfg.IDs.New()
		epoch = int64(binary.BigEndian.Uint64([]byte(id[28:36]))>>1 | 1)
		return tx.SetCursor(ctx, epochCursor, epoch)
	})
	if err != nil {
		return 0, fmt.Errorf("reading the events' generation: %w", err)
	}
	s.epoch = uint64(epoch)
	return s.epoch, nil
}

// Renew makes all tokens that were given for the database expire: it is for
// whoever sets a database back to an earlier state, where numbers of events come
// a second time. Services on the database are made anew after it.
func Renew(ctx context.Context, db *store.DB) error {
	return db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.NewRaw("DELETE FROM event_cursors WHERE name = ?", epochCursor).Exec(ctx)
		return err
	})
}
