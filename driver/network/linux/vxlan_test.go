//go:build linux

package linux_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/network/linux"
)

// TestVXLAN has two hosts on a wire, and a network on both.
func TestVXLAN(t *testing.T) {
	left, right := newHost(t), newHost(t)
	inside(t, left.ns, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "wire"}, PeerName: "wire", PeerNamespace: netlink.NsFd(right.ns)})
	})
	n := private(0)
	n.Segment = network.Segment{Type: "vxlan", ID: 77}
	g := stateful(rule("egress", ""), rule("ingress", "udp", 9))
	var guests []*guest
	var sites []*site
	for i, h := range []*host{left, right} {
		own := fmt.Sprintf("192.168.50.%d", i+1)
		s := &site{T: t, host: h}
		inside(t, h.ns, func() error {
			l, err := netlink.LinkByName("wire")
			if err != nil {
				return err
			}
			a, err := netlink.ParseAddr(own + "/24")
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(l, a); err != nil {
				return err
			}
			if err := netlink.LinkSetUp(l); err != nil {
				return err
			}
			s.d, err = linux.Open(t.Context(), linux.Config{CloudID: t.Name(), Dir: h.dir, Underlay: &linux.Underlay{
				Address: addr(own), Peers: []netip.Addr{addr(fmt.Sprintf("192.168.50.%d", 2-i))},
			}})
			return err
		})
		t.Cleanup(func() { _ = s.d.Close() })
		s.network("a", n)
		s.group("g", g)
		guests = append(guests, s.guest(own, port("a", fmt.Sprintf("10.0.0.%d", 10+i), "g")))
		sites = append(sites, s)
	}
	// Each host serves its own guests, though it hears the other's.
	for _, g := range guests {
		ack := g.lease(true)
		require.Equal(t, g.port.Addresses[0].IP, g.ip)
		require.Equal(t, "169.254.169.254", ack.ServerIdentifier().String())
	}
	open, shut := guests[1].inbox(9), guests[1].inbox(10)
	guests[0].send("", "10.0.0.11:10", "blocked")
	guests[0].send("", "10.0.0.11:9", "passes")
	require.Equal(t, "10.0.0.10 passes", open.next())
	require.True(t, shut.empty())
	for i, s := range sites {
		s.network("a", n) // and again
		require.NoError(t, s.d.DeletePort(t.Context(), id(fmt.Sprintf("192.168.50.%d", i+1))))
		require.NoError(t, s.d.DeleteSecurityGroup(t.Context(), id("g")))
		require.NoError(t, s.d.DeleteNetwork(t.Context(), id("a")))
		require.Empty(t, s.host.namespaces())
	}
}
