package qemu_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/qemu"
)

func TestSnapshotHoldsTheBytes(t *testing.T) {
	b := newBench(t)
	b.start("g", b.spec())
	path := filepath.Join(t.TempDir(), "snap.qcow2")
	for _, running := range []bool{true, false} {
		if !running {
			require.NoError(t, b.d.Stop(t.Context(), "g", hypervisor.StopOptions{}))
		}
		require.NoError(t, b.d.Snapshot(t.Context(), "g", "root", path))
		raw := path + ".raw"
		out, err := exec.Command("qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw).CombinedOutput()
		require.NoError(t, err, "%s", out)
		data, err := os.ReadFile(raw)
		require.NoError(t, err)
		require.Len(t, data, 4<<20, "the disk had grown past its base")
		require.Equal(t, serialSector(), data[:512])
		left, err := filepath.Glob(filepath.Join(b.dir, "guests", "g", "copy-*"))
		require.NoError(t, err)
		require.Empty(t, left)
	}
}

func TestEveryBus(t *testing.T) {
	b := newBench(t)
	volume := filepath.Join(t.TempDir(), "volume.raw")
	require.NoError(t, os.WriteFile(volume, make([]byte, 1<<20), 0o600))
	spec := b.spec()
	for i, bus := range []string{"virtio", "scsi", "ide", "sata"} {
		spec.Disks = append(spec.Disks, driver.Disk{
			ID: "d" + bus, Bus: bus, Source: driver.Connection{Type: "local"}, SizeBytes: 1 << 20, BootIndex: i, Serial: bus,
		})
	}
	spec.Disks = append(
		spec.Disks,
		driver.Disk{ID: "vol", Source: driver.Connection{Type: "file", Path: volume}, Format: "raw", BootIndex: -1},
		driver.Disk{ID: "config", Source: driver.Connection{Type: "file", Path: b.base}, Format: "raw", CDROM: true, BootIndex: -1},
		driver.Disk{ID: "scd", Source: driver.Connection{Type: "file", Path: b.base}, Format: "raw", CDROM: true, Bus: "scsi", BootIndex: -1},
		driver.Disk{ID: "iso", Source: driver.Connection{Type: "local"}, Base: &driver.Image{Path: b.base, Format: "raw"}, CDROM: true},
	)
	b.start("g", spec)
	b.awaitBoot("g")
	more := spec
	more.Disks = append(more.Disks[:len(more.Disks):len(more.Disks)],
		driver.Disk{ID: "hot", Bus: "scsi", Source: driver.Connection{Type: "local"}, SizeBytes: 1 << 20, BootIndex: -1})
	require.NoError(t, b.d.Ensure(t.Context(), "g", more))
	ide := spec
	ide.Disks = append(ide.Disks[:len(ide.Disks):len(ide.Disks)],
		driver.Disk{ID: "cold", Bus: "ide", Source: driver.Connection{Type: "local"}, SizeBytes: 1 << 20, BootIndex: -1})
	require.ErrorContains(t, b.d.Ensure(t.Context(), "g", ide), "unsupported")
}

func TestAnotherBaseMakesTheDiskAnew(t *testing.T) {
	b := newBench(t)
	b.start("g", b.spec())
	other := filepath.Join(t.TempDir(), "other.raw")
	text := bytes.Replace(serialSector(), []byte("nephos-boot"), []byte("second-boot"), 1)
	require.NoError(t, os.WriteFile(other, text, 0o600))
	spec := b.spec()
	spec.Disks[0].Base = &driver.Image{Path: other, Format: "raw", Digest: "2"}
	require.ErrorContains(t, b.d.Ensure(t.Context(), "g", spec), "conflict", "not under a running guest")
	require.NoError(t, b.d.Stop(t.Context(), "g", hypervisor.StopOptions{}))
	b.start("g", spec)
	require.Eventually(t, func() bool {
		log, _ := b.d.ConsoleLog(t.Context(), "g", 1000)
		return strings.Contains(string(log), "second-boot")
	}, time.Minute, 10*time.Millisecond)
}

func TestSerialConsoleTalks(t *testing.T) {
	b := newBench(t)
	b.start("g", b.spec())
	b.awaitBoot("g")
	c, err := b.d.Console(t.Context(), "g", hypervisor.Serial)
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte("x"))
	require.NoError(t, err)
	echo := make([]byte, 1)
	_, err = io.ReadFull(c, echo)
	require.NoError(t, err)
	require.Equal(t, "x", string(echo))
}

func TestMemorySurvivesSuspension(t *testing.T) {
	b := newBench(t)
	spec := b.spec()
	b.start("g", spec)
	b.awaitBoot("g")
	talk := func() {
		c, err := b.d.Console(t.Context(), "g", hypervisor.Serial)
		require.NoError(t, err)
		defer c.Close()
		_, err = c.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(c, make([]byte, 1))
		require.NoError(t, err)
	}
	// A disk plugged while the guest ran is found at its place again.
	spec.Disks = append(spec.Disks, driver.Disk{ID: "hot", Source: driver.Connection{Type: "local"}, SizeBytes: 1 << 20, BootIndex: -1})
	require.NoError(t, b.d.Ensure(t.Context(), "g", spec))
	for range 2 {
		require.NoError(t, b.d.Suspend(t.Context(), "g"))
		b.away(func() {})
		require.ErrorContains(t, b.d.Ensure(t.Context(), "g", b.spec()), "conflict", "its devices cannot change now")
		spec.MemoryMiB, spec.VCPUs = spec.MemoryMiB*2, 2 // these wait for a power cycle
		require.NoError(t, b.d.Ensure(t.Context(), "g", spec))
		require.NoError(t, b.d.Resume(t.Context(), "g"))
		talk()
	}
	log, err := b.d.ConsoleLog(t.Context(), "g", 1<<20)
	require.NoError(t, err)
	require.Equal(t, 1, bytes.Count(log, []byte("nephos-boot")), "it went on where it was")
	require.NoError(t, b.d.Suspend(t.Context(), "g"))
	require.NoError(t, b.d.Stop(t.Context(), "g", hypervisor.StopOptions{}), "a stop forgets the memory")
	require.ErrorContains(t, b.d.Resume(t.Context(), "g"), "conflict")
	require.NoError(t, b.d.Start(t.Context(), "g"))
	require.Eventually(t, func() bool {
		log, err := b.d.ConsoleLog(t.Context(), "g", 1<<20)
		return err == nil && bytes.Count(log, []byte("nephos-boot")) == 2
	}, time.Minute, 10*time.Millisecond)
}

func TestStartSaysWhy(t *testing.T) {
	b := newBench(t)
	spec := b.spec()
	spec.MemoryMiB = 1 << 30 // a pebibyte
	require.NoError(t, b.d.Ensure(t.Context(), "g", spec))
	err := b.d.Start(t.Context(), "g")
	require.ErrorContains(t, err, "qemu", "QEMU's own words are in the error")
	require.Equal(t, hypervisor.Stopped, b.state("g"))
}

func TestAccelProbe(t *testing.T) {
	e2e(t)
	dir := t.TempDir()
	d, err := qemu.Open(t.Context(), qemu.Config{CloudID: "test", Dir: dir, UID: 65534, GID: 65534, Accel: "auto"})
	require.NoError(t, err)
	defer d.Close()
	h, err := d.Info(t.Context())
	require.NoError(t, err)
	require.Contains(t, []string{"kvm", "tcg"}, h.Accelerator)
	t.Logf("this host runs guests by %s", h.Accelerator)
}

func TestGuestsShareADisk(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(t.TempDir(), "shared.raw")
	require.NoError(t, os.WriteFile(path, make([]byte, 1<<20), 0o600))
	volume := driver.Disk{ID: "vol", Source: driver.Connection{Type: "file", Path: path, Shared: true}, Format: "raw", BootIndex: -1}
	spec := b.spec()
	spec.Disks = append(spec.Disks, volume)
	b.start("one", spec)
	b.start("two", b.spec())
	require.NoError(t, b.d.Ensure(t.Context(), "two", spec), "plugged in beside the first")
	alone := volume
	alone.Source.Shared = false
	third := b.spec()
	third.Disks = append(third.Disks, alone)
	require.NoError(t, b.d.Ensure(t.Context(), "three", third))
	require.ErrorContains(t, b.d.Start(t.Context(), "three"), "lock", "who shares nothing wants it alone")
}
