//go:build libvirt

package libvirt_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/hypervisortest"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/libvirtd"
)

// serialSector is a boot sector that writes "nephos-boot" to the first serial
// port, sends on every byte it receives, and powers the machine off (through
// the power management port of machine pc) when that is a 'P'.
func serialSector() []byte {
	code := []byte{
		0xfa,       // cli
		0x31, 0xc0, // xor ax,ax
		0x8e, 0xd8, // mov ds,ax
		0xbe, 0x40, 0x7c, // mov si,0x7c40
		0xba, 0xf8, 0x03, // mov dx,0x3f8
		0xac,       // 0b: lodsb
		0x84, 0xc0, // test al,al
		0x74, 0x03, // jz 13
		0xee,       // out dx,al
		0xeb, 0xf8, // jmp 0b
		0xba, 0xfd, 0x03, // 13: mov dx,0x3fd
		0xec,       // 16: in al,dx
		0xa8, 0x01, // test al,1
		0x74, 0xfb, // jz 16
		0xba, 0xf8, 0x03, // mov dx,0x3f8
		0xec,      // in al,dx
		0xee,      // out dx,al
		0x3c, 'P', // cmp al,'P'
		0x75, 0xee, // jnz 13 (20 is where the jump ends)
		0xba, 0x04, 0x06, // mov dx,0x604
		0xb8, 0x00, 0x20, // mov ax,0x2000
		0xef,       // out dx,ax
		0xeb, 0xfe, // hang
	}
	for i := range code {
		if code[i] == 0x75 {
			code[i+1] = byte(0x13 - (i + 2))
			break
		}
	}
	b := make([]byte, 512)
	copy(b, code)
	copy(b[0x40:], "nephos-boot\r\n")
	b[510], b[511] = 0x55, 0xaa
	return b
}

// host is a machine with a libvirtd of its own, in namespaces of its own.
type host struct {
	t      testing.TB
	dir    string // of the daemon
	name   string
	net    string // its network namespace; empty: ours
	daemon *libvirtd.Daemon
	user   libvirtd.Config // User and Group of its guests
}

// e2e skips unless real guests are wanted and possible.
func e2e(t testing.TB) {
	t.Helper()
	if os.Getenv("NEPHOS_E2E") != "1" {
		t.Skip("NEPHOS_E2E=1 is not set: no real libvirtd is run")
	}
	if os.Getuid() != 0 {
		t.Skip("not root: namespaces and taps cannot be made")
	}
	for name, pkg := range map[string]string{
		"/usr/sbin/libvirtd": "libvirt-daemon-system", "qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils",
		"ip": "iproute2", "unshare": "util-linux",
	} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed (Debian: %s)", name, pkg)
		}
	}
}

func ip(t testing.TB, args ...string) {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	require.NoError(t, err, "ip %v: %s", args, out)
}

// shared is a directory with a short path, as sockets need, gone after the test.
func shared(t testing.TB) string {
	dir, err := os.MkdirTemp("", "nlv")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

func newHost(t testing.TB, name string) *host { return newHostOf(t, name, libvirtd.Config{}) }

func newHostOf(t testing.TB, name string, user libvirtd.Config) *host {
	e2e(t)
	h := &host{t: t, dir: shared(t), name: name, net: fmt.Sprintf("nephos-lv-%d-%s", os.Getpid(), name), user: user}
	ip(t, "netns", "add", h.net)
	t.Cleanup(func() { ip(t, "netns", "del", h.net) })
	ip(t, "-n", h.net, "link", "set", "lo", "up")
	h.serve(h.dir + "|" + h.net)
	return h
}

// newHostHere is a machine whose libvirtd shares our network, and so reaches
// what listens on our loopback address.
func newHostHere(t testing.TB, name string) *host {
	e2e(t)
	h := &host{t: t, dir: shared(t), name: name}
	h.serve(h.dir)
	return h
}

// serve starts the daemon until the test ends; then no process is left whose
// command line has what the pattern matches.
func (h *host) serve(pattern string) {
	h.start()
	h.t.Cleanup(func() {
		h.stop(syscall.SIGTERM)
		left, _ := exec.Command("pgrep", "-f", pattern).Output()
		require.Empty(h.t, strings.TrimSpace(string(left)), "a process is left behind")
	})
}

// netns is the path of its network namespace; empty: ours.
func (h *host) netns() string {
	if h.net == "" {
		return ""
	}
	return "/run/netns/" + h.net
}

func (h *host) start() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	h.daemon, err = libvirtd.Start(ctx, libvirtd.Config{Dir: h.dir, Name: h.name, Network: h.netns(), User: h.user.User, Group: h.user.Group})
	require.NoError(h.t, err)
}

func (h *host) stop(signal syscall.Signal) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(h.t, h.daemon.Stop(ctx, signal))
}

func (h *host) tap(name string) string {
	ip(h.t, "-n", h.net, "tuntap", "add", name, "mode", "tap", "vnet_hdr")
	return name
}

// qemuOf is the process of a guest's QEMU.
func (h *host) qemuOf(t drivertest.T, id string) int {
	data, err := os.ReadFile(filepath.Join(h.dir, "run", "qemu", id+".pid"))
	require.NoError(t, err)
	var pid int
	_, err = fmt.Sscan(string(data), &pid)
	require.NoError(t, err)
	return pid
}

func writeBase(t testing.TB, dir string) string {
	base := filepath.Join(dir, "base.raw")
	require.NoError(t, os.WriteFile(base, append(serialSector(), make([]byte, 1<<20-512)...), 0o644))
	return base
}

func TestSuite(t *testing.T) {
	h := newHost(t, "one")
	dir := shared(t)
	base := writeBase(t, dir)
	taps := 0
	var d *libvirt.Driver
	hypervisortest.Run(t, func(t drivertest.T) hypervisor.Driver {
		var err error
		d, err = libvirt.Open(t.Context(), libvirt.Config{
			CloudID: "test", URI: h.daemon.URI(), Dir: filepath.Join(dir, "guests"), Accel: "tcg", Namespace: h.netns(),
		})
		require.NoError(t, err)
		return d
	}, hypervisortest.Options{
		CloudID: "test", Guests: 3, BootText: "nephos-boot",
		Spec: func(_ drivertest.T, s *hypervisor.Spec) {
			s.Disks[0].Base = &driver.Image{Path: base, Format: "raw", Digest: "1"}
		},
		NIC: func(t drivertest.T, n int) driver.NIC {
			taps++
			return driver.NIC{
				ID: fmt.Sprintf("11111111-2222-3333-4444-%012d", n), MAC: "02:00:00:00:00:01", MTU: 1450,
				Device: h.tap(fmt.Sprintf("tap%d", taps)), Namespace: h.netns(),
			}
		},
		PowerOff: func(t drivertest.T, id string) {
			require.Eventually(t, func() bool {
				log, _ := d.ConsoleLog(t.Context(), id, 1000)
				return len(log) > 0
			}, time.Minute, 20*time.Millisecond)
			c, err := d.Console(t.Context(), id, hypervisor.Serial)
			require.NoError(t, err)
			defer c.Close()
			_, err = c.Write([]byte("P"))
			require.NoError(t, err)
		},
		Crash: func(t drivertest.T, id string) {
			require.NoError(t, syscall.Kill(h.qemuOf(t, id), syscall.SIGKILL))
		},
	})
}

// wire joins two hosts, as 172.31.255.1 and .2.
func wire(t testing.TB, a, b *host) {
	ip(t, "-n", a.net, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", b.net)
	for i, h := range []*host{a, b} {
		ip(t, "-n", h.net, "addr", "add", fmt.Sprintf("172.31.255.%d/30", i+1), "dev", "wire")
		ip(t, "-n", h.net, "link", "set", "wire", "up")
	}
}

// TestTwoHosts runs the suite's migrations between two daemons, each with its
// own driver and disks.
func TestTwoHosts(t *testing.T) {
	a, b := newHost(t, "one"), newHost(t, "two")
	wire(t, a, b)
	dir := shared(t)
	base := writeBase(t, dir)
	open := func(h *host) func(drivertest.T) hypervisor.Driver {
		return func(t drivertest.T) hypervisor.Driver {
			d, err := libvirt.Open(t.Context(), libvirt.Config{
				CloudID: "test", URI: h.daemon.URI(), Dir: filepath.Join(dir, h.name), Accel: "tcg",
				Namespace: h.netns(), MigrationURI: h.daemon.URI(),
			})
			require.NoError(t, err)
			return d
		}
	}
	for _, test := range hypervisortest.Tests(open(a), hypervisortest.Options{
		CloudID: "test", Peer: open(b), PeerAddress: "172.31.255.2",
		Spec: func(_ drivertest.T, s *hypervisor.Spec) {
			s.Disks[0].Base = &driver.Image{Path: base, Format: "raw", Digest: "1"}
		},
	}) {
		if strings.Contains(test.Name, "Migrat") {
			t.Run(test.Name, func(t *testing.T) { test.Run(t) })
		}
	}
}
