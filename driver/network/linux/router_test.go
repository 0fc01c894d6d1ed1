//go:build linux

package linux_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
)

func public() network.Network {
	return network.Network{
		Name: "public", External: true, Segment: network.Segment{Type: "flat", Physical: "physnet"},
		Subnets: []network.Subnet{{ID: "pub", CIDR: netip.MustParsePrefix("172.24.4.0/24"), Gateway: addr("172.24.4.1")}},
	}
}

func foot(name, net, mac, cidr string) network.RouterInterface {
	return network.RouterInterface{PortID: id(name), NetworkID: id(net), MAC: mac, Addresses: []netip.Prefix{netip.MustParsePrefix(cidr)}}
}

func edge() network.Router {
	return network.Router{
		AdminUp: true,
		Interfaces: []network.RouterInterface{
			foot("leg1", "net1", "fa:16:3e:ff:00:01", "10.0.1.1/24"),
			foot("leg2", "net2", "fa:16:3e:ff:00:02", "10.0.2.1/24"),
		},
		Gateway: &network.RouterGateway{
			RouterInterface: foot("gw", "pub", "fa:16:3e:ff:00:03", "172.24.4.10/24"),
			NextHops:        []netip.Addr{addr("172.24.4.1")}, SNAT: true,
		},
	}
}

func floating(external, fixed string) network.FloatingIP {
	return network.FloatingIP{ID: id(external), External: addr(external), Fixed: addr(fixed)}
}

func TestRouter(t *testing.T) {
	s := newSite(t)
	s.group("g", stateful(rule("egress", ""), rule("ingress", "tcp", 22)))
	s.network("net1", private(1))
	s.network("net2", private(2))
	s.network("pub", public())
	a, b := s.guest("a", port("net1", "10.0.1.10", "g")), s.guest("b", port("net2", "10.0.2.10", "g"))
	a.lease(true)
	b.lease(true)
	r := edge()
	ensure := func() {
		t.Helper()
		require.NoError(t, s.d.EnsureRouter(t.Context(), id("r"), r))
	}
	ensure()
	for _, p := range []int{22, 23} {
		echo(t, a.ns, p, "a")
		echo(t, b.ns, p, "b")
	}
	echo(t, s.host.ns, 80, "host")

	// Between networks untranslated, outwards as the gateway.
	require.Equal(t, "10.0.1.10 b", call(t, a.ns, "", "10.0.2.10:22"))
	refused(t, a.ns, "10.0.2.10:23")
	require.Equal(t, "172.24.4.10 host", call(t, a.ns, "", "172.24.4.1:80"))

	// A floating IP: in by the rules, and out under its name.
	r.FloatingIPs = []network.FloatingIP{floating("172.24.4.20", "10.0.1.10")}
	ensure()
	require.Equal(t, "172.24.4.1 a", call(t, s.host.ns, "", "172.24.4.20:22"))
	refused(t, s.host.ns, "172.24.4.20:23")
	require.Equal(t, "172.24.4.20 host", call(t, a.ns, "", "172.24.4.1:80"))

	// Hairpin: from another network, from the same, and to oneself.
	require.Equal(t, "172.24.4.10 a", call(t, b.ns, "", "172.24.4.20:22"))
	require.Equal(t, "172.24.4.20 a", call(t, a.ns, "", "172.24.4.20:22"))
	c := s.guest("c", port("net1", "10.0.1.11", "g"))
	c.lease(true)
	require.Equal(t, "172.24.4.10 a", call(t, c.ns, "", "172.24.4.20:22"))

	// Moved to another guest, then gone.
	r.FloatingIPs = []network.FloatingIP{floating("172.24.4.20", "10.0.2.10")}
	ensure()
	require.Equal(t, "172.24.4.1 b", call(t, s.host.ns, "", "172.24.4.20:22"))
	require.Equal(t, "172.24.4.10 host", call(t, a.ns, "", "172.24.4.1:80"))
	r.FloatingIPs = nil
	ensure()
	refused(t, s.host.ns, "172.24.4.20:22")

	// A router that is down routes nothing, and is whole again when it is up.
	r.AdminUp = false
	ensure()
	refused(t, a.ns, "10.0.2.10:22")
	r.AdminUp = true
	ensure()
	require.Equal(t, "172.24.4.10 host", call(t, a.ns, "", "172.24.4.1:80"))
}

func TestStaticRoutesBetweenRouters(t *testing.T) {
	s := newSite(t)
	s.group("g", stateful(rule("egress", ""), rule("ingress", "tcp", 22)))
	for i, n := range []string{"net1", "net2", "net3"} {
		s.network(n, private(i+1))
	}
	a, b := s.guest("a", port("net1", "10.0.1.10", "g")), s.guest("b", port("net3", "10.0.3.10", "g"))
	a.lease(true)
	b.lease(true)
	echo(t, b.ns, 22, "b")
	left := network.Router{
		AdminUp:    true,
		Interfaces: []network.RouterInterface{foot("l1", "net1", "fa:16:3e:ff:01:01", "10.0.1.1/24"), foot("l2", "net2", "fa:16:3e:ff:01:02", "10.0.2.1/24")},
		Routes:     []network.Route{{Destination: netip.MustParsePrefix("10.0.3.0/24"), NextHop: addr("10.0.2.2")}},
	}
	right := network.Router{
		AdminUp:    true,
		Interfaces: []network.RouterInterface{foot("r1", "net3", "fa:16:3e:ff:02:01", "10.0.3.1/24"), foot("r2", "net2", "fa:16:3e:ff:02:02", "10.0.2.2/24")},
		Routes:     []network.Route{{Destination: netip.MustParsePrefix("10.0.1.0/24"), NextHop: addr("10.0.2.1")}},
	}
	require.NoError(t, s.d.EnsureRouter(t.Context(), id("left"), left))
	require.NoError(t, s.d.EnsureRouter(t.Context(), id("right"), right))
	require.Equal(t, "10.0.1.10 b", call(t, a.ns, "", "10.0.3.10:22"))
	left.Routes = nil
	require.NoError(t, s.d.EnsureRouter(t.Context(), id("left"), left))
	refused(t, a.ns, "10.0.3.10:22")
}

func TestMetadataRequest(t *testing.T) {
	s := newSite(t)
	s.network("net1", private(1))
	s.network("net2", private(1)) // the same addresses
	s.network("pub", public())
	r := edge()
	r.Interfaces = r.Interfaces[:1]
	require.NoError(t, s.d.EnsureRouter(t.Context(), id("r"), r))

	socket := filepath.Join(s.host.dir, "socket")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // a test's
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Method, r.Host, r.URL.Path, r.Header["X-Nephos-Network"], r.Header["X-Nephos-Source"], r.Header["X-Nephos-Mac"], string(body))
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	get := func(g *guest) (int, string) {
		t.Helper()
		var status int
		var body []byte
		inside(t, g.ns, func() error {
			c, err := net.DialTimeout("tcp4", "169.254.169.254:80", patience)
			if err != nil {
				return err
			}
			defer c.Close()
			req, err := http.NewRequest(http.MethodGet, "http://169.254.169.254/openstack/latest", nil)
			if err != nil {
				return err
			}
			req.Header.Set("X-Nephos-Network", "forged")
			req.Header.Set("X-Nephos-Source", "10.0.1.99")
			req.Header.Set("Connection", "X-Nephos-Network, X-Nephos-MAC, close")
			if err := req.Write(c); err != nil {
				return err
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			status = resp.StatusCode
			body, err = io.ReadAll(resp.Body)
			return err
		})
		return status, string(body)
	}
	answer := func(net string, p network.Port) string {
		return fmt.Sprintf("GET169.254.169.254/openstack/latest[%s] [%s] [%s]", id(net), p.Addresses[0].IP, p.MAC)
	}

	one := s.guest("one", port("net1", "10.0.1.10")) // no groups: metadata passes all the same
	one.lease(true)
	status, _ := get(one)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.NoError(t, s.d.ServeMetadata(t.Context(), socket))
	status, body := get(one)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, answer("net1", one.port), body)

	two := s.guest("two", port("net2", "10.0.1.10"))
	two.lease(true)
	_, body = get(two)
	require.Equal(t, answer("net2", two.port), body)

	// A guest that knows its router only gets there by it.
	plain := s.guest("plain", port("net1", "10.0.1.12"))
	plain.lease(false)
	_, body = get(plain)
	require.Equal(t, answer("net1", plain.port), body)

	// Without port security there is no telling who asks.
	p := one.port
	p.PortSecurity = false
	_, err = s.d.EnsurePort(t.Context(), id("one"), p)
	require.NoError(t, err)
	require.Error(t, within(one.ns, func() error {
		_, err := net.DialTimeout("tcp4", "169.254.169.254:80", 300*time.Millisecond)
		return err
	}))
}

// TestTwoCloudsWantOneSubnet has two clouds on one host with the same external
// network: the second is told, rather than left with packets that go astray.
func TestTwoCloudsWantOneSubnet(t *testing.T) {
	h := newHost(t)
	one, two := h.open(), h.openFor("another")
	require.NoError(t, one.EnsureNetwork(t.Context(), id("pub"), public()))
	require.NoError(t, one.EnsureNetwork(t.Context(), id("pub"), public()), "it is not in its own way")
	err := two.EnsureNetwork(t.Context(), id("pub"), public())
	require.ErrorIs(t, err, nephos.ErrConflict)
	require.ErrorContains(t, err, "172.24.4.1/24")
	require.NoError(t, one.DeleteNetwork(t.Context(), id("pub")))
	require.NoError(t, two.EnsureNetwork(t.Context(), id("pub"), public()))
	require.NoError(t, two.DeleteNetwork(t.Context(), id("pub")))
	require.Empty(t, h.namespaces())
}
