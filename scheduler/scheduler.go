package scheduler

import (
	"math"
	"slices"
	"sync"

	"github.com/nephos-cloud/nephos"
)

// NoValidHost is what Nova tells the user when no host can take a server.
const NoValidHost = "No valid host was found. There are not enough hosts available."

// Config configures a [Scheduler]; the zero value decides as Nova does.
type Config struct {
	// Filters run in this order after ComputeFilter and ResourceFilter, which
	// always run; nil means [DefaultFilters]. GuestFeatureFilter,
	// NUMATopologyFilter and PciPassthroughFilter always run too: after the others
	// if they are not among them.
	Filters []Filter
	// Weighers nil means [DefaultWeighers].
	Weighers []WeigherConfig
	// SubsetSize chooses one of the best so many hosts by the seed, so that
	// schedulers that work at the same time collide less; 0 means 1: the best.
	SubsetSize int
}

// Scheduler decides which host carries a request. It is safe for concurrent
// use.
type Scheduler struct {
	filters  []Filter
	weighers []WeigherConfig
	subset   int
	scratch  sync.Pool // of *scratch
}

// New returns a scheduler. It fails with nephos.ErrInvalid if two filters or two
// weighers have one name, or one is nil.
func New(c Config) (*Scheduler, error) {
	if c.Filters == nil {
		c.Filters = DefaultFilters()
	}
	if c.Weighers == nil {
		c.Weighers = DefaultWeighers()
	}
	s := &Scheduler{
		filters:  []Filter{destination{}, ComputeFilter{}, ResourceFilter{}},
		weighers: slices.Clone(c.Weighers),
		subset:   max(c.SubsetSize, 1),
	}
	for _, f := range c.Filters {
		switch f.(type) {
		case nil:
			return nil, nephos.Errorf(nephos.ErrInvalid, "making a scheduler: a filter is nil").WithField("Filters")
		case ComputeFilter, ResourceFilter:
			continue // run anyway
		}
		s.filters = append(s.filters, f)
	}
	for _, f := range []Filter{GuestFeatureFilter{}, NUMATopologyFilter{}, PciPassthroughFilter{}} {
		if !slices.ContainsFunc(s.filters, func(g Filter) bool { return g.Name() == f.Name() }) {
			s.filters = append(s.filters, f)
		}
	}
	names := map[string]bool{}
	for _, f := range s.filters {
		if names[f.Name()] {
			return nil, nephos.Errorf(nephos.ErrInvalid, "making a scheduler: two filters are named %s", f.Name()).WithField("Filters")
		}
		names[f.Name()] = true
	}
	names = map[string]bool{}
	for _, w := range s.weighers {
		if w.Weigher == nil || names[w.Weigher.Name()] {
			return nil, nephos.Errorf(nephos.ErrInvalid, "making a scheduler: a weigher is nil or named twice").WithField("Weighers")
		}
		if math.IsNaN(w.Multiplier) || math.IsInf(w.Multiplier, 0) {
			return nil, nephos.Errorf(nephos.ErrInvalid, "making a scheduler: the multiplier of %s is no number", w.Weigher.Name()).WithField("Weighers")
		}
		names[w.Weigher.Name()] = true
	}
	return s, nil
}

// always is how many of the scheduler's filters, the first ones, run for every
// request, also where an operator forces the host.
const always = 3

// keeps says whether a filter sees to it that a server gets what it asks of its
// host, which no operator can overrule.
func keeps(f Filter) bool {
	switch f.(type) {
	case NUMATopologyFilter, PciPassthroughFilter, GuestFeatureFilter:
		return true
	}
	return false
}

// Options are the options of one decision.
type Options struct {
	// Seed settles ties, together with the request's ID: the same snapshot,
	// request and seed give the same hosts.
	Seed uint64
	// Alternates is how many further hosts each choice carries, best first, for
	// when the chosen one turns out to be taken; at most 100.
	Alternates int
	// Samples is how many hosts the explanation names for each filter, and how
	// many with their weights; 0 means 5, at most 100.
	Samples int
}

func (o Options) bounded() Options {
	o.Alternates = min(max(o.Alternates, 0), 100)
	if o.Samples <= 0 {
		o.Samples = 5
	}
	o.Samples = min(o.Samples, 100)
	return o
}

// Decision is the outcome of one request.
type Decision struct {
	// Choices has one entry for each server asked for, or is empty.
	Choices     []Choice
	Explanation Explanation
}

// Choice is the host of one server.
type Choice struct {
	Host HostRef
	// Generation is the host's, as the snapshot knew it.
	Generation int64
	// Weight is the sum of the weighers' contributions.
	Weight float64
	// Claim is all that the server takes from the host, if that is more than
	// the request's Resources; else nil.
	Claim Resources
	// Alternates are the next best hosts, which passed all filters too.
	Alternates []HostRef
	// AlternateClaims tells for each of Alternates what Claim tells of Host. It
	// is nil if all would be nil.
	AlternateClaims []Resources
}

// Select decides which hosts carry the request's servers. The servers of one
// request are placed one after the other, each counting what the earlier ones
// take and where they are, all or none. Nothing is claimed.
//
// It fails with an [nephos.Error] of kind nephos.ErrNoCapacity, whose message is
// [NoValidHost] and the explanation's summary, if there is no room; the Decision
// then still carries the explanation. It fails with nephos.ErrInvalid if the
// request is out of bounds.
//
// A host that passed once may still fail to be an alternate for all choices at
// the same time: alternates of different choices overlap.
func (s *Scheduler) Select(snap *Snapshot, req Request, o Options) (Decision, error) {
	if err := req.check(); err != nil {
		return Decision{}, err
	}
	o = o.bounded()
	sc, _ := s.scratch.Get().(*scratch)
	if sc == nil {
		sc = &scratch{}
	}
	defer s.scratch.Put(sc)

	snap.mu.RLock()
	defer snap.mu.RUnlock()
	r := newRun(s, newView(snap, &req), o, sc)
	return r.decide()
}

// Judgement is what every filter says about one host, also after one turned it
// away.
type Judgement struct {
	Host     HostRef          `json:"host"`
	Passed   bool             `json:"passed"`
	Verdicts []NamedRejection `json:"verdicts,omitempty"` // of the filters that turn it away
}

// NamedRejection is a verdict with the filter's name.
type NamedRejection struct {
	Filter string `json:"filter"`
	Verdict
	Advice string `json:"advice,omitempty"`
}

// Judge asks every filter about each of the named hosts, for an operator who
// wants to know why one was not chosen. Unknown ids are left out.
func (s *Scheduler) Judge(snap *Snapshot, req Request, hostIDs []string) ([]Judgement, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	snap.mu.RLock()
	defer snap.mu.RUnlock()
	v := newView(snap, &req)
	stages := newStages(s, v, 0)
	out := make([]Judgement, 0, len(hostIDs))
	var rows []int32
	for _, id := range hostIDs {
		if i, ok := snap.index[id]; ok {
			rows = append(rows, i)
		}
	}
	for _, st := range stages {
		st.know(v, rows)
	}
	for _, i := range rows {
		out = append(out, judge(v, stages, i))
	}
	return out, nil
}

func judge(v *view, stages []*stage, i int32) Judgement {
	j := Judgement{Host: v.ref(i)}
	for _, st := range stages {
		if vd := st.ask(v, i); !vd.Passed() {
			j.Verdicts = append(j.Verdicts, NamedRejection{st.name, vd, vd.Advice()})
		}
	}
	j.Passed = len(j.Verdicts) == 0
	return j
}
