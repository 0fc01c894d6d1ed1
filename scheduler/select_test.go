package scheduler_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

func newScheduler(t testing.TB, c scheduler.Config) *scheduler.Scheduler {
	t.Helper()
	s, err := scheduler.New(c)
	require.NoError(t, err)
	return s
}

func small(id string) scheduler.Request {
	return scheduler.Request{ID: id, Resources: scheduler.Resources{scheduler.VCPU: 1, scheduler.MemoryMB: 1024, scheduler.DiskGB: 10}}
}

func chosen(d scheduler.Decision) []string {
	var out []string
	for _, c := range d.Choices {
		out = append(out, c.Host.ID)
	}
	return out
}

func TestNoValidHostSaysWhy(t *testing.T) {
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	for i := range 9 {
		require.NoError(t, snap.Put(host(fmt.Sprintf("a%d", i), func(h *scheduler.Host) {
			h.Zone, h.Used[scheduler.MemoryMB] = "az1", 24576-1536+int64(i)
		})))
	}
	for i := range 3 {
		require.NoError(t, snap.Put(host(fmt.Sprintf("b%d", i), func(h *scheduler.Host) {
			h.Zone, h.DisabledReason = "az2", "secret remark"
		})))
	}
	req := scheduler.Request{ID: "s", Zone: "az1", Resources: scheduler.Resources{scheduler.MemoryMB: 2048}}
	d, err := newScheduler(t, scheduler.Config{}).Select(snap, req, scheduler.Options{})
	require.ErrorIs(t, err, nephos.ErrNoCapacity)
	const summary = "No valid host: 12 hosts, 9 lack memory (nearest short of 512 MiB), 3 in another zone"
	require.Equal(t, summary, d.Explanation.Summary())
	require.Equal(t, "No valid host was found. There are not enough hosts available. "+summary+".", err.Error())
	require.Empty(t, d.Choices)

	require.Equal(t, "a0", d.Explanation.Nearest.Host.ID)
	require.Equal(t, scheduler.Resources{scheduler.MemoryMB: 512}, d.Explanation.Nearest.Short)
	require.Equal(t, []string{"free 512 MiB"}, d.Explanation.Nearest.Advice)

	f := d.Explanation.Filters
	require.Equal(t, []string{"ComputeFilter", "ResourceFilter", "AvailabilityZoneFilter"}, []string{f[0].Name, f[1].Name, f[2].Name})
	require.Equal(t, 12, f[1].In)
	require.Equal(t, 9, f[1].Rejected)
	require.Len(t, f[1].Samples, 5, "samples are bounded")
	require.Equal(t, int64(2048), f[1].Samples[0].Wanted)
	require.Equal(t, int64(1536), f[1].Samples[0].Free)

	b, err := json.Marshal(d.Explanation)
	require.NoError(t, err)
	var back scheduler.Explanation
	require.NoError(t, json.Unmarshal(b, &back))
	require.Equal(t, d.Explanation, back)
}

func TestSummaryKeepsRemarksFromUsers(t *testing.T) {
	snap := snapshot(t, host("compute-secret", func(h *scheduler.Host) { h.Enabled, h.DisabledReason = false, "remark" }))
	d, err := newScheduler(t, scheduler.Config{}).Select(snap, small("s"), scheduler.Options{})
	require.Error(t, err)
	require.Equal(t, "No valid host: 1 host, 1 disabled", d.Explanation.Summary())
	require.Equal(t, "remark", d.Explanation.Nearest.Verdicts[0].Saw)
	_, err = newScheduler(t, scheduler.Config{}).Select(scheduler.NewSnapshot(scheduler.SnapshotConfig{}), small("s"), scheduler.Options{})
	require.ErrorContains(t, err, "No valid host: 0 hosts.")
}

func TestPanickingFilterTurnsTheHostAway(t *testing.T) {
	bad := scheduler.NewFilter("Bad", func(_ *scheduler.Request, h scheduler.HostView) scheduler.Verdict {
		if h.ID() != "h2" {
			panic("boom " + strings.Repeat("x", 1000))
		}
		return scheduler.Verdict{}
	})
	snap := snapshot(t, host("h1"), host("h2"), host("h3"))
	s := newScheduler(t, scheduler.Config{Filters: []scheduler.Filter{bad}})
	d, err := s.Select(snap, small("s"), scheduler.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"h2"}, chosen(d))
	last := d.Explanation.Filters[len(d.Explanation.Filters)-1]
	require.Equal(t, 2, last.Rejected)
	require.Equal(t, "could not be judged by Bad", last.Samples[0].Reason)
	require.Contains(t, last.Samples[0].Saw, "panic: boom")
	require.Less(t, len(last.Samples[0].Saw), 300)

	s = newScheduler(t, scheduler.Config{Filters: []scheduler.Filter{panicker{}}})
	_, err = s.Select(snap, small("s"), scheduler.Options{})
	require.ErrorContains(t, err, "3 could not be judged by Panicker")
}

type panicker struct{}

func (panicker) Name() string                               { return "Panicker" }
func (panicker) Prepare(*scheduler.Request) scheduler.Check { panic("boom") }
func (panicker) Weigh(_ *scheduler.Request, h scheduler.HostView) float64 {
	if h.ID() == "h1" {
		panic("boom")
	}
	return math.NaN()
}

func TestPanickingWeigherIsNotCounted(t *testing.T) {
	s := newScheduler(t, scheduler.Config{Weighers: []scheduler.WeigherConfig{
		{Weigher: panicker{}, Multiplier: 5}, {Weigher: scheduler.CPUWeigher{}, Multiplier: 1},
	}})
	snap := snapshot(t, host("h1", func(h *scheduler.Host) { h.Used[scheduler.VCPU] = 4 }), host("h2"))
	d, err := s.Select(snap, small("s"), scheduler.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"h2"}, chosen(d))
	require.NotEmpty(t, d.Explanation.Notes)
	_, err = json.Marshal(d.Explanation)
	require.NoError(t, err, "a weight that is no number must not break the record")
}

func TestReasonsAreBounded(t *testing.T) {
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	for i := range 40 {
		require.NoError(t, snap.Put(host(fmt.Sprint(i))))
	}
	f := scheduler.NewFilter("Chatty", func(_ *scheduler.Request, h scheduler.HostView) scheduler.Verdict {
		return scheduler.Verdict{Reason: "named " + h.ID()}
	})
	d, err := newScheduler(t, scheduler.Config{Filters: []scheduler.Filter{f}}).Select(snap, small("s"), scheduler.Options{})
	require.Error(t, err)
	last := d.Explanation.Filters[len(d.Explanation.Filters)-1]
	require.LessOrEqual(t, len(last.Reasons), 16)
	require.Equal(t, 40, last.Rejected)
}

func TestWeights(t *testing.T) {
	free := func(id string, mem, cpu int64) scheduler.Host {
		return host(id, func(h *scheduler.Host) {
			h.Used[scheduler.MemoryMB], h.Used[scheduler.VCPU] = 16384-mem, 128-cpu
		})
	}
	snap := snapshot(t, free("a", 16384, 32), free("b", 8192, 128), free("c", 4096, 64))
	pick := func(ws ...scheduler.WeigherConfig) (string, []scheduler.HostWeights) {
		d, err := newScheduler(t, scheduler.Config{Weighers: ws}).Select(snap, small("s"), scheduler.Options{})
		require.NoError(t, err)
		return d.Choices[0].Host.ID, d.Explanation.Weights
	}
	ram, cpu := scheduler.RAMWeigher{}, scheduler.CPUWeigher{}
	id, _ := pick(scheduler.WeigherConfig{Weigher: ram, Multiplier: 1})
	require.Equal(t, "a", id, "most free memory first")
	id, _ = pick(scheduler.WeigherConfig{Weigher: ram, Multiplier: -1})
	require.Equal(t, "c", id, "a negative multiplier packs")
	// Both start at 0, as Nova's do: a has 1 + .25, b .5 + 1, c .25 + .5.
	id, ws := pick(scheduler.WeigherConfig{Weigher: ram, Multiplier: 1}, scheduler.WeigherConfig{Weigher: cpu, Multiplier: 1})
	require.Equal(t, "b", id)
	require.Equal(t, []float64{1.5, 1.25, 0.75}, []float64{ws[0].Total, ws[1].Total, ws[2].Total})
	require.Equal(t, scheduler.Weight{Name: "RAMWeigher", Raw: 8192, Normalised: 0.5, Multiplier: 1}, ws[0].Weighs[0])

	// Aggregates overrule the multiplier; the smallest counts.
	h := free("c", 4096, 64)
	h.Aggregates = []scheduler.Aggregate{meta("ram_weight_multiplier", "100"), meta("ram_weight_multiplier", "40"), meta("ram_weight_multiplier", "x")}
	require.NoError(t, snap.Put(h))
	id, ws = pick(scheduler.WeigherConfig{Weigher: ram, Multiplier: 1, AggregateKey: "ram_weight_multiplier"})
	require.Equal(t, "c", id)
	require.Equal(t, 10.0, ws[0].Total)
}

func TestNormalisationBetweenLeastAndGreatest(t *testing.T) {
	snap := snapshot(t, host("a"), host("b"), host("c"))
	w := weigherFunc(func(h scheduler.HostView) float64 { return map[string]float64{"a": -10, "b": 0, "c": 30}[h.ID()] })
	d, err := newScheduler(t, scheduler.Config{Weighers: []scheduler.WeigherConfig{{Weigher: w, Multiplier: 2}}}).Select(snap, small("s"), scheduler.Options{})
	require.NoError(t, err)
	got := map[string]float64{}
	for _, hw := range d.Explanation.Weights {
		got[hw.Host.ID] = hw.Total
	}
	require.Equal(t, map[string]float64{"a": 0, "b": 0.5, "c": 2}, got)
}

type weigherFunc func(scheduler.HostView) float64

func (weigherFunc) Name() string                                               { return "test" }
func (f weigherFunc) Weigh(_ *scheduler.Request, h scheduler.HostView) float64 { return f(h) }

func TestQuietAndHealthyHostsArePreferred(t *testing.T) {
	s := newScheduler(t, scheduler.Config{})
	d, err := s.Select(snapshot(t, host("a", func(h *scheduler.Host) { h.NumIOOps = 3 }), host("b")), small("s"), scheduler.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"b"}, chosen(d))
	d, err = s.Select(snapshot(t, host("a", func(h *scheduler.Host) { h.FailedBuilds = 1 }),
		host("b", func(h *scheduler.Host) { h.Used[scheduler.MemoryMB] = 8192 })), small("s"), scheduler.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"b"}, chosen(d))
}

func TestSeedSettlesTies(t *testing.T) {
	hosts := make([]scheduler.Host, 20)
	for i := range hosts {
		hosts[i] = host(fmt.Sprintf("h%02d", i))
	}
	s := newScheduler(t, scheduler.Config{})
	forward := snapshot(t, hosts...)
	backward := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	for i := range hosts {
		require.NoError(t, backward.Put(hosts[len(hosts)-1-i]))
	}
	seen := map[string]bool{}
	for seed := range uint64(50) {
		o := scheduler.Options{Seed: seed, Alternates: 3}
		a, err := s.Select(forward, small("s"), o)
		require.NoError(t, err)
		b, err := s.Select(backward, small("s"), o)
		require.NoError(t, err)
		require.Equal(t, a.Choices, b.Choices, "the order in which hosts became known must not matter")
		seen[chosen(a)[0]] = true
	}
	require.Greater(t, len(seen), 5, "seeds spread ties")
}

func TestAlternates(t *testing.T) {
	s := newScheduler(t, scheduler.Config{})
	var hosts []scheduler.Host
	for i := range 5 {
		hosts = append(hosts, host(fmt.Sprintf("h%d", i), func(h *scheduler.Host) { h.Used[scheduler.MemoryMB] = int64(i) * 1000 }))
	}
	d, err := s.Select(snapshot(t, hosts...), small("s"), scheduler.Options{Alternates: 2})
	require.NoError(t, err)
	require.Equal(t, "h0", d.Choices[0].Host.ID)
	require.Equal(t, []scheduler.HostRef{{ID: "h1", Name: "h1"}, {ID: "h2", Name: "h2"}}, d.Choices[0].Alternates)
}

func TestManyServersInOneDecision(t *testing.T) {
	s := newScheduler(t, scheduler.Config{})
	hosts := []scheduler.Host{host("a"), host("b"), host("c")}
	t.Run("spread over equal hosts", func(t *testing.T) {
		req := small("s")
		req.Count = 6
		d, err := s.Select(snapshot(t, hosts...), req, scheduler.Options{})
		require.NoError(t, err)
		n := map[string]int{}
		for _, id := range chosen(d) {
			n[id]++
		}
		require.Equal(t, map[string]int{"a": 2, "b": 2, "c": 2}, n)
	})
	for name, w := range map[string]scheduler.Weigher{"memory": scheduler.RAMWeigher{}, "cpu": scheduler.CPUWeigher{}, "disk": scheduler.DiskWeigher{}} {
		t.Run("spread by "+name+" alone", func(t *testing.T) {
			one := newScheduler(t, scheduler.Config{Weighers: []scheduler.WeigherConfig{{Weigher: w, Multiplier: 1}}})
			req := small("s")
			req.Count = 3
			d, err := one.Select(snapshot(t, hosts...), req, scheduler.Options{})
			require.NoError(t, err)
			require.ElementsMatch(t, []string{"a", "b", "c"}, chosen(d))
		})
	}
	t.Run("filters see what earlier servers take", func(t *testing.T) {
		var free []int64
		f := scheduler.NewFilter("Look", func(_ *scheduler.Request, h scheduler.HostView) scheduler.Verdict {
			free = append(free, h.Free("CUSTOM_GPU"))
			return scheduler.Verdict{}
		})
		req := scheduler.Request{Count: 3, Resources: scheduler.Resources{"CUSTOM_GPU": 2}}
		_, err := newScheduler(t, scheduler.Config{Filters: []scheduler.Filter{f}}).Select(snapshot(t, host("a", func(h *scheduler.Host) {
			h.Inventory["CUSTOM_GPU"] = scheduler.Inventory{Total: 5}
		})), req, scheduler.Options{})
		require.ErrorContains(t, err, "2 of 3 servers, 1 lack CUSTOM_GPU (nearest short of 1 CUSTOM_GPU)")
		require.Equal(t, []int64{5, 3}, free[:2])
	})
	t.Run("all or none", func(t *testing.T) {
		req := scheduler.Request{Resources: scheduler.Resources{scheduler.DiskGB: 60}, Count: 4}
		d, err := s.Select(snapshot(t, hosts...), req, scheduler.Options{})
		require.ErrorIs(t, err, nephos.ErrNoCapacity)
		require.Empty(t, d.Choices)
		require.Equal(t, "No valid host: 3 hosts with room for 3 of 4 servers, 3 lack disk (nearest short of 20 GiB)", d.Explanation.Summary())
		req.Count = 3
		_, err = s.Select(snapshot(t, hosts...), req, scheduler.Options{})
		require.NoError(t, err)
	})
	t.Run("affinity", func(t *testing.T) {
		req := small("s")
		req.Count, req.Group = 4, &scheduler.Group{Policy: scheduler.Affinity}
		d, err := s.Select(snapshot(t, hosts...), req, scheduler.Options{Alternates: 2})
		require.NoError(t, err)
		for _, c := range d.Choices {
			require.Equal(t, d.Choices[0].Host, c.Host)
			require.Empty(t, c.Alternates)
		}
	})
	t.Run("anti-affinity", func(t *testing.T) {
		req := small("s")
		req.Count, req.Group = 3, &scheduler.Group{Policy: scheduler.AntiAffinity}
		d, err := s.Select(snapshot(t, hosts...), req, scheduler.Options{})
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"a", "b", "c"}, chosen(d))
		req.Count = 4
		_, err = s.Select(snapshot(t, hosts...), req, scheduler.Options{})
		require.ErrorContains(t, err, "3 already have enough of the server group")
		req.Group.MaxServerPerHost = 2
		d, err = s.Select(snapshot(t, hosts...), req, scheduler.Options{})
		require.NoError(t, err)
		require.Len(t, d.Choices, 4)
	})
	t.Run("soft affinity", func(t *testing.T) {
		soft := newScheduler(t, scheduler.Config{Weighers: []scheduler.WeigherConfig{{Weigher: scheduler.SoftAffinityWeigher{}, Multiplier: 1}}})
		req := small("s")
		req.Count, req.Group = 11, &scheduler.Group{Policy: scheduler.SoftAffinity, MembersByHost: map[string]int{"b": 1}}
		d, err := soft.Select(snapshot(t, hosts...), req, scheduler.Options{})
		require.NoError(t, err)
		for i, id := range chosen(d) {
			require.Equal(t, i < 10, id == "b", "b until its disk is full, then another")
		}
	})
	t.Run("soft anti-affinity", func(t *testing.T) {
		soft := newScheduler(t, scheduler.Config{Weighers: []scheduler.WeigherConfig{{Weigher: scheduler.SoftAntiAffinityWeigher{}, Multiplier: 1}}})
		req := small("s")
		req.Count, req.Group = 2, &scheduler.Group{Policy: scheduler.SoftAntiAffinity, MembersByHost: map[string]int{"b": 1}}
		d, err := soft.Select(snapshot(t, hosts...), req, scheduler.Options{})
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"a", "c"}, chosen(d))
	})
}

func TestBadInput(t *testing.T) {
	s := newScheduler(t, scheduler.Config{})
	snap := snapshot(t, host("a"))
	for name, req := range map[string]scheduler.Request{
		"count":    {Count: scheduler.MaxCount + 1},
		"negative": {Resources: scheduler.Resources{scheduler.VCPU: -1}},
		"huge":     {Resources: scheduler.Resources{scheduler.VCPU: math.MaxInt64}},
		"class":    {Resources: scheduler.Resources{"vcpu": 1}},
		"rule":     {Group: &scheduler.Group{MaxServerPerHost: -1}},
	} {
		_, err := s.Select(snap, req, scheduler.Options{})
		require.ErrorIs(t, err, nephos.ErrInvalid, name)
	}
	for name, edit := range map[string]func(*scheduler.Host){
		"id":       func(h *scheduler.Host) { h.ID = "" },
		"total":    func(h *scheduler.Host) { h.Inventory[scheduler.VCPU] = scheduler.Inventory{Total: -1} },
		"ratio":    func(h *scheduler.Host) { h.Inventory[scheduler.VCPU] = scheduler.Inventory{Ratio: math.NaN()} },
		"infinite": func(h *scheduler.Host) { h.Inventory[scheduler.VCPU] = scheduler.Inventory{Ratio: math.Inf(1)} },
		"used":     func(h *scheduler.Host) { h.Used[scheduler.VCPU] = -1 },
		"traits":   func(h *scheduler.Host) { h.Traits = make([]string, 5000) },
	} {
		require.ErrorIs(t, snap.Put(host("b", edit)), nephos.ErrInvalid, name)
	}
	require.Equal(t, 1, snap.Len())
	_, err := scheduler.New(scheduler.Config{Filters: []scheduler.Filter{scheduler.SameHostFilter{}, scheduler.SameHostFilter{}}})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	_, err = scheduler.New(scheduler.Config{Filters: []scheduler.Filter{nil}})
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

func TestSubsetSpreadsOverTheBest(t *testing.T) {
	s := newScheduler(t, scheduler.Config{SubsetSize: 2})
	var hosts []scheduler.Host
	for i := range 4 {
		hosts = append(hosts, host(fmt.Sprintf("h%d", i), func(h *scheduler.Host) { h.Used[scheduler.MemoryMB] = int64(i) * 1000 }))
	}
	snap, seen := snapshot(t, hosts...), map[string]bool{}
	for seed := range uint64(40) {
		d, err := s.Select(snap, small("s"), scheduler.Options{Seed: seed})
		require.NoError(t, err)
		seen[chosen(d)[0]] = true
	}
	require.Equal(t, map[string]bool{"h0": true, "h1": true}, seen)
}

func TestConcurrentUse(t *testing.T) {
	snap, s := fleet(t, 200), newScheduler(t, scheduler.Config{})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				id := fmt.Sprintf("host-%06d", (g*50+i)%200)
				switch g {
				case 0:
					h, _ := snap.Get(id)
					h.ID = id
					_ = snap.Put(h)
				case 1:
					_ = snap.Claim(id, scheduler.Resources{scheduler.VCPU: 1})
				default:
					_, err := s.Select(snap, small(id), scheduler.Options{Alternates: 2})
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}
