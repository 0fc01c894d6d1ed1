// Package reconcile is the durable work queue: work that outlives a request is
// a row, written by [Enqueue] in the very transaction that made it necessary,
// and done by a [Handler] one idempotent step at a time.
//
// Nothing is lost and nothing is stuck: a row is due until its handler says it
// is done; a worker holds a row by a lease that runs out; a step that fails is
// tried again later and later; and work that keeps failing, or passes its
// deadline, is handed to the kind's GiveUp, which must end it (as a rule by
// moving the resource to ERROR with a reason and giving back what was taken).
// A restart needs no recovery code: what was due still is.
//
// A wake-up while a step runs is never lost: the row runs once more. A worker
// that stalled past its lease cannot write: [Item.Tx] and the queue's own
// bookkeeping check the row's epoch first.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Topic is woken in the store by every transaction that enqueues.
const Topic = "work"

// ErrLeaseLost says that another worker has taken the item over.
var ErrLeaseLost = errors.New("the lease on the work was lost")

// Config are the parts of a queue.
type Config struct {
	Store   *store.DB
	Clock   nephos.Clock         // nil: the wall clock
	Log     *slog.Logger         // nil: discard
	Workers int                  // 0: 16
	Lease   time.Duration        // 0: one minute; a step must end within it
	Crash   nephos.CrashPoint    // for tests
	Tracer  trace.TracerProvider // nil: none
}

// Kind is one kind of work.
type Kind struct {
	// Name is the service and the resource: "compute.server". The part before
	// the dot is the service as which the handler's context acts.
	Name string
	// Handle does one idempotent step.
	Handle Handler
	// GiveUp ends work that failed MaxAttempts times in a row or is older than
	// Deadline: it must leave the resource in a final state. It runs instead of
	// Handle, is itself retried until it succeeds, and answers like Handle. Nil
	// means that the work is tried for ever.
	GiveUp      func(ctx context.Context, it *Item, cause error) (Next, error)
	MaxAttempts int           // 0: 10
	Deadline    time.Duration // 0: none
	// Backoff is the wait after the first failure, doubled up to a minute.
	Backoff time.Duration // 0: 250 ms
	// Standing work is never done: it comes again every hour, say. Whoever waits
	// for all work to end does not wait for it.
	Standing bool
}

// Handler does one step. It answers [Done], [Again], or an error to back off on.
type Handler func(ctx context.Context, it *Item) (Next, error)

// Next says what becomes of an item after a step.
type Next struct {
	again bool
	at    time.Time
}

// Done says that nothing is left to do.
func Done() Next { return Next{} }

// Again says that the next step is due at the time; the zero time is at once.
func Again(at time.Time) Next { return Next{again: true, at: at} }

// Item is a leased row of work.
type Item struct {
	Kind, ID string
	Attempts int       // failures in a row before this step
	Since    time.Time // when the work was enqueued, or last made progress by its handler's word
	LastErr  string

	queue   *Queue
	row     workRow
	settled bool
}

type workRow struct {
	bun.BaseModel `bun:"table:work,alias:work"`

	Kind      string `bun:",pk"`
	ID        string `bun:",pk"`
	Due       int64
	Attempts  int
	Lease     int64
	Epoch     int64
	Wakes     int64
	Since     int64
	UserID    string
	ProjectID string
	RequestID string
	Trace     string
	LastError string
}

// Enqueue makes sure that the work is due at the time (the zero time is now),
// or earlier if it was due earlier already. The context's caller is recorded as
// the one on whose behalf the work runs.
func Enqueue(ctx context.Context, tx *store.Tx, kind, id string, due time.Time) error {
	return EnqueueAll(ctx, tx, kind, []string{id}, due)
}

// EnqueueAll is [Enqueue] for several items of a kind, in one statement. Naming
// one twice, or none, is no error.
func EnqueueAll(ctx context.Context, tx *store.Tx, kind string, ids []string, due time.Time) error {
	if len(ids) == 0 {
		return nil
	}
	now := tx.Now()
	if due.IsZero() {
		due = now
	}
	c, _ := nephos.CallerFrom(ctx)
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	rows := make([]workRow, 0, len(ids))
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		rows = append(rows, workRow{
			Kind: kind, ID: id, Due: due.UnixMicro(), Since: now.UnixMicro(),
			UserID: c.UserID, ProjectID: c.ProjectID, RequestID: c.RequestID, Trace: carrier["traceparent"],
		})
	}
	q := tx.NewInsert().Model(&rows).On("CONFLICT (kind, id) DO UPDATE").
		Set("due = CASE WHEN work.due < excluded.due THEN work.due ELSE excluded.due END").
		Set("wakes = work.wakes + 1")
	if c.Service == "" {
		// A new request starts the work's clock again and owns what follows.
		q = q.Set("since = excluded.since").Set("attempts = 0").Set("user_id = excluded.user_id").
			Set("project_id = excluded.project_id").Set("request_id = excluded.request_id").Set("trace = excluded.trace")
	}
	if _, err := q.Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("enqueuing %s %s and %d more: %w", kind, rows[0].ID, len(rows)-1, err)
	}
	tx.Wake(Topic)
	return nil
}

// Queue runs work. Register the kinds with [Queue.Add], then [Queue.Run], or
// [Queue.Step] in a test.
type Queue struct {
	cfg    Config
	tracer trace.Tracer

	mu    sync.Mutex
	kinds map[string]Kind
}

// New returns a queue on the store, whose migrations have made its table.
func New(cfg Config) *Queue {
	if cfg.Clock == nil {
		cfg.Clock = nephos.WallClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Workers == 0 {
		cfg.Workers = 16
	}
	if cfg.Lease == 0 {
		cfg.Lease = time.Minute
	}
	if cfg.Tracer == nil {
		cfg.Tracer = noop.NewTracerProvider()
	}
	return &Queue{cfg: cfg, tracer: cfg.Tracer.Tracer("nephos/reconcile"), kinds: map[string]Kind{}}
}

// Add registers a kind. Rows of kinds that nobody registered stay where they are.
func (q *Queue) Add(k Kind) {
	if k.MaxAttempts == 0 {
		k.MaxAttempts = 10
	}
	if k.Backoff == 0 {
		k.Backoff = 250 * time.Millisecond
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.kinds[k.Name] = k
}

// Kinds returns the names of all registered kinds, sorted.
func (q *Queue) Kinds() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Sorted(maps.Keys(q.kinds))
}

// Tx runs f in a transaction after checking that the lease still holds.
func (it *Item) Tx(ctx context.Context, f func(ctx context.Context, tx *store.Tx) error) error {
	return it.queue.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := it.fence(ctx, tx); err != nil {
			return err
		}
		return f(ctx, tx)
	})
}

func (it *Item) fence(ctx context.Context, tx *store.Tx) error {
	var epoch []int64
	err := tx.NewRaw("SELECT epoch FROM work WHERE kind = ? AND id = ?", it.Kind, it.ID).Scan(ctx, &epoch)
	if err != nil {
		return err
	}
	if len(epoch) != 1 || epoch[0] != it.row.Epoch {
		return ErrLeaseLost
	}
	return nil
}

// Settle records the step's outcome inside the handler's own transaction, so
// that the change and its bookkeeping are one commit. What the handler returns
// afterwards is ignored. Call it at most once, last in the closure of
// [Item.Tx]; when that transaction fails the outcome is the returned error.
func (it *Item) Settle(ctx context.Context, tx *store.Tx, n Next) error {
	if err := it.settle(ctx, tx, n); err != nil {
		return err
	}
	tx.AfterCommit(func() { it.settled = true })
	return nil
}

// settle writes the row's future: gone when done and not woken meanwhile.
func (it *Item) settle(ctx context.Context, tx *store.Tx, n Next) error {
	now := it.queue.cfg.Clock.Now()
	if !n.again {
		res, err := tx.NewRaw("DELETE FROM work WHERE kind = ? AND id = ? AND epoch = ? AND wakes = ?",
			it.Kind, it.ID, it.row.Epoch, it.row.Wakes).Exec(ctx)
		if err != nil {
			return err
		}
		if gone, err := res.RowsAffected(); err != nil || gone == 1 {
			return err
		}
		n = Again(time.Time{}) // woken while the step ran, or lost
	}
	if n.at.IsZero() {
		n.at = now
	}
	res, err := tx.NewRaw(`UPDATE work SET lease = 0, attempts = 0, last_error = '', since = CASE WHEN wakes = ? THEN since ELSE ? END,
		due = CASE WHEN wakes = ? THEN ? ELSE ? END WHERE kind = ? AND id = ? AND epoch = ?`,
		it.row.Wakes, now.UnixMicro(), it.row.Wakes, n.at.UnixMicro(), now.UnixMicro(), it.Kind, it.ID, it.row.Epoch).Exec(ctx)
	if err != nil {
		return err
	}
	if kept, err := res.RowsAffected(); err != nil || kept != 1 {
		return errors.Join(err, ErrLeaseLost)
	}
	tx.Wake(Topic)
	return nil
}

// backOff writes the row's future after a failure.
func (it *Item) backOff(ctx context.Context, k Kind, cause error) error {
	wait := k.Backoff << min(it.Attempts, 12)
	wait = min(max(wait, k.Backoff), time.Minute)
	wait += it.spread(wait / 8)
	due := it.queue.cfg.Clock.Now().Add(wait)
	return it.queue.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.NewRaw(`UPDATE work SET lease = 0, attempts = attempts + 1, last_error = ?,
			due = CASE WHEN wakes = ? THEN ? ELSE due END WHERE kind = ? AND id = ? AND epoch = ?`,
			cause.Error(), it.row.Wakes, due.UnixMicro(), it.Kind, it.ID, it.row.Epoch).Exec(ctx)
		tx.Wake(Topic)
		return err
	})
}

// spread is a part of d that differs from item to item, so that those that failed
// together do not come back together. The same item at the same attempt gets the
// same.
func (it *Item) spread(d time.Duration) time.Duration {
	h := fnv.New64a()
	fmt.Fprint(h, it.Kind, it.ID, it.Attempts)
	return time.Duration(h.Sum64() % uint64(d+1))
}

// run does one step of the item and records what came of it.
func (q *Queue) run(ctx context.Context, it *Item) error {
	q.mu.Lock()
	k, ok := q.kinds[it.Kind]
	q.mu.Unlock()
	if !ok {
		return fmt.Errorf("no handler for work of kind %s", it.Kind)
	}
	service, _, _ := strings.Cut(it.Kind, ".")
	ctx = nephos.WithCaller(ctx, nephos.Service(service, nephos.Caller{
		UserID: it.row.UserID, ProjectID: it.row.ProjectID, RequestID: it.row.RequestID,
	}))
	if it.row.Trace != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": it.row.Trace})
	}
	ctx, span := q.tracer.Start(ctx, "step "+it.Kind, trace.WithAttributes(
		attribute.String("nephos.id", it.ID), attribute.Int("nephos.attempts", it.Attempts)))
	defer span.End()

	q.cfg.Crash.Here("before " + it.Kind)
	next, err := q.handle(ctx, k, it)
	q.cfg.Crash.Here("after " + it.Kind)
	if err == nil && !it.settled {
		err = q.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error { return it.settle(ctx, tx, next) })
	}
	if err == nil {
		q.cfg.Crash.Here("settled " + it.Kind)
		return nil
	}
	if errors.Is(err, ErrLeaseLost) || ctx.Err() != nil {
		return err
	}
	span.RecordError(err)
	span.SetStatus(codes.Error, err.Error())
	q.cfg.Log.Warn("a step failed and will be tried again", "kind", it.Kind, "id", it.ID,
		"attempts", it.Attempts+1, "request_id", it.row.RequestID, "error", err)
	if e := it.backOff(ctx, k, err); e != nil {
		return errors.Join(err, e)
	}
	return nil
}

func (q *Queue) handle(ctx context.Context, k Kind, it *Item) (next Next, err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, crash := r.(Crash); crash {
				panic(r)
			}
			err = fmt.Errorf("handling %s %s: panic: %v\n%s", it.Kind, it.ID, r, debug.Stack())
		}
	}()
	if k.GiveUp != nil {
		late := k.Deadline > 0 && q.cfg.Clock.Now().Sub(it.Since) > k.Deadline
		if it.Attempts >= k.MaxAttempts || late {
			cause := errors.New(it.LastErr)
			if it.LastErr == "" {
				cause = fmt.Errorf("it was not done within %s", k.Deadline)
			}
			return k.GiveUp(ctx, it, cause)
		}
	}
	return k.Handle(ctx, it)
}

// Crash is what a test's crash point panics with, to end a step as a killed
// process would: the queue lets it through.
type Crash struct{ At string }

// Owner returns the caller on whose behalf the work runs: user, project and
// request id, as recorded.
func (it *Item) Owner() nephos.Caller {
	return nephos.Caller{UserID: it.row.UserID, ProjectID: it.row.ProjectID, RequestID: it.row.RequestID}
}
