package qemu

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/internal/qemuimg"
)

func TestParseVersion(t *testing.T) {
	v, err := parseVersion("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright (c)")
	require.NoError(t, err)
	require.Equal(t, 7002022, v)
	_, err = parseVersion("no")
	require.Error(t, err)
}

func TestParseStat(t *testing.T) {
	ticks, state, err := parseStat("12 (q) x (y) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21")
	require.NoError(t, err)
	require.EqualValues(t, 4711, ticks)
	require.EqualValues(t, 'S', state)
	for _, bad := range []string{"", "1 (x) S 1", ")", "1 (x) SS" + strings.Repeat(" x", 30)} {
		_, _, err := parseStat(bad)
		require.Error(t, err, bad)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("12 (q) x (y) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21")
	f.Fuzz(func(t *testing.T, s string) { _, _, _ = parseStat(s) })
}

func FuzzQcow2Size(f *testing.F) {
	h := make([]byte, 32)
	copy(h, "QFI\xfb")
	binary.BigEndian.PutUint64(h[24:], 1<<30)
	f.Add(h)
	f.Fuzz(func(t *testing.T, header []byte) {
		size, err := qemuimg.SizeOfHeader(header)
		if err == nil {
			require.GreaterOrEqual(t, size, int64(0))
			require.Equal(t, "QFI\xfb", string(header[:4]))
		} else {
			require.ErrorIs(t, err, nephos.ErrInvalid)
		}
	})
}

func TestBootOrder(t *testing.T) {
	order := bootOrder([]driver.Disk{{ID: "a", BootIndex: 0}, {ID: "b", BootIndex: -1}, {ID: "c", BootIndex: 5}, {ID: "d", BootIndex: 0}})
	require.Equal(t, map[string]int{"a": 1, "d": 2, "c": 3}, order, "equal indexes keep their order; QEMU wants them distinct")
}

func TestBlockNodesBelieveNoHeader(t *testing.T) {
	node := blockNode("n", "qcow2", false, source{path: "/dev/fdset/3"}, nil, "")
	require.Contains(t, node, "backing", "a volume's header must not name a backing file")
	require.Nil(t, node["backing"])
	base := &source{path: "/dev/fdset/4"}
	node = blockNode("n", "qcow2", false, source{path: "/dev/fdset/3"}, base, "qcow2")
	under := node["backing"].(map[string]any)
	require.Contains(t, under, "backing")
	require.Nil(t, under["backing"])
	require.Equal(t, true, under["read-only"])
	node = blockNode("n", "raw", true, source{path: "/dev/fdset/3", device: true}, nil, "")
	require.NotContains(t, node, "backing")
	require.Equal(t, "host_device", node["file"].(map[string]any)["driver"])
}

func TestBlockNodeNamesFit(t *testing.T) {
	a, b := diskNode(strings.Repeat("a", 64)), diskNode(strings.Repeat("a", 63)+"b")
	require.NotEqual(t, a, b)
	require.LessOrEqual(t, len(a), 31)
}

func TestDiskDevices(t *testing.T) {
	for want, d := range map[string]driver.Disk{
		"virtio-blk-pci": {ID: "x"}, "scsi-hd": {ID: "x", Bus: "scsi"}, "ide-cd": {ID: "x", CDROM: true},
		"scsi-cd": {ID: "x", Bus: "scsi", CDROM: true}, "ide-hd": {ID: "x", Bus: "sata"},
	} {
		require.Equal(t, want, diskDeviceOf(d, place{unit: 3})["driver"])
	}
	dev := diskDeviceOf(driver.Disk{ID: "x", Bus: "ide", Serial: "a,b=c"}, place{unit: 3, boot: 2})
	require.Equal(t, "ide.1", dev["bus"])
	require.Equal(t, 1, dev["unit"])
	require.Equal(t, 2, dev["bootindex"])
	require.Equal(t, "a,b=c", dev["serial"], "as JSON, it needs no quoting")
	require.NotContains(t, diskDeviceOf(driver.Disk{ID: "x"}, place{}), "bootindex")
}

func TestNICDevices(t *testing.T) {
	dev := nicDeviceOf(driver.NIC{ID: "p", MAC: "02:00:00:00:00:01", MTU: 1450}, 7)
	require.Equal(t, "0x7", dev["addr"])
	require.Equal(t, 1450, dev["host_mtu"])
	require.NotContains(t, nicDeviceOf(driver.NIC{MTU: 1500}, 7), "host_mtu")
	dev = nicDeviceOf(driver.NIC{ID: "p", Model: "e1000", MTU: 1450}, 7)
	require.Equal(t, "e1000", dev["driver"])
	require.NotContains(t, dev, "host_mtu", "e1000 cannot tell it")
}

func TestSlotsStay(t *testing.T) {
	spec := peerSpec()
	for _, id := range []string{"a", "b", "c"} {
		spec.Disks = append(spec.Disks, driver.Disk{ID: id})
	}
	spec.NICs = []driver.NIC{{ID: "n"}}
	first := assignSlots(nil, spec)
	require.Equal(t, map[string]int{"disk-a": 7, "disk-b": 8, "disk-c": 9, "nic-n": 10}, first)
	spec.Disks = []driver.Disk{{ID: "a"}, {ID: "c"}, {ID: "d"}, {ID: "s", Bus: "scsi"}}
	second := assignSlots(first, spec)
	require.Equal(t, map[string]int{"disk-a": 7, "disk-c": 9, "nic-n": 10, "disk-d": 11}, second,
		"what stays keeps its slot, and a new disk does not take one just left")
	spec.Disks = nil
	for i := range pciSlots - 1 {
		spec.Disks = append(spec.Disks, driver.Disk{ID: string(rune('A' + i))})
	}
	used := make(map[int]bool)
	for _, slot := range assignSlots(second, spec) {
		require.False(t, used[slot])
		require.True(t, slot >= slotFirst && slot <= slotLast)
		used[slot] = true
	}
	require.Len(t, used, pciSlots)
}

func TestCheckSpec(t *testing.T) {
	d := &Driver{cfg: Config{CloudID: "c"}}
	spec := func() hypervisor.Spec { return hypervisor.Spec{CloudID: "c", VCPUs: 1, MemoryMiB: 64} }
	require.NoError(t, d.checkSpec(spec()))
	file := func(path string) driver.Disk {
		return driver.Disk{ID: "v", Format: "raw", Source: driver.Connection{Type: "file", Path: path}}
	}
	for name, change := range map[string]func(*hypervisor.Spec){
		"another cloud": func(s *hypervisor.Spec) { s.CloudID = "other" },
		"uefi":          func(s *hypervisor.Spec) { s.Firmware = "uefi" },
		"machine":       func(s *hypervisor.Spec) { s.Machine = "pc,accel=kvm" },
		"processors":    func(s *hypervisor.Spec) { s.VCPUs = 256 },
		"relative path": func(s *hypervisor.Spec) { s.Disks = []driver.Disk{file("disk.raw")} },
		"protocol path": func(s *hypervisor.Spec) { s.Disks = []driver.Disk{file("nbd://host/x")} },
		"virtio CD": func(s *hypervisor.Spec) {
			s.Disks = []driver.Disk{file("/x")}
			s.Disks[0].CDROM, s.Disks[0].Bus = true, "virtio"
		},
		"tap name": func(s *hypervisor.Spec) {
			s.NICs = []driver.NIC{{ID: "n", MAC: "02:00:00:00:00:01", Device: "a-name-that-is-too-long"}}
		},
		"too many cards": func(s *hypervisor.Spec) {
			for i := range pciSlots + 1 {
				s.NICs = append(s.NICs, driver.NIC{ID: "n" + string(rune('a'+i)), MAC: "02:00:00:00:00:01", Device: "t"})
			}
		},
	} {
		s := spec()
		change(&s)
		require.ErrorIs(t, d.checkSpec(s), nephos.ErrInvalid, name)
	}
	s := spec()
	s.Disks = []driver.Disk{{ID: "v", Format: "raw", Source: driver.Connection{Type: "iscsi"}}}
	require.ErrorIs(t, d.checkSpec(s), errors.ErrUnsupported)
}

func TestSecretsStayOffTheDisk(t *testing.T) {
	secret := map[string]string{"password": "hunter2"}
	s := hypervisor.Spec{Disks: []driver.Disk{{ID: "v", Source: driver.Connection{Secrets: secret}}}}
	data, err := json.Marshal(withoutSecrets(s))
	require.NoError(t, err)
	require.NotContains(t, string(data), "hunter2")
	require.Equal(t, secret, s.Disks[0].Source.Secrets, "the caller's spec is not touched")
}

func TestSameBase(t *testing.T) {
	a := &driver.Image{Path: "/a", Format: "raw", Digest: "1"}
	require.True(t, sameBase(nil, nil))
	require.False(t, sameBase(a, nil))
	require.True(t, sameBase(a, &driver.Image{Path: "/moved", Format: "raw", Digest: "1"}))
	require.False(t, sameBase(a, &driver.Image{Path: "/a", Format: "raw", Digest: "2"}))
	require.True(t, sameBase(a, &driver.Image{Path: "/a", Format: "raw"}))
}

func TestConsoleLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "console.log")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteString(strings.Repeat("x", maxLog) + "the end\n")
	require.NoError(t, err)
	require.NoError(t, boundLog(dir))
	_, err = f.WriteString("and on\n")
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 7, info.Size())
	d := &Driver{guests: map[string]*guest{"g": {id: "g", dir: dir, rec: record{ID: "g"}}}}
	log, err := d.ConsoleLog(context.Background(), "g", 15)
	require.NoError(t, err)
	require.Equal(t, "the end\nand on\n", string(log))
}

func TestForeignProcessIsNotOurs(t *testing.T) {
	_, err := openProcess(os.Getpid(), 0, "some-guest")
	require.ErrorIs(t, err, os.ErrProcessDone, "a process that does not name the guest is never touched")
	_, err = scanProcess("some-guest")
	require.ErrorIs(t, err, os.ErrProcessDone)
}

func TestVirtualizes(t *testing.T) {
	const without = "processor\t: 0\nflags\t\t: fpu vme svmx\nbugs\t\t: svm vmx\n\n"
	require.False(t, virtualizes("amd64", []byte(without)))
	require.False(t, virtualizes("amd64", nil))
	require.True(t, virtualizes("arm64", []byte(without)))
	require.True(t, virtualizes("amd64", []byte(without+"processor\t: 1\nflags\t\t: fpu svm vme\n")))
	require.True(t, virtualizes("386", []byte("flags\t\t: fpu vmx\n")))
}
