// Package store keeps a service's state in SQLite or PostgreSQL behind one
// handle, [DB].
//
// There is one way to write: [DB.Tx] runs a closure in a transaction that is
// durable when it returns. The closure may run more than once (PostgreSQL is
// used at its serializable level and conflicts are retried), so it must do
// nothing but query: calling a service or a driver inside one panics, by the
// mark that nephos.EnterTx leaves in the closure's context. On SQLite there is
// one writer; closures that wait for it share a commit, each in a savepoint of
// its own, so that one's failure leaves the others whole.
//
// Reading without a transaction goes by [DB.Reader]: a pool of connections
// that see the last commit.
//
// A transaction can also emit events ([Tx.Emit]), numbered in the order of
// commits; wake watchers ([Tx.Wake]); and remember idempotency keys
// ([Tx.Once]).
//
// Queries are written with uptrace/bun, which is part of this package's
// vocabulary; the same queries serve both databases.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"modernc.org/sqlite"

	"github.com/jackc/pgx/v5"

	"github.com/nephos-cloud/nephos"
)

// Options are the seams of a store.
type Options struct {
	Clock nephos.Clock // nil: the wall clock
	Log   *slog.Logger // nil: discard
	// NoSync trades durability for speed. For tests whose data is thrown away.
	NoSync bool
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	write    *bun.DB
	read     *bun.DB
	postgres bool
	clock    nephos.Clock
	log      *slog.Logger

	queue  chan *job     // SQLite: closures that wait for the writer
	leader chan struct{} // SQLite: held by the one who runs the queue

	watchers watchers
	listener func()
	close    sync.Once
}

// Open opens the database at the URL, creating it if need be:
//
//	sqlite:PATH                     a file; its folder must exist
//	postgres://USER@HOST/DATABASE   as libpq understands it
//
// Tables are made by [DB.Migrate].
func Open(ctx context.Context, rawURL string, opts Options) (*DB, error) {
	if opts.Clock == nil {
		opts.Clock = nephos.WallClock{}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	db := &DB{clock: opts.Clock, log: opts.Log, listener: func() {}}
	scheme, rest, _ := strings.Cut(rawURL, ":")
	var err error
	switch scheme {
	case "sqlite":
		err = db.openSQLite(ctx, rest, opts.NoSync)
	case "postgres", "postgresql":
		err = db.openPostgres(ctx, rawURL)
	default:
		err = fmt.Errorf("unknown scheme %q: use sqlite:PATH or postgres://…", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	same := db.read == db.write
	db.write = db.write.WithQueryHook(counterHook{})
	if same {
		db.read = db.write
	} else {
		db.read = db.read.WithQueryHook(counterHook{})
	}
	return db, nil
}

func (db *DB) openSQLite(ctx context.Context, path string, noSync bool) error {
	path = strings.TrimPrefix(path, "//")
	if path == "" {
		return errors.New("sqlite: no path given")
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return err
	}
	sync := "FULL"
	if noSync {
		sync = "OFF"
	}
	dsn := func(extra ...string) string {
		q := url.Values{"_pragma": append([]string{
			"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(" + sync + ")",
			"foreign_keys(1)", "temp_store(MEMORY)", "cache_size(-16000)", "wal_autocheckpoint(4000)",
		}, extra...)}
		return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
	}
	writer, err := sqlite.NewConnector(dsn())
	if err != nil {
		return err
	}
	reader, err := sqlite.NewConnector(dsn("query_only(1)"))
	if err != nil {
		return err
	}
	w := sql.OpenDB(connector{writer})
	w.SetMaxOpenConns(1)
	if err := w.PingContext(ctx); err != nil {
		w.Close()
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		w.Close()
		return err
	}
	r := sql.OpenDB(connector{reader})
	n := max(4, runtime.NumCPU())
	r.SetMaxOpenConns(n)
	r.SetMaxIdleConns(n)
	tables := sqlitedialect.New() // both know the same tables
	db.write = bun.NewDB(w, tables, bun.WithDiscardUnknownColumns())
	db.read = bun.NewDB(r, tables, bun.WithDiscardUnknownColumns())
	db.queue = make(chan *job, 1024)
	db.leader = make(chan struct{}, 1)
	return nil
}

func (db *DB) openPostgres(ctx context.Context, rawURL string) error {
	cfg, err := pgx.ParseConfig(rawURL)
	if err != nil {
		return err
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "nephos"
	}
	cfg.RuntimeParams["timezone"] = "UTC"
	// Transactions ask for serializable by themselves. A lone SELECT sees one
	// state anyway, and must not fail because of somebody else's transaction.
	cfg.RuntimeParams["default_transaction_isolation"] = "read committed"
	// The few statements that are kept prepared are the same whatever their
	// values; to plan them again for each costs more than to run them.
	cfg.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	pool := sql.OpenDB(postgresConnector{stdlib.GetConnector(*cfg)})
	pool.SetMaxOpenConns(24)
	pool.SetMaxIdleConns(24)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	if err := pool.PingContext(ctx); err != nil {
		pool.Close()
		return err
	}
	db.write = bun.NewDB(pool, pgdialect.New(), bun.WithDiscardUnknownColumns())
	db.read = db.write
	db.postgres = true
	db.listener = db.listen(cfg)
	return nil
}

// Close waits for nothing: callers stop their work first.
func (db *DB) Close() error {
	var err error
	db.close.Do(func() {
		db.listener()
		if db.read != db.write {
			err = db.read.Close()
		}
		err = errors.Join(err, db.write.Close())
	})
	return err
}

// Reader returns the read-only view of the last commit.
func (db *DB) Reader() bun.IDB { return db.read }

// Postgres reports whether the database is PostgreSQL, for the rare query that
// must differ.
func (db *DB) Postgres() bool { return db.postgres }

// Clock is the clock that the store was opened with.
func (db *DB) Clock() nephos.Clock { return db.clock }
