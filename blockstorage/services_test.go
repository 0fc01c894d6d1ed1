package blockstorage_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
)

// A pool that an operator disabled is passed over until it is enabled again, and
// keeps what it has.
func TestADisabledPoolGetsNoVolumes(t *testing.T) {
	f, _, _ := twoPools(t)
	there := f.make(blockstorage.VolumeSpec{SizeGiB: 5})
	require.Equal(t, "slow", there.Pool, "it has the most room")
	slow := blockstorage.ComponentUpdate{Binary: "cinder-volume", Host: "nephos@slow", Disabled: true}
	require.ErrorIs(t, f.UpdateComponent(f.user, slow), nephos.ErrForbidden)
	require.NoError(t, f.UpdateComponent(f.admin, slow))

	require.Equal(t, "fast", f.make(blockstorage.VolumeSpec{SizeGiB: 5}).Pool)
	require.Equal(t, blockstorage.Errored, f.make(blockstorage.VolumeSpec{SizeGiB: 500}).Status, "fast is too small")
	zones, err := f.Zones(f.user)
	require.NoError(t, err)
	require.True(t, zones[0].Available, "one of two is left")
	require.NoError(t, f.ExtendVolume(f.user, there.ID, 6, false))
	f.settle()
	v, err := f.Volume(f.user, there.ID)
	require.NoError(t, err)
	require.Equal(t, 6, v.SizeGiB)

	slow.Disabled = false
	require.NoError(t, f.UpdateComponent(f.admin, slow))
	require.Equal(t, "slow", f.make(blockstorage.VolumeSpec{SizeGiB: 100}).Pool)
}

func TestComponentsKeepWhatOperatorsSaid(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		all, err := f.Components(f.admin)
		require.NoError(t, err)
		at := all[len(all)-1]
		reason, long := "new disks", strings.Repeat("x", 256)
		u := blockstorage.ComponentUpdate{Binary: at.Binary, Host: at.Host, Disabled: true, Reason: &reason}
		for _, u := range []blockstorage.ComponentUpdate{u, u} { // twice is the same
			require.NoError(t, f.UpdateComponent(f.admin, u))
		}
		u.Reason = &long
		require.ErrorIs(t, f.UpdateComponent(f.admin, u), nephos.ErrInvalid)
		u.Reason, u.Disabled = nil, false
		require.NoError(t, f.UpdateComponent(f.admin, u))
		all, err = f.Components(f.admin)
		require.NoError(t, err)
		got := all[len(all)-1]
		require.Equal(t, []any{false, false, "new disks"}, []any{got.Disabled, got.Frozen, *got.Reason})

		require.ErrorIs(t, f.FreezeHost(f.user, at.Host, true), nephos.ErrForbidden)
		require.ErrorIs(t, f.FreezeHost(f.admin, at.Host, false), nephos.ErrInvalid)
		require.NoError(t, f.FreezeHost(f.admin, at.Host, true))
		require.ErrorIs(t, f.FailOverHost(f.admin, at.Host), nephos.ErrInvalid)
		all, err = f.Components(f.admin)
		require.NoError(t, err)
		got = all[len(all)-1]
		require.Equal(t, []any{true, true, "frozen"}, []any{got.Disabled, got.Frozen, *got.Reason})
		require.ErrorIs(t, f.UpdateComponent(f.admin, blockstorage.ComponentUpdate{Binary: "x", Host: at.Host}), nephos.ErrNotFound)
	})
}
