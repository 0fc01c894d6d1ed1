package domain_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
)

var update = flag.Bool("update", false, "write the golden files anew")

const id = "6a5d1c3e-0c56-4f0c-9d5f-0e1f2a3b4c5d"

func read(t testing.TB, name string) string {
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return string(data)
}

func platform(t testing.TB, name string, want domain.Wanted) domain.Platform {
	driverName := map[string]string{"qemu": "QEMU", "test": "TEST", "lxc": "LXC", "xen": "Xen"}[name]
	p, err := domain.Choose(driverName, read(t, name+"-capabilities.xml"), want)
	require.NoError(t, err)
	if name == "qemu" {
		require.NoError(t, p.Refine(read(t, "qemu-domain-capabilities.xml")))
	}
	return p
}

func spec() hypervisor.Spec {
	base := &driver.Image{Path: "/var/cache/images/abc", Format: "raw", Digest: "abc"}
	return hypervisor.Spec{
		CloudID: "cloud", Name: "web <1>", Revision: 7, VCPUs: 2, MemoryMiB: 512,
		Labels: map[string]string{"project": "p1", "odd": "a=\"b\"\n\x01ü"},
		Disks: []driver.Disk{
			{ID: "root", Source: driver.Connection{Type: "local"}, Base: base, SizeBytes: 1 << 30, BootIndex: 0, Serial: "root"},
			{
				ID: "ceph", Format: "raw", BootIndex: -1, Device: "/dev/vdd",
				Source: driver.Connection{
					Type: "rbd", Options: map[string]string{"pool": "vms", "image": "vol 1", "hosts": "10.0.0.1:6789,[fd00::1]:6789", "user": "nephos"},
					Secrets: map[string]string{"key": "c2VjcmV0"}, Limits: &driver.Limits{ReadIOPS: 100, WriteBytesSec: 1 << 20},
				},
			},
			{
				ID: "net.1", Format: "raw", Bus: "scsi", BootIndex: 1,
				Source: driver.Connection{Type: "nbd", Options: map[string]string{"host": "10.0.0.2", "export": "x"}},
			},
			{
				ID: "locked", Format: "raw", BootIndex: -1,
				Source: driver.Connection{
					Type: "file", Path: "/dev/disk/by-id/x", Encryption: &driver.Encryption{Format: "luks"},
					Secrets: map[string]string{"passphrase": "open sesame"},
				},
			},
			{ID: "config", Source: driver.Connection{Type: "file", Path: "/srv/config.iso"}, Format: "raw", CDROM: true, ReadOnly: true, BootIndex: -1},
		},
		NICs: []driver.NIC{
			{ID: "port1", MAC: "fa:16:3e:00:00:01", MTU: 1450, Device: "tap1"},
			{ID: "port2", MAC: "fa:16:3e:00:00:02", Device: "tap2", Model: "e1000"},
		},
	}
}

func build(t testing.TB, p domain.Platform, s hypervisor.Spec, old *libvirtxml.Domain, had map[string]string) (*libvirtxml.Domain, domain.Record) {
	targets, err := domain.AssignTargets(p, had, s.Disks, nil)
	require.NoError(t, err)
	rec := domain.Record{ID: id, Spec: s, Targets: targets}
	d, err := domain.Build(p, "/srv/nephos/guests/"+id, rec, domain.Run{Started: time.Unix(1000, 0)}, old)
	require.NoError(t, err)
	return d, rec
}

func TestGolden(t *testing.T) {
	small := spec()
	small.Disks = []driver.Disk{small.Disks[0], small.Disks[4]}
	small.NICs = small.NICs[:1]
	bare := spec()
	bare.Disks = []driver.Disk{{ID: "root", Source: driver.Connection{Type: "file", Path: "/srv/root.raw"}, Format: "raw"}}
	bare.NICs = bare.NICs[:1]
	alone := bare
	alone.NICs = nil
	require.ErrorIs(t, domain.CheckNICs(platform(t, "lxc", domain.Wanted{}), bare.NICs), errors.ErrUnsupported)
	placed := small
	placed.VCPUs, placed.MemoryMiB = 6, 3072
	placed.Topology = hypervisor.Topology{Sockets: 1, Cores: 3, Threads: 2}
	placed.NUMA = []hypervisor.Cell{
		{Host: 1, MemoryMiB: 2048, PageKiB: 2048, Pins: []hypervisor.Pin{{VCPU: 4, CPUs: []int{14}}, {VCPU: 0, CPUs: []int{11}}, {VCPU: 1, CPUs: []int{13}}}},
		{Host: 0, MemoryMiB: 1024, Pins: []hypervisor.Pin{{VCPU: 2, CPUs: []int{0, 1}}, {VCPU: 3, CPUs: []int{0, 1}}, {VCPU: 5, CPUs: []int{2}}}},
	}
	placed.PCI = []string{"0000:81:00.0", "0000:82:1f.7"}
	apart := placed
	apart.NUMA, apart.EmulatorCPUs, apart.PCI = placed.NUMA, []int{0, 10}, nil
	for name, c := range map[string]struct {
		p    domain.Platform
		spec hypervisor.Spec
	}{
		"placed":       {platform(t, "qemu", domain.Wanted{Type: "kvm"}), placed},
		"placed-apart": {platform(t, "qemu", domain.Wanted{Type: "qemu", Machine: "q35"}), apart},
		"kvm":          {platform(t, "qemu", domain.Wanted{Type: "kvm"}), spec()},
		"tcg":          {platform(t, "qemu", domain.Wanted{Type: "qemu"}), spec()},
		"tcg-q35":      {platform(t, "qemu", domain.Wanted{Type: "qemu", Machine: "q35"}), small},
		"test":         {platform(t, "test", domain.Wanted{}), small},
		"lxc":          {platform(t, "lxc", domain.Wanted{}), alone},
		"xen-hvm":      {platform(t, "xen", domain.Wanted{}), small},
		"xen-pv":       {platform(t, "xen", domain.Wanted{OS: "xen"}), bare},
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := build(t, c.p, c.spec, nil, nil)
			text, err := d.Marshal()
			require.NoError(t, err)
			require.NotContains(t, text, "c2VjcmV0", "no secret is written")
			require.NotContains(t, text, "open sesame")
			path := filepath.Join("testdata", name+".golden.xml")
			if *update {
				require.NoError(t, os.WriteFile(path, []byte(text+"\n"), 0o644))
			}
			require.Equal(t, read(t, name+".golden.xml"), text+"\n")
		})
	}
}

func TestRecordRoundTrip(t *testing.T) {
	rec := domain.Record{
		ID: id, Spec: domain.WithoutSecrets(spec()), Made: map[string]*driver.Image{"root": spec().Disks[0].Base, "swap": nil},
		Targets: map[string]string{"root": "vda"}, Sizes: map[string]int64{"root": 5}, Imported: map[string]bool{"root": true},
		Rescue: &driver.Disk{ID: "rescue", Source: driver.Connection{Type: "local"}, SizeBytes: 1},
		Moving: &domain.Moving{Target: "qemu+tls://b/system", Error: "x"}, Incoming: true,
		Left: &domain.Left{Target: "y", Memory: 1, Elapsed: time.Second},
	}
	rec.Spec.Name = "]]></x> & \ufffe\uffff\t\r\n"
	run := domain.Run{Started: time.Unix(5, 6).UTC(), Ended: hypervisor.Crashed}
	got, gotRun, err := domain.ReadMetadata(rec.Element() + "\n <o:x xmlns:o='urn:other'><o:y/></o:x>" + run.Element())
	require.NoError(t, err)
	require.Equal(t, rec, *got)
	require.Equal(t, run, gotRun)
}

func TestForeignMetadata(t *testing.T) {
	for _, inside := range []string{"", "  ", "<a xmlns='urn:a'/>", "<guest xmlns='urn:a' id='x'>{}</guest>", "text"} {
		rec, _, err := domain.ReadMetadata(inside)
		require.NoError(t, err, inside)
		require.Nil(t, rec)
	}
	for _, inside := range []string{
		"<a", `<n:guest xmlns:n="` + domain.GuestNS + `">no json</n:guest>`,
		`<n:guest xmlns:n="` + domain.GuestNS + `">{"ID": "../x"}</n:guest>`,
	} {
		_, _, err := domain.ReadMetadata(inside)
		require.Error(t, err, inside)
	}
}

// What others wrote into the metadata stays, and ours is replaced.
func TestForeignMetadataIsKept(t *testing.T) {
	p := platform(t, "qemu", domain.Wanted{Type: "qemu"})
	d, rec := build(t, p, spec(), nil, nil)
	d.Metadata.XML += `<o:x xmlns:o="urn:other" a="1"><o:y>z</o:y></o:x>`
	again, _ := build(t, p, rec.Spec, d, rec.Targets)
	require.Contains(t, again.Metadata.XML, `<o:x xmlns:o="urn:other" a="1"><o:y>z</o:y></o:x>`)
	got, _, err := domain.ReadMetadata(again.Metadata.XML)
	require.NoError(t, err)
	require.Equal(t, id, got.ID)
}

// What libvirt gave a guest it finds again: machine, controllers, addresses.
func TestAddressesAreKept(t *testing.T) {
	p := platform(t, "qemu", domain.Wanted{Type: "qemu"})
	old, rec := build(t, p, spec(), nil, nil)
	zero, slot := uint(0), uint(9)
	at := &libvirtxml.DomainAddress{PCI: &libvirtxml.DomainAddressPCI{Domain: &zero, Bus: &zero, Slot: &slot, Function: &zero}}
	old.OS.Type.Machine = "pc-i440fx-7.2"
	old.Devices.Disks[0].Address, old.Devices.Interfaces[1].Address = at, at
	old.Devices.Controllers = append(old.Devices.Controllers, libvirtxml.DomainController{Type: "virtio-serial", Index: &zero, Address: at})
	more := spec()
	more.Disks = append(more.Disks[1:2], more.Disks[0])
	more.MemoryMiB = 1024
	again, _ := build(t, p, more, old, rec.Targets)
	require.Equal(t, "pc-i440fx-7.2", again.OS.Type.Machine)
	require.Equal(t, at, again.Devices.Disks[1].Address)
	require.Equal(t, "vda", again.Devices.Disks[1].Target.Dev, "a disk keeps its target")
	require.Equal(t, at, again.Devices.Interfaces[1].Address)
	require.Contains(t, again.Devices.Controllers, old.Devices.Controllers[len(old.Devices.Controllers)-1])
	require.EqualValues(t, 1024, again.Memory.Value)
	more.Machine = "q35"
	other, _ := build(t, p, more, old, rec.Targets)
	require.Equal(t, "q35", other.OS.Type.Machine)
	require.Nil(t, other.Devices.Disks[1].Address, "another machine has other addresses")
}

// A device of the host keeps its place in the guest, and goes with the spec.
func TestDevicesOfTheHostKeepTheirAddresses(t *testing.T) {
	p := platform(t, "qemu", domain.Wanted{Type: "qemu"})
	s := spec()
	s.PCI = []string{"0000:81:00.0"}
	old, rec := build(t, p, s, nil, nil)
	require.Len(t, old.Devices.Hostdevs, 1)
	require.Equal(t, "0000:81:00.0", domain.PCIAddress(old.Devices.Hostdevs[0]))
	zero, slot := uint(0), uint(9)
	at := &libvirtxml.DomainAddress{PCI: &libvirtxml.DomainAddressPCI{Domain: &zero, Bus: &zero, Slot: &slot, Function: &zero}}
	old.Devices.Hostdevs[0].Address = at
	s.PCI = []string{"0000:82:00.0", "0000:81:00.0"}
	again, _ := build(t, p, s, old, rec.Targets)
	require.Len(t, again.Devices.Hostdevs, 2)
	require.Nil(t, again.Devices.Hostdevs[0].Address)
	require.Equal(t, at, again.Devices.Hostdevs[1].Address)
	s.PCI = nil
	none, _ := build(t, p, s, again, rec.Targets)
	require.Empty(t, none.Devices.Hostdevs)
}

// A guest that moves has the other host's processors and cells.
func TestAMovedGuestIsPlacedThere(t *testing.T) {
	p := platform(t, "qemu", domain.Wanted{Type: "qemu"})
	here := spec()
	here.NUMA = []hypervisor.Cell{{Host: 1, MemoryMiB: 512, Pins: []hypervisor.Pin{{VCPU: 0, CPUs: []int{6}}, {VCPU: 1, CPUs: []int{7}}}}}
	from, fromRec := build(t, p, here, nil, nil)
	require.Equal(t, []int{1}, domain.HostCells(from))
	there := spec()
	there.NUMA = []hypervisor.Cell{{Host: 0, MemoryMiB: 512, PageKiB: 2048, Pins: []hypervisor.Pin{{VCPU: 0, CPUs: []int{3}}, {VCPU: 1, CPUs: []int{2}}}}}
	to, toRec := build(t, p, there, nil, nil)
	moved, err := domain.Move(from, to, fromRec, toRec)
	require.NoError(t, err)
	require.Equal(t, []int{0}, domain.HostCells(moved))
	require.Equal(t, to.CPUTune, moved.CPUTune)
	require.Equal(t, to.MemoryBacking, moved.MemoryBacking)
	require.Equal(t, from.CPU.Numa, moved.CPU.Numa)
}

func TestMove(t *testing.T) {
	p := platform(t, "qemu", domain.Wanted{Type: "qemu"})
	from, fromRec := build(t, p, spec(), nil, nil)
	there := spec()
	there.Disks[0].Base = &driver.Image{Path: "/elsewhere/abc", Format: "raw", Digest: "abc"}
	there.NICs[0].Device = "tap9"
	to, toRec := build(t, p, there, nil, nil)
	to.Devices.Serials[0].Log.File = "/elsewhere/console.log"
	moved, err := domain.Move(from, to, fromRec, toRec)
	require.NoError(t, err)
	require.Equal(t, "/elsewhere/abc", moved.Devices.Disks[0].BackingStore.Source.File.File)
	require.Equal(t, "tap9", moved.Devices.Interfaces[0].Target.Dev)
	require.Equal(t, "/elsewhere/console.log", moved.Devices.Serials[0].Log.File)
	require.Equal(t, "/var/cache/images/abc", from.Devices.Disks[0].BackingStore.Source.File.File, "the source's is left as it is")
	there.NICs = there.NICs[:1]
	to, toRec = build(t, p, there, nil, nil)
	_, err = domain.Move(from, to, fromRec, toRec)
	require.ErrorIs(t, err, nephos.ErrConflict)
}

func TestAliases(t *testing.T) {
	for _, s := range []string{id, "a", "net.1", "a_b.c-d"} {
		for _, alias := range []string{domain.DiskAlias(s), domain.NICAlias(s)} {
			require.Regexp(t, `^ua-[0-9A-Za-z_-]+$`, alias)
			_, got, ok := domain.IDOfAlias(alias)
			require.True(t, ok)
			require.Equal(t, s, got)
		}
	}
	_, _, ok := domain.IDOfAlias("virtio-disk0")
	require.False(t, ok)
}

func TestUUID(t *testing.T) {
	require.Equal(t, id, domain.UUID(id))
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, domain.UUID("guest-1"))
	require.NotEqual(t, domain.UUID("guest-1"), domain.UUID("guest-2"))
}

func TestTargets(t *testing.T) {
	p := platform(t, "qemu", domain.Wanted{Type: "qemu"})
	var disks []driver.Disk
	for i := range 30 {
		disks = append(disks, driver.Disk{ID: string(rune('A' + i)), BootIndex: -1})
	}
	disks[29].BootIndex = 0
	targets, err := domain.AssignTargets(p, nil, disks, map[string]bool{"vdb": true})
	require.NoError(t, err)
	require.Equal(t, "vda", targets[disks[29].ID], "what boots comes first")
	require.Equal(t, "vdc", targets["A"], "what is taken is left out")
	require.Equal(t, "vdae", targets[disks[28].ID])
	again, err := domain.AssignTargets(p, targets, disks[5:6], nil)
	require.NoError(t, err)
	require.Equal(t, targets["F"], again["F"])
}

func TestBadConnections(t *testing.T) {
	for field, c := range map[string]driver.Connection{
		"iscsi":        {Type: "iscsi"},
		"not absolute": {Type: "file", Path: "x"},
		"host":         {Type: "nbd"},
		"socket":       {Type: "nbd", Options: map[string]string{"socket": "x"}},
		"pool":         {Type: "rbd", Options: map[string]string{"image": "x", "hosts": "h"}},
		"hosts":        {Type: "rbd", Options: map[string]string{"image": "x", "pool": "p"}},
		"config":       {Type: "rbd", Options: map[string]string{"image": "x", "pool": "p", "config": "ceph.conf"}},
		"encryption":   {Type: "file", Path: "/x", Encryption: &driver.Encryption{Format: "plain"}},
	} {
		require.ErrorContains(t, domain.CheckDisk(driver.Disk{ID: "d", Format: "raw", Source: c}), field)
	}
	_, err := domain.Secrets(id, driver.Disk{ID: "d", Source: driver.Connection{Type: "rbd", Secrets: map[string]string{"key": "*"}}})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	require.NotContains(t, err.Error(), "*")
}

func TestChoose(t *testing.T) {
	p := platform(t, "qemu", domain.Wanted{})
	require.Equal(t, [...]string{"kvm", "hvm", "x86_64", "pc"}, [...]string{p.Type, p.OS, p.Arch, p.Machine})
	require.True(t, p.VNC && p.SPICE && p.Agent)
	require.Equal(t, "exe", platform(t, "lxc", domain.Wanted{}).OS)
	require.Equal(t, "hvm", platform(t, "xen", domain.Wanted{}).OS)
	require.Equal(t, "test", platform(t, "test", domain.Wanted{}).Type)
	_, err := domain.Choose("QEMU", read(t, "qemu-capabilities.xml"), domain.Wanted{Arch: "pdp11"})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	_, err = domain.Choose("QEMU", "<", domain.Wanted{})
	require.Error(t, err)
}

func TestHost(t *testing.T) {
	h, err := domain.ReadHost(read(t, "qemu-capabilities.xml"))
	require.NoError(t, err)
	require.Equal(t, "kvm64", h.Model)
	require.Equal(t, "AMD", h.Vendor)
	require.False(t, h.Threads)
	require.Equal(t, []driver.NUMACell{{ID: 0, CPUs: []int{0, 1}, MemoryMiB: 10842}}, h.Cells)
	// Imagined: the second cell's pages are of 8 KiB.
	h, err = domain.ReadHost(read(t, "test-capabilities.xml"))
	require.NoError(t, err)
	require.Equal(t, []driver.NUMACell{
		{ID: 0, CPUs: []int{0, 1, 2, 3, 4, 5, 6, 7}, MemoryMiB: 2048}, {ID: 1, CPUs: []int{8, 9, 10, 11, 12, 13, 14, 15}, MemoryMiB: 4096},
	}, h.Cells)
	h, err = domain.ReadHost(`<capabilities><host><topology><cells><cell id='3'><memory unit='KiB'>4194304</memory>
		<pages unit='KiB' size='2048'>512</pages><pages unit='KiB' size='4'>786432</pages><pages unit='KiB' size='1048576'>0</pages>
		<cpus><cpu id='4' siblings='4,12'/><cpu id='12' siblings='4,12'/></cpus></cell><cell id='4'/></cells></topology></host></capabilities>`)
	require.NoError(t, err)
	require.Equal(t, domain.Host{Threads: true, Cells: []driver.NUMACell{
		{ID: 3, CPUs: []int{4, 12}, MemoryMiB: 3072, Pages: map[int64]int64{2048: 512}, Cores: map[int]int{4: 4, 12: 4}},
	}}, h)
	require.NoError(t, hypervisor.Host{NUMA: h.Cells}.Validate())
	_, err = domain.ReadHost("<")
	require.Error(t, err)
}

func TestTraits(t *testing.T) {
	p := platform(t, "qemu", domain.Wanted{})
	require.Subset(t, p.Traits, []string{"COMPUTE_STORAGE_BUS_VIRTIO", "COMPUTE_STORAGE_BUS_IDE", "COMPUTE_NET_VIF_MODEL_E1000", "COMPUTE_FIRMWARE_BIOS", "COMPUTE_GRAPHICS_MODEL_VGA"})
	require.NoError(t, hypervisor.Host{Traits: p.Traits}.Validate())
	require.Empty(t, platform(t, "lxc", domain.Wanted{}).Traits)
}

func TestProcessor(t *testing.T) {
	caps := read(t, "qemu-domain-capabilities.xml")
	x, err := platform(t, "qemu", domain.Wanted{Type: "qemu"}).Processor(caps)
	require.NoError(t, err)
	require.Contains(t, x, "<model>qemu64</model>")
	x, err = platform(t, "qemu", domain.Wanted{Type: "kvm"}).Processor(caps)
	require.NoError(t, err)
	require.Contains(t, x, `<feature policy="require"`)
	features, err := domain.Features(`<cpu mode='custom' match='exact'><model>qemu64</model><feature policy='require' name='sse2'/><feature policy='disable' name='svm'/><feature policy='require' name='pni'/></cpu>`)
	require.NoError(t, err)
	require.Equal(t, []string{"pni", "sse2"}, features)
	x, err = platform(t, "lxc", domain.Wanted{}).Processor("")
	require.NoError(t, err)
	require.Empty(t, x)
	_, err = domain.Features("<")
	require.Error(t, err)
}

func FuzzReadMetadata(f *testing.F) {
	f.Add(domain.Record{ID: id, Spec: spec()}.Element())
	f.Add(`<a xmlns="urn:a"><b/></a>`)
	f.Fuzz(func(t *testing.T, inside string) {
		rec, run, err := domain.ReadMetadata(inside)
		if err != nil || rec == nil {
			return
		}
		again, againRun, err := domain.ReadMetadata(rec.Element() + run.Element())
		require.NoError(t, err)
		require.Equal(t, rec.ID, again.ID)
		require.Equal(t, run.Started.UTC(), againRun.Started.UTC())
	})
}
