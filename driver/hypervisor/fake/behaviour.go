package fake

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// Behaviour is what a guest does from its power-on, as data.
type Behaviour struct {
	// BootText is what it writes to its serial port, line by line over BootTime;
	// empty means [BootText] of the guest.
	BootText string
	// BootTime is how long it boots; zero is at once.
	BootTime time.Duration
	// Booted runs when it has booted: what it returns is printed. A guest's
	// requests for metadata go here.
	Booted func(id string) string
	// CrashAfter and PowerOffAfter end it that long after its power-on; zero is
	// never.
	CrashAfter, PowerOffAfter time.Duration
	// Deaf guests ignore a request to power off.
	Deaf bool
}

// act is something that a guest does by itself.
type act struct {
	at     time.Time
	booted func(id string) string
	ends   hypervisor.State
}

func (d *Driver) behaviour(g *guest) Behaviour {
	b := Behaviour{BootText: d.cfg.BootText, BootTime: d.cfg.BootTime, Deaf: d.cfg.DeafGuests}
	if d.cfg.Behave != nil {
		b = d.cfg.Behave(g.spec.Name, g.id)
	}
	if b.BootText == "" {
		b.BootText = BootText(d.cfg.Name, g.id, g.spec.Name)
	}
	return b
}

func (b Behaviour) script(now time.Time) (acts []act) {
	if b.Booted != nil {
		acts = append(acts, act{at: now.Add(b.BootTime), booted: b.Booted})
	}
	if b.CrashAfter > 0 {
		acts = append(acts, act{at: now.Add(b.CrashAfter), ends: hypervisor.Crashed})
	}
	if b.PowerOffAfter > 0 {
		acts = append(acts, act{at: now.Add(b.PowerOffAfter), ends: hypervisor.Stopped})
	}
	slices.SortStableFunc(acts, func(x, y act) int { return x.at.Compare(y.at) })
	return acts
}

func (d *Driver) deaf(id string) bool {
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	g := d.state.guests[id]
	return g != nil && d.behaviour(g).Deaf
}

// Play has one guest do the next thing that it does by itself, if its time has
// come by now. It reports whether one did.
func (s *State) Play(now time.Time) bool {
	s.mu.Lock()
	g := s.nextToAct()
	if g == nil || g.script[0].at.After(now) {
		s.mu.Unlock()
		return false
	}
	does := g.script[0]
	g.script = g.script[1:]
	g.console.reach(does.at)
	if does.booted == nil {
		s.off(g, does.ends, true, does.at)
		s.mu.Unlock()
		return true
	}
	s.mu.Unlock()
	if text := does.booted(g.id); text != "" {
		_ = s.Print(g.id, text) // it may be gone by now
	}
	return true
}

// NextPlay returns when [State.Play] will have something to do; false for never.
func (s *State) NextPlay() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.nextToAct(); g != nil {
		return g.script[0].at, true
	}
	return time.Time{}, false
}

// nextToAct is the guest that does something first; the mutex is held. Those that
// are paused do nothing.
func (s *State) nextToAct() (first *guest) {
	for g := range maps.Values(s.guests) {
		if len(g.script) == 0 || g.state != hypervisor.Running {
			continue
		}
		if first == nil || cmp.Or(g.script[0].at.Compare(first.script[0].at), cmp.Compare(g.id, first.id)) < 0 {
			first = g
		}
	}
	return first
}

// Guests returns all guests, by id.
func (s *State) Guests() []hypervisor.Guest {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]hypervisor.Guest, 0, len(s.guests))
	for _, id := range slices.Sorted(maps.Keys(s.guests)) {
		all = append(all, s.guests[id].view())
	}
	return all
}

// Log returns all that a guest has written to its first serial port by now.
func (s *State) Log(id string) (text string, err error) {
	err = s.change(id, "read the console of", func(g *guest) error {
		g.console.reach(s.clock.Now())
		text = string(g.console.log)
		return nil
	})
	return text, err
}
