package sqlstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos/store"
)

const (
	// claimsAtOnce is how many claims of all processes are with the PostgreSQL
	// server at a time, as a rule: enough to share its commits. With twice as many
	// from 8 processes each claim takes a third more of the server's processors.
	claimsAtOnce = 32
	// longestWait is how long a claim waits for its turn at most, so that whatever
	// callers do in their transactions holds up nobody else's for long.
	longestWait = 100 * time.Millisecond
	// countEvery is how often a process asks how many there are.
	countEvery = 10 * time.Second
)

// turns lets a few claims at a time have their way.
type turns struct {
	mu      sync.Mutex
	limit   int // 0: not known yet
	taken   int
	waiting []chan struct{}
	counted time.Time
}

// take waits for a turn, but not too long. What it returns ends the turn.
func (t *turns) take(ctx context.Context) (end func()) {
	t.mu.Lock()
	if t.limit == 0 || t.taken < t.limit {
		t.taken++
		t.mu.Unlock()
		return t.end
	}
	mine := make(chan struct{})
	t.waiting = append(t.waiting, mine)
	t.mu.Unlock()
	late := time.NewTimer(longestWait)
	defer late.Stop()
	select {
	case <-mine:
		return t.end
	case <-late.C:
	case <-ctx.Done(): // the transaction will say so
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, mine); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
		t.taken++ // out of turn
	}
	return t.end
}

func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken--
	t.next()
}

// next gives free turns to those who have waited longest. The caller holds mu.
func (t *turns) next() {
	for len(t.waiting) > 0 && t.taken < t.limit {
		t.taken++
		close(t.waiting[0])
		t.waiting = t.waiting[1:]
	}
}

// count has the processes share the turns, anew every now and then.
func (t *turns) count(ctx context.Context, db *store.DB, now time.Time) error {
	t.mu.Lock()
	due := t.limit == 0 || now.Sub(t.counted) >= countEvery
	t.mu.Unlock()
	if !due {
		return nil
	}
	n, err := db.Processes(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limit, t.counted = max(claimsAtOnce/max(n, 1), 2), now
	t.next()
	return nil
}
