//go:build linux

package linux_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/network/linux"
	"github.com/nephos-cloud/nephos/driver/network/networktest"
	"github.com/nephos-cloud/nephos/driver/plugin"
)

// needRoot skips where the kernel cannot be asked for what the tests need.
func needRoot(t drivertest.T) {
	t.Helper()
	switch _, err := os.Stat("/dev/net/tun"); {
	case os.Getenv("NEPHOS_E2E") != "1":
		t.Skip("NEPHOS_E2E is not 1: the test makes network namespaces")
	case os.Getuid() != 0:
		t.Skip("not root: network namespaces are out of reach")
	case err != nil:
		t.Skip("no /dev/net/tun: taps are out of reach")
	}
}

// host is a pretended host: a network namespace that the driver takes for the
// host's, and a folder for the names of the driver's own.
type host struct {
	t   drivertest.T
	ns  netns.NsHandle
	dir string
}

func newHost(t drivertest.T) *host {
	t.Helper()
	needRoot(t)
	dir, err := os.MkdirTemp("", "np-test-")
	require.NoError(t, err)
	h := &host{t: t, dir: dir, ns: newNS(t)}
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range left {
			_ = unix.Unmount(filepath.Join(dir, e.Name()), unix.MNT_DETACH)
		}
		require.NoError(t, os.RemoveAll(dir))
	})
	return h
}

// newNS makes a namespace without a name, which lasts as long as its handle.
func newNS(t drivertest.T) netns.NsHandle {
	t.Helper()
	var ns netns.NsHandle
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and the thread ends with the goroutine
		var err error
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			ns, err = netns.Get()
		}
		done <- err
	}()
	require.NoError(t, <-done)
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

// inside runs f on a thread in the namespace.
func inside(t drivertest.T, ns netns.NsHandle, f func() error) {
	t.Helper()
	require.NoError(t, within(ns, f))
}

func within(ns netns.NsHandle, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := netns.Set(ns)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// external is the physical network of the tests.
var external = map[string]linux.External{"physnet": {HostAddress: netip.MustParsePrefix("172.24.4.1/24")}}

// open opens the driver on the pretended host.
func (h *host) open() *linux.Driver { return h.openFor(h.t.Name()) }

func (h *host) openFor(cloudID string) *linux.Driver {
	h.t.Helper()
	var d *linux.Driver
	inside(h.t, h.ns, func() (err error) {
		d, err = linux.Open(h.t.Context(), linux.Config{
			CloudID: cloudID, Dir: h.dir, Physical: external, LeaseTime: time.Hour,
		})
		return err
	})
	h.t.Cleanup(func() { _ = d.Close() })
	return d
}

// namespaces lists what the driver left.
func (h *host) namespaces() (names []string) {
	entries, err := os.ReadDir(h.dir)
	require.NoError(h.t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestDriver(t *testing.T) {
	suite(t, func(_ drivertest.T, _ *host, d *linux.Driver) network.Driver { return d })
}

// TestDriverOverTheWire runs the same through the plugin's protocol.
func TestDriverOverTheWire(t *testing.T) {
	suite(t, func(t drivertest.T, h *host, d *linux.Driver) network.Driver {
		over, err := plugin.Loop[network.Driver](t.Context(), d, plugin.LoopOptions{Roots: []string{h.dir}})
		require.NoError(t, err)
		return over
	})
}

func suite(t *testing.T, held func(drivertest.T, *host, *linux.Driver) network.Driver) {
	needRoot(t)
	hosts := map[drivertest.T]*host{}
	networktest.Run(t, func(t drivertest.T) network.Driver {
		if hosts[t] == nil {
			hosts[t] = newHost(t)
		}
		return held(t, hosts[t], hosts[t].open())
	}, networktest.Options{Ports: 32, External: network.Segment{Type: "flat", Physical: "physnet"}})
}
