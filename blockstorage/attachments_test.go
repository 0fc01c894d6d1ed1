package blockstorage_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
)

func TestComputeAttachesByOwnerKey(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		v := f.make(blockstorage.VolumeSpec{SizeGiB: 1})
		require.NoError(t, f.CheckAttach(f.user, v.ID))
		a, err := f.ReserveVolume(f.user, "s1/d1", v.ID, "s1")
		require.NoError(t, err)
		again, err := f.ReserveVolume(f.user, "s1/d1", v.ID, "s1")
		require.NoError(t, err)
		require.Equal(t, a.ID, again.ID)
		f.status(v.ID, blockstorage.Reserved)
		_, err = f.ReserveVolume(f.user, "s2/d1", v.ID, "s2")
		require.ErrorIs(t, err, nephos.ErrInvalid)
		require.EqualError(t, f.CheckAttach(f.user, v.ID), "volume '"+v.ID+"' status must be 'available'. Currently in 'reserved'")
		require.ErrorIs(t, f.DeleteVolume(f.user, v.ID), nephos.ErrInvalid)

		spec := blockstorage.AttachSpec{VolumeID: v.ID, ServerID: "s1", Host: "h1", Mountpoint: "/dev/vdb"}
		b, err := f.EnsureAttachment(f.compute, "s1/d1", spec)
		require.NoError(t, err)
		require.Equal(t, a.ID, b.ID)
		require.Equal(t, "/fake/volumes/"+v.ID, b.Connection.Path)
		require.Equal(t, "raw", b.Format)
		f.status(v.ID, blockstorage.Attaching)
		c, err := f.EnsureAttachment(f.compute, "s1/d1", spec)
		require.NoError(t, err)
		require.Equal(t, b, c)
		require.NoError(t, f.CompleteAttachment(f.compute, "s1/d1"))
		require.NoError(t, f.CompleteAttachment(f.compute, "s1/d1"))
		f.status(v.ID, blockstorage.InUse)

		// The user may not pull it from under the server.
		_, err = f.DeleteAttachment(f.user, a.ID)
		require.ErrorIs(t, err, nephos.ErrConflict)
		require.ErrorIs(t, f.RecordDetach(f.user, v.ID, a.ID), nephos.ErrConflict)
		require.ErrorIs(t, f.TerminateConnection(f.user, v.ID, map[string]any{"host": "h1"}), nephos.ErrConflict)
		require.Len(t, f.state.Attachments(v.ID), 1)

		// It grows while in use, and says so.
		require.ErrorIs(t, f.ExtendVolume(f.user, v.ID, 2, false), nephos.ErrInvalid)
		require.NoError(t, f.ExtendVolume(f.user, v.ID, 2, true))
		f.settle()
		f.status(v.ID, blockstorage.InUse)
		require.Contains(t, f.events(), "volume.extend")

		// The server moves to another host.
		spec.Host = "h2"
		_, err = f.EnsureAttachment(f.compute, "s1/d1", spec)
		require.NoError(t, err)
		require.Equal(t, "h2", f.state.Attachments(v.ID)[a.ID].Host)
		f.status(v.ID, blockstorage.InUse)

		require.NoError(t, f.BeginDetach(f.compute, "s1/d1"))
		f.status(v.ID, blockstorage.Detaching)
		require.NoError(t, f.CancelDetach(f.compute, "s1/d1"))
		f.status(v.ID, blockstorage.InUse)
		require.NoError(t, f.BeginDetach(f.compute, "s1/d1"))
		require.NoError(t, f.ReleaseAttachment(f.compute, "s1/d1"))
		require.NoError(t, f.ReleaseAttachment(f.compute, "s1/d1"))
		require.NoError(t, f.BeginDetach(f.compute, "s1/d1"))
		f.status(v.ID, blockstorage.Available)
		require.Empty(t, f.state.Attachments(v.ID))
		require.NoError(t, f.DeleteVolume(f.user, v.ID))
		f.finish()
		f.empty()
	})
}

func TestComputeMakesAVolumeOnce(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		spec := blockstorage.VolumeSpec{SizeGiB: 1}
		v, err := f.EnsureVolume(f.compute, "s1/root", spec)
		require.NoError(t, err)
		require.Equal(t, "p", v.ProjectID)
		w, err := f.EnsureVolume(f.compute, "s1/root", spec)
		require.NoError(t, err)
		require.Equal(t, v.ID, w.ID)
		_, err = f.EnsureAttachment(f.compute, "s1/root", blockstorage.AttachSpec{VolumeID: v.ID, ServerID: "s1", Host: "h"})
		require.ErrorIs(t, err, nephos.ErrConflict, "it is not there yet")
		f.settle()
		_, err = f.EnsureAttachment(f.compute, "s1/root", blockstorage.AttachSpec{VolumeID: v.ID, ServerID: "s1", Host: "h"})
		require.NoError(t, err)
		require.NoError(t, f.CompleteAttachment(f.compute, "s1/root"))
		require.ErrorIs(t, f.ReleaseVolume(f.compute, "s1/root"), nephos.ErrConflict, "it is attached")
		require.NoError(t, f.ReleaseAttachment(f.compute, "s1/root"))
		require.NoError(t, f.ReleaseVolume(f.compute, "s1/root"))
		f.finish()
		require.NoError(t, f.ReleaseVolume(f.compute, "s1/root"))
		f.empty()
	})
}

func TestAReleaseThatThePoolFailsIsCarriedThrough(t *testing.T) {
	f := sqlite(t)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 1})
	_, err := f.EnsureAttachment(f.compute, "k", blockstorage.AttachSpec{VolumeID: v.ID, ServerID: "s", Host: "h"})
	require.NoError(t, err)
	require.NoError(t, f.CompleteAttachment(f.compute, "k"))
	f.state.Inject(fake.Fault{Op: "Disconnect", Err: errors.New("no route"), Times: 3})
	require.Error(t, f.ReleaseAttachment(f.compute, "k"))
	f.status(v.ID, blockstorage.Detaching)
	_, err = f.ReserveVolume(f.user, "other", v.ID, "t")
	require.ErrorIs(t, err, nephos.ErrInvalid, "nobody gets it before it is disconnected")
	f.finish()
	f.status(v.ID, blockstorage.Available)
	require.Empty(t, f.state.Attachments(v.ID))
}

func TestAConnectWhoseAnswerIsLostLeaksNothing(t *testing.T) {
	f := sqlite(t)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 1})
	f.state.Inject(fake.Fault{Op: "Connect", Err: errors.New("timed out"), After: true, Times: 1})
	_, err := f.EnsureAttachment(f.compute, "k", blockstorage.AttachSpec{VolumeID: v.ID, ServerID: "s", Host: "h"})
	require.Error(t, err)
	require.Len(t, f.state.Attachments(v.ID), 1)
	require.NoError(t, f.ReleaseAttachment(f.compute, "k"))
	require.Empty(t, f.state.Attachments(v.ID))
	f.status(v.ID, blockstorage.Available)
	require.NoError(t, f.DeleteVolume(f.user, v.ID))
	f.finish()
	f.empty()
}

func TestAResetDetaches(t *testing.T) {
	f := sqlite(t)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 1})
	a, err := f.CreateAttachment(f.user, blockstorage.AttachmentSpec{VolumeID: v.ID, Connector: map[string]any{"host": "h"}})
	require.NoError(t, err)
	require.NoError(t, f.FinishAttachment(f.user, a.ID))
	require.ErrorIs(t, f.ResetVolume(f.user, v.ID, blockstorage.VolumeReset{Status: "available"}), nephos.ErrForbidden)
	require.NoError(t, f.ResetVolume(f.admin, v.ID, blockstorage.VolumeReset{Status: "available", AttachStatus: "detached"}))
	f.finish()
	f.status(v.ID, blockstorage.Available)
	require.Empty(t, f.state.Attachments(v.ID))
}

func TestAForcedDeleteDisconnects(t *testing.T) {
	f := sqlite(t)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 1})
	_, err := f.CreateAttachment(f.user, blockstorage.AttachmentSpec{VolumeID: v.ID, Connector: map[string]any{"host": "h"}})
	require.NoError(t, err)
	require.ErrorIs(t, f.PurgeVolume(f.user, v.ID, blockstorage.DeleteOptions{Force: true}), nephos.ErrForbidden)
	require.NoError(t, f.PurgeVolume(f.admin, v.ID, blockstorage.DeleteOptions{Force: true}))
	f.finish()
	f.empty()
}
