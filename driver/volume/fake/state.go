package fake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// State is what outlives a [Driver]: volumes, snapshots, attachments, and the
// faults to come. Its zero value is ready, and empty.
type State struct {
	mu      sync.Mutex
	volumes map[string]*vol
	faults  []*Fault

	lying    map[string]lying             // by reference
	attached map[string]driver.Connection // by attachment, on the host
}

type vol struct {
	volume.Volume
	spec        volume.Spec
	content     []byte // never changed in place: copies share it
	snapshots   []snap // oldest first
	attachments map[string]volume.Connector
	reference   string // that it was adopted by
}

type snap struct {
	id      string
	sizeGiB int
	content []byte
}

func (v *vol) view() volume.Volume {
	out := v.Volume
	for _, p := range v.snapshots {
		out.Snapshots = append(out.Snapshots, p.id)
	}
	return out
}

func (v *vol) snapshot(id string) *snap {
	if i := slices.IndexFunc(v.snapshots, func(p snap) bool { return p.id == id }); i >= 0 {
		return &v.snapshots[i]
	}
	return nil
}

func (s *State) get(id string) (*vol, error) {
	v, ok := s.volumes[id]
	if !ok {
		return nil, nephos.NotFound("Volume", id)
	}
	return v, nil
}

func (s *State) allocated() int {
	n := 0
	for _, v := range s.volumes {
		n += v.SizeGiB
	}
	return n
}

// Fault makes calls slow, or fail, or both.
type Fault struct {
	// Op is the name of the method, such as "Create"; empty is every method.
	Op string
	// ID is the volume that the call is about; empty is every volume.
	ID string
	// Times is how many calls are hit; 0 is all until [State.ClearFaults].
	Times int
	// Latency passes, on the driver's clock, before the call begins.
	Latency time.Duration
	// Err is what the call returns, if not nil.
	Err error
	// After has the call do its work before Err is returned, as if the answer
	// had been lost.
	After bool
}

// Inject adds a fault. The first one that fits a call hits it.
func (s *State) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// ClearFaults removes all faults.
func (s *State) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

func (s *State) fault(op, id string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if (f.Op != "" && f.Op != op) || (f.ID != "" && f.ID != id) {
			continue
		}
		hit := *f
		if f.Times == 1 {
			s.faults = slices.Delete(s.faults, i, i+1)
		} else if f.Times > 1 {
			f.Times--
		}
		return hit
	}
	return Fault{}
}

// do runs one call about a single thing.
func (d *Driver) do(ctx context.Context, op, id string, fn func(*State) error) error {
	if err := volume.CheckID("ID", id); err != nil {
		return err
	}
	return d.run(ctx, op, id, fn)
}

// look runs one call about all of the pool.
func (d *Driver) look(ctx context.Context, op string, fn func(*State) error) error {
	return d.run(ctx, op, "", fn)
}

// run is the fault that is due, then fn with the State locked.
func (d *Driver) run(ctx context.Context, op, id string, fn func(*State) error) error {
	f := d.state.fault(op, id)
	if err := nephos.Sleep(ctx, d.cfg.Clock, f.Latency); err != nil {
		return fmt.Errorf("fake volume driver: %s %s: %w", op, id, err)
	}
	if f.Err != nil && !f.After {
		return fmt.Errorf("fake volume driver: %s %s: %w", op, id, f.Err)
	}
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	if d.state.volumes == nil {
		d.state.volumes = make(map[string]*vol)
	}
	if err := fn(d.state); err != nil {
		return err
	}
	if f.Err != nil {
		return fmt.Errorf("fake volume driver: %s %s: %w", op, id, f.Err)
	}
	return nil
}

// Write changes a volume's content as a guest does.
func (s *State) Write(volumeID string, offset int64, content []byte) error {
	if offset < 0 || offset+int64(len(content)) > MaxContent {
		return nephos.Errorf(nephos.ErrInvalid, "writing %d bytes at %d: only the first %d bytes of a volume are kept", len(content), offset, MaxContent)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.get(volumeID)
	if err != nil {
		return err
	}
	changed := make([]byte, max(len(v.content), int(offset)+len(content)))
	copy(changed, v.content)
	copy(changed[offset:], content)
	v.content = changed
	return nil
}

// Clone returns a state of its own with the same volumes, snapshots and
// attachments, and without faults to come.
func (s *State) Clone() *State {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &State{volumes: make(map[string]*vol, len(s.volumes)), lying: maps.Clone(s.lying), attached: maps.Clone(s.attached)}
	for id, v := range s.volumes {
		one := *v // contents are never changed in place
		one.snapshots, one.attachments = slices.Clone(v.snapshots), maps.Clone(v.attachments)
		c.volumes[id] = &one
	}
	return c
}
