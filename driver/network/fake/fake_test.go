package fake_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/network/fake"
	"github.com/nephos-cloud/nephos/driver/network/networktest"
)

func TestDriver(t *testing.T) {
	states := map[drivertest.T]*fake.State{}
	networktest.Run(t, func(t drivertest.T) network.Driver {
		if states[t] == nil {
			states[t] = fake.NewState(nil)
		}
		return fake.Open(states[t], fake.Options{})
	}, networktest.Options{Ports: 3000})
}

func TestController(t *testing.T) {
	states := map[drivertest.T]*fake.State{}
	networktest.RunController(t, func(t drivertest.T) network.Controller {
		if states[t] == nil {
			states[t] = fake.NewState(nil)
		}
		return fake.OpenController(states[t], fake.ControllerOptions{Hosts: []string{"host1", "host2"}})
	}, networktest.Options{})
}

func TestGuestsLookNamesUp(t *testing.T) {
	s := fake.NewState(nil)
	d := fake.Open(s, fake.Options{})
	require.NoError(t, d.EnsureNetwork(t.Context(), "n", network.Network{}))
	_, err := d.EnsurePort(t.Context(), "p", network.Port{NetworkID: "n", MAC: "fa:16:3e:00:00:01"})
	require.NoError(t, err)
	_, err = s.Lookup("p", "web")
	require.ErrorIs(t, err, nephos.ErrNotFound)
	web := []netip.Addr{netip.MustParseAddr("10.0.0.9")}
	require.NoError(t, d.EnsureZone(t.Context(), "n", network.Zone{Domain: "cloud.example.", Records: []network.Record{{Name: "web", Addresses: web}}}))
	for _, name := range []string{"web", "WEB.cloud.example", "web.cloud.example."} {
		got, err := s.Lookup("p", name)
		require.NoError(t, err)
		require.Equal(t, web, got)
	}
	_, err = s.Lookup("p", "web.elsewhere.example")
	require.ErrorIs(t, err, nephos.ErrNotFound)
}

func TestFaults(t *testing.T) {
	s := fake.NewState(nil)
	d := fake.Open(s, fake.Options{})
	boom := errors.New("boom")
	s.Inject(fake.Fault{Call: "EnsureNetwork", Err: boom, Times: 1}, fake.Fault{Call: "DeletePort", Err: boom, After: true, Times: 1})
	require.ErrorIs(t, d.EnsureNetwork(t.Context(), "n", network.Network{}), boom)
	inv, err := d.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, inv.Networks)
	require.NoError(t, d.EnsureNetwork(t.Context(), "n", network.Network{}))
	_, err = d.EnsurePort(t.Context(), "p", network.Port{NetworkID: "n", MAC: "fa:16:3e:00:00:01"})
	require.NoError(t, err)
	require.ErrorIs(t, d.DeletePort(t.Context(), "p"), boom)
	_, there := s.Port("p")
	require.False(t, there, "the answer was lost, not the work")
	require.NoError(t, d.Close())
	require.ErrorIs(t, d.DeletePort(t.Context(), "p"), nephos.ErrUnavailable)
}

// cloud is two hosts, two private networks behind two routers, and a public one.
func cloud(t *testing.T) (*fake.State, *fake.Driver) {
	s := fake.NewState(nil)
	ctx := t.Context()
	private := func(cidr, gateway string) network.Network {
		return network.Network{Subnets: []network.Subnet{{CIDR: netip.MustParsePrefix(cidr), Gateway: netip.MustParseAddr(gateway), DHCP: true}}}
	}
	ssh := 22
	group := network.SecurityGroup{Rules: []network.Rule{
		{Direction: "egress"},
		{Direction: "ingress", Protocol: "tcp", PortMin: &ssh, PortMax: &ssh},
		{Direction: "ingress", RemoteGroup: "g"},
	}, Members: []netip.Addr{netip.MustParseAddr("10.0.0.10"), netip.MustParseAddr("10.0.0.11")}}
	var first *fake.Driver
	for i, host := range []string{"h1", "h2"} {
		d := fake.Open(s, fake.Options{Host: host})
		if first == nil {
			first = d
		}
		public := private("172.24.4.0/24", "172.24.4.1")
		public.External = true
		require.NoError(t, d.EnsureNetwork(ctx, "public", public))
		require.NoError(t, d.EnsureNetwork(ctx, "a", private("10.0.0.0/24", "10.0.0.1")))
		require.NoError(t, d.EnsureNetwork(ctx, "b", private("10.0.0.0/24", "10.0.0.1")))
		require.NoError(t, d.EnsureSecurityGroup(ctx, "g", group))
		for j, n := range []string{"a", "b"} {
			_, err := d.EnsurePort(ctx, n+host, network.Port{
				NetworkID: n, MAC: fmt.Sprintf("fa:16:3e:00:%02x:%02x", i, j), AdminUp: true, PortSecurity: true,
				Addresses: []network.Address{{IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + i)})}}, SecurityGroups: []string{"g"},
			})
			require.NoError(t, err)
		}
	}
	for i, n := range []string{"a", "b"} {
		require.NoError(t, first.EnsureRouter(ctx, "r"+n, network.Router{
			AdminUp: true,
			Interfaces: []network.RouterInterface{{
				PortID: "i" + n, NetworkID: n, MAC: fmt.Sprintf("fa:16:3e:01:00:%02x", i), Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")},
			}},
			Gateway: &network.RouterGateway{
				RouterInterface: network.RouterInterface{
					PortID: "g" + n, NetworkID: "public", MAC: fmt.Sprintf("fa:16:3e:02:00:%02x", i),
					Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 24, 4, byte(2 + i)}), 24)},
				},
				NextHops: []netip.Addr{netip.MustParseAddr("172.24.4.1")}, SNAT: true,
			},
			FloatingIPs: []network.FloatingIP{{ID: "f" + n, External: netip.AddrFrom4([4]byte{172, 24, 4, byte(20 + i)}), Fixed: netip.MustParseAddr("10.0.0.10")}},
		}))
	}
	return s, first
}

func TestReachable(t *testing.T) {
	s, d := cloud(t)
	check := func(want bool, arrives, from, to, proto string, port int) {
		t.Helper()
		ok, why := d.Reachable(from, netip.MustParseAddr(to), proto, port)
		require.Equal(t, want, ok, why)
		require.Contains(t, why, arrives)
	}
	check(true, "port ah2", "ah1", "10.0.0.11", "udp", 53) // same network, other host, by group
	check(true, "port bh2", "bh1", "10.0.0.11", "udp", 53) // the same addresses, another network
	check(false, "nobody", "ah1", "10.0.0.99", "tcp", 22)
	check(true, "outside", "ah2", "198.51.100.7", "tcp", 80)
	check(true, "port ah1", "", "172.24.4.20", "tcp", 22) // floating IP from outside
	check(true, "port bh1", "", "172.24.4.21", "tcp", 22)
	check(false, "ingress", "", "172.24.4.20", "tcp", 80)
	check(true, "port bh1", "ah2", "172.24.4.21", "tcp", 22)      // router to router
	check(false, "ingress", "ah2", "172.24.4.21", "tcp", 80)      // its group membership is lost behind NAT
	check(true, "port ah1", "ah1", "172.24.4.20", "tcp", 22)      // hairpin
	check(true, "router ra", "ah1", "10.0.0.1", "icmp", 8)        // the router answers pings
	check(false, "external network", "", "10.0.0.10", "tcp", 22)  // no private address from outside
	check(false, "family", "ah1", "2001:db8::1", "tcp", 22)       // no address of that family
	check(false, "not there", "nobody", "172.24.4.20", "tcp", 22) // no such port

	require.NoError(t, d.EnsureSecurityGroup(t.Context(), "g", network.SecurityGroup{}))
	check(false, "egress", "ah1", "10.0.0.11", "tcp", 22)
	require.NoError(t, d.DeleteRouter(t.Context(), "rb"))
	check(false, "nobody", "", "172.24.4.21", "tcp", 22)
	_, there := s.Port("ah1")
	require.True(t, there)
}

func TestLeaseAndMetadata(t *testing.T) {
	s, d := cloud(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := d.Events(ctx)
	require.NoError(t, err)
	ip, err := s.Lease("ah1")
	require.NoError(t, err)
	require.Equal(t, "10.0.0.10", ip.String())
	ev := <-events
	require.Equal(t, "ah1", ev.PortID)
	require.Equal(t, "dhcp", ev.Kind)
	_, err = s.Lease("nobody")
	require.ErrorIs(t, err, nephos.ErrNotFound)

	socket := filepath.Join(t.TempDir(), "m")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // a test's
		fmt.Fprint(w, r.URL.Path, r.Header["X-Nephos-Network"], r.Header["X-Nephos-Source"], r.Header["X-Nephos-Mac"])
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	req, err := http.NewRequest(http.MethodGet, "http://169.254.169.254/openstack", nil)
	require.NoError(t, err)
	req.Header.Set("X-Nephos-Network", "forged")
	_, err = s.Metadata("ah1", req)
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	require.NoError(t, d.ServeMetadata(t.Context(), socket))
	resp, err := s.Metadata("ah1", req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "/openstack[a] [10.0.0.10] [fa:16:3e:00:00:00]", string(body))
}
