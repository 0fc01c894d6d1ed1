package qemu

import (
	"context"
	"fmt"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// Events implements hypervisor.Eventer.
func (d *Driver) Events(ctx context.Context) (<-chan hypervisor.Event, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("watch guests: %w", err)
	}
	if d.closed {
		return nil, fmt.Errorf("watch guests: the driver is closed: %w", nephos.ErrUnavailable)
	}
	ch := make(chan hypervisor.Event, 1024)
	d.subs[ch] = struct{}{}
	context.AfterFunc(ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if _, ok := d.subs[ch]; ok {
			delete(d.subs, ch)
			close(ch)
		}
	})
	return ch, nil
}

// tell sends an event to every reader; one that sleeps loses its oldest. The
// caller holds the mutex, so nobody else sends.
func (d *Driver) tell(e hypervisor.Event) {
	for ch := range d.subs {
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
