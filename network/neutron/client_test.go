package neutron_test

import (
	"context"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/agents"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/attributestags"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/external"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/extraroutes"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/networkipavailabilities"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/portsbinding"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/provider"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/quotas"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"github.com/gophercloud/gophercloud/v2/pagination"
	"github.com/stretchr/testify/require"
)

func TestGophercloud(t *testing.T) {
	c := newCloud(t)
	ctx := t.Context()
	red, admin := c.client("red"), c.client("admin")

	up := true
	pub, err := networks.Create(ctx, admin, external.CreateOptsExt{
		CreateOptsBuilder: provider.CreateOptsExt{
			CreateOptsBuilder: networks.CreateOpts{Name: "public", AdminStateUp: &up},
			Segments:          []provider.Segment{{NetworkType: "flat", PhysicalNetwork: "physnet1"}},
		},
		External: &up,
	}).Extract()
	if err != nil {
		// Multiple segments in one request are another extension.
		require.True(t, gophercloud.ResponseCodeIs(err, 400))
		id := c.made("admin", "/v2.0/networks", `{"network": {"name": "public", "router:external": true, "provider:network_type": "flat", "provider:physical_network": "physnet1"}}`)
		pub, err = networks.Get(ctx, admin, id).Extract()
		require.NoError(t, err)
	}
	_, err = subnets.Create(ctx, admin, subnets.CreateOpts{NetworkID: pub.ID, CIDR: "203.0.113.0/24", IPVersion: gophercloud.IPv4}).Extract()
	require.NoError(t, err)

	n, err := networks.Create(ctx, red, networks.CreateOpts{Name: "blue", Description: "d"}).Extract()
	require.NoError(t, err)
	require.Equal(t, "ACTIVE", n.Status)
	require.True(t, n.AdminStateUp)
	gw := "10.0.0.254"
	sub, err := subnets.Create(ctx, red, subnets.CreateOpts{
		NetworkID: n.ID, CIDR: "10.0.0.0/24", IPVersion: gophercloud.IPv4, GatewayIP: &gw, DNSNameservers: []string{"1.1.1.1"},
		AllocationPools: []subnets.AllocationPool{{Start: "10.0.0.10", End: "10.0.0.20"}},
		HostRoutes:      []subnets.HostRoute{{DestinationCIDR: "10.9.0.0/16", NextHop: "10.0.0.3"}},
	}).Extract()
	require.NoError(t, err)
	require.Equal(t, gw, sub.GatewayIP)
	require.Equal(t, "10.0.0.10", sub.AllocationPools[0].Start)
	none := ""
	sub, err = subnets.Update(ctx, red, sub.ID, subnets.UpdateOpts{GatewayIP: &none}).Extract()
	require.NoError(t, err)
	require.Empty(t, sub.GatewayIP)
	_, err = subnets.Update(ctx, red, sub.ID, subnets.UpdateOpts{GatewayIP: &gw}).Extract()
	require.NoError(t, err)

	g, err := groups.Create(ctx, red, groups.CreateOpts{Name: "web"}).Extract()
	require.NoError(t, err)
	require.Len(t, g.Rules, 2)
	rule := rules.CreateOpts{SecGroupID: g.ID, Direction: rules.DirIngress, EtherType: rules.EtherType4, Protocol: rules.ProtocolTCP, PortRangeMin: 80, PortRangeMax: 80, RemoteIPPrefix: "0.0.0.0/0"}
	_, err = rules.Create(ctx, red, rule).Extract()
	require.NoError(t, err)
	_, err = rules.Create(ctx, red, rule).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, 409))

	p, err := ports.Create(ctx, red, ports.CreateOpts{NetworkID: n.ID, Name: "p", SecurityGroups: &[]string{g.ID}}).Extract()
	require.NoError(t, err)
	require.Equal(t, "10.0.0.10", p.FixedIPs[0].IPAddress)
	require.Equal(t, []string{g.ID}, p.SecurityGroups)
	var bound struct {
		ports.Port
		portsbinding.PortsBindingExt
	}
	require.NoError(t, ports.Get(ctx, admin, p.ID).ExtractInto(&bound))
	require.Equal(t, "unbound", bound.VIFType)
	require.Equal(t, "normal", bound.VNICType)
	require.NoError(t, ports.Get(ctx, red, p.ID).ExtractInto(&bound))
	_, err = ports.Update(ctx, red, p.ID, ports.UpdateOpts{AllowedAddressPairs: &[]ports.AddressPair{{IPAddress: "10.0.0.99"}}}).Extract()
	require.NoError(t, err)
	require.True(t, gophercloud.ResponseCodeIs(groups.Delete(ctx, red, g.ID).ExtractErr(), 409))

	r, err := routers.Create(ctx, red, routers.CreateOpts{Name: "r", GatewayInfo: &routers.GatewayInfo{NetworkID: pub.ID}}).Extract()
	require.NoError(t, err)
	require.True(t, *r.GatewayInfo.EnableSNAT)
	i, err := routers.AddInterface(ctx, red, r.ID, routers.AddInterfaceOpts{SubnetID: sub.ID}).Extract()
	require.NoError(t, err)
	require.Equal(t, sub.ID, i.SubnetID)
	r, err = extraroutes.Add(ctx, red, r.ID, extraroutes.Opts{Routes: &[]routers.Route{{DestinationCIDR: "10.8.0.0/16", NextHop: "10.0.0.77"}}}).Extract()
	require.NoError(t, err)
	require.Len(t, r.Routes, 1)
	_, err = routers.Update(ctx, red, r.ID, routers.UpdateOpts{Routes: &[]routers.Route{}}).Extract()
	require.NoError(t, err)

	f, err := floatingips.Create(ctx, red, floatingips.CreateOpts{FloatingNetworkID: pub.ID, PortID: p.ID}).Extract()
	require.NoError(t, err)
	require.Equal(t, "10.0.0.10", f.FixedIP)
	require.Equal(t, r.ID, f.RouterID)
	f, err = floatingips.Update(ctx, red, f.ID, floatingips.UpdateOpts{PortID: &none}).Extract()
	require.NoError(t, err)
	require.Empty(t, f.PortID)
	require.Equal(t, "DOWN", f.Status)
	require.NoError(t, floatingips.Delete(ctx, red, f.ID).ExtractErr())

	_, err = attributestags.ReplaceAll(ctx, red, "networks", n.ID, attributestags.ReplaceAllOpts{Tags: []string{"a", "b"}}).Extract()
	require.NoError(t, err)
	require.NoError(t, attributestags.Add(ctx, red, "networks", n.ID, "c").ExtractErr())
	require.NoError(t, attributestags.Delete(ctx, red, "networks", n.ID, "a").ExtractErr())
	has, err := attributestags.Confirm(ctx, red, "networks", n.ID, "c").Extract()
	require.NoError(t, err)
	require.True(t, has)
	require.Len(t, all(t, networks.List(red, networks.ListOpts{Tags: "b,c"}), networks.ExtractNetworks), 1)
	require.Empty(t, all(t, networks.List(red, networks.ListOpts{Tags: "a"}), networks.ExtractNetworks))
	require.Len(t, all(t, networks.List(red, networks.ListOpts{NotTags: "b"}), networks.ExtractNetworks), 1) // public

	// Pages.
	for range 5 {
		_, err := ports.Create(ctx, red, ports.CreateOpts{NetworkID: n.ID}).Extract()
		require.NoError(t, err)
	}
	require.Len(t, all(t, ports.List(red, ports.ListOpts{Limit: 2, NetworkID: n.ID}), ports.ExtractPorts), 7)

	q, err := quotas.GetDetail(ctx, red, "red").Extract()
	require.NoError(t, err)
	require.Equal(t, 7, q.Port.Used)
	ten := 10
	_, err = quotas.Update(ctx, admin, "red", quotas.UpdateOpts{Port: &ten}).Extract()
	require.NoError(t, err)
	require.True(t, gophercloud.ResponseCodeIs(quotas.Update(ctx, red, "red", quotas.UpdateOpts{Port: &ten}).Err, 403))
	require.NotEmpty(t, all(t, extensions.List(red), extensions.ExtractExtensions))
	require.Empty(t, all(t, agents.List(admin, agents.ListOpts{}), agents.ExtractAgents))
	avail, err := networkipavailabilities.Get(ctx, admin, n.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, "11", avail.TotalIPs)
	require.Equal(t, "7", avail.UsedIPs)

	_, err = routers.RemoveInterface(ctx, red, r.ID, routers.RemoveInterfaceOpts{SubnetID: sub.ID}).Extract()
	require.NoError(t, err)
	require.NoError(t, routers.Delete(ctx, red, r.ID).ExtractErr())
	for _, p := range all(t, ports.List(red, ports.ListOpts{NetworkID: n.ID}), ports.ExtractPorts) {
		require.NoError(t, ports.Delete(ctx, red, p.ID).ExtractErr())
	}
	require.NoError(t, networks.Delete(ctx, red, n.ID).ExtractErr())
	require.NoError(t, groups.Delete(ctx, red, g.ID).ExtractErr())
	require.True(t, gophercloud.ResponseCodeIs(subnets.Get(ctx, red, sub.ID).Err, 404))
}

func all[T any](t *testing.T, p pagination.Pager, extract func(pagination.Page) ([]T, error)) []T {
	t.Helper()
	var out []T
	require.NoError(t, p.EachPage(context.Background(), func(_ context.Context, page pagination.Page) (bool, error) {
		items, err := extract(page)
		out = append(out, items...)
		return true, err
	}))
	return out
}
