package scheduler_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

// big is a host of two cells, the second with threads, and three devices.
func big() scheduler.Host {
	one := 1
	return host("h", func(h *scheduler.Host) {
		h.NUMA = []scheduler.NUMACell{
			{ID: 0, VCPUs: 2, CPUs: []int{0, 1}, PCPUs: 2, Dedicated: []int{2, 3}, MemoryMB: 8192},
			{
				ID: 1, VCPUs: 2, CPUs: []int{8, 9}, PCPUs: 6, Dedicated: []int{10, 11, 12, 13, 14, 15}, MemoryMB: 8192,
				Pages: map[int64]int64{2048: 1024}, Cores: map[int]int{10: 5, 11: 6, 12: 7, 13: 5, 14: 6, 15: 7},
			},
		}
		h.Inventory[scheduler.PCPU] = scheduler.Inventory{Total: 8}
		h.Traits = []string{"HW_CPU_HYPERTHREADING"}
		h.PCI = []scheduler.PCIPool{
			{VendorID: "10de", ProductID: "1eb8", Count: 2, Addresses: []string{"0000:81:00.0", "0000:82:00.0"}, NUMANode: &one},
			{VendorID: "8086", ProductID: "10ed", Count: 1, Addresses: []string{"0000:03:00.1"}},
		}
	})
}

// assign has a server scheduled to the host and given its parts.
func assign(t require.TestingT, h scheduler.Host, req scheduler.Request, taken map[string]bool) (*scheduler.Assignment, error) {
	s, err := scheduler.New(scheduler.Config{})
	require.NoError(t, err)
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	require.NoError(t, snap.Put(h))
	d, err := s.Select(snap, req, scheduler.Options{})
	if err != nil {
		return nil, err
	}
	return scheduler.Assign(h, req, d.Choices[0].Claim, taken)
}

func asking(vcpus, memory int64, specs map[string]string) scheduler.Request {
	r := scheduler.Resources{scheduler.VCPU: vcpus, scheduler.MemoryMB: memory}
	if err := r.Pin(specs, nil, vcpus, memory); err != nil {
		panic(err)
	}
	return scheduler.Request{ID: "r", Resources: r, VCPUs: vcpus, MemoryMB: memory, ExtraSpecs: specs}
}

func TestAssign(t *testing.T) {
	own := func(guest, host int) scheduler.AssignedCPU {
		return scheduler.AssignedCPU{Guest: guest, Host: []int{host}, Own: true}
	}
	shared := func(guest int, host ...int) scheduler.AssignedCPU {
		return scheduler.AssignedCPU{Guest: guest, Host: host}
	}
	type R = map[string]string
	dedicated := func(more ...string) R {
		r := R{"hw:cpu_policy": "dedicated"}
		for i := 0; i < len(more); i += 2 {
			r[more[i]] = more[i+1]
		}
		return r
	}
	for _, c := range []struct {
		name  string
		req   scheduler.Request
		taken []string
		want  *scheduler.Assignment
		err   string
	}{
		{"nothing", asking(2, 1024, nil), nil, nil, ""},
		{"a cell for all", asking(2, 1024, R{"hw:numa_nodes": "1"}), nil, &scheduler.Assignment{Cells: []scheduler.AssignedCell{
			{Host: 0, MemoryMB: 1024, CPUs: []scheduler.AssignedCPU{shared(0, 0, 1), shared(1, 0, 1)}},
		}}, ""},
		{"two CPUs", asking(2, 1024, dedicated()), nil, &scheduler.Assignment{Cells: []scheduler.AssignedCell{
			{Host: 0, MemoryMB: 1024, CPUs: []scheduler.AssignedCPU{own(0, 2), own(1, 3)}},
		}}, ""},
		{"whole cores first", asking(3, 1024, dedicated()), []string{"cpu:10"}, &scheduler.Assignment{Cells: []scheduler.AssignedCell{
			{Host: 1, MemoryMB: 1024, CPUs: []scheduler.AssignedCPU{own(0, 11), own(1, 14), own(2, 13)}},
		}}, ""},
		{"threads", asking(4, 2048, dedicated("hw:cpu_thread_policy", "require", "hw:mem_page_size", "2MB")), nil, &scheduler.Assignment{Cells: []scheduler.AssignedCell{
			{Host: 1, MemoryMB: 2048, PageKiB: 2048, CPUs: []scheduler.AssignedCPU{own(0, 10), own(1, 13), own(2, 11), own(3, 14)}},
		}, Threads: 2}, ""},
		{"threads that are alone", asking(4, 1024, dedicated("hw:cpu_thread_policy", "require")), []string{"cpu:10", "cpu:14"}, nil, "too few CPUs of the kind"},
		{"the emulator's own", asking(2, 1024, dedicated("hw:emulator_threads_policy", "isolate")), nil, &scheduler.Assignment{
			Cells: []scheduler.AssignedCell{{Host: 1, MemoryMB: 1024, CPUs: []scheduler.AssignedCPU{own(0, 10), own(1, 13)}}}, Emulator: &scheduler.AssignedCPU{Host: []int{11}, Own: true},
		}, ""},
		{"the emulator's shared", asking(2, 1024, dedicated("hw:emulator_threads_policy", "share")), nil, &scheduler.Assignment{
			Cells: []scheduler.AssignedCell{{Host: 0, MemoryMB: 1024, CPUs: []scheduler.AssignedCPU{own(0, 2), own(1, 3)}}}, Emulator: &scheduler.AssignedCPU{Host: []int{0, 1, 8, 9}},
		}, ""},
		{"mixed, in two unequal cells", asking(6, 3072, R{
			"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0,^5", "hw:numa_nodes": "2",
			"hw:numa_cpus.0": "0,1,2,3", "hw:numa_cpus.1": "4,5", "hw:numa_mem.0": "2048", "hw:numa_mem.1": "1024",
		}), nil, &scheduler.Assignment{Cells: []scheduler.AssignedCell{
			{Host: 1, MemoryMB: 2048, CPUs: []scheduler.AssignedCPU{shared(0, 8, 9), own(1, 10), own(2, 13), own(3, 11)}},
			{Host: 0, MemoryMB: 1024, CPUs: []scheduler.AssignedCPU{own(4, 2), shared(5, 0, 1)}},
		}}, ""},
		{"devices", func() scheduler.Request {
			r := asking(1, 512, nil)
			r.PCI = []scheduler.PCIRequest{{Count: 1, Specs: []scheduler.PCISpec{{VendorID: "10de"}}}, {Count: 1, Specs: []scheduler.PCISpec{{VendorID: "8086"}}}}
			return r
		}(), []string{"pci:0000:81:00.0"}, &scheduler.Assignment{PCI: []string{"0000:82:00.0", "0000:03:00.1"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			taken := map[string]bool{}
			for _, part := range c.taken {
				taken[part] = true
			}
			a, err := assign(t, big(), c.req, taken)
			if c.err != "" {
				require.ErrorIs(t, err, nephos.ErrNoCapacity)
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, a)
		})
	}
	counts := big()
	for i := range counts.NUMA {
		counts.NUMA[i].CPUs, counts.NUMA[i].Dedicated, counts.NUMA[i].Cores = nil, nil, nil
	}
	a, err := assign(t, counts, asking(2, 1024, dedicated()), nil)
	require.NoError(t, err)
	require.Nil(t, a, "a host that only counts has no parts to give")
}

// Servers that come and go never share a part, and the amounts that are free are
// parts that are free.
func TestNoPartIsGivenTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := big()
		snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
		require.NoError(rt, snap.Put(h))
		s, err := scheduler.New(scheduler.Config{})
		require.NoError(rt, err)
		type server struct {
			claim scheduler.Resources
			parts []string
		}
		taken, here := map[string]bool{}, []server{}
		for i := range rapid.IntRange(1, 30).Draw(rt, "steps") {
			if len(here) > 0 && rapid.Bool().Draw(rt, "goes") {
				k := rapid.IntRange(0, len(here)-1).Draw(rt, "who")
				for _, p := range here[k].parts {
					delete(taken, p)
				}
				require.NoError(rt, snap.Release("h", here[k].claim))
				here = slices.Delete(here, k, k+1)
				continue
			}
			vcpus := rapid.Int64Range(1, 4).Draw(rt, "vcpus")
			specs := map[string]string{"hw:cpu_policy": "dedicated"}
			if policy := rapid.SampledFrom([]string{"", "share", "isolate"}).Draw(rt, "emulator"); policy != "" {
				specs["hw:emulator_threads_policy"] = policy
			}
			req := asking(vcpus, 64, specs)
			req.ID = fmt.Sprint(i)
			if n := rapid.Int64Range(0, 2).Draw(rt, "devices"); n > 0 {
				req.PCI = []scheduler.PCIRequest{{Count: n}}
			}
			d, err := s.Select(snap, req, scheduler.Options{})
			if err != nil {
				require.ErrorIs(rt, err, nephos.ErrNoCapacity)
				continue
			}
			claim := d.Choices[0].Claim
			a, err := scheduler.Assign(h, req, claim, maps.Clone(taken))
			require.NoError(rt, err, "there is room by the amounts")
			parts := a.Parts()
			require.Len(rt, parts, int(req.Resources[scheduler.PCPU])+len(a.PCI))
			for _, p := range parts {
				require.False(rt, taken[p], "%s is given twice", p)
				taken[p] = true
			}
			require.NoError(rt, snap.Claim("h", claim))
			here = append(here, server{claim, parts})
		}
	})
}

func TestPlacementsWordsForDedicated(t *testing.T) {
	parse := func(specs map[string]string, vcpus int64) (*scheduler.NUMARequest, error) {
		return scheduler.ParseNUMA(specs, nil, vcpus, 1024)
	}
	n, err := parse(map[string]string{"resources:PCPU": "2"}, 2)
	require.NoError(t, err)
	require.Equal(t, []scheduler.NUMACellRequest{{PCPUs: 2, MemoryMB: 1024, Dedicated: []int{0, 1}}}, n.Cells)
	n, err = parse(map[string]string{"resources:PCPU": "3", "hw:emulator_threads_policy": "isolate"}, 2)
	require.NoError(t, err)
	require.Equal(t, int64(3), n.Cells[0].PCPUs)
	for _, bad := range []map[string]string{
		{"resources:PCPU": "1"},
		{"resources:PCPU": "2", "resources:VCPU": "1"},
		{"resources:PCPU": "2", "hw:cpu_policy": "dedicated"},
		{"resources:PCPU": "x"},
		{"hw:cpu_thread_policy": "require"},
		{"hw:emulator_threads_policy": "isolate"},
		{"hw:emulator_threads_policy": "any", "hw:cpu_policy": "dedicated"},
	} {
		_, err = parse(bad, 2)
		require.ErrorIs(t, err, nephos.ErrInvalid, bad)
	}
}
