//go:build ceph

package rbd_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/blobtest"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/internal/cephtest"
	"github.com/nephos-cloud/nephos/driver/plugin"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/volumetest"
)

func launch[D interface{ Close() error }](t drivertest.T, c *cephtest.Cluster, program, kind, pool, dir string) D {
	t.Helper()
	sum := sha256.Sum256([]byte(dir))
	d, err := plugin.Launch[D](t.Context(), program, plugin.LaunchOptions{
		Args: []string{"-kind", kind, "-monitors", c.Monitors, "-pool", pool, "-namespace", hex.EncodeToString(sum[:8]), "-cloud-id", "cloud1"},
		Env:  []string{"NEPHOS_CEPH_KEY=" + c.Key, "PATH=/usr/bin:/bin"},
		Dir:  dir,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func kill(t drivertest.T, d any) {
	t.Helper()
	p, ok := plugin.Of(d)
	require.True(t, ok)
	p.Kill()
	require.NoError(t, p.Close())
}

// TestPlugin runs both suites in a process of their own, which is killed where
// they ask for it.
func TestPlugin(t *testing.T) {
	c := cephtest.Start(t)
	c.Pool(t, "volumes")
	c.Pool(t, "images")
	program := filepath.Join(t.TempDir(), "plugin-rbd")
	out, err := exec.Command("go", "build", "-tags", "ceph,pacific", "-o", program, "github.com/nephos-cloud/nephos/examples/plugin-rbd").CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Run("Volume", func(t *testing.T) {
		volumetest.Run(t, func(t drivertest.T, dir string) volume.Driver {
			return launch[volume.Driver](t, c, program, "volume", "volumes", dir)
		}, volumetest.Options{
			Kill: func(t drivertest.T, d volume.Driver) { kill(t, d) },
			Image: func(t drivertest.T, _ volume.Driver, content []byte) volume.ImageLocation {
				images := launch[blob.Driver](t, c, program, "blob", "images", t.TempDir())
				n, err := images.Put(t.Context(), "image", bytes.NewReader(content), -1)
				require.NoError(t, err)
				where, err := images.(blob.Locator).Location(t.Context(), "image")
				require.NoError(t, err)
				return volume.ImageLocation{Location: where, Format: volume.FormatRaw, VirtualSize: n}
			},
		})
	})
	t.Run("Blob", func(t *testing.T) {
		blobtest.Run(t, func(t drivertest.T, dir string) blob.Driver {
			return launch[blob.Driver](t, c, program, "blob", "images", dir)
		}, blobtest.Options{Kill: func(t drivertest.T, d blob.Driver) { kill(t, d) }})
	})
}
