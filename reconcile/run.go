package reconcile

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/store"
)

// Step runs exactly one due item and reports whether there was one. It is how
// tests drive a cloud deterministically.
func (q *Queue) Step(ctx context.Context) (bool, error) {
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
	var due sql.NullInt64
	err := q.cfg.Store.Reader().NewRaw(
		"SELECT min(CASE WHEN lease > due THEN lease ELSE due END) FROM work WHERE kind IN (?)", bun.List(q.names())).Scan(ctx, &due)
	if err != nil || !due.Valid {
		return time.Time{}, false, err
	}
	return time.UnixMicro(due.Int64).UTC(), true, nil
}

// Run works until ctx ends, then waits for the steps that are under way.
func (q *Queue) Run(ctx context.Context) {
	wake, stop := q.cfg.Store.Watch(Topic)
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	seats := make(chan struct{}, q.cfg.Workers)
	freed := make(chan struct{}, 1)
	for ctx.Err() == nil {
		free := cap(seats) - len(seats)
		var items []*Item
		var err error
		if free > 0 {
			if items, err = q.claim(ctx, free); err != nil && ctx.Err() == nil {
				q.cfg.Log.Error("claiming work", "error", err)
			}
		}
		for _, it := range items {
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
		if len(items) > 0 && len(items) == free {
			continue // there may be more, as soon as a seat is free
		}
		if free == 0 {
			select {
			case <-ctx.Done():
			case <-freed:
			}
			continue
		}
		sleep := time.Minute
		if err != nil {
			sleep = time.Second
		} else if due, ok, err := q.NextDue(ctx); err == nil && ok {
			sleep = min(max(due.Sub(q.cfg.Clock.Now()), time.Millisecond), sleep)
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

// claim leases at most n due items. The common empty look costs no write.
func (q *Queue) claim(ctx context.Context, n int) ([]*Item, error) {
	now := q.cfg.Clock.Now()
	names := bun.List(q.names())
	var any []int
	err := q.cfg.Store.Reader().NewRaw("SELECT 1 FROM work WHERE due <= ? AND lease <= ? AND kind IN (?) LIMIT 1",
		now.UnixMicro(), now.UnixMicro(), names).Scan(ctx, &any)
	if err != nil || len(any) == 0 {
		return nil, err
	}
	var rows []workRow
	err = q.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		rows = rows[:0]
		lock := ""
		if tx.Postgres() {
			lock = "FOR UPDATE SKIP LOCKED"
		}
		return tx.NewRaw(`UPDATE work SET lease = ?, epoch = epoch + 1 WHERE (kind, id) IN
			(SELECT kind, id FROM work WHERE due <= ? AND lease <= ? AND kind IN (?) ORDER BY due, kind, id LIMIT ? ?)
			RETURNING *`, now.Add(q.cfg.Lease).UnixMicro(), now.UnixMicro(), now.UnixMicro(), names, n, bun.Safe(lock)).Scan(ctx, &rows)
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
