package blob

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

// The names of the optional interfaces, as [Abilitier] lists them and
// [Store.Can] asks for them.
const (
	AbilityCopier      = "Copier"
	AbilityLocator     = "Locator"
	AbilityMultiparter = "Multiparter"
)

// Store is a driver as its users hold it: it knows the driver's abilities,
// checks identifiers, keeps deadlines, and refuses to be called inside a
// database transaction. Its methods promise what [Driver] and the optional
// interfaces promise; a method whose ability is absent gives an error that wraps
// errors.ErrUnsupported. A Store is safe for concurrent use.
type Store struct {
	d         Driver
	opts      StoreOptions
	abilities []string
	intercept driver.Intercept // nil: nobody asks
}

// StoreOptions says how a [Store] treats its driver. The zero value works.
type StoreOptions struct {
	// Name tells stores apart in logs, and is what an API shows for them.
	Name string
	// Timeout bounds calls that move no bulk data (Stat, Delete, Location, and
	// those about parts but PutPart and CompleteParts); 0 is one minute, negative
	// is none. Streams have their caller's deadline only.
	Timeout time.Duration
	// Clock measures calls; nil is the wall clock.
	Clock nephos.Clock
	// Log hears of failed calls; nil is silence.
	Log *slog.Logger
	// Observe, if set, is told of each call's end, for metrics. A Get ends when
	// its reader is returned.
	Observe func(op string, took time.Duration, err error)
}

// NewStore asks the driver for its abilities, once, and returns the Store.
func NewStore(ctx context.Context, d Driver, opts StoreOptions) (*Store, error) {
	if opts.Timeout == 0 {
		opts.Timeout = time.Minute
	}
	if opts.Clock == nil {
		opts.Clock = nephos.WallClock{}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	abilities, err := AbilitiesOf(ctx, d)
	if err != nil {
		return nil, err
	}
	return &Store{d: d, opts: opts, abilities: abilities}, nil
}

// offers tells of each ability whether a driver's methods have it.
var offers = map[string]func(Driver) bool{
	AbilityCopier:      is[Copier],
	AbilityLocator:     is[Locator],
	AbilityMultiparter: is[Multiparter],
}

func is[T any](d Driver) bool {
	_, ok := d.(T)
	return ok
}

// AbilitiesOf tells what the driver offers: the optional interfaces that it
// implements, narrowed by its [Abilitier] if it is one. The result is sorted.
func AbilitiesOf(ctx context.Context, d Driver) ([]string, error) {
	return driver.AbilitiesOf(ctx, "blob", d, offers)
}

// CheckID refuses, with ErrInvalid, an identifier that a driver could not use
// as a name: it has 1 to 200 ASCII letters, digits, dots, dashes and
// underscores, and starts with a letter or digit.
func CheckID(id string) error {
	if id == "" || len(id) > 200 {
		return nephos.Errorf(nephos.ErrInvalid, "object ID must have 1 to 200 characters, not %d", len(id))
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '-' || c == '_'):
		default:
			return nephos.Errorf(nephos.ErrInvalid, "object ID %q has a character that is not allowed at byte %d", id, i)
		}
	}
	return nil
}

// Can reports whether the driver offers the optional interface of that name.
func (s *Store) Can(name string) bool { return slices.Contains(s.abilities, name) }

// Abilities returns the names of the optional interfaces offered, sorted.
func (s *Store) Abilities() []string { return slices.Clone(s.abilities) }

// Name returns the name that the store was given.
func (s *Store) Name() string { return s.opts.Name }

// Driver returns the driver, for the one who composed it.
func (s *Store) Driver() Driver { return s.d }

// Intercept has f asked about every call from now on. It is for whoever composes
// the store, before it is used.
func (s *Store) Intercept(f driver.Intercept) { s.intercept = f }

// Close closes the driver.
func (s *Store) Close() error { return s.d.Close() }

func (s *Store) begin(ctx context.Context, op string, bounded bool, id ...string) (context.Context, func(*error)) {
	o := s.opts
	return driver.Calls{
		Kind: "blob", Type: "Store", Name: o.Name, Timeout: o.Timeout, Clock: o.Clock, Log: o.Log, Observe: o.Observe, Intercept: s.intercept,
	}.Begin(ctx, op, bounded, id...)
}

func offered[T any](s *Store, name string) (T, error) {
	if t, ok := s.d.(T); ok && s.Can(name) {
		return t, nil
	}
	var none T
	return none, fmt.Errorf("blob driver: ability %s: %w", name, errors.ErrUnsupported)
}

// Put streams the whole body into the object; see [Driver].
func (s *Store) Put(ctx context.Context, id string, body io.Reader, size int64) (n int64, err error) {
	ctx, end := s.begin(ctx, "Put", false, id)
	defer end(&err)
	if err := CheckID(id); err != nil {
		return 0, err
	}
	return s.d.Put(ctx, id, body, size)
}

// Get opens the object from offset on; see [Driver]. What io.Copy does with the
// reader is the fastest way there is: a [File] goes to a TCP connection without
// passing through this process.
func (s *Store) Get(ctx context.Context, id string, offset, length int64) (r io.ReadCloser, err error) {
	ctx, end := s.begin(ctx, "Get", false, id)
	defer end(&err)
	if err := CheckID(id); err != nil {
		return nil, err
	}
	return s.d.Get(ctx, id, offset, length)
}

// Stat returns one object, or ErrNotFound.
func (s *Store) Stat(ctx context.Context, id string) (o Object, err error) {
	ctx, end := s.begin(ctx, "Stat", true, id)
	defer end(&err)
	if err := CheckID(id); err != nil {
		return Object{}, err
	}
	return s.d.Stat(ctx, id)
}

// Delete removes the object; see [Driver].
func (s *Store) Delete(ctx context.Context, id string) (err error) {
	ctx, end := s.begin(ctx, "Delete", true, id)
	defer end(&err)
	if err := CheckID(id); err != nil {
		return err
	}
	return s.d.Delete(ctx, id)
}

// List calls yield for each object until it returns false.
func (s *Store) List(ctx context.Context, yield func(Object) bool) (err error) {
	ctx, end := s.begin(ctx, "List", false)
	defer end(&err)
	return s.d.List(ctx, yield)
}

// Copy copies an object inside the store; see [Copier].
func (s *Store) Copy(ctx context.Context, dst, src string) (err error) {
	ctx, end := s.begin(ctx, "Copy", false, dst)
	defer end(&err)
	c, err := offered[Copier](s, AbilityCopier)
	if err != nil {
		return err
	}
	if err := errors.Join(CheckID(dst), CheckID(src)); err != nil {
		return err
	}
	return c.Copy(ctx, dst, src)
}

// Location names an object's place; see [Locator].
func (s *Store) Location(ctx context.Context, id string) (where string, err error) {
	ctx, end := s.begin(ctx, "Location", true, id)
	defer end(&err)
	l, err := offered[Locator](s, AbilityLocator)
	if err != nil {
		return "", err
	}
	if err := CheckID(id); err != nil {
		return "", err
	}
	return l.Location(ctx, id)
}
