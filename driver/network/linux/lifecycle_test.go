//go:build linux

package linux_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/nftables"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/network/linux"
)

// whole builds one of everything and returns a function that ensures it again.
func (s *site) whole() func() network.Binding {
	g := stateful(rule("egress", ""), rule("ingress", "tcp", 22))
	g.Rules = append(g.Rules, network.Rule{Direction: "ingress", RemoteGroup: id("other")})
	r := edge()
	r.Interfaces = r.Interfaces[:1]
	r.FloatingIPs = []network.FloatingIP{floating("172.24.4.20", "10.0.1.10")}
	return func() network.Binding {
		s.Helper()
		s.network("net1", private(1))
		s.network("pub", public())
		s.group("g", g)
		b, err := s.d.EnsurePort(s.Context(), id("a"), port("net1", "10.0.1.10", "g", "unknown"))
		require.NoError(s, err)
		require.NoError(s, s.d.EnsureRouter(s.Context(), id("r"), r))
		return b
	}
}

// remove deletes what whole built.
func (s *site) remove() {
	s.Helper()
	require.NoError(s, s.d.DeleteRouter(s.Context(), id("r")))
	require.NoError(s, s.d.DeletePort(s.Context(), id("a")))
	require.NoError(s, s.d.DeleteSecurityGroup(s.Context(), id("g")))
	require.NoError(s, s.d.DeleteNetwork(s.Context(), id("net1")))
	require.NoError(s, s.d.DeleteNetwork(s.Context(), id("pub")))
}

// links names the interfaces in a namespace.
func links(t *testing.T, ns netns.NsHandle) (names []string) {
	inside(t, ns, func() error {
		all, err := net.Interfaces()
		for _, i := range all {
			names = append(names, i.Name)
		}
		return err
	})
	return names
}

func TestTeardownLeavesNothing(t *testing.T) {
	s := newSite(t)
	before := links(t, s.host.ns)
	s.whole()()
	require.Len(t, s.host.namespaces(), 3) // the switch, a service, a router
	require.Len(t, links(t, s.host.ns), len(before)+1)
	s.remove()
	require.Empty(t, s.host.namespaces())
	require.Equal(t, before, links(t, s.host.ns))

	// The same by a driver that has just been opened.
	s.whole()()
	require.NoError(t, s.d.Close())
	s.d = s.host.open()
	s.remove()
	require.Empty(t, s.host.namespaces())
	require.Equal(t, before, links(t, s.host.ns))
}

func TestPacketsFlowWhileClosed(t *testing.T) {
	s := newSite(t)
	ensure := s.whole()
	g := boot(t, ensure(), port("net1", "10.0.1.10"))
	g.lease(true)
	echo(t, g.ns, 22, "a")
	echo(t, g.ns, 23, "a")
	require.NoError(t, s.d.Close())
	require.Equal(t, "172.24.4.1 a", call(t, s.host.ns, "", "172.24.4.20:22"))
	refused(t, s.host.ns, "172.24.4.20:23")
	s.d = s.host.open()
	ensure()
	require.Equal(t, "172.24.4.1 a", call(t, s.host.ns, "", "172.24.4.20:22"))
	refused(t, s.host.ns, "172.24.4.20:23")
	g.lease(true)
}

// nft runs f with the ruleset of a namespace of the driver's.
func nft(t *testing.T, path string, f func(c *nftables.Conn)) {
	ns, err := netns.GetFromPath(path)
	require.NoError(t, err)
	defer ns.Close()
	c, err := nftables.New(nftables.WithNetNSFd(int(ns)))
	require.NoError(t, err)
	f(c)
}

func TestRepair(t *testing.T) {
	s := newSite(t)
	ensure := s.whole()
	b := ensure()
	g := boot(t, b, port("net1", "10.0.1.10"))
	g.lease(true)
	echo(t, g.ns, 22, "a")
	echo(t, g.ns, 23, "a")
	router := filepath.Join(s.host.dir, filepath.Base(b.Namespace)+"-r-"+id("r"))
	inSwitch := func(f func() error) {
		t.Helper()
		ns, err := netns.GetFromPath(b.Namespace)
		require.NoError(t, err)
		defer ns.Close()
		inside(t, ns, f)
	}
	for name, harm := range map[string]func(){
		"rulesets flushed": func() {
			for _, path := range []string{b.Namespace, router} {
				nft(t, path, func(c *nftables.Conn) {
					c.FlushRuleset()
					require.NoError(t, c.Flush())
				})
			}
		},
		"a chain emptied": func() {
			nft(t, b.Namespace, func(c *nftables.Conn) {
				c.FlushChain(&nftables.Chain{Table: &nftables.Table{Family: nftables.TableFamilyINet, Name: "nephos"}, Name: "i-" + id("a")})
				require.NoError(t, c.Flush())
			})
		},
		"the router's name lost": func() {
			require.NoError(t, unix.Unmount(router, unix.MNT_DETACH))
		},
		"bridges and veths gone": func() {
			inSwitch(func() error {
				all, err := netlink.LinkList()
				if err != nil {
					return err
				}
				for _, l := range all {
					if l.Type() == "veth" || l.Type() == "bridge" {
						if err := netlink.LinkDel(l); err != nil {
							return err
						}
					}
				}
				return nil
			})
		},
		"labels and states gone": func() {
			inSwitch(func() error {
				all, err := netlink.LinkList()
				if err != nil {
					return err
				}
				for _, l := range all {
					if l.Type() == "tuntap" {
						return netlink.LinkSetNoMaster(l)
					}
					_ = netlink.LinkSetDown(l)
				}
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			harm()
			require.Equal(t, b, ensure())
			require.Equal(t, "172.24.4.1 a", call(t, s.host.ns, "", "172.24.4.20:22"))
			refused(t, s.host.ns, "172.24.4.20:23")
			g.lease(true)
		})
	}
	inv, err := s.d.List(t.Context())
	require.NoError(t, err)
	require.Len(t, inv.Networks, 2)
	require.Equal(t, []string{id("a")}, inv.Ports)
	require.Equal(t, []string{id("g")}, inv.SecurityGroups) // but neither "other" nor "unknown", which are only named
}

// TestNothingToDo proves that ensuring what is there changes no ruleset.
func TestNothingToDo(t *testing.T) {
	s := newSite(t)
	ensure := s.whole()
	b := ensure()
	rulesets := func() (counts []int) {
		for _, name := range s.host.namespaces() {
			nft(t, filepath.Join(filepath.Dir(b.Namespace), name), func(c *nftables.Conn) {
				chains, err := c.ListChains()
				require.NoError(t, err)
				for _, ch := range chains {
					rules, err := c.GetRules(ch.Table, ch)
					require.NoError(t, err)
					for _, r := range rules {
						counts = append(counts, int(r.Handle)) // a rule made again has another
					}
				}
			})
		}
		return counts
	}
	before := rulesets()
	require.NotEmpty(t, before)
	ensure()
	require.Equal(t, before, rulesets())
}

func TestSwitchGone(t *testing.T) {
	s := newSite(t)
	ensure := s.whole()
	b := ensure()
	require.NoError(t, unix.Unmount(b.Namespace, unix.MNT_DETACH))
	require.NoError(t, os.Remove(b.Namespace))
	require.Equal(t, b, ensure())
	g := boot(t, b, port("net1", "10.0.1.10"))
	g.lease(true)
}

func TestPhysicalNetworks(t *testing.T) {
	s := newSite(t)
	n := public()
	n.Segment.Physical = "elsewhere"
	require.ErrorIs(t, s.d.EnsureNetwork(t.Context(), id("pub"), n), nephos.ErrInvalid)
	s.network("pub", public())
	require.ErrorIs(t, s.d.EnsureNetwork(t.Context(), id("twin"), public()), nephos.ErrConflict)
	_, err := linux.Open(t.Context(), linux.Config{})
	require.ErrorIs(t, err, nephos.ErrInvalid)
}
