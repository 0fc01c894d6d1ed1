package nephos

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Epoch is where a [VirtualClock] begins unless it is told otherwise.
var Epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// VirtualClock is a clock that stands still until [VirtualClock.Advance] moves
// it: hours pass in microseconds, and the same moves give the same times. It is
// safe for concurrent use.
//
// Whoever waits by [Clock.After] is woken when the time has come and goes on by
// itself. Whoever waits by [Sleep] does so within a piece of work that
// [VirtualClock.Do] began, if one is under way: then Do and Advance return only
// when that work has ended or sleeps again, so that at any moment one goroutine
// runs and everything happens in the order of time.
type VirtualClock struct {
	mu      sync.Mutex
	now     time.Time
	waits   waits
	seq     int // of the last wait, so that those of one moment wake in order
	active  *activity
	outside func(time.Duration)
}

// activity is a piece of work that may sleep.
type activity struct {
	parked chan struct{} // receives when it sleeps
	done   chan struct{} // closed when it has ended
	loose  bool          // nobody follows it
	panic  any
}

type wait struct {
	at    time.Time
	seq   int
	wake  chan time.Time
	of    *activity // nil: nobody waits for what follows
	index int
}

type waits []*wait

func (w waits) Len() int { return len(w) }

func (w waits) Less(i, j int) bool {
	if !w[i].at.Equal(w[j].at) {
		return w[i].at.Before(w[j].at)
	}
	return w[i].seq < w[j].seq
}

func (w waits) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}

func (w *waits) Push(x any) {
	one := x.(*wait)
	one.index = len(*w)
	*w = append(*w, one)
}

func (w *waits) Pop() any {
	old := *w
	one := old[len(old)-1]
	old[len(old)-1] = nil
	*w = old[:len(old)-1]
	one.index = -1
	return one
}

// NewVirtualClock returns a clock that shows start, or [Epoch] if start is zero.
func NewVirtualClock(start time.Time) *VirtualClock {
	if start.IsZero() {
		start = Epoch
	}
	return &VirtualClock{now: start.UTC().Truncate(time.Microsecond)}
}

// Now implements [Clock].
func (c *VirtualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// After implements [Clock].
func (c *VirtualClock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.add(d, nil).wake
}

func (c *VirtualClock) add(d time.Duration, of *activity) *wait {
	c.seq++
	w := &wait{at: c.now.Add(d), seq: c.seq, wake: make(chan time.Time, 1), of: of, index: -1}
	if d <= 0 && of == nil {
		w.wake <- c.now
		return w
	}
	heap.Push(&c.waits, w)
	return w
}

// Advance moves the clock and wakes, in the order of their times, all whose time
// has come.
func (c *VirtualClock) Advance(d time.Duration) { c.AdvanceTo(c.Now().Add(d)) }

// AdvanceTo moves the clock to the time, unless it is later already.
func (c *VirtualClock) AdvanceTo(t time.Time) {
	t = t.UTC().Truncate(time.Microsecond)
	for {
		c.mu.Lock()
		if len(c.waits) == 0 || c.waits[0].at.After(t) {
			if t.After(c.now) {
				c.now = t
			}
			c.mu.Unlock()
			return
		}
		w := heap.Pop(&c.waits).(*wait)
		if w.at.After(c.now) {
			c.now = w.at
		}
		c.active = w.of
		now := c.now
		c.mu.Unlock()
		w.wake <- now
		if w.of != nil {
			c.follow(w.of)
		}
	}
}

// NextSleeper returns when the first of those who [Sleep] wakes; false when
// nobody sleeps.
func (c *VirtualClock) NextSleeper() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var first *wait
	for _, w := range c.waits {
		if w.of != nil && (first == nil || w.at.Before(first.at)) {
			first = w
		}
	}
	if first == nil {
		return time.Time{}, false
	}
	return first.at, true
}

// Do runs f and returns when it has ended, or when it sleeps: then it goes on
// within the Advance that moves the clock far enough. done reports which. A
// panic of f is passed on to whoever waits for it. Calls of Do and Advance must
// not overlap.
func (c *VirtualClock) Do(f func()) (done bool) {
	a := &activity{parked: make(chan struct{}), done: make(chan struct{})}
	c.mu.Lock()
	c.active = a
	c.mu.Unlock()
	go func() {
		defer close(a.done)
		defer func() { a.panic = recover() }()
		f()
	}()
	return c.follow(a)
}

// follow waits until the activity has ended or sleeps.
func (c *VirtualClock) follow(a *activity) (done bool) {
	select {
	case <-a.parked:
	case <-a.done:
		done = true
	}
	c.mu.Lock()
	c.active = nil
	c.mu.Unlock()
	if done && a.panic != nil {
		panic(a.panic)
	}
	return done
}

// Sleep implements [Sleeper]. Outside any work that Do began, and where
// [VirtualClock.OnSleep] set a function, that function lets the time pass.
func (c *VirtualClock) Sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	c.mu.Lock()
	a, outside := c.active, c.outside
	if a != nil && a.loose {
		a = nil
	} else if a == nil && outside != nil {
		c.mu.Unlock()
		outside(d)
		return ctx.Err()
	}
	w := c.add(d, a)
	c.mu.Unlock()
	if a != nil {
		a.parked <- struct{}{}
	}
	select {
	case <-w.wake:
		return ctx.Err()
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		if w.index >= 0 {
			heap.Remove(&c.waits, w.index)
		}
		if a != nil {
			a.loose = true // nobody follows it any more
		}
		return ctx.Err()
	}
}

// OnSleep sets what lets the time pass for a goroutine that sleeps outside any
// work that [VirtualClock.Do] began: f is called in that goroutine, and as a
// rule advances the clock. Without it such a goroutine waits for an Advance.
func (c *VirtualClock) OnSleep(f func(time.Duration)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outside = f
}
