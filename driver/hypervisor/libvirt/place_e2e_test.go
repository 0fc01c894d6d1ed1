//go:build libvirt

package libvirt_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
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
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt"
)

// allowed are the processors that the kernel lets threads of a process run on, by
// the threads' names.
func allowed(t testing.TB, pid int) map[string]string {
	out := map[string]string{}
	dirs, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	require.NoError(t, err)
	for _, dir := range dirs {
		name, err := os.ReadFile(dir + "/comm")
		require.NoError(t, err)
		status, err := os.ReadFile(dir + "/status")
		require.NoError(t, err)
		for line := range strings.Lines(string(status)) {
			if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
				out[strings.TrimSpace(string(name))] = strings.TrimSpace(list)
			}
		}
	}
	return out
}

// TestPlace has a real QEMU run where its spec says: what the kernel and virsh say
// of its threads, and where its memory is bound.
func TestPlace(t *testing.T) {
	h := newHost(t, "one")
	dir := shared(t)
	base := writeBase(t, dir)
	change := func(_ drivertest.T, s *hypervisor.Spec) {
		s.Disks[0].Base = &driver.Image{Path: base, Format: "raw", Digest: "1"}
	}
	open := func(t drivertest.T) hypervisor.Driver {
		d, err := libvirt.Open(t.Context(), libvirt.Config{
			CloudID: "test", URI: h.daemon.URI(), Dir: filepath.Join(dir, "guests"), Accel: "tcg", Dedicated: []int{1},
		})
		require.NoError(t, err)
		return d
	}
	_, err := libvirt.Open(t.Context(), libvirt.Config{URI: h.daemon.URI(), Dir: filepath.Join(dir, "bad"), Accel: "tcg", Dedicated: []int{1 << 15}})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	for _, test := range hypervisortest.Tests(open, hypervisortest.Options{CloudID: "test", Spec: change}) {
		if slices.Contains([]string{"Placement", "Topology", "Devices"}, test.Name) {
			t.Run(test.Name, func(t *testing.T) { test.Run(t) })
		}
	}

	d := open(t)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	host, err := d.Info(t.Context())
	require.NoError(t, err)
	if len(host.NUMA) == 0 || !slices.Contains(host.NUMA[0].Dedicated, 1) || !slices.Contains(host.NUMA[0].CPUs, 0) {
		t.Skip("the machine has no NUMA cell with processors 0 and 1")
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
	require.NoError(t, d.Ensure(t.Context(), id, spec))
	t.Cleanup(func() { require.NoError(t, d.Destroy(context.Background(), id)) })
	require.NoError(t, d.Start(t.Context(), id))
	pid := h.qemuOf(t, id)
	threads := allowed(t, pid)
	require.Equal(t, "1", threads["CPU 0/TCG"], threads)
	require.Equal(t, "0", threads["CPU 1/TCG"], threads)
	require.Equal(t, "0", threads["qemu-system-x86"], "the emulator's own thread")
	for arg, want := range map[string]string{"vcpupin": "0      1", "numatune": "numa_nodeset   : " + fmt.Sprint(cell)} {
		out, err := exec.Command("virsh", "-c", h.daemon.URI(), arg, id).CombinedOutput()
		require.NoError(t, err, string(out))
		require.Contains(t, string(out), want, arg)
	}
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/numa_maps", pid))
	if os.IsNotExist(err) {
		t.Skip("the kernel does not tell where memory is bound (CONFIG_NUMA is off)")
	}
	require.NoError(t, err)
	require.Regexp(t, fmt.Sprintf(`(?m) bind:%d\b`, cell), string(maps))

	if host.NUMA[0].Pages[2048] < 32 {
		t.Skip("the machine has no 32 huge pages of 2 MiB (sysctl vm.nr_hugepages=48; mount -t hugetlbfs none /dev/hugepages)")
	}
	spec.VCPUs, spec.Topology = 1, hypervisor.Topology{}
	spec.NUMA = []hypervisor.Cell{{Host: cell, MemoryMiB: 64, PageKiB: 2048, Pins: spec.NUMA[0].Pins}}
	require.NoError(t, d.Stop(t.Context(), id, hypervisor.StopOptions{}))
	require.NoError(t, d.Ensure(t.Context(), id, spec))
	require.NoError(t, d.Start(t.Context(), id))
	maps, err = os.ReadFile(fmt.Sprintf("/proc/%d/numa_maps", h.qemuOf(t, id)))
	require.NoError(t, err)
	require.Regexp(t, fmt.Sprintf(`(?m) bind:%d\b.* huge .*kernelpagesize_kB=2048`, cell), string(maps))
}
