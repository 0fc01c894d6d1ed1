package cel_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/cel"
)

func host(id string, edit ...func(*scheduler.Host)) scheduler.Host {
	h := scheduler.Host{
		ID: id, Up: true, Enabled: true, Zone: "az1", Traits: []string{"CUSTOM_BIG"}, NumInstances: 3,
		Inventory: map[string]scheduler.Inventory{scheduler.VCPU: {Total: 8, Ratio: 1}, scheduler.MemoryMB: {Total: 1024, Ratio: 1}},
		Used:      scheduler.Resources{scheduler.VCPU: 2}, Attributes: map[string]string{"hypervisor_type": "QEMU"},
		Aggregates: []scheduler.Aggregate{{ID: "1", Name: "fast", Metadata: map[string]string{"ssd": "true,yes"}}},
		Metrics:    map[string]float64{"cpu": 0.5},
	}
	for _, e := range edit {
		e(&h)
	}
	return h
}

func snapshot(t testing.TB, hosts ...scheduler.Host) *scheduler.Snapshot {
	t.Helper()
	s := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	for _, h := range hosts {
		require.NoError(t, s.Put(h))
	}
	return s
}

var request = scheduler.Request{
	ID: "s1", ProjectID: "p1", Zone: "az1", FlavorName: "m1.small", Resources: scheduler.Resources{scheduler.VCPU: 1},
	ExtraSpecs: map[string]string{"gold": "yes"}, ImageProperties: map[string]string{"os_distro": "debian"}, Hints: map[string][]string{"near": {"a", "b"}},
}

func TestFilter(t *testing.T) {
	for expression, pass := range map[string]bool{
		`host.num_instances < 4`:                                         true,
		`host.num_instances < 3`:                                         false,
		`"CUSTOM_BIG" in host.traits`:                                    true,
		`host.traits.exists(t, t.startsWith("HW_"))`:                     false,
		`host.attributes["hypervisor_type"] == "QEMU"`:                   true,
		`host.free_vcpus == 6 && host.vcpus == 8`:                        true,
		`host.free["VCPU"] >= request.resources["VCPU"] * 7`:             false,
		`host.used["VCPU"] == 2 && host.capacity["MEMORY_MB"] == 1024`:   true,
		`host.zone == request.zone && host.name == host.id`:              true,
		`"fast" in host.aggregates && "yes" in host.metadata["ssd"]`:     true,
		`host.metrics["cpu"] > 0.4 && host.metrics["cpu"] < 1`:           true,
		`request.extra_specs["gold"] == "yes" && request.count == 1`:     true,
		`"b" in request.hints["near"] && request.flavor == "m1.small"`:   true,
		`request.image["os_distro"] == "windows"`:                        false,
		`request.project_id == "p1" && request.id == "s1"`:               true,
		`host.free_ram_mb == 1024 && host.free_disk_gb == 0`:             true,
		`host.node.matches("^h[0-9]$") && host.failed_builds == 0`:       true,
		`double(host.num_io_ops) / 2.0 < 1.0 && host.group_members == 0`: true,
	} {
		f, err := cel.NewFilter("Mine", expression, cel.Options{Reason: "too odd", Fix: "be even"})
		require.NoError(t, err, expression)
		s, err := scheduler.New(scheduler.Config{Filters: []scheduler.Filter{f}})
		require.NoError(t, err)
		d, err := s.Select(snapshot(t, host("h1")), request, scheduler.Options{})
		if pass {
			require.NoError(t, err, expression)
			continue
		}
		require.ErrorContains(t, err, "1 too odd", expression)
		require.Equal(t, []string{"be even"}, d.Explanation.Nearest.Advice)
		require.Equal(t, expression, d.Explanation.Nearest.Verdicts[0].Want)
	}
}

func TestWhatIsRefused(t *testing.T) {
	long := strings.Repeat("1+", 3000) + "1 > 0"
	for expression, why := range map[string]string{
		``:                               "is empty",
		`host.nmae == "x"`:               "undeclared reference to 'host.nmae' (did you mean 'host.name'?)",
		`hots.name == "x"`:               "undeclared reference to 'hots.name'",
		`host.name == 3`:                 "no matching overload",
		`host.num_instances <`:           "Syntax error",
		`host.num_instances + 1`:         "of type int, and a filter's is bool",
		`request.hints["a"][0].size == `: "Syntax error",
		`host.traits.all(a, host.traits.all(b, host.traits.all(c, a + b + c != "")))`:                             "the expression may cost",
		`[1,2,3,4,5,6,7,8,9].map(a, [1,2,3,4,5,6,7,8,9].map(b, host.traits.map(c, host.traits.map(d, 1)))) == []`: "may cost",
		strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200):                                              "recursion",
		long: "",
		`"` + strings.Repeat("x", 20000) + `" == ""`: "longer than",
	} {
		_, err := cel.NewFilter("Mine", expression, cel.Options{})
		require.ErrorIs(t, err, nephos.ErrInvalid, expression)
		require.ErrorContains(t, err, "making filter Mine: ", expression)
		require.ErrorContains(t, err, why, expression)
	}
	_, err := cel.NewWeigher("Mine", `host.name`, cel.Options{})
	require.ErrorContains(t, err, "of type string, and a weigher's is int or double")
}

// What an estimate lets through is cut off all the same.
func TestExpensiveExpressionsAreCutOff(t *testing.T) {
	const expression = `host.traits.all(a, a != "")`
	_, err := cel.NewFilter("Mine", expression, cel.Options{CostLimit: 100})
	require.ErrorContains(t, err, "and the limit is 100")

	// Attributes may be longer than the estimate takes them to be.
	f, err := cel.NewFilter("Mine", `host.attributes["a"].contains("b" + host.name)`, cel.Options{CostLimit: 1000})
	require.NoError(t, err)
	s, err := scheduler.New(scheduler.Config{Filters: []scheduler.Filter{f}})
	require.NoError(t, err)
	snap := snapshot(t, host("h1", func(h *scheduler.Host) { h.Attributes = map[string]string{"a": strings.Repeat("a", 1<<20)} }))
	d, err := s.Select(snap, request, scheduler.Options{})
	require.ErrorContains(t, err, "1 could not be judged by Mine")
	require.Contains(t, d.Explanation.Nearest.Verdicts[0].Saw, "actual cost limit exceeded")
}

func TestFailingEvaluationTurnsAway(t *testing.T) {
	f, err := cel.NewFilter("Mine", `host.attributes["absent"] == "x"`, cel.Options{})
	require.NoError(t, err)
	w, err := cel.NewWeigher("Heavy", `10 / host.num_instances`, cel.Options{})
	require.NoError(t, err)
	s, err := scheduler.New(scheduler.Config{Filters: []scheduler.Filter{f}})
	require.NoError(t, err)
	d, err := s.Select(snapshot(t, host("h1")), request, scheduler.Options{})
	require.ErrorContains(t, err, "could not be judged by Mine")
	require.Contains(t, d.Explanation.Nearest.Verdicts[0].Saw, "no such key: absent")

	s, err = scheduler.New(scheduler.Config{Weighers: []scheduler.WeigherConfig{{Weigher: w, Multiplier: 1}}})
	require.NoError(t, err)
	d, err = s.Select(snapshot(t, host("h1", func(h *scheduler.Host) { h.NumInstances = 0 }), host("h2"), host("h3", func(h *scheduler.Host) { h.NumInstances = 1 })), request, scheduler.Options{Alternates: 2})
	require.NoError(t, err)
	require.Equal(t, "h3", d.Choices[0].Host.ID)
}

func TestWeigher(t *testing.T) {
	for expression, best := range map[string]string{
		`host.num_instances`:                   "many",
		`-host.num_instances`:                  "few",
		`host.name == "few" ? 2.5 : 1.0`:       "few",
		`host.metrics["cpu"] * -1.0`:           "many",
		`uint(host.num_instances) + uint("1")`: "many",
	} {
		w, err := cel.NewWeigher("Mine", expression, cel.Options{})
		require.NoError(t, err, expression)
		s, err := scheduler.New(scheduler.Config{Weighers: []scheduler.WeigherConfig{{Weigher: w, Multiplier: 1}}})
		require.NoError(t, err)
		d, err := s.Select(snapshot(t, host("few"), host("many", func(h *scheduler.Host) { h.NumInstances, h.Metrics["cpu"] = 9, 0.1 })), request, scheduler.Options{})
		require.NoError(t, err)
		require.Equal(t, best, d.Choices[0].Host.ID, expression)
	}
}

// Hosts with one profile are asked once where that will do.
func TestSharedExpressions(t *testing.T) {
	for expression, shared := range map[string]bool{
		`"CUSTOM_BIG" in host.traits && host.zone == request.zone`: true,
		`host.traits.exists(x, x == host.name)`:                    false,
		`host.num_instances < 5`:                                   false,
	} {
		f, err := cel.NewFilter("Mine", expression, cel.Options{})
		require.NoError(t, err)
		require.Equal(t, shared, f.Prepare(&request).Shared, expression)
	}
}

func TestPools(t *testing.T) {
	pool := func(id, filter, goodness string) scheduler.Pool {
		return scheduler.Pool{
			ID: id, Up: true, Enabled: true, TotalGB: 100, FreeGB: 50, Volumes: 7, Filter: filter, Goodness: goodness,
			Capabilities: map[string]string{"iops": "5000", "vendor_name": "acme"},
		}
	}
	s, err := scheduler.NewPools(scheduler.Config{
		Filters:  append(scheduler.DefaultPoolFilters(), cel.DriverFilter(cel.Options{})),
		Weighers: []scheduler.WeigherConfig{{Weigher: cel.GoodnessWeigher(cel.Options{}), Multiplier: 1}},
	})
	require.NoError(t, err)
	choose := func(size int64, pools ...scheduler.Pool) (scheduler.Decision, error) {
		return s.SelectPool(pools, scheduler.VolumeRequest{ID: "v", SizeGB: size, ExtraSpecs: map[string]string{}}, scheduler.Options{})
	}
	small, large := pool("small", "volume.size < 10", "volume.size < 5 ? 100 : 50"), pool("large", "volume.size >= 5", "75")
	for size, want := range map[int64]string{1: "small", 7: "large", 20: "large"} {
		d, err := choose(size, small, large)
		require.NoError(t, err)
		require.Equal(t, want, d.Choices[0].Host.ID, size)
	}
	for filter, pass := range map[string]bool{
		`capabilities.iops >= 1000 && capabilities.vendor_name == "acme"`:       true,
		`stats.free_capacity_gb / stats.total_capacity_gb > 0.6`:                false,
		`stats.total_volumes < 7 || size(extra) > 0`:                            false,
		`stats.name == "p" && stats.zone == ""`:                                 true,
		`stats.provisioned_capacity_gb == 0.0 && stats.reserved_percentage < 1`: true,
		`stats.max_over_subscription_ratio >= 0.0 && request.project_id == ""`:  true,
		`capabilities.absent == 1`:                                              false,
		`volume.sise < 10`:                                                      false,
		`volume.size`:                                                           false,
	} {
		d, err := choose(1, pool("p", filter, ""))
		require.Equal(t, pass, err == nil, "%s: %v", filter, d.Explanation.Nearest)
	}
	require.ErrorContains(t, cel.Check(pool("p", "volume.sise < 10", ""), cel.Options{}), "undeclared reference to 'volume.sise'")
	require.ErrorContains(t, cel.Check(pool("p", "", "true"), cel.Options{}), "of type bool")
	require.NoError(t, cel.Check(small, cel.Options{}))

	d, err := choose(1, pool("bad", "", "1000"), pool("broken", "", "capabilities.absent"), pool("good", "", "1"))
	require.NoError(t, err)
	require.Equal(t, "good", d.Choices[0].Host.ID)
}

func TestVariablesAreDescribed(t *testing.T) {
	for _, v := range append(cel.HostVariables(), cel.PoolVariables()...) {
		require.NotEmpty(t, v.Name)
		require.NotEmpty(t, v.Type)
		require.NotEmpty(t, v.Doc)
	}
}

func FuzzFilter(f *testing.F) {
	f.Add(`host.num_instances < 4`)
	f.Add(`host.traits.map(t, t + t) == []`)
	f.Add(`"x".matches("(a*)*")`)
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	if err := snap.Put(host("h1")); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		filter, err := cel.NewFilter("Fuzzed", expression, cel.Options{CostLimit: 1000})
		if err != nil {
			require.ErrorIs(t, err, nephos.ErrInvalid)
			return
		}
		s, err := scheduler.New(scheduler.Config{Filters: []scheduler.Filter{filter}})
		require.NoError(t, err)
		_, _ = s.Select(snap, request, scheduler.Options{}) // must not panic
	})
}

// An operator's rule from a configuration file, beside the usual filters.
func ExampleNewFilter() {
	tidy, err := cel.NewFilter("TidyFilter", `host.num_instances < 2 || "CUSTOM_BIG" in host.traits`, cel.Options{Reason: "too crowded"})
	if err != nil {
		panic(err)
	}
	s, _ := scheduler.New(scheduler.Config{Filters: append(scheduler.DefaultFilters(), tidy)})
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	_ = snap.Put(scheduler.Host{ID: "host1", Up: true, Enabled: true, NumInstances: 2})
	d, _ := s.Select(snap, scheduler.Request{ID: "server"}, scheduler.Options{})
	fmt.Println(d.Explanation.Summary())
	// Output: No valid host: 1 host, 1 too crowded
}

func BenchmarkFilter(b *testing.B) {
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	for i := range 10_000 {
		require.NoError(b, snap.Put(host(fmt.Sprint(i))))
	}
	for name, expression := range map[string]string{"host": `host.num_instances < 10 && host.free_vcpus > 1`, "shared": `"CUSTOM_BIG" in host.traits`} {
		b.Run(name, func(b *testing.B) {
			f, err := cel.NewFilter("Mine", expression, cel.Options{})
			require.NoError(b, err)
			s, err := scheduler.New(scheduler.Config{Filters: []scheduler.Filter{f}})
			require.NoError(b, err)
			for b.Loop() {
				if _, err := s.Select(snap, request, scheduler.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
