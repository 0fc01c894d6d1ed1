package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/cloud"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/mem"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	fakehypervisor "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	"github.com/nephos-cloud/nephos/driver/network"
	fakenetwork "github.com/nephos-cloud/nephos/driver/network/fake"
	"github.com/nephos-cloud/nephos/driver/volume"
	fakevolume "github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/faults"
	"github.com/nephos-cloud/nephos/identity"
	networking "github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/watch"
)

const cloudID = "testcloud"

// testcloud is a cloud that can be set back: it lives many lives, one after the
// other, in one process.
type testcloud struct {
	options  options
	dir, url string
	log      *slog.Logger
	clock    *clock
	faults   *faults.Set
	keys     *identity.Keys // the same in all lives, so that tokens stay good

	turn      sync.Mutex // held while a life ends and another begins
	snapshots map[string]state

	mu   sync.RWMutex // of life
	life *life
}

// state is what a life can begin with: a database, volumes and images. Hosts
// follow from the database.
type state struct {
	database string // a file that nobody has open
	volumes  *fakevolume.State
	images   *mem.State
}

// life is a cloud that runs.
type life struct {
	state
	cloud   *cloud.Cloud
	db      *store.DB
	ctx     context.Context // of everything that it does
	cancel  context.CancelFunc
	running sync.WaitGroup // its work
	serving sync.WaitGroup // its requests
	closers []func() error
}

// initial is the name of the state that the cloud begins with.
const initial = "initial"

func newCloud(ctx context.Context, o options, dir, url string, log *slog.Logger) (*testcloud, error) {
	c := &testcloud{
		options: o, dir: dir, url: url, log: log, clock: &clock{}, keys: identity.MemoryKeys(nil),
		snapshots: map[string]state{},
	}
	c.faults = faults.New(faults.Config{Seed: o.seed, Clock: c.clock, Log: log, Crash: c.crash})
	first := state{database: filepath.Join(dir, "life.db"), volumes: &fakevolume.State{}, images: &mem.State{}}
	// The database is filled once, and kept before anything has happened in it.
	l, err := c.compose(ctx, first)
	if err != nil {
		return nil, err
	}
	if err := l.close(); err != nil {
		return nil, err
	}
	if err := c.keep(initial, l.state); err != nil {
		return nil, err
	}
	if c.life, err = c.compose(ctx, first); err != nil {
		return nil, err
	}
	c.start(c.life)
	return c, nil
}

// compose makes a cloud on the state; nothing runs yet.
func (c *testcloud) compose(ctx context.Context, s state) (_ *life, err error) {
	l := &life{state: s}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.db, err = store.Open(ctx, "sqlite:"+s.database, store.Options{Clock: c.clock, Log: c.log, NoSync: true}); err != nil {
		return nil, err
	}
	blobs, err := blob.NewStore(ctx, mem.New(mem.Config{State: s.images, Clock: c.clock}), blob.StoreOptions{Clock: c.clock})
	if err != nil {
		return nil, err
	}
	volumes, err := volume.NewPool(ctx, fakevolume.New(fakevolume.Config{State: s.volumes, Clock: c.clock}), volume.PoolOptions{Clock: c.clock})
	if err != nil {
		return nil, err
	}
	wires := fakenetwork.NewState(c.clock)
	var hosts []cloud.Host
	for i := range c.options.hosts {
		host, err := c.host(ctx, l, fmt.Sprintf("host-%d", i+1), wires)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, host)
	}
	l.cloud, err = cloud.New(ctx, cloud.Config{
		Store: l.db, Blobs: blobs, Volumes: volumes, Hosts: hosts, CloudID: cloudID, PublicURL: c.url, Keys: c.keys,
		AdminPassword: c.options.password, BcryptCost: 4, Flavors: true,
		External: cloud.NewExternal("public", "public", netip.MustParsePrefix("172.24.4.1/24")),
		Physical: []networking.PhysicalNetwork{{Name: "public", Flat: true}},
		Clock:    c.clock, Log: c.log, Faults: c.faults,
	})
	return l, err
}

func (c *testcloud) host(ctx context.Context, l *life, name string, wires *fakenetwork.State) (cloud.Host, error) {
	hd, err := fakehypervisor.Open(fakehypervisor.Config{
		CloudID: cloudID, Name: name, Clock: c.clock,
		Host: hypervisor.Host{Type: "QEMU", Arch: "x86_64", VCPUs: 64, MemoryMiB: 256 << 10, DiskGiB: 10000},
	})
	if err != nil {
		return cloud.Host{}, err
	}
	guests, err := hypervisor.NewNode(ctx, hd, hypervisor.NodeOptions{Clock: c.clock})
	if err != nil {
		return cloud.Host{}, err
	}
	l.closers = append(l.closers, guests.Close)
	networks, err := network.NewNode(ctx, fakenetwork.Open(wires, fakenetwork.Options{Host: name}), network.NodeOptions{Clock: c.clock})
	if err != nil {
		return cloud.Host{}, err
	}
	l.closers = append(l.closers, networks.Close)
	return cloud.Host{Name: name, Dir: filepath.Join(c.dir, "hosts", name), Hypervisor: guests, Network: networks}, nil
}

func (c *testcloud) start(l *life) {
	l.running.Go(func() {
		if err := l.cloud.Run(l.ctx); err != nil {
			c.log.Error("the cloud stopped", "error", err)
		}
	})
}

// close ends a life: its requests, its work, its database.
func (l *life) close() error {
	l.cancel()
	l.serving.Wait()
	l.running.Wait()
	var errs []error
	for _, f := range slices.Backward(l.closers) {
		errs = append(errs, f())
	}
	if l.db != nil {
		errs = append(errs, l.db.Close())
	}
	return errors.Join(errs...)
}

func (c *testcloud) close() error {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life.close()
}

// serve passes a request on to the life of the moment, which ends it if it ends.
func (c *testcloud) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.RLock()
	l := c.life
	l.serving.Add(1)
	c.mu.RUnlock()
	defer l.serving.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	l.cloud.Handler().ServeHTTP(w, r.WithContext(ctx))
	if l.ctx.Err() != nil {
		panic(http.ErrAbortHandler) // nobody shall take what was cut off for an answer
	}
}

// again ends this life and begins one on the state that next makes of what this
// one left. Requests that come meanwhile wait.
func (c *testcloud) again(ctx context.Context, next func(state) (state, error)) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.life
	if err := old.close(); err != nil {
		c.log.Error("ending the cloud", "error", err)
	}
	s, err := next(old.state)
	if err != nil {
		// What was there goes on.
		c.log.Error("setting the cloud back", "error", err)
		s = old.state
	}
	l, e := c.compose(context.WithoutCancel(ctx), s)
	if e != nil {
		return errors.Join(err, e)
	}
	if err == nil {
		err = watch.Renew(context.WithoutCancel(ctx), l.db)
	}
	c.life = l
	c.start(l)
	return err
}

// reset sets the cloud back to a state that was kept.
func (c *testcloud) reset(ctx context.Context, name string) error {
	return c.again(ctx, func(now state) (state, error) {
		kept, ok := c.snapshots[name]
		if !ok {
			return now, nephos.NotFound("snapshot", name)
		}
		if err := copyDatabase(now.database, kept.database); err != nil {
			return now, err
		}
		return state{now.database, kept.volumes.Clone(), kept.images.Clone()}, nil
	})
}

// snapshot keeps the present state under the name.
func (c *testcloud) snapshot(ctx context.Context, name string) error {
	return c.again(ctx, func(now state) (state, error) { return now, c.keep(name, now) })
}

func (c *testcloud) keep(name string, s state) error {
	path := filepath.Join(c.dir, fmt.Sprintf("kept-%d.db", len(c.snapshots)))
	if old, ok := c.snapshots[name]; ok {
		path = old.database
	}
	if err := copyDatabase(path, s.database); err != nil {
		return err
	}
	c.snapshots[name] = state{path, s.volumes.Clone(), s.images.Clone()}
	return nil
}

// crash ends the life at once, as far as a process can do that to itself: its
// contexts end, the goroutine that was to crash goes no further, and the next
// life begins on what is in the database.
func (c *testcloud) crash(at string) {
	c.log.Warn("crashing, as a fault's rule says", "at", at)
	go func() {
		if err := c.again(context.Background(), func(now state) (state, error) { return now, nil }); err != nil {
			c.log.Error("starting again after a crash", "error", err)
		}
	}()
	runtime.Goexit()
}

// copyDatabase copies a database that nobody has open.
func copyDatabase(to, from string) error {
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(to + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
