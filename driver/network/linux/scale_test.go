//go:build linux

package linux_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/network/linux"
)

// TestLargeGroup has more rules and members than fit one message.
func TestLargeGroup(t *testing.T) {
	s := newSite(t)
	s.network("a", private(0))
	g := stateful(rule("egress", ""))
	for i := range 1000 {
		g.Rules = append(g.Rules, rule("ingress", "udp", 1000+i))
	}
	g.Rules = append(g.Rules, network.Rule{Direction: "ingress", RemoteGroup: id("g")})
	for i := range 5000 {
		g.Members = append(g.Members, netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
	}
	g.Members = append(g.Members, addr("10.0.0.10"))
	s.group("g", g)
	a, b := s.guest("a", port("a", "10.0.0.10", "g")), s.guest("b", port("a", "10.0.0.11", "g"))
	a.lease(true)
	b.lease(true)
	last, member := b.inbox(1999), b.inbox(9)
	a.send("", "10.0.0.11:1999", "rule")
	require.Equal(t, "10.0.0.10 rule", last.next())
	a.send("", "10.0.0.11:9", "member")
	require.Equal(t, "10.0.0.10 member", member.next())
}

func TestTapOwner(t *testing.T) {
	h := newHost(t)
	d, err := linux.Open(t.Context(), linux.Config{CloudID: t.Name(), Dir: h.dir, TapUID: 1234, TapGID: 5678})
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	s := &site{T: t, host: h, d: d}
	s.network("a", private(0))
	b, err := d.EnsurePort(t.Context(), id("p"), port("a", "10.0.0.10"))
	require.NoError(t, err)
	ns, err := netns.GetFromPath(b.Namespace)
	require.NoError(t, err)
	defer ns.Close()
	inside(t, ns, func() error {
		l, err := netlink.LinkByName(b.Device)
		if err != nil {
			return err
		}
		tap := l.(*netlink.Tuntap)
		if tap.Owner != 1234 || tap.Group != 5678 || tap.NonPersist {
			return fmt.Errorf("tap of user %d, group %d", tap.Owner, tap.Group)
		}
		return nil
	})
}

// BenchmarkEnsurePort measures a port that is new, and one that is there.
func BenchmarkEnsurePort(b *testing.B) {
	h := newHost(b)
	d := h.open()
	require.NoError(b, d.EnsureNetwork(b.Context(), id("a"), private(0)))
	require.NoError(b, d.EnsureSecurityGroup(b.Context(), id("g"), stateful(rule("egress", ""))))
	ensure := func(i int) {
		p := port("a", "10.0.0.10", "g")
		p.MAC = fmt.Sprintf("fa:16:3e:00:%02x:%02x", i>>8&255, i&255)
		_, err := d.EnsurePort(b.Context(), id(fmt.Sprint(i)), p)
		require.NoError(b, err)
	}
	b.Run("new", func(b *testing.B) {
		for i := range b.N {
			ensure(i)
		}
	})
	b.Run("unchanged", func(b *testing.B) {
		for range b.N {
			ensure(0)
		}
	})
}
