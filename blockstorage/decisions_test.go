package blockstorage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/cel"
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

// Pools say by expressions which volumes they want, their operators before their
// drivers.
func TestPoolsWantSomeVolumes(t *testing.T) {
	f := sqlite(t)
	f.pools = nil
	for name, p := range map[string]struct{ driver, operator volume.Placement }{
		"small": {volume.Placement{Filter: "volume.size < 1000", Goodness: "90"}, volume.Placement{Filter: "volume.size < 10"}},
		"large": {volume.Placement{Goodness: "volume.size >= 10 ? 100 : 10"}, volume.Placement{}},
		"lying": {volume.Placement{ReservedPercentage: 300}, volume.Placement{}},
	} {
		pool, err := volume.NewPool(t.Context(), fake.New(fake.Config{Clock: f.clock, Backend: name, TotalGiB: 1000, Placement: p.driver}),
			volume.PoolOptions{Name: name, Clock: f.clock, Placement: p.operator})
		require.NoError(t, err)
		f.pools = append(f.pools, pool)
	}
	var err error
	f.choose, err = scheduler.NewPools(scheduler.Config{
		Filters:  append(scheduler.DefaultPoolFilters(), cel.DriverFilter(cel.Options{})),
		Weighers: []scheduler.WeigherConfig{{Weigher: cel.GoodnessWeigher(cel.Options{}), Multiplier: 1}},
	})
	require.NoError(t, err)
	f.start(nil)
	for size, pool := range map[int]string{1: "small", 9: "small", 10: "large", 500: "large"} {
		v := f.make(blockstorage.VolumeSpec{SizeGiB: size})
		require.Equal(t, pool, v.Pool, v.Reason)
	}
	f.typed("tiny", map[string]string{"volume_backend_name": "small"})
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 50, Type: "tiny"})
	require.Equal(t, blockstorage.Errored, v.Status)
	require.Contains(t, v.Reason, "1 turned away by their own filter_function")

	_, err = volume.NewPool(t.Context(), fake.New(fake.Config{}), volume.PoolOptions{Placement: volume.Placement{MaxOverSubscription: 0.5}})
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

func TestReservedRoomAndOverSubscription(t *testing.T) {
	f := sqlite(t)
	pool, err := volume.NewPool(t.Context(), fake.New(fake.Config{Clock: f.clock, TotalGiB: 100}),
		volume.PoolOptions{Clock: f.clock, Placement: volume.Placement{ReservedPercentage: 50, MaxOverSubscription: 1}})
	require.NoError(t, err)
	f.pools = []*volume.Pool{pool}
	f.start(nil)
	require.Equal(t, blockstorage.Errored, f.make(blockstorage.VolumeSpec{SizeGiB: 60}).Status)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 40})
	require.Equal(t, blockstorage.Available, v.Status, v.Reason)
	pools, err := f.Pools(f.admin, "")
	require.NoError(t, err)
	require.Equal(t, 50, pools[0].Stats.ReservedPercentage)
}
