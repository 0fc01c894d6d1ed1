package qemu

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

func TestProcessorsAreDescribedAsGuestsFindThem(t *testing.T) {
	root := fstest.MapFS{}
	for name, text := range map[string]string{
		"proc/cpuinfo":                          "vendor_id : AuthenticAMD\nmodel name : EPYC\nflags : sse2 avx2\n",
		"proc/stat":                             "cpu 10 0 10 80 0 0 0 0 0 0\n",
		"sys/devices/system/cpu/smt/active":     "1\n",
		"sys/devices/system/node/online":        "0\n",
		"sys/devices/system/node/node0/cpulist": "0-3\n",
		"sys/devices/system/node/node0/meminfo": "Node 0 MemTotal: 5242880 kB\n",
		"sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages": "512\n",
	} {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	d := &Driver{accel: "kvm"}
	var h hypervisor.Host
	require.NoError(t, d.describeProcessors(&h, root))
	require.Equal(t, []string{"sse2", "avx2"}, h.CPUFeatures)
	require.Equal(t, "AMD", h.CPUVendor)
	require.Equal(t, "EPYC", h.CPUModel)
	require.Contains(t, h.Traits, "HW_CPU_HYPERTHREADING")
	require.Equal(t, []driver.NUMACell{{ID: 0, CPUs: []int{0, 1, 2, 3}, MemoryMiB: 4096, Pages: map[int64]int64{2048: 512}}}, h.NUMA)
	require.Equal(t, 0.2, h.Metrics["cpu.percent"])
	require.NoError(t, h.Validate())

	root["proc/stat"] = &fstest.MapFile{Data: []byte("cpu 20 0 20 80 0 0 0 0 0 0\n")}
	d.accel = "tcg"
	require.NoError(t, d.describeProcessors(&h, root))
	require.NotContains(t, h.CPUFeatures, "avx2", "guests see what is emulated")
	require.Equal(t, 1.0, h.Metrics["cpu.percent"], "since it was asked last")

	d.cfg.Dedicated = []int{2, 3}
	root["sys/devices/system/cpu/cpu3/topology/thread_siblings_list"] = &fstest.MapFile{Data: []byte("1,3\n")}
	require.NoError(t, d.describeProcessors(&h, root))
	require.Equal(t, []int{0, 1}, h.NUMA[0].CPUs)
	require.Equal(t, []int{2, 3}, h.NUMA[0].Dedicated)
	require.Equal(t, map[int]int{3: 1}, h.NUMA[0].Cores)
	d.cfg.Dedicated = []int{4}
	require.ErrorIs(t, d.describeProcessors(&h, root), nephos.ErrInvalid)
}

func TestCommandOfAPlacedGuest(t *testing.T) {
	s := hypervisor.Spec{}
	s.VCPUs, s.MemoryMiB, s.Topology = 4, 3072, hypervisor.Topology{Sockets: 1, Cores: 2, Threads: 2}
	s.NUMA = []hypervisor.Cell{
		{Host: 1, MemoryMiB: 2048, PageKiB: 2048, Pins: []hypervisor.Pin{{VCPU: 3, CPUs: []int{7}}, {VCPU: 0, CPUs: []int{6}}}},
		{Host: 0, MemoryMiB: 1024, Pins: []hypervisor.Pin{{VCPU: 1, CPUs: []int{0, 1}}, {VCPU: 2, CPUs: []int{0, 1}}}},
	}
	var c command
	c.machine("id", "name", "kvm", s)
	line := strings.Join(c.args, " ")
	require.Contains(t, line, "-m 3072 -smp 4,sockets=1,cores=2,threads=2 ")
	require.Contains(t, line, `-object {"host-nodes":[1],"hugetlb":true,"hugetlbsize":2097152,"id":"cell0","policy":"bind","prealloc":true,"qom-type":"memory-backend-memfd","size":2147483648} -numa node,nodeid=0,memdev=cell0,cpus=3,cpus=0 `)
	require.Contains(t, line, `-object {"host-nodes":[0],"id":"cell1","policy":"bind","qom-type":"memory-backend-ram","size":1073741824} -numa node,nodeid=1,memdev=cell1,cpus=1,cpus=2 `)
	d := &Driver{unplaced: errors.New("no")}
	require.ErrorIs(t, d.checkPlace(s), errors.ErrUnsupported)
	s.NUMA, s.PCI = nil, []string{"0000:81:00.0"}
	require.ErrorIs(t, (&Driver{}).checkPlace(s), errors.ErrUnsupported)
}
