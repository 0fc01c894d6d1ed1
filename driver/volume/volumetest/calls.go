package volumetest

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// invocation is one call of the driver itself, which a Pool would check first,
// with a single identifier left open.
type invocation struct {
	name string
	id   string // that makes the call a good one
	call func(ctx context.Context, id string) error
}

// stage is what the invocations act on.
type stage struct {
	content   []byte // of volume v
	reference string // of something to adopt; empty: the driver is no Adopter
	diff      []byte
}

// set makes volume v, whose snapshot s is of something else if the suite can write,
// volume used with attachment kept, volume idle, and what the driver's abilities need more.
func (e *env) set(t drivertest.T) (s stage) {
	t.Helper()
	if e.Can(volume.AbilityImageWriter) || e.opts.Write != nil {
		s.content = block(1)
		e.withContent(t, "v", 1, s.content)
	} else {
		e.create(t, "v", 1)
	}
	e.create(t, "idle", 1)
	e.create(t, "used", 1)
	c := e.connect(t, "used", "kept")
	if e.Can(volume.AbilitySnapshotter) {
		require.NoError(t, e.CreateSnapshot(t.Context(), "v", "s"))
		if other := block(2); s.content != nil && e.write(t, "v", 0, other) {
			s.content = other
		}
	}
	if e.Can(volume.AbilityAdopter) {
		var err error
		e.create(t, "lies", 1)
		s.reference, err = e.Release(t.Context(), "lies")
		require.NoError(t, err)
	}
	if e.Can(volume.AbilityAttacher) {
		_, err := e.Attach(t.Context(), "kept", c)
		require.NoError(t, err)
	}
	var diff bytes.Buffer
	w, err := volume.NewDiffWriter(&diff)
	require.NoError(t, err)
	require.NoError(t, w.Data(0, bytes.Repeat([]byte("diff"), 1024)))
	require.NoError(t, w.Close(1<<30))
	s.diff = diff.Bytes()
	return s
}

// invocations are all calls that take an identifier and that the driver offers.
func (e *env) invocations(t drivertest.T, s stage) (all []invocation) {
	t.Helper()
	add := func(name, id string, call func(ctx context.Context, id string) error) {
		all = append(all, invocation{name, id, call})
	}
	d := e.Driver()
	at := func(attachment string) volume.Connector {
		return volume.Connector{AttachmentID: attachment, Host: "host1"}
	}
	closed := func(r io.ReadCloser, err error) error {
		if err == nil {
			err = r.Close()
		}
		return err
	}
	add("Create", "new", func(ctx context.Context, id string) error { return d.Create(ctx, id, gib(1)) })
	add("Delete", "idle", d.Delete)
	add("Get", "v", func(ctx context.Context, id string) error { _, err := d.Get(ctx, id); return err })
	add("Connect", "v", func(ctx context.Context, id string) error { _, err := d.Connect(ctx, id, at("a")); return err })
	add("Connect: attachment", "a", func(ctx context.Context, id string) error { _, err := d.Connect(ctx, "v", at(id)); return err })
	add("Disconnect", "used", func(ctx context.Context, id string) error { return d.Disconnect(ctx, id, at("kept")) })
	add("Disconnect: attachment", "kept", func(ctx context.Context, id string) error { return d.Disconnect(ctx, "used", at(id)) })
	if e.Can(volume.AbilitySnapshotter) {
		d := d.(volume.Snapshotter)
		add("CreateSnapshot", "v", func(ctx context.Context, id string) error { return d.CreateSnapshot(ctx, id, "s2") })
		add("CreateSnapshot: snapshot", "s2", func(ctx context.Context, id string) error { return d.CreateSnapshot(ctx, "v", id) })
		add("DeleteSnapshot", "v", func(ctx context.Context, id string) error { return d.DeleteSnapshot(ctx, id, "s") })
		add("DeleteSnapshot: snapshot", "s", func(ctx context.Context, id string) error { return d.DeleteSnapshot(ctx, "v", id) })
		add("CreateFromSnapshot", "new", func(ctx context.Context, id string) error { return d.CreateFromSnapshot(ctx, id, gib(1), "v", "s") })
		add("CreateFromSnapshot: volume", "v", func(ctx context.Context, id string) error { return d.CreateFromSnapshot(ctx, "new", gib(1), id, "s") })
		add("CreateFromSnapshot: snapshot", "s", func(ctx context.Context, id string) error { return d.CreateFromSnapshot(ctx, "new", gib(1), "v", id) })
	}
	if e.Can(volume.AbilityCloner) {
		d := d.(volume.Cloner)
		add("Clone", "new", func(ctx context.Context, id string) error { return d.Clone(ctx, id, gib(1), "v") })
		add("Clone: source", "v", func(ctx context.Context, id string) error { return d.Clone(ctx, "new", gib(1), id) })
	}
	if e.Can(volume.AbilityImageWriter) {
		add("CreateFromImage", "new", func(ctx context.Context, id string) error {
			return d.(volume.ImageWriter).CreateFromImage(ctx, id, gib(1), rawImage([]byte("x")))
		})
	}
	if e.Can(volume.AbilityImageReader) {
		add("Read", "v", func(ctx context.Context, id string) error { return closed(d.(volume.ImageReader).Read(ctx, id)) })
	}
	if e.Can(volume.AbilityExtender) {
		add("Extend", "v", func(ctx context.Context, id string) error {
			return d.(volume.Extender).Extend(ctx, id, 2, volume.ExtendOptions{})
		})
	}
	if e.Can(volume.AbilityReverter) {
		add("Revert", "v", func(ctx context.Context, id string) error { return d.(volume.Reverter).Revert(ctx, id, "s") })
		add("Revert: snapshot", "s", func(ctx context.Context, id string) error { return d.(volume.Reverter).Revert(ctx, "v", id) })
	}
	if e.Can(volume.AbilityRetyper) {
		spec := gib(1)
		if e.Can(volume.AbilityLimiter) {
			spec.Limits = &driver.Limits{TotalIOPS: 77}
		}
		add("Retype", "v", func(ctx context.Context, id string) error { return d.(volume.Retyper).Retype(ctx, id, spec) })
	}
	if e.Can(volume.AbilityMigrator) {
		d := d.(volume.Migrator)
		where, err := d.Location(t.Context(), "v")
		require.NoError(t, err)
		add("Location", "v", func(ctx context.Context, id string) error { _, err := d.Location(ctx, id); return err })
		add("MigrateIn", "new", func(ctx context.Context, id string) error { return d.MigrateIn(ctx, id, gib(1), where) })
	}
	if e.Can(volume.AbilityGrouper) {
		group := func(ctx context.Context, group, volumeID, snapshot string) error {
			return d.(volume.Grouper).CreateGroupSnapshot(ctx, group, []volume.GroupMember{{VolumeID: "used", SnapshotID: "g1"}, {VolumeID: volumeID, SnapshotID: snapshot}})
		}
		add("CreateGroupSnapshot", "g", func(ctx context.Context, id string) error { return group(ctx, id, "v", "g2") })
		add("CreateGroupSnapshot: volume", "v", func(ctx context.Context, id string) error { return group(ctx, "g", id, "g2") })
		add("CreateGroupSnapshot: snapshot", "g2", func(ctx context.Context, id string) error { return group(ctx, "g", "v", id) })
	}
	if e.Can(volume.AbilityAdopter) {
		d := d.(volume.Adopter)
		add("Adopt", "new", func(ctx context.Context, id string) error { _, err := d.Adopt(ctx, id, s.reference); return err })
		add("Release", "idle", func(ctx context.Context, id string) error { _, err := d.Release(ctx, id); return err })
	}
	if e.Can(volume.AbilityLimiter) {
		add("SetLimits", "v", func(ctx context.Context, id string) error {
			return d.(volume.Limiter).SetLimits(ctx, id, driver.Limits{TotalIOPS: 77})
		})
	}
	if e.Can(volume.AbilityImageCloner) && e.opts.Image != nil {
		image := e.opts.Image(t, d, block(3))
		add("CloneImage", "new", func(ctx context.Context, id string) error {
			return d.(volume.ImageCloner).CloneImage(ctx, id, gib(1), image)
		})
	}
	if e.Can(volume.AbilityDiffExporter) {
		d := d.(volume.DiffExporter)
		add("ExportDiff", "v", func(ctx context.Context, id string) error { return closed(d.ExportDiff(ctx, id, "", "s")) })
		add("ExportDiff: snapshot", "s", func(ctx context.Context, id string) error { return closed(d.ExportDiff(ctx, "v", "", id)) })
	}
	if e.Can(volume.AbilityDiffImporter) {
		add("ImportDiff", "v", func(ctx context.Context, id string) error {
			return d.(volume.DiffImporter).ImportDiff(ctx, id, bytes.NewReader(s.diff))
		})
	}
	if e.Can(volume.AbilityAttacher) {
		d := d.(volume.Attacher)
		c := e.connect(t, "used", "kept")
		add("Attach", "a", func(ctx context.Context, id string) error { _, err := d.Attach(ctx, id, c); return err })
		add("Detach", "kept", d.Detach)
	}
	return all
}

// requireAsSet checks that all is as set left it.
func (e *env) requireAsSet(t drivertest.T, s stage) {
	t.Helper()
	require.ElementsMatch(t, []string{"v", "idle", "used"}, e.ids(t))
	if e.Can(volume.AbilitySnapshotter) {
		e.requireVolume(t, "v", 1, "s")
	} else {
		e.requireVolume(t, "v", 1)
	}
	e.requireVolume(t, "used", 1)
	e.requireContent(t, "v", 1, s.content)
	require.ErrorIs(t, e.Delete(t.Context(), "used"), nephos.ErrConflict, "it is still connected")
	if e.Can(volume.AbilityAdopter) {
		all, err := e.ListAdoptable(t.Context())
		require.NoError(t, err)
		found := false
		for _, a := range all {
			found = found || a.Reference == s.reference && a.VolumeID == ""
		}
		require.True(t, found, "%s can still be adopted", s.reference)
	}
	if e.Can(volume.AbilityAttacher) {
		ids, err := e.Attached(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"kept"}, ids)
	}
	require.Nil(t, e.connect(t, "v", "b").Limits, "nothing was limited")
	e.disconnect(t, "v", "b")
	if e.Can(volume.AbilitySnapshotter) {
		require.NoError(t, e.DeleteSnapshot(t.Context(), "v", "s"))
	}
	require.NoError(t, e.Delete(t.Context(), "v"), "nothing else was connected, no other snapshot made")
}

func testCancelled(t drivertest.T, e *env) {
	s := e.set(t)
	calls := e.invocations(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range calls {
		require.ErrorIs(t, c.call(ctx, c.id), context.Canceled, c.name)
	}
	d := e.Driver()
	_, err := d.List(ctx)
	require.ErrorIs(t, err, context.Canceled, "List")
	_, err = d.Stats(ctx)
	require.ErrorIs(t, err, context.Canceled, "Stats")
	if e.Can(volume.AbilityAdopter) {
		_, err = d.(volume.Adopter).ListAdoptable(ctx)
		require.ErrorIs(t, err, context.Canceled, "ListAdoptable")
	}
	if e.Can(volume.AbilityAttacher) {
		_, err = d.(volume.Attacher).Attached(ctx)
		require.ErrorIs(t, err, context.Canceled, "Attached")
	}
	e.requireAsSet(t, s)
}

// testCallsIdentifiers has every call refuse what would lead out of the pool.
func testCallsIdentifiers(t drivertest.T, e *env) {
	s := e.set(t)
	for _, c := range e.invocations(t, s) {
		for _, id := range []string{"", "..", "../v", "/v", "v/", "v\x00", "-v", "v v", "é"} {
			err := c.call(t.Context(), id)
			require.ErrorIs(t, err, nephos.ErrInvalid, "%s %q", c.name, id)
			require.False(t, errors.Is(err, nephos.ErrNotFound), "%s %q", c.name, id)
		}
	}
	e.requireAsSet(t, s)
}
