package network_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/store"
)

// net makes a network with one IPv4 subnet.
func (w *world) net(ctx context.Context, name, cidr string) (network.Network, network.Subnet) {
	w.t.Helper()
	nets, err := w.CreateNetworks(ctx, []network.NetworkSpec{{Name: name}})
	require.NoError(w.t, err)
	subs, err := w.CreateSubnets(ctx, []network.SubnetSpec{{NetworkID: nets[0].ID, IPVersion: 4, CIDR: netip.MustParsePrefix(cidr)}})
	require.NoError(w.t, err)
	return nets[0], subs[0]
}

// public makes an external network with a subnet.
func (w *world) public() (network.Network, network.Subnet) {
	w.t.Helper()
	nets, err := w.CreateNetworks(admin(), []network.NetworkSpec{{
		Name: "public", External: ptr(true), Provider: &network.Provider{Type: "flat", PhysicalNetwork: "physnet1"},
	}})
	require.NoError(w.t, err)
	subs, err := w.CreateSubnets(admin(), []network.SubnetSpec{{NetworkID: nets[0].ID, IPVersion: 4, CIDR: netip.MustParsePrefix("203.0.113.0/24"), DHCP: ptr(false)}})
	require.NoError(w.t, err)
	return nets[0], subs[0]
}

func (w *world) port(ctx context.Context, spec network.PortSpec) network.Port {
	w.t.Helper()
	ports, err := w.CreatePorts(ctx, []network.PortSpec{spec})
	require.NoError(w.t, err)
	return ports[0]
}

func TestNetworksBelongToProjects(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		red, _ := w.net(as("red"), "red", "10.0.0.0/24")
		require.Equal(t, "vxlan", red.NetworkType)
		require.EqualValues(t, 1, red.SegmentationID)
		require.Equal(t, 1450, red.MTU)
		require.Equal(t, "red", red.ProjectID)

		_, err := w.Network(as("blue"), red.ID)
		require.ErrorIs(t, err, nephos.ErrNotFound)
		_, err = w.Network(context.Background(), red.ID)
		require.ErrorIs(t, err, nephos.ErrUnauthenticated)
		_, err = w.CreateNetworks(as("blue"), []network.NetworkSpec{{Shared: ptr(true)}})
		require.ErrorIs(t, err, nephos.ErrForbidden)
		require.EqualError(t, err, "(rule:create_network and rule:create_network:shared) is disallowed by policy")
		_, err = w.CreateNetworks(as("blue"), []network.NetworkSpec{{Shared: ptr(false)}})
		require.NoError(t, err)

		n, err := w.UpdateNetwork(admin(), red.ID, network.NetworkUpdate{Shared: ptr(true)})
		require.NoError(t, err)
		require.Equal(t, red.Revision+2, n.Revision) // its subnet raised it, too
		_, err = w.Network(as("blue"), red.ID)
		require.NoError(t, err)
		require.ErrorIs(t, w.DeleteNetwork(as("blue"), red.ID), nephos.ErrForbidden) // seen, but not theirs
		list, more, err := w.ListNetworks(as("blue"), nil, nephos.Page{Limit: 1})
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.True(t, more)
		list, more, err = w.ListNetworks(as("blue"), nil, nephos.Page{Limit: 5, Marker: list[0].ID})
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.False(t, more)

		p := w.port(as("blue"), network.PortSpec{NetworkID: red.ID})
		require.ErrorContains(t, w.DeleteNetwork(as("red"), red.ID), p.ID)
		require.NoError(t, w.DeletePort(as("blue"), p.ID))
		_, err = w.UpdateNetwork(network.IfRevision(as("red"), 7), red.ID, network.NetworkUpdate{Name: ptr("x")})
		require.ErrorIs(t, err, nephos.ErrPrecondition)
		require.NoError(t, w.DeleteNetwork(as("red"), red.ID))
		_, err = w.Network(admin(), red.ID)
		require.ErrorIs(t, err, nephos.ErrNotFound)
	})
}

func TestSegmentsAreGivenOutOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		flat := network.NetworkSpec{Provider: &network.Provider{Type: "flat", PhysicalNetwork: "physnet1"}}
		_, err := w.CreateNetworks(admin(), []network.NetworkSpec{flat})
		require.NoError(t, err)
		_, err = w.CreateNetworks(admin(), []network.NetworkSpec{flat})
		require.EqualError(t, err, "Unable to create the flat network. Physical network physnet1 is in use.")
		vlan := network.NetworkSpec{Provider: &network.Provider{Type: "vlan", PhysicalNetwork: "physnet1"}}
		for want := int64(100); want < 102; want++ {
			nets, err := w.CreateNetworks(admin(), []network.NetworkSpec{vlan})
			require.NoError(t, err)
			require.Equal(t, want, nets[0].SegmentationID)
		}
		_, err = w.CreateNetworks(admin(), []network.NetworkSpec{vlan})
		require.ErrorIs(t, err, nephos.ErrUnavailable)

		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = w.CreateNetworks(as("red"), []network.NetworkSpec{{Name: fmt.Sprint(i)}})
			})
		}
		wg.Wait()
		seen := map[int64]bool{}
		for _, err := range errs {
			require.NoError(t, err)
		}
		nets, _, err := w.ListNetworks(as("red"), network.Filter{"provider:network_type": {"vxlan"}}, nephos.Page{})
		require.NoError(t, err)
		require.Len(t, nets, 8)
		for _, n := range nets {
			require.False(t, seen[n.SegmentationID])
			seen[n.SegmentationID] = true
		}
	})
}

func TestRacesOnAddressesAndQuota(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		n, sub := w.net(as("red"), "n", "10.0.0.0/28") // 13 addresses besides the gateway
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := map[netip.Addr]string{}
		full := 0
		for range 16 {
			wg.Go(func() {
				ports, err := w.CreatePorts(as("red"), []network.PortSpec{{NetworkID: n.ID}})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					full++
					require.ErrorIs(t, err, nephos.ErrConflict)
					return
				}
				require.Empty(t, got[ports[0].FixedIPs[0].IP])
				got[ports[0].FixedIPs[0].IP] = ports[0].ID
			})
		}
		wg.Wait()
		require.Len(t, got, 13)
		require.Equal(t, 3, full)
		require.Len(t, must(w.ListSecurityGroups(as("red"), nil, nephos.Page{})), 1)

		// The lowest that is free is the next.
		for _, ip := range []string{"10.0.0.9", "10.0.0.4"} {
			require.NoError(t, w.DeletePort(as("red"), got[netip.MustParseAddr(ip)]))
		}
		require.Equal(t, "10.0.0.4", w.port(as("red"), network.PortSpec{NetworkID: n.ID}).FixedIPs[0].IP.String())
		require.ErrorContains(t, w.DeleteSubnet(as("red"), sub.ID), "One or more ports have an IP allocation from this subnet")

		_, err := w.SetQuotas(admin(), "red", map[string]int{"network": 4})
		require.NoError(t, err)
		made := 0
		for range 8 {
			wg.Go(func() {
				_, err := w.CreateNetworks(as("red"), []network.NetworkSpec{{}})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					made++
				} else {
					require.ErrorIs(t, err, nephos.ErrQuota)
				}
			})
		}
		wg.Wait()
		require.Equal(t, 3, made)
	})
}

func must[T any](v T, _ bool, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestAProjectBeginsWithItsDefaultGroup(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		groups := func(project string) int {
			q, err := w.Quotas(as(project), project, true)
			require.NoError(t, err)
			return q["security_group"].Used
		}
		require.Zero(t, groups("red"))
		limit := func(n int) {
			_, err := w.SetQuotas(admin(), "red", map[string]int{"network": n})
			require.NoError(t, err)
		}
		limit(0)
		_, err := w.CreateNetworks(as("red"), []network.NetworkSpec{{}})
		require.ErrorIs(t, err, nephos.ErrQuota)
		require.Zero(t, groups("red"), "nothing is half done")
		limit(100)
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() { _, errs[i] = w.CreateNetworks(as("red"), []network.NetworkSpec{{}, {}}) })
		}
		wg.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		require.Equal(t, 1, groups("red"))

		// So does a port without groups, on another's network.
		n, err := w.CreateNetworks(admin(), []network.NetworkSpec{{Shared: ptr(true)}})
		require.NoError(t, err)
		w.port(as("blue"), network.PortSpec{NetworkID: n[0].ID, SecurityGroups: &[]string{}})
		require.Equal(t, 1, groups("blue"))

		// Routers have none.
		_, err = w.CreateRouters(as("green"), []network.RouterSpec{{}})
		require.NoError(t, err)
		require.Zero(t, groups("green"))
	})
}

func TestPortAddresses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		n, sub := w.net(as("red"), "n", "10.0.0.0/24")
		ip := netip.MustParseAddr
		p := w.port(as("red"), network.PortSpec{NetworkID: n.ID, FixedIPs: &[]network.FixedIP{{IP: ip("10.0.0.50")}}})
		require.Equal(t, []network.FixedIP{{SubnetID: sub.ID, IP: ip("10.0.0.50")}}, p.FixedIPs)
		require.Len(t, p.SecurityGroups, 1)
		require.Equal(t, "DOWN", p.Status)
		_, err := w.CreatePorts(as("red"), []network.PortSpec{{NetworkID: n.ID, FixedIPs: &[]network.FixedIP{{IP: ip("10.0.0.50")}}}})
		require.EqualError(t, err, "IP address 10.0.0.50 already allocated in subnet "+sub.ID)
		_, err = w.CreatePorts(as("red"), []network.PortSpec{{NetworkID: n.ID, FixedIPs: &[]network.FixedIP{{IP: ip("10.0.1.50")}}}})
		require.ErrorIs(t, err, nephos.ErrInvalid)
		_, err = w.CreatePorts(as("red"), []network.PortSpec{{NetworkID: n.ID, MAC: p.MAC}})
		require.ErrorIs(t, err, nephos.ErrConflict)

		p, err = w.UpdatePort(as("red"), p.ID, network.PortUpdate{FixedIPs: &[]network.FixedIP{{SubnetID: sub.ID}, {IP: ip("10.0.0.60")}}})
		require.NoError(t, err)
		require.Len(t, p.FixedIPs, 2)
		require.Equal(t, ip("10.0.0.50"), p.FixedIPs[0].IP)
		p, err = w.UpdatePort(as("red"), p.ID, network.PortUpdate{FixedIPs: &[]network.FixedIP{{IP: ip("10.0.0.60")}}})
		require.NoError(t, err)
		require.Len(t, p.FixedIPs, 1)
		ports := must(w.ListPorts(as("red"), network.Filter{"fixed_ips": {"ip_address=10.0.0.60", "subnet_id=" + sub.ID}}, nephos.Page{}))
		require.Len(t, ports, 1)
		require.Empty(t, must(w.ListPorts(as("red"), network.Filter{"fixed_ips": {"ip_address=10.0.0.50"}}, nephos.Page{})))

		six, err := w.CreateSubnets(as("red"), []network.SubnetSpec{{
			NetworkID: n.ID, IPVersion: 6, CIDR: netip.MustParsePrefix("fd00::/64"), RAMode: "slaac", AddressMode: "slaac",
		}})
		require.NoError(t, err)
		p = w.port(as("red"), network.PortSpec{NetworkID: n.ID, MAC: "fa:16:3e:00:00:01"})
		require.Equal(t, []network.FixedIP{{SubnetID: sub.ID, IP: ip("10.0.0.2")}, {SubnetID: six[0].ID, IP: ip("fd00::f816:3eff:fe00:1")}}, p.FixedIPs)
	})
}

func TestListsCostTheSameHoweverLong(t *testing.T) {
	w := sqlite(t, nil)
	n, _ := w.net(as("red"), "n", "10.0.0.0/16")
	count := func() int64 {
		ctx, n := store.CountQueries(as("red"))
		_, _, err := w.ListPorts(ctx, nil, nephos.Page{})
		require.NoError(t, err)
		_, _, err = w.ListNetworks(ctx, nil, nephos.Page{})
		require.NoError(t, err)
		_, _, err = w.ListSecurityGroups(ctx, nil, nephos.Page{})
		require.NoError(t, err)
		_, err = w.PortsOf(ctx, "server-1", "server-2")
		require.NoError(t, err)
		return n.Load()
	}
	w.port(as("red"), network.PortSpec{NetworkID: n.ID, DeviceID: "server-1"})
	few := count()
	for range 20 {
		w.port(as("red"), network.PortSpec{NetworkID: n.ID, DeviceID: "server-2"})
	}
	for i := range 5 {
		w.net(as("red"), fmt.Sprint(i), "10.0.0.0/24")
	}
	require.Equal(t, few, count())
}

func TestIdempotencyKeyFindsABulkRequestAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := nephos.WithIdempotency(as("red"), nephos.Idempotency{Key: "k", Digest: "d"})
		specs := []network.NetworkSpec{{Name: "a"}, {Name: "b"}, {Name: "c"}}
		first, err := w.CreateNetworks(ctx, specs)
		require.NoError(t, err)
		again, err := w.CreateNetworks(ctx, specs)
		require.NoError(t, err)
		for i := range first {
			require.Equal(t, first[i].ID, again[i].ID)
			require.Equal(t, specs[i].Name, again[i].Name)
		}
		for _, n := range first {
			require.NoError(t, w.DeleteNetwork(as("red"), n.ID))
		}
		_, err = w.CreateNetworks(ctx, specs)
		require.ErrorIs(t, err, nephos.ErrNotFound)
	})
}
