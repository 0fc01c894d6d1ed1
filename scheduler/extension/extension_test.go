package extension_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/extension"
)

// even lets hosts pass that have an even number of servers, fullest first.
type even struct {
	calls  []int
	seen   extension.Request
	hosts  map[string]extension.Host
	err    error
	answer int // how many answers are left out
	only   []string
	hang   bool
}

func (e *even) Ready(context.Context) error { return e.err }

func (e *even) Abilities(context.Context) ([]string, error) { return e.only, nil }

func (e *even) Judge(ctx context.Context, req extension.Request, hosts []extension.Host) ([]scheduler.Verdict, error) {
	e.calls, e.seen = append(e.calls, len(hosts)), req
	if e.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	var out []scheduler.Verdict
	for _, h := range hosts[e.answer:] {
		e.hosts[h.ID] = h
		v := scheduler.Verdict{}
		if h.NumInstances%2 == 1 {
			v.Reason = "odd"
		}
		out = append(out, v)
	}
	return out, nil
}

func (e *even) Weigh(_ context.Context, _ extension.Request, hosts []extension.Host) ([]float64, error) {
	var out []float64
	for _, h := range hosts {
		out = append(out, float64(h.NumInstances))
	}
	return out, e.err
}

func setup(t *testing.T, e *even, o extension.Options) (*scheduler.Scheduler, *scheduler.Snapshot) {
	t.Helper()
	e.hosts, e.only = map[string]extension.Host{}, []string{extension.AbilityJudger, extension.AbilityWeigher}
	o.Name = "EvenFilter"
	p, err := extension.Open(t.Context(), e, o)
	require.NoError(t, err)
	s, err := scheduler.New(scheduler.Config{Filters: []scheduler.Filter{p.Filter}, Weighers: []scheduler.WeigherConfig{{Weigher: p.Weigher, Multiplier: 1}}})
	require.NoError(t, err)
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	for i := range 5 {
		require.NoError(t, snap.Put(scheduler.Host{
			ID: fmt.Sprint("h", i), Up: true, Enabled: true, NumInstances: i, Inventory: map[string]scheduler.Inventory{scheduler.VCPU: {Total: 2, Ratio: 2}},
			Used: scheduler.Resources{scheduler.VCPU: 1}, Metrics: map[string]float64{"m": 1.5}, Aggregates: []scheduler.Aggregate{{ID: "a", Metadata: map[string]string{"k": "v"}}},
		}))
	}
	return s, snap
}

var request = scheduler.Request{
	ID: "s", ProjectID: "p", Resources: scheduler.Resources{scheduler.VCPU: 1}, Hints: map[string][]string{"b": {"2"}, "a": {"1"}},
	Group: &scheduler.Group{ID: "g", Policy: scheduler.SoftAffinity},
}

func TestAnExtensionFiltersAndWeighs(t *testing.T) {
	e := &even{}
	s, snap := setup(t, e, extension.Options{Batch: 2})
	d, err := s.Select(snap, request, scheduler.Options{})
	require.NoError(t, err)
	require.Equal(t, "h4", d.Choices[0].Host.ID)
	require.Equal(t, []int{2, 2, 1}, e.calls)
	require.Equal(t, []extension.Hint{{Name: "a", Values: []string{"1"}}, {Name: "b", Values: []string{"2"}}}, e.seen.Hints)
	require.Equal(t, extension.Host{
		ID: "h2", Name: "h2", Node: "h2", Capacity: map[string]int64{"VCPU": 4}, Used: map[string]int64{"VCPU": 1}, Free: map[string]int64{"VCPU": 3},
		NumInstances: 2, Metrics: map[string]float64{"m": 1.5}, Aggregates: []extension.Aggregate{{ID: "a", Metadata: map[string]string{"k": "v"}}},
	}, e.hosts["h2"])
}

func TestAFailingExtensionTurnsAway(t *testing.T) {
	for name, e := range map[string]*even{"too few": {answer: 1}, "hangs": {hang: true}} {
		s, snap := setup(t, e, extension.Options{Timeout: time.Nanosecond})
		d, err := s.Select(snap, request, scheduler.Options{})
		require.ErrorIs(t, err, nephos.ErrNoCapacity, name)
		require.ErrorContains(t, err, "5 could not be judged by EvenFilter", name)
		require.NotEmpty(t, d.Explanation.Nearest.Verdicts[0].Saw)
	}
	e := &even{}
	s, snap := setup(t, e, extension.Options{})
	e.err = errors.New("out of order") // the weigher only
	d, err := s.Select(snap, request, scheduler.Options{})
	require.NoError(t, err)
	require.Contains(t, d.Explanation.Notes[0], "EvenFilter failed")
}

func TestOpenRefuses(t *testing.T) {
	_, err := extension.Open(t.Context(), &even{}, extension.Options{})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	_, err = extension.Open(t.Context(), &even{}, extension.Options{Name: "X"})
	require.ErrorContains(t, err, "offers neither Judger nor Weigher")
	_, err = extension.Open(t.Context(), &even{err: errors.New("no licence")}, extension.Options{Name: "X"})
	require.ErrorContains(t, err, "no licence")
	p, err := extension.Open(t.Context(), &even{only: []string{extension.AbilityWeigher}}, extension.Options{Name: "X"})
	require.NoError(t, err)
	require.Nil(t, p.Filter)
	require.Equal(t, "X", p.Weigher.Name())
}
