package blockstorage_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/store"
)

// snapshot makes a snapshot and waits for it.
func (f *fixture) snapshot(volumeID string) blockstorage.Snapshot {
	f.t.Helper()
	f.clock.Advance(time.Second)
	s, err := f.CreateSnapshot(f.user, blockstorage.SnapshotSpec{VolumeID: volumeID, Metadata: map[string]string{"k": "v"}})
	require.NoError(f.t, err)
	require.Equal(f.t, blockstorage.Creating, s.Status)
	f.settle()
	s, err = f.Snapshot(f.user, s.ID)
	require.NoError(f.t, err)
	require.Equal(f.t, blockstorage.Available, s.Status)
	return s
}

func TestAVolumeIsRevertedToItsNewestSnapshot(t *testing.T) {
	f := sqlite(t)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 1})
	require.NoError(t, f.state.Write(v.ID, 0, []byte("old")))
	first, second := f.snapshot(v.ID), f.snapshot(v.ID)
	require.NoError(t, f.state.Write(v.ID, 0, []byte("new")))
	require.ErrorIs(t, f.RevertVolume(f.user, v.ID, first.ID), nephos.ErrInvalid)
	require.NoError(t, f.RevertVolume(f.user, v.ID, second.ID))
	f.status(v.ID, blockstorage.Reverting)
	require.ErrorIs(t, f.RevertVolume(f.user, v.ID, second.ID), nephos.ErrConflict)
	f.settle()
	f.status(v.ID, blockstorage.Available)
	s, err := f.Snapshot(f.user, second.ID)
	require.NoError(t, err)
	require.Equal(t, blockstorage.Available, s.Status)
	up, err := f.UploadVolume(f.user, v.ID, blockstorage.UploadSpec{Name: "x"})
	require.NoError(t, err)
	f.settle()
	require.Equal(t, "old", string(f.images.bytes[up.Image.ID][:3]))
}

func TestAVolumeGoesWithItsSnapshots(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		v := f.make(blockstorage.VolumeSpec{SizeGiB: 1})
		f.snapshot(v.ID)
		f.snapshot(v.ID)
		require.ErrorIs(t, f.DeleteVolume(f.user, v.ID), nephos.ErrInvalid)
		require.NoError(t, f.PurgeVolume(f.user, v.ID, blockstorage.DeleteOptions{Cascade: true}))
		f.finish()
		f.empty()
	})
}

func TestASourceOutlivesWhatIsMadeOfIt(t *testing.T) {
	f := sqlite(t)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 1})
	s := f.snapshot(v.ID)
	w, err := f.CreateVolume(f.user, blockstorage.VolumeSpec{SnapshotID: s.ID})
	require.NoError(t, err)
	require.NoError(t, f.DeleteSnapshot(f.user, s.ID, false))
	require.NoError(t, f.PurgeVolume(f.user, v.ID, blockstorage.DeleteOptions{Cascade: true}))
	f.finish()
	f.status(w.ID, blockstorage.Available)
	require.Len(t, f.pooled(), 1)
}

func TestSnapshotsThatFailSaySo(t *testing.T) {
	f := sqlite(t)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 1})
	f.state.Inject(fake.Fault{Op: "CreateSnapshot", Err: nephos.ErrNoCapacity, Times: 1})
	s, err := f.CreateSnapshot(f.user, blockstorage.SnapshotSpec{VolumeID: v.ID})
	require.NoError(t, err)
	f.settle()
	s, err = f.Snapshot(f.user, s.ID)
	require.NoError(t, err)
	require.Equal(t, blockstorage.Errored, s.Status)
	require.NotEmpty(t, s.Reason)
	f.state.Inject(fake.Fault{Op: "DeleteSnapshot", Err: errors.New("the wire broke")})
	require.NoError(t, f.DeleteSnapshot(f.user, s.ID, false))
	f.finish()
	s, err = f.Snapshot(f.user, s.ID)
	require.NoError(t, err)
	require.Equal(t, blockstorage.ErrorDeleting, s.Status)
	f.state.ClearFaults()
	require.NoError(t, f.DeleteSnapshot(f.user, s.ID, false))
	f.finish()
	_, err = f.Snapshot(f.user, s.ID)
	require.ErrorIs(t, err, nephos.ErrNotFound)
}

func TestListsAskOnce(t *testing.T) {
	f := sqlite(t)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 1})
	for range 4 {
		f.snapshot(v.ID)
	}
	_, err := f.CreateAttachment(f.user, blockstorage.AttachmentSpec{VolumeID: v.ID})
	require.NoError(t, err)
	ctx, queries := store.CountQueries(f.user)
	ss, more, err := f.ListSnapshots(ctx, blockstorage.SnapshotFilter{Metadata: map[string]string{"k": "v"}}, nephos.Page{Limit: 3})
	require.NoError(t, err)
	require.True(t, more)
	require.Len(t, ss, 3)
	require.EqualValues(t, 1, queries.Load())
	ctx, queries = store.CountQueries(f.user)
	as, _, err := f.ListAttachments(ctx, blockstorage.AttachmentFilter{Match: map[string]string{"status": "reserved"}}, nephos.Page{})
	require.NoError(t, err)
	require.Len(t, as, 1)
	require.EqualValues(t, 1, queries.Load())
	ctx, queries = store.CountQueries(f.user)
	_, _, err = f.ListTypes(ctx, blockstorage.TypeFilter{}, nephos.Page{})
	require.NoError(t, err)
	require.EqualValues(t, 1, queries.Load())
}

func TestATypeThatNoPoolServesEndsInError(t *testing.T) {
	f := sqlite(t)
	_, err := f.CreateType(f.admin, blockstorage.TypeSpec{Name: "elsewhere", IsPublic: true, ExtraSpecs: map[string]string{"volume_backend_name": "moon"}})
	require.NoError(t, err)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 1, Type: "elsewhere"})
	require.Equal(t, blockstorage.Errored, v.Status)
}
