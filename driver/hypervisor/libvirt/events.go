//go:build libvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"sync"

	virt "libvirt.org/go/libvirt"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
)

// notice is something that libvirt said of a domain.
type notice struct {
	l    *link
	name string
	// One of these.
	life    *virt.DomainEventLifecycle
	removed string // alias of a device that is gone
	refused string // alias of a device that stays
	job     *virt.DomainEventBlockJob
}

// queue carries notices out of libvirt's event loop, which must not wait.
type queue struct {
	mu    *sync.Mutex
	all   *[]notice
	ready chan struct{}
}

func newQueue() queue {
	return queue{mu: new(sync.Mutex), all: new([]notice), ready: make(chan struct{}, 1)}
}

func (q queue) put(n notice) {
	q.mu.Lock()
	*q.all = append(*q.all, n)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q queue) take() []notice {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := *q.all
	*q.all = nil
	return all
}

// listen asks a connection for all events that the driver uses. Only those of
// the lifecycle must be had.
func (d *Driver) listen(l *link) error {
	say := func(dom *virt.Domain, n notice) {
		name, err := dom.GetName()
		if err != nil {
			return
		}
		n.l, n.name = l, name
		d.heard.put(n)
	}
	id, err := l.conn.DomainEventLifecycleRegister(nil, func(_ *virt.Connect, dom *virt.Domain, e *virt.DomainEventLifecycle) {
		say(dom, notice{life: e})
	})
	if err != nil {
		return fmt.Errorf("listen to events: %w", meant(err))
	}
	l.callbacks = append(l.callbacks, id)
	for _, register := range []func() (int, error){
		func() (int, error) {
			return l.conn.DomainEventDeviceRemovedRegister(nil, func(_ *virt.Connect, dom *virt.Domain, e *virt.DomainEventDeviceRemoved) {
				say(dom, notice{removed: e.DevAlias})
			})
		},
		func() (int, error) {
			return l.conn.DomainEventDeviceRemovalFailedRegister(nil, func(_ *virt.Connect, dom *virt.Domain, e *virt.DomainEventDeviceRemovalFailed) {
				say(dom, notice{refused: e.DevAlias})
			})
		},
		func() (int, error) {
			return l.conn.DomainEventBlockJob2Register(nil, func(_ *virt.Connect, dom *virt.Domain, e *virt.DomainEventBlockJob) {
				say(dom, notice{job: e})
			})
		},
	} {
		if id, err := register(); err == nil {
			l.callbacks = append(l.callbacks, id)
		}
	}
	return nil
}

// hear takes a notice.
func (d *Driver) hear(n notice) {
	d.mu.Lock()
	g := d.guests[n.name]
	d.mu.Unlock()
	if n.life != nil && (g == nil || g.unknown(d)) {
		// One that came by itself, such as from another host: is it ours?
		if g = d.meet(n); g == nil {
			return
		}
	}
	switch {
	case g == nil:
	case n.life != nil:
		d.lived(g, n)
	case n.removed != "" || n.refused != "":
		d.mu.Lock()
		defer d.mu.Unlock()
		if ch := g.removed[n.removed+n.refused]; ch != nil {
			delete(g.removed, n.removed+n.refused)
			if n.refused != "" {
				ch <- errRefused
			}
			close(ch)
		}
	case n.job != nil:
		d.mu.Lock()
		defer d.mu.Unlock()
		if ch := g.jobs[n.job.Disk]; ch != nil {
			select {
			case ch <- jobEnd{status: n.job.Status}:
			default:
			}
		}
	}
}

func (g *guest) unknown(d *Driver) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return g.state == ""
}

// meet finds out whether a domain that is new to us is ours.
func (d *Driver) meet(n notice) *guest {
	if hypervisor.CheckID(n.name) != nil {
		return nil
	}
	w, done, err := d.work(context.Background(), n.name)
	if err != nil {
		return nil
	}
	defer done()
	if w.l != n.l || w.load() != nil {
		return nil
	}
	return d.guest(n.name)
}

// lived follows a guest's life.
func (d *Driver) lived(g *guest, n notice) {
	switch n.life.Event {
	case virt.DOMAIN_EVENT_STARTED:
		if virt.DomainEventStartedDetailType(n.life.Detail) == virt.DOMAIN_EVENT_STARTED_MIGRATED {
			return // it is on its way here; it resumes when it has arrived
		}
		d.mu.Lock()
		g.asked = false
		d.mu.Unlock()
		d.become(g, hypervisor.Running, false)
	case virt.DOMAIN_EVENT_RESUMED:
		d.become(g, hypervisor.Running, false)
	case virt.DOMAIN_EVENT_SUSPENDED:
		switch virt.DomainEventSuspendedDetailType(n.life.Detail) {
		case virt.DOMAIN_EVENT_SUSPENDED_MIGRATED, virt.DOMAIN_EVENT_SUSPENDED_POSTCOPY:
			return // it runs on elsewhere
		}
		d.become(g, hypervisor.Paused, false)
	case virt.DOMAIN_EVENT_PMSUSPENDED:
		d.become(g, hypervisor.Paused, true)
	case virt.DOMAIN_EVENT_STOPPED:
		d.mu.Lock()
		asked := g.asked
		d.mu.Unlock()
		detail := virt.DomainEventStoppedDetailType(n.life.Detail)
		if detail == virt.DOMAIN_EVENT_STOPPED_MIGRATED {
			d.become(g, hypervisor.Stopped, false)
			d.tasks.Go(func() { d.noteLeft(g.id) })
			return
		}
		crashed := detail == virt.DOMAIN_EVENT_STOPPED_CRASHED || detail == virt.DOMAIN_EVENT_STOPPED_FAILED
		if !crashed || asked {
			d.become(g, hypervisor.Stopped, !asked && detail == virt.DOMAIN_EVENT_STOPPED_SHUTDOWN)
			return
		}
		// First as it is, so that the note is there when the end is told; then in
		// the guest's turn, lest somebody who was changing it has overwritten that.
		if w, done, err := d.work(context.Background(), g.id); err == nil {
			_ = w.noteEnd(hypervisor.Crashed)
			done()
		}
		d.become(g, hypervisor.Crashed, true)
		d.tasks.Go(func() { d.noteEnd(g.id, hypervisor.Crashed) })
	case virt.DOMAIN_EVENT_CRASHED:
		d.become(g, hypervisor.Crashed, true)
	}
}

// noteEnd writes into the domain how it ended, which libvirtd forgets when it
// ends itself.
func (w *work) noteEnd(how hypervisor.State) error {
	if err := w.load(); err != nil {
		return err
	}
	if s, _, err := w.now(); err != nil || s != virt.DOMAIN_SHUTOFF || w.run.Ended == how {
		return err
	}
	return w.writeRun(domain.Run{Started: w.run.Started, Ended: how})
}

func (d *Driver) noteEnd(id string, how hypervisor.State) {
	err := d.alone(context.Background(), id, func(w *work) error { return w.noteEnd(how) })
	if err != nil && !errors.Is(err, nephos.ErrNotFound) {
		d.log.Warn("cannot note how a guest ended", "guest", id, "error", err)
	}
}

// become notes a guest's state and tells whoever listens.
func (d *Driver) become(g *guest, state hypervisor.State, byGuest bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g.state == state || d.closed {
		return
	}
	g.state = state
	close(g.changed)
	g.changed = make(chan struct{})
	if d.guests[g.id] == g {
		d.events.Tell(hypervisor.Event{ID: g.id, State: state, At: d.clock.Now(), Guest: byGuest})
	}
}

// Events implements hypervisor.Eventer.
func (d *Driver) Events(ctx context.Context) (<-chan hypervisor.Event, error) {
	events, err := d.events.Subscribe(ctx)
	if err != nil {
		return nil, fmt.Errorf("watch guests: %w", err)
	}
	return events, nil
}
