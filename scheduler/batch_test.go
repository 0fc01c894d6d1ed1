package scheduler_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

// batches is a filter and a weigher that judge many hosts at once.
type batches struct {
	asked  *[]int // how many hosts each call was about
	judge  func(h scheduler.HostView) string
	cut    int // verdicts left out
	panics bool
}

func (b batches) Name() string { return "Batches" }

func (b batches) Prepare(*scheduler.Request) scheduler.Check {
	return scheduler.Check{Batch: func(hosts []scheduler.HostView) []scheduler.Verdict {
		if b.panics {
			panic("boom")
		}
		*b.asked = append(*b.asked, len(hosts))
		var out []scheduler.Verdict
		for _, h := range hosts[b.cut:] {
			out = append(out, scheduler.Verdict{Reason: b.judge(h)})
		}
		return out
	}}
}

func (b batches) Weigh(*scheduler.Request, scheduler.HostView) float64 { panic("one by one") }

func (b batches) WeighAll(_ *scheduler.Request, hosts []scheduler.HostView) []float64 {
	*b.asked = append(*b.asked, len(hosts))
	var out []float64
	for _, h := range hosts[b.cut:] {
		out = append(out, -float64(h.NumInstances()))
	}
	return out
}

func TestBatchesTakeOneCall(t *testing.T) {
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	for i := range 5 {
		require.NoError(t, snap.Put(host(fmt.Sprint("h", i), func(h *scheduler.Host) { h.Enabled = i != 0; h.NumInstances = i })))
	}
	var judged, weighed []int
	odd := func(h scheduler.HostView) string {
		if h.NumInstances()%2 == 1 {
			return "odd"
		}
		return ""
	}
	s := newScheduler(t, scheduler.Config{
		Filters:  []scheduler.Filter{batches{asked: &judged, judge: odd}},
		Weighers: []scheduler.WeigherConfig{{Weigher: batches{asked: &weighed}, Multiplier: 1}},
	})
	d, err := s.Select(snap, small("s"), scheduler.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"h2"}, chosen(d))
	require.Equal(t, []int{4}, judged, "those that came so far, in one call")
	require.Equal(t, []int{2}, weighed)

	judged = nil
	r, err := s.Explain(snap, small("s"), scheduler.ExplainOptions{})
	require.NoError(t, err)
	require.Equal(t, "odd", r.Hosts[1].Filters[2].Reason)
	require.Equal(t, []int{4, 1, 4}, judged, "the disabled host is asked about for the report")

	judged = nil
	j, err := s.Judge(snap, small("s"), []string{"h0", "h1", "h2"})
	require.NoError(t, err)
	require.Len(t, j, 3)
	require.Equal(t, []int{3}, judged)

	judged = nil
	all := newScheduler(t, scheduler.Config{Filters: []scheduler.Filter{batches{asked: &judged, judge: func(scheduler.HostView) string { return "unfit" }}}})
	d, err = all.Select(snap, small("s"), scheduler.Options{})
	require.ErrorIs(t, err, nephos.ErrNoCapacity)
	require.ErrorContains(t, err, "4 unfit, 1 disabled")
	require.NotNil(t, d.Explanation.Nearest)
	require.LessOrEqual(t, len(judged), 2)
}

func TestBadBatchesTurnAway(t *testing.T) {
	var asked []int
	pass := func(scheduler.HostView) string { return "" }
	snap := snapshot(t, host("h1"), host("h2"))
	for name, b := range map[string]batches{"panics": {asked: &asked, judge: pass, panics: true}, "too few": {asked: &asked, judge: pass, cut: 1}} {
		_, err := newScheduler(t, scheduler.Config{Filters: []scheduler.Filter{b}}).Select(snap, small("s"), scheduler.Options{})
		require.ErrorContains(t, err, "2 could not be judged by Batches", name)
	}
	s := newScheduler(t, scheduler.Config{Weighers: []scheduler.WeigherConfig{{Weigher: batches{asked: &asked, cut: 1}, Multiplier: 1}}})
	d, err := s.Select(snap, small("s"), scheduler.Options{})
	require.NoError(t, err)
	require.Contains(t, d.Explanation.Notes, "Batches failed and was not counted on some hosts")
}
