//go:build linux

package linux_test

import (
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos/driver/network"
)

// six gives the guest an IPv6 address, as a configured guest would have it.
func (g *guest) six(cidr string) {
	g.t.Helper()
	inside(g.t, g.ns, func() error {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", []byte("0"), 0); err != nil {
			return err
		}
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		a.Flags = unix.IFA_F_NODAD
		return netlink.AddrAdd(l, a)
	})
}

func TestIPv6(t *testing.T) {
	s := newSite(t)
	n := private(0)
	n.Subnets = append(n.Subnets, network.Subnet{ID: "six", CIDR: netip.MustParsePrefix("fd00::/64"), Gateway: addr("fd00::1"), IPv6Mode: "slaac"})
	s.network("a", n)
	udp := func(port int) network.Rule {
		r := rule("ingress", "udp", port)
		r.IPv6, r.RemotePrefix = true, netip.MustParsePrefix("fd00::/16")
		return r
	}
	s.group("g", stateful(network.Rule{Direction: "egress", IPv6: true}, udp(9)))
	pa, pb := port("a", "10.0.0.10", "g"), port("a", "10.0.0.11", "g")
	pa.Addresses = append(pa.Addresses, network.Address{SubnetID: "six", IP: addr("fd00::10")})
	pb.Addresses = append(pb.Addresses, network.Address{SubnetID: "six", IP: addr("fd00::11")})
	a, b := s.guest("a", pa), s.guest("b", pb)
	a.six("fd00::10/64")
	b.six("fd00::11/64")
	open, shut := b.inbox(9), b.inbox(10)
	a.send("", "[fd00::11]:10", "blocked")
	a.send("", "[fd00::11]:9", "passes")
	require.Equal(t, "fd00::10 passes", open.next())
	require.True(t, shut.empty())
	a.six("fd00::99/64")
	a.send("[fd00::99]:5000", "[fd00::11]:9", "spoofed")
	a.send("[fd00::10]:5000", "[fd00::11]:9", "own")
	require.Equal(t, "fd00::10 own", open.next())
}
