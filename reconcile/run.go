package reconcile

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/store"
)

// Step runs exactly one due item and reports whether there was one. It is how
// tests drive a cloud deterministically.
func (q *Queue) Step(ctx context.Context) (bool, error) {
	due, ok, err := q.NextDue(ctx)
	if err != nil || !ok || due.After(q.cfg.Clock.Now()) {
		return false, err
	}
	items, err := q.claim(ctx, 1)
	if err != nil || len(items) == 0 {
		return false, err
	}
	return true, q.run(ctx, items[0])
}

// Settle steps until nothing is due.
func (q *Queue) Settle(ctx context.Context) error {
	for {
		ran, err := q.Step(ctx)
		if err != nil || !ran {
			return err
		}
	}
}

// NextDue returns when the next item that nobody holds is due; false when there
// is none.
func (q *Queue) NextDue(ctx context.Context) (time.Time, bool, error) {
	return q.nextDue(ctx, q.names())
}

// NextEnding is [Queue.NextDue] for work that can end: kinds that stand are left
// out.
func (q *Queue) NextEnding(ctx context.Context) (time.Time, bool, error) {
	standing := q.Standing()
	names := slices.DeleteFunc(q.names(), func(n string) bool { return slices.Contains(standing, n) })
	return q.nextDue(ctx, append(names, ""))
}

// Standing returns the names of the kinds that are never done, sorted.
func (q *Queue) Standing() (names []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for n, k := range q.kinds {
		if k.Standing {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

func (q *Queue) nextDue(ctx context.Context, names []string) (time.Time, bool, error) {
	var due sql.NullInt64
	kinds := bun.List(names)
	err := q.cfg.Store.Reader().NewRaw(`SELECT min(at) FROM (
		SELECT min(due) AS at FROM work WHERE lease = 0 AND `+ofKinds+` UNION ALL
		SELECT min(CASE WHEN lease > due THEN lease ELSE due END) AS at FROM work WHERE lease > 0 AND `+ofKinds+`) AS next`, kinds, kinds).Scan(ctx, &due)
	if err != nil || !due.Valid {
		return time.Time{}, false, err
	}
	return time.UnixMicro(due.Int64).UTC(), true, nil
}

// ofKinds matches the kinds without telling the database to find them by an
// index: it shall go by what is due.
const ofKinds = "kind || '' IN (?)"

// Run works until ctx ends, then waits for the steps that are under way.
func (q *Queue) Run(ctx context.Context) {
	wake, stop := q.cfg.Store.Watch(Topic)
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	seats := make(chan struct{}, q.cfg.Workers)
	freed := make(chan struct{}, 1)
	start := func(it *Item) {
		seats <- struct{}{}
		wg.Go(func() {
			defer func() {
				<-seats
				select {
				case freed <- struct{}{}:
				default:
				}
			}()
			if err := q.run(ctx, it); err != nil && ctx.Err() == nil && !errors.Is(err, ErrLeaseLost) {
				q.cfg.Log.Error("doing work", "kind", it.Kind, "id", it.ID, "error", err)
			}
		})
	}
	for ctx.Err() == nil {
		free := cap(seats) - len(seats)
		if free == 0 {
			select {
			case <-ctx.Done():
			case <-freed:
			}
			continue
		}
		sleep := time.Minute
		due, ok, err := q.NextDue(ctx)
		if now := q.cfg.Clock.Now(); err == nil && ok && !due.After(now) {
			var items []*Item
			if items, err = q.claim(ctx, free); len(items) > 0 {
				for _, it := range items {
					start(it)
				}
				continue
			}
		} else if ok {
			sleep = min(max(due.Sub(now), time.Millisecond), sleep)
		}
		if err != nil {
			if ctx.Err() == nil {
				q.cfg.Log.Error("claiming work", "error", err)
			}
			sleep = time.Second
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-q.cfg.Clock.After(sleep):
		}
	}
}

func (q *Queue) names() []string {
	names := q.Kinds()
	if len(names) == 0 {
		names = []string{""}
	}
	return names
}

// claim leases at most n due items.
func (q *Queue) claim(ctx context.Context, n int) ([]*Item, error) {
	now := q.cfg.Clock.Now()
	var rows []workRow
	err := q.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		rows = rows[:0]
		if _, err := tx.NewRaw("UPDATE work SET lease = 0 WHERE lease > 0 AND lease <= ?", now.UnixMicro()).Exec(ctx); err != nil {
			return err
		}
		lock := ""
		if tx.Postgres() {
			lock = "FOR UPDATE SKIP LOCKED"
		}
		return tx.NewRaw(`UPDATE work SET lease = ?, epoch = epoch + 1 WHERE (kind, id) IN
			(SELECT kind, id FROM work WHERE lease = 0 AND due <= ? AND `+ofKinds+` ORDER BY due, kind, id LIMIT ? ?)
			RETURNING *`, now.Add(q.cfg.Lease).UnixMicro(), now.UnixMicro(), bun.List(q.names()), n, bun.Safe(lock)).Scan(ctx, &rows)
	})
	if err != nil {
		return nil, err
	}
	items := make([]*Item, len(rows))
	for i, r := range rows {
		items[i] = &Item{
			Kind: r.Kind, ID: r.ID, Attempts: r.Attempts, Since: time.UnixMicro(r.Since).UTC(), LastErr: r.LastError, queue: q, row: r,
		}
	}
	return items, nil
}
