package extensiontest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/extension"
)

func testReady(t drivertest.T, s *suite) {
	require.NoError(t, s.e.Ready(s.bounded(t)))
	require.NoError(t, s.e.Ready(s.bounded(t)), "as often as it is asked")
}

func testAbilities(t drivertest.T, s *suite) {
	require.NotEmpty(t, s.offers, "it filters, or weighs, or both")
	again, err := extension.AbilitiesOf(s.bounded(t), s.e)
	require.NoError(t, err)
	require.Equal(t, s.offers, again)
}

// An extension may answer a call that was given up, and may not hang on it.
func testCancelled(t drivertest.T, s *suite) {
	ctx, cancel := context.WithCancel(s.bounded(t))
	cancel()
	hosts := s.hosts(100)
	if j, ok := s.e.(extension.Judger); ok && slices.Contains(s.offers, extension.AbilityJudger) {
		if out, err := j.Judge(ctx, extension.Request{ID: "s"}, hosts); err == nil {
			require.Len(t, out, len(hosts))
		}
	}
	if w, ok := s.e.(extension.Weigher); ok && slices.Contains(s.offers, extension.AbilityWeigher) {
		if out, err := w.Weigh(ctx, extension.Request{ID: "s"}, hosts); err == nil {
			require.Len(t, out, len(hosts))
		}
	}
	s.ask(t, extension.Request{ID: "s"}, hosts)
}

// Calls come at the same time, and change nothing.
func testConcurrent(t drivertest.T, s *suite) {
	hosts := s.hosts(200)
	want := map[int]answers{}
	for i, req := range s.requests() {
		want[i] = s.ask(t, req, hosts)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var wrong []string
	for range 4 {
		for i, req := range s.requests() {
			wg.Go(func() {
				var got answers
				var err, err2 error
				if want[i].verdicts != nil {
					got.verdicts, err = s.e.(extension.Judger).Judge(s.bounded(t), req, hosts)
				}
				if want[i].weights != nil {
					got.weights, err2 = s.e.(extension.Weigher).Weigh(s.bounded(t), req, hosts)
				}
				if err != nil || err2 != nil || !slices.Equal(want[i].verdicts, got.verdicts) || !slices.Equal(want[i].weights, got.weights) {
					mu.Lock()
					defer mu.Unlock()
					wrong = append(wrong, fmt.Sprintf("request %d: %v %v: another answer than when it was asked alone", i, err, err2))
				}
			})
		}
	}
	wg.Wait()
	require.Empty(t, wrong)
}

// Killed and started again, it says the same.
func testReopen(t drivertest.T, s *suite) {
	hosts := s.hosts(20)
	var before []answers
	for _, req := range s.requests() {
		before = append(before, s.ask(t, req, hosts))
	}
	if s.Kill != nil {
		s.Kill(t, s.e)
	}
	s.start(t)
	for i, req := range s.requests() {
		require.Equal(t, before[i], s.ask(t, req, hosts))
	}
}

// What comes of it in a scheduler: decisions, and no note of a failure.
func testDecision(t drivertest.T, s *suite) {
	parts, err := extension.Open(s.bounded(t), s.e, extension.Options{Name: "Extension", Timeout: s.Wait, Batch: 7})
	require.NoError(t, err)
	c := scheduler.Config{Filters: []scheduler.Filter{}, Weighers: []scheduler.WeigherConfig{}}
	if parts.Filter != nil {
		c.Filters = append(c.Filters, parts.Filter)
	}
	if parts.Weigher != nil {
		c.Weighers = append(c.Weighers, scheduler.WeigherConfig{Weigher: parts.Weigher, Multiplier: 1})
	}
	sched, err := scheduler.New(c)
	require.NoError(t, err)
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	for i := range 20 {
		require.NoError(t, snap.Put(scheduler.Host{
			ID: fmt.Sprint("host-", i), Zone: fmt.Sprint("zone-", i%3), Up: true, Enabled: true, NumInstances: i,
			Inventory: map[string]scheduler.Inventory{scheduler.VCPU: {Total: 8}, scheduler.MemoryMB: {Total: 8192}},
		}))
	}
	req := scheduler.Request{ID: "s", Count: 2, Resources: scheduler.Resources{scheduler.VCPU: 1, scheduler.MemoryMB: 512}}
	d, err := sched.Select(snap, req, scheduler.Options{Seed: 1})
	if err != nil {
		require.NotContains(t, err.Error(), "could not be judged")
	}
	require.NotContains(t, strings.Join(d.Explanation.Notes, "\n"), "failed")
	again, _ := sched.Select(snap, req, scheduler.Options{Seed: 1})
	require.Equal(t, d, again, "the same decision")
}

func testJudger(t drivertest.T, s *suite) {
	for _, n := range []int{0, 1, 3, many} {
		hosts := s.hosts(n)
		for _, req := range s.requests() {
			first := s.judge(t, req, hosts)
			require.Equal(t, first, s.judge(t, req, hosts), "the same again")
		}
	}
	for _, req := range s.requests() {
		s.judge(t, req, odd())
	}
	require.NoError(t, s.e.Ready(s.bounded(t)))
}

func testJudgerOrder(t drivertest.T, s *suite) {
	hosts := s.hosts(50)
	for _, req := range s.requests() {
		want := s.judge(t, req, hosts)
		back := slices.Clone(hosts)
		slices.Reverse(back)
		got := s.judge(t, req, back)
		slices.Reverse(got)
		require.Equal(t, want, got, "the verdicts are in the order of the hosts")
	}
}

// Users see the reasons, which are counted, and operators the rest.
func testJudgerReasons(t drivertest.T, s *suite) {
	hosts := s.hosts(many)
	reasons := map[string]bool{}
	for _, req := range s.requests() {
		for i, v := range s.judge(t, req, hosts) {
			if v.Reason == "" {
				require.Equal(t, scheduler.Verdict{}, v, "without a reason the host passes, and there is nothing to say")
				continue
			}
			reasons[v.Reason] = true
			require.LessOrEqual(t, len(v.Reason), 200, "%q", v.Reason)
			require.NotContains(t, v.Reason, "\n")
			require.NotContains(t, v.Reason, hosts[i].ID, "a reason names no host: Saw does")
			require.GreaterOrEqual(t, v.Wanted, int64(0))
		}
	}
	require.LessOrEqual(t, len(reasons), 64, "few different reasons: what differs from host to host belongs to Saw")
}

func testWeigher(t drivertest.T, s *suite) {
	for _, n := range []int{0, 1, 3, many} {
		hosts := s.hosts(n)
		for _, req := range s.requests() {
			first := s.weigh(t, req, hosts)
			require.Equal(t, first, s.weigh(t, req, hosts), "the same again")
		}
	}
	for _, req := range s.requests() {
		s.weigh(t, req, odd())
	}
	require.NoError(t, s.e.Ready(s.bounded(t)))
}

func testWeigherOrder(t drivertest.T, s *suite) {
	hosts := s.hosts(50)
	for _, req := range s.requests() {
		want := s.weigh(t, req, hosts)
		back := slices.Clone(hosts)
		slices.Reverse(back)
		got := s.weigh(t, req, back)
		slices.Reverse(got)
		for i := range want { // sums of floats depend on the order
			require.InDelta(t, want[i], got[i], 1e-9*max(1, math.Abs(want[i])), "the weights are in the order of the hosts")
		}
	}
}
