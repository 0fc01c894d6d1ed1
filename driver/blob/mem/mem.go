// Package mem is a blob driver that keeps objects in memory: for tests, and for
// whoever wants a cloud without a disk. What it holds lives as long as its
// [State], so a driver opened again on the same State finds everything there.
package mem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
)

// chunkSize is how much memory an object grows by; small objects take less.
const chunkSize = 1 << 20

// State is what outlives a [Driver]. Its zero value is ready, and empty.
type State struct {
	mu      sync.RWMutex
	objects map[string]object
	used    int64
	uploads map[string]map[int]part // by object
}

// object is never changed once it is in the State, so that readers need no lock.
type object struct {
	blob.Object
	data chunks
}

// Config configures a [Driver]. The zero value works.
type Config struct {
	State *State       // nil: a new one
	Clock nephos.Clock // nil: the wall clock
	// MaxBytes bounds all objects together, those being put not counted; 0 is
	// without bound. What would exceed it gives ErrNoCapacity.
	MaxBytes int64
}

// Driver implements blob.Driver and all its optional interfaces.
type Driver struct {
	state *State
	clock nephos.Clock
	max   int64
}

// New returns a driver.
func New(cfg Config) *Driver {
	d := &Driver{state: cfg.State, clock: cfg.Clock, max: cfg.MaxBytes}
	if d.state == nil {
		d.state = &State{}
	}
	if d.clock == nil {
		d.clock = nephos.WallClock{}
	}
	return d
}

// Put implements blob.Driver.
func (d *Driver) Put(ctx context.Context, id string, body io.Reader, _ int64) (int64, error) {
	if err := blob.CheckID(id); err != nil {
		return 0, err
	}
	limit := int64(-1)
	if d.max > 0 {
		limit = d.max
	}
	data, n, err := readChunks(blob.Reader(ctx, body), limit)
	if err != nil {
		return 0, fmt.Errorf("putting object %s: %w", id, err)
	}
	if err := d.store(ctx, id, data, n); err != nil {
		return 0, fmt.Errorf("putting object %s: %w", id, err)
	}
	return n, nil
}

func (d *Driver) store(ctx context.Context, id string, data chunks, n int64) error {
	s := d.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	used := s.used + n - s.objects[id].Size
	if d.max > 0 && used > d.max {
		return nephos.Errorf(nephos.ErrNoCapacity, "store of %d bytes is full", d.max)
	}
	if s.objects == nil {
		s.objects = make(map[string]object)
	}
	s.used = used
	s.objects[id] = object{Object: blob.Object{ID: id, Size: n, Created: d.clock.Now()}, data: data}
	return nil
}

func (d *Driver) get(ctx context.Context, id string) (object, error) {
	if err := errors.Join(ctx.Err(), blob.CheckID(id)); err != nil {
		return object{}, err
	}
	d.state.mu.RLock()
	defer d.state.mu.RUnlock()
	o, ok := d.state.objects[id]
	if !ok {
		return object{}, nephos.NotFound("Object", id)
	}
	return o, nil
}

// Get implements blob.Driver. The reader also seeks.
func (d *Driver) Get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	o, err := d.get(ctx, id)
	if err != nil {
		return nil, err
	}
	n, err := blob.Range(o.Size, offset, length)
	if err != nil {
		return nil, err
	}
	return reader{io.NewSectionReader(o.data, offset, n)}, nil
}

type reader struct{ *io.SectionReader }

func (reader) Close() error { return nil }

// Stat implements blob.Driver.
func (d *Driver) Stat(ctx context.Context, id string) (blob.Object, error) {
	o, err := d.get(ctx, id)
	return o.Object, err
}

// Delete implements blob.Driver.
func (d *Driver) Delete(ctx context.Context, id string) error {
	if err := errors.Join(ctx.Err(), blob.CheckID(id)); err != nil {
		return err
	}
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	d.state.used -= d.state.objects[id].Size
	delete(d.state.objects, id)
	return nil
}

// List implements blob.Driver, in the order of the IDs.
func (d *Driver) List(ctx context.Context, yield func(blob.Object) bool) error {
	d.state.mu.RLock()
	all := make([]blob.Object, 0, len(d.state.objects))
	for _, o := range d.state.objects {
		all = append(all, o.Object)
	}
	d.state.mu.RUnlock()
	slices.SortFunc(all, func(a, b blob.Object) int { return strings.Compare(a.ID, b.ID) })
	for _, o := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !yield(o) {
			return nil
		}
	}
	return ctx.Err()
}

// Copy implements blob.Copier; the copy shares the source's memory.
func (d *Driver) Copy(ctx context.Context, dst, src string) error {
	if err := blob.CheckID(dst); err != nil {
		return err
	}
	o, err := d.get(ctx, src)
	if err != nil {
		return err
	}
	return d.store(ctx, dst, o.data, o.Size)
}

// Close implements blob.Driver. The State keeps what it has.
func (d *Driver) Close() error { return nil }

// chunks is content in pieces of chunkSize, the last of which may be shorter.
type chunks [][]byte

// ReadAt implements io.ReaderAt.
func (c chunks) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		i := int(off / chunkSize)
		if i >= len(c) || off%chunkSize >= int64(len(c[i])) {
			return n, io.EOF
		}
		m := copy(p[n:], c[i][off%chunkSize:])
		n, off = n+m, off+int64(m)
	}
	return n, nil
}

// readChunks reads all of r. A limit that is not negative bounds it.
func readChunks(r io.Reader, limit int64) (chunks, int64, error) {
	var data chunks
	var n int64
	piece := make([]byte, chunkSize)
	for {
		m, err := fill(r, piece)
		n += int64(m)
		if m > 0 {
			data = append(data, bytes.Clone(piece[:m]))
		}
		if errors.Is(err, io.EOF) {
			return data, n, checkLimit(n, limit)
		}
		if err == nil {
			err = checkLimit(n, limit)
		}
		if err != nil {
			return nil, 0, err
		}
	}
}

func checkLimit(n, limit int64) error {
	if limit >= 0 && n > limit {
		return nephos.Errorf(nephos.ErrNoCapacity, "store of %d bytes is full", limit)
	}
	return nil
}

// fill reads until p is full. Unlike io.ReadFull it returns the reader's error
// as it is: io.ErrUnexpectedEOF of a body means that its sender is gone.
func fill(r io.Reader, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m, err := r.Read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Clone returns a state of its own with the same objects, whose bytes the two
// share. Parts of uploads that have not ended are left out.
func (s *State) Clone() *State {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return &State{objects: maps.Clone(s.objects), used: s.used}
}
