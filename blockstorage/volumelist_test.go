package blockstorage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
)

// Both databases page by every key that lists of volumes can be sorted by.
func TestVolumesPageByEverySortKey(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for range 2 {
			f.make(blockstorage.VolumeSpec{SizeGiB: 1})
		}
		for _, key := range blockstorage.SortKeys("volume") {
			for _, desc := range []bool{false, true} {
				by := []nephos.SortKey{{Key: key, Desc: desc}}
				whole, _, err := f.ListVolumes(f.user, blockstorage.VolumeFilter{}, nephos.Page{Sort: by})
				require.NoError(t, err, key)
				require.Len(t, whole, 2)
				rest, more, err := f.ListVolumes(f.user, blockstorage.VolumeFilter{}, nephos.Page{Sort: by, Limit: 1, Marker: whole[0].ID})
				require.NoError(t, err, key)
				require.False(t, more)
				require.Equal(t, whole[1].ID, rest[0].ID, key)
			}
		}
	})
}

func TestVolumesAreFoundByTheirHost(t *testing.T) {
	f, _, _ := twoPools(t)
	v := f.make(blockstorage.VolumeSpec{SizeGiB: 1})
	require.Equal(t, "slow", v.Pool)
	for host, want := range map[string]int{
		f.HostOf(v): 1, "nephos@slow": 1, "nephos": 1, "nephos@fast#fast": 0, "nephos@fast": 0, "slow": 0, "": 0,
	} {
		found, _, err := f.ListVolumes(f.admin, blockstorage.VolumeFilter{AllProjects: true, Match: map[string]string{"host": host}}, nephos.Page{})
		require.NoError(t, err)
		require.Len(t, found, want, host)
	}
}
