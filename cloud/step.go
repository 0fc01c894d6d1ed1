package cloud

import (
	"context"
	"fmt"

	"github.com/nephos-cloud/nephos/store"
)

// Step does one thing of the controllers' work that is due, in the calling
// goroutine, and reports whether there was one: it takes a report of a host's,
// or events, or does a step of durable work. It does what [Cloud.Run] does, for
// tests that want no goroutines; agents are stepped by themselves. The bus must
// be one that delivers reports one at a time, as bus.Memory does.
func (c *Cloud) Step(ctx context.Context) (bool, error) {
	reports, ok := c.cfg.Bus.(interface {
		DeliverOne(ctx context.Context, handle func(ctx context.Context, host string, value []byte) error) (bool, error)
	})
	if !ok {
		return false, fmt.Errorf("stepping a cloud: its bus, a %T, delivers nothing one at a time", c.cfg.Bus)
	}
	if c.stepping == nil {
		wake, _ := c.cfg.Store.Watch(store.EventTopic)
		c.stepping = &stepping{events: wake, missed: true}
	}
	if did, err := reports.DeliverOne(ctx, c.Fleet.Handle); did || err != nil {
		return did, err
	}
	select {
	case <-c.cfg.Bus.Lost():
		c.Fleet.Republish(ctx)
		return true, nil
	case <-c.stepping.events:
		c.stepping.missed = true
	default:
	}
	if c.stepping.missed {
		n, err := c.Compute.FollowEvents(ctx)
		c.stepping.missed = err != nil
		if n > 0 || err != nil {
			return true, err
		}
	}
	return c.Queue.Step(ctx)
}

// stepping is what Step remembers.
type stepping struct {
	events <-chan struct{}
	missed bool // events have come that were not read
}
