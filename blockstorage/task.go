package blockstorage

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// A step must end within its lease, but copying a volume may take much longer.
// A call of the pool therefore runs beside the steps: a step that waited long
// enough says so in the record and comes again, and joins the call. The record
// keeps other processes' workers away until the claim runs out.
const (
	patience = 20 * time.Second // how long a step waits for a call
	claim    = 90 * time.Second // how long others keep away after that
)

// task is a call of the pool that is under way.
type task struct {
	op   string
	done chan struct{}
	err  error
}

// busy is the claim of a record.
type busy struct {
	by    string
	until *time.Time
}

// pooled runs a call of the pool for a step, or joins the one that runs
// already. finished is false when it is still under way: the step is to answer
// next. op tells calls for the same record apart: another one is waited for
// first. mark writes the claim into the record.
func (s *Service) pooled(ctx context.Context, it *reconcile.Item, op string, b busy,
	mark func(ctx context.Context, tx *store.Tx, b busy) error, call func(ctx context.Context) error,
) (finished bool, next reconcile.Next, err error) {
	key := it.Kind + " " + it.ID
	s.mu.Lock()
	t := s.tasks[key]
	if t == nil {
		if b.by != "" && b.by != s.worker && b.until != nil && s.cfg.Clock.Now().Before(*b.until) {
			s.mu.Unlock()
			return false, reconcile.Again(*b.until), nil
		}
		t = &task{op: op, done: make(chan struct{})}
		s.tasks[key] = t
		go t.run(ctx, call)
	}
	s.mu.Unlock()
	select {
	case <-t.done:
		s.mu.Lock()
		if s.tasks[key] == t {
			delete(s.tasks, key)
		}
		s.mu.Unlock()
		if t.op != op {
			return false, reconcile.Again(time.Time{}), nil
		}
		s.cfg.Crash.Here("pool done")
		return true, next, t.err
	case <-s.cfg.Clock.After(patience):
		until := s.cfg.Clock.Now().Add(claim)
		next = reconcile.Again(time.Time{})
		return false, next, it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
			if err := mark(ctx, tx, busy{s.worker, &until}); err != nil {
				return err
			}
			return it.Settle(ctx, tx, next)
		})
	case <-ctx.Done():
		return false, next, ctx.Err()
	}
}

func (t *task) run(ctx context.Context, call func(ctx context.Context) error) {
	defer close(t.done)
	defer func() {
		if r := recover(); r != nil {
			t.err = fmt.Errorf("the volume driver panicked: %v\n%s", r, debug.Stack())
		}
	}()
	t.err = call(ctx)
}

// transact runs a closure in a transaction: a store's, or an item's own.
type transact = func(ctx context.Context, f func(ctx context.Context, tx *store.Tx) error) error
