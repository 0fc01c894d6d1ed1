package fake

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

var _ hypervisor.LiveMigrator = (*Driver)(nil)

// Wires connect fake hosts, so that guests can move from one to another: those
// opened with the same Wires and different names.
type Wires struct {
	mu    sync.Mutex
	hosts map[string]*State
}

// NewWires returns wires that no host is on.
func NewWires() *Wires { return &Wires{hosts: make(map[string]*State)} }

func (w *Wires) plug(name string, s *State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[name] = s
}

func (w *Wires) host(name string) *State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hosts[name]
}

// migration is one that a guest is in, or has been in.
type migration struct {
	hypervisor.Migration
	to       string // the destination's address
	began    time.Time
	incoming bool
}

// CheckMigration implements hypervisor.LiveMigrator.
func (d *Driver) CheckMigration(ctx context.Context, id string, dest hypervisor.Host) (check hypervisor.MigrationCheck, err error) {
	err = d.with(ctx, "CheckMigration", id, func(g *guest, _ time.Time) error {
		switch {
		case !g.on():
			return conflict(g, "check the migration of")
		case dest.Type != d.cfg.Host.Type || dest.Arch != d.cfg.Host.Arch:
			return nephos.Errorf(nephos.ErrConflict, "check the migration of guest %s: the destination is a %s for %s", id, dest.Type, dest.Arch)
		}
		if len(g.place.pci) > 0 {
			return nephos.Errorf(nephos.ErrConflict, "check the migration of guest %s: it has devices of this host", id)
		}
		check.MemoryBytes = int64(g.memory) << 20
		for _, disk := range g.spec.Disks {
			if disk.Source.Type == "local" {
				check.CopyDisks = append(check.CopyDisks, disk.ID)
			}
		}
		return nil
	})
	return check, err
}

// PrepareMigration implements hypervisor.LiveMigrator.
func (d *Driver) PrepareMigration(ctx context.Context, id string, spec hypervisor.Spec, opts hypervisor.PrepareOptions) (hypervisor.MigrationTarget, error) {
	none := hypervisor.MigrationTarget{}
	after, err := d.begin(ctx, "PrepareMigration", id)
	if err != nil {
		return none, err
	}
	if err := first(hypervisor.CheckID(id), spec.Validate(), d.cfg.Host.Holds(spec)); err != nil {
		return none, fmt.Errorf("prepare the migration of guest %s: %w", id, err)
	}
	target := hypervisor.MigrationTarget{Type: d.cfg.Host.Type, Address: "fake:" + d.cfg.Name, Disks: make(map[string]string)}
	for _, disk := range opts.CopyDisks {
		if findDisk(spec.Disks, disk) == nil {
			return none, nephos.Errorf(nephos.ErrInvalid, "prepare the migration of guest %s: disk %s is not in its spec", id, disk)
		}
		target.Disks[disk] = target.Address + "/" + disk
	}
	s := d.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.guests[id]; g != nil && g.state != hypervisor.Incoming && !g.left() {
		return none, conflict(g, "prepare the migration of")
	}
	g := &guest{id: id, spec: clone(spec), state: hypervisor.Incoming, streams: make(map[*stream]struct{})}
	g.held.migration = &migration{Migration: hypervisor.Migration{Phase: hypervisor.MigrationPrepared}, incoming: true}
	g.place = place{cloneCells(spec.NUMA), spec.PCI}
	s.guests[id] = g
	return target, after
}

// left tells whether the guest has gone to another host.
func (g *guest) left() bool {
	m := g.held.migration
	return m != nil && !m.incoming && m.Phase == hypervisor.MigrationCompleted
}

// Migrate implements hypervisor.LiveMigrator. The transfer takes
// Config.MigrationTime, and moves on when Migration asks.
func (d *Driver) Migrate(ctx context.Context, id string, target hypervisor.MigrationTarget, _ hypervisor.MigrateOptions) error {
	err := d.with(ctx, "Migrate", id, func(g *guest, now time.Time) error {
		m := g.held.migration
		if m != nil && !m.incoming && (m.Phase == hypervisor.MigrationActive || m.Phase == hypervisor.MigrationCompleted) {
			if m.to != target.Address {
				return nephos.Errorf(nephos.ErrConflict, "migrate guest %s to %s: it is on its way to %s", id, target.Address, m.to)
			}
			return nil
		}
		if !g.on() {
			return conflict(g, "migrate")
		}
		if d.destination(target.Address) == nil {
			return nephos.Errorf(nephos.ErrUnavailable, "migrate guest %s: no host at %s", id, target.Address)
		}
		total := int64(g.memory) << 20
		g.held.migration = &migration{
			to: target.Address, began: now,
			Migration: hypervisor.Migration{Phase: hypervisor.MigrationActive, MemoryTotal: total, MemoryRemaining: total},
		}
		return nil
	})
	if err != nil {
		return err
	}
	d.settle(id)
	return nil
}

func (d *Driver) destination(address string) *State {
	name, ok := strings.CutPrefix(address, "fake:")
	if !ok || d.cfg.Wires == nil || name == d.cfg.Name {
		return nil
	}
	return d.cfg.Wires.host(name)
}

// settle moves a transfer on to where it is by now.
func (d *Driver) settle(id string) {
	s := d.state
	s.mu.Lock()
	g := s.guests[id]
	if g == nil || g.held.migration == nil || g.held.migration.incoming || g.held.migration.Phase != hypervisor.MigrationActive {
		s.mu.Unlock()
		return
	}
	m, now := g.held.migration, d.clock.Now()
	m.Elapsed = now.Sub(m.began)
	if !g.on() {
		m.Phase, m.Error = hypervisor.MigrationFailed, "the guest is "+string(g.state)
		s.mu.Unlock()
		return
	}
	if m.Elapsed < d.cfg.MigrationTime {
		m.MemoryProcessed = m.MemoryTotal * int64(m.Elapsed) / int64(d.cfg.MigrationTime)
		m.MemoryRemaining = m.MemoryTotal - m.MemoryProcessed
		s.mu.Unlock()
		return
	}
	moving := *g // the destination's calls lock their own State, never both
	s.mu.Unlock()
	arrived := false
	if dest := d.destination(m.to); dest != nil {
		arrived = dest.arrive(moving, now)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Phase != hypervisor.MigrationActive {
		return
	}
	if !arrived {
		m.Phase, m.Error = hypervisor.MigrationFailed, "the destination does not wait for the guest"
		return
	}
	m.Phase, m.MemoryProcessed, m.MemoryRemaining = hypervisor.MigrationCompleted, m.MemoryTotal, 0
	m.Downtime = time.Millisecond
	s.off(g, hypervisor.Stopped, false, now)
}

// arrive takes over a guest's memory. It reports whether it was waited for.
func (s *State) arrive(from guest, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.guests[from.id]
	if g == nil || g.state != hypervisor.Incoming {
		return false
	}
	g.state, g.started, g.vcpus, g.memory = from.state, from.started, from.vcpus, from.memory
	g.console.log = append([]byte(nil), from.console.log...)
	g.script = from.script
	g.held = held{sizes: from.held.sizes, content: from.held.content, rescue: from.held.rescue, passwords: from.held.passwords}
	s.tell(hypervisor.Event{ID: g.id, State: g.state, At: now})
	return true
}

// Migration implements hypervisor.LiveMigrator.
func (d *Driver) Migration(ctx context.Context, id string) (m hypervisor.Migration, err error) {
	d.settle(id)
	err = d.with(ctx, "Migration", id, func(g *guest, _ time.Time) error {
		if g.held.migration == nil {
			return nephos.NotFound("Migration", id)
		}
		m = g.held.migration.Migration
		return nil
	})
	return m, err
}

// AbortMigration implements hypervisor.LiveMigrator.
func (d *Driver) AbortMigration(ctx context.Context, id string) error {
	after, err := d.begin(ctx, "AbortMigration", id)
	if err != nil {
		return err
	}
	d.settle(id)
	s := d.state
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.guests[id]
	if g == nil || g.held.migration == nil {
		return after
	}
	switch m := g.held.migration; {
	case m.incoming && g.state == hypervisor.Incoming:
		delete(s.guests, id)
	case m.Phase == hypervisor.MigrationActive:
		m.Phase = hypervisor.MigrationAborted
	case m.Phase == hypervisor.MigrationCompleted:
		return nephos.Errorf(nephos.ErrConflict, "abort the migration of guest %s: it has completed", id)
	}
	return after
}
