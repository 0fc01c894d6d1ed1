package volumetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/volume"
)

func testLifecycle(t drivertest.T, e *env) {
	require.Empty(t, e.ids(t))
	e.requireNone(t, "v1")
	e.create(t, "v1", 1)
	e.create(t, "v2", 2)
	e.requireVolume(t, "v1", 1)
	e.requireVolume(t, "v2", 2)
	require.ElementsMatch(t, []string{"v1", "v2"}, e.ids(t))
	e.requireContent(t, "v1", 1, nil)
	require.NoError(t, e.Delete(t.Context(), "v1"))
	e.requireNone(t, "v1")
	e.requireVolume(t, "v2", 2)
	e.create(t, "v1", 3)
	e.requireVolume(t, "v1", 3)
}

func testIdempotence(t drivertest.T, e *env) {
	e.create(t, "v", 2)
	e.create(t, "v", 2)
	e.requireVolume(t, "v", 2)
	for _, other := range []int{1, 3} {
		require.ErrorIs(t, e.Create(t.Context(), "v", gib(other)), nephos.ErrConflict)
	}
	e.requireVolume(t, "v", 2)
	require.Len(t, e.ids(t), 1)
	if e.Can(volume.AbilityImageWriter) || e.opts.Write != nil {
		content := block(4)
		e.withContent(t, "full", 1, content)
		e.create(t, "full", 1)
		e.requireContent(t, "full", 1, content) // Create leaves what is there
		require.NoError(t, e.Delete(t.Context(), "full"))
		e.create(t, "full", 1)
		e.requireContent(t, "full", 1, nil) // nobody reads what another left
		require.NoError(t, e.Delete(t.Context(), "full"))
	}
	const named = "0f5e2c1a-named-in-errors"
	_, err := e.Get(t.Context(), named)
	require.ErrorContains(t, err, named, "an error says on which ID")
	e.create(t, named, 1)
	require.ErrorContains(t, e.Create(t.Context(), named, gib(2)), named, "an error says on which ID")
	require.NoError(t, e.Delete(t.Context(), named))
	require.NoError(t, e.Delete(t.Context(), "v"))
	require.NoError(t, e.Delete(t.Context(), "v"))
	require.NoError(t, e.Delete(t.Context(), "never"))
}

func testIdentifiers(t drivertest.T, e *env) {
	d := e.Driver()
	for _, id := range []string{"", ".", "..", "../x", "a/b", "/etc", "a\x00b", ".a", "-a", "a b", "a@b", "é", strings.Repeat("x", 101)} {
		require.ErrorIs(t, d.Create(t.Context(), id, gib(1)), nephos.ErrInvalid, "%q", id)
		require.ErrorIs(t, e.Create(t.Context(), id, gib(1)), nephos.ErrInvalid, "%q", id)
		_, err := d.Get(t.Context(), id)
		require.Error(t, err, "%q", id)
	}
	for _, size := range []int{0, -1, volume.MaxSizeGiB + 1} {
		require.ErrorIs(t, d.Create(t.Context(), "v", gib(size)), nephos.ErrInvalid, "%d GiB", size)
	}
	require.Empty(t, e.ids(t))
	ids := []string{"a", "A.b_c-d", "9", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "a.raw", "a.raw.qcow2", strings.Repeat("x", 100)}
	for _, id := range ids {
		e.create(t, id, 1)
	}
	require.ElementsMatch(t, ids, e.ids(t))
	for _, id := range ids {
		e.requireVolume(t, id, 1)
	}
}

func testConnect(t drivertest.T, e *env) {
	c1 := volume.Connector{AttachmentID: "a1", Host: "host1"}
	c2 := volume.Connector{AttachmentID: "a2", Host: "host2"}
	_, err := e.Connect(t.Context(), "none", c1)
	require.ErrorIs(t, err, nephos.ErrNotFound)
	_, err = e.Connect(t.Context(), "none", volume.Connector{Host: "host1"})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	require.NoError(t, e.Disconnect(t.Context(), "none", c1))

	e.create(t, "v", 1)
	require.NoError(t, e.Disconnect(t.Context(), "v", c1))
	first, err := e.Connect(t.Context(), "v", c1)
	require.NoError(t, err)
	require.NotEmpty(t, first.Type)
	again, err := e.Connect(t.Context(), "v", c1)
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.ErrorIs(t, e.Delete(t.Context(), "v"), nephos.ErrConflict)
	_, err = e.Connect(t.Context(), "v", c2)
	if err != nil { // not every pool can share a volume
		require.ErrorIs(t, err, nephos.ErrConflict)
	} else {
		require.NoError(t, e.Disconnect(t.Context(), "v", c1))
		require.ErrorIs(t, e.Delete(t.Context(), "v"), nephos.ErrConflict, "one attachment is left")
		require.NoError(t, e.Disconnect(t.Context(), "v", c2))
	}
	require.NoError(t, e.Disconnect(t.Context(), "v", c1))
	require.NoError(t, e.Disconnect(t.Context(), "v", c1))
	require.NoError(t, e.Delete(t.Context(), "v"))
	e.requireNone(t, "v")
}

func testStats(t drivertest.T, e *env) {
	before, err := e.Stats(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, before.Protocol)
	e.create(t, "v", 3)
	after, err := e.Stats(t.Context())
	require.NoError(t, err)
	if before.AllocatedGiB >= 0 {
		require.InDelta(t, before.AllocatedGiB+3, after.AllocatedGiB, 0.001)
	}
	if after.TotalGiB >= 0 {
		require.LessOrEqual(t, after.FreeGiB, after.TotalGiB)
	}
}

func testConcurrent(t drivertest.T, e *env) {
	var wg sync.WaitGroup
	errs := make(chan error, 256)
	try := func(err error) {
		if err != nil {
			errs <- err
		}
	}
	for i := range 12 {
		wg.Go(func() {
			try(e.Create(t.Context(), "same", gib(1)))
			id := fmt.Sprintf("own%d", i)
			c := volume.Connector{AttachmentID: "a", Host: "h"}
			try(e.Create(t.Context(), id, gib(1)))
			_, err := e.Connect(t.Context(), id, c)
			try(err)
			try(e.Disconnect(t.Context(), id, c))
			_, err = e.List(t.Context())
			try(err)
			if e.Can(volume.AbilitySnapshotter) {
				try(e.CreateSnapshot(t.Context(), "same", fmt.Sprintf("s%d", i)))
				try(e.DeleteSnapshot(t.Context(), "same", fmt.Sprintf("s%d", i)))
			}
			if e.Can(volume.AbilityCloner) {
				try(e.Clone(t.Context(), id+"c", gib(1), id))
				try(e.Delete(t.Context(), id+"c"))
			}
			if i%2 == 0 {
				try(e.Delete(t.Context(), id))
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, e.ids(t), 7)
	e.requireVolume(t, "same", 1)
}

func testReopen(t drivertest.T, e *env) {
	e.create(t, "v1", 1)
	e.create(t, "v2", 2)
	e.create(t, "gone", 1)
	require.NoError(t, e.Delete(t.Context(), "gone"))
	conn := e.connect(t, "v1", "a1")
	snapshots := e.Can(volume.AbilitySnapshotter)
	var want []string
	if snapshots {
		want = []string{"s2", "s1"} // the order they were made in, not that of their names
		require.NoError(t, e.CreateSnapshot(t.Context(), "v2", "s2"))
		require.NoError(t, e.CreateSnapshot(t.Context(), "v2", "s1"))
	}
	before, err := e.Stats(t.Context())
	require.NoError(t, err)

	e.reopen(t)
	require.ElementsMatch(t, []string{"v1", "v2"}, e.ids(t))
	e.requireVolume(t, "v1", 1)
	e.requireVolume(t, "v2", 2, want...)
	after, err := e.Stats(t.Context())
	require.NoError(t, err)
	require.InDelta(t, before.AllocatedGiB, after.AllocatedGiB, 0.001)
	e.create(t, "v1", 1)
	require.ErrorIs(t, e.Create(t.Context(), "v1", gib(2)), nephos.ErrConflict)
	require.ErrorIs(t, e.Delete(t.Context(), "v1"), nephos.ErrConflict, "still connected")
	require.Equal(t, conn, e.connect(t, "v1", "a1"))
	e.disconnect(t, "v1", "a1")
	require.NoError(t, e.Delete(t.Context(), "v1"))

	e.reopen(t)
	require.Equal(t, []string{"v2"}, e.ids(t))
	if snapshots {
		require.NoError(t, e.DeleteSnapshot(t.Context(), "v2", "s1"))
		require.NoError(t, e.DeleteSnapshot(t.Context(), "v2", "s2"))
		e.reopen(t)
		e.requireVolume(t, "v2", 2)
	}
}

func testAbilities(t drivertest.T, e *env) {
	_, readErr := e.Read(t.Context(), "none")
	for name, err := range map[string]error{
		volume.AbilitySnapshotter: errors.Join(e.CreateSnapshot(t.Context(), "none", "s"), e.CreateFromSnapshot(t.Context(), "v", gib(1), "none", "s")),
		volume.AbilityCloner:      e.Clone(t.Context(), "v", gib(1), "none"),
		volume.AbilityImageReader: readErr,
		volume.AbilityExtender:    e.Extend(t.Context(), "none", 2, volume.ExtendOptions{}),
		volume.AbilityReverter:    e.Revert(t.Context(), "none", "s"),
	} {
		if e.Can(name) {
			require.ErrorIs(t, err, nephos.ErrNotFound, name)
		} else {
			require.ErrorIs(t, err, errors.ErrUnsupported, name)
		}
	}
	err := e.CreateFromImage(t.Context(), "v", gib(1), rawImage(nil))
	if e.Can(volume.AbilityImageWriter) {
		require.NoError(t, err)
	} else {
		require.ErrorIs(t, err, errors.ErrUnsupported)
	}
	offered, err := volume.AbilitiesOf(t.Context(), e.Driver())
	require.NoError(t, err)
	require.Equal(t, offered, e.Abilities())
}
