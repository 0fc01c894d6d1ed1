package network_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/network/fake"
)

// narrow offers less than its method set.
type narrow struct {
	*fake.Driver
	offer []string
}

func (n narrow) Abilities(context.Context) ([]string, error) { return n.offer, nil }

// plain has the required methods only.
type plain struct{ network.Driver }

func TestAbilities(t *testing.T) {
	d := fake.Open(fake.NewState(nil), fake.Options{})
	all, err := network.NewNode(t.Context(), d, network.NodeOptions{})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"RouterDriver", "MetadataServer", "Eventer", "Statistician", "QoSDriver", "TrunkDriver", "NameServer"}, all.Abilities())
	some, err := network.NewNode(t.Context(), narrow{d, []string{"RouterDriver"}}, network.NodeOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{"RouterDriver"}, some.Abilities())
	_, err = some.PortStatistics(t.Context(), "p")
	require.ErrorIs(t, err, errors.ErrUnsupported)
	none, err := network.NewNode(t.Context(), plain{d}, network.NodeOptions{})
	require.NoError(t, err)
	require.False(t, none.Can("RouterDriver"))
	require.ErrorIs(t, none.EnsureRouter(t.Context(), "r", network.Router{}), errors.ErrUnsupported)
	require.ErrorIs(t, none.DeleteRouter(t.Context(), "r"), errors.ErrUnsupported)
	require.ErrorIs(t, none.ServeMetadata(t.Context(), "s"), errors.ErrUnsupported)
	require.ErrorIs(t, none.EnsureZone(t.Context(), "n", network.Zone{}), errors.ErrUnsupported)
	require.ErrorIs(t, none.DeleteZone(t.Context(), "n"), errors.ErrUnsupported)
	port := network.Port{NetworkID: "n", MAC: "fa:16:3e:00:00:01", QoS: &network.QoS{Egress: network.Bandwidth{MaxKbps: 1}}}
	_, err = none.EnsurePort(t.Context(), "p", port)
	require.ErrorIs(t, err, errors.ErrUnsupported, "limits that nobody would keep")
	port.QoS, port.Parent = nil, &network.Parent{PortID: "q", Segmentation: "vlan", ID: 1}
	_, err = none.EnsurePort(t.Context(), "p", port)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = none.Events(t.Context())
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

func TestDeadlineIsWorthARetry(t *testing.T) {
	s := fake.NewState(nil)
	s.Inject(fake.Fault{Latency: time.Hour})
	n, err := network.NewNode(t.Context(), fake.Open(s, fake.Options{}), network.NodeOptions{Timeout: time.Millisecond})
	require.NoError(t, err)
	err = n.EnsureNetwork(t.Context(), "n", network.Network{})
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = n.EnsureNetwork(ctx, "n", network.Network{})
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, nephos.ErrUnavailable)
}

func TestNoCallInsideATransaction(t *testing.T) {
	n, err := network.NewNode(t.Context(), fake.Open(fake.NewState(nil), fake.Options{}), network.NodeOptions{})
	require.NoError(t, err)
	require.Panics(t, func() { _, _ = n.List(nephos.EnterTx(t.Context())) })
	require.Panics(t, func() { _, _ = n.Events(nephos.EnterTx(t.Context())) })
}

func TestPermits(t *testing.T) {
	lo, hi, echo := 20, 30, 8
	group := func(string) []netip.Addr { return []netip.Addr{netip.MustParseAddr("10.0.0.1")} }
	in, out := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.1.1")
	for _, c := range []struct {
		rule        network.Rule
		remote      netip.Addr
		proto, port int
		want        bool
	}{
		{network.Rule{}, in, 6, 1, true},
		{network.Rule{IPv6: true}, in, 6, 1, false},
		{network.Rule{Protocol: "tcp"}, in, 17, 1, false},
		{network.Rule{Protocol: "6", PortMin: &lo, PortMax: &hi}, in, 6, 30, true},
		{network.Rule{Protocol: "tcp", PortMin: &lo, PortMax: &hi}, in, 6, 31, false},
		{network.Rule{Protocol: "icmp", PortMin: &echo}, in, 1, 8, true},
		{network.Rule{Protocol: "icmp", PortMin: &echo}, in, 1, 0, false},
		{network.Rule{RemotePrefix: netip.MustParsePrefix("10.0.0.0/24")}, out, 6, 1, false},
		{network.Rule{RemoteGroup: "g"}, in, 6, 1, true},
		{network.Rule{RemoteGroup: "g"}, out, 6, 1, false},
	} {
		require.Equal(t, c.want, c.rule.Permits(c.remote, c.proto, c.port, group), "%+v", c)
	}
}

func FuzzProtocolNumber(f *testing.F) {
	for _, s := range []string{"", "tcp", "icmp", "255", "256", "-1", "+6", " 6"} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, v6 bool) {
		n, err := network.ProtocolNumber(s, v6)
		if err != nil {
			require.ErrorIs(t, err, nephos.ErrInvalid)
			return
		}
		require.GreaterOrEqual(t, n, -1)
		require.LessOrEqual(t, n, 255)
	})
}
