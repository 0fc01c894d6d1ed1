package cloudtest

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/agent"
	"github.com/nephos-cloud/nephos/cloud"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	fakehypervisor "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	"github.com/nephos-cloud/nephos/driver/network"
	fakenetwork "github.com/nephos-cloud/nephos/driver/network/fake"
)

// Host is a simulated machine with its agent.
type Host struct {
	Name string
	// Hypervisor is the memory of the host's hypervisor, which outlives its
	// agent: a guest can be looked at, crashed and powered off there.
	Hypervisor *fakehypervisor.State

	cloud  *Cloud
	dir    string
	agent  *agent.Agent
	guests *hypervisor.Node
	wires  *network.Node
	off    bool // no agent runs
	starts int
	beat   time.Time

	cancel context.CancelFunc // not nil while the agent runs in the background
	wg     sync.WaitGroup
}

func (c *Cloud) addHosts() {
	n := c.options.Hosts
	if n == 0 {
		n = 3
	}
	for i := range n {
		name := fmt.Sprintf("host-%d", i+1)
		h := &Host{Name: name, Hypervisor: fakehypervisor.NewState(), cloud: c, dir: filepath.Join(c.dir, name)}
		c.Hosts = append(c.Hosts, h)
		h.open()
	}
}

// Host returns the host of the name.
func (c *Cloud) Host(name string) *Host {
	c.t.Helper()
	for _, h := range c.Hosts {
		if h.Name == name {
			return h
		}
	}
	c.t.Fatalf("there is no host %q", name)
	return nil
}

// HostOf returns the host that the server is on; nil if it is on none.
func (c *Cloud) HostOf(serverID string) *Host {
	c.t.Helper()
	s, err := c.Compute.Server(c.AsAdmin(), serverID)
	require.NoError(c.t, err)
	if s.Host == "" {
		return nil
	}
	return c.Host(s.Host)
}

// open makes the host's agent and drivers.
func (h *Host) open() {
	c := h.cloud
	o := c.options.Host
	fill(&o.Type, "QEMU")
	fill(&o.Arch, "x86_64")
	fill(&o.VCPUs, 64)
	fill(&o.MemoryMiB, 256<<10)
	fill(&o.DiskGiB, 10000)
	if c.options.Describe != nil {
		c.options.Describe(h.Name, &o)
	}
	hd, err := fakehypervisor.Open(fakehypervisor.Config{
		CloudID: cloudID, Name: h.Name, State: h.Hypervisor, Clock: c.Clock, Faults: c.Faults, Host: o, Behave: c.Guests.of,
	})
	require.NoError(c.t, err)
	h.guests, err = hypervisor.NewNode(context.Background(), hd, hypervisor.NodeOptions{})
	require.NoError(c.t, err)
	nd := fakenetwork.Open(c.Wires, fakenetwork.Options{Host: h.Name, Metadata: func(r *http.Request) (*http.Response, error) {
		return cloud.NewTransport(h.agent.Metadata()).RoundTrip(r)
	}})
	h.wires, err = network.NewNode(context.Background(), nd, network.NodeOptions{})
	require.NoError(c.t, err)
	h.guests.Intercept(c.calls(h.Name, c.Inject.Intercept(h.Name)))
	h.wires.Intercept(c.calls(h.Name, c.Inject.Intercept(h.Name)))
	h.starts++
	h.agent, err = agent.New(agent.Config{
		Host: h.Name, CloudID: cloudID, Dir: h.dir, Bus: c.Inject.Wire(c.config.Bus), Hypervisor: h.guests, Network: h.wires,
		HTTP: &http.Client{Transport: c.internal()}, Clock: c.Clock, IDs: c.ids(fmt.Sprint(h.Name, " ", h.starts)),
		Log: c.options.Log, Tracer: c.options.Tracer, Crash: c.Inject.CrashPoint(c.crashPoint(h.Name), func(at string) { c.fall(h.Name, at) }),
	})
	require.NoError(c.t, err)
	h.off, h.beat = false, c.Clock.Now()
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (h *Host) startLive() {
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	a := h.agent
	h.wg.Go(func() {
		if err := a.Run(ctx); err != nil {
			h.cloud.t.Error(err)
		}
	})
}

func (h *Host) stopLive() {
	if h.cancel != nil {
		h.cancel()
		h.wg.Wait()
		h.cancel = nil
	}
}

func (h *Host) close() {
	h.stopLive()
	if !h.off {
		h.off = true
		h.agent.Close()
		_, _ = h.guests.Close(), h.wires.Close()
	}
}

// Silence ends the host's agent: nobody hears of the host, and its guests run
// on, as when its network is cut.
func (h *Host) Silence() {
	h.cloud.mu.Lock()
	defer h.cloud.mu.Unlock()
	h.close()
}

// Kill cuts the host's power: its agent and all its guests end.
func (h *Host) Kill() {
	h.Silence()
	h.Hypervisor.RebootHost()
}

// Revive starts the agent of a host that was silenced or killed. In a host that
// was killed what should run is started again.
func (h *Host) Revive() {
	h.cloud.mu.Lock()
	defer h.cloud.mu.Unlock()
	if !h.off {
		return
	}
	h.open()
	if h.cloud.cancel != nil {
		h.startLive()
	}
}

// Reboot cuts the host's power and switches it on again.
func (h *Host) Reboot() {
	h.Kill()
	h.Revive()
}

// Restart ends the host's agent, as a kill of the process would, and starts it
// again. Guests do not notice.
func (h *Host) Restart() {
	h.Silence()
	h.Revive()
}

// Drain has nothing new placed on the host: its compute service is disabled.
// Servers that are there stay.
func (h *Host) Drain(reason string) { h.enable(false, reason) }

// Undrain ends what [Host.Drain] began.
func (h *Host) Undrain() { h.enable(true, "") }

func (h *Host) enable(on bool, reason string) {
	c := h.cloud
	c.t.Helper()
	off := !on
	_, err := c.Compute.UpdateServiceOn(c.AsAdmin(), h.Name, compute.ComputeBinary, compute.ServiceUpdate{Disabled: &off, DisabledReason: reason})
	require.NoError(c.t, err)
}
