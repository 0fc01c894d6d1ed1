package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/propagation"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/bus"
	"github.com/nephos-cloud/nephos/driver"
)

// message is what an agent sends: exactly one of the two.
type message struct {
	Report *driver.Report   `json:",omitempty"`
	Beat   *driver.HostBeat `json:",omitempty"`
}

func key(kind driver.Kind, id string) string { return string(kind) + "/" + id }

func versionOf(o driver.Object) bus.Version {
	return bus.Version{Epoch: o.Epoch, Revision: o.Revision}
}

// Fleet is the controllers' end of the bus: it implements [driver.Fleet] for
// the services, and hands them what agents send.
type Fleet struct {
	bus bus.Bus
	log *slog.Logger

	mu        sync.Mutex
	observers []observer
	agents    map[string]string // host: the AgentID last published to
}

type observer struct {
	kinds map[driver.Kind]bool
	driver.Observer
}

// NewFleet returns the controllers' end of the bus.
func NewFleet(b bus.Bus, log *slog.Logger) *Fleet {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Fleet{bus: b, log: log, agents: map[string]string{}}
}

// Observe has reports about the kinds, and all heartbeats, handed to o.
func (f *Fleet) Observe(o driver.Observer, kinds ...driver.Kind) {
	set := map[driver.Kind]bool{}
	for _, k := range kinds {
		set[k] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.observers = append(f.observers, observer{kinds: set, Observer: o})
}

// Put implements [driver.Fleet].
func (f *Fleet) Put(ctx context.Context, host string, o driver.Object) error {
	nephos.OutsideTx(ctx, "driver.Fleet.Put")
	if o.Trace == "" {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, carrier)
		o.Trace = carrier["traceparent"]
	}
	b, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encoding %s %s for host %s: %w", o.Kind, o.ID, host, err)
	}
	return f.bus.Put(ctx, host, key(o.Kind, o.ID), versionOf(o), b)
}

// Ask implements [driver.Fleet].
func (f *Fleet) Ask(ctx context.Context, host, question string, in, out any) error {
	nephos.OutsideTx(ctx, "driver.Fleet.Ask")
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	b, err = f.bus.Ask(ctx, host, question, b)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return nephos.Errorf(nephos.ErrUnavailable, "asking host %s for %s: no answer in time", host, question)
		}
		return fmt.Errorf("asking host %s for %s: %w", host, question, err)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// Dial implements [driver.Fleet].
func (f *Fleet) Dial(ctx context.Context, host, question string, in any) (io.ReadWriteCloser, error) {
	nephos.OutsideTx(ctx, "driver.Fleet.Dial")
	b, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return f.bus.Dial(ctx, host, question, b)
}

// Run hands reports to the observers and publishes again what the bus lost,
// until ctx ends.
func (f *Fleet) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-f.bus.Lost():
				f.Republish(ctx)
			}
		}
	})
	return f.bus.Reports(ctx, f.Handle)
}

// Republish sends every known host all there is, as after a loss of the bus. Run
// calls it, and tests that step.
func (f *Fleet) Republish(ctx context.Context) {
	f.mu.Lock()
	hosts := make([]string, 0, len(f.agents))
	for h := range f.agents {
		hosts = append(hosts, h)
	}
	f.mu.Unlock()
	slices.Sort(hosts)
	for _, h := range hosts {
		if err := f.republish(ctx, h); err != nil {
			f.log.Error("publishing again to a host", "host", h, "error", err)
		}
	}
}

func (f *Fleet) republish(ctx context.Context, host string) error {
	for _, o := range f.all() {
		err := o.Republish(ctx, host, func(obj driver.Object) error { return f.Put(ctx, host, obj) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) all() []observer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]observer(nil), f.observers...)
}

// Handle takes one message from a host; Run calls it, and tests that step.
func (f *Fleet) Handle(ctx context.Context, host string, value []byte) error {
	var m message
	if err := json.Unmarshal(value, &m); err != nil {
		f.log.Error("a report that cannot be read was dropped", "host", host, "error", err)
		return nil
	}
	ctx = nephos.WithCaller(ctx, nephos.Service("agent", nephos.Caller{}))
	switch {
	case m.Report != nil:
		r := *m.Report
		r.Host = host
		for _, o := range f.all() {
			if o.kinds[r.Kind] {
				if err := o.Reported(ctx, r); err != nil {
					return err
				}
			}
		}
		if r.Deleted {
			return f.bus.Delete(ctx, host, key(r.Kind, r.ID), bus.Version{Epoch: r.Epoch, Revision: r.Revision})
		}
	case m.Beat != nil:
		b := *m.Beat
		b.Host = host
		for _, o := range f.all() {
			if err := o.Beat(ctx, b); err != nil {
				return err
			}
		}
		f.mu.Lock()
		known := f.agents[host] == b.AgentID
		f.mu.Unlock()
		if !known {
			if err := f.republish(ctx, host); err != nil {
				return err
			}
			f.mu.Lock()
			f.agents[host] = b.AgentID
			f.mu.Unlock()
		}
	}
	return nil
}
