package volumetest

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// testMove moves volumes by whatever way there is.
func testMove(t drivertest.T, e *env) {
	if !e.Can(volume.AbilityMigrator) && !(e.Can(volume.AbilityImageReader) && e.Can(volume.AbilityImageWriter)) {
		t.Skip("the driver is no Migrator, and not ImageReader and ImageWriter either")
	}
	content := block(11)
	e.withContent(t, "v", 1, content)
	require.ErrorIs(t, e.MigrateFrom(t.Context(), "n", gib(1), e.Pool, "none"), nephos.ErrNotFound)
	e.requireNone(t, "n")
	for range 2 {
		require.NoError(t, e.MigrateFrom(t.Context(), "n", gib(1), e.Pool, "v"))
	}
	e.requireContent(t, "n", 1, content)
	e.requireContent(t, "v", 1, content)
	require.NoError(t, e.Delete(t.Context(), "v"))
	e.reopen(t)
	e.requireContent(t, "n", 1, content)
}

func testMigrator(t drivertest.T, e *env) {
	m := e.Driver().(volume.Migrator)
	content := block(11)
	e.withContent(t, "v", 2, content)
	moon := volume.Location{Type: "moon", Name: "v", Format: volume.FormatRaw, SizeGiB: 2}
	require.ErrorIs(t, m.MigrateIn(t.Context(), "n", gib(2), moon), errors.ErrUnsupported)
	_, err := m.Location(t.Context(), "none")
	require.ErrorIs(t, err, nephos.ErrNotFound)
	e.connect(t, "v", "guest")
	_, err = m.Location(t.Context(), "v")
	require.ErrorIs(t, err, nephos.ErrConflict, "in use")
	e.disconnect(t, "v", "guest")
	where, err := m.Location(t.Context(), "v")
	require.NoError(t, err)
	require.Equal(t, 2, where.SizeGiB)
	require.ErrorIs(t, m.MigrateIn(t.Context(), "n", gib(1), where), nephos.ErrInvalid, "too small")
	e.requireNone(t, "n")
	for range 2 {
		require.NoError(t, m.MigrateIn(t.Context(), "n", gib(3), where))
	}
	e.requireContent(t, "n", 3, content)
	if e.opts.Peer == nil {
		return
	}
	peer := &env{suite: e.suite, dir: e.dir + "-peer"}
	peer.Pool, err = volume.NewPool(t.Context(), e.opts.Peer(t, peer.dir), volume.PoolOptions{})
	require.NoError(t, err)
	require.NoError(t, peer.MigrateFrom(t.Context(), "v", gib(2), e.Pool, "v"))
	require.NoError(t, e.Delete(t.Context(), "v"))
	peer.requireContent(t, "v", 2, content)
}

func testGrouper(t drivertest.T, e *env) {
	if !e.Can(volume.AbilitySnapshotter) {
		t.Fatal("a driver that offers Grouper must offer Snapshotter")
	}
	one, two := block(1), block(90)
	e.withContent(t, "v1", 1, one)
	e.withContent(t, "v2", 1, two)
	both := []volume.GroupMember{{VolumeID: "v1", SnapshotID: "s1"}, {VolumeID: "v2", SnapshotID: "s2"}}
	torn := append(both[:1:1], volume.GroupMember{VolumeID: "none", SnapshotID: "s"})
	require.ErrorIs(t, e.CreateGroupSnapshot(t.Context(), "g", torn), nephos.ErrNotFound)
	e.requireVolume(t, "v1", 1) // all or none
	e.connect(t, "v1", "guest")
	for range 2 {
		require.NoError(t, e.CreateGroupSnapshot(t.Context(), "g", both))
	}
	e.disconnect(t, "v1", "guest")
	e.requireVolume(t, "v1", 1, "s1")
	e.requireVolume(t, "v2", 1, "s2")
	e.write(t, "v2", 0, one)
	e.reopen(t)
	require.NoError(t, e.CreateFromSnapshot(t.Context(), "n1", gib(1), "v1", "s1"))
	require.NoError(t, e.CreateFromSnapshot(t.Context(), "n2", gib(1), "v2", "s2"))
	e.requireContent(t, "n1", 1, one)
	e.requireContent(t, "n2", 1, two)
	require.NoError(t, e.DeleteSnapshot(t.Context(), "v1", "s1"))
	e.requireVolume(t, "v2", 1, "s2")
	require.NoError(t, e.DeleteSnapshot(t.Context(), "v2", "s2"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, e.CreateGroupSnapshot(ctx, "g2", both), context.Canceled)
	e.requireVolume(t, "v1", 1)
}

func testImageCloner(t drivertest.T, e *env) {
	c := e.Driver().(volume.ImageCloner)
	moon := volume.ImageLocation{Location: "moon://crater/1", Format: volume.FormatRaw, VirtualSize: 1}
	require.ErrorIs(t, c.CloneImage(t.Context(), "v", gib(1), moon), errors.ErrUnsupported)
	require.ErrorIs(t, e.CloneImage(t.Context(), "v", gib(1), volume.ImageLocation{}), nephos.ErrInvalid)
	e.requireNone(t, "v")
	if e.opts.Image == nil {
		t.Log("not tested: Options.Image is not set")
		return
	}
	content := block(21)
	image := e.opts.Image(t, e.Driver(), content)
	for range 2 {
		require.NoError(t, e.CloneImage(t.Context(), "v", gib(2), image))
	}
	require.ErrorIs(t, e.CloneImage(t.Context(), "v", gib(1), image), nephos.ErrConflict)
	e.requireContent(t, "v", 2, content)
	e.write(t, "v", 0, block(22))
	require.NoError(t, e.CloneImage(t.Context(), "w", gib(1), image))
	e.requireContent(t, "w", 1, content)
	e.reopen(t)
	e.requireContent(t, "w", 1, content)
	require.NoError(t, e.Delete(t.Context(), "v"))
	require.NoError(t, e.Delete(t.Context(), "w"))
}

// apply applies a difference to content.
func apply(t drivertest.T, diff io.Reader, content []byte) []byte {
	r, err := volume.NewDiffReader(diff)
	require.NoError(t, err)
	for {
		x, err := r.Next()
		if errors.Is(err, io.EOF) {
			require.Equal(t, int64(1)<<30, r.Size())
			return content
		}
		require.NoError(t, err)
		if grow := x.Offset + x.Length - int64(len(content)); grow > 0 && !x.Zero {
			content = append(content, make([]byte, grow)...)
		}
		if x.Zero {
			clear(content[min(x.Offset, int64(len(content))):min(x.Offset+x.Length, int64(len(content)))])
			continue
		}
		_, err = io.ReadFull(r, content[x.Offset:x.Offset+x.Length])
		require.NoError(t, err)
	}
}

func testDiffExporter(t drivertest.T, e *env) {
	if !e.Can(volume.AbilitySnapshotter) {
		t.Fatal("a driver that offers DiffExporter must offer Snapshotter")
	}
	one, two := block(1), block(90)
	e.withContent(t, "v", 1, one)
	require.NoError(t, e.CreateSnapshot(t.Context(), "v", "z-old"))
	changed := e.write(t, "v", 100_000, two)
	require.NoError(t, e.CreateSnapshot(t.Context(), "v", "a-new"))
	e.reopen(t)
	export := func(from, to string) io.ReadCloser {
		r, err := e.ExportDiff(t.Context(), "v", from, to)
		require.NoError(t, err)
		return r
	}
	r := export("", "z-old")
	got := apply(t, r, nil)
	require.NoError(t, r.Close())
	require.GreaterOrEqual(t, len(got), len(one))
	require.True(t, bytes.Equal(one, got[:len(one)]), "all of the first snapshot")
	require.Empty(t, bytes.Trim(got[len(one):], "\x00"))
	if changed {
		r = export("z-old", "a-new")
		got = apply(t, r, got)
		require.NoError(t, r.Close())
		want := append(bytes.Clone(one[:100_000]), two...)
		require.True(t, bytes.Equal(want, got[:len(want)]), "what changed, on top of it")
	}
	for _, c := range []struct {
		volume, from, to string
		want             error
	}{
		{"none", "", "a-new", nephos.ErrNotFound},
		{"v", "", "none", nephos.ErrNotFound},
		{"v", "none", "a-new", nephos.ErrNotFound},
		{"v", "a-new", "z-old", nephos.ErrInvalid},
		{"v", "a-new", "a-new", nephos.ErrInvalid},
	} {
		_, err := e.ExportDiff(t.Context(), c.volume, c.from, c.to)
		require.ErrorIs(t, err, c.want, "%+v", c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := e.ExportDiff(ctx, "v", "", "a-new")
	require.NoError(t, err)
	cancel()
	_, err = io.Copy(io.Discard, r)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, r.Close())
}

func testDiffImporter(t drivertest.T, e *env) {
	one := block(1)
	e.withContent(t, "v", 1, one)
	patch := bytes.Repeat([]byte("patch"), 1000)
	var diff bytes.Buffer
	w, err := volume.NewDiffWriter(&diff)
	require.NoError(t, err)
	require.NoError(t, w.Data(4096, patch))
	require.NoError(t, w.Zero(65536, 65536))
	require.NoError(t, w.Close(1<<30))
	want := bytes.Clone(one)
	copy(want[4096:], patch)
	clear(want[65536:131072])

	e.connect(t, "v", "guest")
	require.ErrorIs(t, e.ImportDiff(t.Context(), "v", bytes.NewReader(diff.Bytes())), nephos.ErrConflict, "in use")
	e.disconnect(t, "v", "guest")
	require.ErrorIs(t, e.ImportDiff(t.Context(), "none", bytes.NewReader(diff.Bytes())), nephos.ErrNotFound)
	require.ErrorIs(t, e.ImportDiff(t.Context(), "v", bytes.NewReader([]byte("something else entirely"))), nephos.ErrInvalid)
	e.requireContent(t, "v", 1, one)
	require.ErrorIs(t, e.ImportDiff(t.Context(), "v", bytes.NewReader(diff.Bytes()[:diff.Len()-5])), io.ErrUnexpectedEOF)
	for range 2 {
		require.NoError(t, e.ImportDiff(t.Context(), "v", bytes.NewReader(diff.Bytes())))
		e.requireContent(t, "v", 1, want)
	}
	var large bytes.Buffer
	w, err = volume.NewDiffWriter(&large)
	require.NoError(t, err)
	require.NoError(t, w.Zero(2<<30, 4096))
	require.NoError(t, w.Close(3<<30))
	require.ErrorIs(t, e.ImportDiff(t.Context(), "v", &large), nephos.ErrInvalid, "of a larger volume")
	e.reopen(t)
	e.requireContent(t, "v", 1, want)
}
