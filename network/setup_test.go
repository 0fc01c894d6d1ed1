package network_test

import (
	"context"
	"encoding/json"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

func newClock() *nephos.VirtualClock {
	return nephos.NewVirtualClock(time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC))
}

// fleet keeps what was sent to hosts.
type fleet struct {
	mu   sync.Mutex
	log  []sent
	lost bool // what is put is lost
}

type sent struct {
	Host string
	driver.Object
}

func (f *fleet) Put(_ context.Context, host string, o driver.Object) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost {
		return nephos.ErrUnavailable
	}
	f.log = append(f.log, sent{host, o})
	return nil
}

func (f *fleet) Ask(context.Context, string, string, any, any) error { return nephos.ErrUnavailable }

func (f *fleet) Dial(context.Context, string, string, any) (io.ReadWriteCloser, error) {
	return nil, nephos.ErrUnavailable
}

// take returns what was sent since the last time.
func (f *fleet) take() []sent {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.log
	f.log = nil
	return out
}

// last returns the newest object of a kind and id sent to the host.
func (f *fleet) last(host string, kind driver.Kind, id string) (driver.Object, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.log) - 1; i >= 0; i-- {
		if o := f.log[i]; o.Host == host && o.Kind == kind && o.ID == id {
			return o.Object, true
		}
	}
	return driver.Object{}, false
}

func decode[T any](t *testing.T, o driver.Object) T {
	t.Helper()
	var v T
	require.NoError(t, json.Unmarshal(o.Spec, &v))
	return v
}

// world is a service with what is around it.
type world struct {
	*network.Service
	t     testing.TB
	db    *store.DB
	clock *nephos.VirtualClock
	fleet *fleet
	queue *reconcile.Queue
}

func newWorld(t testing.TB, db *store.DB, c *nephos.VirtualClock, edit func(*network.Config)) *world {
	t.Helper()
	enforcer, err := policy.New(policy.Base(), network.Rules())
	require.NoError(t, err)
	w := &world{t: t, db: db, clock: c, fleet: &fleet{}}
	cfg := network.Config{
		Store: db, Policy: enforcer, Clock: c, Fleet: w.fleet,
		PhysicalNetworks: []network.PhysicalNetwork{{Name: "physnet1", Flat: true, VLANs: network.Range{Min: 100, Max: 101}}},
	}
	if edit != nil {
		edit(&cfg)
	}
	w.Service, err = network.New(cfg)
	require.NoError(t, err)
	w.queue = reconcile.New(reconcile.Config{Store: db, Clock: c})
	for _, k := range w.Kinds() {
		w.queue.Add(k)
	}
	return w
}

// each runs the test on both databases.
func each(t *testing.T, f func(t *testing.T, w *world)) {
	c := newClock()
	storetest.Each(t, c, []store.Migrations{network.Migrations()}, func(t *testing.T, db *store.DB) {
		f(t, newWorld(t, db, c, nil))
	})
}

// sqlite opens a world on SQLite only.
func sqlite(t testing.TB, edit func(*network.Config)) *world {
	c := newClock()
	return newWorld(t, storetest.Open(t, c, network.Migrations()), c, edit)
}

func (w *world) settle() {
	w.t.Helper()
	require.NoError(w.t, w.queue.Settle(context.Background()))
	w.clock.Advance(200 * time.Millisecond) // what is gathered is due
	require.NoError(w.t, w.queue.Settle(context.Background()))
}

// obey reports everything that was sent as carried out, until nothing is left.
func (w *world) obey() []sent {
	w.t.Helper()
	var all []sent
	for {
		w.settle()
		got := w.fleet.take()
		if len(got) == 0 {
			return all
		}
		all = append(all, got...)
		for _, o := range got {
			r := driver.Report{Host: o.Host, Kind: o.Kind, ID: o.ID, Revision: o.Revision, Deleted: o.Deleted, At: w.clock.Now()}
			if o.Kind == driver.KindPort && !o.Deleted {
				r.State = "up"
			}
			require.NoError(w.t, w.Reported(context.Background(), r))
		}
	}
}

func (w *world) beat(host string, abilities ...string) {
	w.t.Helper()
	require.NoError(w.t, w.Beat(context.Background(), driver.HostBeat{Host: host, AgentID: "a", At: w.clock.Now(), Networks: abilities}))
}

// as returns a context of a member of the project.
func as(project string, roles ...string) context.Context {
	if len(roles) == 0 {
		roles = []string{"member", "reader"}
	}
	return nephos.WithCaller(context.Background(), nephos.Caller{UserID: "u-" + project, ProjectID: project, Roles: roles})
}

func admin() context.Context { return as("admin", "admin", "manager", "member", "reader") }

func service() context.Context {
	return nephos.WithCaller(context.Background(), nephos.Service("compute", nephos.Caller{UserID: "u", ProjectID: "red"}))
}

func ptr[T any](v T) *T { return &v }
