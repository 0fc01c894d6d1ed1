package agent_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/volume"
	fakevol "github.com/nephos-cloud/nephos/driver/volume/fake"
)

// A pool's host half is told of a disk before the guest gets it, and after the
// guest has lost it, across restarts.
func TestTheHostHalfOfAPoolAttachesAndDetaches(t *testing.T) {
	h := newHost(t)
	state := &fakevol.State{}
	half, err := volume.NewPool(t.Context(), fakevol.New(fakevol.Config{State: state}), volume.PoolOptions{})
	require.NoError(t, err)
	h.kill()
	h.pools = map[string]*volume.Pool{"san": half}
	h.start()
	attached := func() []string {
		ids, err := half.Attached(t.Context())
		require.NoError(t, err)
		return ids
	}
	h.boot()
	require.Empty(t, attached())
	with := testServer(hypervisor.PowerOn, 1)
	for _, id := range []string{"vol-1", "vol-2"} {
		with.Spec.Disks = append(with.Spec.Disks, driver.Disk{ID: id, Source: driver.Connection{Type: "san", Path: "/lun/" + id}, Format: "raw", BootIndex: -1})
	}
	h.put(object(t, driver.KindServer, "srv", 2, with))
	require.Equal(t, []string{"srv.vol-1", "srv.vol-2"}, attached())
	require.Equal(t, []string{"root", "vol-1", "vol-2"}, h.guest().Disks)

	h.kill()
	h.start()
	with.Spec.Disks = with.Spec.Disks[:2]
	h.put(object(t, driver.KindServer, "srv", 3, with))
	require.Equal(t, []string{"srv.vol-1"}, attached())
	require.Equal(t, []string{"root", "vol-1"}, h.guest().Disks)

	h.put(driver.Object{Kind: driver.KindServer, ID: "srv", Revision: 4, Deleted: true})
	require.Empty(t, attached())
}
