package blockstorage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
)

const here = "nephos@volumes#volumes"

// manage has something in the pool managed, and returns what came of it.
func (f *fixture) manage(spec blockstorage.ManageSpec) blockstorage.Volume {
	f.t.Helper()
	spec.Host = here
	v, err := f.ManageVolume(f.admin, spec)
	require.NoError(f.t, err)
	require.Equal(f.t, blockstorage.Managing, v.Status)
	f.settle()
	return f.volume(v.ID)
}

func TestManage(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.state.Lay("disk", 3<<30+1, []byte("data"))
		_, err := f.ManageVolume(f.user, blockstorage.ManageSpec{Host: here, Reference: "disk"})
		require.ErrorIs(t, err, nephos.ErrForbidden)
		_, err = f.ListManageable(f.user, here, "")
		require.ErrorIs(t, err, nephos.ErrForbidden)
		_, err = f.ManageVolume(f.admin, blockstorage.ManageSpec{Host: "moon", Reference: "disk"})
		require.ErrorContains(t, err, "Host 'moon' not found")
		_, err = f.ManageVolume(f.admin, blockstorage.ManageSpec{Host: here, Reference: "disk", Type: "nothing"})
		require.ErrorContains(t, err, "Cannot find requested 'nothing' volume type")

		v := f.manage(blockstorage.ManageSpec{Reference: "nothing"})
		require.Equal(t, blockstorage.ErrorManaging, v.Status)
		require.NoError(t, f.DeleteVolume(f.admin, v.ID))
		f.typed("elsewhere", map[string]string{"volume_backend_name": "moon"})
		v = f.manage(blockstorage.ManageSpec{Reference: "disk", Type: "elsewhere"})
		require.Equal(t, blockstorage.ErrorManaging, v.Status)
		require.Contains(t, v.Reason, "type mismatch")
		require.NoError(t, f.UnmanageVolume(f.admin, v.ID))
		f.settle()

		// Beyond the quota it stays where it is.
		_, err = f.UpdateQuotas(f.admin, "a", map[string]int{"gigabytes": 3})
		require.NoError(t, err)
		v = f.manage(blockstorage.ManageSpec{Reference: "disk"})
		require.Equal(t, blockstorage.ErrorManaging, v.Status)
		require.Zero(t, v.SizeGiB)
		require.NoError(t, f.DeleteVolume(f.admin, v.ID))
		f.settle()
		_, err = f.UpdateQuotas(f.admin, "a", map[string]int{"gigabytes": 4})
		require.NoError(t, err)

		v = f.manage(blockstorage.ManageSpec{Reference: "disk", Name: ptr("mine"), Bootable: true})
		require.Equal(t, blockstorage.Available, v.Status, v.Reason)
		require.Equal(t, 4, v.SizeGiB)
		require.Equal(t, "raw", v.Format)
		require.True(t, v.Bootable)
		list, err := f.ListManageable(f.admin, here, "")
		require.NoError(t, err)
		require.Equal(t, v.ID, list[0].VolumeID)
		again := f.manage(blockstorage.ManageSpec{Reference: "disk"})
		require.Equal(t, blockstorage.ErrorManaging, again.Status)
		require.NoError(t, f.DeleteVolume(f.admin, again.ID))
		_, err = f.ManageVolume(f.admin, blockstorage.ManageSpec{Host: here, Reference: "volume-" + v.ID})
		require.ErrorContains(t, err, "already managed")

		_, err = f.UpdateQuotas(f.admin, "a", map[string]int{"gigabytes": 8})
		require.NoError(t, err)
		snap, err := f.CreateSnapshot(f.admin, blockstorage.SnapshotSpec{VolumeID: v.ID})
		require.NoError(t, err)
		f.settle()
		require.ErrorIs(t, f.UnmanageVolume(f.admin, v.ID), nephos.ErrInvalid)
		require.NoError(t, f.DeleteSnapshot(f.admin, snap.ID, false))
		f.settle()
		require.NoError(t, f.UnmanageVolume(f.admin, v.ID))
		f.settle()
		f.empty()
		list, err = f.ListManageable(f.admin, here, "")
		require.NoError(t, err)
		require.Equal(t, []blockstorage.Manageable{{Reference: "disk", SizeGiB: 4}}, list)
	})
}

// A volume that was let go of is found by the ID that it had.
func TestManageByTheFormerID(t *testing.T) {
	f := sqlite(t)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 1})
	require.ErrorIs(t, f.UnmanageVolume(f.user, v.ID), nephos.ErrForbidden)
	require.NoError(t, f.UnmanageVolume(f.admin, v.ID))
	require.NoError(t, f.UnmanageVolume(f.admin, v.ID))
	f.settle()
	back := f.manage(blockstorage.ManageSpec{Reference: "volume-" + v.ID})
	require.Equal(t, blockstorage.Available, back.Status, back.Reason)
	require.NotEqual(t, v.ID, back.ID)
	require.Len(t, f.pooled(), 1)
}

// Something is managed and let go of with a kill at each point in turn: it is
// there in the end, and nothing else.
func TestACrashWhileManaging(t *testing.T) {
	f := sqlite(t)
	f.state.Lay("disk", 1<<30, []byte("data"))
	walked := 0
	for n := 1; ; n++ {
		c := &crasher{left: n}
		f.start(c.here)
		id := ""
		f.until(func() error {
			vs, _, err := f.ListVolumes(f.admin, blockstorage.VolumeFilter{}, nephos.Page{})
			if err != nil || len(vs) > 0 {
				id = vs[0].ID
				return err
			}
			v, err := f.ManageVolume(f.admin, blockstorage.ManageSpec{Host: here, Reference: "disk"})
			id = v.ID
			return err
		})
		f.work()
		require.Equal(t, blockstorage.Available, f.volume(id).Status, f.volume(id).Reason)
		require.Len(t, f.pooled(), 1)
		f.until(func() error { return ignoreNotFound(f.UnmanageVolume(f.admin, id)) })
		f.work()
		f.empty()
		walked = n
		if c.left > 0 {
			break
		}
	}
	require.Greater(t, walked, 4, "the walk met too few points")
}

func TestAPoolThatAdoptsNothing(t *testing.T) {
	f := sqlite(t)
	pool, err := volume.NewPool(t.Context(), fake.New(fake.Config{State: f.state, Clock: f.clock, Abilities: []string{}}), volume.PoolOptions{Clock: f.clock})
	require.NoError(t, err)
	f.pools = []*volume.Pool{pool}
	f.start(nil)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 1})
	require.ErrorContains(t, f.UnmanageVolume(f.admin, v.ID), "does not offer unmanaging volumes")
	_, err = f.ListManageable(f.admin, here, "")
	require.ErrorContains(t, err, "does not offer managing volumes")
}
