package network_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/network"
)

// Both databases page by every key that lists can be sorted by, and compare every
// attribute that lists can be filtered by.
func TestListsBySortKeysAndFilters(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		red := as("red")
		nets, err := w.CreateNetworks(red, []network.NetworkSpec{{Name: "a"}, {Name: "b"}})
		require.NoError(t, err)
		var subnets []network.SubnetSpec
		for i, n := range nets {
			subnets = append(subnets, network.SubnetSpec{NetworkID: n.ID, IPVersion: 4, CIDR: netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/24", i))})
		}
		_, err = w.CreateSubnets(red, subnets)
		require.NoError(t, err)

		lists := map[string]func(f network.Filter, p nephos.Page) (ids []string, err error){
			"network": func(f network.Filter, p nephos.Page) (ids []string, err error) {
				all, _, err := w.ListNetworks(red, f, p)
				for _, n := range all {
					ids = append(ids, n.ID)
				}
				return ids, err
			},
			"subnet": func(f network.Filter, p nephos.Page) (ids []string, err error) {
				all, _, err := w.ListSubnets(red, f, p)
				for _, n := range all {
					ids = append(ids, n.ID)
				}
				return ids, err
			},
		}
		for resource, list := range lists {
			for _, key := range network.SortKeys(resource) {
				for _, desc := range []bool{false, true} {
					by := []nephos.SortKey{{Key: key, Desc: desc}}
					whole, err := list(nil, nephos.Page{Sort: by})
					require.NoError(t, err, "%s by %s", resource, key)
					require.Len(t, whole, 2)
					rest, err := list(nil, nephos.Page{Sort: by, Limit: 1, Marker: whole[0]})
					require.NoError(t, err, "%s by %s", resource, key)
					require.Equal(t, whole[1:], rest, "%s by %s", resource, key)
				}
			}
		}
		require.Subset(t, network.SortKeys("network"), []string{"status"})
		for _, c := range []struct {
			resource, name, value string
			want                  int
		}{
			{"network", "status", "ACTIVE", 2},
			{"network", "status", "DOWN", 0},
			{"subnet", "subnetpool_id", "", 2},
			{"subnet", "subnetpool_id", nets[0].ID, 0},
		} {
			got, err := lists[c.resource](network.Filter{c.name: {c.value}}, nephos.Page{})
			require.NoError(t, err)
			require.Len(t, got, c.want, "%+v", c)
		}
	})
}
