package config_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/config"
	"github.com/nephos-cloud/nephos/scheduler/extension"
)

func names(c scheduler.Config) (filters []string, weighers map[string]float64) {
	weighers = map[string]float64{}
	for _, f := range c.Filters {
		filters = append(filters, f.Name())
	}
	for _, w := range c.Weighers {
		weighers[w.Weigher.Name()] = w.Multiplier
	}
	return filters, weighers
}

func TestParse(t *testing.T) {
	c, err := config.Parse([]byte(`{}`))
	require.NoError(t, err)
	require.Equal(t, scheduler.Config{}, c)

	c, err = config.Parse([]byte(`{
		"filters": ["AvailabilityZoneFilter", "PciPassthroughFilter", {"name": "NumInstancesFilter", "max": 2}, {"name": "TidyFilter", "cel": "host.num_io_ops < 3", "reason": "busy"},
			{"name": "IsolatedHostsFilter", "hosts": ["h"], "images": ["i"], "open": true}, {"name": "MetricsFilter", "metrics": ["m"]}],
		"weighers": [{"name": "RAMWeigher", "multiplier": -1}, {"name": "CPUWeigher"}, {"name": "Mine", "cel": "host.num_instances", "multiplier": 2, "aggregate_key": "mine"}, {"name": "MetricsWeigher", "ratios": {"m": 2}}],
		"host_subset_size": 3,
		"pci_aliases": [{"name": "gpu", "devices": [{"vendor_id": "10de"}], "numa_policy": "required"}]
	}`))
	require.NoError(t, err)
	filters, weighers := names(c)
	require.Equal(t, []string{"AvailabilityZoneFilter", "PciPassthroughFilter", "NumInstancesFilter", "TidyFilter", "IsolatedHostsFilter", "MetricsFilter"}, filters)
	require.Equal(t, map[string]float64{"RAMWeigher": -1, "CPUWeigher": 1, "Mine": 2, "MetricsWeigher": 1}, weighers)
	require.Equal(t, 3, c.SubsetSize)
	require.Equal(t, scheduler.NumInstancesFilter{Max: 2}, c.Filters[2])
	require.Equal(t, "mine", c.Weighers[2].AggregateKey)
	require.Equal(t, "required", c.Filters[1].(scheduler.PciPassthroughFilter).Aliases[0].NUMA)

	c, err = config.Parse([]byte(`{"pci_aliases": [{"name": "gpu", "devices": [{"vendor_id": "10de"}]}]}`))
	require.NoError(t, err)
	filters, _ = names(c)
	require.Len(t, filters, len(scheduler.DefaultFilters()), "the defaults stay")
}

func TestWhatIsRefused(t *testing.T) {
	for text, why := range map[string]string{
		``:                               "EOF",
		`[]`:                             "cannot unmarshal",
		`{"filtres": []}`:                `unknown field "filtres"`,
		`{} {}`:                          "more follows",
		`{"preset": "astrology"}`:        "there is no preset",
		`{"filters": ["MoodFilter"]}`:    `filters[0]: there is no filter "MoodFilter"`,
		`{"filters": [{"nmae": "x"}]}`:   `unknown field "nmae"`,
		`{"filters": [{"cel": "true"}]}`: "needs a name",
		`{"filters": ["JsonFilter", {"name": "X", "cel": "host.nmae == ''"}]}`:                           "filters[1]: making filter X: ERROR",
		`{"filters": ["JsonFilter", "JsonFilter"]}`:                                                      "two filters are named JsonFilter",
		`{"filters": [{"name": "IoOpsFilter", "max": -1}]}`:                                              "max is -1",
		`{"weighers": [{"name": "MoodWeigher"}]}`:                                                        "weighers[0]: there is no weigher",
		`{"weighers": [{"name": "X", "cel": "host.name"}]}`:                                              "of type string",
		`{"weighers": [{"name": "X", "cel": "host.traits.all(a, host.traits.all(b, a != b)) ? 1 : 0"}]}`: "may cost",
		`{"filters": [{"name": "JsonFilter", "max": 3}]}`:                                                "JsonFilter is given options that it does not have",
		`{"host_subset_size": -1}`:                                                                       "host_subset_size is -1",
		`{"pci_aliases": [{"name": "a:b", "devices": [{}]}]}`:                                            "pci_aliases[0]",
		`{"pci_aliases": [{"name": "a"}]}`:                                                               "names no devices",
		`{"pci_aliases": [{"name": "a", "devices": [{}], "numa_policy": "x"}]}`:                          "numa_policy",
	} {
		_, err := config.Load([]byte(text))
		require.ErrorIs(t, err, nephos.ErrInvalid, text)
		require.ErrorContains(t, err, "reading the scheduler's configuration: ", text)
		require.ErrorContains(t, err, why, text)
	}
}

// picky lets no host pass.
type picky struct{}

func (picky) Ready(context.Context) error { return nil }

func (picky) Judge(_ context.Context, _ extension.Request, hosts []extension.Host) ([]scheduler.Verdict, error) {
	return slices.Repeat([]scheduler.Verdict{{Reason: "unloved"}}, len(hosts)), nil
}

func TestExtensions(t *testing.T) {
	const text = `{"filters": ["AvailabilityZoneFilter"], "extensions": [{"name": "Picky", "path": "/usr/lib/picky", "args": ["-x"], "timeout": "500ms"}]}`
	s, err := config.Open(t.Context(), []byte(text), func(_ context.Context, e config.Extension) (extension.Extension, error) {
		require.Equal(t, "/usr/lib/picky", e.Path)
		require.Equal(t, []string{"-x"}, e.Args)
		return picky{}, nil
	})
	require.NoError(t, err)
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	require.NoError(t, snap.Put(scheduler.Host{ID: "h", Up: true, Enabled: true}))
	_, err = s.Select(snap, scheduler.Request{}, scheduler.Options{})
	require.ErrorContains(t, err, "1 unloved")

	_, err = config.Load([]byte(text))
	require.ErrorIs(t, err, nephos.ErrInvalid)
	_, err = config.Parse([]byte(text))
	require.ErrorIs(t, err, nephos.ErrInvalid)
	fails := func(context.Context, config.Extension) (extension.Extension, error) {
		return nil, errors.New("no such program")
	}
	_, err = config.Open(t.Context(), []byte(text), fails)
	require.ErrorContains(t, err, "extensions[0]: no such program")
	for _, bad := range []string{`{"name": "X"}`, `{"path": "/x"}`, `{"name": "X", "path": "/x", "timeout": "long"}`, `{"name": "X", "path": "/x", "timeout": "2h"}`} {
		_, err = config.Open(t.Context(), []byte(`{"extensions": [`+bad+`]}`), fails)
		require.ErrorIs(t, err, nephos.ErrInvalid, bad)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"filters": ["JsonFilter", {"name": "X", "cel": "host.up"}], "weighers": [{"name": "RAMWeigher", "multiplier": 1e300}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := config.Load([]byte(text)); err != nil {
			require.ErrorIs(t, err, nephos.ErrInvalid)
		}
	})
}

func ExampleLoad() {
	s, err := config.Load([]byte(`{"filters": [{"name": "TidyFilter", "cel": "host.num_instances < 2", "reason": "too crowded"}]}`))
	if err != nil {
		panic(err)
	}
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	_ = snap.Put(scheduler.Host{ID: "host1", Up: true, Enabled: true, NumInstances: 2})
	d, _ := s.Select(snap, scheduler.Request{ID: "server"}, scheduler.Options{})
	fmt.Println(d.Explanation.Summary())
	// Output: No valid host: 1 host, 1 too crowded
}

// What the documentation shows is a configuration.
func TestTheDocumentedFileIsRead(t *testing.T) {
	page, err := os.ReadFile("../../docs/scheduler.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(page), "```json\n")
	require.True(t, found)
	text, _, _ := strings.Cut(rest, "```")
	_, err = config.Open(t.Context(), []byte(text), func(context.Context, config.Extension) (extension.Extension, error) { return picky{}, nil })
	require.NoError(t, err)
	for _, line := range strings.Split(rest, "\n") {
		if cells := strings.Split(line, "|"); len(cells) > 2 && strings.Contains(cells[1], "Filter") {
			for _, name := range strings.Split(cells[1], ",") {
				_, err := scheduler.FilterNamed(strings.Trim(name, " `"))
				require.NoError(t, err)
			}
		}
	}
}

func TestVolumes(t *testing.T) {
	s, err := config.Pools([]byte(`{}`))
	require.NoError(t, err)
	require.Nil(t, s)
	s, err = config.Pools([]byte(`{"volumes": {
		"filters": ["CapacityFilter", "DriverFilter", {"name": "SmallFirst", "cel": "volume.size < 10 || stats.total_volumes < 5", "reason": "kept for small volumes"}],
		"weighers": [{"name": "VolumeNumberWeigher"}, {"name": "Mine", "cel": "stats.free_capacity_gb", "multiplier": 0.5}]
	}}`))
	require.NoError(t, err)
	pools := []scheduler.Pool{{ID: "a", Up: true, Enabled: true, TotalGB: 100, FreeGB: 100, Volumes: 9}, {ID: "b", Up: true, Enabled: true, TotalGB: 100, FreeGB: 100, Volumes: 7}}
	d, err := s.SelectPool(pools, scheduler.VolumeRequest{SizeGB: 5}, scheduler.Options{})
	require.NoError(t, err)
	require.Equal(t, "b", d.Choices[0].Host.ID)
	_, err = s.SelectPool(pools, scheduler.VolumeRequest{SizeGB: 50}, scheduler.Options{})
	require.ErrorContains(t, err, "2 kept for small volumes")
	for text, why := range map[string]string{
		`{"volumes": {"filters": ["RamFilter"]}}`:                                              `volumes.filters[0]: there is no filter "RamFilter" for pools of storage: use some of AvailabilityZoneFilter`,
		`{"volumes": {"weighers": [{"name": "RAMWeigher"}]}}`:                                  "volumes.weighers[0]: there is no weigher",
		`{"volumes": {"filters": [{"name": "X", "cel": "volume.sise > 1"}]}}`:                  "undeclared reference to 'volume.sise'",
		`{"volumes": {"filters": ["CapacityFilter", "CapacityFilter"]}}`:                       "two filters",
		`{"volumes": {"nonesuch": 1}}`:                                                         "unknown field",
		`{"volumes": {"pools": {"a": {"filter_function": "volume.size"}}}}`:                    "filter_function of a",
		`{"volumes": {"pools": {"a": {"goodness_function": "'good'"}}}}`:                       "goodness_function of a",
		`{"volumes": {"pools": {"a": {"reserved_percentage": 101}}}}`:                          "reserved_percentage is not from 0 to 100",
		`{"volumes": {"pools": {"a": {"max_over_subscription_ratio": 0.5}}}}`:                  "max_over_subscription_ratio is not from 1",
		`{"volumes": {"filters": [], "pools": {"a": {"filter_function": "volume.size < 1"}}}}`: "add DriverFilter to volumes",
		`{"volumes": {"weighers": [], "pools": {"a": {"goodness_function": "volume.size"}}}}`:  "add GoodnessWeigher to volumes",
	} {
		_, err := config.Pools([]byte(text))
		require.ErrorContains(t, err, why)
		require.ErrorIs(t, err, nephos.ErrInvalid)
		_, err = config.Parse([]byte(text))
		require.ErrorContains(t, err, why, "and the rest of the file is refused with it")
	}
}

func TestPoolsSayWhichVolumesTheyWant(t *testing.T) {
	text := []byte(`{"volumes": {"pools": {
		"a": {"filter_function": "volume.size < 10", "reserved_percentage": 5, "max_over_subscription_ratio": 2},
		"b": {"goodness_function": "volume.size > 5 ? 100 : 0"}}}}`)
	each, err := config.EachPool(text)
	require.NoError(t, err)
	require.Equal(t, map[string]config.Pool{
		"a": {Filter: "volume.size < 10", ReservedPercentage: 5, MaxOverSubscription: 2}, "b": {Goodness: "volume.size > 5 ? 100 : 0"},
	}, each)
	none, err := config.EachPool([]byte(`{}`))
	require.NoError(t, err)
	require.Empty(t, none)
	s, err := config.Pools(text)
	require.NoError(t, err)
	pools := []scheduler.Pool{{ID: "a", Up: true, Enabled: true, TotalGB: 100, FreeGB: 100, Filter: each["a"].Filter}}
	_, err = s.SelectPool(pools, scheduler.VolumeRequest{SizeGB: 5}, scheduler.Options{})
	require.NoError(t, err, "what heeds them came to the defaults")
	_, err = s.SelectPool(pools, scheduler.VolumeRequest{SizeGB: 50}, scheduler.Options{})
	require.ErrorContains(t, err, "1 turned away by their own filter_function")
}
