package qemu_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/internal/cephtest"
	"github.com/nephos-cloud/nephos/driver/internal/testca"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/file"
)

// bootsFrom boots a guest from a disk that is elsewhere, plugs another while it
// runs, starts it again with both, and looks for secrets in the open.
func bootsFrom(t *testing.T, b *bench, root, second driver.Connection) {
	t.Helper()
	disk := func(id string, c driver.Connection, boot int) driver.Disk {
		return driver.Disk{ID: id, Source: c, Format: "raw", BootIndex: boot}
	}
	spec := b.spec()
	spec.Disks = []driver.Disk{disk("root", root, 0)}
	b.start("g", spec)
	b.awaitBoot("g")
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", processOf(t, b.dir, "g")))
	require.NoError(t, err)
	for name, secret := range root.Secrets {
		require.NotContains(t, string(command), secret, "%s is for nobody else to read", name)
	}
	spec.Disks = append(spec.Disks, disk("second", second, -1))
	for range 2 {
		require.NoError(t, b.d.Ensure(t.Context(), "g", spec))
	}
	require.NoError(t, b.d.Stop(t.Context(), "g", hypervisor.StopOptions{}))
	b.away(func() {}) // a new driver knows what the disks need
	require.NoError(t, b.d.Start(t.Context(), "g"))
	b.awaitBoot("g")
}

// copies copies disks, of a guest that is on and off.
func copies(t *testing.T, b *bench) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snap.qcow2")
	for _, id := range []string{"root", "second"} {
		for _, running := range []bool{true, false} {
			if !running && b.state("g") == hypervisor.Running {
				require.NoError(t, b.d.Stop(t.Context(), "g", hypervisor.StopOptions{}))
			}
			require.NoError(t, b.d.Snapshot(t.Context(), "g", id, path))
			raw := path + ".raw"
			out, err := exec.Command("qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw).CombinedOutput()
			require.NoError(t, err, "%s", out)
			f, err := os.Open(raw)
			require.NoError(t, err)
			sector := make([]byte, 512)
			_, err = io.ReadFull(f, sector)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			require.Equal(t, serialSector(), sector)
		}
	}
}

func TestBootsFromCeph(t *testing.T) {
	b := newBench(t)
	if help, err := exec.Command("qemu-img", "--help").Output(); err == nil && !strings.Contains(string(help), " rbd") {
		t.Skip("QEMU has no block driver rbd (Debian: qemu-block-extra)")
	}
	c := cephtest.Start(t)
	c.Pool(t, "volumes")
	connection := func(image string) driver.Connection {
		c.Import(t, b.base, "volumes", image)
		return driver.Connection{
			Type: "rbd", Options: map[string]string{"pool": "volumes", "image": image, "user": c.User, "hosts": c.Legacy},
			Secrets: map[string]string{"key": c.Key},
		}
	}
	bootsFrom(t, b, connection("root"), connection("second"))
	copies(t, b)
}

// TestBootsFromNBD has the volumes on another host: a pool that serves them over
// TLS.
func TestBootsFromNBD(t *testing.T) {
	b := newBench(t)
	if _, err := exec.LookPath("qemu-storage-daemon"); err != nil {
		t.Skip("qemu-storage-daemon is not installed")
	}
	ca := testca.New(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	serve := &file.NBD{Listen: l.Addr().String(), CA: ca.File}
	require.NoError(t, l.Close())
	serve.Cert, serve.Key = ca.Sign(t, "127.0.0.1")
	serve.ClientCert, serve.ClientKey = ca.Sign(t, "host1")
	pool, err := file.Open(file.Config{CloudID: "test", Dir: filepath.Join(t.TempDir(), "pool"), Host: "storage", NBD: serve})
	require.NoError(t, err)
	connection := func(id string) driver.Connection {
		image, err := os.Open(b.base)
		require.NoError(t, err)
		defer image.Close()
		require.NoError(t, pool.CreateFromImage(t.Context(), id, volume.Spec{SizeGiB: 1}, volume.Image{Body: image, Format: "raw", Size: -1}))
		c, err := pool.Connect(t.Context(), id, volume.Connector{AttachmentID: "a", Host: "host1"})
		require.NoError(t, err)
		require.Equal(t, "nbd", c.Type)
		t.Cleanup(func() {
			require.NoError(t, pool.Disconnect(context.Background(), id, volume.Connector{AttachmentID: "a"}))
		})
		return c
	}
	t.Cleanup(func() { require.NoError(t, pool.Close()) })
	bootsFrom(t, b, connection("root"), connection("second"))
}
