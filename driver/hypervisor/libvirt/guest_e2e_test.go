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
)

// TestLivingGuest runs the suite with an operating system in the guests, so
// that a request to power off or to let go of a device is answered. The image
// is the one that examples/guest makes.
func TestLivingGuest(t *testing.T) {
	image := os.Getenv("NEPHOS_GUEST_IMAGE")
	if image == "" {
		t.Skip("NEPHOS_GUEST_IMAGE names no guest image: the suite runs without an operating system only")
	}
	h := newHost(t, "one")
	dir := shared(t)
	taps := 0
	hypervisortest.Run(t, func(t drivertest.T) hypervisor.Driver {
		d, err := libvirt.Open(t.Context(), libvirt.Config{
			CloudID: "test", URI: h.daemon.URI(), Dir: filepath.Join(dir, "guests"), Accel: "tcg", Namespace: h.netns(),
		})
		require.NoError(t, err)
		return d
	}, hypervisortest.Options{
		CloudID: "test", Guests: 2, BootText: "nephos-guest: ready", Alive: true,
		Wait: 4 * time.Minute, Grace: 2 * time.Minute,
		Spec: func(_ drivertest.T, s *hypervisor.Spec) {
			s.MemoryMiB = 96
			s.Disks[0].Base = &driver.Image{Path: image, Format: "qcow2", Digest: "1"}
			s.Disks[0].SizeBytes = 256 << 20
		},
		NIC: func(t drivertest.T, n int) driver.NIC {
			taps++
			return driver.NIC{
				ID: fmt.Sprintf("11111111-2222-3333-4444-%012d", n), MAC: "02:00:00:00:00:01", MTU: 1450,
				Device: h.tap(fmt.Sprintf("tap%d", taps)), Namespace: h.netns(),
			}
		},
	})
}

// TestSession runs guests of an ordinary user, whose libvirtd libvirt starts
// itself, in a process of that user's.
func TestSession(t *testing.T) {
	if dir := os.Getenv("NEPHOS_SESSION_DIR"); dir != "" {
		session(t, dir)
		return
	}
	e2e(t)
	dir := shared(t)
	for _, sub := range []string{"home", "run", "config/libvirt"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, sub), 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config/libvirt/qemu.conf"), []byte("stdio_handler = \"file\"\n"), 0o600))
	const nobody = 65534
	require.NoError(t, filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		if err == nil {
			err = os.Chown(path, nobody, nobody)
		}
		return err
	}))
	// The test's own program may lie where the user may not go.
	program := filepath.Join(dir, "test")
	data, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(program, data, 0o755))
	cmd := exec.Command(program, "-test.run=^TestSession$", "-test.v")
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin", "NEPHOS_E2E=1", "NEPHOS_SESSION_DIR=" + dir, "TMPDIR=" + dir, "HOME=" + filepath.Join(dir, "home"),
		"XDG_RUNTIME_DIR=" + filepath.Join(dir, "run"), "XDG_CONFIG_HOME=" + filepath.Join(dir, "config"),
		"XDG_CACHE_HOME=" + filepath.Join(dir, "home/cache"), "XDG_DATA_HOME=" + filepath.Join(dir, "home/data"),
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	// libvirt's daemon would wait for more work.
	if pid, readErr := os.ReadFile(filepath.Join(dir, "run/libvirt/libvirtd.pid")); readErr == nil {
		var n int
		if _, scanErr := fmt.Sscan(string(pid), &n); scanErr == nil && n > 1 {
			_ = syscall.Kill(n, syscall.SIGTERM)
			require.Eventually(t, func() bool { return syscall.Kill(n, 0) != nil }, time.Minute, 20*time.Millisecond)
		}
	}
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestSession")
}

// session is the user's part.
func session(t *testing.T, dir string) {
	base := writeBase(t, dir)
	d, err := libvirt.Open(t.Context(), libvirt.Config{CloudID: "test", URI: "qemu:///session", Dir: filepath.Join(dir, "guests"), Accel: "tcg"})
	require.NoError(t, err)
	defer d.Close()
	ctx := context.Background()
	require.NoError(t, d.Ensure(ctx, "g", bootable(base)))
	require.NoError(t, d.Start(ctx, "g"))
	require.Eventually(t, func() bool {
		log, err := d.ConsoleLog(ctx, "g", 1000)
		return err == nil && strings.Contains(string(log), "nephos-boot")
	}, time.Minute, 10*time.Millisecond)
	vnc, err := d.Console(ctx, "g", hypervisor.VNC)
	require.NoError(t, err)
	require.NoError(t, vnc.Close())
	require.NoError(t, d.Destroy(ctx, "g"))
}
