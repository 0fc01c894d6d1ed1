package blockstorage_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/image"
)

// twoPools gives the fixture a small pool called fast beside a large one called
// slow.
func twoPools(t *testing.T) (f *fixture, fast, slow *fake.State) {
	f, fast, slow = sqlite(t), &fake.State{}, &fake.State{}
	f.pools = nil
	for _, one := range []struct {
		name  string
		gib   int
		state *fake.State
	}{{"fast", 10, fast}, {"slow", 1000, slow}} {
		pool, err := volume.NewPool(t.Context(), fake.New(fake.Config{State: one.state, Clock: f.clock, TotalGiB: one.gib, Backend: one.name}),
			volume.PoolOptions{Name: one.name, Clock: f.clock})
		require.NoError(t, err)
		f.pools = append(f.pools, pool)
	}
	f.start(nil)
	return f, fast, slow
}

// kept is what a pool has.
func kept(t *testing.T, f *fixture, name string) []volume.Volume {
	for _, pool := range f.pools {
		if pool.Name() == name {
			all, err := pool.List(t.Context())
			require.NoError(t, err)
			return all
		}
	}
	return nil
}

func TestAVolumeGoesToThePoolWithRoom(t *testing.T) {
	f, _, _ := twoPools(t)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 5})
	require.Equal(t, "slow", v.Pool)
	require.Equal(t, "nephos@slow#slow", f.HostOf(v))
	require.Len(t, kept(t, f, "slow"), 1)
	require.Empty(t, kept(t, f, "fast"))

	// What is made of it lives beside it, whatever there is room for elsewhere.
	s, err := f.CreateSnapshot(f.user, blockstorage.SnapshotSpec{VolumeID: v.ID})
	require.NoError(t, err)
	f.settle()
	for _, spec := range []blockstorage.VolumeSpec{{SnapshotID: s.ID}, {SourceVolumeID: v.ID}} {
		made := f.make(spec)
		require.Equal(t, blockstorage.Available, made.Status, made.Reason)
		require.Equal(t, "slow", made.Pool)
	}

	hinted := f.make(blockstorage.VolumeSpec{SizeGiB: 1, Hints: map[string][]string{"different_host": {v.ID}}})
	require.Equal(t, "fast", hinted.Pool)
	hinted = f.make(blockstorage.VolumeSpec{SizeGiB: 1, Hints: map[string][]string{"same_host": {v.ID}}})
	require.Equal(t, "slow", hinted.Pool)
}

func TestATypeNamesItsBackend(t *testing.T) {
	f, _, _ := twoPools(t)
	typ, err := f.CreateType(f.admin, blockstorage.TypeSpec{Name: "gold", IsPublic: true, ExtraSpecs: map[string]string{"volume_backend_name": "fast"}})
	require.NoError(t, err)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 5, Type: typ.ID})
	require.Equal(t, blockstorage.Available, v.Status, v.Reason)
	require.Equal(t, "fast", v.Pool)
	require.Len(t, kept(t, f, "fast"), 1)

	v = f.make(blockstorage.VolumeSpec{SizeGiB: 500, Type: typ.ID})
	require.Equal(t, blockstorage.Errored, v.Status)
	require.Contains(t, v.Reason, "No valid backend was found.")
	require.Len(t, kept(t, f, "fast"), 1)
	require.NoError(t, f.DeleteVolume(f.user, v.ID)) // nothing anywhere to delete
	f.settle()

	pools, err := f.Pools(f.admin, "")
	require.NoError(t, err)
	require.Len(t, pools, 2)
	require.Equal(t, "nephos@fast#fast", pools[0].Name)
	for _, named := range []string{typ.ID, typ.Name} {
		pools, err = f.Pools(f.admin, named)
		require.NoError(t, err)
		require.Len(t, pools, 1, "those where volumes of the type go")
		require.Equal(t, "nephos@fast#fast", pools[0].Name)
	}
	_, err = f.Pools(f.admin, "nosuch")
	require.ErrorIs(t, err, nephos.ErrNotFound)
	components, err := f.Components(f.admin)
	require.NoError(t, err)
	require.Len(t, components, 3)
	usage, err := f.Host(f.admin, "nephos@fast")
	require.NoError(t, err)
	require.Equal(t, 1, usage[0].Volumes)
	usage, err = f.Host(f.admin, "nephos@slow")
	require.NoError(t, err)
	require.Equal(t, 0, usage[0].Volumes)
}

// A pool that says it has room and then has none is left for the next.
func TestAVolumeTriesTheNextPool(t *testing.T) {
	f, _, slow := twoPools(t)
	slow.Inject(fake.Fault{Op: "Create", Times: 1, Err: nephos.ErrNoCapacity})
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 5})
	require.Equal(t, blockstorage.Available, v.Status, v.Reason)
	require.Equal(t, "fast", v.Pool)
	require.Len(t, kept(t, f, "fast"), 1)
	require.Empty(t, kept(t, f, "slow"))
}

// Where a pool can share an image's bytes, they do not travel.
func TestAnImageIsClonedWhereItLies(t *testing.T) {
	f := sqlite(t)
	size := int64(1 << 20)
	img := f.images.put(image.Image{Name: ptr("os"), Status: image.Active, DiskFormat: "raw", ContainerFormat: "bare", VirtualSize: &size}, []byte("an operating system"))
	near := func(_ context.Context, location string) ([]byte, error) {
		if location != "test:///"+img.ID {
			return nil, fmt.Errorf("%s: %w", location, errors.ErrUnsupported)
		}
		return []byte("shared"), nil
	}
	far := func(context.Context, string) ([]byte, error) { return nil, errors.ErrUnsupported }
	for i, reach := range []func(context.Context, string) ([]byte, error){near, far} {
		pool, err := volume.NewPool(t.Context(), fake.New(fake.Config{State: f.state, Clock: f.clock, Image: reach}), volume.PoolOptions{Clock: f.clock})
		require.NoError(t, err)
		f.pools = []*volume.Pool{pool}
		f.start(nil)
		v := f.make(blockstorage.VolumeSpec{ImageID: img.ID, SizeGiB: 1})
		require.Equal(t, blockstorage.Available, v.Status, v.Reason)
		require.True(t, v.Bootable)
		require.Equal(t, i, f.images.opens)
	}
}

// Volumes of a pool that was taken out of the configuration wait for it.
func TestAPoolThatIsGone(t *testing.T) {
	f, _, _ := twoPools(t)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 5})
	both := f.pools
	f.pools = both[:1]
	f.start(nil)
	require.NoError(t, f.DeleteVolume(f.user, v.ID))
	f.settle()
	require.Equal(t, blockstorage.Deleting, f.volume(v.ID).Status)
	f.pools = both
	f.start(nil)
	f.finish()
	_, err := f.Volume(f.user, v.ID)
	require.Error(t, err)

	_, err = blockstorage.New(blockstorage.Config{Store: f.db, Policy: f.enforcer(), Pools: append(both, both[0])})
	require.ErrorContains(t, err, "two pools are called fast")
}
