package network_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	host "github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/network"
)

func TestPortGoesToItsHostWithWhatItNeeds(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		n, sub := w.net(as("red"), "n", "10.0.0.0/24")
		spec := network.PortSpec{ProjectID: "red", NetworkID: n.ID, DeviceID: "server", DeviceOwner: "compute:nova", Host: "h1", Hostname: "web"}
		_, err := w.EnsurePort(as("red"), "key", spec)
		require.ErrorIs(t, err, nephos.ErrForbidden)
		p, err := w.EnsurePort(service(), "key", spec)
		require.NoError(t, err)
		again, err := w.EnsurePort(service(), "key", spec)
		require.NoError(t, err)
		require.Equal(t, p.ID, again.ID)

		sent := w.fleet.take() // before any work has run
		require.Equal(t, []driver.Kind{driver.KindNetwork, driver.KindSecurityGroup, driver.KindPort}, kinds(sent))
		nw := decode[host.Network](t, sent[0].Object)
		require.Equal(t, host.Segment{Type: "vxlan", ID: 1}, nw.Segment)
		require.Equal(t, sent[0].Revision, nw.Revision)
		require.Equal(t, netip.MustParseAddr("10.0.0.1"), nw.Subnets[0].Gateway)
		g := decode[host.SecurityGroup](t, sent[1].Object)
		require.Len(t, g.Rules, 4)
		require.Equal(t, []netip.Addr{netip.MustParseAddr("10.0.0.2")}, g.Members)
		hp := decode[host.Port](t, sent[2].Object)
		require.Equal(t, []host.Address{{SubnetID: sub.ID, IP: netip.MustParseAddr("10.0.0.2")}}, hp.Addresses)
		require.Equal(t, "web", hp.Hostname)
		require.Equal(t, p.SecurityGroups, hp.SecurityGroups)

		// Nobody has answered: it is sent again, the same revision.
		w.clock.Advance(6 * time.Second)
		w.settle()
		for _, o := range w.fleet.take() {
			if o.Kind == driver.KindPort {
				require.Equal(t, sent[2].Revision, o.Revision)
			}
		}
		for _, o := range sent {
			require.NoError(t, w.Reported(context.Background(), driver.Report{Host: "h1", Kind: o.Kind, ID: o.ID, Revision: o.Revision, State: "up"}))
		}
		got, err := w.Port(as("red"), p.ID)
		require.NoError(t, err)
		require.Equal(t, "ACTIVE", got.Status)
		w.clock.Advance(time.Hour)
		w.settle()
		require.Empty(t, w.fleet.take())

		// Republishing tells all of it again.
		var again3 []driver.Object
		require.NoError(t, w.Republish(context.Background(), "h1", func(o driver.Object) error { again3 = append(again3, o); return nil }))
		require.Len(t, again3, 3)

		// Moving leaves tombstones behind.
		spec.Host = "h2"
		_, err = w.EnsurePort(service(), "key", spec)
		require.NoError(t, err)
		all := w.obey()
		require.Contains(t, kindsOn(all, "h2", false), driver.KindPort)
		require.ElementsMatch(t, []driver.Kind{driver.KindPort, driver.KindNetwork, driver.KindSecurityGroup}, kindsOn(all, "h1", true))

		require.NoError(t, w.ReleasePort(service(), "key"))
		require.NoError(t, w.ReleasePort(service(), "key"))
		_, err = w.Port(as("red"), p.ID)
		require.ErrorIs(t, err, nephos.ErrNotFound)
		require.Equal(t, p.FixedIPs[0].IP, w.port(as("red"), network.PortSpec{NetworkID: n.ID}).FixedIPs[0].IP)
		require.ElementsMatch(t, []driver.Kind{driver.KindPort, driver.KindNetwork, driver.KindSecurityGroup}, kindsOn(w.obey(), "h2", true))
		require.NoError(t, w.Republish(context.Background(), "h2", func(o driver.Object) error { t.Fatal(o); return nil }))
	})
}

func kinds(in []sent) []driver.Kind {
	var out []driver.Kind
	for _, o := range in {
		out = append(out, o.Kind)
	}
	return out
}

func kindsOn(in []sent, host string, deleted bool) []driver.Kind {
	seen := map[driver.Kind]bool{}
	var out []driver.Kind
	for _, o := range in {
		if o.Host == host && o.Deleted == deleted && !seen[o.Kind] {
			seen[o.Kind] = true
			out = append(out, o.Kind)
		}
	}
	return out
}

func TestMembersReachEveryHost(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		n, _ := w.net(as("red"), "n", "10.0.0.0/24")
		var group string
		for _, h := range []string{"h1", "h2"} {
			p, err := w.EnsurePort(service(), h, network.PortSpec{ProjectID: "red", NetworkID: n.ID, DeviceID: h, Host: h})
			require.NoError(t, err)
			group = p.SecurityGroups[0]
			w.settle()
		}
		for _, h := range []string{"h1", "h2"} {
			o, ok := w.fleet.last(h, driver.KindSecurityGroup, group)
			require.True(t, ok)
			require.Len(t, decode[host.SecurityGroup](t, o).Members, 2)
		}
		w.obey()
		// A rule that names another group brings that group to the host.
		other, err := w.CreateSecurityGroups(as("red"), []network.SecurityGroupSpec{{Name: "other"}})
		require.NoError(t, err)
		w.port(as("red"), network.PortSpec{NetworkID: n.ID, SecurityGroups: &[]string{other[0].ID}})
		require.Empty(t, w.obey())
		rules, err := w.CreateSecurityGroupRules(as("red"), []network.RuleSpec{{GroupID: group, Direction: "ingress", RemoteGroup: other[0].ID}})
		require.NoError(t, err)
		w.settle()
		o, ok := w.fleet.last("h1", driver.KindSecurityGroup, other[0].ID)
		require.True(t, ok)
		require.Equal(t, []netip.Addr{netip.MustParseAddr("10.0.0.4")}, decode[host.SecurityGroup](t, o).Members)
		w.obey()
		require.NoError(t, w.DeleteSecurityGroupRule(as("red"), rules[0].ID))
		w.settle()
		o, ok = w.fleet.last("h1", driver.KindSecurityGroup, other[0].ID)
		require.True(t, ok)
		require.True(t, o.Deleted)
	})
}

func TestPortThatDoesNotComeUp(t *testing.T) {
	w := sqlite(t, nil)
	n, _ := w.net(as("red"), "n", "10.0.0.0/24")
	p, err := w.EnsurePort(service(), "k", network.PortSpec{ProjectID: "red", NetworkID: n.ID, DeviceID: "s", Host: "h1"})
	require.NoError(t, err)
	w.fleet.lost = true
	w.settle()
	w.clock.Advance(3 * time.Minute)
	w.settle()
	p, err = w.Port(as("red"), p.ID)
	require.NoError(t, err)
	require.Equal(t, "ERROR", p.Status)
	require.Contains(t, p.Reason, "h1")
	w.fleet.lost = false
	w.clock.Advance(time.Hour)
	w.obey()
	p, err = w.Port(as("red"), p.ID)
	require.NoError(t, err)
	require.Equal(t, "ACTIVE", p.Status)
}

func TestRouterAndFloatingIP(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ext, extSub := w.public()
		n, sub := w.net(as("red"), "n", "10.0.0.0/24")
		rs, err := w.CreateRouters(as("red"), []network.RouterSpec{{Name: "r", Gateway: &network.GatewaySpec{NetworkID: ext.ID}}})
		require.NoError(t, err)
		r := rs[0]
		require.Equal(t, []network.FixedIP{{SubnetID: extSub.ID, IP: netip.MustParseAddr("203.0.113.2")}}, r.GatewayIPs)
		p, err := w.EnsurePort(service(), "k", network.PortSpec{ProjectID: "red", NetworkID: n.ID, DeviceID: "server", Host: "h2"})
		require.NoError(t, err)
		_, err = w.CreateFloatingIPs(as("red"), []network.FloatingIPSpec{{NetworkID: ext.ID, PortID: p.ID}})
		require.EqualError(t, err, "External network "+ext.ID+" is not reachable from subnet "+sub.ID+".  Therefore, cannot associate Port "+p.ID+" with a Floating IP.")
		i, err := w.AddRouterInterface(as("red"), r.ID, network.InterfaceRequest{SubnetID: sub.ID})
		require.NoError(t, err)
		_, err = w.AddRouterInterface(as("red"), r.ID, network.InterfaceRequest{SubnetID: sub.ID})
		require.EqualError(t, err, "Bad router request: Router already has a port on subnet "+sub.ID+".")
		fips, err := w.CreateFloatingIPs(as("red"), []network.FloatingIPSpec{{NetworkID: ext.ID, PortID: p.ID}})
		require.NoError(t, err)
		f := fips[0]
		require.Equal(t, "10.0.0.2", f.FixedAddress.String())
		require.Equal(t, "DOWN", f.Status)

		// No host can route yet; the first that can gets the router.
		w.obey()
		w.beat("h9", "RouterDriver")
		w.beat("h1", "RouterDriver")
		w.beat("h2")
		w.settle()
		o, ok := w.fleet.last("h1", driver.KindRouter, r.ID)
		require.True(t, ok)
		spec := decode[host.Router](t, o)
		require.Len(t, spec.Interfaces, 1)
		require.Equal(t, i.PortID, spec.Interfaces[0].PortID)
		require.Equal(t, netip.MustParsePrefix("10.0.0.1/24"), spec.Interfaces[0].Addresses[0])
		require.Equal(t, []netip.Addr{netip.MustParseAddr("203.0.113.1")}, spec.Gateway.NextHops)
		require.True(t, spec.Gateway.SNAT)
		require.Equal(t, []host.FloatingIP{{ID: f.ID, External: f.Address, Fixed: f.FixedAddress}}, spec.FloatingIPs)
		for _, id := range []string{ext.ID, n.ID} {
			_, ok := w.fleet.last("h1", driver.KindNetwork, id)
			require.True(t, ok)
		}
		w.obey()
		f, err = w.FloatingIP(as("red"), f.ID)
		require.NoError(t, err)
		require.Equal(t, "ACTIVE", f.Status)
		views, err := w.PortsOf(as("red"), "server")
		require.NoError(t, err)
		require.Equal(t, "n", views[0].Network.Name)
		require.Equal(t, f.ID, views[0].FloatingIPs[0].ID)

		_, err = w.RemoveRouterInterface(as("red"), r.ID, network.InterfaceRequest{SubnetID: sub.ID})
		require.ErrorContains(t, err, "required by one or more floating IPs")
		_, err = w.UpdateRouter(as("red"), r.ID, network.RouterUpdate{Gateway: &network.GatewaySpec{}})
		require.ErrorContains(t, err, "required by one or more floating IPs")
		require.ErrorContains(t, w.DeletePort(as("red"), i.PortID), "cannot be deleted directly via the port API: has device owner network:router_interface")
		_, err = w.UpdateRouter(as("red"), r.ID, network.RouterUpdate{Routes: &[]network.Route{{netip.MustParsePrefix("10.9.0.0/24"), netip.MustParseAddr("10.8.0.1")}}})
		require.ErrorContains(t, err, "the nexthop is not connected with router")
		_, err = w.AddRoutes(as("red"), r.ID, []network.Route{{netip.MustParsePrefix("10.9.0.0/24"), netip.MustParseAddr("10.0.0.77")}})
		require.NoError(t, err)
		_, err = w.RemoveRoutes(as("red"), r.ID, []network.Route{{netip.MustParsePrefix("10.9.0.0/24"), netip.MustParseAddr("10.0.0.77")}})
		require.NoError(t, err)

		// The server goes: the floating IP is free, and may go elsewhere.
		require.NoError(t, w.ReleasePort(service(), "k"))
		f, err = w.FloatingIP(as("red"), f.ID)
		require.NoError(t, err)
		require.Empty(t, f.PortID)
		require.Equal(t, "DOWN", f.Status)
		require.NoError(t, w.DeleteFloatingIP(as("red"), f.ID))
		require.ErrorContains(t, w.DeleteRouter(as("red"), r.ID), "has ports still attached: ")
		_, err = w.RemoveRouterInterface(as("red"), r.ID, network.InterfaceRequest{PortID: i.PortID})
		require.NoError(t, err)
		require.NoError(t, w.DeleteRouter(as("red"), r.ID))
		w.obey()
		require.NoError(t, w.Republish(context.Background(), "h1", func(o driver.Object) error { t.Fatal(o); return nil }))
		require.NoError(t, w.DeleteNetwork(as("red"), n.ID))
		require.NoError(t, w.DeleteNetwork(admin(), ext.ID))
	})
}

func TestCheckPorts(t *testing.T) {
	w := sqlite(t, nil)
	plans, err := w.CheckPorts(as("red"), nil)
	require.NoError(t, err)
	require.Empty(t, plans)
	n, _ := w.net(as("red"), "n", "10.0.0.0/24")
	ext, _ := w.public()
	plans, err = w.CheckPorts(as("red"), nil)
	require.NoError(t, err)
	require.Equal(t, "n", plans[0].NetworkName)
	_, err = w.CheckPorts(as("red"), []network.PortRequest{{NetworkID: ext.ID}})
	require.ErrorIs(t, err, nephos.ErrForbidden)
	_, err = w.CheckPorts(as("blue"), []network.PortRequest{{NetworkID: n.ID}})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	_, err = w.CheckPorts(as("red"), []network.PortRequest{{NetworkID: n.ID, SecurityGroups: []string{"nope"}}})
	require.EqualError(t, err, "Unable to find security_group with name or id 'nope'")
	plans, err = w.CheckPorts(as("red"), []network.PortRequest{{NetworkID: n.ID, SecurityGroups: []string{"default"}}})
	require.NoError(t, err)
	require.Equal(t, plans[0].SecurityGroupIDs, *plans[0].SecurityGroups)
	require.Len(t, plans[0].SecurityGroupIDs, 1, "the group that came with the network")
	shared, err := w.CreateNetworks(admin(), []network.NetworkSpec{{Shared: ptr(true)}})
	require.NoError(t, err)
	_, err = w.CreateSubnets(admin(), []network.SubnetSpec{{NetworkID: shared[0].ID, IPVersion: 4, CIDR: netip.MustParsePrefix("10.1.0.0/24")}})
	require.NoError(t, err)
	plans, err = w.CheckPorts(as("blue"), []network.PortRequest{{NetworkID: shared[0].ID, SecurityGroups: []string{"default"}}})
	require.NoError(t, err)
	require.Nil(t, plans[0].SecurityGroups, "a project without anything gets it with its first port")
	require.NoError(t, w.DeleteNetwork(admin(), shared[0].ID))
	p := w.port(as("red"), network.PortSpec{NetworkID: n.ID})
	plans, err = w.CheckPorts(as("red"), []network.PortRequest{{PortID: p.ID}})
	require.NoError(t, err)
	require.Equal(t, n.ID, plans[0].NetworkID)
	got, err := w.EnsurePort(service(), "k", network.PortSpec{PortID: p.ID, ProjectID: "red", DeviceID: "s", Host: "h"})
	require.NoError(t, err)
	require.Equal(t, p.ID, got.ID)
	_, err = w.CheckPorts(as("red"), []network.PortRequest{{PortID: p.ID}})
	require.ErrorIs(t, err, nephos.ErrConflict)
	_, err = w.EnsurePort(service(), "k2", network.PortSpec{PortID: p.ID, ProjectID: "red", DeviceID: "s2", Host: "h"})
	require.ErrorIs(t, err, nephos.ErrConflict)
	require.NoError(t, w.ReleasePort(service(), "k"))
	p, err = w.Port(as("red"), p.ID)
	require.NoError(t, err)
	require.Empty(t, p.DeviceID)
	w.net(as("red"), "m", "10.0.0.0/24")
	_, err = w.CheckPorts(as("red"), nil)
	require.EqualError(t, err, "Multiple possible networks found, use a Network ID to be more specific.")
}

func TestManyPortsTellTheirHostsOnce(t *testing.T) {
	w := sqlite(t, nil)
	n, _ := w.net(as("red"), "n", "10.0.0.0/24")
	p, err := w.EnsurePort(service(), "first", network.PortSpec{ProjectID: "red", NetworkID: n.ID, DeviceID: "s", Host: "h1"})
	require.NoError(t, err)
	w.obey()
	for range 20 {
		w.port(as("red"), network.PortSpec{NetworkID: n.ID})
		require.NoError(t, w.queue.Settle(context.Background()))
	}
	w.settle()
	sent := w.fleet.take()
	require.Len(t, sent, 1)
	require.Equal(t, p.SecurityGroups[0], sent[0].ID)
	require.Len(t, decode[host.SecurityGroup](t, sent[0].Object).Members, 21)
}
