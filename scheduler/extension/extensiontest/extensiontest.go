package extensiontest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/extension"
)

// Open returns the extension. It registers with t.Cleanup whatever that needs in
// the end.
type Open func(t drivertest.T) extension.Extension

// Options says more of the extension under test. The zero value works.
type Options struct {
	// Kill ends the extension as kill -9 would, after which it is opened again.
	// Nil is to leave it as it is.
	Kill func(t drivertest.T, e extension.Extension)
	// Requests and Hosts are asked about besides the suite's own: those that the
	// extension has something to say to.
	Requests []extension.Request
	Hosts    []extension.Host
	// Wait bounds each call; 0 is 10 seconds. What a decision may take in a cloud
	// is up to its operator: see [extension.Options].
	Wait time.Duration
}

// Run tests the extension in subtests of t.
func Run(t *testing.T, open Open, o Options) { drivertest.Run(t, Tests(open, o)) }

// Tests are what [Run] runs, for those who run them outside of go test.
func Tests(open Open, o Options) []drivertest.Test {
	if o.Wait <= 0 {
		o.Wait = 10 * time.Second
	}
	var tests []drivertest.Test
	for _, sub := range []struct {
		name  string
		needs string
		run   func(drivertest.T, *suite)
	}{
		{"Ready", "", testReady},
		{"Abilities", "", testAbilities},
		{"Cancelled", "", testCancelled},
		{"Concurrent", "", testConcurrent},
		{"Reopen", "", testReopen},
		{"Decision", "", testDecision},
		{"Judger", extension.AbilityJudger, testJudger},
		{"JudgerOrder", extension.AbilityJudger, testJudgerOrder},
		{"JudgerReasons", extension.AbilityJudger, testJudgerReasons},
		{"Weigher", extension.AbilityWeigher, testWeigher},
		{"WeigherOrder", extension.AbilityWeigher, testWeigherOrder},
	} {
		tests = append(tests, drivertest.Test{Name: sub.name, Run: func(t drivertest.T) {
			s := &suite{open: open, Options: o}
			s.start(t)
			if sub.needs != "" && !slices.Contains(s.offers, sub.needs) {
				t.Skipf("the extension does not offer %s", sub.needs)
			}
			sub.run(t, s)
		}})
	}
	return tests
}

// suite is one test's extension.
type suite struct {
	Options
	open   Open
	e      extension.Extension
	offers []string
}

func (s *suite) start(t drivertest.T) {
	t.Helper()
	s.e = s.open(t)
	var err error
	s.offers, err = extension.AbilitiesOf(t.Context(), s.e)
	require.NoError(t, err)
}

// bounded is a context for one call.
func (s *suite) bounded(t drivertest.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), s.Wait)
	t.Cleanup(cancel)
	return ctx
}

// judge asks for verdicts, and sees to their number.
func (s *suite) judge(t drivertest.T, req extension.Request, hosts []extension.Host) []scheduler.Verdict {
	t.Helper()
	out, err := s.e.(extension.Judger).Judge(s.bounded(t), req, hosts)
	require.NoError(t, err)
	require.Len(t, out, len(hosts), "a verdict for each host")
	return out
}

// weigh asks for weights, and sees to their number.
func (s *suite) weigh(t drivertest.T, req extension.Request, hosts []extension.Host) []float64 {
	t.Helper()
	out, err := s.e.(extension.Weigher).Weigh(s.bounded(t), req, hosts)
	require.NoError(t, err)
	require.Len(t, out, len(hosts), "a weight for each host")
	for i, w := range out {
		require.False(t, math.IsNaN(w) || math.IsInf(w, 0), "the weight of %q is %v", hosts[i].ID, w)
	}
	return out
}

// answers is all that the extension says.
type answers struct {
	verdicts []scheduler.Verdict
	weights  []float64
}

func (s *suite) ask(t drivertest.T, req extension.Request, hosts []extension.Host) (a answers) {
	t.Helper()
	if slices.Contains(s.offers, extension.AbilityJudger) {
		a.verdicts = s.judge(t, req, hosts)
	}
	if slices.Contains(s.offers, extension.AbilityWeigher) {
		a.weights = s.weigh(t, req, hosts)
	}
	return a
}

// hosts are so many, no two alike, those of the options first.
func (s *suite) hosts(n int) []extension.Host {
	out := slices.Clone(s.Hosts)
	for i := len(out); i < n; i++ {
		total := int64(8 << (i % 4))
		used := int64(i) % (total + 2) // some are overcommitted
		out = append(out, extension.Host{
			ID: fmt.Sprint("host-", i), Name: fmt.Sprint("host-", i), Node: fmt.Sprintf("host-%d.example", i), Zone: fmt.Sprint("zone-", i%3),
			Traits:     []string{"COMPUTE_NODE", fmt.Sprint("CUSTOM_RACK_", i%5)},
			Attributes: map[string]string{"hypervisor_type": "QEMU", "rack": fmt.Sprint("r", i%5)},
			Aggregates: []extension.Aggregate{{ID: fmt.Sprint(i % 2), Name: fmt.Sprint("half-", i%2), Metadata: map[string]string{"ssd": fmt.Sprint(i%2 == 0)}}},
			Capacity:   map[string]int64{"VCPU": total, "MEMORY_MB": total << 10, "DISK_GB": 100},
			Used:       map[string]int64{"VCPU": used, "MEMORY_MB": used << 10},
			Free:       map[string]int64{"VCPU": total - used, "MEMORY_MB": (total - used) << 10, "DISK_GB": 100},
			NumIOOps:   i % 4, NumInstances: int(used), FailedBuilds: i % 7, GroupMembers: i % 2,
			Metrics: map[string]float64{"cpu.percent": float64(i%10) / 10},
		})
	}
	return out[:n]
}

// requests are of all shapes, those of the options first.
func (s *suite) requests() []extension.Request {
	return append(slices.Clone(s.Requests),
		extension.Request{},
		extension.Request{
			ID: "7d7b6a2c-5c32-4f3a-9d0e-0d8a4b1c2e3f", ProjectID: "p", Resources: map[string]int64{"VCPU": 2, "MEMORY_MB": 2048, "DISK_GB": 10},
			Count: 3, Zone: "zone-1", FlavorName: "m1.small", ExtraSpecs: map[string]string{"hw:cpu_policy": "shared", "trait:COMPUTE_NODE": "required"},
			ImageID: "image", ImageProperties: map[string]string{"hw_disk_bus": "virtio"},
			Hints:   []extension.Hint{{Name: "different_host", Values: []string{"a", "b"}}, {Name: "empty"}},
			GroupID: "group", GroupPolicy: "anti-affinity",
		},
		extension.Request{ID: "große Anfrage \u202e\n\"'<&", Resources: map[string]int64{"CUSTOM_X": math.MaxInt32}, Count: 1000, Zone: "nowhere"},
	)
}

// odd are hosts at the edge of what there may be.
func odd() []extension.Host {
	return []extension.Host{
		{},
		{ID: "only an id"},
		{ID: "über\n\u202e", Name: "\"'<&", Zone: "\t"},
		{ID: "full", Capacity: map[string]int64{"VCPU": 0}, Used: map[string]int64{"VCPU": 1 << 53}, Free: map[string]int64{"VCPU": -(1 << 53)}},
		{ID: "vast", Free: map[string]int64{"VCPU": 1 << 53}, NumInstances: 1 << 30, NumIOOps: 1 << 30, FailedBuilds: 1 << 30},
		{ID: "hot", Metrics: map[string]float64{"cpu.percent": -math.MaxFloat64, "": math.MaxFloat64}},
	}
}
