package blockstorage_test

import (
	"bytes"
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// clock is a time that only the test moves.
type clock struct {
	*nephos.VirtualClock
	impatient atomic.Bool // who waits for a time need not
}

func newClock() *clock {
	return &clock{VirtualClock: nephos.NewVirtualClock(time.Date(2030, 1, 2, 3, 4, 5, 678_000, time.UTC))}
}

func (c *clock) After(d time.Duration) <-chan time.Time {
	if c.impatient.Load() {
		d = 0
	}
	return c.VirtualClock.After(d)
}

// images is an image service that keeps its state in memory.
type images struct {
	mu    sync.Mutex
	ids   nephos.IDs
	all   map[string]image.Image
	bytes map[string][]byte
	slow  chan struct{} // where set, Open waits until it is closed
	opens int
}

func (i *images) put(img image.Image, body []byte) image.Image {
	i.mu.Lock()
	defer i.mu.Unlock()
	if img.ID == "" {
		img.ID = i.ids.New()
	}
	size := int64(len(body))
	img.Size = &size
	if i.all == nil {
		i.all, i.bytes = map[string]image.Image{}, map[string][]byte{}
	}
	i.all[img.ID], i.bytes[img.ID] = img, body
	return img
}

func (i *images) Image(_ context.Context, id string) (image.Image, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	img, ok := i.all[id]
	if !ok {
		return img, nephos.NotFound("Image", id)
	}
	return img, nil
}

func (i *images) Open(ctx context.Context, id string) (image.Image, io.ReadCloser, error) {
	img, err := i.Image(ctx, id)
	if err != nil {
		return img, nil, err
	}
	i.mu.Lock()
	i.opens++
	i.mu.Unlock()
	if i.slow != nil {
		<-i.slow
	}
	return img, io.NopCloser(bytes.NewReader(i.bytes[id])), nil
}

// Locate makes it an ImageLocator of a storage that nobody else has.
func (i *images) Locate(_ context.Context, id string) (string, error) { return "test:///" + id, nil }

func (i *images) CreateImage(_ context.Context, spec image.Spec) (image.Image, error) {
	return i.put(image.Image{
		Name: spec.Name, Status: image.Queued, DiskFormat: spec.DiskFormat, ContainerFormat: spec.ContainerFormat,
		Visibility: spec.Visibility, Properties: spec.Properties,
	}, nil), nil
}

func (i *images) Upload(ctx context.Context, id string, body io.Reader, _ int64) error {
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	img, err := i.Image(ctx, id)
	if err != nil {
		return err
	}
	img.Status = image.Active
	i.put(img, b)
	return nil
}

// fixture is a service on a fresh database and a fake pool.
type fixture struct {
	*blockstorage.Service
	t      testing.TB
	db     *store.DB
	clock  *clock
	state  *fake.State
	pools  []*volume.Pool // nil: one, on the state
	images *images
	queue  *reconcile.Queue
	why    *decisions
	choose *scheduler.Scheduler // nil: as Cinder does

	// Contexts of people of the project p, of another one, of who runs the cloud,
	// and of compute working for the first.
	user, reader, stranger, admin, compute context.Context
}

func newFixture(t testing.TB, db *store.DB, c *clock) *fixture {
	t.Helper()
	f := &fixture{t: t, db: db, clock: c, state: &fake.State{}, images: &images{}, why: &decisions{}}
	as := func(caller nephos.Caller) context.Context { return nephos.WithCaller(t.Context(), caller) }
	me := nephos.Caller{UserID: "u", ProjectID: "p", Roles: []string{"member", "reader"}, RequestID: "req-1"}
	f.user = as(me)
	f.reader = as(nephos.Caller{UserID: "r", ProjectID: "p", Roles: []string{"reader"}})
	f.stranger = as(nephos.Caller{UserID: "x", ProjectID: "q", Roles: []string{"member", "reader"}})
	f.admin = as(nephos.Caller{UserID: "root", ProjectID: "a", Roles: []string{"admin", "member", "reader"}})
	f.compute = as(nephos.Service("compute", me))
	f.start(nil)
	return f
}

// decisions keeps why volumes went where they are, the newest last.
type decisions struct{ kept []scheduler.Explanation }

func (d *decisions) Keep(_ context.Context, tx *store.Tx, _ string, e scheduler.Explanation) error {
	tx.AfterCommit(func() { d.kept = append(d.kept, e) })
	return nil
}

// last returns what was decided last, and forgets all.
func (d *decisions) last(t testing.TB) scheduler.Explanation {
	t.Helper()
	require.NotEmpty(t, d.kept)
	e := d.kept[len(d.kept)-1]
	d.kept = nil
	return e
}

func (f *fixture) enforcer() *policy.Enforcer {
	enforcer, err := policy.New(policy.Base(), blockstorage.Rules())
	require.NoError(f.t, err)
	return enforcer
}

// start makes a service as a restarted process would.
func (f *fixture) start(crash nephos.CrashPoint) {
	f.t.Helper()
	if f.pools == nil {
		pool, err := volume.NewPool(f.t.Context(), fake.New(fake.Config{State: f.state, Clock: f.clock}), volume.PoolOptions{Clock: f.clock})
		require.NoError(f.t, err)
		f.pools = []*volume.Pool{pool}
	}
	var err error
	f.Service, err = blockstorage.New(blockstorage.Config{
		Store: f.db, Policy: f.enforcer(), Pools: f.pools, Clock: f.clock, Images: f.images, Sink: f.images, Crash: crash,
		Decisions: f.why, Scheduler: f.choose,
	})
	require.NoError(f.t, err)
	f.queue = reconcile.New(reconcile.Config{Store: f.db, Clock: f.clock, Crash: crash})
	for _, k := range f.Kinds() {
		f.queue.Add(k)
	}
}

// settle works until nothing is due.
func (f *fixture) settle() {
	f.t.Helper()
	require.NoError(f.t, f.queue.Settle(f.t.Context()))
}

// finish works until nothing is left to do at all, moving the clock.
func (f *fixture) finish() {
	f.t.Helper()
	for range 500 {
		f.settle()
		due, ok, err := f.queue.NextDue(f.t.Context())
		require.NoError(f.t, err)
		if !ok {
			return
		}
		f.clock.Advance(due.Sub(f.clock.Now()) + time.Microsecond)
	}
	f.t.Fatal("the work never ends")
}

// make creates a volume and waits for it.
func (f *fixture) make(spec blockstorage.VolumeSpec) blockstorage.Volume {
	f.t.Helper()
	v, err := f.CreateVolume(f.user, spec)
	require.NoError(f.t, err)
	f.settle()
	return f.volume(v.ID)
}

func (f *fixture) volume(id string) blockstorage.Volume {
	f.t.Helper()
	v, err := f.Volume(f.admin, id)
	require.NoError(f.t, err)
	return v
}

func (f *fixture) status(id, want string) {
	f.t.Helper()
	require.Equal(f.t, want, f.volume(id).Status)
}

// pooled returns what the pool holds.
func (f *fixture) pooled() []volume.Volume {
	f.t.Helper()
	vs, err := fake.New(fake.Config{State: f.state, Clock: f.clock}).List(f.t.Context())
	require.NoError(f.t, err)
	return vs
}

// empty checks that nothing is left, neither in the pool nor on record.
func (f *fixture) empty() {
	f.t.Helper()
	require.Empty(f.t, f.pooled())
	vs, _, err := f.ListVolumes(f.admin, blockstorage.VolumeFilter{AllProjects: true}, nephos.Page{})
	require.NoError(f.t, err)
	require.Empty(f.t, vs)
	for _, table := range []string{"blockstorage_volumes", "blockstorage_snapshots", "blockstorage_attachments", "work"} {
		n, err := f.db.Reader().NewSelect().Table(table).Count(f.t.Context())
		require.NoError(f.t, err)
		require.Zero(f.t, n, table)
	}
}

// events returns the types of all events so far.
func (f *fixture) events() []string {
	f.t.Helper()
	all, err := f.db.Events(f.t.Context(), 0, 1000)
	require.NoError(f.t, err)
	out := make([]string, len(all))
	for i, e := range all {
		out[i] = e.Type
	}
	return out
}

// each runs the test on both databases.
func each(t *testing.T, f func(t *testing.T, f *fixture)) {
	t.Helper()
	c := newClock()
	storetest.Each(t, c, []store.Migrations{blockstorage.Migrations()}, func(t *testing.T, db *store.DB) {
		f(t, newFixture(t, db, c))
	})
}

// sqlite is for what no database can change.
func sqlite(t testing.TB) *fixture {
	t.Helper()
	c := newClock()
	return newFixture(t, storetest.Open(t, c, blockstorage.Migrations()), c)
}

func ptr[T any](v T) *T { return &v }
