package networktest

import (
	"context"
	"net"
	"net/http"
	"path/filepath"

	"github.com/stretchr/testify/require"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/network"
)

// routers: made, changed, found again and deleted.
func routers(s *suite) {
	s.need(network.AbilityRouter)
	netID, extID, id := s.id("network"), s.id("external"), s.id("router")
	require.ErrorIs(s, s.node.EnsureRouter(s.ctx, id, s.router(netID, extID)), nephos.ErrConflict, "its networks are not there")
	require.Empty(s, s.inventory().Routers, "half a router is left")

	_, ports := s.make(1)
	require.NoError(s, s.node.EnsureNetwork(s.ctx, extID, s.external()))
	for range 2 {
		require.NoError(s, s.node.EnsureRouter(s.ctx, id, s.router(netID, extID)))
	}
	require.Equal(s, []string{id}, s.inventory().Routers)
	require.Equal(s, ports, s.inventory().Ports, "a router's feet are no ports of guests")
	require.ErrorIs(s, s.node.DeleteNetwork(s.ctx, extID), nephos.ErrConflict, "the router's gateway is on it")

	r := s.router(netID, extID)
	r.Revision, r.FloatingIPs, r.Gateway, r.AdminUp = 2, nil, nil, false
	require.NoError(s, s.node.EnsureRouter(s.ctx, id, r))
	require.NoError(s, s.node.DeleteNetwork(s.ctx, extID))
	s.reopen()
	require.Equal(s, []string{id}, s.inventory().Routers)
	for range 2 {
		require.NoError(s, s.node.DeleteRouter(s.ctx, id))
	}
	require.NoError(s, s.node.DeletePort(s.ctx, ports[0]))
	require.NoError(s, s.node.DeleteNetwork(s.ctx, netID))
	require.NoError(s, s.node.DeleteSecurityGroup(s.ctx, s.id("group")))
	require.Equal(s, network.Inventory{}, normal(s.inventory()))
}

// statistics: a port has counters, an unknown one has not.
func statistics(s *suite) {
	s.need(network.AbilityStatistics)
	_, ports := s.make(1)
	_, err := s.node.PortStatistics(s.ctx, ports[0])
	require.NoError(s, err)
	_, err = s.node.PortStatistics(s.ctx, s.id("unknown"))
	require.ErrorIs(s, err, nephos.ErrNotFound)
}

// metadata: the socket may be given before and after networks exist, and changed.
func metadata(s *suite) {
	s.need(network.AbilityMetadata)
	for _, name := range []string{"a", "b"} {
		path := filepath.Join(s.TempDir(), name)
		l, err := net.Listen("unix", path)
		require.NoError(s, err)
		server := &http.Server{Handler: http.NotFoundHandler()} //nolint:gosec // a test's
		go func() { _ = server.Serve(l) }()
		defer server.Close()
		require.NoError(s, s.node.ServeMetadata(s.ctx, path))
		s.make(1)
	}
}

// events: the channel ends with its context and with the driver.
func events(s *suite) {
	s.need(network.AbilityEvents)
	ctx, cancel := context.WithCancel(s.ctx)
	one, err := s.node.Events(ctx)
	require.NoError(s, err)
	two, err := s.node.Events(s.ctx)
	require.NoError(s, err)
	cancel()
	ends(s, s.ctx, one)
	require.NoError(s, s.node.Close())
	ends(s, s.ctx, two)
	s.node = nil
}

// ends reads events until there are no more.
func ends(t drivertest.T, ctx context.Context, events <-chan network.Event) {
	t.Helper()
	for {
		select {
		case _, ok := <-events:
			if !ok {
				return
			}
		case <-ctx.Done():
			require.FailNow(t, "the channel of events does not close")
		}
	}
}
