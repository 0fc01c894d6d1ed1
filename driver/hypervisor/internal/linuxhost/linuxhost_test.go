package linuxhost

import (
	"os"
	"runtime"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver"
)

func tree(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func TestProcessors(t *testing.T) {
	p, err := ReadProcessor(tree(map[string]string{"proc/cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\nflags\t\t: fpu sse2 avx2\n\n" +
		"processor\t: 1\nvendor_id\t: Other\nflags\t: none\n"}))
	require.NoError(t, err)
	require.Equal(t, Processor{Vendor: "Intel", Model: "Xeon", Features: []string{"fpu", "sse2", "avx2"}}, p)
	_, err = ReadProcessor(tree(nil))
	require.Error(t, err)
	require.False(t, Threads(tree(nil)))
	require.True(t, Threads(tree(map[string]string{"sys/devices/system/cpu/smt/active": "1\n"})))
}

func TestCells(t *testing.T) {
	const node = "sys/devices/system/node/"
	files := map[string]string{
		node + "online":        "0-1,4\n",
		node + "node0/cpulist": "0-1,4\n", node + "node0/meminfo": "Node 0 MemTotal:       8388608 kB\nNode 0 MemFree: 1 kB\n",
		node + "node1/cpulist": "2-3\n", node + "node1/meminfo": "Node 1 MemTotal:       4194304 kB\n",
		node + "node1/hugepages/hugepages-2048kB/nr_hugepages":    "512\n",
		node + "node1/hugepages/hugepages-1048576kB/nr_hugepages": "0\n",
		node + "node4/cpulist": "\n", node + "node4/meminfo": "Node 4 MemTotal: 0 kB\n",
	}
	cells, err := ReadCells(tree(files))
	require.NoError(t, err)
	require.Equal(t, []driver.NUMACell{
		{ID: 0, CPUs: []int{0, 1, 4}, MemoryMiB: 8192},
		{ID: 1, CPUs: []int{2, 3}, MemoryMiB: 3072, Pages: map[int64]int64{2048: 512}},
	}, cells)

	cells, err = ReadCells(tree(nil))
	require.NoError(t, err)
	require.Empty(t, cells)
	for name, text := range map[string]string{
		"online": "0-", "node0/cpulist": "3-1", "node0/meminfo": "nothing", "node1/hugepages/hugepages-2048kB/nr_hugepages": "99999999",
	} {
		was := files[node+name]
		files[node+name] = text
		_, err := ReadCells(tree(files))
		require.Error(t, err, name)
		files[node+name] = was
	}
}

func TestShares(t *testing.T) {
	before, err := parseTimes("cpu  100 0 100 700 100 0 0 0 0 0")
	require.NoError(t, err)
	now, err := parseTimes("cpu  150 50 150 1350 200 25 25 50 0 0")
	require.NoError(t, err)
	require.Equal(t, map[string]float64{
		"cpu.user.percent": 0.1, "cpu.kernel.percent": 0.1, "cpu.idle.percent": 0.7, "cpu.iowait.percent": 0.1, "cpu.percent": 0.3,
	}, now.Shares(before))
	require.Nil(t, now.Shares(now))
	require.Nil(t, before.Shares(now), "a counter that fell says nothing")
	for _, bad := range []string{"", "cpu0 1 2 3 4 5", "cpu 1 2", "cpu 1 2 3 x 5", "cpu -1 2 3 4 5"} {
		_, err := parseTimes(bad)
		require.Error(t, err, bad)
	}
}

func TestThisHost(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this is no Linux")
	}
	root := os.DirFS("/")
	_, err := ReadProcessor(root)
	require.NoError(t, err)
	_, err = ReadTimes(root)
	require.NoError(t, err)
	_, err = ReadCells(root)
	require.NoError(t, err)
}

func FuzzReadCells(f *testing.F) {
	f.Add("0-1", "0-3,8", "Node 0 MemTotal: 1024 kB", "1", "cpu 1 2 3 4 5 6 7")
	f.Add("", "", "", "", "")
	f.Fuzz(func(t *testing.T, online, cpus, memory, pages, stat string) {
		const node = "sys/devices/system/node/"
		cells, err := ReadCells(tree(map[string]string{
			node + "online": online, node + "node0/cpulist": cpus, node + "node0/meminfo": memory,
			node + "node0/hugepages/hugepages-2048kB/nr_hugepages": pages,
		}))
		if err == nil {
			for _, c := range cells {
				require.GreaterOrEqual(t, c.MemoryMiB, int64(0))
				require.Equal(t, 0, c.ID)
				seen := map[int]bool{}
				for _, cpu := range c.CPUs {
					require.False(t, seen[cpu])
					seen[cpu] = true
				}
			}
		}
		parseProcessor([]byte(stat + "\n" + cpus))
		if now, err := parseTimes(stat); err == nil {
			for _, v := range now.Shares(Times{}) {
				require.True(t, v >= 0 && v <= 1.0000001)
			}
		}
	})
}
