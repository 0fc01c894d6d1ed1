package qemu_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/qemu"
)

// bench is a directory with a driver, and a base image that boots.
type bench struct {
	t    *testing.T
	dir  string
	base string
	d    *qemu.Driver
}

func newBench(t *testing.T) *bench {
	e2e(t)
	b := &bench{t: t, dir: t.TempDir(), base: filepath.Join(t.TempDir(), "base.raw")}
	require.NoError(t, os.WriteFile(b.base, append(serialSector(), make([]byte, 1<<20-512)...), 0o600))
	b.open()
	t.Cleanup(func() {
		list, err := b.d.List(context.Background())
		require.NoError(t, err)
		for _, g := range list {
			require.NoError(t, b.d.Destroy(context.Background(), g.ID))
		}
		require.NoError(t, b.d.Close())
	})
	return b
}

func (b *bench) open() {
	var err error
	b.d, err = qemu.Open(b.t.Context(), qemu.Config{CloudID: "test", Dir: b.dir, UID: 65534, GID: 65534, Accel: "tcg"})
	require.NoError(b.t, err)
}

// away runs f while no driver is there.
func (b *bench) away(f func()) {
	require.NoError(b.t, b.d.Close())
	f()
	b.open()
}

func (b *bench) spec() hypervisor.Spec {
	return hypervisor.Spec{
		CloudID: "test", Name: "n", VCPUs: 1, MemoryMiB: 64,
		Disks: []driver.Disk{{
			ID: "root", Source: driver.Connection{Type: "local"}, SizeBytes: 4 << 20,
			Base: &driver.Image{Path: b.base, Format: "raw", Digest: "1"},
		}},
	}
}

func (b *bench) start(id string, spec hypervisor.Spec) {
	require.NoError(b.t, b.d.Ensure(b.t.Context(), id, spec))
	require.NoError(b.t, b.d.Start(b.t.Context(), id))
}

func (b *bench) state(id string) hypervisor.State {
	g, err := b.d.Get(b.t.Context(), id)
	require.NoError(b.t, err)
	return g.State
}

func (b *bench) awaitBoot(id string) {
	require.Eventually(b.t, func() bool {
		log, err := b.d.ConsoleLog(b.t.Context(), id, 1000)
		return err == nil && bytes.Contains(log, []byte("nephos-boot"))
	}, time.Minute, 10*time.Millisecond)
}

func (b *bench) awaitEnd(pid int) {
	require.Eventually(b.t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || bytes.Contains(stat, []byte(") Z "))
	}, time.Minute, 10*time.Millisecond)
}

func TestProcessIsConfined(t *testing.T) {
	b := newBench(t)
	b.start("g", b.spec())
	proc := fmt.Sprintf("/proc/%d/", processOf(t, b.dir, "g"))
	status, err := os.ReadFile(proc + "status")
	require.NoError(t, err)
	require.Contains(t, string(status), "\nUid:\t65534\t65534\t65534\t65534\n")
	require.Contains(t, string(status), "\nGid:\t65534\t65534\t65534\t65534\n")
	require.Contains(t, string(status), "\nCapEff:\t0000000000000000\n")
	require.Contains(t, string(status), "\nSeccomp:\t2\n")
	require.Contains(t, string(status), "\nNoNewPrivs:\t1\n")
	env, err := os.ReadFile(proc + "environ")
	require.NoError(t, err)
	require.Contains(t, []string{"", "PWD=/\x00"}, string(env), "but for what the shell before it adds")
	limits, err := os.ReadFile(proc + "limits")
	require.NoError(t, err)
	require.Regexp(t, `Max core file size\s+0\s+0`, string(limits))
	sid, err := unix.Getsid(processOf(t, b.dir, "g"))
	require.NoError(t, err)
	require.Equal(t, processOf(t, b.dir, "g"), sid, "it leads a session of its own")
}

func TestProcessFoundWithoutItsNote(t *testing.T) {
	b := newBench(t)
	b.start("g", b.spec())
	pid := processOf(t, b.dir, "g")
	note := filepath.Join(b.dir, "guests", "g", "run.json")
	b.away(func() { require.NoError(t, os.Remove(note)) })
	require.Equal(t, hypervisor.Running, b.state("g"))
	require.Equal(t, pid, processOf(t, b.dir, "g"))
	// A note that names somebody else's process, as after the number was reused.
	b.away(func() {
		require.NoError(t, os.WriteFile(note, fmt.Appendf(nil, `{"PID": %d, "Ticks": 1}`, os.Getpid()), 0o600))
	})
	require.Equal(t, pid, processOf(t, b.dir, "g"))
	require.NoError(t, b.d.Destroy(t.Context(), "g"))
	b.awaitEnd(pid)
}

func TestStaleNoteKillsNobody(t *testing.T) {
	b := newBench(t)
	b.start("g", b.spec())
	pid := processOf(t, b.dir, "g")
	bystander := exec.Command("sleep", "1000")
	require.NoError(t, bystander.Start())
	defer func() { _, _ = bystander.Process.Wait() }()
	defer func() { _ = bystander.Process.Kill() }()
	b.away(func() {
		require.NoError(t, unix.Kill(pid, unix.SIGKILL))
		b.awaitEnd(pid)
		note := filepath.Join(b.dir, "guests", "g", "run.json")
		old, err := os.ReadFile(note)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(note, bytes.ReplaceAll(old, fmt.Append(nil, pid), fmt.Append(nil, bystander.Process.Pid)), 0o600))
	})
	require.Equal(t, hypervisor.Crashed, b.state("g"))
	require.NoError(t, b.d.Destroy(t.Context(), "g"))
	require.NoError(t, bystander.Process.Signal(unix.Signal(0)))
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", bystander.Process.Pid))
	require.NoError(t, err)
	require.NotContains(t, string(stat), ") Z ")
}

func TestEndsWhileNobodyWatches(t *testing.T) {
	b := newBench(t)
	for _, id := range []string{"off", "killed"} {
		b.start(id, b.spec())
		b.awaitBoot(id)
	}
	b.away(func() {
		require.NoError(t, unix.Kill(processOf(t, b.dir, "killed"), unix.SIGKILL))
		b.awaitEnd(processOf(t, b.dir, "killed"))
		dir, err := os.Open(filepath.Join(b.dir, "guests", "off"))
		require.NoError(t, err)
		defer dir.Close()
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		require.NoError(t, err)
		defer unix.Close(fd)
		require.NoError(t, unix.Connect(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/vm.ser", dir.Fd())}))
		_, err = unix.Write(fd, []byte("P"))
		require.NoError(t, err)
		_, err = unix.Read(fd, make([]byte, 16)) // its echo: it is about to power off
		require.NoError(t, err)
	})
	require.Eventually(t, func() bool { return b.state("off") == hypervisor.Stopped }, time.Minute, 10*time.Millisecond)
	require.Equal(t, hypervisor.Crashed, b.state("killed"))
}

func TestOneDriverAtATime(t *testing.T) {
	b := newBench(t)
	_, err := qemu.Open(t.Context(), qemu.Config{CloudID: "test", Dir: b.dir, Accel: "tcg"})
	require.ErrorContains(t, err, "conflict")
}

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
