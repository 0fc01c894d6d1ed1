package main

import (
	"container/heap"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
)

// clock goes like the wall's, and can be moved ahead: what is due by then
// happens at once.
type clock struct {
	mu     sync.Mutex
	ahead  time.Duration
	timers timers
	rings  *time.Timer // at the first timer
}

type timer struct {
	at   time.Time
	fire chan time.Time
}

type timers []timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)        { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}

func (c *clock) now() time.Time { return nephos.WallClock{}.Now().Add(c.ahead) }

// Now implements [nephos.Clock].
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

// After implements [nephos.Clock].
func (c *clock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	fire := make(chan time.Time, 1)
	heap.Push(&c.timers, timer{c.now().Add(d), fire})
	c.ring()
	return fire
}

// ring fires what is due, and has itself called again for the next.
func (c *clock) ring() {
	for now := c.now(); len(c.timers) > 0; {
		if wait := c.timers[0].at.Sub(now); wait > 0 {
			if c.rings != nil {
				c.rings.Stop()
			}
			c.rings = time.AfterFunc(wait, func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.ring()
			})
			return
		}
		heap.Pop(&c.timers).(timer).fire <- now
	}
}

// advance moves the clock ahead, and returns how far it is ahead altogether.
func (c *clock) advance(d time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
	c.ring()
	return c.ahead
}
