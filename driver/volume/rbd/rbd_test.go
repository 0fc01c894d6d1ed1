//go:build ceph

package rbd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rbd"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/internal/cephtest"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/volumetest"
)

// TestCeph is all that needs a cluster: one is enough.
func TestCeph(t *testing.T) {
	c := cephtest.Start(t)
	c.Pool(t, "volumes")
	c.Pool(t, "images")
	for name, test := range map[string]func(*testing.T, *cephtest.Cluster){
		"Conformance": testConformance,
		"Images":      testImages,
		"Ghosts":      testGhosts,
		"Leftovers":   testLeftovers,
		"InUse":       testInUse,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

// TestClusterThatDoesNotAnswer: calls end when the library's patience does, or the
// caller's, and work again when the cluster does.
func TestClusterThatDoesNotAnswer(t *testing.T) {
	c := cephtest.Start(t)
	c.Pool(t, "volumes")
	cfg := config(c, "")
	cfg.Timeout = time.Second
	d := openIn(t, cfg)
	require.NoError(t, d.Create(t.Context(), "v", volume.Spec{SizeGiB: 1}))
	thaw := c.Freeze(t)
	_, err := d.Get(t.Context(), "v")
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	_, err = d.List(t.Context())
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	ctx, cancel := context.WithCancel(t.Context())
	stop := time.AfterFunc(10*time.Millisecond, cancel)
	defer stop.Stop()
	require.ErrorIs(t, d.Create(ctx, "w", volume.Spec{SizeGiB: 1}), context.Canceled)
	thaw()
	require.Eventually(t, func() bool { _, err = d.Get(t.Context(), "v"); return err == nil }, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, d.Create(t.Context(), "w", volume.Spec{SizeGiB: 1}))
}

func config(c *cephtest.Cluster, namespace string) Config {
	return Config{
		CloudID: "cloud1", Monitors: []string{c.Monitors}, User: c.User, Key: c.Key, Pool: "volumes", Namespace: namespace,
	}
}

func openIn(t drivertest.T, cfg Config) *Driver {
	t.Helper()
	if cfg.Scratch == "" {
		cfg.Scratch = filepath.Join(t.TempDir(), "scratch")
	}
	d, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// namespace is a directory's name where there are no directories.
func namespace(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:8])
}

// qcow2 returns an image of 1 MiB in that format, and what is in it.
func qcow2(t testing.TB) (image, raw []byte) {
	t.Helper()
	dir := t.TempDir()
	raw = make([]byte, 1<<20)
	for i := 300_000; i < 500_000; i++ {
		raw[i] = byte(i*7) | 1
	}
	src, dst := filepath.Join(dir, "raw"), filepath.Join(dir, "qcow2")
	require.NoError(t, os.WriteFile(src, raw, 0o600))
	out, err := exec.Command("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", src, dst).CombinedOutput()
	require.NoError(t, err, string(out))
	image, err = os.ReadFile(dst)
	require.NoError(t, err)
	return image, raw
}

// write writes as a guest does, by librbd.
func write(t drivertest.T, d volume.Driver, c driver.Connection, offset int64, content []byte) {
	t.Helper()
	require.Equal(t, "rbd", c.Type)
	im, err := rbd.OpenImage(d.(*Driver).pool.IO, c.Options["image"], rbd.NoSnapshot)
	require.NoError(t, err)
	_, err = im.WriteAt(content, offset)
	require.NoError(t, err)
	require.NoError(t, im.Close())
}

func testConformance(t *testing.T, c *cephtest.Cluster) {
	opts := volumetest.Options{Write: write, Image: func(t drivertest.T, _ volume.Driver, content []byte) volume.ImageLocation {
		images := openImages(t, c, "conformance")
		n, err := images.Put(t.Context(), "image", bytes.NewReader(content), -1)
		require.NoError(t, err)
		where, err := images.Location(t.Context(), "image")
		require.NoError(t, err)
		return volume.ImageLocation{Location: where, Format: volume.FormatRaw, VirtualSize: n}
	}}
	opts.QCOW2, opts.QCOW2Raw = qcow2(t)
	opts.Peer = func(t drivertest.T, dir string) volume.Driver {
		cfg := config(c, namespace(dir))
		cfg.Pool = "images"
		return openIn(t, cfg)
	}
	volumetest.Run(t, func(t drivertest.T, dir string) volume.Driver { return openIn(t, config(c, namespace(dir))) }, opts)
}
