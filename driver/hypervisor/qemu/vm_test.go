package qemu

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func peerSpec() hypervisor.Spec {
	return hypervisor.Spec{CloudID: "c", Name: "n", VCPUs: 1, MemoryMiB: 64}
}

func stateOf(t *testing.T, d *Driver) hypervisor.State {
	t.Helper()
	g, err := d.Get(t.Context(), peerID)
	require.NoError(t, err)
	return g.State
}

func next(t *testing.T, events <-chan hypervisor.Event) hypervisor.Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-t.Context().Done():
	case <-time.After(20 * time.Second):
	}
	require.FailNow(t, "no event")
	return hypervisor.Event{}
}

func TestGuestPowersItselfOff(t *testing.T) {
	d, q, _ := newPeer(t, peerSpec())
	events, err := d.Events(t.Context())
	require.NoError(t, err)
	q.mu.Lock()
	q.status = "shutdown"
	q.event("SHUTDOWN", `{"guest": true, "reason": "guest-shutdown"}`)
	q.event("STOP", `{}`)
	q.mu.Unlock()
	e := next(t, events)
	require.Equal(t, hypervisor.Stopped, e.State)
	require.True(t, e.Guest)
	require.Equal(t, hypervisor.Stopped, stateOf(t, d))
	require.Equal(t, 1, q.count("quit"), "a QEMU whose guest is off is ended")
}

func TestKilledProcessIsACrash(t *testing.T) {
	d, q, _ := newPeer(t, peerSpec())
	events, err := d.Events(t.Context())
	require.NoError(t, err)
	require.NoError(t, q.process.Process.Kill())
	e := next(t, events)
	require.Equal(t, hypervisor.Crashed, e.State)
	require.True(t, e.Guest)
	require.Equal(t, hypervisor.Crashed, stateOf(t, d))
	require.NoError(t, d.Stop(t.Context(), peerID, hypervisor.StopOptions{}))
	require.Equal(t, hypervisor.Stopped, stateOf(t, d), "a stop is what is wanted from now on")
}

func TestStopAsksThenCuts(t *testing.T) {
	d, q, clock := newPeer(t, peerSpec())
	q.mu.Lock()
	q.deaf = true
	q.mu.Unlock()
	events, err := d.Events(t.Context())
	require.NoError(t, err)
	clock.run()
	require.NoError(t, d.Stop(t.Context(), peerID, hypervisor.StopOptions{Grace: time.Minute}))
	require.NotZero(t, q.count("system_powerdown"))
	require.Equal(t, 1, q.count("quit"))
	require.False(t, next(t, events).Guest)
}

func TestStopWithinTheGrace(t *testing.T) {
	d, q, _ := newPeer(t, peerSpec()) // the clock stands: only the guest's answer ends the wait
	require.NoError(t, d.Stop(t.Context(), peerID, hypervisor.StopOptions{Grace: time.Minute}))
	require.Equal(t, 1, q.count("system_powerdown"))
	require.Equal(t, hypervisor.Stopped, stateOf(t, d))
}

func TestCancelledStopLeavesTheGuest(t *testing.T) {
	d, q, _ := newPeer(t, peerSpec())
	q.mu.Lock()
	q.deaf = true
	q.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Stop(ctx, peerID, hypervisor.StopOptions{Grace: time.Minute}) }()
	require.Eventually(t, func() bool { return q.count("system_powerdown") == 1 }, 20*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Equal(t, hypervisor.Running, stateOf(t, d))
	require.Zero(t, q.count("quit"))
}

func TestEnsurePlugsAndUnplugs(t *testing.T) {
	spec := peerSpec()
	spec.Disks = []driver.Disk{volumeDisk(t, "v1", 1<<20)}
	d, q, _ := newPeer(t, spec)
	spec.Disks = []driver.Disk{volumeDisk(t, "v2", 1<<20), volumeDisk(t, "v3", 4<<20)}
	for range 2 {
		require.NoError(t, d.Ensure(t.Context(), peerID, spec))
		q.mu.Lock()
		require.Equal(t, map[string]string{"disk-v2": "virtio-blk-pci", "disk-v3": "virtio-blk-pci"}, q.devices)
		require.Equal(t, map[string]int64{diskNode("v2"): 1 << 20, diskNode("v3"): 4 << 20}, q.nodes,
			"the old node is gone, and the larger disk grew")
		q.mu.Unlock()
	}
	require.Equal(t, 2, q.count("device_add"), "a second Ensure plugs nothing")
}

func TestEnsureAfterHalfAPlug(t *testing.T) {
	d, q, _ := newPeer(t, peerSpec())
	q.mu.Lock()
	q.nodes[diskNode("v1")] = 1 // a driver died between blockdev-add and device_add
	q.mu.Unlock()
	spec := peerSpec()
	spec.Disks = []driver.Disk{volumeDisk(t, "v1", 0)}
	require.NoError(t, d.Ensure(t.Context(), peerID, spec))
	q.mu.Lock()
	defer q.mu.Unlock()
	require.Contains(t, q.devices, "disk-v1")
}

func TestGuestThatKeepsADevice(t *testing.T) {
	spec := peerSpec()
	spec.Disks = []driver.Disk{volumeDisk(t, "v1", 0)}
	d, q, clock := newPeer(t, spec)
	q.mu.Lock()
	q.deaf = true
	q.mu.Unlock()
	clock.run()
	require.ErrorIs(t, d.Ensure(t.Context(), peerID, peerSpec()), nephos.ErrUnavailable)
	g, err := d.Get(t.Context(), peerID)
	require.NoError(t, err)
	require.Equal(t, []string{"v1"}, g.Disks, "a disk that the guest keeps is not called gone")
	q.mu.Lock()
	q.deaf = false
	q.mu.Unlock()
	clock.stand()
	require.NoError(t, d.Ensure(t.Context(), peerID, peerSpec()))
}

func TestConnectionLost(t *testing.T) {
	d, q, clock := newPeer(t, peerSpec())
	clock.run()
	q.mu.Lock()
	q.status = "paused"
	require.NoError(t, q.conn.Close())
	q.mu.Unlock()
	require.Eventually(t, func() bool { return stateOf(t, d) == hypervisor.Paused }, 20*time.Second, time.Millisecond,
		"the driver dials again and asks for the state")
}

func TestOtherCloudsGuest(t *testing.T) {
	spec := peerSpec()
	spec.CloudID = "other"
	d, _, _ := newPeer(t, spec)
	require.ErrorIs(t, d.Ensure(t.Context(), peerID, peerSpec()), nephos.ErrConflict)
	list, err := d.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, list)
}
