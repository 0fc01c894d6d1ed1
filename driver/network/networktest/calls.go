package networktest

import (
	"context"
	"path/filepath"

	"github.com/stretchr/testify/require"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
)

// invocation is one call of a driver or controller itself, which a Node or Control
// would check first, with the object's identifier left open.
type invocation struct {
	name string
	id   string // that makes the call a good one
	call func(ctx context.Context, id string) error
}

// told is what drivers and controllers are both told of.
type told interface {
	EnsureNetwork(ctx context.Context, id string, n network.Network) error
	DeleteNetwork(ctx context.Context, id string) error
	DeletePort(ctx context.Context, id string) error
	EnsureSecurityGroup(ctx context.Context, id string, g network.SecurityGroup) error
	DeleteSecurityGroup(ctx context.Context, id string) error
	List(ctx context.Context) (network.Inventory, error)
}

// invocations are all calls that take an object's identifier and that d offers, for
// a network with one port, an idle network, a group and, for those who have them, a
// router and a zone.
func (s *suite) invocations(d told, can func(string) bool, ensurePort func(ctx context.Context, id string, p network.Port) error) (all []invocation) {
	add := func(name, id string, call func(ctx context.Context, id string) error) {
		all = append(all, invocation{name, id, call})
	}
	netID := s.id("network")
	add("EnsureNetwork", s.id("new network"), func(ctx context.Context, id string) error { return d.EnsureNetwork(ctx, id, s.network()) })
	add("DeleteNetwork", s.id("idle"), d.DeleteNetwork)
	add("EnsurePort", s.id("new port"), func(ctx context.Context, id string) error { return ensurePort(ctx, id, s.port(netID, 7)) })
	add("DeletePort", s.id("port0"), d.DeletePort)
	add("EnsureSecurityGroup", s.id("new group"), func(ctx context.Context, id string) error {
		return d.EnsureSecurityGroup(ctx, id, s.group())
	})
	add("DeleteSecurityGroup", s.id("group"), d.DeleteSecurityGroup)
	if can(network.AbilityRouter) {
		r := d.(network.RouterDriver)
		router := s.router(netID, s.id("external"))
		router.Gateway, router.FloatingIPs = nil, nil
		add("EnsureRouter", s.id("new router"), func(ctx context.Context, id string) error { return r.EnsureRouter(ctx, id, router) })
		add("DeleteRouter", s.id("router"), r.DeleteRouter)
	}
	if can(network.AbilityDNS) {
		n := d.(network.NameServer)
		add("EnsureZone", netID, func(ctx context.Context, id string) error {
			return n.EnsureZone(ctx, id, network.Zone{Domain: "cloud.example."})
		})
		add("DeleteZone", netID, n.DeleteZone)
	}
	return all
}

// set makes what invocations are about.
func (s *suite) set() {
	s.Helper()
	netID, _ := s.make(1)
	require.NoError(s, s.node.EnsureNetwork(s.ctx, s.id("idle"), s.network()))
	if s.node.Can(network.AbilityRouter) {
		r := s.router(netID, s.id("external"))
		r.Gateway, r.FloatingIPs = nil, nil
		require.NoError(s, s.node.EnsureRouter(s.ctx, s.id("router"), r))
	}
}

// calls are the invocations of the driver under test.
func (s *suite) calls() []invocation {
	all := s.invocations(s.driver, s.node.Can, func(ctx context.Context, id string, p network.Port) error {
		_, err := s.driver.EnsurePort(ctx, id, p)
		return err
	})
	if s.node.Can(network.AbilityStatistics) {
		all = append(all, invocation{"PortStatistics", s.id("port0"), func(ctx context.Context, id string) error {
			_, err := s.driver.(network.Statistician).PortStatistics(ctx, id)
			return err
		}})
	}
	return all
}

// badIDs are what no object is called.
var badIDs = []string{"", "..", "../../etc", "a/b", "a b", "a.b", "a\x00", "é"}

// cancellation: a call whose context is done does nothing and says so.
func cancellation(s *suite) {
	s.set()
	before := normal(s.inventory())
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	for _, c := range s.calls() {
		require.ErrorIs(s, c.call(ctx, c.id), context.Canceled, c.name)
	}
	_, err := s.driver.List(ctx)
	require.ErrorIs(s, err, context.Canceled, "List")
	if s.node.Can(network.AbilityEvents) {
		_, err = s.driver.(network.Eventer).Events(ctx)
		require.ErrorIs(s, err, context.Canceled, "Events")
	}
	if s.node.Can(network.AbilityMetadata) {
		err = s.driver.(network.MetadataServer).ServeMetadata(ctx, filepath.Join(s.TempDir(), "metadata"))
		require.ErrorIs(s, err, context.Canceled, "ServeMetadata")
	}
	require.Equal(s, before, normal(s.inventory()), "cancelled calls did nothing")
}

// identifiers: every call refuses what would lead elsewhere.
func identifiers(s *suite) {
	s.set()
	before := normal(s.inventory())
	for _, c := range s.calls() {
		for _, id := range badIDs {
			require.ErrorIs(s, c.call(s.ctx, id), nephos.ErrInvalid, "%s %q", c.name, id)
		}
	}
	require.Equal(s, before, normal(s.inventory()))
}

// set makes what invocations are about.
func (c *control) set() {
	c.Helper()
	netID, _ := c.tell(1)
	require.NoError(c, c.ctl.EnsureNetwork(c.ctx, c.id("idle"), c.network()))
	if c.ctl.Can(network.AbilityRouter) {
		r := c.router(netID, c.id("external"))
		r.Gateway, r.FloatingIPs = nil, nil
		require.NoError(c, c.ctl.EnsureRouter(c.ctx, c.id("router"), r))
	}
	_, err := c.ctl.Bind(c.ctx, c.id("port0"), "host1", network.BindOptions{})
	require.NoError(c, err)
}

// calls are the invocations of the controller under test.
func (c *control) calls() []invocation {
	return append(c.invocations(c.raw, c.ctl.Can, c.raw.EnsurePort),
		invocation{"Bind", c.id("port0"), func(ctx context.Context, id string) error {
			_, err := c.raw.Bind(ctx, id, "host2", network.BindOptions{})
			return err
		}},
		invocation{"Unbind", c.id("port0"), c.raw.Unbind})
}

func (c *control) cancellation() {
	c.set()
	before := c.list()
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	for _, i := range c.calls() {
		require.ErrorIs(c, i.call(ctx, i.id), context.Canceled, i.name)
	}
	_, err := c.raw.List(ctx)
	require.ErrorIs(c, err, context.Canceled, "List")
	_, err = c.raw.Bound(ctx)
	require.ErrorIs(c, err, context.Canceled, "Bound")
	if c.ctl.Can(network.AbilityEvents) {
		_, err = c.raw.(network.Eventer).Events(ctx)
		require.ErrorIs(c, err, context.Canceled, "Events")
	}
	c.requireAs(before)
}

func (c *control) identifiers() {
	c.set()
	before := c.list()
	for _, i := range c.calls() {
		for _, id := range badIDs {
			require.ErrorIs(c, i.call(c.ctx, id), nephos.ErrInvalid, "%s %q", i.name, id)
		}
	}
	c.requireAs(before)
}

func (c *control) requireAs(before network.Inventory) {
	c.Helper()
	require.Equal(c, before, c.list())
	bound, err := c.ctl.Bound(c.ctx)
	require.NoError(c, err)
	require.Equal(c, map[string]string{c.id("port0"): "host1"}, bound)
}
