package watch

import (
	"context"
	"fmt"
	"sort"
	"sync"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

const (
	pageSize = 256  // events fetched at a time
	ringSize = 2048 // events kept at hand
)

// feed reads the store's new events once for all readers. While there are
// readers it watches the store; whichever of them the wake-up reaches fetches
// the rows and wakes those whom they concern.
type feed struct {
	db  *store.DB
	max int

	mu      sync.Mutex
	readers map[*reader]struct{}
	wake    <-chan struct{}
	stop    func()
	seq     int64         // the last event that was fetched
	ring    []store.Event // the last events, oldest first
	base    int64         // the ring holds all events behind this one
}

// reader waits for events of one resource, or of all if id is empty.
type reader struct {
	feed *feed
	id   string
	news chan struct{}
}

func (f *feed) join(ctx context.Context, id string) (*reader, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.readers) >= f.max {
		return nil, nephos.Errorf(nephos.ErrUnavailable, "There are %d open streams and waits already, which is the most: try again later.", f.max)
	}
	if len(f.readers) == 0 {
		// Watch first: what is committed meanwhile is fetched after the wake-up.
		f.wake, f.stop = f.db.Watch(store.EventTopic)
		_, newest, err := f.db.EventsRange(ctx)
		if err != nil {
			f.stop()
			return nil, fmt.Errorf("watching events: %w", err)
		}
		f.seq, f.base, f.ring = newest, newest, nil
	}
	r := &reader{feed: f, id: id, news: make(chan struct{}, 1)}
	f.readers[r] = struct{}{}
	return r, nil
}

func (r *reader) leave() {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, in := f.readers[r]; !in {
		return
	}
	delete(f.readers, r)
	if len(f.readers) == 0 {
		f.stop()
		f.ring = nil
		return
	}
	// The wake-up may have reached the one who leaves and nobody else.
	select {
	case <-f.wake:
		if err := f.fetch(context.Background()); err != nil {
			for other := range f.readers {
				other.tell()
			}
		}
	default:
	}
}

// wait returns when there is news for the reader.
func (r *reader) wait(ctx context.Context) error {
	for {
		select {
		case <-r.news:
			return nil
		default:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.news:
			return nil
		case <-r.feed.wake:
			r.feed.mu.Lock()
			err := r.feed.fetch(context.WithoutCancel(ctx))
			r.feed.mu.Unlock()
			if err != nil {
				return fmt.Errorf("reading new events: %w", err)
			}
		}
	}
}

func (r *reader) tell() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// fetch reads what is new and tells those whom it concerns. The lock is held.
func (f *feed) fetch(ctx context.Context) error {
	for {
		events, err := f.db.Events(ctx, f.seq, pageSize)
		if err != nil {
			// Whoever waits finds out by asking.
			for r := range f.readers {
				r.tell()
			}
			return err
		}
		if len(events) == 0 {
			return nil
		}
		f.seq = events[len(events)-1].Seq
		f.ring = append(f.ring, events...)
		if over := len(f.ring) - ringSize; over > 0 {
			f.base = f.ring[over-1].Seq
			f.ring = append([]store.Event(nil), f.ring[over:]...)
		}
		changed := make(map[string]bool, len(events))
		for _, e := range events {
			changed[e.ResourceID] = true
		}
		for r := range f.readers {
			if r.id == "" || changed[r.id] {
				r.tell()
			}
		}
		if len(events) < pageSize {
			return nil
		}
	}
}

// after returns some of the events behind the number, oldest first; none when
// there is nothing newer. A number whose followers are forgotten is
// [nephos.ErrGone].
func (f *feed) after(ctx context.Context, seq int64) ([]store.Event, error) {
	f.mu.Lock()
	if seq >= f.base {
		i := sort.Search(len(f.ring), func(i int) bool { return f.ring[i].Seq > seq })
		events := f.ring[i:min(i+pageSize, len(f.ring))]
		f.mu.Unlock()
		return events, nil
	}
	f.mu.Unlock()
	events, err := f.db.Events(ctx, seq, pageSize)
	if err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	// Asked afterwards: what was forgotten before the reading is noticed.
	forgotten, _, err := f.db.EventsRange(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	if seq < forgotten {
		return nil, gone()
	}
	return events, nil
}
