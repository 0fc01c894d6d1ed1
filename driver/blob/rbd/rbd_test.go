//go:build ceph

package rbd

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rbd"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/blobtest"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/internal/cephtest"
)

// TestCeph is all that needs a cluster: one is enough.
func TestCeph(t *testing.T) {
	c := cephtest.Start(t)
	c.Pool(t, "images")
	t.Run("Conformance", func(t *testing.T) {
		blobtest.Run(t, func(t drivertest.T, dir string) blob.Driver {
			sum := sha256.Sum256([]byte(dir))
			return openIn(t, c, hex.EncodeToString(sum[:8]))
		}, blobtest.Options{})
	})
	t.Run("Readers", func(t *testing.T) { testReaders(t, c) })
	t.Run("Leftovers", func(t *testing.T) { testLeftovers(t, c) })
}

func images(t *testing.T, d *Driver) []string {
	t.Helper()
	names, err := rbd.GetImageNames(d.pool.IO)
	require.NoError(t, err)
	return names
}

// testReaders deletes and replaces what another process reads: it reads on, and
// the bytes go when it is done.
func testReaders(t *testing.T, c *cephtest.Cluster) {
	reads, writes := openIn(t, c, "readers"), openIn(t, c, "readers")
	content := bytes.Repeat([]byte("0123456789"), 1<<20)
	for name, change := range map[string]func() error{
		"deleted":  func() error { return writes.Delete(t.Context(), "o") },
		"replaced": func() error { _, err := writes.Put(t.Context(), "o", strings.NewReader("new"), 3); return err },
	} {
		_, err := writes.Put(t.Context(), "o", bytes.NewReader(content), -1)
		require.NoError(t, err)
		r, err := reads.Get(t.Context(), "o", 5, -1)
		require.NoError(t, err)
		begins := make([]byte, 10)
		_, err = io.ReadFull(r, begins)
		require.NoError(t, err)
		require.NoError(t, change(), name)
		rest, err := io.ReadAll(r)
		require.NoError(t, err, name)
		require.True(t, bytes.Equal(content[15:], rest), name)
		kept := len(images(t, writes))
		require.NoError(t, r.Close())
		require.Len(t, images(t, writes), kept-1, "%s: the bytes are gone", name)
		require.NoError(t, writes.Delete(t.Context(), "o"))
	}
	require.Empty(t, images(t, writes))
}

// later is a clock that is ahead.
type later struct{ nephos.WallClock }

func (l later) Now() time.Time { return l.WallClock.Now().Add(2 * time.Hour) }

// testLeftovers finds what a dead process left without an entry.
func testLeftovers(t *testing.T, c *cephtest.Cluster) {
	d := openIn(t, c, "leftovers")
	require.NoError(t, d.pool.Create(imagePrefix+"x", 1<<20))
	require.NoError(t, d.pool.Create("somebody's", 1<<20))
	_, err := d.Put(t.Context(), "o", strings.NewReader("content"), -1)
	require.NoError(t, err)
	openIn(t, c, "leftovers")
	require.Len(t, images(t, d), 3, "it may be on its way")
	cfg := d.cfg
	cfg.Clock = later{}
	aged, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	defer aged.Close()
	require.Len(t, images(t, d), 2)
	r, err := d.Get(t.Context(), "o", 0, -1)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Equal(t, "content", string(got))
}

func openIn(t drivertest.T, c *cephtest.Cluster, namespace string) *Driver {
	t.Helper()
	d, err := Open(t.Context(), Config{Monitors: []string{c.Monitors}, User: c.User, Key: c.Key, Pool: "images", Namespace: namespace})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}
