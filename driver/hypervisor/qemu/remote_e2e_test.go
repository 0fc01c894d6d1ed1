package qemu_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/internal/cephtest"
)

// bootsFrom boots a guest from a disk that is elsewhere, plugs another while it
// runs, copies a disk on and off, and looks for secrets in the open.
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
	path := filepath.Join(t.TempDir(), "snap.qcow2")
	for _, id := range []string{"root", "second"} {
		for _, running := range []bool{true, false} {
			if !running {
				require.NoError(t, b.d.Stop(t.Context(), "g", hypervisor.StopOptions{}))
			}
			require.NoError(t, b.d.Snapshot(t.Context(), "g", id, path))
			raw := path + ".raw"
			out, err := exec.Command("qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw).CombinedOutput()
			require.NoError(t, err, "%s", out)
			data, err := os.ReadFile(raw)
			require.NoError(t, err)
			require.Equal(t, serialSector(), data[:512])
		}
		require.NoError(t, b.d.Start(t.Context(), "g"))
	}
	b.awaitBoot("g")
}

func TestBootsFromCeph(t *testing.T) {
	b := newBench(t)
	if list, err := exec.Command("qemu-system-x86_64", "-drive", "driver=rbd,file.driver=?").CombinedOutput(); err == nil || strings.Contains(string(list), "Unknown driver 'rbd'") {
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
}
