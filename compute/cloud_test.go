package compute_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/agent"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/bus"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	fakehv "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	netdriver "github.com/nephos-cloud/nephos/driver/network"
	fakenet "github.com/nephos-cloud/nephos/driver/network/fake"
	"github.com/nephos-cloud/nephos/driver/volume"
	fakevol "github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// testCloud is a cloud of several hosts with fakes, driven step by step. Its
// controller and agents can crash and be started again on what they left.
type testCloud struct {
	t       testing.TB
	clock   *testClock
	db      *store.DB
	bus     *bus.Memory
	policy  *policy.Enforcer
	hosts   []*testHost
	images  *testImages
	network *network.Service
	volumes *blockstorage.Service
	volst   *fakevol.State
	claims  *sqlstore.Store
	service *compute.Service
	queue   *reconcile.Queue
	fleet   *agent.Fleet
	crash   nephos.CrashPoint
	config  func(*compute.Config)
	net     network.Network
}

type testHost struct {
	name   string
	cloud  *testCloud
	hvst   *fakehv.State
	netst  *fakenet.State
	faults *fakehv.Faults
	dir    string
	agent  *agent.Agent
	hv     *fakehv.Driver
	nd     *fakenet.Driver
	off    bool
}

const (
	project = "11111111111111111111111111111111"
	user    = "22222222222222222222222222222222"
)

func migrations() []store.Migrations {
	return []store.Migrations{compute.Migrations(), network.Migrations(), sqlstore.Migrations(), blockstorage.Migrations()}
}

func newCloud(t testing.TB, hosts int, config func(*compute.Config)) *testCloud {
	clock := newClock()
	return newCloudOn(t, storetest.Open(t, clock, migrations()...), clock, hosts, config)
}

func newCloudOn(t testing.TB, db *store.DB, clock *testClock, hosts int, config func(*compute.Config)) *testCloud {
	c := &testCloud{t: t, clock: clock, db: db, bus: bus.NewMemory(clock), config: config, images: newImages(t), volst: &fakevol.State{}}
	var err error
	c.policy, err = policy.New(policy.Base(), compute.Rules(), network.Rules(), blockstorage.Rules())
	require.NoError(t, err)
	for i := range hosts {
		name := "host-" + string(rune('1'+i))
		c.hosts = append(c.hosts, &testHost{
			name: name, cloud: c, hvst: fakehv.NewState(), netst: fakenet.NewState(clock), faults: &fakehv.Faults{}, dir: t.TempDir(),
		})
	}
	c.startController()
	for _, h := range c.hosts {
		h.start()
	}
	c.settle()
	net, err := c.network.CreateNetworks(c.admin(), []network.NetworkSpec{{ProjectID: project, Name: "private"}})
	require.NoError(t, err)
	c.net = net[0]
	_, err = c.network.CreateSubnets(c.user(), []network.SubnetSpec{{NetworkID: c.net.ID, Name: "sub", IPVersion: 4, CIDR: netip.MustParsePrefix("10.0.0.0/20")}})
	require.NoError(t, err)
	c.settle()
	return c
}

// startController makes the controller's objects anew, on the same database and
// bus.
func (c *testCloud) startController() {
	crash := nephos.CrashPoint(func(name string) { c.crash.Here(name) })
	c.fleet = agent.NewFleet(c.bus, nil)
	var err error
	c.network, err = network.New(network.Config{Store: c.db, Policy: c.policy, Clock: c.clock, Fleet: c.fleet})
	require.NoError(c.t, err)
	c.claims, err = sqlstore.New(sqlstore.Config{Store: c.db, Clock: c.clock})
	require.NoError(c.t, err)
	pool, err := volume.NewPool(c.t.Context(), fakevol.New(fakevol.Config{State: c.volst, Clock: c.clock}), volume.PoolOptions{})
	require.NoError(c.t, err)
	c.volumes, err = blockstorage.New(blockstorage.Config{Store: c.db, Policy: c.policy, Pools: []*volume.Pool{pool}, Clock: c.clock, Images: c.images, Crash: crash})
	require.NoError(c.t, err)
	cfg := compute.Config{
		Store: c.db, Policy: c.policy, Clock: c.clock, Fleet: c.fleet, Claims: c.claims, Images: c.images, Sink: c.images, Ports: c.network, Groups: c.network, Volumes: c.volumes, Crash: crash,
		ConsoleURL: func() string { return "http://cloud.test/console" },
	}
	if c.config != nil {
		c.config(&cfg)
	}
	c.service, err = compute.New(cfg)
	require.NoError(c.t, err)
	c.queue = reconcile.New(reconcile.Config{Store: c.db, Clock: c.clock, Crash: crash})
	for _, k := range c.service.Kinds() {
		c.queue.Add(k)
	}
	for _, k := range c.volumes.Kinds() {
		c.queue.Add(k)
	}
	for _, k := range c.network.Kinds() {
		c.queue.Add(k)
	}
	c.fleet.Observe(c.network, driver.KindNetwork, driver.KindPort, driver.KindRouter, driver.KindSecurityGroup)
	c.fleet.Observe(c.service, driver.KindServer)
}

func (h *testHost) start() {
	c := h.cloud
	var err error
	h.hv, err = fakehv.Open(fakehv.Config{
		CloudID: "cloud", Name: h.name, State: h.hvst, Clock: c.clock, Faults: h.faults,
		Host: hypervisor.Host{VCPUs: 8, MemoryMiB: 16 << 10, DiskGiB: 1000},
	})
	require.NoError(c.t, err)
	node, err := hypervisor.NewNode(c.t.Context(), h.hv, hypervisor.NodeOptions{})
	require.NoError(c.t, err)
	h.nd = fakenet.Open(h.netst, fakenet.Options{})
	netNode, err := netdriver.NewNode(c.t.Context(), h.nd, netdriver.NodeOptions{})
	require.NoError(c.t, err)
	h.agent, err = agent.New(agent.Config{
		Host: h.name, CloudID: "cloud", Dir: h.dir, Bus: c.bus, Hypervisor: node, Network: netNode, Clock: c.clock,
		Crash: func(name string) { c.crash.Here(h.name + " " + name) },
	})
	require.NoError(c.t, err)
	h.off = false
}

// kill ends the host's agent and its drivers; guests stay.
func (h *testHost) kill() {
	h.agent.Close()
	require.NoError(h.cloud.t, h.hv.Close())
	require.NoError(h.cloud.t, h.nd.Close())
	h.off = true
}

// settle runs everything until nothing is left to do at this time.
func (c *testCloud) settle() {
	c.t.Helper()
	for range 10_000 {
		busy := c.stepOnce()
		if !busy {
			return
		}
	}
	c.t.Fatal("the cloud does not come to rest")
}

// stepOnce takes one step of everybody.
func (c *testCloud) stepOnce() bool {
	c.t.Helper()
	busy, err := c.queue.Step(c.t.Context())
	require.NoError(c.t, err)
	for _, h := range c.hosts {
		if h.off {
			continue
		}
		ran, err := h.agent.Step(c.t.Context())
		require.NoError(c.t, err)
		busy = busy || ran
	}
	n, err := c.bus.Deliver(c.t.Context(), c.fleet.Handle)
	require.NoError(c.t, err)
	select {
	case <-c.bus.Lost():
		for _, h := range c.hosts {
			require.NoError(c.t, c.service.Republish(c.t.Context(), h.name, func(o driver.Object) error { return c.fleet.Put(c.t.Context(), h.name, o) }))
			require.NoError(c.t, c.network.Republish(c.t.Context(), h.name, func(o driver.Object) error { return c.fleet.Put(c.t.Context(), h.name, o) }))
		}
		busy = true
	default:
	}
	_, err = c.service.FollowEvents(c.t.Context())
	require.NoError(c.t, err)
	return busy || n > 0
}

// pass lets time go by, with heartbeats of the hosts that are on.
func (c *testCloud) pass(d time.Duration) {
	c.t.Helper()
	for d > 0 {
		step := min(d, 20*time.Second)
		c.clock.Advance(step)
		d -= step
		for _, h := range c.hosts {
			if !h.off {
				h.agent.BeatNow(c.t.Context())
			}
		}
		c.settle()
	}
}

func (c *testCloud) as(caller nephos.Caller) context.Context {
	caller.RequestID = "req-" + nephos.IDs{}.New()
	return nephos.WithCaller(c.t.Context(), caller)
}

func (c *testCloud) user() context.Context {
	return c.as(nephos.Caller{UserID: user, ProjectID: project, Roles: []string{"member", "reader"}})
}

func (c *testCloud) stranger() context.Context {
	return c.as(nephos.Caller{UserID: "other", ProjectID: "other", Roles: []string{"member", "reader"}})
}

func (c *testCloud) admin() context.Context {
	return c.as(nephos.Caller{UserID: "admin", ProjectID: "admin", Roles: []string{"admin", "member", "reader"}})
}

// flavor makes a flavor for everybody.
func (c *testCloud) flavor(vcpus, memory, disk int) string {
	c.t.Helper()
	f, err := c.service.CreateFlavor(c.admin(), compute.FlavorSpec{
		Name: "f" + nephos.IDs{}.Hex(), VCPUs: vcpus, MemoryMiB: memory, DiskGiB: disk,
	})
	require.NoError(c.t, err)
	return f.ID
}

func (c *testCloud) boot(req compute.BootRequest) compute.Server {
	c.t.Helper()
	if req.Name == "" {
		req.Name = "one"
	}
	if req.ImageID == "" && len(req.Disks) == 0 {
		req.ImageID = c.images.id
	}
	if req.FlavorID == "" {
		req.FlavorID = c.flavor(1, 512, 1)
	}
	servers, err := c.service.Boot(c.user(), req)
	require.NoError(c.t, err)
	return servers[0]
}

func (c *testCloud) server(id string) compute.Server {
	c.t.Helper()
	s, err := c.service.Server(c.admin(), id)
	require.NoError(c.t, err)
	return s
}

// running boots a server and waits until it runs.
func (c *testCloud) running() compute.Server {
	c.t.Helper()
	s := c.boot(compute.BootRequest{})
	c.settle()
	s = c.server(s.ID)
	require.Equal(c.t, compute.Active, s.VMState, "%+v", s.Fault)
	return s
}

func (c *testCloud) host(name string) *testHost {
	for _, h := range c.hosts {
		if h.name == name {
			return h
		}
	}
	c.t.Fatalf("there is no host %q", name)
	return nil
}

// guests returns the guests with the id on all hosts.
func (c *testCloud) guests(id string) (found []hypervisor.Guest) {
	for _, h := range c.hosts {
		d, err := fakehv.Open(fakehv.Config{Name: h.name, State: h.hvst})
		require.NoError(c.t, err)
		list, err := d.List(c.t.Context())
		require.NoError(c.t, err)
		for _, g := range list {
			if g.ID == id {
				found = append(found, g)
			}
		}
	}
	return found
}

// empty fails the test if anything of any server is left anywhere.
func (c *testCloud) empty() {
	c.t.Helper()
	for _, h := range c.hosts {
		d, err := fakehv.Open(fakehv.Config{Name: h.name, State: h.hvst})
		require.NoError(c.t, err)
		list, err := d.List(c.t.Context())
		require.NoError(c.t, err)
		require.Empty(c.t, list, "guests on %s", h.name)
		inv, err := fakenet.Open(h.netst, fakenet.Options{}).List(c.t.Context())
		require.NoError(c.t, err)
		require.Empty(c.t, inv.Ports, "ports on %s", h.name)
		claims, err := c.claims.Claims(c.t.Context(), h.name)
		require.NoError(c.t, err)
		require.Empty(c.t, claims, "claims on %s", h.name)
	}
	for _, table := range []string{"compute_tombstones", "compute_disks", "network_ports"} {
		n, err := c.db.Reader().NewSelect().Table(table).Count(c.t.Context())
		require.NoError(c.t, err)
		require.Zero(c.t, n, table)
	}
}

// volume makes a volume that is ready.
func (c *testCloud) volume(image bool) blockstorage.Volume {
	c.t.Helper()
	spec := blockstorage.VolumeSpec{SizeGiB: 1}
	if image {
		spec.ImageID = c.images.id
	}
	v, err := c.volumes.CreateVolume(c.user(), spec)
	require.NoError(c.t, err)
	c.settle()
	return c.volumeNow(v.ID)
}

func (c *testCloud) volumeNow(id string) blockstorage.Volume {
	c.t.Helper()
	v, err := c.volumes.Volume(c.user(), id)
	require.NoError(c.t, err)
	return v
}
