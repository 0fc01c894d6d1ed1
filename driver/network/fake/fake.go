// Package fake carries no packets, but keeps the books of a network as a real
// driver would, and can tell what would get through.
//
// A [State] is the hardware: all hosts of a cloud share one, and it outlives
// the drivers that [Open] returns, as bridges outlive an agent. Latency and
// failures are data ([State.Inject]). [State.Reachable] evaluates networks,
// security groups, routers and floating IPs on that state; [State.Lease] plays
// a guest that asks for an address, and [State.Metadata] one that asks for its
// metadata.
package fake

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
)

// State is what the hosts hold. The zero value is not ready; see [NewState].
type State struct {
	mu     sync.Mutex
	hosts  map[string]*host
	faults []*Fault
	clock  nephos.Clock
}

// host is the books of one host.
type host struct {
	networks map[string]network.Network
	ports    map[string]network.Port
	groups   map[string]network.SecurityGroup
	routers  map[string]network.Router
	counters map[string]network.Statistics
	zones    map[string]network.Zone
	bound    map[string]string // ports to hosts; a controller's
	uses     map[string]int    // ports and router interfaces by network
	socket   string            // of the metadata service
	metadata func(*http.Request) (*http.Response, error)
	watchers map[chan network.Event]struct{}
}

// NewState returns an empty state. A nil clock is the wall clock.
func NewState(clock nephos.Clock) *State {
	if clock == nil {
		clock = nephos.WallClock{}
	}
	return &State{hosts: map[string]*host{}, clock: clock}
}

// Fault is a delay or a failure that strikes calls.
type Fault struct {
	Call    string        // method, such as EnsurePort; empty: every one
	ID      string        // of the object; empty: every one
	Latency time.Duration // waited for before the call; by the State's clock
	Err     error         // returned, if not nil
	After   bool          // strikes after the work is done: the answer is lost
	Times   int           // strikes so often; 0: always
}

// Inject adds faults. All faults that match a call strike it.
func (s *State) Inject(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		if f.Times == 0 {
			f.Times = -1
		}
		s.faults = append(s.faults, &f)
	}
}

// ClearFaults ends all faults.
func (s *State) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// strike returns what befalls a call before, or after, its work.
func (s *State) strike(call, id string, after bool) (latency time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.Times == 0 || f.After != after || f.Call != "" && f.Call != call || f.ID != "" && f.ID != id {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		latency += f.Latency
		if err == nil {
			err = f.Err
		}
	}
	return latency, err
}

// Options configures [Open].
type Options struct {
	Host string // which host's books; any name, empty is one too
	// Metadata answers guests' requests for metadata in place of a socket, and
	// the ability MetadataServer is not offered then. The request has the
	// driver's headers.
	Metadata func(*http.Request) (*http.Response, error)
}

// Driver is one host's network driver. It implements [network.Driver] and all
// optional abilities.
type Driver struct {
	state   *State
	name    string
	options Options

	mu     sync.Mutex
	closed chan struct{}
}

var (
	_ network.Driver         = (*Driver)(nil)
	_ network.Abilitier      = (*Driver)(nil)
	_ network.RouterDriver   = (*Driver)(nil)
	_ network.MetadataServer = (*Driver)(nil)
	_ network.Eventer        = (*Driver)(nil)
	_ network.Statistician   = (*Driver)(nil)
)

// Open opens the host's driver on the state, which keeps what earlier drivers
// of that host made.
func Open(s *State, o Options) *Driver {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hosts[o.Host] == nil {
		s.hosts[o.Host] = &host{
			networks: map[string]network.Network{},
			ports:    map[string]network.Port{},
			groups:   map[string]network.SecurityGroup{},
			routers:  map[string]network.Router{},
			counters: map[string]network.Statistics{},
			zones:    map[string]network.Zone{},
			bound:    map[string]string{},
			uses:     map[string]int{},
			watchers: map[chan network.Event]struct{}{},
		}
	}
	s.hosts[o.Host].metadata = o.Metadata
	return &Driver{state: s, name: o.Host, options: o, closed: make(chan struct{})}
}

// Abilities implements [network.Abilitier].
func (d *Driver) Abilities(context.Context) ([]string, error) {
	all := []string{
		network.AbilityRouter, network.AbilityMetadata, network.AbilityEvents, network.AbilityStatistics,
		network.AbilityQoS, network.AbilityTrunk, network.AbilityDNS,
	}
	if d.options.Metadata != nil {
		all = slices.DeleteFunc(all, func(a string) bool { return a == network.AbilityMetadata })
	}
	return all, nil
}

// State returns what the driver works on.
func (d *Driver) State() *State { return d.state }

// Close implements [network.Driver]. The state stays.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.closed:
	default:
		close(d.closed)
	}
	return nil
}

// call runs the work of one method about an object.
func (d *Driver) call(ctx context.Context, method, id string, work func(*host) error) error {
	if err := network.CheckID(id); err != nil {
		return err
	}
	return d.run(ctx, method, id, work)
}

// look runs the work of one method about all objects.
func (d *Driver) look(ctx context.Context, method string, work func(*host) error) error {
	return d.run(ctx, method, "", work)
}

// run does the work on the host's books, with the method's faults.
func (d *Driver) run(ctx context.Context, method, id string, work func(*host) error) error {
	latency, fault := d.state.strike(method, id, false)
	if err := nephos.Sleep(ctx, d.state.clock, latency); err != nil {
		return err
	}
	select {
	case <-d.closed:
		return nephos.Errorf(nephos.ErrUnavailable, "the driver is closed")
	default:
	}
	if fault != nil {
		return fault
	}
	d.state.mu.Lock()
	err := work(d.state.hosts[d.name])
	d.state.mu.Unlock()
	if err != nil {
		return err
	}
	latency, fault = d.state.strike(method, id, true)
	if err := nephos.Sleep(ctx, d.state.clock, latency); err != nil {
		return err
	}
	return fault
}

// List implements [network.Driver].
func (d *Driver) List(ctx context.Context) (network.Inventory, error) {
	var inv network.Inventory
	err := d.look(ctx, "List", func(h *host) error {
		inv = h.inventory()
		return nil
	})
	return inv, err
}

// Inventory returns what the host has, as List does, for tests to look at.
func (s *State) Inventory(host string) network.Inventory {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.hosts[host]; h != nil {
		return h.inventory()
	}
	return network.Inventory{}
}

func (h *host) inventory() network.Inventory {
	return network.Inventory{
		Networks:       slices.Sorted(maps.Keys(h.networks)),
		Ports:          slices.Sorted(maps.Keys(h.ports)),
		Routers:        slices.Sorted(maps.Keys(h.routers)),
		SecurityGroups: slices.Sorted(maps.Keys(h.groups)),
	}
}
