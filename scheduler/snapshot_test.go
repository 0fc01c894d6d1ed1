package scheduler_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

func TestSnapshotKeepsWhatWasPut(t *testing.T) {
	h := host("h1", func(h *scheduler.Host) {
		h.Name, h.Node, h.Zone = "compute1", "node1", "az1"
		h.Inventory["CUSTOM_GPU"] = scheduler.Inventory{Total: 2, Ratio: 1, MaxUnit: 1}
		h.Used["CUSTOM_GPU"], h.Used[scheduler.VCPU] = 1, 3
		h.Traits, h.Attributes = []string{"A", "B"}, map[string]string{"k": "v"}
		h.Supported = []scheduler.Guest{{Arch: "x86_64", HVType: "kvm", VMMode: "hvm"}}
		h.Aggregates = []scheduler.Aggregate{meta("a", "b")}
		h.NumInstances, h.NumIOOps, h.FailedBuilds, h.Generation, h.DisabledReason = 1, 2, 3, 7, "r"
	})
	snap := snapshot(t, host("h0"), h, host("h2"))
	got, ok := snap.Get("h1")
	require.True(t, ok)
	require.Equal(t, h, got)

	got.Attributes["k"], got.Aggregates[0].Metadata["a"], got.Traits[0] = "x", "x", "x"
	again, _ := snap.Get("h1")
	require.Equal(t, h, again, "what is handed out is a copy")

	old := h
	old.Generation = 6
	require.ErrorIs(t, snap.Put(old), nephos.ErrConflict)
	require.ErrorIs(t, snap.SetUsage("h1", scheduler.Usage{Generation: 6}), nephos.ErrConflict)
	require.NoError(t, snap.SetUsage("h1", scheduler.Usage{Used: scheduler.Resources{scheduler.DiskGB: 5}, NumInstances: 9, Generation: 8}))
	again, _ = snap.Get("h1")
	require.Equal(t, scheduler.Resources{scheduler.DiskGB: 5}, again.Used)
	require.Equal(t, 9, again.NumInstances)
	require.Equal(t, int64(8), again.Generation)

	require.True(t, snap.Remove("h0"))
	require.False(t, snap.Remove("h0"))
	require.Equal(t, []string{"h1", "h2"}, snap.IDs())
	_, ok = snap.Get("h2")
	require.True(t, ok, "the host that moved into the gap is found")
	require.ErrorIs(t, snap.SetUsage("h0", scheduler.Usage{}), nephos.ErrNotFound)
	require.ErrorIs(t, snap.Claim("h0", nil), nephos.ErrNotFound)
	require.ErrorIs(t, snap.Release("h0", nil), nephos.ErrNotFound)
}

func TestClaim(t *testing.T) {
	snap := snapshot(t, host("h", func(h *scheduler.Host) {
		h.Inventory["CUSTOM_GPU"] = scheduler.Inventory{Total: 4, StepSize: 2}
	}))
	both := scheduler.Resources{scheduler.DiskGB: 60, "CUSTOM_GPU": 2}
	require.NoError(t, snap.Claim("h", both))
	require.ErrorIs(t, snap.Claim("h", both), nephos.ErrNoCapacity)
	require.ErrorIs(t, snap.Claim("h", scheduler.Resources{"CUSTOM_GPU": 1}), nephos.ErrNoCapacity)
	require.ErrorIs(t, snap.Claim("h", scheduler.Resources{"CUSTOM_NONE": 1}), nephos.ErrNoCapacity)
	require.ErrorIs(t, snap.Claim("h", scheduler.Resources{"CUSTOM_GPU": -1}), nephos.ErrInvalid)
	got, _ := snap.Get("h")
	require.Equal(t, both, got.Used, "a claim that fails takes nothing")
	require.Equal(t, 1, got.NumInstances)
	require.NoError(t, snap.Release("h", both))
	got, _ = snap.Get("h")
	require.Empty(t, got.Used)
}

// classes for random hosts: two that every host has, one that some have.
var someClasses = []string{scheduler.VCPU, scheduler.MemoryMB, "CUSTOM_GPU"}

func drawHost(t *rapid.T, id string) scheduler.Host {
	h := scheduler.Host{ID: id, Up: rapid.IntRange(0, 9).Draw(t, "up") > 0, Enabled: true, Inventory: map[string]scheduler.Inventory{}, Used: scheduler.Resources{}}
	h.Zone = rapid.SampledFrom([]string{"", "az1", "az2"}).Draw(t, "zone")
	for _, class := range someClasses {
		if rapid.IntRange(0, 3).Draw(t, "has") == 0 {
			continue
		}
		h.Inventory[class] = scheduler.Inventory{
			Total: rapid.Int64Range(0, 40).Draw(t, "total"), Reserved: rapid.Int64Range(0, 4).Draw(t, "reserved"),
			Ratio:   rapid.SampledFrom([]float64{0, 1, 1.5, 2}).Draw(t, "ratio"),
			MinUnit: rapid.Int64Range(0, 2).Draw(t, "min"), MaxUnit: rapid.Int64Range(0, 20).Draw(t, "max"), StepSize: rapid.Int64Range(0, 2).Draw(t, "step"),
		}
		h.Used[class] = rapid.Int64Range(0, 30).Draw(t, "used")
	}
	return h
}

func drawResources(t *rapid.T) scheduler.Resources {
	r := scheduler.Resources{}
	for _, class := range someClasses {
		r[class] = rapid.Int64Range(0, 12).Draw(t, class)
	}
	return r
}

// TestSelectNeverOvercommits: whatever is chosen can be claimed, server by
// server, and counts, zone and group rules hold; and the same question has the
// same answer.
func TestSelectNeverOvercommits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
		for i := range rapid.IntRange(0, 12).Draw(t, "hosts") {
			if err := snap.Put(drawHost(t, fmt.Sprint("h", i))); err != nil {
				t.Fatal(err)
			}
		}
		req := scheduler.Request{
			ID: "s", Resources: drawResources(t), Count: rapid.IntRange(0, 8).Draw(t, "count"),
			Zone: rapid.SampledFrom([]string{"", "az1", "nova"}).Draw(t, "zone"),
		}
		if p := rapid.SampledFrom([]string{"", scheduler.Affinity, scheduler.AntiAffinity, scheduler.SoftAntiAffinity}).Draw(t, "policy"); p != "" {
			req.Group = &scheduler.Group{Policy: p, MaxServerPerHost: rapid.IntRange(0, 2).Draw(t, "rule")}
		}
		s, _ := scheduler.New(scheduler.Config{})
		o := scheduler.Options{Seed: rapid.Uint64().Draw(t, "seed"), Alternates: 2}
		d, err := s.Select(snap, req, o)
		again, err2 := s.Select(snap, req, o)
		require.Equal(t, d, again)
		require.Equal(t, err, err2)
		for _, f := range d.Explanation.Filters {
			require.LessOrEqual(t, f.Rejected, f.In)
		}
		if err != nil {
			require.ErrorIs(t, err, nephos.ErrNoCapacity)
			require.Empty(t, d.Choices)
			if snap.Len() > 0 {
				require.NotEmpty(t, d.Explanation.Nearest.Verdicts)
			}
			return
		}
		require.Len(t, d.Choices, max(req.Count, 1))
		on := map[string]int{}
		for _, c := range d.Choices {
			require.NoError(t, snap.Claim(c.Host.ID, req.Resources), "chosen, but does not fit")
			h, _ := snap.Get(c.Host.ID)
			require.True(t, h.Up && h.Enabled)
			if req.Zone == "nova" {
				require.Empty(t, h.Zone)
			} else if req.Zone != "" {
				require.Equal(t, req.Zone, h.Zone)
			}
			on[c.Host.ID]++
			for _, a := range c.Alternates {
				require.NotEqual(t, c.Host.ID, a.ID)
			}
		}
		if g := req.Group; g != nil && g.Policy == scheduler.Affinity {
			require.Len(t, on, 1)
		}
		if g := req.Group; g != nil && g.Policy == scheduler.AntiAffinity {
			for _, n := range on {
				require.LessOrEqual(t, n, max(g.MaxServerPerHost, 1))
			}
		}
		if len(d.Choices) == 1 {
			for _, a := range d.Choices[0].Alternates {
				require.NoError(t, snap.Claim(a.ID, req.Resources), "an alternate that does not fit")
			}
		}
	})
}

// TestSnapshotConservesCapacity runs random changes against a plain model.
func TestSnapshotConservesCapacity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
		model := map[string]scheduler.Host{}
		id := func(t *rapid.T) string { return rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "id") }
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				h := drawHost(t, id(t))
				require.NoError(t, snap.Put(h))
				model[h.ID] = h
			},
			"remove": func(t *rapid.T) {
				i := id(t)
				_, known := model[i]
				require.Equal(t, known, snap.Remove(i))
				delete(model, i)
			},
			"claim": func(t *rapid.T) {
				i, want := id(t), drawResources(t)
				h, known := model[i]
				fits := known
				for class, n := range want {
					inv := h.Inventory[class]
					fits = fits && (n == 0 || n+h.Used[class] <= inv.Capacity(h.Ratio(class, nil)) && inv.Fits(n))
				}
				err := snap.Claim(i, want)
				require.Equal(t, fits, err == nil, "%v", err)
				if fits {
					h.Used = h.Used.Add(want)
					h.NumInstances++
					model[i] = h
				}
			},
			"": func(t *rapid.T) {
				require.Equal(t, len(model), snap.Len())
				for i, want := range model {
					got, ok := snap.Get(i)
					require.True(t, ok)
					require.Equal(t, want.Zone, got.Zone)
					require.Equal(t, want.NumInstances, got.NumInstances)
					for class := range want.Inventory {
						require.Equal(t, want.Used[class], got.Used[class], class)
						require.Equal(t, want.Inventory[class], got.Inventory[class], class)
					}
				}
			},
		})
	})
}

func TestZoneOfAggregatesStaysTheirs(t *testing.T) {
	h := host("h", func(h *scheduler.Host) { h.Aggregates = []scheduler.Aggregate{meta("availability_zone", "az1")} })
	snap := snapshot(t, h)
	got, _ := snap.Get("h")
	require.Empty(t, got.Zone)
	got.Aggregates = []scheduler.Aggregate{meta("availability_zone", "az2")}
	require.NoError(t, snap.Put(got))
	s := newScheduler(t, scheduler.Config{})
	d, err := s.Select(snap, scheduler.Request{Zone: "az2"}, scheduler.Options{})
	require.NoError(t, err)
	require.Equal(t, "az2", d.Choices[0].Host.Zone)
}
