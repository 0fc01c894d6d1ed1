package agent

import (
	"context"
	"net/http"
	"time"

	"github.com/nephos-cloud/nephos/bus"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/network"
)

// stepped is what an agent that is stepped holds open.
type stepped struct {
	watcher  bus.Watcher
	guests   <-chan hypervisor.Event
	networks <-chan network.Event
	stop     func()
}

// Step takes what has come and does at most one thing, in the calling goroutine:
// it carries out an object, or takes an event of a driver. It reports whether
// there was something to do. The first Step of an agent sends its heartbeat;
// later ones are [Agent.BeatNow]'s.
func (a *Agent) Step(ctx context.Context) (bool, error) {
	if a.stepped == nil {
		return true, a.open(ctx)
	}
	if err := a.take(ctx, a.stepped.watcher); err != nil {
		return false, err
	}
	if a.takeEvent(ctx) {
		return true, nil
	}
	o := a.next()
	if o == nil {
		return false, nil
	}
	a.work(ctx, o)
	return true, nil
}

// open begins to listen, and says that the host is there.
func (a *Agent) open(ctx context.Context) error {
	w, err := a.cfg.Bus.Watch(ctx, a.cfg.Host)
	if err != nil {
		return err
	}
	unserve, err := a.cfg.Bus.Serve(ctx, a.cfg.Host, answers{a})
	if err != nil {
		w.Close()
		return err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &stepped{watcher: w, stop: func() { cancel(); unserve(); w.Close() }}
	s.guests = a.watchHypervisor(life)
	if s.networks, err = a.cfg.Network.Events(life); err != nil {
		s.networks = nil // it tells of none
	}
	a.stepped = s
	a.beat(ctx)
	return nil
}

// takeEvent takes one event that a driver told, if any.
func (a *Agent) takeEvent(ctx context.Context) bool {
	select {
	case e, ok := <-a.stepped.guests:
		if !ok {
			a.stepped.guests = nil
		} else if e.Guest {
			a.reportGuest(ctx, e)
		}
		return true
	default:
	}
	select {
	case e, ok := <-a.stepped.networks:
		if !ok {
			a.stepped.networks = nil
		} else if e.Kind == "dhcp" {
			a.moment(ctx, e.PortID, "dhcp", e.At, nil)
		}
		return true
	default:
		return false
	}
}

// NextDue returns when something that backs off is to be tried again; false when
// nothing is.
func (a *Agent) NextDue() (first time.Time, any bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for o := range a.pending {
		if !o.running && !o.waits && (!any || o.due.Before(first)) {
			first, any = o.due, true
		}
	}
	return first, any
}

// BeatNow sends a heartbeat, for tests that step.
func (a *Agent) BeatNow(ctx context.Context) { a.beat(ctx) }

// Metadata is what answers guests at 169.254.169.254, for a network driver that
// reaches it without a socket. Requests carry the headers that
// [network.MetadataServer] describes.
func (a *Agent) Metadata() http.Handler { return http.HandlerFunc(a.metadata) }

// Close ends an agent that was stepped, as a kill would: it tells nobody.
func (a *Agent) Close() {
	if a.stepped != nil {
		a.stepped.stop()
	}
	a.snapshots.close()
}
