package fake

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// State is the memory of a fake hypervisor: its guests, which survive the
// drivers that were opened over it. It is safe for concurrent use.
type State struct {
	mu     sync.Mutex
	guests map[string]*guest
	boots  int
	clock  nephos.Clock // of the driver opened last
	subs   map[*subscriber]struct{}

	images  map[string]hypervisor.CachedImage // by digest
	imports map[string]map[string]content     // of guests that are not there yet
}

// NewState returns the memory of a host without guests.
func NewState() *State {
	return &State{guests: make(map[string]*guest), subs: make(map[*subscriber]struct{}), boots: 1, clock: nephos.WallClock{}}
}

// guest is one guest; the mutex of its State guards it.
type guest struct {
	id        string
	spec      hypervisor.Spec
	state     hypervisor.State
	suspended bool
	started   time.Time
	vcpus     int // at power-on, as memory is: changes wait for the next
	memory    int
	console   console
	script    []act // what it does by itself, in the order of time
	streams   map[*stream]struct{}
	held      held
	place     place // at power-on
}

func (g *guest) on() bool { return g.state == hypervisor.Running || g.state == hypervisor.Paused }

func (g *guest) view() hypervisor.Guest {
	v := hypervisor.Guest{
		ID: g.id, CloudID: g.spec.CloudID, Name: g.spec.Name, Revision: g.spec.Revision,
		State: g.state, Labels: maps.Clone(g.spec.Labels),
		Disks: ids(g.disks()), NICs: make([]string, 0, len(g.spec.NICs)),
	}
	if g.on() {
		v.Started = g.started
	}
	for _, n := range g.spec.NICs {
		v.NICs = append(v.NICs, n.ID)
	}
	return v
}

// clone copies a spec, so that neither side's later writes reach the other.
func clone(s hypervisor.Spec) hypervisor.Spec {
	s.Disks, s.NICs, s.Labels = slices.Clone(s.Disks), slices.Clone(s.NICs), maps.Clone(s.Labels)
	s.NUMA, s.EmulatorCPUs, s.PCI = cloneCells(s.NUMA), slices.Clone(s.EmulatorCPUs), slices.Clone(s.PCI)
	for i := range s.Disks {
		d := &s.Disks[i]
		if d.Base != nil {
			base := *d.Base
			d.Base = &base
		}
		if d.Source.Limits != nil {
			limits := *d.Source.Limits
			d.Source.Limits = &limits
		}
		if d.Source.Encryption != nil {
			encryption := *d.Source.Encryption
			d.Source.Encryption = &encryption
		}
		d.Source.Options, d.Source.Secrets = maps.Clone(d.Source.Options), nil
	}
	return s
}

// off ends a guest's power: its streams are cut, and the event told.
func (s *State) off(g *guest, to hypervisor.State, byGuest bool, now time.Time) {
	was := g.on()
	g.state = to
	g.script = nil
	g.console.cut(now)
	for st := range g.streams {
		st.end()
	}
	clear(g.streams)
	if was {
		s.tell(hypervisor.Event{ID: g.id, State: to, At: now, Guest: byGuest})
	}
}

// change finds a guest for a test control.
func (s *State) change(id, attempt string, f func(*guest) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.guests[id]
	if g == nil {
		return fmt.Errorf("%s guest %s: %w", attempt, id, nephos.ErrNotFound)
	}
	return f(g)
}

// PowerOff is the guest powering itself off.
func (s *State) PowerOff(id string) error { return s.leave(id, "power off", hypervisor.Stopped) }

// Crash is the guest's machine dying.
func (s *State) Crash(id string) error { return s.leave(id, "crash", hypervisor.Crashed) }

func (s *State) leave(id, attempt string, to hypervisor.State) error {
	return s.change(id, attempt, func(g *guest) error {
		if !g.on() {
			return fmt.Errorf("%s guest %s: it is %s: %w", attempt, id, g.state, nephos.ErrConflict)
		}
		s.off(g, to, true, s.clock.Now())
		return nil
	})
}

// Print is the guest writing to its first serial port.
func (s *State) Print(id, text string) error {
	return s.change(id, "print in", func(g *guest) error {
		g.console.write(text)
		for st := range g.streams {
			if st.kind == hypervisor.Serial {
				st.put([]byte(text))
			}
		}
		return nil
	})
}

// Spec returns the whole spec that the guest was last ensured with, without
// secrets.
func (s *State) Spec(id string) (hypervisor.Spec, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.guests[id]
	if g == nil {
		return hypervisor.Spec{}, false
	}
	return clone(g.spec), true
}

// RebootHost is a power cut of the host: every guest is off, no event is told,
// and Info has another BootID.
func (s *State) RebootHost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.boots++
	subs := s.subs
	s.subs = nil
	defer func() { s.subs = subs }()
	for _, g := range s.guests {
		s.off(g, hypervisor.Stopped, false, s.clock.Now())
	}
}

// Remove takes a guest away behind the driver's back, as an operator might.
func (s *State) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.guests[id]; g != nil {
		s.off(g, hypervisor.Stopped, false, s.clock.Now())
		delete(s.guests, id)
	}
}

// localBytes is what the local disks of all guests may grow to.
func (s *State) localBytes() (sum int64) {
	for _, g := range s.guests {
		for _, d := range g.disks() {
			if d.Source.Type == "local" {
				sum += g.size(d)
			}
		}
	}
	return sum
}

func findDisk(disks []driver.Disk, id string) *driver.Disk {
	for i := range disks {
		if disks[i].ID == id {
			return &disks[i]
		}
	}
	return nil
}

// BootText is what a guest writes at power-on unless Config.BootText says
// otherwise. Its last line but one is "nephos-guest: ready".
func BootText(host, id, name string) string {
	return strings.Join([]string{
		"Booting from hard disk...",
		"fake: guest " + id + " on " + host,
		"nephos-guest: hostname " + name,
		"nephos-guest: ready",
		name + " login: ",
	}, "\r\n")
}
