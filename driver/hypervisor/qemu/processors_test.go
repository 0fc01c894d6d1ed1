package qemu

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

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
	require.Equal(t, []driver.NUMACell{{ID: 0, CPUs: []int{0, 1, 2, 3}, MemoryMiB: 4096}}, h.NUMA)
	require.Equal(t, 0.2, h.Metrics["cpu.percent"])
	require.NoError(t, h.Validate())

	root["proc/stat"] = &fstest.MapFile{Data: []byte("cpu 20 0 20 80 0 0 0 0 0 0\n")}
	d.accel = "tcg"
	require.NoError(t, d.describeProcessors(&h, root))
	require.NotContains(t, h.CPUFeatures, "avx2", "guests see what is emulated")
	require.Equal(t, 1.0, h.Metrics["cpu.percent"], "since it was asked last")
}
