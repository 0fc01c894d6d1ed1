package blockstorage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
)

func TestQoSSpecs(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		_, err := f.CreateQoS(f.user, blockstorage.QoSSpec{Name: "q"})
		require.ErrorIs(t, err, nephos.ErrForbidden)
		q, err := f.CreateQoS(f.admin, blockstorage.QoSSpec{Name: "q", Specs: map[string]string{"vendor:x": "y"}})
		require.NoError(t, err)
		require.Equal(t, "back-end", q.Consumer)
		_, err = f.CreateQoS(f.admin, blockstorage.QoSSpec{Name: "q"})
		require.ErrorIs(t, err, nephos.ErrConflict)
		for _, bad := range []blockstorage.QoSSpec{
			{Name: ""},
			{Name: "b", Consumer: "nobody"},
			{Name: "b", Consumer: "both", Specs: map[string]string{"total_iops_sec": "many"}},
			{Name: "b", Consumer: "both", Specs: map[string]string{"total_iops_sec": "1", "read_iops_sec": "1"}},
			{Name: "b", Consumer: "both", Specs: map[string]string{"total_iops_sec": "-1"}},
		} {
			_, err := f.CreateQoS(f.admin, bad)
			require.ErrorIs(t, err, nephos.ErrInvalid, "%v", bad)
		}
		require.NoError(t, f.UpdateQoS(f.admin, q.ID, "front-end", map[string]string{"total_iops_sec": "5"}))
		require.ErrorIs(t, f.UpdateQoS(f.admin, q.ID, "", map[string]string{"read_iops_sec": "5"}), nephos.ErrInvalid)
		require.ErrorIs(t, f.UpdateQoS(f.admin, "none", "", nil), nephos.ErrNotFound)
		require.ErrorContains(t, f.UnsetQoS(f.admin, q.ID, []string{"vendor:x", "nothing"}), "has no spec with key nothing")
		q, err = f.QoS(f.admin, q.ID)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"total_iops_sec": "5"}, q.Specs)

		typ := f.typed("limited", nil)
		require.NoError(t, f.AssociateQoS(f.admin, q.ID, typ.ID))
		require.NoError(t, f.AssociateQoS(f.admin, q.ID, typ.ID))
		other, err := f.CreateQoS(f.admin, blockstorage.QoSSpec{Name: "other"})
		require.NoError(t, err)
		require.ErrorContains(t, f.AssociateQoS(f.admin, other.ID, typ.ID), "is already associated with another qos specs: "+q.ID)
		list, more, err := f.ListQoS(f.admin, blockstorage.QoSFilter{}, nephos.Page{Limit: 1})
		require.NoError(t, err)
		require.True(t, more)
		require.Len(t, list, 1)
		types, err := f.AssociatedTypes(f.admin, q.ID)
		require.NoError(t, err)
		require.Equal(t, "limited", types[0].Name)
		require.ErrorContains(t, f.DeleteQoS(f.admin, q.ID, false), "Qos specs still in use.")
		require.NoError(t, f.DeleteQoS(f.admin, q.ID, true))
		typ, err = f.Type(f.admin, typ.ID)
		require.NoError(t, err)
		require.Empty(t, typ.QoSID)
		require.NoError(t, f.AssociateQoS(f.admin, other.ID, typ.ID))
		require.NoError(t, f.DisassociateQoS(f.admin, other.ID, ""))
		require.NoError(t, f.DeleteQoS(f.admin, other.ID, false))
	})
}

// What guests are told of a volume's speed is what its type says when they
// attach it.
func TestQoSIsInForceFromTheNextAttachment(t *testing.T) {
	f := sqlite(t)
	typ := f.typed("limited", nil)
	q, err := f.CreateQoS(f.admin, blockstorage.QoSSpec{Name: "q", Consumer: "front-end", Specs: map[string]string{
		"total_iops_sec_per_gb": "10", "total_iops_sec_per_gb_min": "25", "write_bytes_sec": "1000", "write_bytes_sec_max": "2000",
	}})
	require.NoError(t, err)
	require.NoError(t, f.AssociateQoS(f.admin, q.ID, typ.ID))
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 2, Type: "limited"})
	limits := func() *driver.Limits {
		a, err := f.CreateAttachment(f.user, blockstorage.AttachmentSpec{VolumeID: v.ID, ServerID: "s", Connector: map[string]any{"host": "h"}})
		require.NoError(t, err)
		_, err = f.DeleteAttachment(f.user, a.ID)
		require.NoError(t, err)
		return a.Connection.Limits
	}
	require.Equal(t, &driver.Limits{TotalIOPS: 25, WriteBytesSec: 1000, WriteBytesSecMax: 2000}, limits())
	require.NoError(t, f.ExtendVolume(f.user, v.ID, 4, false))
	f.settle()
	require.EqualValues(t, 40, limits().TotalIOPS)
	require.NoError(t, f.UpdateQoS(f.admin, q.ID, "", map[string]string{"total_iops_sec_max": "30"}))
	require.EqualValues(t, 30, limits().TotalIOPS)

	a, err := f.CreateAttachment(f.user, blockstorage.AttachmentSpec{VolumeID: v.ID, ServerID: "s"})
	require.NoError(t, err)
	require.NoError(t, f.FinishAttachment(f.user, a.ID))
	f.typed("free", nil)
	require.ErrorContains(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: "free"}), "for in-use volumes front-end qos specs cannot change")
	_, err = f.DeleteAttachment(f.user, a.ID)
	require.NoError(t, err)

	require.NoError(t, f.DisassociateQoS(f.admin, q.ID, typ.ID))
	require.Nil(t, limits())
	require.NoError(t, f.AssociateQoS(f.admin, q.ID, typ.ID))
	require.NotNil(t, limits())
	require.NoError(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: "free"}))
	f.settle()
	require.Nil(t, limits())
}

// A pool that does not limit gets no volumes that are to be limited.
func TestNoPoolForLimits(t *testing.T) {
	f := sqlite(t)
	pool, err := volume.NewPool(t.Context(), fake.New(fake.Config{State: f.state, Clock: f.clock, Abilities: []string{}}), volume.PoolOptions{Clock: f.clock})
	require.NoError(t, err)
	f.pools = []*volume.Pool{pool}
	f.start(nil)
	typ := f.typed("limited", nil)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 1, Type: "limited"})
	require.Equal(t, blockstorage.Available, v.Status)
	q, err := f.CreateQoS(f.admin, blockstorage.QoSSpec{Name: "q", Consumer: "both", Specs: map[string]string{"size_iops_sec": "1"}})
	require.NoError(t, err)
	require.NoError(t, f.AssociateQoS(f.admin, q.ID, typ.ID))
	w := f.make(blockstorage.VolumeSpec{SizeGiB: 1, Type: "limited"})
	require.Equal(t, blockstorage.Errored, w.Status)
	_, err = f.CreateAttachment(f.user, blockstorage.AttachmentSpec{VolumeID: v.ID, ServerID: "s", Connector: map[string]any{"host": "h"}})
	require.ErrorContains(t, err, "limiting volume")
	f.finish()
	f.status(v.ID, blockstorage.Available)
}
