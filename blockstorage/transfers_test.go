package blockstorage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
)

func TestTransfer(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		v := f.make(blockstorage.VolumeSpec{SizeGiB: 2})
		snap, err := f.CreateSnapshot(f.user, blockstorage.SnapshotSpec{VolumeID: v.ID})
		require.NoError(t, err)
		_, err = f.CreateTransfer(f.user, blockstorage.TransferSpec{VolumeID: v.ID})
		require.ErrorContains(t, err, "snapshot: "+snap.ID+" status must be available")
		f.settle()
		_, err = f.CreateTransfer(f.stranger, blockstorage.TransferSpec{VolumeID: v.ID})
		require.ErrorIs(t, err, nephos.ErrNotFound)
		_, err = f.CreateTransfer(f.reader, blockstorage.TransferSpec{VolumeID: v.ID})
		require.ErrorIs(t, err, nephos.ErrForbidden)

		offer, err := f.CreateTransfer(f.user, blockstorage.TransferSpec{VolumeID: v.ID, Name: ptr("gift")})
		require.NoError(t, err)
		require.Len(t, offer.AuthKey, 16)
		f.status(v.ID, blockstorage.AwaitingTransfer)
		_, err = f.CreateTransfer(f.user, blockstorage.TransferSpec{VolumeID: v.ID})
		require.ErrorIs(t, err, nephos.ErrInvalid)
		require.ErrorIs(t, f.DeleteVolume(f.user, v.ID), nephos.ErrInvalid)
		_, err = f.Transfer(f.stranger, offer.ID)
		require.ErrorIs(t, err, nephos.ErrNotFound)
		require.ErrorIs(t, f.DeleteTransfer(f.stranger, offer.ID), nephos.ErrNotFound)
		seen, err := f.Transfer(f.reader, offer.ID)
		require.NoError(t, err)
		require.Empty(t, seen.AuthKey)
		list, _, err := f.ListTransfers(f.stranger, blockstorage.TransferFilter{AllProjects: true}, nephos.Page{})
		require.NoError(t, err)
		require.Empty(t, list)
		require.NoError(t, f.DeleteTransfer(f.user, offer.ID))
		f.status(v.ID, blockstorage.Available)

		offer, err = f.CreateTransfer(f.user, blockstorage.TransferSpec{VolumeID: v.ID})
		require.NoError(t, err)
		for _, key := range []string{"", "0123456789abcdef"} {
			_, err = f.AcceptTransfer(f.stranger, offer.ID, key)
			require.ErrorContains(t, err, "with invalid auth key")
		}
		// The volume and its snapshot must both fit.
		for _, quotas := range []map[string]int{{"gigabytes": 3}, {"gigabytes": 4, "snapshots": 0}, {"snapshots": 1, "volumes": 0}} {
			_, err = f.UpdateQuotas(f.admin, "q", quotas)
			require.NoError(t, err)
			_, err = f.AcceptTransfer(f.stranger, offer.ID, offer.AuthKey)
			require.ErrorIs(t, err, nephos.ErrQuota)
		}
		_, err = f.UpdateQuotas(f.admin, "q", map[string]int{"volumes": 1})
		require.NoError(t, err)
		_, err = f.AcceptTransfer(f.stranger, offer.ID, offer.AuthKey)
		require.NoError(t, err)
		_, err = f.AcceptTransfer(f.stranger, offer.ID, offer.AuthKey)
		require.ErrorIs(t, err, nephos.ErrNotFound)
		_, err = f.Volume(f.user, v.ID)
		require.ErrorIs(t, err, nephos.ErrNotFound)
		mine, err := f.Volume(f.stranger, v.ID)
		require.NoError(t, err)
		require.Equal(t, blockstorage.Available, mine.Status)
		_, err = f.Snapshot(f.stranger, snap.ID)
		require.NoError(t, err)
		require.NoError(t, f.PurgeVolume(f.stranger, v.ID, blockstorage.DeleteOptions{Cascade: true}))
		f.finish()
		f.empty()
	})
}

// A server's volume that was given away is no longer the server's to delete.
func TestATransferredVolumeIsNobodyElses(t *testing.T) {
	f := sqlite(t)
	v, err := f.EnsureVolume(f.compute, "server", blockstorage.VolumeSpec{SizeGiB: 1})
	require.NoError(t, err)
	f.settle()
	offer, err := f.CreateTransfer(f.user, blockstorage.TransferSpec{VolumeID: v.ID, NoSnapshots: true})
	require.NoError(t, err)
	_, err = f.AcceptTransfer(f.stranger, offer.ID, offer.AuthKey)
	require.NoError(t, err)
	require.NoError(t, f.ReleaseVolume(f.compute, "server"))
	f.settle()
	f.status(v.ID, blockstorage.Available)

	// Deleted by force while it is on offer, it takes the offer along.
	offer, err = f.CreateTransfer(f.stranger, blockstorage.TransferSpec{VolumeID: v.ID})
	require.NoError(t, err)
	require.NoError(t, f.PurgeVolume(f.admin, v.ID, blockstorage.DeleteOptions{Force: true}))
	f.settle()
	_, err = f.Transfer(f.stranger, offer.ID)
	require.ErrorIs(t, err, nephos.ErrNotFound)
}

// A filter by a time that is none finds nothing, on PostgreSQL too, which would
// not compare the two.
func TestListsAreFilteredByTimes(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		v := f.make(blockstorage.VolumeSpec{SizeGiB: 1})
		s := f.snapshot(v.ID)
		_, err := f.CreateTransfer(f.user, blockstorage.TransferSpec{VolumeID: v.ID})
		require.NoError(t, err)
		for at, found := range map[string]int{
			s.CreatedAt.Format("2006-01-02T15:04:05.000000"): 1, s.CreatedAt.Format("2006-01-02 15:04:05.000000"): 1, s.CreatedAt.Format("2006-01-02T15:04:05.000000Z"): 1,
			"2001-01-01": 0, "x": 0, "": 0, "9999-99-99T99:99:99": 0, "0000-00-00": 0,
		} {
			list, _, err := f.ListSnapshots(f.user, blockstorage.SnapshotFilter{Match: map[string]string{"created_at": at}}, nephos.Page{})
			require.NoError(t, err, at)
			require.Len(t, list, found, at)
			for _, name := range []string{"created_at", "created_at~"} {
				_, _, err = f.ListTransfers(f.user, blockstorage.TransferFilter{Match: map[string]string{name: at}}, nephos.Page{})
				require.NoError(t, err, at)
			}
		}
	})
}
