// Package cloudtest gives a Go test a whole cloud: the production code over
// simulated hosts, on a throw-away database, behind a real HTTP listener.
//
//	c := cloudtest.New(t, cloudtest.Options{})
//	provider := c.Provider(t) // gophercloud, logged in as admin
//
// Everything ends with the test.
package cloudtest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/bus"
	"github.com/nephos-cloud/nephos/cloud"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/mem"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	fakehypervisor "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	"github.com/nephos-cloud/nephos/driver/network"
	fakenetwork "github.com/nephos-cloud/nephos/driver/network/fake"
	"github.com/nephos-cloud/nephos/driver/volume"
	fakevolume "github.com/nephos-cloud/nephos/driver/volume/fake"
	networking "github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/store"
)

// AdminPassword is that of the user admin.
const AdminPassword = "admin-of-a-test"

// Options say what kind of cloud. The zero value is one with three hosts.
type Options struct {
	Hosts int // 0: three
	Clock nephos.Clock
	Crash nephos.CrashPoint
	Log   *slog.Logger
	// Tracer gets the spans of every request and all that follows from it.
	Tracer trace.TracerProvider
	// Stopped leaves the cloud's work undone until [Cloud.Start].
	Stopped bool
	// Database is the URL of a database; empty is a SQLite file of the test's.
	Database string
}

// Cloud is a cloud under test, with what lies under it.
type Cloud struct {
	*cloud.Cloud
	URL     string // of the listener
	AuthURL string

	Store       *store.DB
	Bus         *bus.Memory
	Hypervisors []*fakehypervisor.State // one a host; they outlive a restart
	Faults      *fakehypervisor.Faults  // of all hosts' hypervisors; none to begin with
	Wires       *fakenetwork.State
	Volumes     *fakevolume.State

	server *httptest.Server
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// New starts a cloud that ends with the test.
func New(t testing.TB, o Options) *Cloud {
	t.Helper()
	if o.Hosts == 0 {
		o.Hosts = 3
	}
	if o.Database == "" {
		o.Database = "sqlite:" + filepath.Join(t.TempDir(), "cloud.db")
	}
	ctx := context.Background()
	db, err := store.Open(ctx, o.Database, store.Options{Clock: o.Clock, NoSync: true})
	require.NoError(t, err)
	c := &Cloud{Store: db, Bus: bus.NewMemory(o.Clock), Wires: fakenetwork.NewState(o.Clock), Volumes: &fakevolume.State{}, Faults: &fakehypervisor.Faults{}}

	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.Handler().ServeHTTP(w, r) })
	c.server = httptest.NewServer(handler)
	c.URL, c.AuthURL = c.server.URL, c.server.URL+"/identity/v3"

	blobs, err := blob.NewStore(ctx, mem.New(mem.Config{}), blob.StoreOptions{})
	require.NoError(t, err)
	volumes, err := volume.NewPool(ctx, fakevolume.New(fakevolume.Config{State: c.Volumes, Clock: o.Clock}), volume.PoolOptions{})
	require.NoError(t, err)
	var hosts []cloud.Host
	for i := range o.Hosts {
		state := fakehypervisor.NewState()
		c.Hypervisors = append(c.Hypervisors, state)
		hosts = append(hosts, host(t, c, fmt.Sprintf("host-%d", i+1), state, o.Clock))
	}
	c.Cloud, err = cloud.New(ctx, cloud.Config{
		Store: db, Bus: c.Bus, Blobs: blobs, Volumes: volumes, Hosts: hosts, CloudID: "test", PublicURL: c.URL,
		AdminPassword: AdminPassword, BcryptCost: 4, Flavors: true,
		External: cloud.NewExternal("public", "public", netip.MustParsePrefix("172.24.4.1/24")),
		Physical: []networking.PhysicalNetwork{{Name: "public", Flat: true}},
		Clock:    o.Clock, Log: o.Log, Crash: o.Crash, Tracer: o.Tracer,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		c.server.Close()
		c.Stop()
		require.NoError(t, db.Close())
	})
	if !o.Stopped {
		c.Start(t)
	}
	return c
}

func host(t testing.TB, c *Cloud, name string, state *fakehypervisor.State, clock nephos.Clock) cloud.Host {
	hd, err := fakehypervisor.Open(fakehypervisor.Config{
		CloudID: "test", Name: name, State: state, Clock: clock, Faults: c.Faults,
		Host: hypervisor.Host{Type: "QEMU", Arch: "x86_64", VCPUs: 64, MemoryMiB: 256 << 10, DiskGiB: 10000},
	})
	require.NoError(t, err)
	guests, err := hypervisor.NewNode(t.Context(), hd, hypervisor.NodeOptions{})
	require.NoError(t, err)
	networks, err := network.NewNode(t.Context(), fakenetwork.Open(c.Wires, fakenetwork.Options{Host: name}), network.NodeOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, guests.Close())
		require.NoError(t, networks.Close())
	})
	return cloud.Host{Name: name, Dir: filepath.Join(t.TempDir(), name), Hypervisor: guests, Network: networks}
}

// Start begins the cloud's work.
func (c *Cloud) Start(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.wg.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
}

// Stop ends the cloud's work and waits for what is under way.
func (c *Cloud) Stop() {
	if c.cancel != nil {
		c.cancel()
		c.wg.Wait()
		c.cancel = nil
	}
}

// Auth is how the admin logs in.
func (c *Cloud) Auth() gophercloud.AuthOptions {
	return gophercloud.AuthOptions{
		IdentityEndpoint: c.AuthURL, Username: "admin", Password: AdminPassword, DomainName: "Default", TenantName: "admin", AllowReauth: true,
	}
}

// Provider returns a gophercloud client, logged in as the admin.
func (c *Cloud) Provider(t testing.TB) *gophercloud.ProviderClient {
	t.Helper()
	p, err := openstack.AuthenticatedClient(t.Context(), c.Auth())
	require.NoError(t, err)
	return p
}
