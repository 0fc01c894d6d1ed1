package compute_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/scheduler"
)

func TestTheSchedulerLearnsWhatAHeartbeatTells(t *testing.T) {
	c := newCloud(t, 1, nil)
	node := 1
	beat := driver.HostBeat{Host: "big", AgentID: "a", Hypervisor: driver.Hypervisor{
		Type: "QEMU", Arch: "x86_64", VCPUs: 4, MemoryMiB: 4096, DiskGiB: 10, Traits: []string{"COMPUTE_NODE", "HW_CPU_X86_AVX2"},
		NUMA: []driver.NUMACell{{ID: 1, CPUs: []int{0, 1}, Dedicated: []int{2, 3}, MemoryMiB: 4096, Pages: map[int64]int64{2048: 8}}},
		PCI: []driver.PCIDevice{
			{Address: "0000:00:01.0", VendorID: "8086", ProductID: "10ed", Type: "type-VF", NUMANode: &node, Tags: map[string]string{"net": "a", "trusted": "true"}},
			{Address: "0000:00:02.0", VendorID: "8086", ProductID: "10ED", Type: "type-VF", NUMANode: &node, Tags: map[string]string{"net": "b", "trusted": "true"}},
			{Address: "0000:00:03.0", VendorID: "8086", ProductID: "10ed"},
		},
		Metrics: map[string]float64{"cpu.percent": 0.5},
	}}
	tell := func() scheduler.Host {
		require.NoError(t, c.service.Beat(t.Context(), beat))
		h, err := c.claims.Host(t.Context(), "big")
		require.NoError(t, err)
		return h
	}
	h := tell()
	require.Equal(t, []string{"COMPUTE_NODE", "HW_CPU_X86_AVX2"}, h.Traits)
	require.Equal(t, []scheduler.NUMACell{{ID: 1, VCPUs: 2, PCPUs: 2, MemoryMB: 4096, Pages: map[int64]int64{2048: 8}}}, h.NUMA)
	require.Equal(t, int64(2), h.Inventory[scheduler.VCPU].Total)
	require.Equal(t, int64(2), h.Inventory[scheduler.PCPU].Total)
	require.Len(t, h.PCI, 2)
	require.Equal(t, int64(2), h.PCI[0].Count)
	require.Equal(t, map[string]string{"trusted": "true"}, h.PCI[0].Tags)
	require.Equal(t, int64(1), h.Inventory["CUSTOM_PCI_8086_10ED"].Total)

	moves := func(to, known float64) {
		beat.Metrics = map[string]float64{"cpu.percent": to}
		require.Equal(t, known, tell().Metrics["cpu.percent"])
	}
	moves(0.53, 0.5) // not worth a word
	moves(0.56, 0.56)
	moves(0.60, 0.56)

	beat.NUMA, beat.PCI, beat.Traits = nil, nil, []string{"COMPUTE_NODE"}
	h = tell()
	require.Empty(t, h.NUMA)
	require.Equal(t, []string{"COMPUTE_NODE"}, h.Traits)
	require.Equal(t, int64(4), h.Inventory[scheduler.VCPU].Total)
	require.NotContains(t, h.Inventory, "CUSTOM_NUMA1_PCPU")
}
