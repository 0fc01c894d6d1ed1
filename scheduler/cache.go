package scheduler

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Clone returns a copy of the snapshot as it is now; changes of the one do not
// show in the other.
func (s *Snapshot) Clone() *Snapshot {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := &Snapshot{
		ratios: s.ratios, rows: slices.Clone(s.rows), rests: slices.Clone(s.rests), index: maps.Clone(s.index),
		profiles: slices.Clone(s.profiles), freeSlots: slices.Clone(s.freeSlots), byKey: make(map[string]*profile, len(s.byKey)),
		classes: maps.Clone(s.classes),
	}
	for i := range c.rests {
		c.rests[i].extra = slices.Clone(c.rests[i].extra)
	}
	for i, p := range c.profiles {
		if p != nil {
			own := *p // it counts its references
			c.profiles[i], c.byKey[own.key] = &own, &own
		}
	}
	return c
}

// Cache decides by a copy of a snapshot that is up to MaxAge old, and counts its
// own choices in the copy: the caching scheduler. Decisions then never wait for
// changes of the snapshot, and miss those that are younger than the copy; claims
// find out.
type Cache struct {
	// Scheduler decides; it is needed, and so is Source.
	Scheduler *Scheduler
	Source    *Snapshot
	// MaxAge is how old the copy may be; 0 takes a new one for each decision.
	MaxAge time.Duration

	mu    sync.Mutex
	copy  *Snapshot
	taken time.Time
}

// Select decides as [Scheduler.Select] does. now is the present time, by the
// caller's clock; it returns how old the copy is by it.
func (c *Cache) Select(now time.Time, req Request, o Options) (Decision, time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := now.Sub(c.taken); c.copy == nil || age >= c.MaxAge || age < 0 {
		c.copy, c.taken = c.Source.Clone(), now
	}
	age := now.Sub(c.taken)
	d, err := c.Scheduler.Select(c.copy, req, o)
	if err != nil {
		return d, age, err
	}
	for _, choice := range d.Choices {
		want := choice.Claim
		if want == nil {
			want = req.Resources
		}
		if err := c.copy.Claim(choice.Host.ID, want); err != nil {
			return d, age, err
		}
	}
	return d, age, nil
}
