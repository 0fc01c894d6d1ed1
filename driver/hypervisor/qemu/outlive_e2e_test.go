package qemu_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// TestVictim is no test of its own: TestKilledDriver runs it in a process that
// it kills.
func TestVictim(t *testing.T) {
	dir, base := os.Getenv("NEPHOS_VICTIM_DIR"), os.Getenv("NEPHOS_VICTIM_BASE")
	if dir == "" {
		t.Skip("run by TestKilledDriver only")
	}
	b := &bench{t: t, dir: dir, base: base}
	b.open()
	b.start("g", b.spec())
	fmt.Println("STARTED")
	select {} // until killed
}

func TestKilledDriver(t *testing.T) {
	b := newBench(t)
	for name, reached := range map[string]func(out *bufio.Reader){
		"while it starts a guest": func(*bufio.Reader) {
			require.Eventually(t, func() bool {
				_, err := os.Stat(filepath.Join(b.dir, "guests", "g", "vm.ser"))
				return err == nil
			}, time.Minute, 100*time.Microsecond)
		},
		"while a guest runs": func(out *bufio.Reader) {
			for line := ""; line != "STARTED\n"; {
				var err error
				line, err = out.ReadString('\n')
				require.NoError(t, err)
			}
		},
	} {
		b.away(func() {
			victim := exec.Command(os.Args[0], "-test.run=^TestVictim$", "-test.v")
			victim.Env = append(os.Environ(), "NEPHOS_VICTIM_DIR="+b.dir, "NEPHOS_VICTIM_BASE="+b.base)
			out, err := victim.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, victim.Start())
			reached(bufio.NewReader(out))
			require.NoError(t, victim.Process.Kill())
			_ = victim.Wait()
		})
		t.Logf("killed %s: the guest is %s", name, b.state("g"))
		b.start("g", b.spec())
		require.Equal(t, hypervisor.Running, b.state("g"))
		b.awaitBoot("g")
		require.NoError(t, b.d.Destroy(t.Context(), "g"))
	}
}
