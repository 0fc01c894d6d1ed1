//go:build linux

package linux_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/stretchr/testify/require"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/network/linux"
)

// site is a host with a driver, and shorthands to build on it.
type site struct {
	*testing.T
	host *host
	d    *linux.Driver
}

func newSite(t *testing.T) *site {
	h := newHost(t)
	return &site{T: t, host: h, d: h.open()}
}

func id(name string) string { return nephos.ChildID("test", name) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func private(third int) network.Network {
	return network.Network{
		Name: "private", MTU: 1442, DNSDomain: "example.org.",
		Subnets: []network.Subnet{{
			ID: "sub", CIDR: netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/24", third)), Gateway: addr(fmt.Sprintf("10.0.%d.1", third)),
			DHCP: true, DNS: []netip.Addr{addr("10.0.0.2"), addr("10.0.0.3")},
		}},
	}
}

func (s *site) network(name string, n network.Network) {
	s.Helper()
	require.NoError(s, s.d.EnsureNetwork(s.Context(), id(name), n))
}

func (s *site) group(name string, g network.SecurityGroup) {
	s.Helper()
	require.NoError(s, s.d.EnsureSecurityGroup(s.Context(), id(name), g))
}

// port describes a port with a card whose address follows from the IP's name.
func port(net, ip string, groups ...string) network.Port {
	a := addr(ip).As4()
	p := network.Port{
		NetworkID: id(net), MAC: fmt.Sprintf("fa:16:3e:%02x:%02x:%02x", net[len(net)-1], a[2], a[3]),
		Addresses: []network.Address{{SubnetID: "sub", IP: addr(ip)}}, Hostname: "h" + fmt.Sprint(a[3]), AdminUp: true, PortSecurity: true,
	}
	for _, g := range groups {
		p.SecurityGroups = append(p.SecurityGroups, id(g))
	}
	return p
}

// guest plugs a port and boots a guest on it.
func (s *site) guest(name string, p network.Port) *guest {
	s.Helper()
	b, err := s.d.EnsurePort(s.Context(), id(name), p)
	require.NoError(s, err)
	return boot(s, b, p)
}

func rule(direction, proto string, ports ...int) network.Rule {
	r := network.Rule{ID: fmt.Sprint(direction, proto, ports), Direction: direction, Protocol: proto}
	if len(ports) > 0 {
		r.PortMin, r.PortMax = &ports[0], &ports[len(ports)-1]
	}
	return r
}

func stateful(rules ...network.Rule) network.SecurityGroup {
	return network.SecurityGroup{Stateful: true, Rules: rules}
}

func TestLease(t *testing.T) {
	s := newSite(t)
	events, err := s.d.Events(t.Context())
	require.NoError(t, err)
	n := private(0)
	n.Subnets[0].Routes = []network.Route{{Destination: netip.MustParsePrefix("10.9.0.0/16"), NextHop: addr("10.0.0.7")}}
	s.network("a", n)
	p := port("a", "10.0.0.10")
	p.DHCPOptions = []network.DHCPOption{{Name: "tftp-server", Value: "boot.example.org"}, {Name: "mtu", Value: "70000"}, {Name: "99999", Value: "x"}}
	g := s.guest("p", p) // without a group: DHCP passes all the same
	ack := g.lease(true)
	require.Equal(t, "10.0.0.10", g.ip.String())
	require.Equal(t, "ffffff00", ack.SubnetMask().String())
	require.Equal(t, "10.0.0.1", ack.Router()[0].String())
	require.Len(t, ack.DNS(), 2)
	require.Equal(t, "h10", ack.HostName())
	require.Equal(t, "example.org", ack.DomainName())
	require.Equal(t, time.Hour, ack.IPAddressLeaseTime(0))
	require.Equal(t, "169.254.169.254", ack.ServerIdentifier().String())
	require.Equal(t, "boot.example.org", ack.TFTPServerName())
	require.Equal(t, []byte{1442 >> 8, 1442 & 255}, ack.GetOneOption(dhcpv4.OptionInterfaceMTU))
	require.Equal(t, "169.254.169.254/32", ack.ClasslessStaticRoute()[0].Dest.String())
	require.Len(t, ack.ClasslessStaticRoute(), 3)
	e := <-events
	require.Equal(t, network.Event{Kind: "dhcp", PortID: id("p"), IP: addr("10.0.0.10"), At: e.At}, e)
	require.False(t, e.At.IsZero())
	c, err := s.d.PortStatistics(t.Context(), id("p"))
	require.NoError(t, err)
	require.NotZero(t, c.RxBytes)
	require.NotZero(t, c.TxBytes)
}

func TestSecurityGroups(t *testing.T) {
	s := newSite(t)
	s.network("a", private(0))
	egress := rule("egress", "")
	s.group("clients", stateful(egress, rule("ingress", "udp", 9)))
	web := stateful(egress, rule("ingress", "udp", 9), rule("ingress", "tcp", 22, 23))
	web.Rules = append(web.Rules, network.Rule{Direction: "ingress", Protocol: "tcp", RemoteGroup: id("clients")})
	s.group("web", web)
	a, b := s.guest("a", port("a", "10.0.0.10", "clients")), s.guest("b", port("a", "10.0.0.11", "web"))
	a.lease(true)
	b.lease(true)
	for _, p := range []int{22, 24} {
		echo(t, b.ns, p, "b")
	}
	echo(t, a.ns, 22, "a")

	// What a rule allows passes, and its answers; what none does is dropped.
	require.Equal(t, "10.0.0.10 b", call(t, a.ns, "", "10.0.0.11:22"))
	refused(t, a.ns, "10.0.0.11:24")
	refused(t, b.ns, "10.0.0.10:22") // a accepts no TCP
	open, shut := b.inbox(9), b.inbox(10)
	a.send("", "10.0.0.11:10", "blocked")
	a.send("", "10.0.0.11:9", "passes")
	require.Equal(t, "10.0.0.10 passes", open.next())
	require.True(t, shut.empty())

	// A remote group by its members, changed in place.
	members := stateful(egress)
	members.Members = []netip.Addr{addr("10.0.0.10"), addr("10.0.0.10"), addr("2001:db8::1")}
	s.group("clients", members)
	require.Equal(t, "10.0.0.10 b", call(t, a.ns, "", "10.0.0.11:24"))
	s.group("clients", stateful(egress))
	refused(t, a.ns, "10.0.0.11:24")

	// A spoofed source is dropped; an allowed pair is not.
	a.also("10.0.0.99/24")
	a.send("10.0.0.99:5000", "10.0.0.11:9", "spoofed")
	a.send("10.0.0.10:5000", "10.0.0.11:9", "own")
	require.Equal(t, "10.0.0.10 own", open.next())
	p := a.port
	p.AllowedPairs = []network.AllowedPair{{IP: netip.MustParsePrefix("10.0.0.96/29")}}
	_, err := s.d.EnsurePort(t.Context(), id("a"), p)
	require.NoError(t, err)
	a.send("10.0.0.99:5000", "10.0.0.11:9", "pair")
	require.Equal(t, "10.0.0.99 pair", open.next())

	// Egress rules hold too.
	s.group("clients", stateful(rule("egress", "udp", 9)))
	refused(t, a.ns, "10.0.0.11:22")
	// A group that goes takes its rules along.
	require.NoError(t, s.d.DeleteSecurityGroup(t.Context(), id("web")))
	s.group("clients", stateful(egress))
	refused(t, a.ns, "10.0.0.11:22")

	// Without port security nothing is filtered, either way.
	for name, g := range map[string]*guest{"a": a, "b": b} {
		p := g.port
		p.PortSecurity, p.SecurityGroups = false, nil
		_, err := s.d.EnsurePort(t.Context(), id(name), p)
		require.NoError(t, err)
	}
	a.also("10.0.0.200/24")
	a.send("10.0.0.200:5000", "10.0.0.11:10", "free")
	require.Equal(t, "10.0.0.200 free", shut.next())
}

func TestEstablishedConnections(t *testing.T) {
	s := newSite(t)
	s.network("a", private(0))
	s.group("g", stateful(rule("egress", ""), rule("ingress", "udp", 8, 9)))
	stateless := network.SecurityGroup{Rules: []network.Rule{rule("egress", ""), rule("ingress", "udp", 9)}}
	s.group("stateless", stateless)
	a, b := s.guest("a", port("a", "10.0.0.10", "g")), s.guest("b", port("a", "10.0.0.11", "g"))
	a.lease(true)
	b.lease(true)

	// An answer passes to a port that no rule opens.
	question, answer := b.inbox(9), a.inbox(5000)
	_ = answer.c.Close()
	ask := func() net.PacketConn {
		var c net.PacketConn
		inside(t, a.ns, func() (err error) {
			c, err = net.ListenPacket("udp4", "0.0.0.0:5000")
			return err
		})
		t.Cleanup(func() { _ = c.Close() })
		_, err := c.WriteTo([]byte("hello"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 11), Port: 9})
		require.NoError(t, err)
		return c
	}
	c := ask()
	require.Equal(t, "10.0.0.10 hello", question.next())
	reply := func(text string) {
		_, err := question.c.WriteToUDPAddrPort([]byte(text), netip.MustParseAddrPort("10.0.0.10:5000"))
		require.NoError(t, err)
	}
	reply("answer")
	in := &inbox{t: t, c: c.(*net.UDPConn)}
	require.Equal(t, "10.0.0.11 answer", in.next())

	// The rule gone, the open connection is cut: b's side sends in vain.
	s.group("g", stateful(rule("egress", ""), rule("ingress", "udp", 8)))
	ctl := a.inbox(8)
	reply("late")
	b.send("", "10.0.0.10:8", "mark")
	require.Equal(t, "10.0.0.11 mark", ctl.next())
	require.True(t, in.empty())

	// A stateless group lets the question out, but not the answer in.
	pa := a.port
	pa.SecurityGroups = []string{id("stateless")}
	_, err := s.d.EnsurePort(t.Context(), id("a"), pa)
	require.NoError(t, err)
	s.group("g", stateful(rule("egress", ""), rule("ingress", "udp", 8, 9)))
	_, err = c.WriteTo([]byte("again"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 11), Port: 9})
	require.NoError(t, err)
	require.Equal(t, "10.0.0.10 again", question.next())
	nine := a.inbox(9)
	reply("unwanted")
	b.send("", "10.0.0.10:9", "mark")
	require.Equal(t, "10.0.0.11 mark", nine.next())
	require.True(t, in.empty())
}

func TestOverlappingNetworks(t *testing.T) {
	s := newSite(t)
	s.group("g", stateful(rule("egress", ""), rule("ingress", "tcp", 22), rule("ingress", "udp", 9)))
	s.group("none", stateful(rule("egress", ""), rule("ingress", "udp", 8)))
	guests := map[string]*guest{}
	for _, n := range []string{"net1", "net2"} {
		s.network(n, private(0))
		groups := "g"
		if n == "net2" {
			groups = "none"
		}
		guests[n+"a"] = s.guest(n+"a", port(n, "10.0.0.10", "g"))
		guests[n+"b"] = s.guest(n+"b", port(n, "10.0.0.11", groups))
		guests[n+"a"].lease(true)
		guests[n+"b"].lease(true)
		echo(t, guests[n+"b"].ns, 22, n)
	}
	// An open connection of one network does not let in its twin in the other,
	// which has the same addresses and ports.
	one, two := guests["net1b"].inbox(9), guests["net2b"].inbox(9)
	guests["net1a"].send("10.0.0.10:5000", "10.0.0.11:9", "hello")
	require.Equal(t, "10.0.0.10 hello", one.next())
	_, err := one.c.WriteToUDPAddrPort([]byte("answer"), netip.MustParseAddrPort("10.0.0.10:5000"))
	require.NoError(t, err)
	mark := guests["net2b"].inbox(8)
	guests["net2a"].send("10.0.0.10:5000", "10.0.0.11:9", "twin")
	guests["net2a"].send("", "10.0.0.11:8", "mark")
	require.Equal(t, "10.0.0.10 mark", mark.next())
	require.True(t, two.empty())

	require.Equal(t, "10.0.0.10 net1", call(t, guests["net1a"].ns, "", "10.0.0.11:22"))
	refused(t, guests["net2a"].ns, "10.0.0.11:22")
	p := guests["net2b"].port
	p.SecurityGroups = []string{id("g")}
	_, err = s.d.EnsurePort(t.Context(), id("net2b"), p)
	require.NoError(t, err)
	require.Equal(t, "10.0.0.10 net2", call(t, guests["net2a"].ns, "", "10.0.0.11:22"))
	require.Equal(t, "10.0.0.10 net1", call(t, guests["net1a"].ns, "", "10.0.0.11:22"))
}
