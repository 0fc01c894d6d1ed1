package compute_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/scheduler"
)

func TestTheSchedulerLearnsWhatAHeartbeatTells(t *testing.T) {
	c := newCloud(t, 1, nil)
	node := 1
	beat := driver.HostBeat{Host: "big", AgentID: "a", Abilities: []string{"DevicePasser", "Placer"}, Hypervisor: driver.Hypervisor{
		Type: "QEMU", Arch: "x86_64", VCPUs: 4, MemoryMiB: 4096, DiskGiB: 10, Traits: []string{"COMPUTE_NODE", "HW_CPU_X86_AVX2"},
		NUMA: []driver.NUMACell{{ID: 1, CPUs: []int{0, 1}, Dedicated: []int{2, 3}, MemoryMiB: 4096, Pages: map[int64]int64{2048: 8}, Cores: map[int]int{2: 1, 3: 1}}},
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
	require.Equal(t, []scheduler.NUMACell{{
		ID: 1, VCPUs: 2, PCPUs: 2, MemoryMB: 4096, Pages: map[int64]int64{2048: 8}, CPUs: []int{0, 1}, Dedicated: []int{2, 3}, Cores: map[int]int{2: 1, 3: 1},
	}}, h.NUMA)
	require.Equal(t, int64(2), h.Inventory[scheduler.VCPU].Total)
	require.Equal(t, int64(2), h.Inventory[scheduler.PCPU].Total)
	require.Len(t, h.PCI, 2)
	require.Equal(t, int64(2), h.PCI[0].Count)
	require.Equal(t, map[string]string{"trusted": "true"}, h.PCI[0].Tags)
	require.Equal(t, []string{"0000:00:01.0", "0000:00:02.0"}, h.PCI[0].Addresses)
	require.Equal(t, int64(1), h.Inventory["CUSTOM_PCI_8086_10ED"].Total)

	moves := func(to, known float64) {
		beat.Metrics = map[string]float64{"cpu.percent": to}
		require.Equal(t, known, tell().Metrics["cpu.percent"])
	}
	moves(0.53, 0.5) // not worth a word
	moves(0.56, 0.56)
	moves(0.60, 0.56)

	// What the driver cannot give to a guest, the scheduler does not give out.
	able := beat.Abilities
	for _, lacks := range able {
		beat.Abilities = slices.DeleteFunc(slices.Clone(able), func(a string) bool { return a == lacks })
		h = tell()
		require.Equal(t, lacks == "Placer", len(h.NUMA) == 0)
		require.Equal(t, lacks == "DevicePasser", len(h.PCI) == 0)
	}
	require.Contains(t, h.Inventory, "CUSTOM_PCI_8086_10ED")
	require.NotContains(t, h.Inventory, scheduler.PCPU)
	require.Equal(t, int64(4), h.Inventory[scheduler.VCPU].Total)
	beat.Abilities = able

	// A class that is of two kinds counts the first; one that is near two cells is
	// near none.
	far := 2
	beat.PCI = []driver.PCIDevice{
		{Address: "0000:00:01.0", VendorID: "8086", ProductID: "10ed", NUMANode: &node, ResourceClass: "CUSTOM_FAST"},
		{Address: "0000:00:02.0", VendorID: "8086", ProductID: "10ed", NUMANode: &far, ResourceClass: "CUSTOM_FAST"},
		{Address: "0000:00:03.0", VendorID: "10de", ProductID: "1eb8", ResourceClass: "CUSTOM_FAST"},
	}
	h = tell()
	require.Equal(t, []scheduler.PCIPool{
		{VendorID: "8086", ProductID: "10ed", ResourceClass: "CUSTOM_FAST", Count: 2, Addresses: []string{"0000:00:01.0", "0000:00:02.0"}},
		{VendorID: "10de", ProductID: "1eb8", Count: 1, Addresses: []string{"0000:00:03.0"}},
	}, h.PCI)

	beat.NUMA, beat.PCI, beat.Traits = nil, nil, []string{"COMPUTE_NODE"}
	h = tell()
	require.Empty(t, h.NUMA)
	require.Equal(t, []string{"COMPUTE_NODE"}, h.Traits)
	require.Equal(t, int64(4), h.Inventory[scheduler.VCPU].Total)
	require.NotContains(t, h.Inventory, "CUSTOM_NUMA1_PCPU")
}
