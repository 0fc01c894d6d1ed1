//go:build libvirt

package libvirt_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/libvirtd"
)

// bench is a host with a driver, and a base image that boots.
type bench struct {
	*host
	dir, base string
	d         *libvirt.Driver
}

func newBench(t *testing.T, name string) *bench { return benchOn(t, newHost(t, name)) }

func benchOn(t *testing.T, h *host) *bench {
	dir := shared(t)
	b := &bench{host: h, dir: dir, base: writeBase(t, dir)}
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

func (b *bench) config() libvirt.Config {
	return libvirt.Config{
		CloudID: "test", URI: b.daemon.URI(), Dir: filepath.Join(b.dir, "guests"), Accel: "tcg", MigrationURI: b.daemon.URI(),
	}
}

func (b *bench) open() {
	var err error
	b.d, err = libvirt.Open(b.t.Context(), b.config())
	require.NoError(b.t, err)
}

// away runs f while no driver is there.
func (b *bench) away(f func()) {
	require.NoError(b.t, b.d.Close())
	f()
	b.open()
}

func (b *bench) spec() hypervisor.Spec { return bootable(b.base) }

func bootable(base string) hypervisor.Spec {
	return hypervisor.Spec{
		CloudID: "test", Name: "n", VCPUs: 1, MemoryMiB: 64,
		Disks: []driver.Disk{{
			ID: "root", Source: driver.Connection{Type: "local"}, SizeBytes: 4 << 20,
			Base: &driver.Image{Path: base, Format: "raw", Digest: "1"},
		}},
	}
}

func (b *bench) run(id string, spec hypervisor.Spec) {
	require.NoError(b.t, b.d.Ensure(b.t.Context(), id, spec))
	require.NoError(b.t, b.d.Start(b.t.Context(), id))
}

func (b *bench) state(id string) hypervisor.State {
	g, err := b.d.Get(b.t.Context(), id)
	require.NoError(b.t, err)
	return g.State
}

// describe is what the driver tells of the host and what does not change with
// the load.
func (b *bench) describe() hypervisor.Host {
	host, err := b.d.Info(b.t.Context())
	require.NoError(b.t, err)
	require.NoError(b.t, host.Validate())
	host.RunningVMs, host.FreeDiskGiB = 0, 0
	return host
}

func (b *bench) awaitBoot(id string) {
	require.Eventually(b.t, func() bool {
		log, err := b.d.ConsoleLog(b.t.Context(), id, 1000)
		return err == nil && bytes.Contains(log, []byte("nephos-boot"))
	}, time.Minute, 10*time.Millisecond)
}

func await(t *testing.T, events <-chan hypervisor.Event, id string, state hypervisor.State) hypervisor.Event {
	t.Helper()
	over := time.After(time.Minute)
	for {
		select {
		case e := <-events:
			if e.ID == id && e.State == state {
				return e
			}
		case <-over:
			require.FailNow(t, "no event", "guest %s, state %s", id, state)
		}
	}
}

// A daemon that dies and comes back keeps its guests, and the driver finds it
// again by itself.
func TestDaemonRestart(t *testing.T) {
	b := newBench(t, "one")
	for _, id := range []string{"stays", "dies", "later"} {
		b.run(id, b.spec())
		b.awaitBoot(id)
	}
	stays, dies := b.qemuOf(t, "stays"), b.qemuOf(t, "dies")
	started, err := b.d.Get(t.Context(), "stays")
	require.NoError(t, err)
	events, err := b.d.Events(t.Context())
	require.NoError(t, err)
	host := b.describe()
	require.Subset(t, host.CPUFeatures, []string{"fpu", "sse2", "cx16"}, "of the processor that QEMU emulates")
	require.Contains(t, host.Traits, "COMPUTE_STORAGE_BUS_VIRTIO")
	require.NotEmpty(t, host.NUMA)
	require.NotEmpty(t, host.CPUModel)
	b.stop(syscall.SIGKILL)
	require.Eventually(t, func() bool {
		_, err := b.d.Get(t.Context(), "stays")
		return err != nil && strings.Contains(err.Error(), nephos.ErrUnavailable.Error())
	}, time.Minute, 10*time.Millisecond, "without a daemon nothing can be said")
	require.NoError(t, syscall.Kill(dies, syscall.SIGKILL))
	b.start()
	e := await(t, events, "dies", hypervisor.Crashed)
	require.True(t, e.Guest, "what happened meanwhile is told")
	require.Equal(t, hypervisor.Crashed, b.state("dies"))
	require.Equal(t, stays, b.qemuOf(t, "stays"), "the guest's process is the same")
	g, err := b.d.Get(t.Context(), "stays")
	require.NoError(t, err)
	require.Equal(t, started, g)
	again := b.describe()
	require.Contains(t, again.Metrics, "cpu.idle.percent", "since the time before")
	again.Metrics, host.Metrics = nil, nil
	require.Equal(t, host, again)
	require.NoError(t, b.d.Start(t.Context(), "dies"), "it obeys the new daemon")
	require.NoError(t, syscall.Kill(b.qemuOf(t, "later"), syscall.SIGKILL))
	require.True(t, await(t, events, "later", hypervisor.Crashed).Guest, "events come from the new daemon")

	// An end that the daemon forgets is remembered in the domain.
	b.stop(syscall.SIGTERM)
	b.start()
	require.Eventually(t, func() bool {
		g, err := b.d.Get(t.Context(), "later")
		return err == nil && g.State == hypervisor.Crashed
	}, time.Minute, 20*time.Millisecond)
}

// TestVictim is no test of its own: others run it in a process that they kill.
func TestVictim(t *testing.T) {
	dir := os.Getenv("NEPHOS_VICTIM_DIR")
	if dir == "" {
		t.Skip("run by other tests only")
	}
	d, err := libvirt.Open(t.Context(), libvirt.Config{
		CloudID: "test", URI: os.Getenv("NEPHOS_VICTIM_URI"), Dir: dir, Accel: "tcg",
	})
	require.NoError(t, err)
	require.NoError(t, d.Ensure(t.Context(), "g", bootable(os.Getenv("NEPHOS_VICTIM_BASE"))))
	fmt.Println("ENSURED")
	require.NoError(t, d.Start(t.Context(), "g"))
	fmt.Println("STARTED")
	select {} // until killed
}

// kill runs a driver in a process and kills it when it has said the word.
func (b *bench) kill(word string) {
	victim := exec.Command(os.Args[0], "-test.run=^TestVictim$", "-test.v")
	victim.Env = append(os.Environ(), "NEPHOS_VICTIM_DIR="+filepath.Join(b.dir, "guests"), "NEPHOS_VICTIM_BASE="+b.base, "NEPHOS_VICTIM_URI="+b.daemon.URI())
	out, err := victim.StdoutPipe()
	require.NoError(b.t, err)
	require.NoError(b.t, victim.Start())
	lines := bufio.NewReader(out)
	for line := ""; line != word+"\n"; {
		line, err = lines.ReadString('\n')
		require.NoError(b.t, err)
	}
	require.NoError(b.t, victim.Process.Kill())
	_ = victim.Wait()
}

func TestKilledDriver(t *testing.T) {
	b := newBench(t, "one")
	for _, word := range []string{"ENSURED", "STARTED"} {
		b.away(func() { b.kill(word) })
		t.Logf("killed when it had %s: the guest is %s", word, b.state("g"))
		b.run("g", b.spec())
		require.Equal(t, hypervisor.Running, b.state("g"))
		b.awaitBoot("g")
		pid := b.qemuOf(t, "g")
		b.away(func() {})
		require.Equal(t, pid, b.qemuOf(t, "g"), "a guest outlives its drivers")
		require.NoError(t, b.d.Destroy(t.Context(), "g"))
		require.Error(t, syscall.Kill(pid, 0))
	}
}

func TestOneDriverAtATime(t *testing.T) {
	b := newBench(t, "one")
	_, err := libvirt.Open(t.Context(), b.config())
	require.ErrorIs(t, err, nephos.ErrConflict)
}

// TestConnections plugs and unplugs disks that are elsewhere or locked.
func TestConnections(t *testing.T) {
	b := newBench(t, "one")
	run := func(name string, args ...string) {
		out, err := exec.Command(name, args...).CombinedOutput()
		for err != nil && bytes.Contains(out, []byte("accurate CPU usage")) { // on a machine so busy that it gets no turn
			out, err = exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		}
		require.NoError(t, err, "%s %v: %s", name, args, out)
	}
	locked := filepath.Join(b.dir, "locked.img")
	run("qemu-img", "create", "-q", "--object", "secret,id=s,data=open-sesame", "-f", "luks", "-o", "key-secret=s,iter-time=10", locked, "4M")
	plain, socket := filepath.Join(b.dir, "plain.img"), filepath.Join(b.dir, "nbd")
	run("qemu-img", "create", "-q", "-f", "raw", plain, "4M")
	server := exec.Command("qemu-nbd", "-f", "raw", "-x", "vol", "-k", socket, "-t", "-e", "4", plain)
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	require.Eventually(t, func() bool { _, err := os.Stat(socket); return err == nil }, time.Minute, 10*time.Millisecond)

	spec := b.spec()
	spec.Disks = append(spec.Disks,
		driver.Disk{
			ID: "locked", Format: "raw", BootIndex: -1, Source: driver.Connection{
				Type: "file", Path: locked, Encryption: &driver.Encryption{Format: "luks"},
				Secrets: map[string]string{"passphrase": "wrong"},
			},
		},
		driver.Disk{
			ID: "nbd", Format: "raw", BootIndex: -1, Serial: "remote",
			Source: driver.Connection{Type: "nbd", Options: map[string]string{"socket": socket, "export": "vol"}},
		})
	require.NoError(t, b.d.Ensure(t.Context(), "g", spec))
	require.ErrorIs(t, b.d.Start(t.Context(), "g"), nephos.ErrInvalid, "a wrong passphrase")
	spec.Disks[1].Source.Secrets = map[string]string{"passphrase": "open-sesame"}
	b.run("g", spec)
	require.NoError(t, b.d.Destroy(t.Context(), "g"))
	require.FileExists(t, locked, "disks of connections are let go")

	b.run("h", b.spec())
	require.NoError(t, b.d.Ensure(t.Context(), "h", spec), "both are plugged into a running guest")
	s, err := b.d.Statistics(t.Context(), "h")
	require.NoError(t, err)
	require.Len(t, s.Disks, 3)
	require.EqualValues(t, 4<<20, s.Disks[1].VirtualBytes, "the guest sees the plain bytes")
	require.EqualValues(t, 4<<20, s.Disks[2].VirtualBytes)
	for _, on := range []bool{true, false} {
		copied := filepath.Join(b.dir, fmt.Sprint("copy-", on))
		require.NoError(t, b.d.Snapshot(t.Context(), "h", "nbd", copied), "a server's disk, of a guest that is on: %v", on)
		require.FileExists(t, copied)
		require.NoError(t, b.d.Stop(t.Context(), "h", hypervisor.StopOptions{}))
	}
}

// TestMigrationOutlivesDriver kills the source's driver while libvirtd moves the
// guest, and has a new one tell how it ended.
func TestMigrationOutlivesDriver(t *testing.T) {
	a, c := newBench(t, "one"), newBench(t, "two")
	wire(t, a.host, c.host)
	spec := a.spec()
	a.run("g", spec)
	a.awaitBoot("g")
	info, err := c.d.Info(t.Context())
	require.NoError(t, err)
	check, err := a.d.CheckMigration(t.Context(), "g", info)
	require.NoError(t, err)
	require.Equal(t, []string{"root"}, check.CopyDisks)
	there := spec
	there.Disks = append([]driver.Disk(nil), spec.Disks...)
	there.Disks[0].Base = &driver.Image{Path: c.base, Format: "raw", Digest: "1"}
	target, err := c.d.PrepareMigration(t.Context(), "g", there, hypervisor.PrepareOptions{Address: "172.31.255.2", CopyDisks: check.CopyDisks})
	require.NoError(t, err)
	events, err := c.d.Events(t.Context())
	require.NoError(t, err)
	before := time.Now()
	require.NoError(t, a.d.Migrate(t.Context(), "g", target, hypervisor.MigrateOptions{MaxDowntime: 500 * time.Millisecond}))
	a.away(func() {})
	require.Eventually(t, func() bool {
		m, err := a.d.Migration(t.Context(), "g")
		require.NoError(t, err)
		return m.Phase == hypervisor.MigrationCompleted
	}, time.Minute, 20*time.Millisecond)
	m, err := a.d.Migration(t.Context(), "g")
	require.NoError(t, err)
	t.Logf("moved in %v: %+v", time.Since(before), m)
	require.False(t, await(t, events, "g", hypervisor.Running).Guest)
	require.NoError(t, a.d.Destroy(t.Context(), "g"))

	// The guest is the same one, on its disk there: it still answers.
	serial, err := c.d.Console(t.Context(), "g", hypervisor.Serial)
	require.NoError(t, err)
	defer serial.Close()
	_, err = serial.Write([]byte("x"))
	require.NoError(t, err)
	echo := make([]byte, 1)
	_, err = serial.Read(echo)
	require.NoError(t, err)
	require.Equal(t, "x", string(echo))
	require.NoError(t, c.d.Stop(t.Context(), "g", hypervisor.StopOptions{}))
	require.NoError(t, c.d.Start(t.Context(), "g"))
	c.awaitBoot("g")
}

// TestAccel has the driver choose: whatever it takes boots something, also where
// /dev/kvm is there and hangs.
func TestAccel(t *testing.T) {
	h := newHost(t, "one")
	dir := shared(t)
	b := &bench{host: h, dir: dir, base: writeBase(t, dir)}
	cfg := b.config()
	cfg.Accel = ""
	for range 2 { // the second time the answer is known
		var err error
		b.d, err = libvirt.Open(t.Context(), cfg)
		require.NoError(t, err)
		info, err := b.d.Info(t.Context())
		require.NoError(t, err)
		t.Logf("chose %s", info.Accelerator)
		b.run("g", b.spec())
		b.awaitBoot("g")
		require.NoError(t, b.d.Destroy(t.Context(), "g"))
		require.NoError(t, b.d.Close())
	}
}

// Guests of a daemon that has a user for them run as that user, on files that
// are ours when they are off.
func TestGuestsOfAUser(t *testing.T) {
	if _, err := user.LookupGroup("kvm"); err != nil {
		t.Skip("there is no group kvm, who may use /dev/kvm")
	}
	b := benchOn(t, newHostOf(t, "one", libvirtd.Config{User: "nobody", Group: "kvm"}))
	b.run("g", b.spec())
	b.awaitBoot("g")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.qemuOf(t, "g")))
	require.NoError(t, err)
	require.Contains(t, string(status), "\nUid:\t65534\t65534\t65534\t65534\n")
	serial, err := b.d.Console(t.Context(), "g", hypervisor.Serial)
	require.NoError(t, err)
	require.NoError(t, serial.Close())
	copied := filepath.Join(b.dir, "copy")
	require.NoError(t, b.d.Snapshot(t.Context(), "g", "root", copied))
	require.NoError(t, b.d.Suspend(t.Context(), "g"))
	require.NoError(t, b.d.Resume(t.Context(), "g"))
	require.NoError(t, b.d.Stop(t.Context(), "g", hypervisor.StopOptions{}))
	info, err := os.Stat(filepath.Join(b.dir, "guests", "guests", "g", "disk-root.qcow2"))
	require.NoError(t, err)
	require.Zero(t, info.Sys().(*syscall.Stat_t).Uid)
}
