// Package agent is what runs on every host: it carries out the desired state
// that the controllers send, with the host's drivers, and reports.
//
// Desired state is a set of objects (server, port, network, router, security
// group), each whole and with a revision. The agent asks nobody anything to
// carry one out; what it lacks (a port whose network has not come yet) it waits
// for. It refuses older revisions and older epochs. Only a tombstone destroys;
// an unknown guest is reported in the heartbeat and left running.
//
// An agent keeps no database: guests carry our labels, so the hypervisor is its
// memory, and it may be killed at any moment without a guest noticing. When it
// starts, the controllers send it everything again.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/bus"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/volume"
)

const askTimeout = 10 * time.Second

// Config are the parts of an agent.
type Config struct {
	Host    string // its name, unique in the cloud
	CloudID string
	Zone    string // availability zone; empty: the cloud's default
	Dir     string // for the image cache, config drives and the metadata socket

	Bus        bus.Bus
	Hypervisor *hypervisor.Node
	Network    *network.Node
	// Volumes are the host halves of storage pools, by the type of the connections
	// that they make usable on this host; connections of other types are left to
	// the hypervisor.
	Volumes map[string]*volume.Pool
	HTTP    *http.Client // fetches images; nil: http.DefaultClient

	Clock   nephos.Clock
	IDs     nephos.IDs
	Log     *slog.Logger
	Tracer  trace.TracerProvider
	Crash   nephos.CrashPoint
	Beat    time.Duration // 0: ten seconds
	Workers int           // objects carried out at a time; 0: 8
}

// Agent runs one host. Use [Agent.Run], or [Agent.Step] in a test.
type Agent struct {
	cfg    Config
	id     string
	tracer trace.Tracer
	images *imageCache

	snapshots *snapshots

	stepped *stepped      // nil unless Step drives the agent
	kick    chan struct{} // something became due

	mu      sync.Mutex
	objects map[string]*object
	pending map[*object]struct{} // those that are dirty
	boot    string               // the host's boot, as last described
	byAddr  map[netAddr]string   // who answers for a source address, for metadata
	carried int                  // counts the work done on objects that others may wait for
}

// object is what the agent knows of one piece of desired state.
type object struct {
	desired driver.Object
	dirty   bool // desired has not been carried out
	running bool // a worker has it
	due     time.Time
	fails   int
	waits   bool   // for another object
	done    *int64 // the last revision carried out
	stirred bool   // the guest changed while a worker had it

	server  *hypervisor.Server // of kind server, decoded
	decoded *byte              // where what it was decoded from begins
	port    *network.Port      // of kind port
	binding *network.Binding   // of kind port, once plugged
	moments []driver.Moment    // reached and not yet reported
	reached map[string]bool
}

// New returns an agent. Nothing runs yet.
func New(cfg Config) (*Agent, error) {
	if cfg.Clock == nil {
		cfg.Clock = nephos.WallClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.HTTP == nil {
		cfg.HTTP = http.DefaultClient
	}
	if cfg.Beat == 0 {
		cfg.Beat = 10 * time.Second
	}
	if cfg.Workers == 0 {
		cfg.Workers = 8
	}
	if cfg.Tracer == nil {
		cfg.Tracer = noop.NewTracerProvider()
	}
	images, err := newImageCache(cfg.Dir, cfg.HTTP)
	if err != nil {
		return nil, fmt.Errorf("starting the agent of host %s: %w", cfg.Host, err)
	}
	snaps, err := newSnapshots(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("starting the agent of host %s: %w", cfg.Host, err)
	}
	return &Agent{
		cfg: cfg, id: cfg.IDs.New(), tracer: cfg.Tracer.Tracer("nephos/agent"), images: images, snapshots: snaps,
		kick: make(chan struct{}, 1), objects: map[string]*object{},
		pending: map[*object]struct{}{}, byAddr: map[netAddr]string{},
	}, nil
}

// Run works until ctx ends, then waits for what is under way.
func (a *Agent) Run(ctx context.Context) error {
	watcher, err := a.cfg.Bus.Watch(ctx, a.cfg.Host)
	if err != nil {
		return err
	}
	defer watcher.Close()
	stop, err := a.cfg.Bus.Serve(ctx, a.cfg.Host, answers{a})
	if err != nil {
		return err
	}
	defer stop()
	defer a.snapshots.close()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if a.cfg.Network.Can("MetadataServer") {
		if err := a.serveMetadata(ctx, &wg); err != nil {
			return err
		}
	}
	events := a.watchHypervisor(ctx) // before anything can start a guest
	wg.Go(func() { a.followHypervisor(ctx, events) })
	wg.Go(func() { a.followNetwork(ctx) })

	seats := make(chan struct{}, a.cfg.Workers)
	var beat <-chan time.Time
	a.beat(ctx)
	beat = a.cfg.Clock.After(a.cfg.Beat)
	for {
		if err := a.take(ctx, watcher); err != nil {
			return err
		}
		for len(seats) < cap(seats) {
			o := a.next()
			if o == nil {
				break
			}
			seats <- struct{}{}
			wg.Go(func() {
				a.work(ctx, o)
				<-seats
				a.wake()
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watcher.Ready():
		case <-a.kick:
		case <-a.retry():
		case <-beat:
			a.beat(ctx)
			beat = a.cfg.Clock.After(a.cfg.Beat)
		}
	}
}

// take reads the entries that wait, without waiting for any.
func (a *Agent) take(ctx context.Context, w bus.Watcher) error {
	now, cancel := context.WithCancel(ctx)
	cancel() // Next answers with what is there, or gives up at once
	entries, err := w.Next(now)
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	for _, e := range entries {
		var o driver.Object
		if err := json.Unmarshal(e.Value, &o); err != nil {
			a.cfg.Log.Error("an object that cannot be read was dropped", "key", e.Key, "error", err)
			continue
		}
		a.accept(o)
	}
	return nil
}

// accept makes the object desired unless a newer one is.
func (a *Agent) accept(d driver.Object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := key(d.Kind, d.ID)
	o := a.objects[k]
	if o == nil {
		o = &object{reached: map[string]bool{}}
		a.objects[k] = o
	} else if versionOf(d).Before(versionOf(o.desired)) { // the bus lost what it had, and a sender was late
		a.cfg.Log.Warn("an older object was refused", "key", k, "revision", d.Revision, "have", o.desired.Revision)
		return
	}
	o.desired, o.waits, o.fails, o.due = d, false, 0, time.Time{}
	a.soil(o)
}

// soil says that the object is to be carried out (again).
func (a *Agent) soil(o *object) {
	o.dirty = true
	a.pending[o] = struct{}{}
}

// rank orders objects that are due together, so that few have to wait.
var rank = map[driver.Kind]int{
	driver.KindNetwork: 0, driver.KindSecurityGroup: 1, driver.KindPort: 2, driver.KindRouter: 3, driver.KindServer: 4,
}

// next picks a due object and marks it as running.
func (a *Agent) next() *object {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.cfg.Clock.Now()
	var best *object
	for o := range a.pending {
		if o.running || o.waits || o.due.After(now) {
			continue
		}
		if best == nil || less(o.desired, best.desired) {
			best = o
		}
	}
	if best != nil {
		best.running, best.dirty = true, false
		delete(a.pending, best)
	}
	return best
}

func less(x, y driver.Object) bool {
	if x.Deleted != y.Deleted {
		return !x.Deleted
	}
	rx, ry := rank[x.Kind], rank[y.Kind]
	if x.Deleted {
		rx, ry = -rx, -ry
	}
	if rx != ry {
		return rx < ry
	}
	return x.ID < y.ID
}

// retry fires when the earliest object that backs off is due.
func (a *Agent) retry() <-chan time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	var first time.Time
	for o := range a.pending {
		if !o.running && !o.waits && (first.IsZero() || o.due.Before(first)) {
			first = o.due
		}
	}
	if first.IsZero() {
		return nil
	}
	return a.cfg.Clock.After(max(first.Sub(a.cfg.Clock.Now()), time.Millisecond))
}

func (a *Agent) wake() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// errWaits says that an object needs another that has not come yet.
var errWaits = errors.New("waits for another object")

// work carries out one object and reports what came of it.
func (a *Agent) work(ctx context.Context, o *object) {
	a.mu.Lock()
	d, carried := o.desired, a.carried // accept may replace it meanwhile
	a.mu.Unlock()
	if d.Trace != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": d.Trace})
	}
	ctx, span := a.tracer.Start(ctx, "agent "+string(d.Kind), trace.WithAttributes(attribute.String("nephos.id", d.ID)))
	defer span.End()
	a.cfg.Crash.Here("agent before " + string(d.Kind))
	state, err := a.carry(ctx, d, o)
	a.cfg.Crash.Here("agent after " + string(d.Kind))

	a.mu.Lock()
	report := driver.Report{Kind: d.Kind, ID: d.ID, Epoch: d.Epoch, Revision: d.Revision, State: state, At: a.cfg.Clock.Now()}
	switch {
	case errors.Is(err, errWaits):
		o.running = false
		if !o.dirty {
			// What it waits for may have come since it looked.
			o.waits = a.carried == carried
			a.soil(o)
		}
		a.mu.Unlock()
		return
	case err != nil:
		span.RecordError(err)
		if !o.dirty {
			a.soil(o)
			o.due = a.cfg.Clock.Now().Add(min(100*time.Millisecond<<min(o.fails, 9), 30*time.Second))
			o.fails++
		}
		report.Error = err.Error()
		report.Fatal = errors.Is(err, nephos.ErrInvalid) || errors.Is(err, errors.ErrUnsupported)
	case d.Deleted:
		report.Deleted = true
		if !o.dirty {
			delete(a.objects, key(d.Kind, d.ID))
		}
	default:
		o.fails, o.done = 0, &d.Revision
	}
	report.Moments, o.moments = o.moments, nil
	if d.Kind != driver.KindServer {
		a.carried++                    // tried, at least
		for other := range a.pending { // somebody may have waited for this one
			other.waits = false
		}
	}
	a.mu.Unlock()
	if err != nil {
		a.cfg.Log.Warn("an object could not be carried out", "kind", d.Kind, "id", d.ID, "revision", d.Revision, "error", err)
	}
	a.report(ctx, report)
	for a.stirred(o) { // by itself, while we had it: what was just said may be old
		a.reportState(ctx, d)
	}
}

// stirred ends a worker's hold on the object, unless its guest changed by
// itself meanwhile.
func (a *Agent) stirred(o *object) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := o.stirred
	o.stirred, o.running = false, was
	return was
}

func (a *Agent) report(ctx context.Context, r driver.Report) {
	a.send(ctx, key(r.Kind, r.ID), message{Report: &r})
}

func (a *Agent) send(ctx context.Context, key string, m message) {
	b, err := json.Marshal(m)
	if err == nil {
		err = a.cfg.Bus.Report(ctx, a.cfg.Host, key, b)
	}
	if err != nil {
		a.cfg.Log.Error("sending a report", "key", key, "error", err)
	}
}

// beat says that the host is alive and what it offers.
func (a *Agent) beat(ctx context.Context) {
	info, err := a.cfg.Hypervisor.Info(ctx)
	if err != nil {
		a.cfg.Log.Error("describing the host", "error", err)
		return
	}
	guests, err := a.cfg.Hypervisor.List(ctx)
	if err != nil {
		a.cfg.Log.Error("listing guests", "error", err)
		return
	}
	var unknown []string
	a.mu.Lock()
	a.boot = info.BootID
	for _, g := range guests {
		if a.objects[key(driver.KindServer, g.ID)] == nil {
			unknown = append(unknown, g.ID)
		}
	}
	a.mu.Unlock()
	a.send(ctx, "", message{Beat: &driver.HostBeat{
		Host: a.cfg.Host, AgentID: a.id, BootID: info.BootID, Zone: a.cfg.Zone, At: a.cfg.Clock.Now(),
		Hypervisor: driver.Hypervisor{
			Type: info.Type, Version: info.Version, Arch: info.Arch, CPUModel: info.CPUModel, HostIP: info.HostIP,
			VCPUs: info.VCPUs, MemoryMiB: info.MemoryMiB, DiskGiB: info.DiskGiB, FreeDiskGiB: info.FreeDiskGiB,
			RunningVMs: info.RunningVMs, Formats: info.Formats, CPUVendor: info.CPUVendor, CPUFeatures: info.CPUFeatures,
			Traits: a.cfg.Hypervisor.Traits(info), NUMA: info.NUMA, PCI: info.PCI, Metrics: info.Metrics,
		},
		Abilities: a.cfg.Hypervisor.Abilities(), Networks: a.cfg.Network.Abilities(), Guests: unknown,
	}})
}

// bootID names the host's current boot.
func (a *Agent) bootID(ctx context.Context) string {
	a.mu.Lock()
	boot := a.boot
	a.mu.Unlock()
	if boot == "" {
		if info, err := a.cfg.Hypervisor.Info(ctx); err == nil {
			boot = info.BootID
		}
	}
	return boot
}
