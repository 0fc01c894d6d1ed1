package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/internal/qmp"
)

// vm is a guest's process and the connection to it.
type vm struct {
	d    *Driver
	g    *guest
	p    *process
	gone chan struct{} // closed when the process has ended and that is written down
	off  chan struct{} // closed when the guest has powered itself off

	// Guarded by Driver.mu.
	monitor *qmp.Client // nil while there is none
	status  string      // as query-status calls it; empty is unknown
	asked   bool        // we want it to end
	down    bool        // it was shut down in order, by the guest or a signal
	byGuest bool
	deleted map[string]chan struct{} // devices somebody waits to see unplugged
	jobs    map[string]chan jobEnd
	moved   chan string // hears how a move of the memory ended; nil while there is none
}

type jobEnd struct {
	Device string
	Error  string
	Type   string
}

// state maps QEMU's state. The caller holds Driver.mu.
func (v *vm) state() hypervisor.State {
	switch v.status {
	case "paused", "io-error", "watchdog", "save-vm", "debug":
		return hypervisor.Paused
	case "prelaunch", "shutdown", "inmigrate", "postmigrate", "finish-migrate":
		return hypervisor.Stopped
	case "internal-error", "guest-panicked":
		return hypervisor.Crashed
	}
	return hypervisor.Running // also while it cannot be asked: the process is there
}

func (d *Driver) newVM(g *guest, p *process) *vm {
	return &vm{
		d: d, g: g, p: p, gone: make(chan struct{}), off: make(chan struct{}),
		deleted: make(map[string]chan struct{}), jobs: make(map[string]chan jobEnd),
	}
}

// adopt makes a process the guest's, connects to it and watches it. One that is
// being started and ends before it has answered is no crash of the guest.
func (d *Driver) adopt(ctx context.Context, g *guest, p *process, starting bool) *vm {
	v := d.newVM(g, p)
	v.asked = starting
	d.mu.Lock()
	g.vm = v
	d.mu.Unlock()
	if err := v.connect(ctx); err != nil {
		d.log.Warn("guest's QEMU does not answer", "guest", g.id, "error", err)
	} else {
		v.ask(false)
	}
	d.tasks.Go(v.watch)
	return v
}

// connect dials the monitor and asks for the state.
func (v *vm) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := qmp.Dial(ctx, v.g.dir, "vm.qmp")
	if err != nil {
		return err
	}
	c, err := qmp.New(ctx, conn, v.event)
	if err != nil {
		return err
	}
	v.d.mu.Lock()
	v.monitor = c
	v.d.mu.Unlock()
	if err := v.refresh(ctx); err != nil {
		return errors.Join(err, c.Close())
	}
	return nil
}

// refresh asks for the state.
func (v *vm) refresh(ctx context.Context) error {
	var answer struct{ Status string }
	if err := v.execute(ctx, "query-status", nil, &answer); err != nil {
		return err
	}
	v.d.mu.Lock()
	defer v.d.mu.Unlock()
	v.become(answer.Status, v.d.clock.Now())
	if answer.Status == "shutdown" && !v.down { // it happened while nobody looked
		v.down, v.byGuest = true, true
		close(v.off)
	}
	return nil
}

// become notes a state of QEMU's and tells whoever listens. The caller holds
// Driver.mu.
func (v *vm) become(status string, at time.Time) {
	known, before := v.status != "", v.state()
	v.status = status
	after := v.state()
	if after == before && known || after == hypervisor.Stopped {
		return // the end is told when the process has gone
	}
	v.d.events.Tell(hypervisor.Event{ID: v.g.id, State: after, At: at, Guest: after == hypervisor.Crashed})
}

// event hears what QEMU says by itself.
func (v *vm) event(e qmp.Event) {
	var data struct {
		Guest  bool   `json:"guest"`
		Device string `json:"device"`
		Error  string `json:"error"`
		Status string `json:"status"`
	}
	_ = json.Unmarshal(e.Data, &data)
	v.d.mu.Lock()
	defer v.d.mu.Unlock()
	now := v.d.clock.Now()
	switch e.Name {
	case "RESUME":
		v.become("running", now)
	case "STOP":
		if !v.down {
			v.become("paused", now)
		}
	case "GUEST_PANICKED":
		v.become("guest-panicked", now)
	case "SHUTDOWN":
		if !v.down {
			v.down, v.byGuest = true, data.Guest
			close(v.off)
		}
		v.become("shutdown", now)
	case "MIGRATION":
		if end := data.Status; v.moved != nil && (end == "completed" || end == "failed" || end == "cancelled") {
			v.moved <- end
			v.moved = nil
		}
	case "DEVICE_DELETED":
		if ch := v.deleted[data.Device]; ch != nil {
			delete(v.deleted, data.Device)
			close(ch)
		}
	case "BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED":
		if ch := v.jobs[data.Device]; ch != nil {
			delete(v.jobs, data.Device)
			ch <- jobEnd{Device: data.Device, Error: data.Error, Type: e.Name}
		}
	}
}

// client returns the connection, or ErrUnavailable.
func (v *vm) client() (*qmp.Client, error) {
	v.d.mu.Lock()
	defer v.d.mu.Unlock()
	if v.monitor == nil {
		return nil, fmt.Errorf("its QEMU does not answer: %w", nephos.ErrUnavailable)
	}
	return v.monitor, nil
}

// execute runs a command.
func (v *vm) execute(ctx context.Context, command string, args, result any) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	err = c.Execute(ctx, command, args, result)
	if errors.Is(err, qmp.ErrClosed) {
		return fmt.Errorf("%w: %w", nephos.ErrUnavailable, err)
	}
	return err
}

// watch follows the process to its end, and dials again when only the
// connection ended.
func (v *vm) watch() {
	defer v.p.close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan struct{})
	v.d.tasks.Go(func() { // the process's end; cancelled with the watch
		if v.p.wait(ctx) == nil {
			close(ended)
		}
	})
	off := v.off
	for {
		c, _ := v.client()
		var lost <-chan struct{}
		var retry <-chan time.Time
		if c != nil {
			lost = c.Done()
		} else {
			retry = v.d.clock.After(time.Second)
		}
		select {
		case <-v.d.stop:
			if c != nil {
				_ = c.Close()
			}
			v.failJobs("the driver was closed")
			return
		case <-ended:
			if c != nil {
				_ = c.Close()
			}
			v.end()
			return
		case <-off:
			off = nil
			v.quit(ctx)
		case <-lost:
			v.d.mu.Lock()
			v.monitor = nil
			v.d.mu.Unlock()
			v.failJobs("the connection to QEMU was lost")
		case <-retry:
			_ = v.connect(ctx)
		}
	}
}

// quit ends a QEMU whose guest is off; it has nothing left to lose.
func (v *vm) quit(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if v.execute(ctx, "quit", nil, nil) == nil && v.p.wait(ctx) == nil {
		return
	}
	if err := v.p.kill(); err != nil {
		v.d.log.Error("cannot end a guest's QEMU", "guest", v.g.id, "error", err)
	}
}

// end writes down that the process has gone.
func (v *vm) end() {
	d, g := v.d, v.g
	d.mu.Lock()
	how := hypervisor.Crashed
	if v.asked || v.down {
		how = hypervisor.Stopped
	}
	byGuest := !v.asked && (v.byGuest || how == hypervisor.Crashed)
	d.mu.Unlock()
	if err := d.recordEnd(g, how); err != nil {
		d.log.Error("cannot write down a guest's end", "guest", g.id, "error", err)
	}
	d.mu.Lock()
	g.vm = nil
	v.monitor = nil
	d.events.Tell(hypervisor.Event{ID: g.id, State: how, At: d.clock.Now(), Guest: byGuest})
	d.mu.Unlock()
	close(v.gone)
	v.failJobs("the guest stopped")
}

// failJobs ends the jobs of a process that is out of reach.
func (v *vm) failJobs(why string) {
	v.d.mu.Lock()
	defer v.d.mu.Unlock()
	for id, ch := range v.jobs {
		delete(v.jobs, id)
		ch <- jobEnd{Device: id, Error: why}
	}
}
