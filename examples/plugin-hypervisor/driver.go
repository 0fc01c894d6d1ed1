package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// Paper is a hypervisor on paper: each guest is a sheet, a file of JSON in a
// directory. It keeps nothing in memory, so it may be killed at any moment.
//
// A real driver has its hypervisor where this one has its directory, and asks
// that what there is: it keeps no database of its own either.
type Paper struct {
	cloudID string
	dir     string
	mu      sync.Mutex // one sheet is written at a time
}

// The driver is a hypervisor.Driver, and offers one optional ability: to offer
// one more is to implement its interface, and nothing else. The compiler tells
// when a method is missing.
var (
	_ hypervisor.Driver = (*Paper)(nil)
	_ hypervisor.Pauser = (*Paper)(nil)
)

// Open opens the driver of a cloud on a directory.
func Open(cloudID, dir string) (*Paper, error) {
	if dir == "" {
		return nil, nephos.Errorf(nephos.ErrInvalid, "opening the paper hypervisor: no directory: set NEPHOS_PLUGIN_DIR")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the paper hypervisor: %w", err)
	}
	return &Paper{cloudID: cloudID, dir: dir}, nil
}

// Describe tells the name and version that a certificate shows.
func (p *Paper) Describe() (name, version string) { return "paper", "1.0" }

// Info tells what the host offers; the scheduler believes it.
func (p *Paper) Info(ctx context.Context) (hypervisor.Host, error) {
	guests, err := p.List(ctx)
	if err != nil {
		return hypervisor.Host{}, err
	}
	running := 0
	for _, g := range guests {
		if g.State == hypervisor.Running {
			running++
		}
	}
	return hypervisor.Host{
		Type: "paper", Version: 1_000_000, Arch: "x86_64", CPUModel: "pencil", VCPUs: runtime.NumCPU(), MemoryMiB: 4096,
		DiskGiB: 100, FreeDiskGiB: 100, RunningVMs: running, BootID: "never", HostIP: "127.0.0.1", Formats: []string{"raw", "qcow2"},
	}, nil
}

// Ensure makes the guest what the spec says: whatever it finds (nothing, half of
// it, an older revision, exactly it) becomes the whole spec. That is why there is
// no Create that could fail because somebody called it twice.
func (p *Paper) Ensure(ctx context.Context, id string, spec hypervisor.Spec) error {
	// Nonsense is ErrInvalid, and nothing happens.
	if err := errors.Join(hypervisor.CheckID(id), spec.Validate()); err != nil {
		return fmt.Errorf("ensure guest %s: %w", id, err)
	}
	if spec.CloudID != p.cloudID && p.cloudID != "" {
		return nephos.Errorf(nephos.ErrInvalid, "ensure guest %s: it is of cloud %q, and this driver works for %q", id, spec.CloudID, p.cloudID)
	}
	return p.change(ctx, id, func(s *sheet) error {
		if s.State == "" {
			s.State = hypervisor.Stopped
		}
		// Disks and cards of a running guest are for drivers that are a
		// hypervisor.HotPlugger, which this one is not.
		if s.State != hypervisor.Stopped && !sameDevices(s.Spec, spec) {
			return fmt.Errorf("ensure guest %s: change devices of a running guest: %w", id, errors.ErrUnsupported)
		}
		s.Spec = spec
		return nil
	})
}

func sameDevices(a, b hypervisor.Spec) bool {
	ids := func(s hypervisor.Spec) (all []string) {
		for _, d := range s.Disks {
			all = append(all, "disk "+d.ID)
		}
		for _, n := range s.NICs {
			all = append(all, "card "+n.ID)
		}
		return all
	}
	return reflect.DeepEqual(ids(a), ids(b))
}

// Start powers the guest on. One that runs is left as it is.
func (p *Paper) Start(ctx context.Context, id string) error {
	return p.existing(ctx, "start", id, func(s *sheet) error {
		if s.State != hypervisor.Running && s.State != hypervisor.Paused {
			s.Started = time.Now().UTC()
		}
		s.State = hypervisor.Running
		return nil
	})
}

// Stop powers the guest off. A real driver asks it first, waits for at most
// opts.Grace, and then cuts the power; paper obeys at once.
func (p *Paper) Stop(ctx context.Context, id string, _ hypervisor.StopOptions) error {
	return p.existing(ctx, "stop", id, func(s *sheet) error {
		s.State, s.Started = hypervisor.Stopped, time.Time{}
		return nil
	})
}

// Pause is half of the optional ability hypervisor.Pauser. A state that forbids
// the call is ErrConflict.
func (p *Paper) Pause(ctx context.Context, id string) error {
	return p.existing(ctx, "pause", id, func(s *sheet) error {
		if s.State != hypervisor.Running && s.State != hypervisor.Paused {
			return nephos.Errorf(nephos.ErrConflict, "pause guest %s: it is %s", id, s.State)
		}
		s.State = hypervisor.Paused
		return nil
	})
}

// Unpause is the other half.
func (p *Paper) Unpause(ctx context.Context, id string) error {
	return p.existing(ctx, "unpause", id, func(s *sheet) error {
		if s.State != hypervisor.Running && s.State != hypervisor.Paused {
			return nephos.Errorf(nephos.ErrConflict, "unpause guest %s: it is %s", id, s.State)
		}
		s.State = hypervisor.Running
		return nil
	})
}

// Destroy removes the guest. To destroy what is not there is success: the caller
// may be asking again because it never heard the first answer.
func (p *Paper) Destroy(ctx context.Context, id string) error {
	if err := errors.Join(ctx.Err(), hypervisor.CheckID(id)); err != nil {
		return fmt.Errorf("destroy guest %s: %w", id, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := os.Remove(p.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("destroy guest %s: %w", id, err)
	}
	return nil
}

// Get returns one guest, or ErrNotFound.
func (p *Paper) Get(ctx context.Context, id string) (hypervisor.Guest, error) {
	if err := errors.Join(ctx.Err(), hypervisor.CheckID(id)); err != nil {
		return hypervisor.Guest{}, fmt.Errorf("get guest %s: %w", id, err)
	}
	s, err := p.read(id)
	if err != nil {
		return hypervisor.Guest{}, fmt.Errorf("get guest %s: %w", id, err)
	}
	return s.guest(id), nil
}

// List returns every guest of this cloud, from the hypervisor itself: that is
// how a driver that was killed finds again what it had made.
func (p *Paper) List(ctx context.Context) ([]hypervisor.Guest, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list guests: %w", err)
	}
	sheets, err := filepath.Glob(filepath.Join(p.dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list guests: %w", err)
	}
	var guests []hypervisor.Guest
	for _, path := range sheets {
		id := filepath.Base(path[:len(path)-len(".json")])
		s, err := p.read(id)
		if errors.Is(err, nephos.ErrNotFound) {
			continue // destroyed just now
		}
		if err != nil {
			return nil, fmt.Errorf("list guests: %w", err)
		}
		if s.Spec.CloudID == p.cloudID || p.cloudID == "" {
			guests = append(guests, s.guest(id))
		}
	}
	return guests, nil
}

// Close lets go of the hypervisor. Guests go on running.
func (p *Paper) Close() error { return nil }

// guest is a sheet as the contract describes guests.
func (s *sheet) guest(id string) hypervisor.Guest {
	g := hypervisor.Guest{
		ID: id, CloudID: s.Spec.CloudID, Name: s.Spec.Name, Revision: s.Spec.Revision, State: s.State, Labels: s.Spec.Labels, Started: s.Started,
	}
	for _, d := range s.Spec.Disks {
		g.Disks = append(g.Disks, d.ID)
	}
	for _, n := range s.Spec.NICs {
		g.NICs = append(g.NICs, n.ID)
	}
	return g
}
