package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

var errUnsupported = errors.ErrUnsupported

var (
	_ hypervisor.Driver        = (*Driver)(nil)
	_ hypervisor.Abilitier     = (*Driver)(nil)
	_ hypervisor.HotPlugger    = (*Driver)(nil)
	_ hypervisor.Rebooter      = (*Driver)(nil)
	_ hypervisor.Pauser        = (*Driver)(nil)
	_ hypervisor.Suspender     = (*Driver)(nil)
	_ hypervisor.Snapshotter   = (*Driver)(nil)
	_ hypervisor.ConsoleLogger = (*Driver)(nil)
	_ hypervisor.Consoler      = (*Driver)(nil)
	_ hypervisor.Eventer       = (*Driver)(nil)
	_ hypervisor.Diagnoser     = (*Driver)(nil)
)

// HotPlug implements hypervisor.HotPlugger.
func (d *Driver) HotPlug() (disks, nics bool) {
	can := d.can(hypervisor.CanHotPlug)
	return can, can
}

func conflict(g *guest, attempt string) error {
	return fmt.Errorf("%s guest %s: it is %s: %w", attempt, g.id, g.state, nephos.ErrConflict)
}

// Reboot implements hypervisor.Rebooter.
func (d *Driver) Reboot(ctx context.Context, id string, hard bool) error {
	return d.with(ctx, "Reboot", id, func(g *guest, now time.Time) error {
		if !hard && g.state != hypervisor.Running {
			return conflict(g, "reboot")
		}
		if g.left() || g.state == hypervisor.Incoming {
			return d.power(g, now) // which says why not
		}
		g.console.cut(now)
		g.state, g.suspended = hypervisor.Stopped, false
		return d.power(g, now)
	})
}

// Pause implements hypervisor.Pauser.
func (d *Driver) Pause(ctx context.Context, id string) error {
	return d.flip(ctx, "Pause", id, hypervisor.Running, hypervisor.Paused)
}

// Unpause implements hypervisor.Pauser.
func (d *Driver) Unpause(ctx context.Context, id string) error {
	return d.flip(ctx, "Unpause", id, hypervisor.Paused, hypervisor.Running)
}

func (d *Driver) flip(ctx context.Context, method, id string, from, to hypervisor.State) error {
	return d.with(ctx, method, id, func(g *guest, now time.Time) error {
		switch g.state {
		case to:
			return nil
		case from:
			g.state = to
			d.state.tell(hypervisor.Event{ID: id, State: to, At: now})
			return nil
		}
		return conflict(g, method)
	})
}

// Suspend implements hypervisor.Suspender.
func (d *Driver) Suspend(ctx context.Context, id string) error {
	return d.with(ctx, "Suspend", id, func(g *guest, now time.Time) error {
		switch {
		case g.suspended:
			return nil
		case !g.on():
			return conflict(g, "suspend")
		}
		d.state.off(g, hypervisor.Stopped, false, now)
		g.suspended = true
		return nil
	})
}

// Resume implements hypervisor.Suspender.
func (d *Driver) Resume(ctx context.Context, id string) error {
	return d.with(ctx, "Resume", id, func(g *guest, now time.Time) error {
		if !g.suspended && !g.on() {
			return conflict(g, "resume")
		}
		return d.power(g, now)
	})
}

// ConsoleLog implements hypervisor.ConsoleLogger.
func (d *Driver) ConsoleLog(ctx context.Context, id string, max int64) (log []byte, err error) {
	err = d.with(ctx, "ConsoleLog", id, func(g *guest, now time.Time) error {
		g.console.reach(now)
		log = g.console.log
		if max >= 0 && int64(len(log)) > max {
			log = log[int64(len(log))-max:]
		}
		log = slices.Clone(log)
		return nil
	})
	return log, err
}

// Console implements hypervisor.Consoler.
func (d *Driver) Console(ctx context.Context, id string, kind hypervisor.ConsoleKind) (rwc io.ReadWriteCloser, err error) {
	if kind != hypervisor.VNC && kind != hypervisor.Serial && kind != hypervisor.SPICE {
		return nil, fmt.Errorf("open a console of guest %s: kind %.20q: %w", id, kind, errUnsupported)
	}
	err = d.with(ctx, "Console", id, func(g *guest, _ time.Time) error {
		if !g.on() {
			return conflict(g, "open a console of")
		}
		var st *stream
		st = newStream(d, kind, g.spec.Name+" login: ", func() {
			d.state.mu.Lock()
			defer d.state.mu.Unlock()
			delete(g.streams, st)
		})
		g.streams[st] = struct{}{}
		rwc = st
		return nil
	})
	return rwc, err
}

// Diagnostics implements hypervisor.Diagnoser, with the names of the Compute
// API from microversion 2.48.
func (d *Driver) Diagnostics(ctx context.Context, id string) (values map[string]any, err error) {
	err = d.with(ctx, "Diagnostics", id, func(g *guest, now time.Time) error {
		if !g.on() {
			return conflict(g, "diagnose")
		}
		values = map[string]any{
			"state":          string(g.state),
			"driver":         "fake",
			"hypervisor":     "fake",
			"hypervisor_os":  "linux",
			"uptime":         int64(now.Sub(g.started) / time.Second),
			"config_drive":   findDisk(g.spec.Disks, "config") != nil,
			"num_cpus":       g.vcpus,
			"num_disks":      len(g.disks()),
			"num_nics":       len(g.spec.NICs),
			"memory_details": map[string]any{"maximum": g.memory, "used": g.memory},
		}
		return nil
	})
	return values, err
}
