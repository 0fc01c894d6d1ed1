package networktest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
)

// idempotence: the same call twice changes nothing, and a changed spec is
// taken in place.
func idempotence(s *suite) {
	netID, ports := s.make(2)
	before := s.inventory()
	first, err := s.node.EnsurePort(s.ctx, ports[0], s.port(netID, 0))
	require.NoError(s, err)
	require.NotEmpty(s, first.Device)
	require.NotEmpty(s, first.VIFType)
	s.make(2)
	require.Equal(s, before, s.inventory())

	p := s.port(netID, 0)
	p.Revision, p.Addresses, p.PortSecurity, p.SecurityGroups = 2, nil, false, nil
	again, err := s.node.EnsurePort(s.ctx, ports[0], p)
	require.NoError(s, err)
	require.Equal(s, first, again, "a change of the port moves its device")
	other, err := s.node.EnsurePort(s.ctx, ports[1], s.port(netID, 1))
	require.NoError(s, err)
	require.NotEqual(s, first.Device, other.Device)

	n := s.network()
	n.Revision, n.MTU, n.Subnets = 2, 1400, nil
	require.NoError(s, s.node.EnsureNetwork(s.ctx, netID, n))
	g := s.group()
	g.Revision, g.Rules, g.Members = 2, nil, nil
	require.NoError(s, s.node.EnsureSecurityGroup(s.ctx, s.id("group"), g))
	require.Equal(s, before, s.inventory())
}

// order: a port waits for its network but not for its groups.
func order(s *suite) {
	netID, portID := s.id("network"), s.id("port0")
	_, err := s.node.EnsurePort(s.ctx, portID, s.port(netID, 0))
	require.ErrorIs(s, err, nephos.ErrConflict)
	require.Empty(s, s.inventory().Ports, "half a port is left")

	require.NoError(s, s.node.EnsureNetwork(s.ctx, netID, s.network()))
	_, err = s.node.EnsurePort(s.ctx, portID, s.port(netID, 0))
	require.NoError(s, err, "a port must not wait for its security group")
	require.NoError(s, s.node.EnsureSecurityGroup(s.ctx, s.id("group"), s.group()))
	require.Equal(s, []string{portID}, s.inventory().Ports)

	// The group may go before the port that names it.
	require.NoError(s, s.node.DeleteSecurityGroup(s.ctx, s.id("group")))
	require.NoError(s, s.node.DeletePort(s.ctx, portID))
}

// concurrency: calls for different ids at the same time all take effect.
func concurrency(s *suite) {
	netID, _ := s.make(0)
	ids := make([]string, s.opts.Ports)
	for i := range ids {
		ids[i] = s.id(fmt.Sprint("port", i))
	}
	for _, err := range each(len(ids), func(i int) error {
		_, err := s.node.EnsurePort(s.ctx, ids[i], s.port(netID, i))
		if err == nil && i%4 == 0 {
			err = s.node.EnsureSecurityGroup(s.ctx, s.id(fmt.Sprint("group", i)), s.group())
		}
		return err
	}) {
		require.NoError(s, err)
	}
	require.ElementsMatch(s, ids, s.inventory().Ports)
	for _, err := range each(len(ids), func(i int) error { return s.node.DeletePort(s.ctx, ids[i]) }) {
		require.NoError(s, err)
	}
	require.Empty(s, s.inventory().Ports)

	// The same id from several sides at once does no harm either.
	for _, err := range each(4, func(int) error {
		_, err := s.node.EnsurePort(s.ctx, ids[0], s.port(netID, 0))
		return err
	}) {
		require.NoError(s, err)
	}
	require.Equal(s, ids[:1], s.inventory().Ports)
}

// errorMeaning: errors wrap the sentinels that package driver names.
func errorMeaning(s *suite) {
	netID, ports := s.make(1)
	d := s.driver // a Node would check first

	bad := s.network()
	bad.Segment = network.Segment{Type: "carrier-pigeon"}
	require.ErrorIs(s, d.EnsureNetwork(s.ctx, s.id("bad"), bad), nephos.ErrInvalid)
	require.ErrorIs(s, d.EnsureNetwork(s.ctx, "../../etc", s.network()), nephos.ErrInvalid)
	p := s.port(netID, 1)
	p.MAC = "01:00:00:00:00:01"
	_, err := d.EnsurePort(s.ctx, s.id("bad"), p)
	require.ErrorIs(s, err, nephos.ErrInvalid)
	g := s.group()
	g.Rules[0].Protocol = "tcp; drop"
	require.ErrorIs(s, d.EnsureSecurityGroup(s.ctx, s.id("bad"), g), nephos.ErrInvalid)

	require.ErrorIs(s, d.DeleteNetwork(s.ctx, netID), nephos.ErrConflict, "the network has a port")
	require.NoError(s, d.DeletePort(s.ctx, s.id("unknown")))
	require.NoError(s, d.DeleteNetwork(s.ctx, s.id("unknown")))
	require.NoError(s, d.DeleteSecurityGroup(s.ctx, s.id("unknown")))
	require.Equal(s, []string{netID}, s.inventory().Networks)
	require.Equal(s, ports, s.inventory().Ports)
}

// deleteLeavesNone: after the deletes the list is empty, and deletes repeat.
func deleteLeavesNone(s *suite) {
	netID, ports := s.make(3)
	for range 2 {
		for _, id := range ports {
			require.NoError(s, s.node.DeletePort(s.ctx, id))
		}
		require.NoError(s, s.node.DeleteNetwork(s.ctx, netID))
		require.NoError(s, s.node.DeleteSecurityGroup(s.ctx, s.id("group")))
	}
	require.Equal(s, network.Inventory{}, normal(s.inventory()))
	s.make(1) // and it can all be made again
}

// reopenLosesNone: a driver opened anew finds what the one before made.
func reopenLosesNone(s *suite) {
	netID, ports := s.make(2)
	b, err := s.node.EnsurePort(s.ctx, ports[0], s.port(netID, 0))
	require.NoError(s, err)
	before := s.inventory()
	require.Equal(s, []string{netID}, before.Networks)
	require.ElementsMatch(s, ports, before.Ports)
	s.reopen()
	after := s.inventory()
	after.SecurityGroups, before.SecurityGroups = nil, nil // rules may live in the ports' chains
	require.Equal(s, normal(before), normal(after))
	s.make(2)
	again, err := s.node.EnsurePort(s.ctx, ports[0], s.port(netID, 0))
	require.NoError(s, err)
	require.Equal(s, b, again)
}

// deleteAfterReopen: a driver that has been told nothing yet can delete.
func deleteAfterReopen(s *suite) {
	netID, ports := s.make(2)
	s.reopen()
	require.ErrorIs(s, s.node.DeleteNetwork(s.ctx, netID), nephos.ErrConflict)
	for _, id := range ports {
		require.NoError(s, s.node.DeletePort(s.ctx, id))
	}
	require.NoError(s, s.node.DeleteNetwork(s.ctx, netID))
	require.NoError(s, s.node.DeleteSecurityGroup(s.ctx, s.id("group")))
	require.Equal(s, network.Inventory{}, normal(s.inventory()))
}

// sameAddresses: two networks may use the same addresses and cards.
func sameAddresses(s *suite) {
	one, ports := s.make(1)
	two := s.id("network two")
	require.NoError(s, s.node.EnsureNetwork(s.ctx, two, s.network()))
	twin := s.id("twin")
	b, err := s.node.EnsurePort(s.ctx, twin, s.port(two, 0))
	require.NoError(s, err)
	a, err := s.node.EnsurePort(s.ctx, ports[0], s.port(one, 0))
	require.NoError(s, err)
	require.NotEqual(s, a.Device, b.Device)
	require.NoError(s, s.node.DeletePort(s.ctx, twin))
	require.NoError(s, s.node.DeleteNetwork(s.ctx, two))
	require.Equal(s, []string{one}, s.inventory().Networks)
	require.Equal(s, ports, s.inventory().Ports)
}

// normal makes empty lists nil.
func normal(i network.Inventory) network.Inventory {
	for _, l := range []*[]string{&i.Networks, &i.Ports, &i.Routers, &i.SecurityGroups} {
		if len(*l) == 0 {
			*l = nil
		}
	}
	return i
}
