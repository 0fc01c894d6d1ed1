//go:build libvirt

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/hypervisortest"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/libvirtd"
	"github.com/nephos-cloud/nephos/driver/plugin"
)

// build makes the plugin.
func build(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "plugin-libvirt")
	out, err := exec.Command("go", "build", "-tags", "libvirt", "-o", path, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// TestSuite runs the whole suite through the plugin's process, which starts a
// libvirtd of its own. Each test launches the plugin anew.
func TestSuite(t *testing.T) {
	if os.Getenv("NEPHOS_E2E") != "1" {
		t.Skip("NEPHOS_E2E=1 is not set: no real libvirtd is run")
	}
	if os.Getuid() != 0 {
		t.Skip("not root: libvirtd gets no namespaces of its own")
	}
	for _, name := range []string{"/usr/sbin/libvirtd", "qemu-system-x86_64", "qemu-img"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	dir, err := os.MkdirTemp("", "nlp")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	daemon, err := libvirtd.Start(ctx, libvirtd.Config{Dir: filepath.Join(dir, "d")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, daemon.Stop(context.Background(), syscall.SIGTERM)) })
	path := build(t)
	hypervisortest.Run(t, func(t drivertest.T) hypervisor.Driver {
		d, err := plugin.Launch[hypervisor.Driver](t.Context(), path, plugin.LaunchOptions{
			Args:         []string{"-cloud", "test", "-libvirtd", filepath.Join(dir, "d"), "-accel", "tcg", "-dir", filepath.Join(dir, "p")},
			StartTimeout: time.Minute, Roots: []string{dir},
		})
		require.NoError(t, err)
		return d
	}, hypervisortest.Options{CloudID: "test", Guests: 2})
}

func TestBadFlags(t *testing.T) {
	for _, args := range [][]string{{"-nosuch"}, {"-dir", "/x", "more"}, {"-dir", ""}} {
		require.Error(t, run(args), fmt.Sprint(args))
	}
}
