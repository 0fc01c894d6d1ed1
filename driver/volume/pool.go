package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// Pool is a driver as its users hold it: it knows the driver's abilities, checks
// what it is given, keeps deadlines, and refuses to be called inside a database
// transaction. Its methods promise what [Driver] and the optional interfaces
// promise; a method whose ability is absent gives an error that wraps
// errors.ErrUnsupported. A Pool is safe for concurrent use.
type Pool struct {
	d         Driver
	opts      PoolOptions
	abilities []string
	intercept driver.Intercept // nil: nobody asks
}

// PoolOptions says how a [Pool] treats its driver. The zero value works.
type PoolOptions struct {
	// Name tells pools apart in logs.
	Name string
	// Timeout bounds calls that move no bulk data (create, delete, get, list,
	// connect, disconnect, extend, stats); 0 is two minutes, negative is none.
	// Calls that may copy a volume have their caller's deadline only.
	Timeout time.Duration
	// Placement says which volumes the pool takes, where the driver says nothing or
	// something else.
	Placement Placement
	// Clock measures calls; nil is the wall clock.
	Clock nephos.Clock
	// Log hears of failed calls; nil is silence.
	Log *slog.Logger
	// Observe, if set, is told of each call's end, for metrics.
	Observe func(op string, took time.Duration, err error)
}

// NewPool asks the driver for its abilities, once, and returns the Pool.
func NewPool(ctx context.Context, d Driver, opts PoolOptions) (*Pool, error) {
	if opts.Timeout == 0 {
		opts.Timeout = 2 * time.Minute
	}
	if opts.Clock == nil {
		opts.Clock = nephos.WallClock{}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if err := opts.Placement.Validate(); err != nil {
		return nil, fmt.Errorf("open pool %s: %w", opts.Name, err)
	}
	abilities, err := AbilitiesOf(ctx, d)
	if err != nil {
		return nil, err
	}
	return &Pool{d: d, opts: opts, abilities: abilities}, nil
}

// Name returns what tells the pool apart from others, as the options said.
func (p *Pool) Name() string { return p.opts.Name }

// Intercept has f asked about every call from now on. It is for whoever composes
// the pool, before it is used.
func (p *Pool) Intercept(f driver.Intercept) { p.intercept = f }

// Can reports whether the driver offers the optional interface of that name.
func (p *Pool) Can(name string) bool { return slices.Contains(p.abilities, name) }

// Abilities returns the names of the optional interfaces offered, sorted.
func (p *Pool) Abilities() []string { return slices.Clone(p.abilities) }

// Driver returns the driver, for the one who composed it.
func (p *Pool) Driver() Driver { return p.d }

// Close closes the driver.
func (p *Pool) Close() error { return p.d.Close() }

// begin starts a call that the pool's timeout bounds if bounded; the function
// that it returns ends the call.
func (p *Pool) begin(ctx context.Context, op string, bounded bool, id ...string) (context.Context, func(*error)) {
	o := p.opts
	return driver.Calls{
		Kind: "volume", Type: "Pool", Name: o.Name, Timeout: o.Timeout, Clock: o.Clock, Log: o.Log, Observe: o.Observe, Intercept: p.intercept,
	}.Begin(ctx, op, bounded, id...)
}

// offered returns the driver as T if the ability is offered.
func offered[T any](p *Pool, name string) (T, error) {
	if t, ok := p.d.(T); ok && p.Can(name) {
		return t, nil
	}
	var none T
	return none, fmt.Errorf("volume driver: ability %s: %w", name, errors.ErrUnsupported)
}

// Create makes a blank volume; see [Driver].
func (p *Pool) Create(ctx context.Context, id string, spec Spec) (err error) {
	ctx, end := p.begin(ctx, "Create", true, id)
	defer end(&err)
	if err := errors.Join(CheckID("volume ID", id), p.check(spec)); err != nil {
		return err
	}
	return p.d.Create(ctx, id, spec)
}

// Delete removes a volume; see [Driver].
func (p *Pool) Delete(ctx context.Context, id string) (err error) {
	ctx, end := p.begin(ctx, "Delete", true, id)
	defer end(&err)
	if err := CheckID("volume ID", id); err != nil {
		return err
	}
	return p.d.Delete(ctx, id)
}

// Get returns one volume, or ErrNotFound.
func (p *Pool) Get(ctx context.Context, id string) (v Volume, err error) {
	ctx, end := p.begin(ctx, "Get", true, id)
	defer end(&err)
	if err := CheckID("volume ID", id); err != nil {
		return Volume{}, err
	}
	return p.d.Get(ctx, id)
}

// List returns all volumes of this cloud in the pool.
func (p *Pool) List(ctx context.Context) (vs []Volume, err error) {
	ctx, end := p.begin(ctx, "List", true)
	defer end(&err)
	return p.d.List(ctx)
}

// Connect makes the volume reachable from a host; see [Driver].
func (p *Pool) Connect(ctx context.Context, id string, c Connector) (conn driver.Connection, err error) {
	ctx, end := p.begin(ctx, "Connect", true, id)
	defer end(&err)
	if err := errors.Join(CheckID("volume ID", id), CheckID("attachment ID", c.AttachmentID)); err != nil {
		return driver.Connection{}, err
	}
	return p.d.Connect(ctx, id, c)
}

// Disconnect undoes Connect; see [Driver].
func (p *Pool) Disconnect(ctx context.Context, id string, c Connector) (err error) {
	ctx, end := p.begin(ctx, "Disconnect", true, id)
	defer end(&err)
	if err := errors.Join(CheckID("volume ID", id), CheckID("attachment ID", c.AttachmentID)); err != nil {
		return err
	}
	return p.d.Disconnect(ctx, id, c)
}

// Stats tells the pool's capacity.
func (p *Pool) Stats(ctx context.Context) (s Stats, err error) {
	ctx, end := p.begin(ctx, "Stats", true)
	defer end(&err)
	if s, err = p.d.Stats(ctx); err != nil {
		return s, err
	}
	s.Placement = p.opts.Placement.over(s.Placement)
	if err := s.validate(); err != nil {
		return Stats{}, err
	}
	return s, nil
}

// CreateSnapshot keeps a point in time of a volume; see [Snapshotter].
func (p *Pool) CreateSnapshot(ctx context.Context, volumeID, snapshotID string) (err error) {
	ctx, end := p.begin(ctx, "CreateSnapshot", false, volumeID)
	defer end(&err)
	s, err := offered[Snapshotter](p, AbilitySnapshotter)
	if err != nil {
		return err
	}
	if err := errors.Join(CheckID("volume ID", volumeID), CheckID("snapshot ID", snapshotID)); err != nil {
		return err
	}
	return s.CreateSnapshot(ctx, volumeID, snapshotID)
}

// DeleteSnapshot removes a snapshot; see [Snapshotter].
func (p *Pool) DeleteSnapshot(ctx context.Context, volumeID, snapshotID string) (err error) {
	ctx, end := p.begin(ctx, "DeleteSnapshot", false, volumeID)
	defer end(&err)
	s, err := offered[Snapshotter](p, AbilitySnapshotter)
	if err != nil {
		return err
	}
	if err := errors.Join(CheckID("volume ID", volumeID), CheckID("snapshot ID", snapshotID)); err != nil {
		return err
	}
	return s.DeleteSnapshot(ctx, volumeID, snapshotID)
}

// CreateFromSnapshot makes a volume of a snapshot; see [Snapshotter].
func (p *Pool) CreateFromSnapshot(ctx context.Context, id string, spec Spec, volumeID, snapshotID string) (err error) {
	ctx, end := p.begin(ctx, "CreateFromSnapshot", false, id)
	defer end(&err)
	s, err := offered[Snapshotter](p, AbilitySnapshotter)
	if err != nil {
		return err
	}
	if err := errors.Join(CheckID("volume ID", id), p.check(spec), CheckID("source volume ID", volumeID), CheckID("snapshot ID", snapshotID)); err != nil {
		return err
	}
	return s.CreateFromSnapshot(ctx, id, spec, volumeID, snapshotID)
}

// Clone makes an independent copy of a volume; see [Cloner].
func (p *Pool) Clone(ctx context.Context, id string, spec Spec, sourceID string) (err error) {
	ctx, end := p.begin(ctx, "Clone", false, id)
	defer end(&err)
	c, err := offered[Cloner](p, AbilityCloner)
	if err != nil {
		return err
	}
	if err := errors.Join(CheckID("volume ID", id), p.check(spec), CheckID("source volume ID", sourceID)); err != nil {
		return err
	}
	return c.Clone(ctx, id, spec, sourceID)
}

// CreateFromImage makes a volume of an image; see [ImageWriter].
func (p *Pool) CreateFromImage(ctx context.Context, id string, spec Spec, image Image) (err error) {
	ctx, end := p.begin(ctx, "CreateFromImage", false, id)
	defer end(&err)
	w, err := offered[ImageWriter](p, AbilityImageWriter)
	if err != nil {
		return err
	}
	if err := errors.Join(CheckID("volume ID", id), p.check(spec)); err != nil {
		return err
	}
	if err := image.Check(spec.SizeGiB); err != nil {
		return err
	}
	return w.CreateFromImage(ctx, id, spec, image)
}

// Read streams a volume's content as raw bytes; see [ImageReader]. Cancelling
// ctx ends the stream.
func (p *Pool) Read(ctx context.Context, id string) (r io.ReadCloser, err error) {
	ctx, end := p.begin(ctx, "Read", false, id)
	defer end(&err)
	d, err := offered[ImageReader](p, AbilityImageReader)
	if err != nil {
		return nil, err
	}
	if err := CheckID("volume ID", id); err != nil {
		return nil, err
	}
	return d.Read(ctx, id)
}

// Extend grows a volume; see [Extender].
func (p *Pool) Extend(ctx context.Context, id string, sizeGiB int, opts ExtendOptions) (err error) {
	ctx, end := p.begin(ctx, "Extend", true, id)
	defer end(&err)
	e, err := offered[Extender](p, AbilityExtender)
	if err != nil {
		return err
	}
	if err := errors.Join(CheckID("volume ID", id), Spec{SizeGiB: sizeGiB}.Check()); err != nil {
		return err
	}
	return e.Extend(ctx, id, sizeGiB, opts)
}

// Revert takes a volume back to its newest snapshot; see [Reverter].
func (p *Pool) Revert(ctx context.Context, volumeID, snapshotID string) (err error) {
	ctx, end := p.begin(ctx, "Revert", false, volumeID)
	defer end(&err)
	r, err := offered[Reverter](p, AbilityReverter)
	if err != nil {
		return err
	}
	if err := errors.Join(CheckID("volume ID", volumeID), CheckID("snapshot ID", snapshotID)); err != nil {
		return err
	}
	return r.Revert(ctx, volumeID, snapshotID)
}
