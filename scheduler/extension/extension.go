// Package extension lets programs outside of this one filter and weigh hosts for
// the scheduler: plain data, and one call for all hosts of a decision.
//
// # For authors
//
// An extension implements [Extension] and, as it likes, [Judger] and [Weigher];
// it serves itself with driver/plugin's Serve, or implements the protobuf service
// nephos.scheduler.v1 in any language. It is asked once for each decision, about
// the hosts that all earlier filters let pass, in batches of at most
// Options.Batch; the answers are in the order of the hosts. Calls may come at the
// same time, and may come again for the same decision: they change nothing.
// extensiontest.Run is the whole test that an author writes, and driver/plugin's
// certify runs the same against a program.
//
// # For hosts
//
// [Open] makes a filter and a weigher of an extension:
//
//	ext, err := plugin.Launch[extension.Extension](ctx, "/usr/lib/nephos/acme", plugin.LaunchOptions{})
//	parts, err := extension.Open(ctx, ext, extension.Options{Name: "AcmeFilter"})
//	s, err := scheduler.New(scheduler.Config{Filters: append(scheduler.DefaultFilters(), parts.Filter), …})
//
// Put the filter last, so that few hosts reach it. An extension that fails or
// takes longer than Options.Timeout turns the hosts away, which the explanation
// tells, or, for a weigher, is not counted. The snapshot's changes wait
// meanwhile.
package extension

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

// Extension is something that filters or weighs hosts. What else it implements,
// Judger or Weigher, is what it offers.
type Extension interface {
	// Ready says whether the extension can answer; an error says why not.
	Ready(ctx context.Context) error
}

// Judger filters hosts.
type Judger interface {
	// Judge returns a verdict for each host, in their order; the zero Verdict lets
	// the host pass.
	Judge(ctx context.Context, req Request, hosts []Host) ([]scheduler.Verdict, error)
}

// Weigher weighs hosts.
type Weigher interface {
	// Weigh returns a number for each host, in their order; more is better.
	Weigh(ctx context.Context, req Request, hosts []Host) ([]float64, error)
}

// Abilitier narrows what an extension offers to the listed interfaces' names.
type Abilitier interface {
	Abilities(ctx context.Context) ([]string, error)
}

// The abilities.
const (
	AbilityJudger  = "Judger"
	AbilityWeigher = "Weigher"
)

// AbilitiesOf returns what the extension offers.
func AbilitiesOf(ctx context.Context, e Extension) ([]string, error) {
	var names []string
	if _, ok := e.(Judger); ok {
		names = append(names, AbilityJudger)
	}
	if _, ok := e.(Weigher); ok {
		names = append(names, AbilityWeigher)
	}
	if a, ok := e.(Abilitier); ok {
		only, err := a.Abilities(ctx)
		if err != nil {
			return nil, err
		}
		names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(only, n) })
	}
	return names, nil
}

// Request is what is to be placed. See [scheduler.Request].
type Request struct {
	ID, ProjectID   string
	Resources       map[string]int64
	Count           int
	Zone            string
	FlavorName      string
	ExtraSpecs      map[string]string
	ImageID         string
	ImageProperties map[string]string
	Hints           []Hint
	GroupID         string
	GroupPolicy     string
}

// Hint is a scheduler hint with its values.
type Hint struct {
	Name   string
	Values []string
}

// Host is one host as it is, with earlier servers of the same decision counted.
// See [scheduler.Host].
type Host struct {
	ID, Name, Node, Zone string
	Traits               []string
	Attributes           map[string]string
	Aggregates           []Aggregate
	// Capacity, Used and Free are amounts by resource class, with the ratio.
	Capacity, Used, Free map[string]int64
	NumInstances         int
	NumIOOps             int
	FailedBuilds         int
	GroupMembers         int
	Metrics              map[string]float64
}

// Aggregate is a group of hosts with metadata.
type Aggregate struct {
	ID, Name string
	Metadata map[string]string
}

// Options say how an extension is asked.
type Options struct {
	// Name is the name of the filter and the weigher in explanations; it is
	// needed.
	Name string
	// Timeout bounds all calls of one decision; 0 means 2 seconds.
	Timeout time.Duration
	// Batch is how many hosts one call is about at most; 0 means 5000.
	Batch int
}

// Parts are what an extension adds to a scheduler; nil is what it does not offer.
type Parts struct {
	Filter  scheduler.Filter
	Weigher scheduler.Weigher
}

// Open asks the extension what it offers and makes filter and weigher of it. It
// fails if the extension is not ready, and with nephos.ErrInvalid if it offers
// nothing or an option is out of bounds. The context bounds Open only.
func Open(ctx context.Context, e Extension, o Options) (Parts, error) {
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Second
	}
	if o.Batch == 0 {
		o.Batch = 5000
	}
	if o.Name == "" || o.Timeout < 0 || o.Batch < 0 {
		return Parts{}, nephos.Errorf(nephos.ErrInvalid, "opening a scheduler's extension: it needs a name, and no negative bounds").WithField("Name")
	}
	if err := e.Ready(ctx); err != nil {
		return Parts{}, fmt.Errorf("opening the scheduler's extension %s: %w", o.Name, err)
	}
	names, err := AbilitiesOf(ctx, e)
	if err != nil {
		return Parts{}, fmt.Errorf("opening the scheduler's extension %s: %w", o.Name, err)
	}
	if len(names) == 0 {
		return Parts{}, nephos.Errorf(nephos.ErrInvalid, "opening the scheduler's extension %s: %T offers neither %s nor %s", o.Name, e, AbilityJudger, AbilityWeigher)
	}
	var p Parts
	if slices.Contains(names, AbilityJudger) {
		p.Filter = &filter{e.(Judger), o}
	}
	if slices.Contains(names, AbilityWeigher) {
		p.Weigher = &weigher{e.(Weigher), o}
	}
	return p, nil
}

type filter struct {
	e Judger
	o Options
}

// Name implements [scheduler.Filter].
func (f *filter) Name() string { return f.o.Name }

// Prepare implements [scheduler.Filter].
func (f *filter) Prepare(req *scheduler.Request) scheduler.Check {
	r := newRequest(req)
	return scheduler.Check{Batch: func(hosts []scheduler.HostView) []scheduler.Verdict {
		out, err := ask(f.o, hosts, func(ctx context.Context, batch []Host) ([]scheduler.Verdict, error) { return f.e.Judge(ctx, r, batch) })
		if err != nil {
			v := scheduler.Verdict{Reason: "could not be judged by " + f.o.Name, Saw: clip(err.Error()), Fix: "mend the extension"}
			return slices.Repeat([]scheduler.Verdict{v}, len(hosts))
		}
		for i := range out { // what comes from outside is kept small
			v := &out[i]
			v.Reason, v.Class, v.Want, v.Saw, v.Fix = clip(v.Reason), clip(v.Class), clip(v.Want), clip(v.Saw), clip(v.Fix)
		}
		return out
	}}
}

type weigher struct {
	e Weigher
	o Options
}

// Name implements [scheduler.Weigher].
func (w *weigher) Name() string { return w.o.Name }

// Weigh implements [scheduler.Weigher].
func (w *weigher) Weigh(req *scheduler.Request, h scheduler.HostView) float64 {
	if got := w.WeighAll(req, []scheduler.HostView{h}); len(got) == 1 {
		return got[0]
	}
	return math.NaN()
}

// WeighAll implements [scheduler.Batcher].
func (w *weigher) WeighAll(req *scheduler.Request, hosts []scheduler.HostView) []float64 {
	r := newRequest(req)
	out, err := ask(w.o, hosts, func(ctx context.Context, batch []Host) ([]float64, error) { return w.e.Weigh(ctx, r, batch) })
	if err != nil {
		return nil // the scheduler notes it
	}
	return out
}

// ask calls for one batch after the other.
func ask[T any](o Options, hosts []scheduler.HostView, call func(context.Context, []Host) ([]T, error)) ([]T, error) {
	ctx, cancel := context.WithTimeout(context.Background(), o.Timeout)
	defer cancel()
	out := make([]T, 0, len(hosts))
	for part := range slices.Chunk(hosts, o.Batch) {
		batch := make([]Host, len(part))
		for i, h := range part {
			batch[i] = newHost(h)
		}
		got, err := call(ctx, batch)
		if err != nil {
			return nil, err
		}
		if len(got) != len(batch) {
			return nil, errors.New("the extension gave " + fmt.Sprint(len(got)) + " answers about " + fmt.Sprint(len(batch)) + " hosts")
		}
		out = append(out, got...)
	}
	return out, nil
}

func newRequest(r *scheduler.Request) Request {
	out := Request{
		ID: r.ID, ProjectID: r.ProjectID, Resources: r.Resources, Count: max(r.Count, 1), Zone: r.Zone, FlavorName: r.FlavorName,
		ExtraSpecs: r.ExtraSpecs, ImageID: r.ImageID, ImageProperties: r.ImageProperties,
	}
	for _, name := range slices.Sorted(maps.Keys(r.Hints)) {
		out.Hints = append(out.Hints, Hint{name, r.Hints[name]})
	}
	if r.Group != nil {
		out.GroupID, out.GroupPolicy = r.Group.ID, r.Group.Policy
	}
	return out
}

func newHost(h scheduler.HostView) Host {
	out := Host{
		ID: h.ID(), Name: h.Name(), Node: h.Node(), Zone: h.Zone(), Traits: h.Traits(), Attributes: h.Attributes(),
		Capacity: map[string]int64{}, Used: map[string]int64{}, Free: map[string]int64{},
		NumInstances: h.NumInstances(), NumIOOps: h.NumIOOps(), FailedBuilds: h.FailedBuilds(), GroupMembers: h.GroupMembers(),
	}
	for _, a := range h.Aggregates() {
		out.Aggregates = append(out.Aggregates, Aggregate(a))
	}
	for _, class := range h.Classes() {
		out.Capacity[class], out.Used[class], out.Free[class] = h.Capacity(class), h.Used(class), h.Free(class)
	}
	for _, name := range h.Metrics() {
		if out.Metrics == nil {
			out.Metrics = map[string]float64{}
		}
		out.Metrics[name], _ = h.Metric(name)
	}
	return out
}

// clip bounds what an explanation quotes.
func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
