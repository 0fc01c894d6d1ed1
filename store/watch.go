package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	notifyChannel = "nephos"
	// listening ends the application's name on the one connection of each process
	// that listens.
	listening = " listener"
)

// Processes tells how many processes have the database open, this one included,
// as far as the server says; with SQLite that is one.
func (db *DB) Processes(ctx context.Context) (int, error) {
	if !db.postgres {
		return 1, nil
	}
	var n int
	err := db.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM pg_stat_activity
		WHERE datname = CURRENT_DATABASE() AND application_name = CURRENT_SETTING('application_name') || ?`, listening).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting the processes on the database: %w", err)
	}
	return max(n, 1), nil
}

// Wake tells those who watch the topic, once the transaction has committed, in
// this process and (with PostgreSQL) in every other on the same database.
func (tx *Tx) Wake(topic string) {
	if tx.wakes == nil {
		tx.wakes = map[string]struct{}{}
	}
	tx.wakes[topic] = struct{}{}
}

// Watch returns a channel that receives after a commit that woke the topic.
// Several wakes may arrive as one. stop ends the watch.
func (db *DB) Watch(topic string) (c <-chan struct{}, stop func()) {
	return db.watchers.add(topic)
}

type watchers struct {
	mu sync.Mutex
	by map[string]map[chan struct{}]struct{}
}

func (w *watchers) add(topic string) (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = map[string]map[chan struct{}]struct{}{}
	}
	if w.by[topic] == nil {
		w.by[topic] = map[chan struct{}]struct{}{}
	}
	w.by[topic][c] = struct{}{}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.by[topic], c)
	}
}

func (w *watchers) wake(topic string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.by[topic] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (w *watchers) wakeAll() {
	w.mu.Lock()
	topics := make([]string, 0, len(w.by))
	for t := range w.by {
		topics = append(topics, t)
	}
	w.mu.Unlock()
	for _, t := range topics {
		w.wake(t)
	}
}

// listen passes PostgreSQL's notifications on to the watchers until the
// returned function is called. After a lost connection everybody is woken,
// because what was missed is unknown.
func (db *DB) listen(cfg *pgx.ConnConfig) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := db.listenOnce(ctx, cfg); err != nil && ctx.Err() == nil {
				db.log.Warn("listening for database notifications", "error", err)
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

func (db *DB) listenOnce(ctx context.Context, cfg *pgx.ConnConfig) error {
	cfg = cfg.Copy()
	cfg.RuntimeParams["application_name"] += listening
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+notifyChannel); err != nil {
		return err
	}
	db.watchers.wakeAll()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		db.watchers.wake(n.Payload)
	}
}
