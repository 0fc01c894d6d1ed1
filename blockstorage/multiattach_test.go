package blockstorage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
)

var many = map[string]string{"multiattach": "<is> True"}

func TestSeveralAttachments(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.typed("shared", many)
		v := f.make(blockstorage.VolumeSpec{SizeGiB: 1, Type: "shared"})
		require.Equal(t, blockstorage.Available, v.Status, v.Reason)
		require.True(t, v.MultiAttach)
		attach := func(server, host string) (string, error) {
			a, err := f.CreateAttachment(f.user, blockstorage.AttachmentSpec{VolumeID: v.ID, ServerID: server, Connector: map[string]any{"host": host}})
			if err == nil {
				require.NotNil(t, a.Connection)
				err = f.FinishAttachment(f.user, a.ID)
			}
			return a.ID, err
		}
		one, err := attach("s1", "h1")
		require.NoError(t, err)
		two, err := attach("s2", "h2")
		require.NoError(t, err)
		require.Len(t, f.state.Attachments(v.ID), 2)
		require.Len(t, f.volume(v.ID).Attachments, 2)
		f.status(v.ID, blockstorage.InUse)
		require.ErrorContains(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: "__DEFAULT__"}), "retypes affecting multiattach")

		require.NoError(t, f.CheckAttach(f.compute, v.ID))
		a, err := f.EnsureAttachment(f.compute, "server 3", blockstorage.AttachSpec{VolumeID: v.ID, ServerID: "s3", Host: "h1"})
		require.NoError(t, err)
		require.True(t, a.Connection.Shared, "the host is told that others have it")
		require.NoError(t, f.ReleaseAttachment(f.compute, "server 3"))
		f.settle()

		_, err = f.DeleteAttachment(f.user, one)
		require.NoError(t, err)
		f.status(v.ID, blockstorage.InUse)
		_, err = f.DeleteAttachment(f.user, two)
		require.NoError(t, err)
		f.status(v.ID, blockstorage.Available)
		require.Empty(t, f.state.Attachments(v.ID))

		require.NoError(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: "__DEFAULT__"}))
		f.settle()
		require.False(t, f.volume(v.ID).MultiAttach)
		_, err = attach("s1", "h1")
		require.NoError(t, err)
		_, err = attach("s2", "h2")
		require.ErrorContains(t, err, "status must be available or downloading to reserve")
	})
}

// A pool whose volumes take one attachment is given none that must take more.
func TestNoPoolForSeveralAttachments(t *testing.T) {
	f := sqlite(t)
	pool, err := volume.NewPool(t.Context(), fake.New(fake.Config{State: f.state, Clock: f.clock, Abilities: []string{}}), volume.PoolOptions{Clock: f.clock})
	require.NoError(t, err)
	f.pools = []*volume.Pool{pool}
	f.start(nil)
	f.typed("shared", many)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 1, Type: "shared"})
	require.Equal(t, blockstorage.Errored, v.Status)
	require.Contains(t, v.Reason, "No valid backend was found.")
	backends, err := f.Pools(f.admin, "")
	require.NoError(t, err)
	require.False(t, backends[0].MultiAttach)
}
