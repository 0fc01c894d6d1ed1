//go:build linux

package linux_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/network"
)

// Of a burst only so much passes as the limit says, either way.
func TestBandwidth(t *testing.T) {
	s := newSite(t)
	s.network("a", private(0))
	s.group("all", stateful(rule("egress", ""), rule("ingress", "")))
	one, two := port("a", "10.0.0.10", "all"), port("a", "10.0.0.11", "all")
	a, b := s.guest("one", one), s.guest("two", two)
	a.lease(true)
	b.lease(true)
	box := b.inbox(9)
	a.send("", "10.0.0.11:9", "hello") // each learns the other's card
	box.next()

	count := func(name string) network.Statistics {
		c, err := s.d.PortStatistics(t.Context(), id(name))
		require.NoError(t, err)
		return c
	}
	const burst = 100
	passed := func() uint64 {
		sent, got := count("one").TxPackets, count("two").RxPackets
		for range burst {
			a.send("", "10.0.0.11:9", strings.Repeat("x", 1000))
		}
		require.Eventually(t, func() bool { return count("one").TxPackets >= sent+burst }, patience, 10*time.Millisecond)
		return count("two").RxPackets - got
	}
	limit := func(name string, p network.Port, q *network.QoS) {
		p.QoS = q
		_, err := s.d.EnsurePort(t.Context(), id(name), p)
		require.NoError(t, err)
	}
	slow := network.Bandwidth{MaxKbps: 8, MaxBurstKb: 80} // 10 kB, then 1 kB a second
	require.GreaterOrEqual(t, passed(), uint64(burst), "without a limit")
	limit("one", one, &network.QoS{Egress: slow})
	require.Less(t, passed(), uint64(burst/2), "what the guest sends is limited")
	limit("one", one, nil)
	limit("two", two, &network.QoS{Ingress: slow})
	require.Less(t, passed(), uint64(burst/2), "what the guest gets is limited")
	limit("two", two, nil)
	require.GreaterOrEqual(t, passed(), uint64(burst), "the limit is lifted")
}
