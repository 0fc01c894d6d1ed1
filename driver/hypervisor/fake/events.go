package fake

import (
	"context"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// subscriber is one channel of Events.
type subscriber struct {
	owner *Driver
	ch    chan hypervisor.Event
}

// tell sends an event to every subscriber; one that sleeps loses its oldest.
// The caller holds the mutex, so nobody else sends.
func (s *State) tell(e hypervisor.Event) {
	for sub := range s.subs {
		for sent := false; !sent; {
			select {
			case sub.ch <- e:
				sent = true
			default:
				select {
				case <-sub.ch:
				default:
				}
			}
		}
	}
}

func (s *State) unsubscribe(sub *subscriber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.subs[sub]; ok {
		delete(s.subs, sub)
		close(sub.ch)
	}
}

// Events implements hypervisor.Eventer.
func (d *Driver) Events(ctx context.Context) (<-chan hypervisor.Event, error) {
	after, err := d.enter(ctx, "Events", "")
	if err != nil || after != nil {
		return nil, first(err, after)
	}
	sub := &subscriber{owner: d, ch: make(chan hypervisor.Event, 1024)}
	d.state.mu.Lock()
	d.state.subs[sub] = struct{}{}
	d.state.mu.Unlock()
	context.AfterFunc(ctx, func() { d.state.unsubscribe(sub) })
	return sub.ch, nil
}

// first returns the first error that is not nil.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
