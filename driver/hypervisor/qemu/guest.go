package qemu

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/internal/filelock"
)

// guest is a guest's directory and, while it is on, its process.
type guest struct {
	id, dir string
	turn    chan struct{} // holds one token while nobody changes the guest

	// Guarded by Driver.mu; rec's contents are replaced, never written to.
	rec  record
	run  runRecord
	vm   *vm
	gone bool // destroyed
}

func (d *Driver) guestDir(id string) string { return filepath.Join(d.cfg.Dir, "guests", id) }

func newGuest(id, dir string) *guest {
	g := &guest{id: id, dir: dir, turn: make(chan struct{}, 1)}
	g.turn <- struct{}{}
	return g
}

// lookup returns a guest that has a spec.
func (d *Driver) lookup(id string) (*guest, error) {
	if err := hypervisor.CheckID(id); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, fmt.Errorf("the driver is closed: %w", nephos.ErrUnavailable)
	}
	if g := d.guests[id]; g != nil && g.rec.ID != "" {
		return g, nil
	}
	return nil, fmt.Errorf("the guest is not here: %w", nephos.ErrNotFound)
}

// change runs f on a guest while nobody else changes it.
func (d *Driver) change(ctx context.Context, attempt, id string, f func(*guest) error) error {
	err := ctx.Err()
	if err == nil {
		var g *guest
		if g, err = d.lookup(id); err == nil {
			err = d.alone(ctx, g, f)
		}
	}
	if err != nil {
		return fmt.Errorf("%s guest %s: %w", attempt, id, err)
	}
	return nil
}

func (d *Driver) alone(ctx context.Context, g *guest, f func(*guest) error) error {
	select {
	case <-g.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { g.turn <- struct{}{} }()
	d.mu.Lock()
	gone := g.gone
	d.mu.Unlock()
	if gone {
		return fmt.Errorf("it was destroyed meanwhile: %w", nephos.ErrNotFound)
	}
	return f(g)
}

// state tells what a guest is doing. The caller holds Driver.mu.
func (g *guest) state() hypervisor.State {
	if m := g.rec.Move; m != nil && m.Incoming && (g.vm == nil || g.vm.status == "inmigrate" || g.vm.status == "") {
		return hypervisor.Incoming
	}
	if g.vm != nil {
		return g.vm.state()
	}
	if g.run.Ended == hypervisor.Crashed {
		return hypervisor.Crashed
	}
	return hypervisor.Stopped
}

// view is the guest as List tells it. The caller holds Driver.mu.
func (g *guest) view() hypervisor.Guest {
	s := g.rec.Spec
	v := hypervisor.Guest{
		ID: g.id, CloudID: s.CloudID, Name: s.Name, Revision: s.Revision,
		State: g.state(), Labels: maps.Clone(s.Labels),
		Disks: make([]string, 0, len(s.Disks)+1), NICs: make([]string, 0, len(s.NICs)),
	}
	for _, disk := range g.rec.disks() {
		v.Disks = append(v.Disks, disk.ID)
	}
	for _, nic := range s.NICs {
		v.NICs = append(v.NICs, nic.ID)
	}
	if v.State == hypervisor.Running || v.State == hypervisor.Paused {
		v.Started = g.run.Started
	}
	return v
}

// save writes the guest's record and makes it the one that counts.
func (d *Driver) save(g *guest, rec record) error {
	if err := writeJSON(filepath.Join(g.dir, "spec.json"), rec); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	g.rec = rec
	return nil
}

// findGuests reads the directory and finds the processes that run.
func (d *Driver) findGuests(ctx context.Context) error {
	entries, err := os.ReadDir(filepath.Join(d.cfg.Dir, "guests"))
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	room := make(chan struct{}, 16)
	errs := make([]error, len(entries))
	for i, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, trash) {
			errs[i] = os.RemoveAll(filepath.Join(d.cfg.Dir, "guests", name))
			continue
		}
		if hypervisor.CheckID(name) != nil || !e.IsDir() {
			continue
		}
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			if err := d.findGuest(ctx, name); err != nil {
				// One guest's trouble does not keep the others from being served.
				d.log.Error("cannot take over a guest", "guest", name, "error", err)
				errs[i] = ctx.Err()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (d *Driver) findGuest(ctx context.Context, id string) error {
	g := newGuest(id, d.guestDir(id))
	ok, err := readJSON(filepath.Join(g.dir, "spec.json"), &g.rec)
	if err != nil || !ok {
		return err // without a spec it was never finished, and Ensure will go on
	}
	ran, err := readJSON(filepath.Join(g.dir, "run.json"), &g.run)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.guests[id] = g
	d.mu.Unlock()
	if err := d.endCopies(g); err != nil {
		return err
	}
	p, err := d.findProcess(ctx, g)
	if err != nil {
		return err
	}
	if p == nil {
		if ran && g.run.Ended == "" {
			end := hypervisor.Crashed
			if g.run.BootID != bootID() {
				end = hypervisor.Stopped // the host went down, and the guest with it
			}
			return d.recordEnd(g, end)
		}
		return nil
	}
	if g.run.PID != p.pid || g.run.Ticks != p.ticks || g.run.Ended != "" {
		// Its driver died before it could write down what it had started.
		g.run = runRecord{
			PID: p.pid, Ticks: p.ticks, BootID: bootID(), Started: d.clock.Now(),
			shape: shapeOf(g.rec.Spec),
		}
		if err := writeJSON(filepath.Join(g.dir, "run.json"), g.run); err != nil {
			p.close()
			return err
		}
	}
	d.adopt(ctx, g, p, false)
	return nil
}

// findProcess returns the process that holds the guest's lock, or nil when
// nobody does. One that is being started may not have its name yet.
func (d *Driver) findProcess(ctx context.Context, g *guest) (*process, error) {
	for try := 0; ; try++ {
		free, err := filelock.Take(filepath.Join(g.dir, "lock"))
		if err == nil {
			return nil, free.Close()
		}
		if !errors.Is(err, nephos.ErrConflict) {
			return nil, err
		}
		if g.run.PID > 0 && g.run.Ended == "" {
			if p, err := openProcess(g.run.PID, g.run.Ticks, d.nameOf(g.id)); err == nil {
				return p, nil
			}
		}
		p, err := scanProcess(d.nameOf(g.id))
		if err == nil {
			return p, nil
		}
		if try == 20 {
			return nil, fmt.Errorf("something holds the lock of guest %s: %w", g.id, err)
		}
		select {
		case <-d.clock.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// endCopies ends the process that a driver before this one copied a disk with.
func (d *Driver) endCopies(g *guest) error {
	left, err := filepath.Glob(filepath.Join(g.dir, copyDir))
	if err != nil || len(left) == 0 {
		return err
	}
	if p, err := scanProcess(d.nameOf(copyName(g.id))); err == nil {
		err = p.kill()
		p.close()
		if err != nil {
			return err
		}
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// recordEnd writes down how a guest's process ended.
func (d *Driver) recordEnd(g *guest, end hypervisor.State) error {
	d.mu.Lock()
	g.run.Ended = end
	run := g.run
	d.mu.Unlock()
	return writeJSON(filepath.Join(g.dir, "run.json"), run)
}
