package scheduler

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// called hides that a filter or weigher walks the rows by itself.
type calledFilter struct{ Filter }

func (f calledFilter) Prepare(req *Request) Check {
	c := f.Filter.Prepare(req)
	return Check{Host: c.Host, EachPick: c.EachPick}
}

type calledWeigher struct{ w Weigher }

func (w calledWeigher) Name() string                           { return w.w.Name() }
func (w calledWeigher) Weigh(req *Request, h HostView) float64 { return w.w.Weigh(req, h) }
func (w calledWeigher) Bounds() (lo, hi float64)               { return bounds(w.w) }

// TestWalkingIsCalling: the walks over packed rows, and verdicts shared by
// profile, decide just what calling each host's Check and Weigh decides.
func TestWalkingIsCalling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		snap := NewSnapshot(SnapshotConfig{})
		n := func(lo, hi int64, name string) int64 { return rapid.Int64Range(lo, hi).Draw(t, name) }
		for i := range n(1, 20, "hosts") {
			h := Host{
				ID: fmt.Sprint(i), Up: n(0, 5, "up") > 0, Enabled: n(0, 5, "enabled") > 0, Zone: fmt.Sprint(n(0, 2, "zone")),
				NumIOOps: int(n(0, 3, "io")), FailedBuilds: int(n(0, 3, "failed")), Inventory: map[string]Inventory{}, Used: Resources{},
			}
			for _, class := range denseClasses {
				h.Inventory[class] = Inventory{Total: n(0, 20, "total"), MaxUnit: n(0, 10, "max"), MinUnit: n(0, 2, "min"), Ratio: float64(n(0, 2, "ratio"))}
				h.Used[class] = n(0, 30, "used")
			}
			if n(0, 3, "aggregate") == 0 {
				h.Aggregates = []Aggregate{{ID: "a", Metadata: map[string]string{"ram_weight_multiplier": "-2"}}}
			}
			require.NoError(t, snap.Put(h))
		}
		req := Request{ID: "r", Zone: rapid.SampledFrom([]string{"", "1"}).Draw(t, "asked"), Count: int(n(1, 4, "count")), Resources: Resources{}}
		for _, class := range denseClasses {
			req.Resources[class] = n(0, 6, class)
		}
		walks, err := New(Config{})
		require.NoError(t, err)
		calls, err := New(Config{})
		require.NoError(t, err)
		for i, f := range calls.filters {
			calls.filters[i] = calledFilter{f}
		}
		for i := range calls.weighers {
			if _, ok := calls.weighers[i].Weigher.(Selective); !ok {
				calls.weighers[i].Weigher = calledWeigher{calls.weighers[i].Weigher}
			}
		}
		o := Options{Seed: 1, Alternates: 3}
		d, err := walks.Select(snap, req, o)
		d2, err2 := calls.Select(snap, req, o)
		require.Equal(t, d2, d)
		require.Equal(t, err2, err)
	})
}

// TestProfilesAreShared: equal hosts share what they have in common, and what
// nobody uses is given up.
func TestProfilesAreShared(t *testing.T) {
	snap := NewSnapshot(SnapshotConfig{})
	for i := range 100 {
		require.NoError(t, snap.Put(Host{ID: fmt.Sprint(i), Zone: fmt.Sprint(i % 3), Traits: []string{"B", "A"}}))
	}
	require.Len(t, snap.byKey, 3)
	for i := range 100 {
		require.NoError(t, snap.Put(Host{ID: fmt.Sprint(i), Zone: "other", Traits: []string{"A", "B"}}))
	}
	require.Len(t, snap.byKey, 1)
	require.LessOrEqual(t, len(snap.profiles), 4, "slots are used again")
	for i := range 100 {
		require.True(t, snap.Remove(fmt.Sprint(i)))
	}
	require.Empty(t, snap.byKey)
}

// TestSharedVerdictIsAskedOnce: a shared check runs once for each profile.
func TestSharedVerdictIsAskedOnce(t *testing.T) {
	snap := NewSnapshot(SnapshotConfig{})
	for i := range 100 {
		require.NoError(t, snap.Put(Host{ID: fmt.Sprint(i), Up: true, Enabled: true, Zone: fmt.Sprint(i % 4)}))
	}
	f := &countingFilter{}
	s, err := New(Config{Filters: []Filter{f}})
	require.NoError(t, err)
	d, err := s.Select(snap, Request{}, Options{})
	require.NoError(t, err)
	require.Equal(t, "2", d.Choices[0].Host.Zone)
	require.Equal(t, 4, f.calls)
	require.Equal(t, 25, d.Explanation.Passed)
}

type countingFilter struct{ calls int }

func (*countingFilter) Name() string { return "Counting" }

func (f *countingFilter) Prepare(*Request) Check {
	return Check{Shared: true, Host: func(h HostView) Verdict {
		f.calls++
		if h.Zone() == "2" {
			return Verdict{}
		}
		return Verdict{Reason: "elsewhere"}
	}}
}
