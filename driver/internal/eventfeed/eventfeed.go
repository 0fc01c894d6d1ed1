// Package eventfeed tells what happens to any number of readers, and never waits
// for one. Drivers that announce events share it.
package eventfeed

import (
	"context"
	"fmt"
	"sync"

	"github.com/nephos-cloud/nephos"
)

// room is how many events a reader may be behind before it loses some.
const room = 1024

// Feed carries events of one kind. The zero value is ready, and it is safe for
// concurrent use.
type Feed[E any] struct {
	mu      sync.Mutex
	closed  bool
	readers map[chan E]struct{}
}

// Subscribe returns a channel that gets what is told from now on, in that order,
// and is closed when ctx ends or the feed is closed. It fails when either has
// happened before; a closed feed with ErrUnavailable.
func (f *Feed[E]) Subscribe(ctx context.Context) (<-chan E, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if f.closed {
		return nil, fmt.Errorf("the driver is closed: %w", nephos.ErrUnavailable)
	}
	ch := make(chan E, room)
	if f.readers == nil {
		f.readers = make(map[chan E]struct{})
	}
	f.readers[ch] = struct{}{}
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.leave(ch)
	})
	return ch, nil
}

// leave closes a reader's channel, once. The caller holds the mutex.
func (f *Feed[E]) leave(ch chan E) {
	if _, ok := f.readers[ch]; ok {
		delete(f.readers, ch)
		close(ch)
	}
}

// Tell sends an event to every reader; one that sleeps loses its oldest. It does
// not block, so it may be called with locks held, which keeps events in the
// order of what they tell of.
func (f *Feed[E]) Tell(e E) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ch := range f.readers {
		for sent := false; !sent; {
			select {
			case ch <- e:
				sent = true
			default:
				select {
				case <-ch:
				default:
				}
			}
		}
	}
}

// Close ends the channels of all readers, which may still read what they have.
// What is told afterwards reaches nobody.
func (f *Feed[E]) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for ch := range f.readers {
		f.leave(ch)
	}
}
