// Package sim plays traces to a scheduler: what would have become of a workload
// under a policy, how full and how fragmented the cloud would be, and whether a
// recording's decisions fall as they did.
package sim

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/trace"
)

// Config are the parts of a Sim.
type Config struct {
	// Scheduler decides; nil means the defaults of [scheduler.New].
	Scheduler *scheduler.Scheduler
	// Seed settles ties.
	Seed uint64
	// Probe is the server that fragmentation is measured with; empty means 2
	// VCPUs and 8 GiB.
	Probe scheduler.Resources
	// Samples is about how many points in time are measured; 0 means 200, or
	// fewer where there are very many hosts.
	Samples int
	// Record, where set, gets the events with the decisions that fell.
	Record func(trace.Event) error
	// Progress, where set, is told after each event how many were played.
	Progress func(done int)
}

// Sample is how the cloud was at one time.
type Sample struct {
	At float64
	// Used is the part of the capacity that is used, by class, over all hosts.
	Used map[string]float64
	// Fragmented is the part of the free memory that is on hosts without room
	// for one more Probe.
	Fragmented float64
	// Servers is how many there are, Empty how many hosts have none.
	Servers, Empty, Hosts int
	// Refused is how many boots found no host so far.
	Refused int
}

// Outcome is what became of a trace.
type Outcome struct {
	Boots, Placed, Refused, Deleted int
	// Reasons counts the refusals by the filter that turned away most hosts.
	Reasons map[string]int
	Samples []Sample // the last is the end
}

// server is what one boot got.
type server struct {
	req    *scheduler.Request
	claims []trace.Claim
}

// Sim is a cloud in memory.
type Sim struct {
	cfg     Config
	snap    *scheduler.Snapshot
	servers map[string]server
	groups  map[string]map[string]int // members by host
	out     Outcome
	now     float64
}

// New returns a cloud without hosts.
func New(cfg Config) (*Sim, error) {
	if cfg.Scheduler == nil {
		s, err := scheduler.New(scheduler.Config{})
		if err != nil {
			return nil, err
		}
		cfg.Scheduler = s
	}
	if len(cfg.Probe) == 0 {
		cfg.Probe = scheduler.Resources{scheduler.VCPU: 2, scheduler.MemoryMB: 8192}
	}
	s := &Sim{
		cfg: cfg, snap: scheduler.NewSnapshot(scheduler.SnapshotConfig{}),
		servers: map[string]server{}, groups: map[string]map[string]int{},
	}
	s.out.Reasons = map[string]int{}
	return s, nil
}

// Snapshot is the cloud as it is now.
func (s *Sim) Snapshot() *scheduler.Snapshot { return s.snap }

// Run plays events and returns what became of them. Servers that come are placed
// or refused; decisions of a recording are not made again, see [Replay]. It fails
// if an event cannot be (such as the end of a server that never was) with
// nephos.ErrInvalid, or when ctx ends.
func (s *Sim) Run(ctx context.Context, events []trace.Event) (Outcome, error) {
	every, samples := 0.0, s.cfg.Samples
	if samples == 0 {
		hosts := 0
		for _, e := range events {
			if e.Host != nil {
				hosts++
			}
		}
		samples = min(max(1_000_000/max(hosts, 1), 20), 200)
	}
	if n := len(events); n > 0 {
		every = events[n-1].At / float64(samples)
	}
	next := 0.0
	started := false
	for i, e := range events {
		if err := ctx.Err(); err != nil {
			return s.out, err
		}
		if started = started || e.Boot != nil || e.Decision != nil; started && e.At >= next {
			s.now = e.At
			s.sample()
			for next <= e.At && every > 0 {
				next += every
			}
		}
		s.now = e.At
		if err := s.play(e); err != nil {
			return s.out, fmt.Errorf("event %d at %g s: %w", i+1, e.At, err)
		}
		if s.cfg.Progress != nil {
			s.cfg.Progress(i + 1)
		}
	}
	s.sample()
	return s.out, nil
}

func (s *Sim) play(e trace.Event) error {
	var err error
	switch {
	case e.Boot != nil:
		err = s.boot(e)
		e = trace.Event{}
	case e.Delete != "":
		err = s.delete(e.Delete)
	default:
		err = apply(s, e)
	}
	if err == nil && s.cfg.Record != nil && (e.Host != nil || e.Remove != "" || e.Usage != nil || e.Claim != nil || e.Ratios != nil) {
		err = s.cfg.Record(e)
	}
	return err
}

// apply changes the snapshot as an event says.
func apply(s *Sim, e trace.Event) error {
	switch {
	case e.Ratios != nil:
		if s.snap.Len() > 0 {
			return nephos.Errorf(nephos.ErrInvalid, "ratios come before any host")
		}
		s.snap = scheduler.NewSnapshot(scheduler.SnapshotConfig{Ratios: e.Ratios})
		return nil
	case e.Host != nil:
		return s.snap.Put(*e.Host)
	case e.Remove != "":
		s.snap.Remove(e.Remove)
		return nil
	case e.Usage != nil:
		return s.snap.SetUsage(e.Usage.Host, e.Usage.Usage)
	case e.Claim != nil:
		return s.snap.Claim(e.Claim.Host, e.Claim.Resources)
	}
	return nil
}

func (s *Sim) boot(e trace.Event) error {
	req := *e.Boot
	if _, ok := s.servers[req.ID]; ok {
		return nephos.Errorf(nephos.ErrInvalid, "server %.64q is there already", req.ID)
	}
	if req.Group != nil { // its members are where they are here
		g := *req.Group
		g.MembersByHost = maps.Clone(s.groups[g.ID])
		req.Group = &g
	}
	s.out.Boots++
	d, err := s.cfg.Scheduler.Select(s.snap, req, scheduler.Options{Seed: s.cfg.Seed, Samples: 1})
	made := trace.Decision{Request: req, Seed: s.cfg.Seed}
	if errors.Is(err, nephos.ErrNoCapacity) {
		s.out.Refused++
		s.out.Reasons[mostRejecting(d.Explanation)]++
		return s.record(trace.Event{At: e.At, Decision: &made})
	}
	if err != nil {
		return err
	}
	for _, c := range d.Choices {
		made.Chosen = append(made.Chosen, c.Host.ID)
	}
	if err := s.record(trace.Event{At: e.At, Decision: &made}); err != nil {
		return err
	}
	var claims []trace.Claim
	for _, c := range d.Choices {
		want := req.Resources
		if c.Claim != nil {
			want = c.Claim
		}
		if err := s.snap.Claim(c.Host.ID, want); err != nil {
			return fmt.Errorf("the scheduler chose a host without room: %w", err)
		}
		claim := trace.Claim{Host: c.Host.ID, Resources: want}
		claims = append(claims, claim)
		if err := s.record(trace.Event{At: e.At, Claim: &claim}); err != nil {
			return err
		}
		if req.Group != nil {
			if s.groups[req.Group.ID] == nil {
				s.groups[req.Group.ID] = map[string]int{}
			}
			s.groups[req.Group.ID][c.Host.ID]++
		}
	}
	s.out.Placed++
	s.servers[req.ID] = server{e.Boot, claims}
	return nil
}

func (s *Sim) record(e trace.Event) error {
	if s.cfg.Record == nil {
		return nil
	}
	return s.cfg.Record(e)
}

// mostRejecting is the filter that turned away most hosts.
func mostRejecting(e scheduler.Explanation) string {
	best, most := "no hosts", 0
	for _, f := range e.Filters {
		if f.Rejected > most {
			best, most = f.Name, f.Rejected
		}
	}
	return best
}

// delete ends a server; one that was refused is not there.
func (s *Sim) delete(id string) error {
	v, ok := s.servers[id]
	if !ok {
		return nil
	}
	delete(s.servers, id)
	s.out.Deleted++
	for _, c := range v.claims {
		host := c.Host
		if g := v.req.Group; g != nil {
			if s.groups[g.ID][host]--; s.groups[g.ID][host] == 0 {
				delete(s.groups[g.ID], host)
			}
		}
		if err := s.snap.Release(host, c.Resources); errors.Is(err, nephos.ErrNotFound) {
			continue // the host went first
		} else if err != nil {
			return err
		}
		if h, ok := s.snap.Get(host); ok && s.cfg.Record != nil {
			u := trace.Usage{Host: host, Usage: scheduler.Usage{Used: h.Used, NumInstances: h.NumInstances, NumIOOps: h.NumIOOps, FailedBuilds: h.FailedBuilds}}
			if err := s.cfg.Record(trace.Event{At: s.now, Usage: &u}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Sim) sample() {
	p := Sample{At: s.now, Used: map[string]float64{}, Servers: len(s.servers), Refused: s.out.Refused}
	capacity, used := map[string]int64{}, map[string]int64{}
	var free, stranded int64
	for h := range Hosts(s.snap) {
		p.Hosts++
		if h.NumInstances == 0 {
			p.Empty++
		}
		for class, inv := range h.Inventory {
			capacity[class] += inv.Capacity(h.Ratio(class, nil))
			used[class] += h.Used[class]
		}
		room := Free(&h, scheduler.MemoryMB)
		free += max(room, 0)
		if room > 0 && Fits(&h, s.cfg.Probe) == 0 {
			stranded += room
		}
	}
	for class, n := range capacity {
		if n > 0 {
			p.Used[class] = float64(used[class]) / float64(n)
		}
	}
	if free > 0 {
		p.Fragmented = float64(stranded) / float64(free)
	}
	s.out.Samples = append(s.out.Samples, p)
}

// Hosts walks over a copy of each host of a snapshot, by id.
func Hosts(snap *scheduler.Snapshot) iter.Seq[scheduler.Host] {
	return func(yield func(scheduler.Host) bool) {
		for _, id := range snap.IDs() {
			if h, ok := snap.Get(id); ok && !yield(h) {
				return
			}
		}
	}
}

// Free is what a host has left of a class.
func Free(h *scheduler.Host, class string) int64 {
	return h.Inventory[class].Capacity(h.Ratio(class, nil)) - h.Used[class]
}

// Fits is how many servers a host has room for, by amounts alone.
func Fits(h *scheduler.Host, want scheduler.Resources) int64 {
	n := int64(-1)
	for class, amount := range want {
		if amount == 0 {
			continue
		}
		k := int64(0)
		if inv, ok := h.Inventory[class]; ok && inv.Fits(amount) {
			k = max(0, Free(h, class)/amount)
		}
		if n < 0 || k < n {
			n = k
		}
	}
	return max(n, 0)
}

// Capacity is what Fit found.
type Capacity struct {
	// Total is how many more fit; ByZone and ByReason tell of the hosts: how many
	// servers each zone takes, and how many hosts each filter turns away.
	Total    int64
	Hosts    int // with room for at least one
	ByZone   map[string]int64
	ByReason map[string]int
}

// Fit tells how many more servers of one kind fit, if no others come: on each
// host that passes all filters as many as its room allows, with the group's rule
// if it has one. Which policy weighs the hosts makes no difference.
func Fit(s *scheduler.Scheduler, snap *scheduler.Snapshot, req scheduler.Request) (Capacity, error) {
	c := Capacity{ByZone: map[string]int64{}, ByReason: map[string]int{}}
	if len(req.Resources) == 0 {
		return c, nephos.Errorf(nephos.ErrInvalid, "asking how many servers fit: one that takes nothing fits for ever").WithField("resources")
	}
	for ids := range slices.Chunk(snap.IDs(), 1000) {
		judged, err := s.Judge(snap, req, ids)
		if err != nil {
			return c, err
		}
		for _, j := range judged {
			if !j.Passed {
				c.ByReason[j.Verdicts[0].Filter]++
				continue
			}
			h, ok := snap.Get(j.Host.ID)
			if !ok {
				continue
			}
			n := Fits(&h, req.Resources)
			if g := req.Group; g != nil && g.Policy == scheduler.AntiAffinity {
				n = min(n, int64(max(g.MaxServerPerHost, 1)-g.MembersByHost[h.ID]))
			}
			if n > 0 {
				c.Hosts++
				c.Total += n
				c.ByZone[j.Host.Zone] += n
			}
		}
	}
	return c, nil
}

// Difference is a decision that fell otherwise in a replay.
type Difference struct {
	Event    int // its number, from 1
	At       float64
	Request  string // its id
	Recorded []string
	Replayed []string
}

// Replay plays a recording and makes each of its decisions again, with the
// recorded seed, on what the scheduler saw then. It returns how many decisions
// there were and those that fell otherwise: none if the scheduler is the same.
// Another policy's differences are what it would have done in each place, not a
// history of its own; [Sim.Run] makes that of a workload.
func Replay(ctx context.Context, s *scheduler.Scheduler, events []trace.Event, progress func(done int)) (int, []Difference, error) {
	made, err := New(Config{Scheduler: s})
	if err != nil {
		return 0, nil, err
	}
	n := 0
	var differ []Difference
	for i, e := range events {
		if err := ctx.Err(); err != nil {
			return n, differ, err
		}
		if progress != nil {
			progress(i + 1)
		}
		if e.Ratios != nil { // the recording process was started anew
			made.snap = scheduler.NewSnapshot(scheduler.SnapshotConfig{})
		}
		if e.Decision == nil {
			if err := apply(made, e); err != nil {
				return n, differ, fmt.Errorf("event %d at %g s: %w", i+1, e.At, err)
			}
			continue
		}
		n++
		d, err := s.Select(made.snap, e.Decision.Request, scheduler.Options{Seed: e.Decision.Seed, Alternates: e.Decision.Alternates, Samples: 1})
		if err != nil && !errors.Is(err, nephos.ErrNoCapacity) {
			return n, differ, fmt.Errorf("event %d at %g s: %w", i+1, e.At, err)
		}
		var chosen []string
		for _, c := range d.Choices {
			chosen = append(chosen, c.Host.ID)
		}
		if !slices.Equal(chosen, e.Decision.Chosen) {
			differ = append(differ, Difference{i + 1, e.At, e.Decision.Request.ID, e.Decision.Chosen, chosen})
		}
	}
	return n, differ, nil
}
