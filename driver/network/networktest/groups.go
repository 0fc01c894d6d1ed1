package networktest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/stretchr/testify/require"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
)

// securityGroups: rules and members change in place, whatever they are.
func securityGroups(s *suite) {
	netID, ports := s.make(2)
	lo, hi, echo := 1, 65535, 8
	var rules []network.Rule
	for i, protocol := range []string{"", "tcp", "udp", "sctp", "icmp", "47", "vrrp"} {
		for _, direction := range []string{"ingress", "egress"} {
			rules = append(rules, network.Rule{ID: s.id(fmt.Sprint(direction, i)), Direction: direction, Protocol: protocol})
		}
	}
	v6 := netip.MustParsePrefix("fd00:77::/64")
	rules = append(
		rules,
		network.Rule{ID: s.id("range"), Direction: "ingress", Protocol: "udp", PortMin: &lo, PortMax: &hi},
		network.Rule{ID: s.id("type"), Direction: "ingress", Protocol: "icmp", PortMin: &echo},
		network.Rule{ID: s.id("six"), Direction: "ingress", IPv6: true, Protocol: "ipv6-icmp", RemotePrefix: v6},
		network.Rule{ID: s.id("other"), Direction: "ingress", IPv6: true, Protocol: "tcp", RemoteGroup: s.id("nobody")},
	)
	g := s.group()
	for i, change := range []func(){
		func() { g.Rules = rules },
		func() { slices.Reverse(g.Rules) },
		func() { g.Members = append(g.Members, netip.MustParseAddr("fd00:77::10")) },
		func() { g.Stateful = false },
		func() { g.Rules, g.Members = nil, nil },
	} {
		change()
		g.Revision = int64(i + 2)
		for range 2 {
			require.NoError(s, s.node.EnsureSecurityGroup(s.ctx, s.id("group"), g))
		}
	}
	for i := range 200 { // a large group
		g.Members = append(g.Members, netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 2)}))
	}
	require.NoError(s, s.node.EnsureSecurityGroup(s.ctx, s.id("group"), g))
	s.reopen()
	s.make(2) // who opened a driver tells it everything again
	p := s.port(netID, 0)
	p.SecurityGroups = append(p.SecurityGroups, s.id("second"))
	_, err := s.node.EnsurePort(s.ctx, ports[0], p)
	require.NoError(s, err, "a group that is not there lets nothing through, and is no error")
	require.NoError(s, s.node.EnsureSecurityGroup(s.ctx, s.id("second"), s.group()))
	for range 2 {
		require.NoError(s, s.node.DeleteSecurityGroup(s.ctx, s.id("second")))
	}
	require.ElementsMatch(s, ports, s.inventory().Ports)
}

// dhcp: subnets and what they hand out come, change and go.
func dhcp(s *suite) {
	netID, ports := s.make(1)
	n := s.network()
	n.DNSDomain = "cloud.example."
	for i, change := range []func(){
		func() { n.Subnets[0].DHCP = false },
		func() { n.Subnets[0].DHCP = true; n.Subnets[0].DNS = nil },
		func() {
			n.Subnets[0].Routes = []network.Route{{Destination: netip.MustParsePrefix("192.0.2.0/24"), NextHop: netip.MustParseAddr("10.77.0.7")}}
		},
		func() { n.Subnets[0].Gateway = netip.Addr{} },
		func() {
			n.Subnets = append(n.Subnets, network.Subnet{
				ID: s.id("six"), CIDR: netip.MustParsePrefix("fd00:77::/64"), Gateway: netip.MustParseAddr("fd00:77::1"),
				DHCP: true, IPv6Mode: "dhcpv6-stateful",
			})
		},
		func() { n.Subnets[1].IPv6Mode = "slaac" },
		func() { n.Subnets = n.Subnets[1:] },
		func() { n.Subnets = nil },
	} {
		change()
		n.Revision = int64(i + 2)
		for range 2 {
			require.NoError(s, s.node.EnsureNetwork(s.ctx, netID, n))
		}
	}
	require.NoError(s, s.node.EnsureNetwork(s.ctx, netID, s.network()))
	p := s.port(netID, 0)
	p.DHCPOptions = []network.DHCPOption{
		{Name: "bootfile-name", Value: "pxelinux.0", IPVersion: 4},
		{Name: "mtu", Value: "1400", IPVersion: 4},
		{Name: "150", Value: "10.77.0.3", IPVersion: 4},
	}
	p.Hostname = "renamed"
	for range 2 {
		_, err := s.node.EnsurePort(s.ctx, ports[0], p)
		require.NoError(s, err)
	}
	s.reopen()
	require.NoError(s, s.node.EnsureNetwork(s.ctx, netID, s.network()))
	_, err := s.node.EnsurePort(s.ctx, ports[0], p)
	require.NoError(s, err)
}

// floatingIPs: they come, move, and go without the router's other traffic.
func floatingIPs(s *suite) {
	s.need(network.AbilityRouter)
	s.make(3)
	netID, extID, id := s.id("network"), s.id("external"), s.id("router")
	require.NoError(s, s.node.EnsureNetwork(s.ctx, extID, s.external()))
	r := s.router(netID, extID)
	fip := func(external, fixed string) network.FloatingIP {
		return network.FloatingIP{ID: s.id(external), External: netip.MustParseAddr(external), Fixed: netip.MustParseAddr(fixed)}
	}
	one, two := fip("192.0.2.20", "10.77.0.10"), fip("192.0.2.21", "10.77.0.11")
	for i, list := range [][]network.FloatingIP{
		{one},
		{one, two},
		{two, one},
		{fip("192.0.2.20", "10.77.0.12"), two}, // moved to another port
		{fip("192.0.2.20", "10.77.0.11"), fip("192.0.2.21", "10.77.0.10")},
		{two},
		nil,
		{one},
	} {
		r.FloatingIPs, r.Revision = list, int64(i+1)
		for range 2 {
			require.NoError(s, s.node.EnsureRouter(s.ctx, id, r))
		}
		if i == 3 {
			s.reopen()
			s.make(3)
			require.NoError(s, s.node.EnsureNetwork(s.ctx, extID, s.external()))
		}
	}
	bad := r
	bad.FloatingIPs = []network.FloatingIP{{ID: s.id("bad"), External: one.External}}
	d := s.driver.(network.RouterDriver)
	require.ErrorIs(s, d.EnsureRouter(s.ctx, id, bad), nephos.ErrInvalid, "no fixed address")
	bad.FloatingIPs, bad.Gateway = []network.FloatingIP{one}, nil
	require.ErrorIs(s, d.EnsureRouter(s.ctx, id, bad), nephos.ErrInvalid, "no gateway")
	require.Equal(s, []string{id}, s.inventory().Routers)
	for range 2 {
		require.NoError(s, s.node.DeleteRouter(s.ctx, id))
	}
	require.Empty(s, s.inventory().Routers)
}

// qos: what a port is promised and denied comes, changes and goes.
func qos(s *suite) {
	s.need(network.AbilityQoS)
	netID, ports := s.make(1)
	rules := s.node.QoSRules()
	require.NotEmpty(s, rules)
	dscp := 46
	kinds := map[string]*network.QoS{
		"bandwidth_limit": {
			Egress: network.Bandwidth{MaxKbps: 10_000, MaxBurstKb: 1000}, Ingress: network.Bandwidth{MaxKbps: 20_000},
		},
		"dscp_marking":      {DSCP: &dscp},
		"minimum_bandwidth": {Egress: network.Bandwidth{MinKbps: 1000}},
		"packet_rate_limit": {Egress: network.Bandwidth{MaxKpps: 10}, Ingress: network.Bandwidth{MaxKpps: 10}},
	}
	p := s.port(netID, 0)
	before, err := s.node.EnsurePort(s.ctx, ports[0], p)
	require.NoError(s, err)
	for kind, q := range kinds {
		p.QoS = q
		p.Revision++
		if !slices.Contains(rules, kind) {
			_, err := s.driver.EnsurePort(s.ctx, ports[0], p)
			require.ErrorIs(s, err, errors.ErrUnsupported, kind)
			continue
		}
		for range 2 {
			b, err := s.node.EnsurePort(s.ctx, ports[0], p)
			require.NoError(s, err, kind)
			require.Equal(s, before, b)
		}
		s.reopen()
		s.make(0)
		_, err := s.node.EnsurePort(s.ctx, ports[0], p)
		require.NoError(s, err, kind)
	}
	if q := kinds["bandwidth_limit"]; slices.Contains(rules, "bandwidth_limit") {
		only := *q
		only.Ingress = network.Bandwidth{}
		for _, q := range []*network.QoS{q, &only, {Ingress: q.Ingress}, {}, nil} {
			p.QoS = q
			p.Revision++
			_, err := s.node.EnsurePort(s.ctx, ports[0], p)
			require.NoError(s, err)
		}
	}
	p.QoS = &network.QoS{Egress: network.Bandwidth{MaxKbps: -1}}
	_, err = s.driver.EnsurePort(s.ctx, ports[0], p)
	require.ErrorIs(s, err, nephos.ErrInvalid)
	require.NoError(s, s.node.DeletePort(s.ctx, ports[0]))
}

// trunks: ports behind a port.
func trunks(s *suite) {
	s.need(network.AbilityTrunk)
	netID, ports := s.make(1)
	otherID := s.id("network two")
	require.NoError(s, s.node.EnsureNetwork(s.ctx, otherID, s.network()))
	sub := func(i, vlan int) network.Port {
		p := s.port(otherID, i)
		p.Parent = &network.Parent{PortID: ports[0], Segmentation: "vlan", ID: vlan}
		return p
	}
	parent, err := s.node.EnsurePort(s.ctx, ports[0], s.port(netID, 0))
	require.NoError(s, err)
	orphan := sub(5, 100)
	orphan.Parent.PortID = s.id("unknown")
	_, err = s.node.EnsurePort(s.ctx, s.id("sub1"), orphan)
	require.ErrorIs(s, err, nephos.ErrConflict, "its parent is not there")
	require.Equal(s, ports, s.inventory().Ports, "half a port is left")
	for range 2 {
		for i := range 2 {
			b, err := s.node.EnsurePort(s.ctx, s.id(fmt.Sprint("sub", i)), sub(5+i, 100+i))
			require.NoError(s, err)
			require.Equal(s, parent.Device, b.Device, "a sub-port is reached through its parent")
		}
	}
	_, err = s.node.EnsurePort(s.ctx, s.id("sub2"), sub(7, 100))
	require.ErrorIs(s, err, nephos.ErrConflict, "another sub-port has the tag")
	require.Len(s, s.inventory().Ports, 3)
	require.ErrorIs(s, s.node.DeletePort(s.ctx, ports[0]), nephos.ErrConflict, "it has sub-ports")
	_, err = s.node.EnsurePort(s.ctx, s.id("sub1"), sub(6, 200))
	require.NoError(s, err, "a tag may change")
	s.reopen()
	require.Len(s, s.inventory().Ports, 3)
	s.make(1)
	require.NoError(s, s.node.EnsureNetwork(s.ctx, otherID, s.network()))
	_, err = s.node.EnsurePort(s.ctx, s.id("sub1"), sub(6, 200))
	require.NoError(s, err)
	bad := sub(8, 4095)
	_, err = s.driver.EnsurePort(s.ctx, s.id("bad"), bad)
	require.ErrorIs(s, err, nephos.ErrInvalid)
	for i := range 2 {
		require.NoError(s, s.node.DeletePort(s.ctx, s.id(fmt.Sprint("sub", i))))
	}
	require.NoError(s, s.node.DeletePort(s.ctx, ports[0]))
	require.Empty(s, s.inventory().Ports)
}

// names: a network's server is told of names and forgets them.
func names(s *suite) {
	s.need(network.AbilityDNS)
	zone := network.Zone{
		Revision: 1, Domain: "cloud.example.",
		Records: []network.Record{
			{Name: "host-0", Addresses: []netip.Addr{netip.MustParseAddr("10.77.0.10")}},
			{Name: "host-1.cloud.example.", Addresses: []netip.Addr{netip.MustParseAddr("10.77.0.11"), netip.MustParseAddr("fd00:77::11")}},
		},
		Forward: []netip.Addr{netip.MustParseAddr("192.0.2.53")},
	}
	require.ErrorIs(s, s.node.EnsureZone(s.ctx, s.id("network"), zone), nephos.ErrConflict, "its network is not there")
	netID, _ := s.make(1)
	for range 2 {
		require.NoError(s, s.node.EnsureZone(s.ctx, netID, zone))
	}
	zone.Revision, zone.Records, zone.Forward = 2, zone.Records[:1], nil
	require.NoError(s, s.node.EnsureZone(s.ctx, netID, zone))
	s.reopen()
	require.NoError(s, s.node.EnsureNetwork(s.ctx, netID, s.network()))
	require.NoError(s, s.node.EnsureZone(s.ctx, netID, zone))
	bad := zone
	bad.Records = []network.Record{{Name: "a name\nwith lines"}}
	require.ErrorIs(s, s.driver.(network.NameServer).EnsureZone(s.ctx, netID, bad), nephos.ErrInvalid)
	for range 2 {
		require.NoError(s, s.node.DeleteZone(s.ctx, netID))
	}
	require.NoError(s, s.node.EnsureZone(s.ctx, netID, zone))
	require.NoError(s, s.node.DeletePort(s.ctx, s.id("port0")))
	require.NoError(s, s.node.DeleteNetwork(s.ctx, netID), "a zone goes with its network")
}
