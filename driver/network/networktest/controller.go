package networktest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/network"
)

// OpenController opens a controller on a back end that is the test's own, as
// [Open] opens a driver. It must know the hosts host1 and host2.
type OpenController func(t drivertest.T) network.Controller

// RunController runs the suite of controllers in subtests of t.
func RunController(t *testing.T, open OpenController, o Options) {
	drivertest.Run(t, ControllerTests(open, o))
}

// ControllerTests are what [RunController] runs, for those who run them outside
// of go test.
func ControllerTests(open OpenController, o Options) []drivertest.Test {
	o = o.defaults()
	var tests []drivertest.Test
	for _, test := range []struct {
		name string
		run  func(*control)
	}{
		{"Objects", (*control).objects},
		{"Bind", (*control).bind},
		{"ErrorMeaning", (*control).errors},
		{"Cancellation", (*control).cancellation},
		{"Identifiers", (*control).identifiers},
		{"Concurrency", (*control).concurrency},
		{"Routers", (*control).routers},
		{"Names", (*control).names},
		{"Events", (*control).events},
	} {
		tests = append(tests, drivertest.Test{Name: test.name, Run: func(t drivertest.T) {
			c := &control{suite: &suite{T: t, opts: o, ctx: t.Context(), seed: t.Name()}, open: open}
			c.again()
			t.Cleanup(func() { _ = c.ctl.Close() })
			test.run(c)
		}})
	}
	return tests
}

// control is one subtest's back end. Of the suite it uses the specs only.
type control struct {
	*suite
	open OpenController
	raw  network.Controller
	ctl  *network.Control
}

// again closes the controller and opens its back end anew.
func (c *control) again() {
	c.Helper()
	if c.ctl != nil {
		require.NoError(c, c.ctl.Close())
	}
	c.raw = c.open(c.T)
	var err error
	c.ctl, err = network.NewControl(c.ctx, c.raw, network.NodeOptions{})
	require.NoError(c, err)
}

func (c *control) tell(ports int) (networkID string, portIDs []string) {
	c.Helper()
	networkID = c.id("network")
	require.NoError(c, c.ctl.EnsureNetwork(c.ctx, networkID, c.network()))
	require.NoError(c, c.ctl.EnsureSecurityGroup(c.ctx, c.id("group"), c.group()))
	for i := range ports {
		id := c.id(fmt.Sprint("port", i))
		require.NoError(c, c.ctl.EnsurePort(c.ctx, id, c.port(networkID, i)))
		portIDs = append(portIDs, id)
	}
	return networkID, portIDs
}

func (c *control) list() network.Inventory {
	c.Helper()
	inv, err := c.ctl.List(c.ctx)
	require.NoError(c, err)
	return normal(inv)
}

// objects: told twice, changed, found again, deleted.
func (c *control) objects() {
	require.ErrorIs(c, c.ctl.EnsurePort(c.ctx, c.id("port0"), c.port(c.id("network"), 0)), nephos.ErrConflict, "its network is not there")
	require.Empty(c, c.list().Ports)
	netID, ports := c.tell(3)
	c.tell(3)
	before := c.list()
	require.Equal(c, []string{netID}, before.Networks)
	require.ElementsMatch(c, ports, before.Ports)
	p := c.port(netID, 0)
	p.Revision, p.Addresses, p.SecurityGroups, p.PortSecurity = 2, nil, nil, false
	require.NoError(c, c.ctl.EnsurePort(c.ctx, ports[0], p))
	c.again()
	require.Equal(c, before, c.list())
	require.ErrorIs(c, c.ctl.DeleteNetwork(c.ctx, netID), nephos.ErrConflict, "it has ports")
	for range 2 {
		for _, id := range ports {
			require.NoError(c, c.ctl.DeletePort(c.ctx, id))
		}
		require.NoError(c, c.ctl.DeleteNetwork(c.ctx, netID))
		require.NoError(c, c.ctl.DeleteSecurityGroup(c.ctx, c.id("group")))
	}
	require.Equal(c, network.Inventory{}, c.list())
}

// bind: a port is on one host, moves, and comes off.
func (c *control) bind() {
	_, ports := c.tell(2)
	bound := func() map[string]string {
		all, err := c.ctl.Bound(c.ctx)
		require.NoError(c, err)
		return all
	}
	require.Empty(c, bound())
	first, err := c.ctl.Bind(c.ctx, ports[0], "host1", network.BindOptions{})
	require.NoError(c, err)
	require.NotEmpty(c, first.VIFType)
	again, err := c.ctl.Bind(c.ctx, ports[0], "host1", network.BindOptions{})
	require.NoError(c, err)
	require.Equal(c, first, again)
	_, err = c.ctl.Bind(c.ctx, ports[1], "host2", network.BindOptions{})
	require.NoError(c, err)
	require.Equal(c, map[string]string{ports[0]: "host1", ports[1]: "host2"}, bound())
	c.again()
	require.Equal(c, map[string]string{ports[0]: "host1", ports[1]: "host2"}, bound())
	c.tell(2)
	require.Equal(c, "host1", bound()[ports[0]], "told again, a port stays on its host")

	_, err = c.ctl.Bind(c.ctx, ports[0], "host1", network.BindOptions{MigratingTo: "host2"})
	require.NoError(c, err)
	require.Equal(c, "host1", bound()[ports[0]], "it is on its way")
	_, err = c.ctl.Bind(c.ctx, ports[0], "host2", network.BindOptions{})
	require.NoError(c, err)
	require.Equal(c, "host2", bound()[ports[0]])
	for range 2 {
		require.NoError(c, c.ctl.Unbind(c.ctx, ports[0]))
		require.Equal(c, map[string]string{ports[1]: "host2"}, bound())
	}
	require.NoError(c, c.ctl.DeletePort(c.ctx, ports[1]), "a bound port can be deleted")
	require.Empty(c, bound())
}

func (c *control) errors() {
	_, ports := c.tell(1)
	_, err := c.ctl.Bind(c.ctx, c.id("unknown"), "host1", network.BindOptions{})
	require.ErrorIs(c, err, nephos.ErrNotFound)
	_, err = c.ctl.Bind(c.ctx, ports[0], "no-such-host", network.BindOptions{})
	require.ErrorIs(c, err, nephos.ErrConflict)
	require.NoError(c, c.ctl.Unbind(c.ctx, c.id("unknown")))
	require.NoError(c, c.ctl.DeletePort(c.ctx, c.id("unknown")))
	bad := c.network()
	bad.Segment.Type = "carrier-pigeon"
	require.ErrorIs(c, c.raw.EnsureNetwork(c.ctx, c.id("bad"), bad), nephos.ErrInvalid)
	require.ErrorIs(c, c.raw.EnsureNetwork(c.ctx, "../../etc", c.network()), nephos.ErrInvalid)
	p := c.port(c.id("network"), 1)
	p.MAC = "01:00:00:00:00:01"
	require.ErrorIs(c, c.raw.EnsurePort(c.ctx, c.id("bad"), p), nephos.ErrInvalid)
	require.Equal(c, ports, c.list().Ports)
}

func (c *control) concurrency() {
	netID, _ := c.tell(0)
	ids := make([]string, c.opts.Ports)
	for i := range ids {
		ids[i] = c.id(fmt.Sprint("port", i))
	}
	for _, err := range each(len(ids), func(i int) error {
		if err := c.ctl.EnsurePort(c.ctx, ids[i], c.port(netID, i)); err != nil {
			return err
		}
		_, err := c.ctl.Bind(c.ctx, ids[i], fmt.Sprint("host", 1+i%2), network.BindOptions{})
		return err
	}) {
		require.NoError(c, err)
	}
	require.ElementsMatch(c, ids, c.list().Ports)
	for _, err := range each(len(ids), func(i int) error { return c.ctl.DeletePort(c.ctx, ids[i]) }) {
		require.NoError(c, err)
	}
	require.Empty(c, c.list().Ports)
}

func (c *control) can(ability string) {
	c.Helper()
	if !c.ctl.Can(ability) {
		c.Skip("the controller does not offer " + ability)
	}
}

func (c *control) routers() {
	c.can(network.AbilityRouter)
	netID, extID, id := c.id("network"), c.id("external"), c.id("router")
	require.ErrorIs(c, c.ctl.EnsureRouter(c.ctx, id, c.router(netID, extID)), nephos.ErrConflict)
	c.tell(1)
	require.NoError(c, c.ctl.EnsureNetwork(c.ctx, extID, c.external()))
	for range 2 {
		require.NoError(c, c.ctl.EnsureRouter(c.ctx, id, c.router(netID, extID)))
	}
	c.again()
	require.Equal(c, []string{id}, c.list().Routers)
	for range 2 {
		require.NoError(c, c.ctl.DeleteRouter(c.ctx, id))
	}
	require.Empty(c, c.list().Routers)
	require.NoError(c, c.ctl.DeleteNetwork(c.ctx, extID))
}

func (c *control) names() {
	c.can(network.AbilityDNS)
	zone := network.Zone{Domain: "cloud.example", Records: []network.Record{{Name: "a"}}}
	require.ErrorIs(c, c.ctl.EnsureZone(c.ctx, c.id("network"), zone), nephos.ErrConflict)
	netID, _ := c.tell(0)
	for range 2 {
		require.NoError(c, c.ctl.EnsureZone(c.ctx, netID, zone))
	}
	for range 2 {
		require.NoError(c, c.ctl.DeleteZone(c.ctx, netID))
	}
}

func (c *control) events() {
	c.can(network.AbilityEvents)
	ctx, cancel := context.WithCancel(c.ctx)
	one, err := c.ctl.Events(ctx)
	require.NoError(c, err)
	two, err := c.ctl.Events(c.ctx)
	require.NoError(c, err)
	cancel()
	ends(c, c.ctx, one)
	require.NoError(c, c.ctl.Close())
	ends(c, c.ctx, two)
}
