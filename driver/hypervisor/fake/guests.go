package fake

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// Info implements hypervisor.Driver.
func (d *Driver) Info(ctx context.Context) (hypervisor.Host, error) {
	after, err := d.enter(ctx, "Info", "")
	if err != nil {
		return hypervisor.Host{}, err
	}
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	h := d.cfg.Host
	h.Formats, h.CPUFeatures, h.Traits = slices.Clone(h.Formats), slices.Clone(h.CPUFeatures), slices.Clone(h.Traits)
	h.NUMA, h.PCI, h.Metrics = slices.Clone(h.NUMA), slices.Clone(h.PCI), maps.Clone(h.Metrics)
	h.BootID = nephos.ChildID(d.cfg.Name, fmt.Sprintf("boot %d", d.state.boots))
	h.FreeDiskGiB = max(0, h.DiskGiB-int(d.state.localBytes()>>30))
	h.RunningVMs = 0
	for _, g := range d.state.guests {
		if g.on() {
			h.RunningVMs++
		}
	}
	return h, after
}

// Ensure implements hypervisor.Driver.
func (d *Driver) Ensure(ctx context.Context, id string, spec hypervisor.Spec) error {
	after, err := d.begin(ctx, "Ensure", id)
	if err != nil {
		return err
	}
	fail := func(err error) error { return fmt.Errorf("ensure guest %s: %w", id, err) }
	if err := first(hypervisor.CheckID(id), spec.Validate()); err != nil {
		return fail(err)
	}
	if d.cfg.CloudID != "" && spec.CloudID != d.cfg.CloudID {
		return fail(fmt.Errorf("CloudID is %q and not this cloud's %q: %w", spec.CloudID, d.cfg.CloudID, nephos.ErrInvalid))
	}
	for i, disk := range spec.Disks {
		if disk.Base != nil && !slices.Contains(d.cfg.Host.Formats, disk.Base.Format) {
			return fail(fmt.Errorf("Disks[%d].Base.Format %q is none of this host's: %w", i, disk.Base.Format, nephos.ErrInvalid))
		}
	}
	if len(spec.NUMA) > 0 && !d.can(hypervisor.CanPlace) || len(spec.PCI) > 0 && !d.can(hypervisor.CanPassDevices) {
		return fail(fmt.Errorf("nothing of the host can be given to one guest: %w", errUnsupported))
	}
	s := d.state
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.guests[id]
	if g == nil || !spec.SamePlace(g.spec) {
		if err := d.cfg.Host.Holds(spec); err != nil {
			return fail(err)
		}
	}
	if g == nil {
		g = &guest{id: id, state: hypervisor.Stopped, streams: make(map[*stream]struct{})}
		g.held.content = s.imports[id]
		delete(s.imports, id)
		s.guests[id] = g
	} else if g.state == hypervisor.Incoming {
		return fail(conflict(g, "ensure"))
	} else if g.spec.CloudID != spec.CloudID {
		return fail(fmt.Errorf("the guest belongs to another cloud: %w", nephos.ErrConflict))
	}
	if g.on() && !d.can(hypervisor.CanHotPlug) && (!sameDisks(g.spec.Disks, spec.Disks) || !sameNICs(g.spec.NICs, spec.NICs)) {
		return fail(fmt.Errorf("the guest is %s and nothing can be plugged: %w", g.state, errUnsupported))
	}
	g.spec = clone(spec)
	g.forget()
	return after
}

func (d *Driver) can(ability string) bool { return !slices.Contains(d.cfg.Without, ability) }

func sameDisks(a, b []driver.Disk) bool {
	return slices.EqualFunc(a, b, func(x, y driver.Disk) bool { return x.ID == y.ID })
}

func sameNICs(a, b []driver.NIC) bool { return slices.Equal(a, b) }

// with runs f on an existing guest between the faults of a call.
func (d *Driver) with(ctx context.Context, method, id string, f func(*guest, time.Time) error) error {
	after, err := d.begin(ctx, method, id)
	if err != nil {
		return err
	}
	now := d.clock.Now()
	err = d.state.change(id, method, func(g *guest) error { return f(g, now) })
	return first(err, after)
}

// Start implements hypervisor.Driver.
func (d *Driver) Start(ctx context.Context, id string) error {
	return d.with(ctx, "Start", id, func(g *guest, now time.Time) error {
		return d.power(g, now)
	})
}

// power brings a guest to Running from whatever it is.
func (d *Driver) power(g *guest, now time.Time) error {
	switch {
	case g.state == hypervisor.Incoming:
		return conflict(g, "start")
	case g.left():
		return nephos.Errorf(nephos.ErrConflict, "start guest %s: it has gone to %s", g.id, g.held.migration.to)
	case g.state == hypervisor.Running:
		return nil
	case g.state == hypervisor.Paused:
	case g.suspended:
		if err := d.take(g); err != nil {
			return err
		}
		g.suspended = false
		g.started = now
	default:
		if err := d.take(g); err != nil {
			return err
		}
		g.started = now
		g.vcpus, g.memory = g.spec.VCPUs, g.spec.MemoryMiB
		b := d.behaviour(g)
		g.console.boot(b.BootText, now, b.BootTime)
		g.script = b.script(now)
	}
	g.state = hypervisor.Running
	d.state.tell(hypervisor.Event{ID: g.id, State: hypervisor.Running, At: now})
	return nil
}

// Stop implements hypervisor.Driver.
func (d *Driver) Stop(ctx context.Context, id string, opts hypervisor.StopOptions) error {
	after, err := d.begin(ctx, "Stop", id)
	if err != nil {
		return err
	}
	if opts.Grace > 0 && d.deaf(id) {
		if err := d.wait(ctx, id, opts.Grace); err != nil {
			return fmt.Errorf("stop guest %s: %w", id, err)
		}
	}
	err = d.state.change(id, "stop", func(g *guest) error {
		if g.state == hypervisor.Incoming {
			return conflict(g, "stop")
		}
		d.state.off(g, hypervisor.Stopped, false, d.clock.Now())
		g.suspended = false
		return nil
	})
	return first(err, after)
}

// wait passes a deaf guest's grace; a guest that is off needs none.
func (d *Driver) wait(ctx context.Context, id string, grace time.Duration) error {
	d.state.mu.Lock()
	g := d.state.guests[id]
	off := g == nil || !g.on()
	d.state.mu.Unlock()
	if off {
		return nil
	}
	return nephos.Sleep(ctx, d.clock, grace)
}

// Destroy implements hypervisor.Driver.
func (d *Driver) Destroy(ctx context.Context, id string) error {
	after, err := d.begin(ctx, "Destroy", id)
	if err != nil {
		return err
	}
	s := d.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.guests[id]; g != nil {
		s.off(g, hypervisor.Stopped, false, d.clock.Now())
		delete(s.guests, id)
	}
	delete(s.imports, id)
	return after
}

// Get implements hypervisor.Driver.
func (d *Driver) Get(ctx context.Context, id string) (v hypervisor.Guest, err error) {
	err = d.with(ctx, "Get", id, func(g *guest, _ time.Time) error {
		v = g.view()
		return nil
	})
	return v, err
}

// List implements hypervisor.Driver.
func (d *Driver) List(ctx context.Context) ([]hypervisor.Guest, error) {
	after, err := d.enter(ctx, "List", "")
	if err != nil || after != nil {
		return nil, first(err, after)
	}
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	list := make([]hypervisor.Guest, 0, len(d.state.guests))
	for _, g := range d.state.guests {
		if d.cfg.CloudID == "" || g.spec.CloudID == d.cfg.CloudID {
			list = append(list, g.view())
		}
	}
	slices.SortFunc(list, func(a, b hypervisor.Guest) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// Close implements hypervisor.Driver: streams and channels end, guests stay.
func (d *Driver) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	s := d.state
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.subs {
		if sub.owner == d {
			delete(s.subs, sub)
			close(sub.ch)
		}
	}
	for _, g := range s.guests {
		for st := range g.streams {
			if st.owner == d {
				st.end()
				delete(g.streams, st)
			}
		}
	}
	return nil
}
