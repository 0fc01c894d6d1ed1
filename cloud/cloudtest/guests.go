package cloudtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
	fakehypervisor "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
)

// Guest is how guests behave, as data.
type Guest struct {
	// Name is the pattern of the names of the servers that behave so, as
	// path.Match has it; empty matches all.
	Name string
	// Boots is how long a boot takes; zero is at once. The server is ACTIVE
	// meanwhile, as a real one would be.
	Boots time.Duration
	// Prints is what is written to the console over the time of the boot; empty
	// is a few lines of the guest's.
	Prints string
	// Fetches are paths at http://169.254.169.254 that it reads when it has
	// booted, as cloud-init does; each answer's size, and the first lines, are
	// printed. It asks for an address by DHCP first.
	Fetches []string
	// CrashAfter is when its machine dies after its power-on, and PowerOffAfter
	// when it switches itself off; zero is never.
	CrashAfter, PowerOffAfter time.Duration
	// Deaf guests ignore a request to power off, and are cut off after its grace.
	Deaf bool
}

// CloudInit are the paths that cloud-init reads from OpenStack's metadata
// service, for [Guest.Fetches].
var CloudInit = []string{
	"/openstack", "/openstack/latest/meta_data.json", "/openstack/latest/user_data",
	"/openstack/latest/vendor_data.json", "/openstack/latest/network_data.json",
}

// Guests say how guests behave.
type Guests struct {
	cloud *Cloud

	mu   sync.Mutex
	list []Guest
	wake chan struct{}
}

func newGuests(c *Cloud) *Guests { return &Guests{cloud: c, wake: make(chan struct{}, 1)} }

// Add adds behaviours. The one that was added last counts for a guest, from its
// next power-on.
func (g *Guests) Add(guests ...Guest) {
	for _, one := range guests {
		_, err := path.Match(one.Name, "")
		require.NoError(g.cloud.t, err, "the pattern %q", one.Name)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.list = append(g.list, guests...)
}

// of is how the guest behaves.
func (g *Guests) of(name, _ string) fakehypervisor.Behaviour {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
	for i := len(g.list) - 1; i >= 0; i-- {
		one := g.list[i]
		if ok, _ := path.Match(one.Name, name); one.Name != "" && !ok {
			continue
		}
		b := fakehypervisor.Behaviour{
			BootText: one.Prints, BootTime: one.Boots, Deaf: one.Deaf, CrashAfter: one.CrashAfter, PowerOffAfter: one.PowerOffAfter,
		}
		if len(one.Fetches) > 0 {
			b.Booted = func(id string) string { return g.cloud.initialise(id, one.Fetches) }
		}
		return b
	}
	return fakehypervisor.Behaviour{}
}

// run plays the guests of a live cloud.
func (g *Guests) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := time.Minute
		for _, h := range g.cloud.Hosts {
			for h.Hypervisor.Play(g.cloud.Clock.Now()) {
			}
			if at, ok := h.Hypervisor.NextPlay(); ok {
				wait = min(wait, max(at.Sub(g.cloud.Clock.Now()), 0))
			}
		}
		select {
		case <-ctx.Done():
		case <-g.wake:
		case <-g.cloud.Clock.After(wait):
		}
	}
}

// initialise is what a guest does when it has booted.
func (c *Cloud) initialise(id string, paths []string) string {
	var b strings.Builder
	ports := c.portsOf(id)
	if len(ports) == 0 {
		return "ci-info: no network\r\n"
	}
	for _, p := range ports {
		if ip, err := c.Wires.Lease(p); err != nil {
			fmt.Fprintf(&b, "ci-info: no address: %v\r\n", err)
		} else {
			fmt.Fprintf(&b, "ci-info: address %s\r\n", ip)
		}
	}
	for _, p := range paths {
		status, body, err := c.fetch(ports[0], http.MethodGet, p, nil)
		if err != nil {
			fmt.Fprintf(&b, "cloud-init: %s: %v\r\n", p, err)
			continue
		}
		fmt.Fprintf(&b, "cloud-init: %s: %d, %d bytes\r\n", p, status, len(body))
		for i, line := range bytes.Split(bytes.TrimSpace(body), []byte("\n")) {
			if status != http.StatusOK || i == 8 {
				break
			}
			fmt.Fprintf(&b, "  %.200s\r\n", bytes.TrimSpace(line))
		}
	}
	return b.String() + "cloud-init: done\r\n"
}

// portsOf are the ports of a guest, first card first.
func (c *Cloud) portsOf(id string) (ports []string) {
	for _, h := range c.Hosts {
		if spec, ok := h.Hypervisor.Spec(id); ok {
			for _, nic := range spec.NICs {
				ports = append(ports, nic.ID)
			}
		}
	}
	return ports
}

const maxFetched = 1 << 20

func (c *Cloud) fetch(port, method, path string, body io.Reader) (int, []byte, error) {
	r, err := http.NewRequestWithContext(context.Background(), method, "http://169.254.169.254"+path, body)
	if err != nil {
		return 0, nil, err
	}
	resp, err := c.Wires.Metadata(port, r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxFetched))
	return resp.StatusCode, b, err
}

// Metadata has a server's guest read a path at http://169.254.169.254, by way of
// its host's agent. It fails the test unless the answer is 200.
func (c *Cloud) Metadata(serverID, path string) []byte {
	c.t.Helper()
	ports := c.portsOf(serverID)
	require.NotEmpty(c.t, ports, "server %s has no guest with a network", serverID)
	status, body, err := c.fetch(ports[0], http.MethodGet, path, nil)
	require.NoError(c.t, err)
	require.Equal(c.t, http.StatusOK, status, "%s: %s", path, body)
	return body
}

// Console returns what a server's guest has written to its console by now.
func (c *Cloud) Console(serverID string) string {
	c.t.Helper()
	for _, h := range c.Hosts {
		if text, err := h.Hypervisor.Log(serverID); err == nil {
			return text
		}
	}
	c.t.Fatalf("server %s has no guest", serverID)
	return ""
}

// Guest returns the guest of a server, as its hypervisor sees it; false when
// there is none. Two are an error of the cloud's, and end the test.
func (c *Cloud) Guest(serverID string) (guest hypervisor.Guest, found bool) {
	c.t.Helper()
	for _, h := range c.Hosts {
		for _, g := range h.Hypervisor.Guests() {
			if g.ID == serverID {
				require.False(c.t, found, "server %s has two guests", serverID)
				guest, found = g, true
			}
		}
	}
	return guest, found
}

// Crash is the machine of a server's guest dying.
func (c *Cloud) Crash(serverID string) {
	c.t.Helper()
	require.NoError(c.t, c.onGuest(serverID, (*fakehypervisor.State).Crash))
}

// PowerOff is a server's guest switching itself off.
func (c *Cloud) PowerOff(serverID string) {
	c.t.Helper()
	require.NoError(c.t, c.onGuest(serverID, (*fakehypervisor.State).PowerOff))
}

func (c *Cloud) onGuest(id string, f func(*fakehypervisor.State, string) error) error {
	for _, h := range c.Hosts {
		if _, ok := h.Hypervisor.Spec(id); ok {
			return f(h.Hypervisor, id)
		}
	}
	return errors.New("server " + id + " has no guest")
}
