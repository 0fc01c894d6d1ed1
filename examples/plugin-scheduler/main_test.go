package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/plugin"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/extension"
	"github.com/nephos-cloud/nephos/scheduler/extension/extensiontest"
)

// The whole test that an author writes, as it is and over a real connection; what
// certify runs against the program.
func TestRacksPass(t *testing.T) {
	o := extensiontest.Options{Requests: []extension.Request{{ID: "s", Hints: []extension.Hint{{Name: "not_rack", Values: []string{"r1", "r2"}}}}}}
	extensiontest.Run(t, func(drivertest.T) extension.Extension { return Racks{} }, o)
	extensiontest.Run(t, func(t drivertest.T) extension.Extension {
		e, err := plugin.Loop[extension.Extension](t.Context(), Racks{}, plugin.LoopOptions{})
		require.NoError(t, err)
		p, _ := plugin.Of(e)
		t.Cleanup(func() { require.NoError(t, p.Close()) })
		return e
	}, o)
}

// And what it is for: decisions made with it, over a real connection.
func TestRacks(t *testing.T) {
	e, err := plugin.Loop[extension.Extension](t.Context(), Racks{}, plugin.LoopOptions{})
	require.NoError(t, err)
	p, ok := plugin.Of(e)
	require.True(t, ok)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	parts, err := extension.Open(t.Context(), e, extension.Options{Name: "RackFilter"})
	require.NoError(t, err)
	s, err := scheduler.New(scheduler.Config{
		Filters: append(scheduler.DefaultFilters(), parts.Filter), Weighers: []scheduler.WeigherConfig{{Weigher: parts.Weigher, Multiplier: 1}},
	})
	require.NoError(t, err)
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	for id, rack := range map[string]string{"a1": "r1", "a2": "r1", "b1": "r2"} {
		h := scheduler.Host{ID: id, Up: true, Enabled: true, Inventory: map[string]scheduler.Inventory{scheduler.VCPU: {Total: 8, Ratio: 1}}}
		if id == "a2" {
			h.Aggregates = []scheduler.Aggregate{{ID: "1", Metadata: map[string]string{"rack": rack}}}
		} else {
			h.Attributes = map[string]string{"rack": rack}
		}
		require.NoError(t, snap.Put(h))
	}
	d, err := s.Select(snap, scheduler.Request{ID: "s"}, scheduler.Options{Alternates: 2})
	require.NoError(t, err)
	require.Equal(t, "b1", d.Choices[0].Alternates[1].ID, "the rack with less room comes last")
	d, err = s.Select(snap, scheduler.Request{ID: "s", Hints: map[string][]string{"not_rack": {"r1"}}}, scheduler.Options{})
	require.NoError(t, err)
	require.Equal(t, "b1", d.Choices[0].Host.ID)
	_, err = s.Select(snap, scheduler.Request{ID: "s", Hints: map[string][]string{"not_rack": {"r1", "r2"}}}, scheduler.Options{})
	require.ErrorContains(t, err, "3 in an unwanted rack")
}
