package scheduler_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

var inf = math.Inf(1)

// order returns the hosts in the order that one weigher gives them.
func order(t *testing.T, c scheduler.WeigherConfig, req scheduler.Request, hosts ...scheduler.Host) []string {
	t.Helper()
	s := newScheduler(t, scheduler.Config{Weighers: []scheduler.WeigherConfig{c}})
	d, err := s.Select(snapshot(t, hosts...), req, scheduler.Options{Alternates: len(hosts)})
	require.NoError(t, err)
	out := []string{d.Choices[0].Host.ID}
	for _, a := range d.Choices[0].Alternates {
		out = append(out, a.ID)
	}
	return out
}

func TestMoreWeighers(t *testing.T) {
	type H = *scheduler.Host
	metric := func(id string, v float64) scheduler.Host {
		return host(id, func(h H) { h.Metrics = map[string]float64{"cpu": v} })
	}
	with := func(w scheduler.Weigher, m float64) scheduler.WeigherConfig {
		return scheduler.WeigherConfig{Weigher: w, Multiplier: m}
	}
	require.Equal(t, []string{"b", "a", "c"}, order(t, with(scheduler.MetricsWeigher{Ratios: map[string]float64{"cpu": -1}}, 1), scheduler.Request{},
		metric("a", 50), metric("b", 10), metric("c", 90)))
	require.Equal(t, []string{"a", "c"}, order(t, with(scheduler.MetricsWeigher{Ratios: map[string]float64{"cpu": 1}, Optional: true}, 1), scheduler.Request{},
		metric("a", -5), host("c")))

	traits := func(id string, names ...string) scheduler.Host { return host(id, func(h H) { h.Traits = names }) }
	likes := scheduler.Request{ExtraSpecs: map[string]string{"trait:A": "preferred"}, ImageProperties: map[string]string{"trait:B": "preferred"}}
	require.Equal(t, []string{"ab", "a", "none"}, order(t, with(scheduler.TraitsWeigher{}, 1), likes, traits("a", "A"), traits("none"), traits("ab", "A", "B")))

	gpu := func(id string, n int64) scheduler.Host {
		return host(id, func(h H) { h.PCI = []scheduler.PCIPool{{VendorID: "10de", ProductID: "1eb8", Count: n}} })
	}
	require.Equal(t, []string{"none", "one", "two"}, order(t, with(scheduler.PCIWeigher{}, 1), scheduler.Request{}, gpu("two", 2), host("none"), gpu("one", 1)))
	require.Equal(t, []string{"two", "one"}, order(t, with(scheduler.PCIWeigher{}, 1), scheduler.Request{PCI: []scheduler.PCIRequest{{Count: 1}}}, gpu("one", 1), gpu("two", 2)))

	many := func(id string, n int) scheduler.Host { return host(id, func(h H) { h.NumInstances = n }) }
	require.Equal(t, []string{"few", "many"}, order(t, with(scheduler.NumInstancesWeigher{}, -1), scheduler.Request{}, many("many", 5), many("few", 1)))

	version := func(id, v string) scheduler.Host {
		return host(id, func(h H) { h.Attributes = map[string]string{"hypervisor_version": v} })
	}
	require.Equal(t, []string{"new", "old"}, order(t, with(scheduler.HypervisorVersionWeigher{}, 1), scheduler.Request{}, version("old", "7002000"), version("new", "10001000")))
}

func TestSoftPoliciesHeedMaxServerPerHost(t *testing.T) {
	req := func(policy string, most int, at map[string]int) scheduler.Request {
		return scheduler.Request{Group: &scheduler.Group{Policy: policy, MaxServerPerHost: most, MembersByHost: at}}
	}
	soft := scheduler.WeigherConfig{Weigher: scheduler.SoftAffinityWeigher{}, Multiplier: 1}
	anti := scheduler.WeigherConfig{Weigher: scheduler.SoftAntiAffinityWeigher{}, Multiplier: 1}
	at := map[string]int{"a": 3, "b": 1}
	hosts := []scheduler.Host{host("a"), host("b"), host("c")}
	require.Equal(t, "a", order(t, soft, req(scheduler.SoftAffinity, 0, at), hosts...)[0])
	require.Equal(t, "b", order(t, soft, req(scheduler.SoftAffinity, 3, at), hosts...)[0], "a has its share")
	require.Equal(t, []string{"c", "b", "a"}, order(t, anti, req(scheduler.SoftAntiAffinity, 0, at), hosts...))
	require.Equal(t, "a", order(t, anti, req(scheduler.SoftAntiAffinity, 2, at), hosts...)[2], "b still has room for one")
}

func TestMultiplierOfAnAggregate(t *testing.T) {
	w := scheduler.WeigherConfig{Weigher: scheduler.CPUWeigher{}, Multiplier: 1, AggregateKey: "cpu_weight_multiplier"}
	full := host("full", func(h *scheduler.Host) {
		h.Used[scheduler.VCPU], h.Aggregates = 64, []scheduler.Aggregate{meta("cpu_weight_multiplier", "5")}
	})
	require.Equal(t, []string{"full", "empty"}, order(t, w, scheduler.Request{}, host("empty"), full))
}

func TestPresets(t *testing.T) {
	used := func(id string, cpus int64, total int64) scheduler.Host {
		return host(id, func(h *scheduler.Host) {
			h.Inventory[scheduler.VCPU] = scheduler.Inventory{Total: total, Ratio: 1}
			h.Used[scheduler.VCPU] = cpus
		})
	}
	hosts := []scheduler.Host{used("big", 10, 100), used("small", 5, 10), used("mid", 40, 50)}
	for preset, want := range map[string]string{
		scheduler.PresetLeastLoaded: "small", scheduler.PresetPack: "small", scheduler.PresetSpread: "big", scheduler.PresetFilter: "big", scheduler.PresetCaching: "big",
	} {
		c, err := scheduler.Preset(preset)
		require.NoError(t, err)
		d, err := newScheduler(t, c).Select(snapshot(t, hosts...), scheduler.Request{ID: "s", Resources: scheduler.Resources{scheduler.VCPU: 1}}, scheduler.Options{})
		require.NoError(t, err)
		require.Equal(t, want, d.Choices[0].Host.ID, preset)
	}
	for _, preset := range []string{scheduler.PresetRandom, scheduler.PresetRandomInZone} {
		c, err := scheduler.Preset(preset)
		require.NoError(t, err)
		s, seen := newScheduler(t, c), map[string]int{}
		snap := snapshot(t, append(hosts, host("other", func(h *scheduler.Host) { h.Zone = "az2" }))...)
		for seed := range uint64(300) {
			d, err := s.Select(snap, scheduler.Request{ID: "s", Zone: "nova"}, scheduler.Options{Seed: seed})
			require.NoError(t, err)
			seen[d.Choices[0].Host.ID]++
		}
		for _, h := range hosts {
			require.Greater(t, seen[h.ID], 40, "%s: %v", preset, seen)
		}
		require.Equal(t, preset == scheduler.PresetRandom, seen["other"] > 0)
	}
	_, err := scheduler.Preset("astrology")
	require.ErrorIs(t, err, nephos.ErrInvalid)
	require.Len(t, scheduler.Presets(), 7)
}

func TestMultipliersAreNumbers(t *testing.T) {
	for _, m := range []float64{math.NaN(), inf} {
		_, err := scheduler.New(scheduler.Config{Weighers: []scheduler.WeigherConfig{{Weigher: scheduler.RAMWeigher{}, Multiplier: m}}})
		require.ErrorIs(t, err, nephos.ErrInvalid)
	}
}

func TestNames(t *testing.T) {
	for _, name := range scheduler.FilterNames() {
		_, err := scheduler.FilterNamed(name)
		require.NoError(t, err)
	}
	for _, name := range scheduler.WeigherNames() {
		_, err := scheduler.WeigherNamed(name)
		require.NoError(t, err)
	}
	fs, err := scheduler.FiltersNamed("RamFilter", "CoreFilter", "AggregateIoOpsFilter", "JsonFilter")
	require.NoError(t, err)
	require.Len(t, fs, 3)
	_, err = scheduler.New(scheduler.Config{Filters: fs})
	require.NoError(t, err)
	_, err = scheduler.FiltersNamed("MoodFilter")
	require.ErrorIs(t, err, nephos.ErrInvalid)
	require.ErrorContains(t, err, "AvailabilityZoneFilter")
	_, err = scheduler.WeigherNamed("MoodWeigher")
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

func TestCacheIsAsOldAsItMayBe(t *testing.T) {
	snap := snapshot(t, host("a", func(h *scheduler.Host) { h.Inventory[scheduler.VCPU] = scheduler.Inventory{Total: 2, Ratio: 1} }))
	c := &scheduler.Cache{Scheduler: newScheduler(t, scheduler.Config{}), Source: snap, MaxAge: time.Minute}
	start := time.Unix(1000, 0)
	want := scheduler.Request{ID: "s", Resources: scheduler.Resources{scheduler.VCPU: 1}}
	for i := range 2 {
		_, age, err := c.Select(start.Add(time.Duration(i)*time.Second), want, scheduler.Options{})
		require.NoError(t, err)
		require.Equal(t, time.Duration(i)*time.Second, age)
	}
	require.NoError(t, snap.Put(host("b")))
	_, _, err := c.Select(start.Add(59*time.Second), want, scheduler.Options{})
	require.ErrorIs(t, err, nephos.ErrNoCapacity, "its own choices are counted, and b is not known yet")
	d, age, err := c.Select(start.Add(time.Minute), want, scheduler.Options{})
	require.NoError(t, err)
	require.Zero(t, age)
	require.Equal(t, "b", d.Choices[0].Host.ID)
	h, _ := snap.Get("b")
	require.Zero(t, h.Used[scheduler.VCPU], "the snapshot itself is left alone")
}

func TestCloneIsApart(t *testing.T) {
	snap := snapshot(t, host("a", func(h *scheduler.Host) { h.Inventory["CUSTOM_X"] = scheduler.Inventory{Total: 2} }), host("b"))
	c := snap.Clone()
	require.NoError(t, c.Claim("a", scheduler.Resources{"CUSTOM_X": 2, scheduler.VCPU: 1}))
	require.True(t, c.Remove("b"))
	require.NoError(t, c.Put(host("c", func(h *scheduler.Host) { h.Zone = "az9" })))
	h, _ := snap.Get("a")
	require.Empty(t, h.Used)
	require.Equal(t, []string{"a", "b"}, snap.IDs())
	require.Equal(t, []string{"a", "c"}, c.IDs())
	for i := range 3 {
		require.NoError(t, snap.Put(host(fmt.Sprint("n", i), func(h *scheduler.Host) { h.Zone = fmt.Sprint(i) })))
	}
	got, _ := c.Get("c")
	require.Equal(t, "az9", got.Zone)
}

// Ratios of hosts and aggregates hold from the moment that they are put.
func TestRatiosChangeLive(t *testing.T) {
	snap := snapshot(t, host("h"))
	s := newScheduler(t, scheduler.Config{})
	fits := func(vcpus int64) bool {
		_, err := s.Select(snap, scheduler.Request{Resources: scheduler.Resources{scheduler.VCPU: vcpus}}, scheduler.Options{})
		return err == nil
	}
	require.True(t, fits(128))
	require.NoError(t, snap.Put(host("h", func(h *scheduler.Host) { h.Inventory[scheduler.VCPU] = scheduler.Inventory{Total: 8, Ratio: 2} })))
	require.True(t, fits(16))
	require.False(t, fits(17))
	require.NoError(t, snap.Put(host("h", func(h *scheduler.Host) {
		h.Aggregates = []scheduler.Aggregate{meta("cpu_allocation_ratio", "4"), meta("cpu_allocation_ratio", "1")}
	})))
	require.True(t, fits(8))
	require.False(t, fits(9))
	require.NoError(t, snap.Put(host("h")))
	require.True(t, fits(128))
}
