// Package networktest is the whole test that the author of a network driver
// writes:
//
//	func TestDriver(t *testing.T) {
//		networktest.Run(t, func(t drivertest.T) network.Driver { … }, networktest.Options{})
//	}
//
// It asks for nothing but what package network and package driver promise, and
// sends no packets; whether packets pass is for the driver's own tests.
package networktest

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/network"
)

// Open opens a driver on a host that is the test's own. Called again with the
// same t, after the driver before was closed, it opens the same host anew:
// what was made must still be there. The host is cleaned up through t.
type Open func(t drivertest.T) network.Driver

// Options adapts the suite to a driver.
type Options struct {
	// Segment is of the networks that the suite makes; local by default.
	Segment network.Segment
	// External is the segment of an external network; local by default.
	External network.Segment
	// Ports is how many ports the concurrent test makes; 16 by default.
	Ports int
}

func (o Options) defaults() Options {
	if o.Segment.Type == "" {
		o.Segment.Type = "local"
	}
	if o.External.Type == "" {
		o.External.Type = "local"
	}
	if o.Ports == 0 {
		o.Ports = 16
	}
	return o
}

// Run runs the suite in subtests of t.
func Run(t *testing.T, open Open, o Options) { drivertest.Run(t, Tests(open, o)) }

// Tests are what [Run] runs, for those who run them outside of go test.
func Tests(open Open, o Options) []drivertest.Test {
	o = o.defaults()
	var tests []drivertest.Test
	for _, test := range []struct {
		name string
		run  func(*suite)
	}{
		{"Idempotence", idempotence},
		{"Order", order},
		{"Concurrency", concurrency},
		{"Cancellation", cancellation},
		{"Identifiers", identifiers},
		{"ErrorMeaning", errorMeaning},
		{"DeleteLeavesNone", deleteLeavesNone},
		{"ReopenLosesNone", reopenLosesNone},
		{"DeleteAfterReopen", deleteAfterReopen},
		{"SameAddresses", sameAddresses},
		{"SecurityGroups", securityGroups},
		{"DHCP", dhcp},
		{"Routers", routers},
		{"FloatingIPs", floatingIPs},
		{"QoS", qos},
		{"Trunks", trunks},
		{"DNS", names},
		{"Statistics", statistics},
		{"Metadata", metadata},
		{"Events", events},
	} {
		tests = append(tests, drivertest.Test{Name: test.name, Run: func(t drivertest.T) {
			test.run(newSuite(t, open, o))
		}})
	}
	return tests
}

// suite is one subtest's host.
type suite struct {
	drivertest.T
	open   Open
	opts   Options
	ctx    context.Context
	driver network.Driver
	node   *network.Node
	seed   string
}

func newSuite(t drivertest.T, open Open, o Options) *suite {
	s := &suite{T: t, open: open, opts: o, ctx: t.Context(), seed: t.Name()}
	s.reopen()
	t.Cleanup(func() {
		if s.node != nil {
			_ = s.node.Close()
		}
	})
	return s
}

// reopen closes the driver and opens the host again.
func (s *suite) reopen() {
	s.Helper()
	if s.node != nil {
		require.NoError(s, s.node.Close())
	}
	s.driver = s.open(s.T)
	n, err := network.NewNode(s.ctx, s.driver, network.NodeOptions{})
	require.NoError(s, err)
	s.node = n
}

// need skips the subtest when the driver lacks the ability.
func (s *suite) need(ability string) {
	s.Helper()
	if !s.node.Can(ability) {
		s.Skip("the driver does not offer " + ability)
	}
}

func (s *suite) id(name string) string { return nephos.ChildID(s.seed, name) }

func (s *suite) network() network.Network {
	return network.Network{
		Revision: 1, Name: "private", MTU: 1450, Segment: s.opts.Segment,
		Subnets: []network.Subnet{{
			ID: s.id("subnet"), CIDR: netip.MustParsePrefix("10.77.0.0/24"), Gateway: netip.MustParseAddr("10.77.0.1"),
			DHCP: true, DNS: []netip.Addr{netip.MustParseAddr("10.77.0.2")},
		}},
	}
}

func (s *suite) external() network.Network {
	return network.Network{
		Revision: 1, Name: "public", MTU: 1500, Segment: s.opts.External, External: true,
		Subnets: []network.Subnet{{
			ID: s.id("external subnet"), CIDR: netip.MustParsePrefix("192.0.2.0/24"), Gateway: netip.MustParseAddr("192.0.2.1"),
		}},
	}
}

// port is the i-th port of a network of that name.
func (s *suite) port(networkID string, i int) network.Port {
	return network.Port{
		Revision: 1, NetworkID: networkID, MAC: fmt.Sprintf("fa:16:3e:00:%02x:%02x", i>>8, i&255),
		Addresses: []network.Address{{SubnetID: s.id("subnet"), IP: netip.AddrFrom4([4]byte{10, 77, 0, byte(10 + i)})}},
		Hostname:  fmt.Sprintf("host-%d", i), AdminUp: true, PortSecurity: true,
		SecurityGroups: []string{s.id("group")},
	}
}

func (s *suite) group() network.SecurityGroup {
	lo, hi := 22, 22
	return network.SecurityGroup{
		Revision: 1, Stateful: true,
		Rules: []network.Rule{
			{ID: s.id("r1"), Direction: "egress"},
			{ID: s.id("r2"), Direction: "ingress", Protocol: "tcp", PortMin: &lo, PortMax: &hi, RemotePrefix: netip.MustParsePrefix("0.0.0.0/0")},
			{ID: s.id("r3"), Direction: "ingress", RemoteGroup: s.id("group")},
			{ID: s.id("r4"), Direction: "ingress", Protocol: "icmp"},
			{ID: s.id("r5"), Direction: "egress", IPv6: true},
		},
		Members: []netip.Addr{netip.MustParseAddr("10.77.0.10"), netip.MustParseAddr("10.77.0.11")},
	}
}

func (s *suite) router(private, external string) network.Router {
	return network.Router{
		Revision: 1, Name: "router", AdminUp: true,
		Interfaces: []network.RouterInterface{{
			PortID: s.id("leg"), NetworkID: private, MAC: "fa:16:3e:01:00:01",
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24")},
		}},
		Gateway: &network.RouterGateway{
			RouterInterface: network.RouterInterface{
				PortID: s.id("gateway"), NetworkID: external, MAC: "fa:16:3e:01:00:02",
				Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/24")},
			},
			NextHops: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, SNAT: true,
		},
		FloatingIPs: []network.FloatingIP{{ID: s.id("fip"), External: netip.MustParseAddr("192.0.2.20"), Fixed: netip.MustParseAddr("10.77.0.10")}},
	}
}

// inventory asks for the list and fails the test on an error.
func (s *suite) inventory() network.Inventory {
	s.Helper()
	inv, err := s.node.List(s.ctx)
	require.NoError(s, err)
	return inv
}

// make makes a network, a group and ports, and returns their ids.
func (s *suite) make(ports int) (networkID string, portIDs []string) {
	s.Helper()
	networkID = s.id("network")
	require.NoError(s, s.node.EnsureNetwork(s.ctx, networkID, s.network()))
	require.NoError(s, s.node.EnsureSecurityGroup(s.ctx, s.id("group"), s.group()))
	for i := range ports {
		id := s.id(fmt.Sprint("port", i))
		_, err := s.node.EnsurePort(s.ctx, id, s.port(networkID, i))
		require.NoError(s, err)
		portIDs = append(portIDs, id)
	}
	return networkID, portIDs
}

// each calls f for 0 to n-1 at once and returns the errors.
func each(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errs
}
