package agent_test

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/agent"
	"github.com/nephos-cloud/nephos/bus"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	fakehv "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	"github.com/nephos-cloud/nephos/driver/network"
	fakenet "github.com/nephos-cloud/nephos/driver/network/fake"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// host is one host under test, whose agent can be killed and started again.
type host struct {
	t     *testing.T
	bus   *bus.Memory
	fleet *agent.Fleet
	seen  *recorder
	hvst  *fakehv.State
	hv    *fakehv.Driver
	net   network.Driver
	netst *fakenet.State
	dir   string
	agent *agent.Agent
	http  *http.Client
	pools map[string]*volume.Pool
	crash nephos.CrashPoint
}

// recorder is a service's side.
type recorder struct {
	mu      sync.Mutex
	reports []driver.Report
	beats   []driver.HostBeat
	objects []driver.Object // what it publishes again
}

func (r *recorder) Reported(_ context.Context, rep driver.Report) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports = append(r.reports, rep)
	return nil
}

func (r *recorder) Beat(_ context.Context, b driver.HostBeat) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beats = append(r.beats, b)
	return nil
}

func (r *recorder) Republish(_ context.Context, _ string, put func(driver.Object) error) error {
	for _, o := range r.objects {
		if err := put(o); err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) last(kind driver.Kind) driver.Report {
	for i := len(r.reports) - 1; i >= 0; i-- {
		if r.reports[i].Kind == kind {
			return r.reports[i]
		}
	}
	return driver.Report{}
}

func newHost(t *testing.T) *host {
	h := &host{
		t: t, bus: bus.NewMemory(nil), seen: &recorder{}, hvst: fakehv.NewState(), netst: fakenet.NewState(nil), dir: t.TempDir(),
		http: http.DefaultClient,
	}
	h.fleet = agent.NewFleet(h.bus, nil)
	h.fleet.Observe(h.seen, driver.KindServer, driver.KindPort, driver.KindNetwork, driver.KindSecurityGroup, driver.KindRouter)
	h.start()
	return h
}

func (h *host) start() {
	hv, err := fakehv.Open(fakehv.Config{CloudID: "cloud", Name: "host-1", State: h.hvst})
	require.NoError(h.t, err)
	h.hv = hv
	node, err := hypervisor.NewNode(h.t.Context(), hv, hypervisor.NodeOptions{})
	require.NoError(h.t, err)
	nd := fakenet.Open(h.netst, fakenet.Options{})
	h.net = nd
	netNode, err := network.NewNode(h.t.Context(), nd, network.NodeOptions{})
	require.NoError(h.t, err)
	h.agent, err = agent.New(agent.Config{
		Host: "host-1", CloudID: "cloud", Dir: h.dir, Bus: h.bus, Hypervisor: node, Network: netNode, HTTP: h.http, Volumes: h.pools, Crash: h.crash,
	})
	require.NoError(h.t, err)
	h.settle()
}

func (h *host) settle() {
	h.t.Helper()
	for {
		ran, err := h.agent.Step(h.t.Context())
		require.NoError(h.t, err)
		n, err := h.bus.Deliver(h.t.Context(), h.fleet.Handle)
		require.NoError(h.t, err)
		if !ran && n == 0 {
			return
		}
	}
}

func (h *host) kill() {
	h.agent.Close()
	require.NoError(h.t, h.hv.Close())
	require.NoError(h.t, h.net.Close())
}

func object(t *testing.T, kind driver.Kind, id string, revision int64, spec any) driver.Object {
	b, err := json.Marshal(spec)
	require.NoError(t, err)
	return driver.Object{Kind: kind, ID: id, Revision: revision, Spec: b}
}

func (h *host) put(objects ...driver.Object) {
	h.t.Helper()
	for _, o := range objects {
		require.NoError(h.t, h.fleet.Put(h.t.Context(), "host-1", o))
	}
	h.settle()
}

func testNetwork() network.Network {
	return network.Network{Revision: 1, Name: "net", MTU: 1450, Segment: network.Segment{Type: "vxlan", ID: 7}, Subnets: []network.Subnet{{
		ID: "sub", CIDR: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1"), DHCP: true,
	}}}
}

func testPort() network.Port {
	return network.Port{
		Revision: 1, NetworkID: "net", MAC: "fa:16:3e:00:00:01", AdminUp: true, PortSecurity: true,
		Addresses: []network.Address{{SubnetID: "sub", IP: netip.MustParseAddr("10.0.0.5")}},
	}
}

func testServer(power hypervisor.Power, generation int64) hypervisor.Server {
	return hypervisor.Server{
		Spec: hypervisor.Spec{Name: "one", VCPUs: 1, MemoryMiB: 64, Disks: []driver.Disk{{
			ID: "root", Source: driver.Connection{Type: "local"}, Format: "qcow2", SizeBytes: 1 << 30,
		}}},
		Power: power, Generation: generation,
		Ports: []hypervisor.PortRef{{ID: "port", MAC: "fa:16:3e:00:00:01", MTU: 1450}},
	}
}

func (h *host) boot() {
	h.put(
		object(h.t, driver.KindServer, "srv", 1, testServer(hypervisor.PowerOn, 1)), // before what it needs
		object(h.t, driver.KindPort, "port", 1, testPort()),
		object(h.t, driver.KindNetwork, "net", 1, testNetwork()),
	)
}

func (h *host) guest() hypervisor.Guest {
	g, err := h.hv.Get(h.t.Context(), "srv")
	require.NoError(h.t, err)
	return g
}

func TestAServerWaitsForItsPortAndRuns(t *testing.T) {
	h := newHost(t)
	h.boot()
	require.Equal(t, hypervisor.Running, h.guest().State)
	r := h.seen.last(driver.KindServer)
	require.Equal(t, "running", r.State)
	require.EqualValues(t, 1, r.Revision)
	var names []string
	for _, m := range r.Moments {
		names = append(names, m.Name)
	}
	require.Equal(t, []string{"network", "defined", "running"}, names)
	require.Equal(t, []string{"port"}, h.guest().NICs)
}

func TestAPortAndARouterWaitForTheirNetworkWithoutComplaint(t *testing.T) {
	h := newHost(t)
	h.put(
		object(t, driver.KindPort, "port", 1, testPort()),
		object(t, driver.KindRouter, "router", 1, network.Router{
			Revision: 1, Name: "router", AdminUp: true,
			Interfaces: []network.RouterInterface{{
				PortID: "leg", NetworkID: "net", MAC: "fa:16:3e:00:00:02", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")},
			}},
		}),
	)
	require.Empty(t, h.seen.reports)
	h.put(object(t, driver.KindNetwork, "net", 1, testNetwork()))
	require.Len(t, h.seen.reports, 3)
	for _, r := range h.seen.reports {
		require.Equal(t, "up", r.State)
		require.Empty(t, r.Error)
	}
}

func TestANetworkGoesAfterItsPortsWithoutComplaint(t *testing.T) {
	h := newHost(t)
	h.put(object(t, driver.KindNetwork, "net", 1, testNetwork()), object(t, driver.KindPort, "port", 1, testPort()))
	h.seen.reports = nil
	h.put(driver.Object{Kind: driver.KindNetwork, ID: "net", Revision: 2, Deleted: true})
	require.Empty(t, h.seen.reports)
	h.put(driver.Object{Kind: driver.KindPort, ID: "port", Revision: 2, Deleted: true})
	require.Len(t, h.seen.reports, 2)
	for _, r := range h.seen.reports {
		require.True(t, r.Deleted)
		require.Empty(t, r.Error)
	}
}

func TestANetworkGoesAfterTheRouterThatLeavesIt(t *testing.T) {
	h := newHost(t)
	router := network.Router{Revision: 1, Name: "router", AdminUp: true, Interfaces: []network.RouterInterface{{
		PortID: "leg", NetworkID: "net", MAC: "fa:16:3e:00:00:02", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")},
	}}}
	h.put(object(t, driver.KindNetwork, "net", 1, testNetwork()), object(t, driver.KindRouter, "router", 1, router))
	h.kill()
	armed := false
	h.crash = func(at string) {
		if at == "agent before router" && armed { // while a worker has the router, another takes the network
			armed = false
			require.NoError(t, h.fleet.Put(t.Context(), "host-1", driver.Object{Kind: driver.KindNetwork, ID: "net", Revision: 2, Deleted: true}))
			h.settle()
		}
	}
	h.start()
	h.seen.reports, armed = nil, true
	router.Revision, router.Interfaces = 2, nil
	h.put(object(t, driver.KindRouter, "router", 2, router))
	for _, r := range h.seen.reports {
		require.Empty(t, r.Error)
	}
	require.True(t, h.seen.last(driver.KindNetwork).Deleted)
}

func TestWhatComesWhileAServerLooksForItIsNotMissed(t *testing.T) {
	h := newHost(t)
	once := sync.Once{}
	h.kill()
	h.crash = func(at string) {
		if at != "agent after server" { // it has looked, and says next that it waits
			return
		}
		once.Do(func() {
			h.put(object(t, driver.KindNetwork, "net", 1, testNetwork()), object(t, driver.KindPort, "port", 1, testPort()))
		})
	}
	h.start()
	h.put(object(t, driver.KindServer, "srv", 1, testServer(hypervisor.PowerOn, 1)))
	require.Equal(t, "running", h.seen.last(driver.KindServer).State)
}

func TestOlderRevisionsAreRefusedAndOnlyTombstonesDestroy(t *testing.T) {
	h := newHost(t)
	h.boot()
	h.put(object(t, driver.KindServer, "srv", 3, testServer(hypervisor.PowerOff, 2)))
	require.Equal(t, hypervisor.Stopped, h.guest().State)
	for range 2 {
		h.put(object(t, driver.KindServer, "srv", 2, testServer(hypervisor.PowerOn, 1)))
		require.Equal(t, hypervisor.Stopped, h.guest().State)
		h.bus.Empty() // and now it does not know better
		h.settle()
		h.guest() // still there
	}

	h.put(driver.Object{Kind: driver.KindServer, ID: "srv", Revision: 4, Deleted: true})
	_, err := h.hv.Get(t.Context(), "srv")
	require.Error(t, err)
	require.True(t, h.seen.last(driver.KindServer).Deleted)
	h.put(driver.Object{Kind: driver.KindPort, ID: "port", Revision: 2, Deleted: true}, driver.Object{Kind: driver.KindNetwork, ID: "net", Revision: 2, Deleted: true})
	inv, err := h.net.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, inv.Ports)
	require.Empty(t, inv.Networks)
}

func TestAKilledAgentAdoptsAndDoesNotUndoWhatAGuestDid(t *testing.T) {
	h := newHost(t)
	h.boot()
	h.seen.objects = []driver.Object{
		object(t, driver.KindNetwork, "net", 1, testNetwork()), object(t, driver.KindPort, "port", 1, testPort()),
		object(t, driver.KindServer, "srv", 1, testServer(hypervisor.PowerOn, 1)),
	}
	h.kill()
	started := h.guestAfterRestart(func() {})
	require.Equal(t, hypervisor.Running, started.State)

	h.kill()
	stopped := h.guestAfterRestart(func() { require.NoError(t, h.hvst.PowerOff("srv")) })
	require.Equal(t, hypervisor.Stopped, stopped.State, "it powered itself off, and stays off")
	require.Equal(t, "stopped", h.seen.last(driver.KindServer).State)
}

func (h *host) guestAfterRestart(meanwhile func()) hypervisor.Guest {
	hv, err := fakehv.Open(fakehv.Config{CloudID: "cloud", Name: "host-1", State: h.hvst})
	require.NoError(h.t, err)
	h.hv = hv
	meanwhile()
	require.NoError(h.t, hv.Close())
	h.start()
	return h.guest()
}

func TestAnUnknownGuestIsReportedAndLeft(t *testing.T) {
	h := newHost(t)
	h.boot()
	h.kill()
	h.bus.Empty()
	h.seen.beats = nil
	h.start()
	require.Equal(t, []string{"srv"}, h.seen.beats[0].Guests)
	require.Equal(t, hypervisor.Running, h.guest().State)
}

func TestAnImageIsFetchedOnceAndChecked(t *testing.T) {
	body := []byte(strings.Repeat("image", 1000))
	fetched := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fetched++; _, _ = w.Write(body) }))
	defer srv.Close()
	h := newHost(t)
	sum := sha512.Sum512(body)
	s := testServer(hypervisor.PowerOn, 1)
	s.Ports = nil
	s.Image = &hypervisor.ImageSource{ID: "img", URL: srv.URL, Format: "raw", Digest: hex.EncodeToString(sum[:]), Size: int64(len(body))}
	h.put(object(t, driver.KindServer, "a", 1, s), object(t, driver.KindServer, "b", 1, s))
	require.Equal(t, 1, fetched)
	data, err := os.ReadFile(filepath.Join(h.dir, "images", s.Image.Digest))
	require.NoError(t, err)
	require.Equal(t, body, data)

	bad := s
	bad.Image = &hypervisor.ImageSource{ID: "img", URL: srv.URL, Format: "raw", Digest: strings.Repeat("0", 128), Size: int64(len(body))}
	h.put(object(t, driver.KindServer, "c", 1, bad))
	require.Contains(t, h.seen.last(driver.KindServer).Error, "do not match the digest")
}

// TestAGuestThatStopsWhileAWorkerHasItIsReported stops a guest just before its
// worker says that it runs.
func TestAGuestThatStopsWhileAWorkerHasItIsReported(t *testing.T) {
	h := newHost(t)
	h.kill()
	stopped := map[string]chan struct{}{"srv": make(chan struct{}), "other": make(chan struct{})}
	said := map[string]*sync.Once{"srv": {}, "other": {}}
	once := sync.Once{}
	h.crash = func(at string) {
		if g, err := h.hv.Get(context.Background(), "srv"); at == "agent after server" && err == nil && g.State == hypervisor.Running {
			once.Do(func() {
				// Events come in order: with the second reported, the first was seen.
				require.NoError(t, h.hvst.PowerOff("srv"))
				require.NoError(t, h.hvst.PowerOff("other"))
				<-stopped["other"]
			})
		}
	}
	h.start()
	s := testServer(hypervisor.PowerOn, 1)
	s.Ports = nil
	h.put(object(t, driver.KindServer, "other", 1, s))
	require.Equal(t, "running", h.seen.last(driver.KindServer).State)
	h.agent.Close()

	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { require.NoError(t, h.agent.Run(ctx)) })
	wg.Go(func() {
		_ = h.bus.Reports(ctx, func(ctx context.Context, host string, v []byte) error {
			var m struct{ Report *driver.Report }
			require.NoError(t, json.Unmarshal(v, &m))
			if r := m.Report; r != nil && r.State == "stopped" {
				said[r.ID].Do(func() { close(stopped[r.ID]) })
			}
			return nil
		})
	})
	require.NoError(t, h.fleet.Put(ctx, "host-1", object(t, driver.KindServer, "srv", 1, s)))
	select {
	case <-stopped["srv"]:
	case <-time.After(10 * time.Second):
		t.Error("the stop was never reported")
	}
}

func TestASnapshotIsSentOnce(t *testing.T) {
	var got [][]byte
	status := http.StatusInternalServerError
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.Equal(t, http.MethodPut, r.Method)
		require.EqualValues(t, len(body), r.ContentLength)
		got = append(got, body)
		w.WriteHeader(status)
	}))
	defer srv.Close()
	h := newHost(t)
	h.boot()
	ask := func(url string) (a driver.SnapshotAnswer, err error) {
		err = h.fleet.Ask(t.Context(), "host-1", driver.AskSnapshot, driver.SnapshotQuestion{ID: "srv", Disk: "root", URL: url}, &a)
		return a, err
	}
	_, err := ask("file:///etc/passwd")
	require.ErrorIs(t, err, nephos.ErrInvalid)
	_, err = ask(srv.URL + "/i?signature=1")
	require.ErrorContains(t, err, "500")

	status = http.StatusNoContent
	for _, signature := range []string{"2", "3"} { // the second finds what the first did
		a, err := ask(srv.URL + "/i?signature=" + signature)
		require.NoError(t, err)
		require.True(t, a.Done)
		require.EqualValues(t, len(got[1]), a.Size)
	}
	require.Len(t, got, 2)
	require.Contains(t, string(got[1]), "disk root of guest srv")
	left, err := os.ReadDir(filepath.Join(h.dir, "snapshots"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestRunCarriesOutAndStops(t *testing.T) {
	h := newHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { require.NoError(t, h.agent.Run(ctx)) })
	done := make(chan struct{})
	wg.Go(func() {
		_ = h.bus.Reports(ctx, func(ctx context.Context, host string, v []byte) error {
			if strings.Contains(string(v), `"State":"running"`) {
				close(done)
			}
			return nil
		})
	})
	s := testServer(hypervisor.PowerOn, 1)
	s.Ports = nil
	require.NoError(t, h.fleet.Put(ctx, "host-1", object(t, driver.KindServer, "srv", 1, s)))
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("the server never ran")
	}
	cancel()
	wg.Wait()
}
