// Package cloud composes the services into one cloud: [New] wires them to each
// other, to a database, to hosts and their drivers; [Cloud.Handler] serves all
// their APIs; [Cloud.Run] does the work.
//
// It is the shortest way to a whole cloud. Somebody who wants only some of the
// services, or their own in place of one, composes them in the same way: see
// New for how few lines that takes.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/agent"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/bus"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/faults"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/image"
	networking "github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/watch"
)

// Config are the parts of a cloud. Store, Blobs and Volumes are needed; zero
// seams mean production.
type Config struct {
	Store *store.DB
	Bus   bus.Bus // nil: inside this process
	Blobs *blob.Store
	// MoreBlobs are further stores of images, which uploads may name.
	MoreBlobs []*blob.Store
	Volumes   *volume.Pool
	// MoreVolumes are further pools; the scheduler chooses among all of them.
	MoreVolumes []*volume.Pool
	Hosts       []Host // those that this process runs
	// Scheduler chooses hosts for servers; nil decides as Nova does. Package
	// scheduler/config makes one of a file.
	Scheduler *scheduler.Scheduler
	// Record, where set, gets what the scheduler of servers sees and decides, for
	// scheduler/lab to replay: see [sqlstore.Config].
	Record io.Writer
	// PoolScheduler chooses pools for volumes; nil decides as Cinder does.
	PoolScheduler *scheduler.Scheduler

	CloudID string // labels everything on the hosts; needed with Hosts
	// PublicURL is where clients reach the handler, without a trailing slash.
	PublicURL string
	// URLs replace PublicURL's path for single services, by mount name
	// (identity, image, compute, network, volume, placement, scheduler, watch).
	URLs   map[string]string
	Region string // empty: RegionOne

	Keys          *identity.Keys // nil: token keys that end with the process
	AdminPassword string         // for the first start
	Generated     bool           // AdminPassword came from identity.GeneratePassword
	BcryptCost    int            // 0: identity's default
	TokenLifetime time.Duration  // 0: identity's default
	PolicyFile    string         // oslo.policy rules that override the defaults; watched
	External      *External      // made at the first start; nil: none
	Physical      []networking.PhysicalNetwork
	Flavors       bool // make the customary flavors at the first start

	Clock   nephos.Clock
	IDs     nephos.IDs
	Log     *slog.Logger
	Tracer  trace.TracerProvider
	Metrics *prometheus.Registry // nil: a new one
	Crash   nephos.CrashPoint
	// Faults, where set, makes the cloud fail on purpose, as its rules say, and
	// mounts their API for admins at /faults.
	Faults *faults.Set
	// Observe, where set, is told of every request to an API, by its mount's name,
	// when it has been answered. It must not block, and not keep the request.
	Observe func(api string, r *httpapi.Request, status int)
	Workers int // of the queue; 0: reconcile's default
}

// Host is a host that this process runs the agent of.
type Host struct {
	Name, Zone string
	Dir        string // for the agent
	Hypervisor *hypervisor.Node
	Network    *network.Node
	// Volumes are the host halves of the pools that have one; see agent.Config.
	Volumes map[string]*volume.Pool
}

// External is the external network that a new cloud begins with.
type External struct {
	Name, Physical string
	CIDR           netip.Prefix
	Gateway        netip.Addr
	First, Last    netip.Addr // of the addresses given out
}

// Cloud is a composed cloud. Its services are there to be called.
type Cloud struct {
	Identity     *identity.Service
	Image        *image.Service
	Network      *networking.Service
	BlockStorage *blockstorage.Service
	Compute      *compute.Service
	Claims       *sqlstore.Store
	Watch        *watch.Service
	Policy       *policy.Enforcer
	Queue        *reconcile.Queue
	Fleet        *agent.Fleet
	Agents       []*agent.Agent
	Bootstrapped identity.Bootstrapped

	cfg      Config
	handler  http.Handler
	apis     map[string]http.Handler
	stepping *stepping // nil unless Step drives the cloud
}

// internalURL is where agents of this process reach the handler, through
// [Cloud.Transport] and no network.
const internalURL = "http://nephos.internal"

// Migrations are those of all services.
func Migrations() []store.Migrations {
	return []store.Migrations{
		identity.Migrations(), image.Migrations(), networking.Migrations(), blockstorage.Migrations(),
		sqlstore.Migrations(), compute.Migrations(),
	}
}

// Rules are the default policies of all services.
func Rules() [][]policy.Rule {
	return [][]policy.Rule{
		policy.Base(), identity.Rules(), image.Rules(), networking.Rules(), blockstorage.Rules(), compute.Rules(), placementRules(), watch.Rules(), faults.Rules(),
	}
}

// New migrates the database, composes the services and brings the catalog and
// the first admin up to date. Nothing runs before [Cloud.Run].
func New(ctx context.Context, cfg Config) (*Cloud, error) {
	if cfg.Store == nil || cfg.Blobs == nil || cfg.Volumes == nil {
		return nil, errors.New("composing a cloud: Store, Blobs and Volumes are needed")
	}
	if cfg.Clock == nil {
		cfg.Clock = nephos.WallClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Bus == nil {
		cfg.Bus = bus.NewMemory(cfg.Clock)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	if cfg.Region == "" {
		cfg.Region = "RegionOne"
	}
	if cfg.Faults != nil {
		cfg = withFaults(cfg)
	}
	c := &Cloud{cfg: cfg}
	for _, step := range []struct {
		name string
		f    func(context.Context) error
	}{
		{"policy", c.makePolicy},
		{"database", func(ctx context.Context) error { return cfg.Store.Migrate(ctx, Migrations()...) }},
		{"services", c.makeServices},
		{"watch", c.makeWatch},
		{"hosts", c.makeHosts},
		{"bootstrap", c.bootstrap},
		{"APIs", c.makeHandler},
	} {
		if err := step.f(ctx); err != nil {
			return nil, fmt.Errorf("composing a cloud: %s: %w", step.name, err)
		}
	}
	return c, nil
}

func (c *Cloud) makePolicy(context.Context) (err error) {
	if c.Policy, err = policy.New(Rules()...); err != nil {
		return err
	}
	if c.cfg.PolicyFile != "" {
		return c.Policy.LoadFile(c.cfg.PolicyFile)
	}
	return nil
}

func (c *Cloud) makeServices(context.Context) (err error) {
	cfg := c.cfg
	c.Fleet = agent.NewFleet(cfg.Bus, cfg.Log)
	c.Identity, err = identity.New(identity.Config{
		Store: cfg.Store, Policy: c.Policy, Clock: cfg.Clock, IDs: cfg.IDs, Log: cfg.Log,
		Keys: cfg.Keys, BcryptCost: cfg.BcryptCost, TokenLifetime: cfg.TokenLifetime,
	})
	if err != nil {
		return err
	}
	c.Image, err = image.New(image.Config{
		Store: cfg.Store, Policy: c.Policy, Clock: cfg.Clock, IDs: cfg.IDs, Log: cfg.Log,
		Blobs: append([]*blob.Store{cfg.Blobs}, cfg.MoreBlobs...), InternalURL: internalURL + "/image",
		Crash: cfg.Crash,
	})
	if err != nil {
		return err
	}
	c.Network, err = networking.New(networking.Config{
		Store: cfg.Store, Policy: c.Policy, Clock: cfg.Clock, IDs: cfg.IDs, Log: cfg.Log,
		Fleet: c.Fleet, PhysicalNetworks: cfg.Physical,
	})
	if err != nil {
		return err
	}
	c.Claims, err = sqlstore.New(sqlstore.Config{Store: cfg.Store, Clock: cfg.Clock, IDs: cfg.IDs, Log: cfg.Log, Scheduler: cfg.Scheduler, Record: cfg.Record})
	if err != nil {
		return err
	}
	c.BlockStorage, err = blockstorage.New(blockstorage.Config{
		Store: cfg.Store, Policy: c.Policy, Clock: cfg.Clock, IDs: cfg.IDs, Log: cfg.Log,
		Pools: append([]*volume.Pool{cfg.Volumes}, cfg.MoreVolumes...), Images: c.Image, Sink: c.Image, Crash: cfg.Crash,
		Decisions: c.Claims, Scheduler: cfg.PoolScheduler,
	})
	if err != nil {
		return err
	}
	c.Compute, err = compute.New(compute.Config{
		Store: cfg.Store, Policy: c.Policy, Clock: cfg.Clock, IDs: cfg.IDs, Log: cfg.Log,
		Fleet: c.Fleet, Claims: c.Claims, Images: c.Image, Sink: c.Image, Ports: c.Network, Groups: c.Network, Volumes: c.BlockStorage, Projects: c.Identity,
		ConsoleURL: func() string { return cfg.PublicURL + "/console" }, Crash: cfg.Crash,
	})
	if err != nil {
		return err
	}
	c.Fleet.Observe(c.Network, driver.KindNetwork, driver.KindPort, driver.KindRouter, driver.KindSecurityGroup)
	c.Fleet.Observe(c.Compute, driver.KindServer)

	c.Queue = reconcile.New(reconcile.Config{
		Store: cfg.Store, Clock: cfg.Clock, Log: cfg.Log, Tracer: cfg.Tracer, Crash: cfg.Crash, Workers: cfg.Workers,
	})
	for _, kinds := range [][]reconcile.Kind{
		c.Identity.Kinds(), c.Image.Kinds(), c.Network.Kinds(), c.BlockStorage.Kinds(), c.Compute.Kinds(),
	} {
		for _, k := range kinds {
			c.Queue.Add(k)
		}
	}
	return nil
}

func (c *Cloud) makeHosts(context.Context) error {
	for _, h := range c.cfg.Hosts {
		a, err := agent.New(agent.Config{
			Host: h.Name, Zone: h.Zone, CloudID: c.cfg.CloudID, Dir: h.Dir, Bus: c.cfg.Bus, Hypervisor: h.Hypervisor, Network: h.Network, Volumes: h.Volumes,
			HTTP: &http.Client{Transport: c.Transport()}, Clock: c.cfg.Clock, IDs: c.cfg.IDs,
			Log: c.cfg.Log.With("host", h.Name), Tracer: c.cfg.Tracer, Crash: c.cfg.Crash,
		})
		if err != nil {
			return err
		}
		c.Agents = append(c.Agents, a)
	}
	return nil
}

// keepEvents is how long events and idempotency keys are kept.
const keepEvents = 7 * 24 * time.Hour

// Run does the cloud's work until ctx ends, then waits for what is under way.
// Guests run on.
func (c *Cloud) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(c.Agents)+1)
	wg.Go(func() { c.Queue.Run(ctx) })
	wg.Go(func() { c.Compute.Run(ctx) })
	wg.Go(func() { failed <- c.Fleet.Run(ctx) })
	for _, a := range c.Agents {
		wg.Go(func() { failed <- a.Run(ctx) })
	}
	if c.cfg.PolicyFile != "" {
		wg.Go(func() { c.Policy.Watch(ctx, c.cfg.PolicyFile, c.cfg.Clock, c.cfg.Log) })
	}
	wg.Go(func() { c.prune(ctx) })
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("running the cloud: %w", err)
	}
}

func (c *Cloud) prune(ctx context.Context) {
	for {
		if err := c.cfg.Store.Prune(ctx, c.cfg.Clock.Now().Add(-keepEvents)); err != nil && ctx.Err() == nil {
			c.cfg.Log.Error("forgetting old events", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-c.cfg.Clock.After(time.Hour):
		}
	}
}
