package linuxhost_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor/internal/linuxhost"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func TestDedicate(t *testing.T) {
	cells := []driver.NUMACell{{ID: 0, CPUs: []int{0, 1, 2, 3}}, {ID: 1, CPUs: []int{4, 5}}}
	require.NoError(t, linuxhost.Dedicate(cells, []int{5, 3, 1, 3}))
	require.Equal(t, []driver.NUMACell{{ID: 0, CPUs: []int{0, 2}, Dedicated: []int{1, 3}}, {ID: 1, CPUs: []int{4}, Dedicated: []int{5}}}, cells)
	require.ErrorIs(t, linuxhost.Dedicate(cells, []int{6}), nephos.ErrInvalid)
	require.NoError(t, linuxhost.Dedicate(nil, nil))
}

func TestReadDevices(t *testing.T) {
	const pci = "sys/bus/pci/devices/"
	root := fstest.MapFS{
		pci + "0000:81:00.0/vendor":         file("0x10de\n"),
		pci + "0000:81:00.0/device":         file("0x1eb8\n"),
		pci + "0000:81:00.0/numa_node":      file("1\n"),
		pci + "0000:03:00.0/vendor":         file("0x8086\n"),
		pci + "0000:03:00.0/device":         file("0x10fb\n"),
		pci + "0000:03:00.0/numa_node":      file("-1\n"),
		pci + "0000:03:00.0/sriov_totalvfs": file("63\n"),
		pci + "0000:03:10.0/vendor":         file("0x8086\n"),
		pci + "0000:03:10.0/device":         file("0x10ed\n"),
		pci + "0000:03:10.0/physfn/vendor":  file("0x8086\n"),
	}
	one := 1
	got, err := linuxhost.ReadDevices(root, []string{"0000:81:00.0", "0000:99:00.0", "0000:03:00.0", "0000:03:10.0"})
	require.NoError(t, err)
	require.Equal(t, []driver.PCIDevice{
		{Address: "0000:81:00.0", VendorID: "10de", ProductID: "1eb8", Type: "type-PCI", NUMANode: &one},
		{Address: "0000:03:00.0", VendorID: "8086", ProductID: "10fb", Type: "type-PF"},
		{Address: "0000:03:10.0", VendorID: "8086", ProductID: "10ed", Type: "type-VF"},
	}, got)
	_, err = linuxhost.ReadDevices(root, []string{"../0000:81:00.0"})
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

func TestCoresAndPages(t *testing.T) {
	const cpu = "sys/devices/system/cpu/cpu"
	root := fstest.MapFS{
		cpu + "0/topology/thread_siblings_list": file("0,2\n"),
		cpu + "2/topology/thread_siblings_list": file("0,2\n"),
		cpu + "1/topology/thread_siblings_list": file("1\n"),
		"proc/mounts":                           file("proc /proc proc rw 0 0\nhugetlbfs /dev/hugepages hugetlbfs rw,pagesize=2M 0 0\n"),
	}
	cells := []driver.NUMACell{{CPUs: []int{0, 1, 3}, Dedicated: []int{2}}}
	require.NoError(t, linuxhost.ReadCores(root, cells))
	require.Equal(t, map[int]int{0: 0, 2: 0}, cells[0].Cores)
	require.True(t, linuxhost.MountsHugePages(root))
	require.False(t, linuxhost.MountsHugePages(fstest.MapFS{"proc/mounts": file("proc /proc proc rw 0 0\n")}))
	root[cpu+"1/topology/thread_siblings_list"] = file("x\n")
	require.Error(t, linuxhost.ReadCores(root, cells))
}
