package network_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/network"
)

func TestAgentsAreTheHostsThatWereHeard(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.beat("h2")
		w.beat("h1", "RouterDriver")
		w.clock.Advance(time.Minute)
		w.beat("h1", "RouterDriver")
		w.clock.Advance(time.Minute)
		agents, err := w.ListAgents(admin())
		require.NoError(t, err)
		require.Len(t, agents, 2)
		require.Equal(t, "h1", agents[0].Host)
		require.True(t, agents[0].Alive)
		require.True(t, agents[0].Routes)
		require.False(t, agents[1].Alive)
		agents, err = w.ListAgents(as("red"))
		require.NoError(t, err)
		require.Empty(t, agents)
		_, err = w.UpdateAgent(as("red"), "x", ptr(false), nil)
		require.ErrorIs(t, err, nephos.ErrForbidden)
	})
}

func TestBootstrapMakesThePublicNetworkOnce(t *testing.T) {
	w := sqlite(t, nil)
	spec := network.ExternalSpec{PhysicalNetwork: "physnet1", CIDR: netip.MustParsePrefix("203.0.113.0/24")}
	a, err := w.Bootstrap(admin(), spec)
	require.NoError(t, err)
	b, err := w.Bootstrap(admin(), spec)
	require.NoError(t, err)
	require.Equal(t, a.ID, b.ID)
	require.Len(t, b.SubnetIDs, 1)
	_, err = w.Bootstrap(as("red"), network.ExternalSpec{Name: "mine", CIDR: spec.CIDR})
	require.ErrorIs(t, err, nephos.ErrForbidden)
}

func TestAvailability(t *testing.T) {
	w := sqlite(t, nil)
	n, _ := w.net(as("red"), "n", "10.0.0.0/24")
	_, err := w.CreateSubnets(as("red"), []network.SubnetSpec{{NetworkID: n.ID, IPVersion: 6, CIDR: netip.MustParsePrefix("fd00::/64")}})
	require.NoError(t, err)
	w.port(as("red"), network.PortSpec{NetworkID: n.ID})
	all, err := w.ListAvailability(admin())
	require.NoError(t, err)
	require.Equal(t, "18446744073709551868", all[0].Total) // 253 and 2^64-2
	require.Equal(t, "2", all[0].Used)
}
