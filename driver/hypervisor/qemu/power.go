package qemu

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// askAgain is how long to wait for a guest before asking it again to power
// off: one that still boots overhears the first time.
const askAgain = 5 * time.Second

// Start implements hypervisor.Driver.
func (d *Driver) Start(ctx context.Context, id string) error {
	return d.change(ctx, "start", id, func(g *guest) error { return d.start(ctx, g) })
}

func (d *Driver) start(ctx context.Context, g *guest) error {
	if err := d.stays(ctx, g); err != nil {
		return err
	}
	v, status := d.now(g)
	switch {
	case v == nil:
	case status == "shutdown":
		if err := v.awaitGone(ctx); err != nil {
			return err
		}
		v = nil
	case status == "inmigrate" || status == "internal-error" || status == "guest-panicked":
		if err := v.cut(ctx); err != nil {
			return err
		}
		v = nil
	}
	var err error
	if v == nil {
		if g.suspended() {
			v, err = d.restore(ctx, g)
		} else {
			v, err = d.launch(ctx, g, false)
		}
		if err != nil {
			return err
		}
		status = "prelaunch"
	}
	if status == "running" {
		return nil
	}
	if status == "prelaunch" {
		d.mu.Lock()
		rec := g.rec.running()
		d.mu.Unlock()
		if err := v.grow(ctx, rec.Spec.Disks); err != nil {
			return err
		}
		if err := v.throttleAll(ctx, record{}, rec); err != nil {
			return err
		}
	}
	return v.goOn(ctx)
}

// now returns the guest's process and QEMU's state.
func (d *Driver) now(g *guest) (*vm, string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g.vm == nil {
		return nil, ""
	}
	return g.vm, g.vm.status
}

// goOn lets the processors run. From then on a memory that was written is of
// the past.
func (v *vm) goOn(ctx context.Context) error {
	if err := v.g.dropMemory(); err != nil {
		return err
	}
	if err := v.pin(ctx); err != nil { // a driver may have died before it did
		return err
	}
	if err := v.execute(ctx, "cont", nil, nil); err != nil {
		return err
	}
	return v.refresh(ctx)
}

func (v *vm) awaitGone(ctx context.Context) error {
	select {
	case <-v.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask notes whether we want the process to end, so that its end is told right.
func (v *vm) ask(want bool) {
	v.d.mu.Lock()
	defer v.d.mu.Unlock()
	v.asked = want
}

// cut cuts the power: QEMU is told to quit, so that it can finish writing, and
// killed when it does not.
func (v *vm) cut(ctx context.Context) error {
	v.ask(true)
	if c, err := v.client(); err == nil {
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if c.Execute(short, "quit", nil, nil) == nil && v.awaitGone(short) == nil {
			return nil
		}
	}
	if err := v.p.kill(); err != nil {
		select {
		case <-v.gone:
			return nil
		default:
			return fmt.Errorf("kill process %d: %w", v.p.pid, err)
		}
	}
	return v.awaitGone(ctx)
}

// Stop implements hypervisor.Driver.
func (d *Driver) Stop(ctx context.Context, id string, opts hypervisor.StopOptions) error {
	return d.change(ctx, "stop", id, func(g *guest) error { return d.off(ctx, g, opts.Grace) })
}

// off asks the guest, waits for the grace, then cuts the power.
func (d *Driver) off(ctx context.Context, g *guest, grace time.Duration) error {
	v, status := d.now(g)
	if err := g.dropMemory(); err != nil {
		return err
	}
	if v == nil {
		d.mu.Lock()
		crashed := g.run.Ended == hypervisor.Crashed
		d.mu.Unlock()
		if crashed { // it is off because we want it off from now on
			return d.recordEnd(g, hypervisor.Stopped)
		}
		return nil
	}
	if grace <= 0 || status != "running" {
		return v.cut(ctx)
	}
	v.ask(true)
	over := d.clock.After(grace)
	for {
		if err := v.execute(ctx, "system_powerdown", nil, nil); err != nil {
			break
		}
		select {
		case <-v.gone:
			return nil
		case <-over:
			return v.cut(ctx)
		case <-d.clock.After(askAgain):
		case <-ctx.Done():
			v.ask(false)
			return ctx.Err()
		}
	}
	if err := ctx.Err(); err != nil {
		v.ask(false)
		return err
	}
	return v.cut(ctx)
}

// Reboot implements hypervisor.Rebooter. A soft reboot asks the guest to power
// off, for Config.SoftReboot at most, and starts it again, so that changed
// processors and memory take effect; a hard one presses the reset button, or
// powers a guest on that is off.
func (d *Driver) Reboot(ctx context.Context, id string, hard bool) error {
	return d.change(ctx, "reboot", id, func(g *guest) error {
		v, status := d.now(g)
		switch {
		case !hard && status != "running":
			return fmt.Errorf("it is not running: %w", nephos.ErrConflict)
		case !hard:
			if err := d.off(ctx, g, d.cfg.SoftReboot); err != nil {
				return err
			}
		case status == "running" || status == "paused":
			if err := v.execute(ctx, "system_reset", nil, nil); err != nil {
				return err
			}
			return v.goOn(ctx)
		default:
			if err := g.dropMemory(); err != nil {
				return err
			}
		}
		return d.start(ctx, g)
	})
}

// Pause implements hypervisor.Pauser.
func (d *Driver) Pause(ctx context.Context, id string) error {
	return d.flip(ctx, "pause", id, "stop", hypervisor.Paused)
}

// Unpause implements hypervisor.Pauser.
func (d *Driver) Unpause(ctx context.Context, id string) error {
	return d.flip(ctx, "unpause", id, "cont", hypervisor.Running)
}

func (d *Driver) flip(ctx context.Context, attempt, id, command string, to hypervisor.State) error {
	return d.change(ctx, attempt, id, func(g *guest) error {
		d.mu.Lock()
		v, state := g.vm, g.state()
		d.mu.Unlock()
		if v == nil || state != hypervisor.Running && state != hypervisor.Paused {
			return fmt.Errorf("it is %s: %w", state, nephos.ErrConflict)
		}
		if state == to {
			return nil
		}
		return errors.Join(v.execute(ctx, command, nil, nil), v.refresh(ctx))
	})
}
