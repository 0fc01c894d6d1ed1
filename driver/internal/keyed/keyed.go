// Package keyed serialises what concerns one thing, such as calls about one
// volume, and lets the rest run.
package keyed

import (
	"context"
	"sync"
)

// Locks is a lock for each key, kept only while somebody has or wants it. The
// zero value is ready.
type Locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	ch    chan struct{} // holds one token while locked
	users int
}

// Lock waits for the key's lock, or until ctx ends, and returns what gives it back.
func (l *Locks) Lock(ctx context.Context, key string) (unlock func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = make(map[string]*lock)
	}
	k := l.held[key]
	if k == nil {
		k = &lock{ch: make(chan struct{}, 1)}
		l.held[key] = k
	}
	k.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.held, key)
		}
	}
	if err := ctx.Err(); err != nil {
		leave()
		return nil, err
	}
	select {
	case k.ch <- struct{}{}:
		return func() { <-k.ch; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
