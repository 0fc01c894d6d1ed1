package fake

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// Fault is one thing that goes wrong, as data.
type Fault struct {
	Method string // such as "Start"; empty: every method
	ID     string // of the guest; empty: every guest
	// Nth is the first matching call hit, counted from 1 when the fault was added;
	// zero means the first. Count is how many calls are hit from there; zero
	// means one, negative means all.
	Nth, Count int
	// Delay passes by the clock before the call does anything; the context may
	// end it.
	Delay time.Duration
	// Hang keeps the call until its context ends.
	Hang bool
	// Err is what the call returns. With After the work is done first, as when
	// the answer is lost on its way.
	Err   error
	After bool
}

// Faults is a set of faults that tests change while drivers run. The zero value
// is empty and ready to use.
type Faults struct {
	mu    sync.Mutex
	list  []*activeFault
	calls map[string]int
}

type activeFault struct {
	Fault
	seen int
}

// Add adds faults; for each call the first that hits counts.
func (f *Faults) Add(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range faults {
		one.Nth = max(1, one.Nth)
		if one.Count == 0 {
			one.Count = 1
		}
		f.list = append(f.list, &activeFault{Fault: one})
	}
}

// Clear removes all faults; the counts of calls stay.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = nil
}

// Calls returns how often a method was called.
func (f *Faults) Calls(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[method]
}

func (f *Faults) hit(method, id string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = make(map[string]int)
	}
	f.calls[method]++
	var found *activeFault
	for _, one := range f.list {
		if one.Method != "" && one.Method != method || one.ID != "" && one.ID != id {
			continue
		}
		one.seen++
		if found == nil && one.seen >= one.Nth && (one.Count < 0 || one.seen < one.Nth+one.Count) {
			found = one
		}
	}
	if found == nil {
		return Fault{}
	}
	return found.Fault
}

// enter starts a call: it suffers the fault due, if any, and returns the error
// that the call must end with after its work.
func (d *Driver) enter(ctx context.Context, method, id string) (after, err error) {
	wrap := func(err error) error { return fmt.Errorf("%s guest %q: %w", method, id, err) }
	var fault Fault
	if d.cfg.Faults != nil {
		fault = d.cfg.Faults.hit(method, id)
	}
	_ = nephos.Sleep(ctx, d.clock, fault.Delay)
	if fault.Hang {
		<-ctx.Done()
	}
	switch {
	case ctx.Err() != nil:
		return nil, wrap(ctx.Err())
	case d.closed.Load():
		return nil, wrap(fmt.Errorf("driver is closed: %w", nephos.ErrUnavailable))
	case fault.Err == nil:
		return nil, nil
	case fault.After:
		return wrap(fault.Err), nil
	}
	return nil, wrap(fault.Err)
}

// begin enters a call about a guest.
func (d *Driver) begin(ctx context.Context, method, id string) (after, err error) {
	if err := hypervisor.CheckID(id); err != nil {
		return nil, fmt.Errorf("%s guest: %w", method, err)
	}
	return d.enter(ctx, method, id)
}
