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

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
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
		Disks: make([]string, 0, len(s.Disks)), NICs: make([]string, 0, len(s.NICs)),
	}
	for _, disk := range s.Disks {
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
			errs[i] = d.findGuest(ctx, name)
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
	free, err := takeLock(filepath.Join(g.dir, "lock"))
	switch {
	case err == nil:
		_ = free.Close()
		if ran && g.run.Ended == "" {
			end := hypervisor.Crashed
			if g.run.BootID != bootID() {
				end = hypervisor.Stopped // the host went down, and the guest with it
			}
			return d.recordEnd(g, end)
		}
		return nil
	case !errors.Is(err, nephos.ErrConflict):
		return err
	}
	p, err := openProcess(g.run.PID, g.run.Ticks, d.nameOf(id))
	if err != nil || g.run.Ended != "" {
		if p, err = scanProcess(d.nameOf(id)); err != nil {
			return fmt.Errorf("guest %s: something holds its lock: %w", id, err)
		}
		// Its driver died before it could write down what it had started.
		g.run = runRecord{PID: p.pid, Ticks: p.ticks, BootID: bootID(), Started: d.clock.Now()}
		if err := writeJSON(filepath.Join(g.dir, "run.json"), g.run); err != nil {
			p.close()
			return err
		}
	}
	d.adopt(ctx, g, p)
	return nil
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
