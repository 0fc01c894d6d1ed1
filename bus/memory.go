package bus

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
)

// Memory is the bus inside one process.
type Memory struct {
	clock nephos.Clock
	lost  chan struct{}

	mu       sync.Mutex
	hosts    map[string]*hostState
	reports  map[sender][][]byte
	reported chan struct{} // a report came
}

// sender is what the order of reports holds for.
type sender struct{ host, key string }

// versioned is a key's value.
type versioned struct {
	Version
	value []byte
}

type hostState struct {
	state    map[string]versioned
	watchers map[*memoryWatcher]struct{}
	handler  Handler
}

// NewMemory returns an empty bus. clock paces redelivery; nil is the wall clock.
func NewMemory(clock nephos.Clock) *Memory {
	if clock == nil {
		clock = nephos.WallClock{}
	}
	return &Memory{
		clock: clock, lost: make(chan struct{}, 1), hosts: map[string]*hostState{},
		reports: map[sender][][]byte{}, reported: make(chan struct{}, 1),
	}
}

func (m *Memory) host(name string) *hostState {
	h := m.hosts[name]
	if h == nil {
		h = &hostState{state: map[string]versioned{}, watchers: map[*memoryWatcher]struct{}{}}
		m.hosts[name] = h
	}
	return h
}

// Put implements [Bus].
func (m *Memory) Put(_ context.Context, host, key string, v Version, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.host(host)
	if have, ok := h.state[key]; ok && v.Before(have.Version) {
		return nil
	}
	h.state[key] = versioned{v, bytes.Clone(value)}
	for w := range h.watchers {
		w.changed(key)
	}
	return nil
}

// Delete implements [Bus].
func (m *Memory) Delete(_ context.Context, host, key string, v Version) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.host(host); !v.Before(h.state[key].Version) {
		delete(h.state, key)
	}
	return nil
}

// Empty forgets everything, as a bus that was lost and replaced would.
func (m *Memory) Empty() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.hosts {
		h.state = map[string]versioned{}
	}
	m.reports = map[sender][][]byte{}
	m.Lose()
}

// Lose says that something may have been lost, for those who lose messages on
// purpose.
func (m *Memory) Lose() {
	select {
	case m.lost <- struct{}{}:
	default:
	}
}

// Lost implements [Bus].
func (m *Memory) Lost() <-chan struct{} { return m.lost }

// Watch implements [Bus].
func (m *Memory) Watch(_ context.Context, host string) (Watcher, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.host(host)
	w := &memoryWatcher{bus: m, host: h, dirty: map[string]bool{}, ready: make(chan struct{}, 1)}
	keys := make([]string, 0, len(h.state))
	for k := range h.state {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		w.changed(k)
	}
	h.watchers[w] = struct{}{}
	return w, nil
}

type memoryWatcher struct {
	bus   *Memory
	host  *hostState
	dirty map[string]bool
	order []string
	ready chan struct{}
}

// changed is called with the bus's lock held.
func (w *memoryWatcher) changed(key string) {
	if !w.dirty[key] {
		w.dirty[key] = true
		w.order = append(w.order, key)
	}
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (w *memoryWatcher) Ready() <-chan struct{} { return w.ready }

func (w *memoryWatcher) Next(ctx context.Context) ([]Entry, error) {
	for {
		w.bus.mu.Lock()
		var entries []Entry
		for _, k := range w.order {
			if v, ok := w.host.state[k]; ok {
				entries = append(entries, Entry{Key: k, Value: v.value})
			}
		}
		w.order, w.dirty = nil, map[string]bool{}
		w.bus.mu.Unlock()
		if len(entries) > 0 {
			return entries, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-w.ready:
		}
	}
}

func (w *memoryWatcher) Close() {
	w.bus.mu.Lock()
	defer w.bus.mu.Unlock()
	delete(w.host.watchers, w)
}

// Report implements [Bus].
func (m *Memory) Report(_ context.Context, host, key string, value []byte) error {
	m.mu.Lock()
	from := sender{host, key}
	m.reports[from] = append(m.reports[from], bytes.Clone(value))
	m.mu.Unlock()
	select {
	case m.reported <- struct{}{}:
	default:
	}
	return nil
}

// together is how many reports are handled at a time.
const together = 32

// Reports implements [Bus].
func (m *Memory) Reports(ctx context.Context, handle func(context.Context, string, []byte) error) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	busy := map[sender]bool{}
	done := make(chan sender)
	for {
		m.mu.Lock()
		for from := range m.reports {
			if len(busy) == together {
				break
			}
			if busy[from] {
				continue
			}
			busy[from] = true
			wg.Go(func() {
				m.drain(ctx, from, handle)
				select {
				case done <- from:
				case <-ctx.Done():
				}
			})
		}
		m.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case from := <-done:
			delete(busy, from)
		case <-m.reported:
		}
	}
}

// DeliverOne hands the first waiting report, in the order of hosts and keys, to
// the handler, in the calling goroutine. It reports whether there was one; a
// report whose handler fails stays.
func (m *Memory) DeliverOne(ctx context.Context, handle func(context.Context, string, []byte) error) (bool, error) {
	all := m.senders()
	if len(all) == 0 {
		return false, nil
	}
	value, ok := m.first(all[0])
	if !ok {
		return false, nil
	}
	if err := handle(ctx, all[0].host, value); err != nil {
		return true, err
	}
	m.dropFirst(all[0])
	return true, nil
}

// senders are those whose reports wait, sorted.
func (m *Memory) senders() []sender {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]sender, 0, len(m.reports))
	for from := range m.reports {
		all = append(all, from)
	}
	slices.SortFunc(all, func(a, b sender) int {
		return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.key, b.key))
	})
	return all
}

// Deliver hands every waiting report to the handler once, in the calling
// goroutine, for tests that step. It returns how many were taken.
func (m *Memory) Deliver(ctx context.Context, handle func(context.Context, string, []byte) error) (int, error) {
	n := 0
	for {
		all := m.senders()
		if len(all) == 0 {
			return n, nil
		}
		for _, from := range all {
			for value, ok := m.first(from); ok; value, ok = m.first(from) {
				if err := handle(ctx, from.host, value); err != nil {
					return n, err
				}
				m.dropFirst(from)
				n++
			}
		}
	}
}

func (m *Memory) first(from sender) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.reports[from]
	if len(r) == 0 {
		return nil, false
	}
	return r[0], true
}

func (m *Memory) dropFirst(from sender) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch r := m.reports[from]; len(r) {
	case 0: // emptied meanwhile
	case 1:
		delete(m.reports, from)
	default:
		r[0] = nil
		m.reports[from] = r[1:]
	}
}

func (m *Memory) drain(ctx context.Context, from sender, handle func(context.Context, string, []byte) error) {
	const first = 50 * time.Millisecond
	wait := first
	for ctx.Err() == nil {
		value, ok := m.first(from)
		if !ok {
			return
		}
		if err := handle(ctx, from.host, value); err != nil {
			select {
			case <-ctx.Done():
			case <-m.clock.After(wait):
			}
			wait = min(2*wait, 5*time.Second)
			continue
		}
		wait = first
		m.dropFirst(from)
	}
}

// Serve implements [Bus].
func (m *Memory) Serve(_ context.Context, host string, handler Handler) (func(), error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.host(host)
	h.handler = handler
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if h.handler == handler {
			h.handler = nil
		}
	}, nil
}

func (m *Memory) serving(host string) (Handler, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.host(host).handler; h != nil {
		return h, nil
	}
	return nil, nephos.Errorf(nephos.ErrUnavailable, "asking host %s: its agent is not there", host)
}

// Ask implements [Bus].
func (m *Memory) Ask(ctx context.Context, host, question string, in []byte) ([]byte, error) {
	h, err := m.serving(host)
	if err != nil {
		return nil, err
	}
	return h.Answer(ctx, question, bytes.Clone(in))
}

// Dial implements [Bus].
func (m *Memory) Dial(ctx context.Context, host, question string, in []byte) (io.ReadWriteCloser, error) {
	h, err := m.serving(host)
	if err != nil {
		return nil, err
	}
	return h.Stream(ctx, question, bytes.Clone(in))
}
