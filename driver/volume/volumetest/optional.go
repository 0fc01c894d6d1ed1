package volumetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// block is content with a hole inside and an end that is on no boundary.
func block(c byte) []byte {
	b := make([]byte, 300_001)
	for i := range 1000 {
		b[i] = c + byte(i)
	}
	for i := 200_000; i < len(b); i++ {
		b[i] = c + byte(i*7) | 1
	}
	return b
}

func testSnapshotter(t drivertest.T, e *env) {
	e.create(t, "v", 2)
	require.NoError(t, e.CreateSnapshot(t.Context(), "v", "s1"))
	require.NoError(t, e.CreateSnapshot(t.Context(), "v", "s1"), "again")
	require.NoError(t, e.CreateSnapshot(t.Context(), "v", "s0"))
	e.requireVolume(t, "v", 2, "s1", "s0")
	mine, err := e.Get(t.Context(), "v")
	require.NoError(t, err)
	clear(mine.Snapshots) // a result is the caller's to change
	e.requireVolume(t, "v", 2, "s1", "s0")
	require.ErrorIs(t, e.CreateSnapshot(t.Context(), "none", "s"), nephos.ErrNotFound)
	require.ErrorIs(t, e.Driver().(volume.Snapshotter).CreateSnapshot(t.Context(), "v", "../s"), nephos.ErrInvalid)

	require.ErrorIs(t, e.CreateFromSnapshot(t.Context(), "n", gib(2), "v", "none"), nephos.ErrNotFound)
	require.ErrorIs(t, e.CreateFromSnapshot(t.Context(), "n", gib(2), "none", "s1"), nephos.ErrNotFound)
	require.ErrorIs(t, e.CreateFromSnapshot(t.Context(), "n", gib(1), "v", "s1"), nephos.ErrInvalid)
	e.requireNone(t, "n")
	require.NoError(t, e.CreateFromSnapshot(t.Context(), "n", gib(3), "v", "s1"))
	require.NoError(t, e.CreateFromSnapshot(t.Context(), "n", gib(3), "v", "s1"), "again")
	require.ErrorIs(t, e.CreateFromSnapshot(t.Context(), "n", gib(2), "v", "s1"), nephos.ErrConflict)
	e.requireVolume(t, "n", 3)

	// With snapshots a volume goes only if they live on without it.
	if err := e.Delete(t.Context(), "v"); err != nil {
		require.ErrorIs(t, err, nephos.ErrConflict)
		e.requireVolume(t, "v", 2, "s1", "s0")
	} else {
		require.NoError(t, e.CreateFromSnapshot(t.Context(), "n2", gib(2), "v", "s0"))
	}
	for _, s := range []string{"s1", "s1", "s0", "never"} {
		require.NoError(t, e.DeleteSnapshot(t.Context(), "v", s))
	}
	require.NoError(t, e.DeleteSnapshot(t.Context(), "none", "s"))
	require.NoError(t, e.Delete(t.Context(), "v"))
	e.requireNone(t, "v")
	e.requireVolume(t, "n", 3)
}

func testSnapshotContent(t drivertest.T, e *env) {
	one, two := block(1), block(90)
	e.withContent(t, "v", 1, one)
	e.connect(t, "v", "guest") // a snapshot of a volume in use
	require.NoError(t, e.CreateSnapshot(t.Context(), "v", "s1"))
	e.disconnect(t, "v", "guest")
	e.write(t, "v", 0, two)
	require.NoError(t, e.CreateFromSnapshot(t.Context(), "n", gib(2), "v", "s1"))
	e.requireContent(t, "n", 2, one)
	e.write(t, "n", 0, two)
	require.NoError(t, e.CreateFromSnapshot(t.Context(), "m", gib(1), "v", "s1"))
	e.reopen(t)
	e.requireContent(t, "m", 1, one)
}

func testCloner(t drivertest.T, e *env) {
	one, two := block(1), block(90)
	e.withContent(t, "v", 2, one)
	require.ErrorIs(t, e.Clone(t.Context(), "n", gib(2), "none"), nephos.ErrNotFound)
	require.ErrorIs(t, e.Clone(t.Context(), "n", gib(1), "v"), nephos.ErrInvalid)
	e.requireNone(t, "n")
	require.NoError(t, e.Clone(t.Context(), "n", gib(2), "v"))
	require.NoError(t, e.Clone(t.Context(), "n", gib(2), "v"), "again")
	require.NoError(t, e.Clone(t.Context(), "big", gib(3), "v"))
	require.ErrorIs(t, e.Clone(t.Context(), "n", gib(3), "v"), nephos.ErrConflict)
	if e.write(t, "v", 0, two) {
		e.requireContent(t, "v", 2, two)
	}
	e.connect(t, "v", "guest")
	require.NoError(t, e.Clone(t.Context(), "of-used", gib(2), "v"))
	e.disconnect(t, "v", "guest")
	require.NoError(t, e.Delete(t.Context(), "v"))
	e.requireContent(t, "n", 2, one)
	e.requireContent(t, "big", 3, one)
	e.requireVolume(t, "of-used", 2)
}

func testImageWriter(t drivertest.T, e *env) {
	content := block(5)
	require.NoError(t, e.CreateFromImage(t.Context(), "v", gib(1), rawImage(content)))
	e.requireVolume(t, "v", 1)
	e.requireContent(t, "v", 1, content)
	require.NoError(t, e.CreateFromImage(t.Context(), "v", gib(1), rawImage(content)), "again")
	require.ErrorIs(t, e.CreateFromImage(t.Context(), "v", gib(2), rawImage(content)), nephos.ErrConflict)
	require.NoError(t, e.CreateFromImage(t.Context(), "empty", gib(1), rawImage(nil)))
	e.requireContent(t, "empty", 1, nil)
	unknown := rawImage(content)
	unknown.Size = -1
	require.NoError(t, e.CreateFromImage(t.Context(), "unknown", gib(1), unknown))
	e.requireContent(t, "unknown", 1, content)
	e.reopen(t)
	e.requireContent(t, "v", 1, content)
}

var errBody = errors.New("the sender went away")

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func testImageWriterFails(t drivertest.T, e *env) {
	before, err := e.Stats(t.Context())
	require.NoError(t, err)
	content := block(5)
	n := int64(len(content))
	formats := []string{volume.FormatRaw, volume.FormatQCOW2}
	for _, format := range formats {
		for _, cause := range []error{errBody, io.ErrUnexpectedEOF} {
			image := volume.Image{Body: io.MultiReader(bytes.NewReader(content), failing{cause}), Format: format, Size: n + 1, VirtualSize: n + 1}
			require.ErrorIs(t, e.CreateFromImage(t.Context(), "v", gib(1), image), cause)
			e.requireNone(t, "v")
		}
	}
	for _, size := range []int64{n - 1, n + 1} {
		image := rawImage(content)
		image.Size = size
		require.Error(t, e.CreateFromImage(t.Context(), "v", gib(1), image), "body of another length")
	}
	big := rawImage(content)
	big.VirtualSize = 1<<30 + 1
	require.ErrorIs(t, e.CreateFromImage(t.Context(), "v", gib(1), big), nephos.ErrInvalid)
	vmdk := rawImage(content)
	vmdk.Format = "vmdk"
	require.ErrorIs(t, e.CreateFromImage(t.Context(), "v", gib(1), vmdk), nephos.ErrInvalid)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reads, over, late := 0, atomic.Bool{}, make(chan struct{}, 1)
	endless := volume.Image{Format: volume.FormatRaw, Size: -1, Body: readerFunc(func(p []byte) (int, error) {
		if over.Load() {
			select {
			case late <- struct{}{}:
			default:
			}
			return 0, io.EOF
		}
		if reads++; reads == 3 {
			cancel()
		}
		for i := range p {
			p[i] = 1
		}
		return len(p), nil
	})}
	require.ErrorIs(t, e.CreateFromImage(ctx, "v", gib(1), endless), context.Canceled)
	over.Store(true)
	e.requireNone(t, "v")
	select {
	case <-late:
		t.Fatal("the image was read after the call")
	case <-time.After(50 * time.Millisecond): // a moment in which to be caught
	}
	e.reopen(t)
	e.requireNone(t, "v")
	after, err := e.Stats(t.Context())
	require.NoError(t, err)
	require.InDelta(t, before.AllocatedGiB, after.AllocatedGiB, 0.001, "what failed takes no room")
	require.NoError(t, e.CreateFromImage(t.Context(), "v", gib(1), rawImage(content)))
	e.requireContent(t, "v", 1, content)
}

func testImageWriterQCOW2(t drivertest.T, e *env) {
	if e.opts.QCOW2 == nil {
		t.Skip("Options.QCOW2 is not set")
	}
	size := int64(len(e.opts.QCOW2))
	image := volume.Image{Body: bytes.NewReader(e.opts.QCOW2), Format: volume.FormatQCOW2, Size: size, VirtualSize: 1 << 20}
	require.NoError(t, e.CreateFromImage(t.Context(), "v", gib(2), image))
	e.requireVolume(t, "v", 2)
	e.requireContent(t, "v", 2, e.opts.QCOW2Raw)
}

func testImageReader(t drivertest.T, e *env) {
	content := block(5)
	e.withContent(t, "v", 1, content)
	e.connect(t, "v", "guest")
	e.requireContent(t, "v", 1, content) // in use
	e.disconnect(t, "v", "guest")

	ctx, cancel := context.WithCancel(t.Context())
	r, err := e.Read(ctx, "v")
	require.NoError(t, err)
	cancel()
	_, err = io.Copy(io.Discard, r)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, r.Close())

	r, err = e.Read(t.Context(), "v")
	require.NoError(t, err)
	_, err = io.ReadFull(r, make([]byte, 10))
	require.NoError(t, err)
	require.NoError(t, r.Close(), "closed early")
	require.NoError(t, e.Delete(t.Context(), "v"))
}

func testExtender(t drivertest.T, e *env) {
	content := block(5)
	e.withContent(t, "v", 1, content)
	require.NoError(t, e.Extend(t.Context(), "v", 3, volume.ExtendOptions{}))
	require.NoError(t, e.Extend(t.Context(), "v", 3, volume.ExtendOptions{}), "again")
	require.ErrorIs(t, e.Extend(t.Context(), "v", 2, volume.ExtendOptions{}), nephos.ErrInvalid)
	require.ErrorIs(t, e.Driver().(volume.Extender).Extend(t.Context(), "v", volume.MaxSizeGiB+1, volume.ExtendOptions{}), nephos.ErrInvalid)
	e.requireContent(t, "v", 3, content)
	e.create(t, "used", 1)
	e.connect(t, "used", "guest")
	size := 2
	for range 2 {
		if err := e.Extend(t.Context(), "used", 2, volume.ExtendOptions{InUse: true}); err != nil { // not every format can
			require.True(t, errors.Is(err, errors.ErrUnsupported) || errors.Is(err, nephos.ErrConflict), "in use: %v", err)
			size = 1
		}
	}
	e.disconnect(t, "used", "guest")
	e.requireContent(t, "used", size, nil)
	if e.Can(volume.AbilitySnapshotter) { // a snapshot keeps the size that it was made at
		require.NoError(t, e.CreateSnapshot(t.Context(), "v", "s"))
		require.NoError(t, e.Extend(t.Context(), "v", 4, volume.ExtendOptions{}))
		require.NoError(t, e.CreateFromSnapshot(t.Context(), "n", gib(3), "v", "s"))
	}
	e.reopen(t)
	v, err := e.Get(t.Context(), "v")
	require.NoError(t, err)
	require.GreaterOrEqual(t, v.SizeGiB, 3)
}

func testReverter(t drivertest.T, e *env) {
	if !e.Can(volume.AbilitySnapshotter) {
		t.Fatal("a driver that offers Reverter must offer Snapshotter")
	}
	one, two, three := block(1), block(50), block(90)
	e.withContent(t, "v", 1, one)
	require.NoError(t, e.CreateSnapshot(t.Context(), "v", "old"))
	e.write(t, "v", 0, two)
	require.NoError(t, e.CreateSnapshot(t.Context(), "v", "new"))
	e.write(t, "v", 100_000, three)

	require.ErrorIs(t, e.Revert(t.Context(), "v", "none"), nephos.ErrNotFound)
	require.ErrorIs(t, e.Revert(t.Context(), "none", "new"), nephos.ErrNotFound)
	require.ErrorIs(t, e.Revert(t.Context(), "v", "old"), nephos.ErrConflict, "not the newest")
	e.connect(t, "v", "guest")
	require.ErrorIs(t, e.Revert(t.Context(), "v", "new"), nephos.ErrConflict, "in use")
	e.disconnect(t, "v", "guest")

	for range 2 {
		require.NoError(t, e.Revert(t.Context(), "v", "new"))
		if e.opts.Write != nil {
			e.requireContent(t, "v", 1, two)
		}
	}
	e.requireVolume(t, "v", 1, "old", "new")
	require.NoError(t, e.DeleteSnapshot(t.Context(), "v", "new"))
	require.NoError(t, e.Revert(t.Context(), "v", "old"))
	e.requireContent(t, "v", 1, one)
	e.reopen(t)
	e.requireContent(t, "v", 1, one)
}
