package hypervisor_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/fake"
)

func TestTraitsFollowFromWhatAHostIs(t *testing.T) {
	d, err := fake.Open(fake.Config{Without: []string{hypervisor.CanResizeDisk}})
	require.NoError(t, err)
	n, err := hypervisor.NewNode(t.Context(), d, hypervisor.NodeOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{
		"COMPUTE_ARCH_X86_64", "COMPUTE_DEVICE_TAGGING", "COMPUTE_IMAGE_TYPE_QCOW2", "COMPUTE_NET_ATTACH_INTERFACE",
		"COMPUTE_NET_ATTACH_INTERFACE_WITH_TAG", "COMPUTE_NODE", "COMPUTE_VOLUME_ATTACH", "COMPUTE_VOLUME_ATTACH_WITH_TAG", "CUSTOM_GOLD", "HW_ARCH_X86_64", "HW_CPU_X86_AESNI", "HW_CPU_X86_SSE3",
	}, n.Traits(hypervisor.Host{
		Arch: "x86_64", CPUFeatures: []string{"aes", "pni", "sse3", "unheard"}, Formats: []string{"qcow2", "odd"}, Traits: []string{"CUSTOM_GOLD"},
	}))
	require.Equal(t, []string{"HW_CPU_X86_AVX512F", "HW_CPU_X86_AVX512VAES"}, hypervisor.CPUTraits([]string{"vaes", "avx512f"}))
	require.Empty(t, hypervisor.CPUTraits([]string{"vaes"}), "of smaller registers there is no trait")
}

func TestHostsThatCannotBe(t *testing.T) {
	far := -1
	for name, h := range map[string]hypervisor.Host{
		"size":       {VCPUs: -1},
		"trait":      {Traits: []string{"custom gold"}},
		"metric":     {Metrics: map[string]float64{"load": math.NaN()}},
		"cell twice": {NUMA: []driver.NUMACell{{ID: 1}, {ID: 1}}},
		"cpu twice":  {NUMA: []driver.NUMACell{{ID: 0, CPUs: []int{1}, Dedicated: []int{1}}}},
		"pages":      {NUMA: []driver.NUMACell{{Pages: map[int64]int64{2048: -1}}}},
		"no address": {PCI: []driver.PCIDevice{{VendorID: "10de", ProductID: "1eb8"}}},
		"vendor":     {PCI: []driver.PCIDevice{{Address: "0000:00:00.0", VendorID: "nv", ProductID: "1eb8"}}},
		"type":       {PCI: []driver.PCIDevice{{Address: "0000:00:00.0", VendorID: "10de", ProductID: "1eb8", Type: "GPU"}}},
		"node":       {PCI: []driver.PCIDevice{{Address: "0000:00:00.0", VendorID: "10de", ProductID: "1eb8", NUMANode: &far}}},
		"class":      {PCI: []driver.PCIDevice{{Address: "0000:00:00.0", VendorID: "10de", ProductID: "1eb8", ResourceClass: "VCPU"}}},
	} {
		require.ErrorIs(t, h.Validate(), nephos.ErrInvalid, name)
		d, err := fake.Open(fake.Config{Host: h})
		require.NoError(t, err)
		n, err := hypervisor.NewNode(t.Context(), d, hypervisor.NodeOptions{})
		require.NoError(t, err)
		_, err = n.Info(t.Context())
		require.ErrorIs(t, err, nephos.ErrInvalid, name)
	}
	near := 0
	require.NoError(t, hypervisor.Host{
		NUMA: []driver.NUMACell{{CPUs: []int{0, 1}, Dedicated: []int{2}, MemoryMiB: 1, Pages: map[int64]int64{2048: 4}}},
		PCI:  []driver.PCIDevice{{Address: "0000:81:00.0", VendorID: "10DE", ProductID: "1eb8", Type: "type-VF", NUMANode: &near, ResourceClass: "CUSTOM_GPU"}},
	}.Validate())
}
