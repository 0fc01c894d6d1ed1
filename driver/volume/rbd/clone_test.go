//go:build ceph

package rbd

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ceph/go-ceph/rbd"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	blobrbd "github.com/nephos-cloud/nephos/driver/blob/rbd"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/internal/cephtest"
	"github.com/nephos-cloud/nephos/driver/volume"
)

func openImages(t drivertest.T, c *cephtest.Cluster, namespace string) *blobrbd.Driver {
	t.Helper()
	d, err := blobrbd.Open(t.Context(), blobrbd.Config{Monitors: []string{c.Monitors}, User: c.User, Key: c.Key, Pool: "images", Namespace: namespace})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func names(t *testing.T, d *Driver) []string {
	t.Helper()
	names, err := rbd.GetImageNames(d.pool.IO)
	require.NoError(t, err)
	return names
}

func requireBegins(t *testing.T, d *Driver, id string, want []byte) {
	t.Helper()
	r, err := d.Read(t.Context(), id)
	require.NoError(t, err)
	defer r.Close()
	got := make([]byte, len(want))
	_, err = io.ReadFull(r, got)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
}

// testImages makes a volume of an image: no byte is copied, and the image's bytes
// stay as long as the volume needs them.
func testImages(t *testing.T, c *cephtest.Cluster) {
	images := openImages(t, c, "")
	all, err := Open(t.Context(), Config{CloudID: "x", Monitors: []string{c.Monitors}, User: c.User, Key: c.Key, Pool: "images", Scratch: t.TempDir()})
	require.NoError(t, err)
	defer all.Close()
	d := openIn(t, config(c, "of-images"))
	content := bytes.Repeat([]byte("an image"), 1<<19) // 4 MiB
	_, err = images.Put(t.Context(), "debian", bytes.NewReader(content), -1)
	require.NoError(t, err)
	where, err := images.Location(t.Context(), "debian")
	require.NoError(t, err)
	image := volume.ImageLocation{Location: where, Format: volume.FormatRaw, VirtualSize: int64(len(content))}
	require.NoError(t, d.CloneImage(t.Context(), "v", volume.Spec{SizeGiB: 2}, image))
	require.NoError(t, d.with("v", func(im *rbd.Image) error {
		parent, err := im.GetParent()
		require.NoError(t, err, "it shares the image's bytes")
		require.Equal(t, "images", parent.Image.PoolName)
		return nil
	}))
	v, err := d.Get(t.Context(), "v")
	require.NoError(t, err)
	require.Equal(t, 2, v.SizeGiB)

	require.NoError(t, images.Delete(t.Context(), "debian"))
	_, err = images.Stat(t.Context(), "debian")
	require.ErrorIs(t, err, nephos.ErrNotFound)
	requireBegins(t, d, "v", content)
	require.Len(t, names(t, all), 1, "the bytes are still needed")
	require.ErrorContains(t, d.CloneImage(t.Context(), "w", volume.Spec{SizeGiB: 2}, image), "unsupported")

	require.NoError(t, d.Flatten(t.Context(), "v"))
	require.NoError(t, d.Flatten(t.Context(), "v"), "again")
	require.Empty(t, names(t, all), "nobody needs them any more")
	requireBegins(t, d, "v", content)
	require.ErrorIs(t, d.Flatten(t.Context(), "none"), nephos.ErrNotFound)
}

// testGhosts deletes what copies share bytes with.
func testGhosts(t *testing.T, c *cephtest.Cluster) {
	cfg := config(c, "ghosts")
	cfg.CloneDepth = 3
	d := openIn(t, cfg)
	one := volume.Spec{SizeGiB: 1}
	content := bytes.Repeat([]byte("x"), 5<<20)
	require.NoError(t, d.CreateFromImage(t.Context(), "v0", one, volume.Image{Body: bytes.NewReader(content), Format: "raw", Size: -1}))
	for i := range 5 { // a chain that is longer than the bound
		require.NoError(t, d.Clone(t.Context(), "v"+string(rune('1'+i)), one, "v"+string(rune('0'+i))))
	}
	for i := range 5 {
		require.NoError(t, d.Delete(t.Context(), "v"+string(rune('0'+i))))
	}
	requireBegins(t, d, "v5", content)
	vs, err := d.List(t.Context())
	require.NoError(t, err)
	require.Len(t, vs, 1)
	depth := 0
	for _, name := range names(t, d) {
		if strings.HasPrefix(name, "deleted-") {
			depth++
		}
	}
	require.LessOrEqual(t, depth, 3)
	require.NoError(t, d.Delete(t.Context(), "v5"))
	require.Empty(t, names(t, d), "all ghosts are gone")
}

// later is a clock that is ahead.
type later struct{ nephos.WallClock }

func (l later) Now() time.Time { return l.WallClock.Now().Add(2 * time.Hour) }

// testLeftovers finds what a dead process left half made.
func testLeftovers(t *testing.T, c *cephtest.Cluster) {
	cfg := config(c, "leftovers")
	d := openIn(t, cfg)
	require.NoError(t, d.pool.Create("making-x", 1<<30))
	require.NoError(t, d.pool.Create("somebody's", 1<<30))
	vs, err := d.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, vs)
	openIn(t, cfg)
	require.ElementsMatch(t, []string{"making-x", "somebody's"}, names(t, d), "it may be on its way")
	cfg.Clock = later{}
	openIn(t, cfg)
	require.Equal(t, []string{"somebody's"}, names(t, d))

	cfg.CloudID = "another"
	_, err = Open(t.Context(), cfg)
	require.ErrorIs(t, err, nephos.ErrConflict)
	cfg.Pool = "none"
	_, err = Open(t.Context(), cfg)
	require.ErrorIs(t, err, nephos.ErrInvalid)
	cfg.Pool, cfg.Key = "volumes", "AQAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA=="
	_, err = Open(t.Context(), cfg)
	require.ErrorContains(t, err, "check user and key")
}

// testInUse tells of a volume that a client has open: librbd, as a guest's QEMU.
func testInUse(t *testing.T, c *cephtest.Cluster) {
	cfg := config(c, "in-use")
	cfg.Linger = -1
	d := openIn(t, cfg)
	require.NoError(t, d.Create(t.Context(), "v", volume.Spec{SizeGiB: 1}))
	im, err := d.image("v", rbd.NoSnapshot)
	require.NoError(t, err)
	_, err = im.WriteAt([]byte("guest"), 0)
	require.NoError(t, err)
	require.NoError(t, d.CreateSnapshot(t.Context(), "v", "s"))
	require.NoError(t, d.Extend(t.Context(), "v", 2, volume.ExtendOptions{InUse: true}))
	requireBegins(t, d, "v", []byte("guest"))
	require.NoError(t, d.DeleteSnapshot(t.Context(), "v", "s"))
	// A copy of a connected volume is not connected.
	a := volume.Connector{AttachmentID: "a", Host: "h"}
	_, err = d.Connect(t.Context(), "v", a)
	require.NoError(t, err)
	require.NoError(t, d.Clone(t.Context(), "copy", volume.Spec{SizeGiB: 2}, "v"))
	require.NoError(t, d.Delete(t.Context(), "copy"))
	require.NoError(t, d.Disconnect(t.Context(), "v", a))
	require.ErrorIs(t, d.Delete(t.Context(), "v"), nephos.ErrConflict)
	require.NoError(t, im.Close())
	require.NoError(t, d.Delete(t.Context(), "v"))
}
