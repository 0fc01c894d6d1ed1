//go:build linux

package linux

import (
	"context"
	"sync"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
)

// feed hands events to those who watch. One who lags 1024 events behind loses some.
type feed struct {
	mu       sync.Mutex
	watchers map[chan network.Event]struct{} // nil once closed
}

func (f *feed) send(e network.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		select {
		case w <- e:
		default:
		}
	}
}

func (f *feed) remove(w chan network.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.watchers[w]; ok {
		delete(f.watchers, w)
		close(w)
	}
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		close(w)
	}
	f.watchers = nil
}

// Events implements [network.Eventer].
func (d *Driver) Events(ctx context.Context) (<-chan network.Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := make(chan network.Event, 1024)
	d.feed.mu.Lock()
	defer d.feed.mu.Unlock()
	if d.feed.watchers == nil {
		return nil, nephos.Errorf(nephos.ErrUnavailable, "the network driver is closed")
	}
	d.feed.watchers[w] = struct{}{}
	context.AfterFunc(ctx, func() { d.feed.remove(w) })
	return w, nil
}
