package blockstorage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/blockstorage"
)

// Every choice of a pool is kept, also of volumes that have one.
func TestMovesKeepWhyTheyWentThere(t *testing.T) {
	f, _, _ := twoPools(t)
	f.typed("quick", map[string]string{"volume_backend_name": "fast"})
	f.typed("none", map[string]string{"volume_backend_name": "elsewhere"})
	v := f.imaged("root")
	why := f.why.last(t)
	require.Equal(t, "nephos@slow#slow", why.Chosen[0].ID)

	require.NoError(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: "quick"}))
	f.settle()
	why = f.why.last(t)
	require.Empty(t, why.Chosen)
	require.Equal(t, 1, why.Hosts, "its own pool was asked")
	require.Equal(t, "pool", why.Kind)

	require.NoError(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: "none", MayMove: true}))
	f.settle()
	require.Contains(t, f.volume(v.ID).Reason, "No valid backend was found.")
	why = f.why.last(t)
	require.Equal(t, v.ID, why.RequestID)
	require.Empty(t, why.Chosen)
	require.Equal(t, 2, why.Hosts)

	require.NoError(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: "quick", MayMove: true}))
	f.settle()
	require.Equal(t, "fast", f.volume(v.ID).Pool)
	require.Equal(t, "nephos@fast#fast", f.why.last(t).Chosen[0].ID)

	require.NoError(t, f.MigrateVolume(f.admin, v.ID, blockstorage.MigrateSpec{Host: "nephos@slow#slow"}))
	f.settle()
	require.Empty(t, f.why.last(t).Chosen, "its type is not for that pool")
	require.Equal(t, "fast", f.volume(v.ID).Pool)
	require.NoError(t, f.RetypeVolume(f.user, v.ID, blockstorage.RetypeSpec{Type: "__DEFAULT__"}))
	f.settle()
	require.NoError(t, f.MigrateVolume(f.admin, v.ID, blockstorage.MigrateSpec{Host: "nephos@slow#slow"}))
	f.settle()
	require.Equal(t, "slow", f.volume(v.ID).Pool)
	require.Equal(t, "nephos@slow#slow", f.why.last(t).Chosen[0].ID)
}
