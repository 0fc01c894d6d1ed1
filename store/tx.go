package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
)

// Tx is a running transaction: bun's query builders, and what belongs to the
// same commit.
type Tx struct {
	bun.IDB
	db     *DB
	events []*Event
	wakes  map[string]struct{}
	after  []func()
}

// Now is the store's clock.
func (tx *Tx) Now() time.Time { return tx.db.clock.Now() }

// Postgres reports whether the database is PostgreSQL.
func (tx *Tx) Postgres() bool { return tx.db.postgres }

// AfterCommit runs f once the transaction is durable, before Tx returns.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }

// Sweep deletes what nothing depends on any more, such as the oldest of what is
// kept for a while. On PostgreSQL that happens by itself after the commit, so that
// no transaction collides with it, and its failure is only logged.
func (tx *Tx) Sweep(ctx context.Context, query string, args ...any) error {
	if !tx.db.postgres {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	}
	tx.AfterCommit(func() {
		if _, err := tx.db.write.ExecContext(ctx, query, args...); err != nil {
			tx.db.log.WarnContext(ctx, "sweeping up", "error", err)
		}
	})
	return nil
}

// Tx runs f in a transaction and returns once it is durable. An error from f
// undoes everything f did and is returned as it is. f may run again; it must
// use the context it is given, and must not call services, drivers or Tx.
func (db *DB) Tx(ctx context.Context, f func(ctx context.Context, tx *Tx) error) error {
	nephos.OutsideTx(ctx, "store.Tx")
	if err := ctx.Err(); err != nil {
		return err
	}
	if db.postgres {
		return db.txPostgres(ctx, nil, f)
	}
	return db.txSQLite(ctx, f)
}

// Statement is a statement for PostgreSQL, with placeholders as it has them: $1,
// $2 … It is kept prepared, so its text should be the same each time.
type Statement struct {
	SQL  string
	Args []any
	// Read gets the rows of the result. Its error undoes everything.
	Read func(rows Rows) error
}

// Rows are the rows of a result, to be read one after the other.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
}

// TxFirst is Tx on PostgreSQL, with a first statement that travels with the
// beginning of the transaction, so that there is one journey less to wait for.
// The statement's Read runs before f. Both may run again.
func (db *DB) TxFirst(ctx context.Context, first Statement, f func(ctx context.Context, tx *Tx) error) error {
	nephos.OutsideTx(ctx, "store.TxFirst")
	if err := ctx.Err(); err != nil {
		return err
	}
	if !db.postgres {
		return fmt.Errorf("beginning a transaction with a statement for PostgreSQL: %w", errors.ErrUnsupported)
	}
	return db.txPostgres(ctx, &first, f)
}

func (tx *Tx) finish(ctx context.Context) error {
	if err := tx.writeEvents(ctx); err != nil {
		return err
	}
	if tx.db.postgres {
		for topic := range tx.wakes {
			if _, err := tx.ExecContext(ctx, "SELECT pg_notify(?, ?)", notifyChannel, topic); err != nil {
				return err
			}
		}
	}
	return nil
}

func (tx *Tx) committed() {
	for topic := range tx.wakes {
		tx.db.watchers.wake(topic)
	}
	for _, f := range tx.after {
		f()
	}
}

const maxRetries = 50

func (db *DB) txPostgres(ctx context.Context, first *Statement, f func(context.Context, *Tx) error) error {
	var last error
	for attempt := range maxRetries {
		if attempt > 0 {
			// Full jitter, so that those who collided do not collide again.
			wait := time.Duration(rand.Int64N(int64(min(time.Millisecond<<min(attempt, 7), 100*time.Millisecond))))
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
		}
		if last = db.tryPostgres(ctx, first, f); !serializationFailure(last) {
			return last
		}
	}
	return nephos.Errorf(nephos.ErrUnavailable, "the database is too busy, try again: %w", last)
}

// tryPostgres runs the transaction once.
func (db *DB) tryPostgres(ctx context.Context, first *Statement, f func(context.Context, *Tx) error) error {
	conn, err := db.begin(ctx, first)
	if err != nil {
		return err
	}
	defer conn.Close()
	ended := false
	defer func() {
		if !ended { // by an error or a panic
			rollback(ctx, conn)
		}
	}()
	tx := &Tx{IDB: conn, db: db}
	inner := nephos.EnterTx(ctx)
	if err := f(inner, tx); err != nil {
		return err
	}
	if err := tx.finish(inner); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	ended = true
	if err := commit(ctx, conn); err != nil {
		return err
	}
	_ = conn.Close() // what follows may need one
	tx.committed()
	return nil
}

func serializationFailure(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// UniqueViolation reports whether the error says that a unique index or
// primary key has the value already.
func UniqueViolation(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	var lite interface{ Code() int }
	// SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY
	return errors.As(err, &lite) && (lite.Code() == 2067 || lite.Code() == 1555)
}

// job is a closure that waits for SQLite's writer.
type job struct {
	ctx   context.Context
	f     func(context.Context, *Tx) error
	tx    *Tx
	err   error
	panic any
	stack []byte
	done  chan struct{}
}

const maxShared = 128

// txSQLite queues the closure. Whoever gets the leader's seat runs all that
// waits, in one commit.
func (db *DB) txSQLite(ctx context.Context, f func(context.Context, *Tx) error) error {
	j := &job{ctx: ctx, f: f, done: make(chan struct{})}
	select {
	case db.queue <- j:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		select {
		case <-j.done:
			return j.result()
		default:
		}
		select {
		case <-j.done:
			return j.result()
		case db.leader <- struct{}{}:
			db.lead()
			<-db.leader
		}
	}
}

func (j *job) result() error {
	if j.panic != nil {
		panic(fmt.Sprintf("%v\n\nin the transaction:\n%s", j.panic, j.stack))
	}
	return j.err
}

// lead runs the waiting closures, and those that come meanwhile, in one commit.
func (db *DB) lead() {
	jobs, err := db.runShared()
	if err != nil {
		for _, j := range jobs {
			if j.err == nil && j.panic == nil {
				j.err = fmt.Errorf("writing to the database: %w", err)
			}
		}
	}
	for _, j := range jobs {
		if j.err == nil && j.panic == nil {
			j.tx.committed()
		}
		close(j.done)
	}
}

// waiting returns the next closure that waits. When none does, it lets others
// run first: those whom the last commit freed have the next one ready soon, and
// come too late for this one otherwise.
func (db *DB) waiting() *job {
	for range 2 {
		select {
		case j := <-db.queue:
			return j
		default:
			runtime.Gosched()
		}
	}
	return nil
}

// runShared runs each waiting closure in a savepoint of one transaction, and
// returns those that it ran. Its own error means that nothing of it was kept.
// Statements are not cancelled half-way: an interrupt would roll back
// everybody's work.
func (db *DB) runShared() (jobs []*job, err error) {
	j := db.waiting()
	if j == nil {
		return nil, nil
	}
	ctx := context.Background()
	conn, err := db.write.Conn(ctx)
	if err != nil {
		return []*job{j}, err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return []*job{j}, err
	}
	for ; j != nil; j = db.waiting() {
		jobs = append(jobs, j)
		if err := db.runOne(ctx, conn, j); err != nil {
			_, _ = conn.ExecContext(ctx, "ROLLBACK")
			return jobs, err
		}
		if len(jobs) == maxShared {
			break
		}
	}
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		_, _ = conn.ExecContext(ctx, "ROLLBACK")
		return jobs, err
	}
	return jobs, nil
}

// runOne runs a closure in a savepoint. Its error means that the transaction is
// broken; the closure's own is the job's.
func (db *DB) runOne(ctx context.Context, conn bun.Conn, j *job) error {
	if j.err = j.ctx.Err(); j.err != nil {
		return nil
	}
	if _, err := conn.ExecContext(ctx, "SAVEPOINT job"); err != nil {
		return err
	}
	j.tx = &Tx{IDB: conn, db: db}
	j.run()
	if j.err != nil || j.panic != nil {
		if _, err := conn.ExecContext(ctx, "ROLLBACK TO job"); err != nil {
			return err
		}
	}
	_, err := conn.ExecContext(ctx, "RELEASE job")
	return err
}

func (j *job) run() {
	defer func() {
		if r := recover(); r != nil {
			j.panic, j.stack = r, debug.Stack()
		}
	}()
	ctx := nephos.EnterTx(context.WithoutCancel(j.ctx))
	if j.err = j.f(ctx, j.tx); j.err == nil {
		j.err = j.tx.finish(ctx)
	}
}
