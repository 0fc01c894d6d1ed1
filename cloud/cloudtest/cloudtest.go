package cloudtest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/bus"
	"github.com/nephos-cloud/nephos/cloud"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/mem"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	fakehypervisor "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	fakenetwork "github.com/nephos-cloud/nephos/driver/network/fake"
	"github.com/nephos-cloud/nephos/driver/volume"
	fakevolume "github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/faults"
	"github.com/nephos-cloud/nephos/identity"
	networking "github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/store"
)

// AdminPassword is that of the user admin, and of everybody whom the package
// makes.
const AdminPassword = "admin-of-a-test"

// inMemory is the URL of a cloud that does not listen.
const inMemory = "http://nephos.test"

// Options say what kind of cloud. The zero value is one with three hosts that
// works when it is asked, by a clock of its own.
type Options struct {
	Hosts int // 0: three
	// Host is what each host offers; zero fields get 64 CPUs, 256 GiB of memory
	// and 10 TB of disk.
	Host hypervisor.Host
	// Describe has the last word on what the host of the name offers.
	Describe func(name string, h *hypervisor.Host)
	// Seed is what ids, placement and order follow from.
	Seed uint64
	// Clock is the cloud's; nil is a [nephos.VirtualClock] that begins at
	// [nephos.Epoch], or the wall clock if the cloud is live. Only with a virtual
	// clock does the cloud work when it is asked.
	Clock nephos.Clock
	// Live has the cloud work in the background, from the beginning.
	Live bool
	// Stopped leaves the cloud's work undone until [Cloud.Settle], [Cloud.Step],
	// [Cloud.Advance] or [Cloud.Start].
	Stopped bool
	// Listen has the cloud listen on a port of the loopback interface.
	Listen bool
	// Database is the URL of a database; empty is a SQLite file of the test's.
	Database string

	Log *slog.Logger
	// Tracer gets the spans of every request and all that follows from it.
	Tracer trace.TracerProvider
	// Crash is called at every crash point; see also [Cloud.CrashAt].
	Crash nephos.CrashPoint
	// Compose has the last word on what the cloud is composed of. It is called
	// again after each [Cloud.Restart].
	Compose func(*cloud.Config)
}

// Cloud is a cloud under test, with what lies under it.
type Cloud struct {
	*cloud.Cloud
	URL     string // where the APIs are, each below its name
	AuthURL string // where the Identity API is
	Hosts   []*Host
	Guests  *Guests // how guests behave

	Clock   nephos.Clock
	Store   *store.DB
	Bus     *bus.Memory
	Faults  *fakehypervisor.Faults // of all hosts' hypervisors; none to begin with
	Inject  *faults.Set            // what else goes wrong, from the APIs down to the bus; no rules to begin with
	Wires   *fakenetwork.State     // the network of all hosts
	Volumes *fakevolume.State      // the pool of volumes
	Blobs   *blob.Store            // what images are kept in

	t       testing.TB
	options Options
	virtual *nephos.VirtualClock // nil: the clock is another
	config  cloud.Config
	dir     string
	server  *httptest.Server // nil unless it listens
	client  *http.Client
	denials denials

	crashes crashes
	walking atomic.Bool // clients are persistent

	mu     sync.Mutex // held by whoever drives the cloud
	baseMu sync.Mutex
	base   inventory
	schema []table
	begun  bool // its database came with the first admin in it

	fails   int
	cancel  context.CancelFunc // not nil while the cloud is live
	wg      sync.WaitGroup
	people  int
	handler http.Handler
}

// New returns a cloud that ends with the test. At most one Options are taken.
func New(t testing.TB, options ...Options) *Cloud {
	t.Helper()
	var o Options
	switch len(options) {
	case 0:
	case 1:
		o = options[0]
	default:
		t.Fatal("cloudtest.New takes one Options")
	}
	c := &Cloud{t: t, options: o, Clock: o.Clock, dir: t.TempDir()}
	if c.Clock == nil && o.Live {
		c.Clock = nephos.WallClock{}
	} else if c.Clock == nil {
		c.Clock = nephos.NewVirtualClock(nephos.Epoch)
	}
	c.virtual, _ = c.Clock.(*nephos.VirtualClock)
	c.open()
	c.listen()
	c.compose()
	c.addHosts()
	t.Cleanup(c.close)
	if c.virtual != nil {
		c.virtual.OnSleep(c.Advance)
	}
	if o.Live {
		c.Start(t)
	} else if c.virtual != nil && !o.Stopped {
		c.Work()
	}
	c.markFirst()
	return c
}

// open opens what outlives a restart.
func (c *Cloud) open() {
	ctx := context.Background()
	url := c.options.Database
	if url == "" {
		path := filepath.Join(c.dir, "cloud.db")
		require.NoError(c.t, os.WriteFile(path, c.template(), 0o600))
		url = "sqlite:" + path
	}
	var err error
	c.Store, err = store.Open(ctx, url, store.Options{Clock: c.Clock, NoSync: true})
	require.NoError(c.t, err)
	c.Bus, c.Wires, c.Volumes = bus.NewMemory(c.Clock), fakenetwork.NewState(c.Clock), &fakevolume.State{}
	c.Faults, c.Guests = &fakehypervisor.Faults{}, newGuests(c)
	c.Blobs, err = blob.NewStore(ctx, mem.New(mem.Config{}), blob.StoreOptions{})
	require.NoError(c.t, err)
	volumes, err := volume.NewPool(ctx, fakevolume.New(fakevolume.Config{State: c.Volumes, Clock: c.Clock}), volume.PoolOptions{})
	require.NoError(c.t, err)
	c.config = basic(c.Store)
	c.config.Bus, c.config.Blobs, c.config.Volumes = c.Bus, c.Blobs, volumes
	c.config.Clock, c.config.Log, c.config.Tracer = c.Clock, c.options.Log, c.options.Tracer
	c.config.Crash = c.crashPoint("")
	c.Inject = faults.New(faults.Config{Seed: c.options.Seed, Clock: c.Clock, Crash: func(at string) { c.fall("", at) }})
	c.config.Faults = c.Inject
	c.config.IDs = c.ids("controllers")
	c.config.Keys = identity.MemoryKeys(nephos.Seeded(c.options.Seed, "keys"))
}

// basic is what every cloud under test is composed of.
func basic(db *store.DB) cloud.Config {
	return cloud.Config{
		Store: db, CloudID: cloudID, AdminPassword: AdminPassword, BcryptCost: 4, Flavors: true,
		External: cloud.NewExternal("public", "public", netip.MustParsePrefix("172.24.4.1/24")),
		Physical: []networking.PhysicalNetwork{{Name: "public", Flat: true}},
	}
}

const cloudID = "test"

// ids are of a stream of their own. A live cloud's are random.
func (c *Cloud) ids(stream string) nephos.IDs {
	if c.options.Live {
		return nephos.IDs{}
	}
	return nephos.IDs{Rand: nephos.Seeded(c.options.Seed, stream)}
}

// compose makes the controllers.
func (c *Cloud) compose() {
	cfg := c.config
	cfg.PublicURL = c.URL
	if c.options.Compose != nil {
		c.options.Compose(&cfg)
	}
	made, err := cloud.New(context.Background(), cfg)
	require.NoError(c.t, err)
	c.denials.follow(made.Policy)
	c.Cloud, c.handler = made, made.Handler()
	c.Blobs.Intercept(c.calls("", c.Inject.Intercept("")))
	cfg.Volumes.Intercept(c.calls("", c.Inject.Intercept("")))
}

// Restart ends the controllers, as a kill would, and starts them again on what
// they left. Hosts do not notice. Clients of the old [cloud.Cloud]'s services
// must be fetched anew from the Cloud.
func (c *Cloud) Restart() {
	live := c.cancel != nil
	c.Stop()
	c.mu.Lock()
	c.compose()
	c.mu.Unlock()
	if live {
		c.Start(c.t)
	}
}

// Start has the cloud work in the background until [Cloud.Stop].
func (c *Cloud) Start(t testing.TB) {
	t.Helper()
	if c.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	if c.virtual != nil {
		c.virtual.OnSleep(nil) // others move the clock
	}
	made := c.Cloud
	c.wg.Go(func() {
		if err := made.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	c.wg.Go(func() { c.Guests.run(ctx) })
	for _, h := range c.Hosts {
		if !h.off {
			h.startLive()
		}
	}
}

// Stop ends work in the background and waits for what is under way. Guests run
// on.
func (c *Cloud) Stop() {
	if c.cancel == nil {
		return
	}
	c.cancel()
	for _, h := range c.Hosts {
		h.stopLive()
	}
	c.wg.Wait()
	c.cancel = nil
	if c.virtual != nil {
		c.virtual.OnSleep(c.Advance)
	}
}

func (c *Cloud) close() {
	if c.server != nil {
		c.server.Close()
	}
	c.Stop()
	for _, h := range c.Hosts {
		h.close()
	}
	if c.virtual != nil {
		c.virtual.Advance(forever) // whoever sleeps ends
	}
	require.NoError(c.t, c.Store.Close())
}
