package plugin

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	schedulerv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/scheduler/v1"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/extension"
)

// evenHosts is an extension of the scheduler: hosts with an odd number of servers
// are turned away, and fuller ones are better.
type evenHosts struct{}

func (evenHosts) Ready(context.Context) error { return nil }

func (evenHosts) Judge(_ context.Context, req extension.Request, hosts []extension.Host) ([]scheduler.Verdict, error) {
	if req.ProjectID == "nobody" {
		return nil, nephos.Errorf(nephos.ErrInvalid, "project %s has no contract", req.ProjectID)
	}
	out := make([]scheduler.Verdict, len(hosts))
	for i, h := range hosts {
		if h.NumInstances%2 == 1 {
			out[i] = scheduler.Verdict{Reason: "odd", Saw: fmt.Sprint(h.NumInstances, " servers, ", h.Free["VCPU"], " VCPUs"), Fix: "move a server"}
		}
	}
	return out, nil
}

func (evenHosts) Weigh(_ context.Context, _ extension.Request, hosts []extension.Host) ([]float64, error) {
	out := make([]float64, len(hosts))
	for i, h := range hosts {
		out[i] = float64(h.NumInstances)
	}
	return out, nil
}

// decides makes decisions with the extension as filter and weigher.
func decides(t *testing.T, e extension.Extension) {
	t.Helper()
	p, err := extension.Open(t.Context(), e, extension.Options{Name: "EvenFilter", Timeout: 1 << 40})
	require.NoError(t, err)
	s, err := scheduler.New(scheduler.Config{Filters: []scheduler.Filter{p.Filter}, Weighers: []scheduler.WeigherConfig{{Weigher: p.Weigher, Multiplier: 1}}})
	require.NoError(t, err)
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	for i := range 4 {
		require.NoError(t, snap.Put(scheduler.Host{
			ID: fmt.Sprint("h", i), Up: true, Enabled: true, NumInstances: i, Inventory: map[string]scheduler.Inventory{scheduler.VCPU: {Total: 2, Ratio: 1}},
		}))
	}
	d, err := s.Select(snap, scheduler.Request{ID: "s"}, scheduler.Options{})
	require.NoError(t, err)
	require.Equal(t, "h2", d.Choices[0].Host.ID)
	f := d.Explanation.Filters[len(d.Explanation.Filters)-1]
	require.Equal(t, 2, f.Rejected)
	require.Equal(t, "1 servers, 2 VCPUs", f.Samples[0].Saw)

	d, err = s.Select(snap, scheduler.Request{ID: "s", ProjectID: "nobody"}, scheduler.Options{})
	require.ErrorContains(t, err, "4 could not be judged by EvenFilter")
	require.Contains(t, d.Explanation.Nearest.Verdicts[0].Saw, "project nobody has no contract")
}

func TestSchedulerExtensionOverTheWire(t *testing.T) {
	e, err := Loop[extension.Extension](t.Context(), evenHosts{}, LoopOptions{})
	require.NoError(t, err)
	decides(t, e)
	p, ok := Of(e)
	require.True(t, ok)
	require.NoError(t, p.Close())
	require.ErrorIs(t, e.Ready(t.Context()), nephos.ErrUnavailable)
}

func TestSchedulerExtensionInAnotherProcess(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	e, err := Launch[extension.Extension](t.Context(), self, LaunchOptions{Args: []string{"play=scheduler"}, Env: prompt})
	require.NoError(t, err)
	p, ok := Of(e)
	require.True(t, ok)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	decides(t, e)
}

func TestSchedulerTypesSurviveTheWire(t *testing.T) {
	seen := map[reflect.Type]bool{}
	roundTrip[extension.Request, schedulerv1.Request](t, seen)
	roundTrip[extension.Host, schedulerv1.Host](t, seen)
	roundTrip[scheduler.Verdict, schedulerv1.Verdict](t, seen)
}

// BenchmarkSchedulerExtension measures decisions that ask an extension about so
// many hosts, as filter and as weigher.
func BenchmarkSchedulerExtension(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e, err := Loop[extension.Extension](b.Context(), evenHosts{}, LoopOptions{})
			require.NoError(b, err)
			p, _ := Of(e)
			defer p.Close()
			parts, err := extension.Open(b.Context(), e, extension.Options{Name: "EvenFilter", Timeout: 1 << 40})
			require.NoError(b, err)
			s, err := scheduler.New(scheduler.Config{Filters: []scheduler.Filter{parts.Filter}, Weighers: []scheduler.WeigherConfig{{Weigher: parts.Weigher, Multiplier: 1}}})
			require.NoError(b, err)
			snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
			for i := range n {
				require.NoError(b, snap.Put(scheduler.Host{
					ID: fmt.Sprint("h", i), Up: true, Enabled: true, Inventory: map[string]scheduler.Inventory{scheduler.VCPU: {Total: 64}, scheduler.MemoryMB: {Total: 1 << 18}},
					Attributes: map[string]string{"hypervisor_type": "QEMU", "host_ip": "10.0.0.1"}, Traits: []string{"COMPUTE_NODE", "HW_CPU_X86_AVX2"},
				}))
			}
			for b.Loop() {
				if _, err := s.Select(snap, scheduler.Request{ID: "s"}, scheduler.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
