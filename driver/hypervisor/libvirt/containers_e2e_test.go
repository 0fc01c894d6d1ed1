//go:build libvirt

package libvirt_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/hypervisortest"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt"
)

// initProgram is what runs in the containers: it echoes its console.
const initProgram = `package main

import (
	"io"
	"os"
)

func main() {
	os.Stdout.WriteString("nephos-boot\n")
	for {
		io.Copy(os.Stdout, os.Stdin)
	}
}
`

// containerImage makes a root file system with nothing but an init.
func containerImage(t *testing.T) string {
	dir := shared(t)
	root := filepath.Join(dir, "root")
	for _, sub := range []string{"sbin", "dev", "proc", "sys", "mnt", "tmp", "etc", "run"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, sub), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "init.go"), []byte(initProgram), 0o644))
	build := exec.Command("go", "build", "-o", filepath.Join(root, "sbin/init"), filepath.Join(dir, "init.go"))
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	image := filepath.Join(dir, "base.raw")
	out, err = exec.Command("mke2fs", "-q", "-t", "ext4", "-d", root, image, "16M").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return image
}

// controllerOf is the process of libvirt's that holds a container.
func (h *host) controllerOf(t drivertest.T, id string) int {
	data, err := os.ReadFile(filepath.Join(h.dir, "run", "lxc", id+".pid"))
	require.NoError(t, err)
	var pid int
	_, err = fmt.Sscan(string(data), &pid)
	require.NoError(t, err)
	return pid
}

// TestContainers runs the suite on lxc:///, where guests share the host's kernel.
func TestContainers(t *testing.T) {
	e2e(t)
	if _, err := os.Stat("/usr/lib/libvirt/libvirt_lxc"); err != nil {
		t.Skip("libvirt's containers are not installed (Debian: libvirt-daemon-driver-lxc)")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip("the kernel has no loop devices to mount disks with")
	}
	image := containerImage(t)
	h := newHost(t, "one")
	dir := shared(t)
	hypervisortest.Run(t, func(t drivertest.T) hypervisor.Driver {
		d, err := libvirt.Open(t.Context(), libvirt.Config{CloudID: "test", URI: h.daemon.URIOf("lxc"), Dir: filepath.Join(dir, "guests")})
		require.NoError(t, err)
		return d
	}, hypervisortest.Options{
		CloudID: "test", Guests: 3,
		Crash: func(t drivertest.T, id string) {
			require.NoError(t, syscall.Kill(h.controllerOf(t, id), syscall.SIGKILL))
		},
		Spec: func(_ drivertest.T, s *hypervisor.Spec) {
			s.Disks[0].Base = &driver.Image{Path: image, Format: "raw", Digest: "1"}
			s.Disks[0].Format = "raw"
		},
	})
}
