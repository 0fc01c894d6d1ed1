package qemu_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/hypervisortest"
	"github.com/nephos-cloud/nephos/driver/hypervisor/qemu"
	"github.com/nephos-cloud/nephos/driver/plugin"
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
		0x75, 0xee, // jnz 13 (target patched below)
		0xba, 0x04, 0x06, // mov dx,0x604
		0xb8, 0x00, 0x20, // mov ax,0x2000
		0xef,       // out dx,ax
		0xeb, 0xfe, // hang
	}
	// The port of q35 is 0x604; machine pc, once SeaBIOS has set the base of its
	// power management, has 0x604 too.
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

// e2e skips unless real guests are wanted and possible.
func e2e(t *testing.T) {
	t.Helper()
	if os.Getenv("NEPHOS_E2E") != "1" {
		t.Skip("NEPHOS_E2E=1 is not set: no real QEMU is run")
	}
	if os.Getuid() != 0 {
		t.Skip("not root: QEMU cannot get a user of its own, nor taps be made")
	}
	for _, name := range []string{"qemu-system-x86_64", "qemu-img", "ip"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
}

// processOf reads a guest's process ID.
func processOf(t drivertest.T, dir, id string) int {
	data, err := os.ReadFile(filepath.Join(dir, "guests", id, "run.json"))
	require.NoError(t, err)
	var run struct{ PID int }
	require.NoError(t, json.Unmarshal(data, &run))
	return run.PID
}

func TestSuite(t *testing.T) {
	suite(t, func(_ drivertest.T, d *qemu.Driver) hypervisor.Driver { return d })
}

// TestSuiteOverTheWire runs the same through the plugin's protocol.
func TestSuiteOverTheWire(t *testing.T) {
	suite(t, func(t drivertest.T, d *qemu.Driver) hypervisor.Driver {
		over, err := plugin.Loop[hypervisor.Driver](t.Context(), d, plugin.LoopOptions{})
		require.NoError(t, err)
		return over
	})
}

func suite(t *testing.T, held func(drivertest.T, *qemu.Driver) hypervisor.Driver) {
	e2e(t)
	t.Cleanup(func() { goleak.VerifyNone(t, goleak.IgnoreCurrent()) })
	dir := filepath.Join(t.TempDir(), "a directory with a name so long that no address of a unix socket could ever hold the path of a file in it")
	base := filepath.Join(t.TempDir(), "base.raw")
	require.NoError(t, os.WriteFile(base, append(serialSector(), make([]byte, 1<<20-512)...), 0o600))
	ns := fmt.Sprintf("nephos-qemu-test-%d", os.Getpid())
	run := func(args ...string) {
		out, err := exec.Command("ip", args...).CombinedOutput()
		require.NoError(t, err, "ip %v: %s", args, out)
	}
	run("netns", "add", ns)
	t.Cleanup(func() { run("netns", "del", ns) })
	taps := 0
	var d *qemu.Driver
	hypervisortest.Run(t, func(t drivertest.T) hypervisor.Driver {
		var err error
		d, err = qemu.Open(t.Context(), qemu.Config{CloudID: "test", Dir: dir, UID: 65534, GID: 65534, Accel: "tcg"})
		require.NoError(t, err)
		return held(t, d)
	}, hypervisortest.Options{
		CloudID: "test", Guests: 3, BootText: "nephos-boot",
		Spec: func(_ drivertest.T, s *hypervisor.Spec) {
			s.Disks[0].Base = &driver.Image{Path: base, Format: "raw", Digest: "1"}
		},
		NIC: func(t drivertest.T, n int) driver.NIC {
			taps++
			name := fmt.Sprintf("tap%d", taps)
			run("-n", ns, "tuntap", "add", name, "mode", "tap", "vnet_hdr")
			return driver.NIC{
				ID: fmt.Sprintf("11111111-2222-3333-4444-%012d", n), MAC: "02:00:00:00:00:01", MTU: 1450,
				Device: name, Namespace: "/run/netns/" + ns,
			}
		},
		PowerOff: func(t drivertest.T, id string) {
			var log []byte
			require.Eventually(t, func() bool {
				log, _ = d.ConsoleLog(t.Context(), id, 1000)
				return len(log) > 0
			}, time.Minute, 20*time.Millisecond)
			c, err := d.Console(t.Context(), id, hypervisor.Serial)
			require.NoError(t, err)
			defer c.Close()
			_, err = c.Write([]byte("P"))
			require.NoError(t, err)
		},
		Crash: func(t drivertest.T, id string) {
			require.NoError(t, unix.Kill(processOf(t, dir, id), unix.SIGKILL))
		},
	})
}

func TestLiveMigration(t *testing.T) {
	e2e(t)
	t.Cleanup(func() { goleak.VerifyNone(t, goleak.IgnoreCurrent()) })
	disk := filepath.Join(t.TempDir(), "shared.raw")
	require.NoError(t, os.WriteFile(disk, append(serialSector(), make([]byte, 1<<20-512)...), 0o666))
	host := func(dir string) func(t drivertest.T) hypervisor.Driver {
		return func(t drivertest.T) hypervisor.Driver {
			d, err := qemu.Open(t.Context(), qemu.Config{CloudID: "test", Dir: dir, UID: 65534, GID: 65534, Accel: "tcg"})
			require.NoError(t, err)
			return d
		}
	}
	source, dest := filepath.Join(t.TempDir(), "source"), filepath.Join(t.TempDir(), "dest")
	for _, test := range hypervisortest.Tests(host(source), hypervisortest.Options{
		CloudID: "test", Peer: host(dest), PeerAddress: "127.0.0.1",
		Spec: func(_ drivertest.T, s *hypervisor.Spec) {
			s.Disks[0] = driver.Disk{ID: "root", Source: driver.Connection{Type: "file", Path: disk}, Format: "raw"}
		},
	}) {
		if test.Name == "LiveMigrate" || test.Name == "AbortMigration" {
			t.Run(test.Name, func(t *testing.T) { test.Run(t) })
		}
	}
}
