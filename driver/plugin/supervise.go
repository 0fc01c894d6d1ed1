package plugin

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/nephos-cloud/nephos"
	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"

	"github.com/nephos-cloud/nephos/driver/plugin/internal/process"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/roots"
)

// Plugin is the handle of a running plugin: see [Of]. It is safe for concurrent
// use.
type Plugin struct {
	kind    *kind
	path    string
	opts    LaunchOptions
	roots   roots.Roots
	program *process.Program
	// anywhere says that paths are not checked, and end what Close does: for Loop.
	anywhere bool
	end      func() error
	log      *slog.Logger
	words    *process.Log

	mu      sync.Mutex
	now     *instance     // nil while there is none
	why     error         // why there is none
	changed chan struct{} // closed when now or why changes
	starts  int
	// abilities are those of the last start; the supervisor's own.
	abilities []string
	closing   sync.Once
	closed    chan struct{} // closed when Close is called
	done      chan struct{} // closed when everything has ended
}

// Description is what a plugin says of itself.
type Description struct {
	Contract  int    // version of the contract that was agreed on
	Kind      string // hypervisor, network, network-controller, volume, blob or scheduler
	Name      string // of the driver; may be empty
	Version   string // of the driver; may be empty
	Abilities []string
	// Unknown are abilities that it claims and that this version of Nephos does
	// not know; they are ignored.
	Unknown []string
}

// Describe returns what the plugin said when it was started last.
func (p *Plugin) Describe() (Description, error) {
	i, err := p.instance()
	if err != nil {
		return Description{}, err
	}
	d := i.about
	d.Abilities, d.Unknown = slices.Clone(d.Abilities), slices.Clone(d.Unknown)
	return d, nil
}

// PID returns the number of the plugin's process, or 0 while it does not run.
func (p *Plugin) PID() int {
	i, err := p.instance()
	if err != nil || i.proc == nil {
		return 0
	}
	return i.proc.PID()
}

// Starts counts how often the plugin was started.
func (p *Plugin) Starts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

// Kill kills the plugin's process, as kill -9 does. It is started again.
func (p *Plugin) Kill() {
	if i, err := p.instance(); err == nil && i.proc != nil {
		i.proc.Kill()
		<-i.proc.Exited()
		p.lost(i, i.proc.Err())
	}
}

// Await returns once the plugin runs, or has been closed, or ctx ends.
func (p *Plugin) Await(ctx context.Context) error { return p.await(ctx, nil) }

// await waits for a running instance that is another one.
func (p *Plugin) await(ctx context.Context, than *instance) error {
	for {
		p.mu.Lock()
		now, why, changed := p.now, p.why, p.changed
		p.mu.Unlock()
		if now != nil && now != than {
			return nil
		}
		select {
		case <-p.closed:
			return why
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// Close ends the plugin. It returns when the process has ended.
func (p *Plugin) Close() error {
	if p.end != nil {
		return p.closeLoop()
	}
	p.closing.Do(func() { close(p.closed) })
	<-p.done
	return nil
}

// instance returns the running plugin, or an error that wraps ErrUnavailable.
func (p *Plugin) instance() (*instance, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now == nil {
		return nil, p.why
	}
	return p.now, nil
}

func (p *Plugin) set(i *instance, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now, p.why = i, why
	if i != nil {
		p.starts++
	}
	if p.changed != nil {
		close(p.changed)
	}
	p.changed = make(chan struct{})
}

// lost notes that the instance is no more.
func (p *Plugin) lost(i *instance, err error) {
	p.mu.Lock()
	is := p.now == i
	p.mu.Unlock()
	if is {
		p.set(nil, nephos.Errorf(nephos.ErrUnavailable, "the plugin %s is being started again: %v", p.path, err))
	}
}

func (p *Plugin) started(i *instance) {
	before := p.abilities
	p.abilities = i.about.Abilities
	p.set(i, nil)
	p.log.Info("plugin started", "pid", i.proc.PID(), "abilities", i.about.Abilities)
	if before != nil && !slices.Equal(before, i.about.Abilities) {
		p.log.Warn("the plugin offers other abilities than before; who holds it knows the former ones", "before", before, "abilities", i.about.Abilities)
	}
	if len(i.about.Unknown) > 0 {
		p.log.Warn("the plugin claims abilities that this version does not know; they are ignored", "abilities", i.about.Unknown)
	}
	p.observe(Change{PID: i.proc.PID(), Running: true, At: p.opts.Clock.Now()})
}

func (p *Plugin) observe(c Change) {
	if p.opts.Observe != nil {
		p.opts.Observe(c)
	}
}

// supervise keeps the plugin running until Close.
func (p *Plugin) supervise(i *instance) {
	defer close(p.done)
	defer p.program.Close()
	wait := p.opts.RestartAfter
	for {
		since := p.opts.Clock.Now()
		err := p.watch(i)
		if err == nil { // closed
			p.set(nil, nephos.Errorf(nephos.ErrUnavailable, "the plugin %s was closed", p.path))
			if p.opts.KillOnClose {
				i.kill()
			} else {
				i.stop()
			}
			p.words.Flush()
			return
		}
		p.lost(i, err)
		i.kill()
		p.words.Flush()
		p.log.Error("plugin ended", "pid", i.proc.PID(), "error", err, "last", p.words.LastWords())
		p.observe(Change{PID: i.proc.PID(), Err: err, At: p.opts.Clock.Now()})
		if p.opts.Clock.Now().Sub(since) >= p.opts.RestartMost {
			wait = p.opts.RestartAfter
		}
		for i = nil; i == nil; {
			select {
			case <-p.closed:
				p.set(nil, nephos.Errorf(nephos.ErrUnavailable, "the plugin %s was closed", p.path))
				return
			case <-p.opts.Clock.After(wait):
			}
			wait = min(2*wait, p.opts.RestartMost)
			i = p.restart()
		}
		p.started(i)
	}
}

// restart tries once.
func (p *Plugin) restart() *instance {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-p.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	i, err := p.start(ctx)
	if err == nil {
		return i
	}
	p.set(nil, nephos.Errorf(nephos.ErrUnavailable, "the plugin %s does not start: %v", p.path, err))
	p.log.Error("plugin does not start", "error", err, "last", p.words.LastWords())
	p.observe(Change{Err: err, At: p.opts.Clock.Now()})
	return nil
}

// watch returns how the instance ended, once it has or is to be ended for not
// answering; nil when the plugin is closed.
func (p *Plugin) watch(i *instance) error {
	for {
		select {
		case <-p.closed:
			return nil
		case <-i.proc.Exited():
			return i.proc.Err()
		case <-p.opts.Clock.After(p.opts.HealthEvery):
		}
		if err := p.ask(i); err != nil {
			return err
		}
	}
}

// ask asks the plugin whether it is well. It is bounded by the clock.
func (p *Plugin) ask(i *instance) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		r, err := grpc_health_v1.NewHealthClient(i.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "plugin"})
		if err == nil && r.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			err = fmt.Errorf("it says that it is %s", r.GetStatus())
		}
		answer <- err
	}()
	select {
	case <-p.closed:
		return nil // the next look sees it
	case <-i.proc.Exited():
		return i.proc.Err()
	case err := <-answer:
		if err != nil {
			return fmt.Errorf("asked for its health: %w", err)
		}
		return nil
	case <-p.opts.Clock.After(p.opts.HealthTimeout):
		return fmt.Errorf("it hangs: no answer about its health within %v", p.opts.HealthTimeout)
	}
}

// describe asks the plugin what it is, and checks the answer.
func (p *Plugin) describe(ctx context.Context, i *instance) error {
	r, err := driverv1.NewPluginClient(i.conn).Describe(ctx, &driverv1.DescribeRequest{})
	if err != nil {
		return describeError(err)
	}
	k := p.kind
	if k == nil { // any will do
		if k, err = kindNamed(r.GetKind()); err != nil {
			return nephos.Errorf(nephos.ErrInvalid, "it says that it is a %.40q driver, of which this version knows nothing", r.GetKind())
		}
	}
	return i.learn(k, r)
}

// stopWithin is how long a stop may take before the process is killed.
const stopWithin = 2 * time.Second
