package hypervisor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

func placedSpec() hypervisor.Spec {
	s := spec()
	s.VCPUs, s.MemoryMiB = 4, 128
	s.Topology = hypervisor.Topology{Sockets: 1, Cores: 2, Threads: 2}
	s.NUMA = []hypervisor.Cell{
		{Host: 1, MemoryMiB: 64, PageKiB: 2048, Pins: []hypervisor.Pin{{VCPU: 2, CPUs: []int{7}}, {VCPU: 0, CPUs: []int{6}}}},
		{Host: 0, MemoryMiB: 64, Pins: []hypervisor.Pin{{VCPU: 1, CPUs: []int{0, 1}}, {VCPU: 3, CPUs: []int{0, 1}}}},
	}
	s.EmulatorCPUs, s.PCI = []int{0}, []string{"0000:81:00.0"}
	return s
}

func TestAPlaceIsChecked(t *testing.T) {
	host := hypervisor.Host{
		NUMA: []driver.NUMACell{
			{ID: 0, CPUs: []int{0, 1}, MemoryMiB: 512},
			{ID: 1, CPUs: []int{5}, Dedicated: []int{6, 7}, MemoryMiB: 512, Pages: map[int64]int64{2048: 32}, Cores: map[int]int{6: 3, 7: 3}},
		},
		PCI: []driver.PCIDevice{{Address: "0000:81:00.0", VendorID: "10de", ProductID: "1eb8"}},
	}
	require.NoError(t, host.Validate())
	require.NoError(t, placedSpec().Validate())
	require.NoError(t, host.Holds(placedSpec()))
	for name, breaks := range map[string]func(*hypervisor.Spec){
		"topology":      func(s *hypervisor.Spec) { s.Topology.Threads = 3 },
		"half topology": func(s *hypervisor.Spec) { s.Topology.Cores = 0 },
		"cell":          func(s *hypervisor.Spec) { s.NUMA[0].Host = -1 },
		"memory":        func(s *hypervisor.Spec) { s.NUMA[0].MemoryMiB = 62 },
		"page":          func(s *hypervisor.Spec) { s.NUMA[0].PageKiB = 3 << 20 },
		"vcpu":          func(s *hypervisor.Spec) { s.NUMA[0].Pins[0].VCPU = 1 },
		"vcpu bound":    func(s *hypervisor.Spec) { s.NUMA[0].Pins[0].VCPU = 4 },
		"no vcpu":       func(s *hypervisor.Spec) { s.NUMA[0].Pins = s.NUMA[0].Pins[1:] },
		"no cpu":        func(s *hypervisor.Spec) { s.NUMA[0].Pins[0].CPUs = nil },
		"twin cpu":      func(s *hypervisor.Spec) { s.NUMA[1].Pins[0].CPUs = []int{1, 1} },
		"emulator":      func(s *hypervisor.Spec) { s.EmulatorCPUs = []int{-1} },
		"only emulator": func(s *hypervisor.Spec) { s.NUMA = nil },
		"device":        func(s *hypervisor.Spec) { s.PCI = []string{"81:00.0"} },
		"path":          func(s *hypervisor.Spec) { s.PCI = []string{"../0000:81:00.0"} },
		"twin device":   func(s *hypervisor.Spec) { s.PCI = []string{"0000:81:00.0", "0000:81:00.0"} },
	} {
		s := placedSpec()
		breaks(&s)
		require.ErrorIs(t, s.Validate(), nephos.ErrInvalid, name)
	}
	for name, breaks := range map[string]func(*hypervisor.Spec){
		"cell":     func(s *hypervisor.Spec) { s.NUMA[0].Host = 2 },
		"cpu":      func(s *hypervisor.Spec) { s.NUMA[0].Pins[0].CPUs = []int{8} },
		"pages":    func(s *hypervisor.Spec) { s.NUMA[1].PageKiB = 2048 },
		"emulator": func(s *hypervisor.Spec) { s.EmulatorCPUs = []int{9} },
		"device":   func(s *hypervisor.Spec) { s.PCI = []string{"0000:82:00.0"} },
	} {
		s := placedSpec()
		breaks(&s)
		require.NoError(t, s.Validate(), name)
		require.ErrorIs(t, host.Holds(s), nephos.ErrInvalid, name)
	}
	require.True(t, placedSpec().SamePlace(placedSpec()))
	for name, change := range map[string]func(*hypervisor.Spec){
		"cell":     func(s *hypervisor.Spec) { s.NUMA[0].Host = 0 },
		"page":     func(s *hypervisor.Spec) { s.NUMA[0].PageKiB = 0 },
		"pin":      func(s *hypervisor.Spec) { s.NUMA[0].Pins[0].CPUs = []int{6} },
		"emulator": func(s *hypervisor.Spec) { s.EmulatorCPUs = nil },
		"device":   func(s *hypervisor.Spec) { s.PCI = nil },
	} {
		s := placedSpec()
		change(&s)
		require.False(t, s.SamePlace(placedSpec()), name)
	}
	host.NUMA[0].Cores = map[int]int{6: 1}
	require.ErrorIs(t, host.Validate(), nephos.ErrInvalid)
}

func TestParseCPUs(t *testing.T) {
	for in, want := range map[string][]int{"": nil, "3": {3}, "0-3,^2, 8": {0, 1, 3, 8}, "^1,0-1": {0}, "2,2": {2}} {
		got, err := hypervisor.ParseCPUs(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"a", "3-1", "-1", "1-", "0-99999999", "^", "1;2"} {
		_, err := hypervisor.ParseCPUs(in)
		require.ErrorIs(t, err, nephos.ErrInvalid, in)
	}
}

func FuzzParseCPUs(f *testing.F) {
	f.Add("0-3,^2,8")
	f.Fuzz(func(t *testing.T, s string) {
		cpus, err := hypervisor.ParseCPUs(s)
		if err == nil {
			for i, c := range cpus {
				require.True(t, c >= 0 && (i == 0 || c > cpus[i-1]))
			}
		}
	})
}
