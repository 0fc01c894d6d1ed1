package scheduler_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

func TestExplainTellsOfEveryHost(t *testing.T) {
	snap := snapshot(t,
		host("a"), host("b", func(h *scheduler.Host) { h.Enabled = false }),
		host("c", func(h *scheduler.Host) { h.Used[scheduler.MemoryMB] = 24000 }), host("d", func(h *scheduler.Host) { h.Used[scheduler.VCPU] = 8 }),
	)
	s := newScheduler(t, scheduler.Config{})
	req := scheduler.Request{ID: "s", Zone: "nova", Resources: scheduler.Resources{scheduler.VCPU: 1, scheduler.MemoryMB: 1024}}
	r, err := s.Explain(snap, req, scheduler.ExplainOptions{})
	require.NoError(t, err)
	require.Equal(t, "a", r.Choices[0].Host.ID)
	require.Equal(t, "Placed 1 server: 4 hosts, 2 suitable, 1 disabled, 1 lack memory (nearest short of 448 MiB)", r.Explanation.Summary())
	require.Len(t, r.Hosts, 4)
	a, b, c, d := r.Hosts[0], r.Hosts[1], r.Hosts[2], r.Hosts[3]
	require.True(t, a.Passed)
	require.Len(t, a.Filters, 3, "compute, resources and zone have something to ask")
	require.Greater(t, a.Weights.Total, d.Weights.Total)
	require.Equal(t, scheduler.ResourceReport{Class: "MEMORY_MB", Wanted: 1024, Capacity: 24576, Used: 24000, Free: 576}, c.Resources[0])
	require.False(t, b.Passed)
	require.Nil(t, b.Weights)
	require.Equal(t, []string{"enable the host"}, b.Advice)
	require.Equal(t, []string{"free 448 MiB"}, c.Advice)
	require.Equal(t, "ComputeFilter", b.Filters[0].Filter)
	require.False(t, b.Filters[0].Passed)
	require.True(t, b.Filters[1].Passed)
	before, _ := snap.Get("a")
	require.Empty(t, before.Used, "nothing is claimed")

	// Several servers at once: how many would fit.
	req.Count, req.Resources[scheduler.MemoryMB] = 7, 8192
	r, err = s.Explain(snap, req, scheduler.ExplainOptions{Hosts: []string{"d", "nonesuch", "a"}})
	require.NoError(t, err)
	require.Empty(t, r.Choices)
	require.Equal(t, 6, r.Explanation.Placed)
	require.Equal(t, []string{"a", "d"}, []string{r.Hosts[0].Host.ID, r.Hosts[1].Host.ID})

	// Page by page.
	var seen []string
	for marker := ""; ; {
		r, err = s.Explain(snap, req, scheduler.ExplainOptions{Marker: marker, Limit: 3})
		require.NoError(t, err)
		for _, h := range r.Hosts {
			seen = append(seen, h.Host.ID)
		}
		if marker = r.Next; marker == "" {
			break
		}
	}
	require.Equal(t, []string{"a", "b", "c", "d"}, seen)
	_, err = s.Explain(snap, scheduler.Request{Count: -1}, scheduler.ExplainOptions{})
	require.ErrorIs(t, err, nephos.ErrInvalid)
}
