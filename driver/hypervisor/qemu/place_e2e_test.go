package qemu_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/hypervisortest"
	"github.com/nephos-cloud/nephos/driver/hypervisor/qemu"
)

// TestPlace has a real QEMU run where its spec says, by what the kernel tells of its
// threads and its memory.
func TestPlace(t *testing.T) {
	e2e(t)
	dir := t.TempDir()
	base := filepath.Join(t.TempDir(), "base.raw")
	require.NoError(t, os.WriteFile(base, append(serialSector(), make([]byte, 1<<20-512)...), 0o600))
	change := func(_ drivertest.T, s *hypervisor.Spec) {
		s.Disks[0].Base = &driver.Image{Path: base, Format: "raw", Digest: "1"}
	}
	open := func(t drivertest.T) hypervisor.Driver {
		d, err := qemu.Open(t.Context(), qemu.Config{CloudID: "test", Dir: dir, UID: 65534, GID: 65534, Accel: "tcg", Dedicated: []int{1}})
		require.NoError(t, err)
		return d
	}
	_, err := qemu.Open(t.Context(), qemu.Config{CloudID: "test", Dir: t.TempDir(), Accel: "tcg", Dedicated: []int{1 << 15}})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	for _, test := range hypervisortest.Tests(open, hypervisortest.Options{CloudID: "test", Spec: change}) {
		if slices.Contains([]string{"Placement", "Topology", "Suspend"}, test.Name) {
			t.Run(test.Name, func(t *testing.T) { test.Run(t) })
		}
	}

	d := open(t)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	can, err := hypervisor.AbilitiesOf(t.Context(), d)
	require.NoError(t, err)
	host, err := d.Info(t.Context())
	require.NoError(t, err)
	if !slices.Contains(can, hypervisor.CanPlace) || !slices.Contains(host.NUMA[0].Dedicated, 1) || !slices.Contains(host.NUMA[0].CPUs, 0) {
		t.Skip("guests cannot be placed here, or the machine has no NUMA cell with processors 0 and 1")
	}
	cell := host.NUMA[0].ID
	id := nephos.IDs{}.New()
	spec := hypervisor.Spec{
		CloudID: "test", Name: "pinned", VCPUs: 2, MemoryMiB: 64, Topology: hypervisor.Topology{Sockets: 2, Cores: 1, Threads: 1},
		Disks: []driver.Disk{{ID: "root", Source: driver.Connection{Type: "local"}, Format: "qcow2", SizeBytes: 8 << 20}},
		NUMA: []hypervisor.Cell{
			{Host: cell, MemoryMiB: 32, Pins: []hypervisor.Pin{{VCPU: 0, CPUs: []int{1}}}},
			{Host: cell, MemoryMiB: 32, Pins: []hypervisor.Pin{{VCPU: 1, CPUs: []int{0}}}},
		},
		EmulatorCPUs: []int{0},
	}
	change(t, &spec)
	placed := func(huge string, want map[string]int) {
		t.Helper()
		pid := processOf(t, dir, id)
		got := map[string]int{}
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		require.NoError(t, err)
		for _, task := range tasks {
			status, err := os.ReadFile(task)
			require.NoError(t, err)
			for line := range strings.Lines(string(status)) {
				if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
					got[strings.TrimSpace(list)]++
				}
			}
		}
		for list, least := range want {
			require.GreaterOrEqual(t, got[list], least, got)
			delete(got, list)
		}
		require.Empty(t, got, "threads that run elsewhere")
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/numa_maps", pid))
		require.NoError(t, err)
		require.Regexp(t, fmt.Sprintf(`(?m) bind:%d\b.*%s`, cell, huge), string(maps))
	}
	require.NoError(t, d.Ensure(t.Context(), id, spec))
	t.Cleanup(func() { require.NoError(t, d.Destroy(context.Background(), id)) })
	require.NoError(t, d.Start(t.Context(), id))
	placed("", map[string]int{"1": 1, "0": 2})

	// Its memory is read back into the same cells, whatever the spec says by then.
	require.NoError(t, d.(hypervisor.Suspender).Suspend(t.Context(), id))
	other := spec
	other.NUMA, other.VCPUs, other.Topology = []hypervisor.Cell{{Host: cell, MemoryMiB: 64, Pins: []hypervisor.Pin{{VCPU: 0, CPUs: []int{0}}}}}, 1, hypervisor.Topology{}
	require.NoError(t, d.Ensure(t.Context(), id, other))
	require.NoError(t, d.(hypervisor.Suspender).Resume(t.Context(), id))
	placed("", map[string]int{"1": 1, "0": 2})
	require.NoError(t, d.Stop(t.Context(), id, hypervisor.StopOptions{}))
	require.NoError(t, d.Start(t.Context(), id))
	placed("", map[string]int{"0": 2})

	if host.NUMA[0].Pages[2048] < 32 {
		t.Skip("the machine has no 32 huge pages of 2 MiB (sysctl vm.nr_hugepages=48)")
	}
	other.NUMA = []hypervisor.Cell{{Host: cell, MemoryMiB: 64, PageKiB: 2048, Pins: []hypervisor.Pin{{VCPU: 0, CPUs: []int{1}}}}}
	require.NoError(t, d.Stop(t.Context(), id, hypervisor.StopOptions{}))
	require.NoError(t, d.Ensure(t.Context(), id, other))
	require.NoError(t, d.Start(t.Context(), id))
	placed("huge .*kernelpagesize_kB=2048", map[string]int{"1": 1, "0": 1})
}
