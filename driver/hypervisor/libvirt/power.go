//go:build libvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	virt "libvirt.org/go/libvirt"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
	"github.com/nephos-cloud/nephos/driver/internal/qemuimg"
)

// Start implements hypervisor.Driver.
func (d *Driver) Start(ctx context.Context, id string) error {
	return d.change(ctx, "start", id, (*work).start)
}

func (w *work) start() error {
	s, state, err := w.now()
	if err != nil {
		return err
	}
	if s == virt.DOMAIN_SHUTDOWN { // it has powered itself off and is going
		if err := w.await(isState(hypervisor.Stopped, hypervisor.Crashed)); err != nil {
			return err
		}
		s = virt.DOMAIN_SHUTOFF
	}
	if s == virt.DOMAIN_CRASHED || s == virt.DOMAIN_PAUSED && state != hypervisor.Paused {
		if err := w.cut(); err != nil {
			return err
		}
		s = virt.DOMAIN_SHUTOFF
	}
	switch s {
	case virt.DOMAIN_RUNNING, virt.DOMAIN_BLOCKED:
		return nil
	case virt.DOMAIN_PAUSED:
		return w.goOn()
	case virt.DOMAIN_PMSUSPENDED:
		if err := w.dom.PMWakeup(0); err != nil {
			return err
		}
		return w.await(isState(hypervisor.Running))
	}
	return w.powerOn()
}

// powerOn starts a domain that is off, with the memory of one that was
// suspended.
func (w *work) powerOn() error {
	if w.rec.Left != nil {
		return fmt.Errorf("it has moved to another host, %s: %w", w.rec.Left.Target, nephos.ErrConflict)
	}
	if w.rec.Incoming {
		return fmt.Errorf("it waits for its memory from another host: %w", nephos.ErrConflict)
	}
	small, err := w.growOff()
	if err != nil {
		return err
	}
	if err := w.writeRun(domain.Run{Started: w.d.clock.Now()}); err != nil {
		return err
	}
	var flags virt.DomainCreateFlags
	if small {
		flags = virt.DOMAIN_START_PAUSED
	}
	if w.p.Container() { // libvirt's hands run for the same loop devices
		w.d.mounting.Lock()
		defer w.d.mounting.Unlock()
	}
	err = w.dom.CreateWithFlags(flags)
	if is(err, virt.ERR_OPERATION_INVALID) { // somebody else did
		if s, _, stateErr := w.now(); stateErr == nil && s == virt.DOMAIN_RUNNING {
			return nil
		}
	}
	if err != nil {
		var e virt.Error
		if errors.As(err, &e) && strings.Contains(e.Message, "Invalid password") {
			return fmt.Errorf("a disk's passphrase is wrong: %w: %w", nephos.ErrInvalid, err)
		}
		return err
	}
	if small {
		if err := w.grow(w.rec.Active().Disks); err != nil {
			return errors.Join(err, w.cut())
		}
		return w.goOn()
	}
	s, _, err := w.now()
	if err != nil {
		return err
	}
	if s == virt.DOMAIN_PAUSED { // it was suspended while it was paused
		return w.goOn()
	}
	return w.await(isState(hypervisor.Running))
}

// growOff grows the disks of a guest that is off. Where QEMU can do it while its
// processors wait, it is left to it, and small is true: no tool of ours opens
// what a guest wrote.
func (w *work) growOff() (small bool, err error) {
	for _, disk := range w.rec.Active().Disks {
		if !domain.OwnFile(disk) || disk.SizeBytes == 0 {
			continue
		}
		path := w.p.DiskPath(w.dir, disk.ID)
		size, err := qemuimg.VirtualSize(path, w.p.DiskFormat())
		if err != nil {
			return false, fmt.Errorf("disk %s: %w", disk.ID, err)
		}
		if size >= disk.SizeBytes {
			continue
		}
		if w.p.Driver == "QEMU" {
			small = true
			continue
		}
		if err := (qemuimg.Tool{Path: w.d.cfg.Img}).Grow(w.ctx, path, w.p.DiskFormat(), disk.SizeBytes); err != nil {
			return false, fmt.Errorf("grow disk %s: %w", disk.ID, err)
		}
	}
	return small, nil
}

// goOn lets the processors run.
func (w *work) goOn() error {
	if err := w.dom.Resume(); err != nil {
		return err
	}
	return w.await(isState(hypervisor.Running))
}

// ask notes whether we want the guest to end, so that its end is told right.
func (w *work) ask(want bool) {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	w.g.asked = want
}

// cut cuts the power, if it is on.
func (w *work) cut() error {
	s, _, err := w.now()
	if err != nil || s == virt.DOMAIN_SHUTOFF {
		return err
	}
	w.ask(true)
	// libvirt asks QEMU to end, and kills it when it does not.
	if err := w.dom.Destroy(); err != nil && !is(err, virt.ERR_OPERATION_INVALID) {
		w.ask(false)
		return err
	}
	return w.await(isState(hypervisor.Stopped, hypervisor.Crashed))
}

// Stop implements hypervisor.Driver.
func (d *Driver) Stop(ctx context.Context, id string, opts hypervisor.StopOptions) error {
	return d.change(ctx, "stop", id, func(w *work) error { return w.off(opts.Grace) })
}

// off asks the guest, waits for the grace, then cuts the power.
func (w *work) off(grace time.Duration) error {
	s, state, err := w.now()
	if err != nil {
		return err
	}
	if s == virt.DOMAIN_SHUTOFF {
		if err := w.dropMemory(); err != nil {
			return err
		}
		if state == hypervisor.Crashed { // it is off because we want it off from now on
			if err := w.writeRun(domain.Run{Started: w.run.Started, Ended: hypervisor.Stopped}); err != nil {
				return err
			}
			w.d.become(w.g, hypervisor.Stopped, false)
		}
		return nil
	}
	if grace <= 0 || s != virt.DOMAIN_RUNNING && s != virt.DOMAIN_BLOCKED && s != virt.DOMAIN_SHUTDOWN {
		return w.cut()
	}
	w.ask(true)
	over := w.d.clock.After(grace)
	for {
		w.d.mu.Lock()
		changed := w.g.changed
		off := w.g.state == hypervisor.Stopped || w.g.state == hypervisor.Crashed
		w.d.mu.Unlock()
		if off {
			return nil
		}
		if err := w.dom.Shutdown(); err != nil && !is(err, virt.ERR_OPERATION_INVALID) {
			return w.cut()
		}
		select {
		case <-changed:
		case <-w.d.clock.After(askAgain):
			if s, _, err := w.now(); err == nil && s == virt.DOMAIN_SHUTOFF {
				w.d.become(w.g, hypervisor.Stopped, false)
				return nil
			}
		case <-over:
			return w.cut()
		case <-w.l.lost:
			return fmt.Errorf("the connection to libvirt was lost: %w", nephos.ErrUnavailable)
		case <-w.ctx.Done():
			w.ask(false)
			return w.ctx.Err()
		}
	}
}

// Reboot implements hypervisor.Rebooter. A soft reboot asks the guest to power
// off, for Config.SoftReboot at most, and starts it again, so that changed
// processors and memory take effect; a hard one presses the reset button, or
// powers a guest on that is off.
func (d *Driver) Reboot(ctx context.Context, id string, hard bool) error {
	return d.change(ctx, "reboot", id, func(w *work) error {
		s, state, err := w.now()
		if err != nil {
			return err
		}
		switch {
		case !hard && state != hypervisor.Running:
			return fmt.Errorf("it is %s: %w", state, nephos.ErrConflict)
		case !hard:
			if err := w.off(d.cfg.SoftReboot); err != nil {
				return err
			}
		case s == virt.DOMAIN_RUNNING || s == virt.DOMAIN_BLOCKED || s == virt.DOMAIN_PAUSED && state == hypervisor.Paused:
			err := w.dom.Reset(0)
			if is(err, virt.ERR_NO_SUPPORT) { // no button: take the power away
				if err = w.cut(); err == nil {
					return w.powerOn()
				}
			}
			if err != nil || s != virt.DOMAIN_PAUSED {
				return err
			}
			return w.goOn()
		default:
			if err := w.dropMemory(); err != nil {
				return err
			}
		}
		return w.start()
	})
}

// Pause implements hypervisor.Pauser.
func (d *Driver) Pause(ctx context.Context, id string) error {
	return d.flip(ctx, "pause", id, hypervisor.Paused, (*virt.Domain).Suspend)
}

// Unpause implements hypervisor.Pauser.
func (d *Driver) Unpause(ctx context.Context, id string) error {
	return d.flip(ctx, "unpause", id, hypervisor.Running, (*virt.Domain).Resume)
}

func (d *Driver) flip(ctx context.Context, attempt, id string, to hypervisor.State, act func(*virt.Domain) error) error {
	return d.change(ctx, attempt, id, func(w *work) error {
		_, state, err := w.now()
		if err != nil {
			return err
		}
		if state != hypervisor.Running && state != hypervisor.Paused {
			return fmt.Errorf("it is %s: %w", state, nephos.ErrConflict)
		}
		if state == to {
			return nil
		}
		if err := act(w.dom); err != nil {
			return err
		}
		return w.await(isState(to))
	})
}

// suspended reports whether the guest's memory lies on disk.
func (w *work) suspended() (bool, error) {
	saved, err := w.dom.HasManagedSaveImage(0)
	if is(err, virt.ERR_NO_SUPPORT) {
		return false, nil
	}
	return saved, err
}

// dropMemory forgets what was suspended.
func (w *work) dropMemory() error {
	saved, err := w.suspended()
	if err != nil || !saved {
		return err
	}
	return w.dom.ManagedSaveRemove(0)
}

// Suspend implements hypervisor.Suspender: libvirt keeps the memory, and every
// start reads it back.
func (d *Driver) Suspend(ctx context.Context, id string) error {
	return d.change(ctx, "suspend", id, func(w *work) error {
		_, state, err := w.now()
		if err != nil {
			return err
		}
		if state != hypervisor.Running && state != hypervisor.Paused {
			if saved, err := w.suspended(); err != nil || saved {
				return err
			}
			return fmt.Errorf("it is %s: %w", state, nephos.ErrConflict)
		}
		w.ask(true)
		if err := w.dom.ManagedSave(virt.DOMAIN_SAVE_RUNNING); err != nil {
			w.ask(false)
			return err
		}
		return w.await(isState(hypervisor.Stopped))
	})
}

// Resume implements hypervisor.Suspender. Start resumes too.
func (d *Driver) Resume(ctx context.Context, id string) error {
	return d.change(ctx, "resume", id, func(w *work) error {
		_, state, err := w.now()
		if err != nil {
			return err
		}
		if state != hypervisor.Running && state != hypervisor.Paused {
			saved, err := w.suspended()
			if err != nil {
				return err
			}
			if !saved {
				return fmt.Errorf("it is not suspended: %w", nephos.ErrConflict)
			}
		}
		return w.start()
	})
}
