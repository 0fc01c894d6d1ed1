package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// clock moves only when told to.
type clock = nephos.VirtualClock

func newClock() *clock { return nephos.NewVirtualClock(time.Time{}) }

func each(t *testing.T, f func(t *testing.T, db *store.DB, c *clock)) {
	c := newClock()
	storetest.Each(t, c, nil, func(t *testing.T, db *store.DB) { f(t, db, c) })
}

func enqueue(t *testing.T, db *store.DB, id string) {
	t.Helper()
	ctx := nephos.WithCaller(t.Context(), nephos.Caller{UserID: "u", ProjectID: "p", RequestID: "req-1"})
	require.NoError(t, db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		return reconcile.Enqueue(ctx, tx, "test.thing", id, time.Time{})
	}))
}

func step(t *testing.T, q *reconcile.Queue) bool {
	t.Helper()
	ran, err := q.Step(t.Context())
	require.NoError(t, err)
	return ran
}

func TestWorkRunsUntilDoneOnBehalfOfItsRequest(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		q := reconcile.New(reconcile.Config{Store: db, Clock: c})
		runs := 0
		q.Add(reconcile.Kind{Name: "test.thing", Handle: func(ctx context.Context, it *reconcile.Item) (reconcile.Next, error) {
			caller, _ := nephos.CallerFrom(ctx)
			require.Equal(t, "test", caller.Service)
			require.Equal(t, []string{"service"}, caller.Roles)
			require.Equal(t, "req-1", caller.RequestID)
			require.Equal(t, "p", caller.ProjectID)
			if runs++; runs < 3 {
				return reconcile.Again(c.Now().Add(time.Minute)), nil
			}
			return reconcile.Done(), nil
		}})
		enqueue(t, db, "a")
		require.True(t, step(t, q))
		require.False(t, step(t, q), "not due yet")
		due, ok, err := q.NextDue(t.Context())
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, c.Now().Add(time.Minute), due)
		c.Advance(time.Minute)
		require.True(t, step(t, q))
		c.Advance(time.Minute)
		require.True(t, step(t, q))
		c.Advance(time.Hour)
		require.False(t, step(t, q), "done")
	})
}

func TestAWakeUpDuringAStepIsNotLost(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		q := reconcile.New(reconcile.Config{Store: db, Clock: c})
		runs := 0
		q.Add(reconcile.Kind{Name: "test.thing", Handle: func(ctx context.Context, it *reconcile.Item) (reconcile.Next, error) {
			if runs++; runs == 1 {
				enqueue(t, db, it.ID)
				require.False(t, step(t, q), "the lease keeps others away")
			}
			return reconcile.Done(), nil
		}})
		enqueue(t, db, "a")
		require.True(t, step(t, q))
		require.True(t, step(t, q))
		require.False(t, step(t, q))
		require.Equal(t, 2, runs)
	})
}

func TestFailuresBackOffAndThenGiveUp(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		q := reconcile.New(reconcile.Config{Store: db, Clock: c})
		tries, gaveUp := 0, 0
		var cause error
		q.Add(reconcile.Kind{
			Name: "test.thing", MaxAttempts: 3,
			Handle: func(context.Context, *reconcile.Item) (reconcile.Next, error) {
				if tries++; tries == 2 {
					panic("a bug")
				}
				return reconcile.Done(), errors.New("no luck")
			},
			GiveUp: func(_ context.Context, _ *reconcile.Item, err error) (reconcile.Next, error) {
				cause = err
				if gaveUp++; gaveUp == 1 {
					return reconcile.Done(), errors.New("even that fails once")
				}
				return reconcile.Done(), nil
			},
		})
		enqueue(t, db, "a")
		for range 5 {
			require.True(t, step(t, q))
			require.False(t, step(t, q), "backs off")
			c.Advance(2 * time.Minute)
		}
		require.False(t, step(t, q))
		require.Equal(t, 3, tries)
		require.Equal(t, 2, gaveUp)
		require.ErrorContains(t, cause, "even that fails once")
	})
}

func TestADeadlineEndsWorkThatNeverFails(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		q := reconcile.New(reconcile.Config{Store: db, Clock: c})
		ended := false
		q.Add(reconcile.Kind{
			Name: "test.thing", Deadline: time.Hour,
			Handle: func(context.Context, *reconcile.Item) (reconcile.Next, error) {
				return reconcile.Again(c.Now().Add(40 * time.Minute)), nil
			},
			GiveUp: func(context.Context, *reconcile.Item, error) (reconcile.Next, error) {
				ended = true
				return reconcile.Done(), nil
			},
		})
		enqueue(t, db, "a")
		for range 3 {
			require.True(t, step(t, q))
			c.Advance(40 * time.Minute)
		}
		require.True(t, ended)
		require.False(t, step(t, q))
	})
}

func TestAStalledWorkerCannotWrite(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		q := reconcile.New(reconcile.Config{Store: db, Clock: c, Lease: time.Minute})
		depth := 0
		q.Add(reconcile.Kind{Name: "test.thing", Handle: func(ctx context.Context, it *reconcile.Item) (reconcile.Next, error) {
			if depth++; depth == 1 {
				c.Advance(2 * time.Minute)
				require.True(t, step(t, q), "another worker takes over")
				err := it.Tx(ctx, func(context.Context, *store.Tx) error { t.Error("wrote"); return nil })
				require.ErrorIs(t, err, reconcile.ErrLeaseLost)
				return reconcile.Done(), err
			}
			return reconcile.Again(c.Now().Add(time.Hour)), nil
		}})
		enqueue(t, db, "a")
		_, err := q.Step(t.Context())
		require.ErrorIs(t, err, reconcile.ErrLeaseLost)
		c.Advance(time.Hour)
		require.True(t, step(t, q), "the row is still there")
	})
}

func TestACrashAtAnyPointRunsTheStepAgain(t *testing.T) {
	for _, point := range []string{"before test.thing", "after test.thing", "settled test.thing"} {
		each(t, func(t *testing.T, db *store.DB, c *clock) {
			runs, crashed := 0, false
			q := reconcile.New(reconcile.Config{Store: db, Clock: c, Crash: func(at string) {
				if at == point && !crashed {
					crashed = true
					panic(reconcile.Crash{At: at})
				}
			}})
			q.Add(reconcile.Kind{Name: "test.thing", Handle: func(context.Context, *reconcile.Item) (reconcile.Next, error) {
				runs++
				return reconcile.Done(), nil
			}})
			enqueue(t, db, "a")
			require.Panics(t, func() { _, _ = q.Step(t.Context()) })
			c.Advance(2 * time.Minute)
			require.NoError(t, q.Settle(t.Context()))
			require.GreaterOrEqual(t, runs, 1)
			_, left, err := q.NextDue(t.Context())
			require.NoError(t, err)
			require.False(t, left)
		})
	}
}

func TestSettleIsPartOfTheHandlersOwnCommit(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		q := reconcile.New(reconcile.Config{Store: db, Clock: c})
		q.Add(reconcile.Kind{Name: "test.thing", Handle: func(ctx context.Context, it *reconcile.Item) (reconcile.Next, error) {
			return reconcile.Again(c.Now()), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
				return it.Settle(ctx, tx, reconcile.Done())
			})
		}})
		enqueue(t, db, "a")
		require.True(t, step(t, q))
		require.False(t, step(t, q))
	})
}

func TestSeveralItemsAreEnqueuedInOneStatement(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		q := reconcile.New(reconcile.Config{Store: db, Clock: c})
		runs := map[string]int{}
		q.Add(reconcile.Kind{Name: "test.thing", Handle: func(_ context.Context, it *reconcile.Item) (reconcile.Next, error) {
			runs[it.ID]++
			return reconcile.Done(), nil
		}})
		enqueueAll := func(due time.Time, ids ...string) int64 {
			ctx, n := store.CountQueries(t.Context())
			require.NoError(t, db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
				return reconcile.EnqueueAll(ctx, tx, "test.thing", ids, due)
			}))
			return n.Load()
		}
		enqueueAll(time.Time{})
		one := enqueueAll(c.Now().Add(time.Hour), "a")
		require.Equal(t, one, enqueueAll(c.Now().Add(time.Hour), "c", "a", "b", "a"))
		require.False(t, step(t, q), "none is due")
		require.Equal(t, one, enqueueAll(time.Time{}, "b", "d"))
		require.NoError(t, q.Settle(t.Context()))
		require.Equal(t, map[string]int{"b": 1, "d": 1}, runs)
		c.Advance(time.Hour)
		require.NoError(t, q.Settle(t.Context()))
		require.Equal(t, map[string]int{"a": 1, "b": 1, "c": 1, "d": 1}, runs)
	})
}

func TestRunDoesEverythingWithSeveralWorkersAndQueues(t *testing.T) {
	storetest.Each(t, nil, nil, func(t *testing.T, db *store.DB) {
		const n = 60
		var done atomic.Int32
		all := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var seen sync.Map
		for range 2 {
			q := reconcile.New(reconcile.Config{Store: db, Workers: 4})
			q.Add(reconcile.Kind{Name: "test.thing", Handle: func(_ context.Context, it *reconcile.Item) (reconcile.Next, error) {
				if _, twice := seen.LoadOrStore(it.ID, true); twice {
					t.Errorf("%s ran twice", it.ID)
				}
				if done.Add(1) == n {
					close(all)
				}
				return reconcile.Done(), nil
			}})
			wg.Go(func() { q.Run(ctx) })
		}
		for i := range n {
			enqueue(t, db, fmt.Sprint(i))
		}
		<-all
		cancel()
		wg.Wait()
	})
}
