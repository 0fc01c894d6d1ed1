package scheduler

import (
	"math"

	"github.com/nephos-cloud/nephos"
)

// Usage is the changing part of a host's record.
type Usage struct {
	Used                                 Resources // whole: a class that is absent is unused
	NumInstances, NumIOOps, FailedBuilds int
	// Generation as in [Host].
	Generation int64
}

// Claim takes the resources of one server from a host, all or nothing. It fails
// with nephos.ErrNotFound if there is no such host, and with nephos.ErrNoCapacity
// if a class does not fit, which includes the inventory's units.
//
// It keeps the snapshot ahead of the record that the claims store keeps, so
// that the next decision does not choose the same room; it is not the claim.
func (s *Snapshot) Claim(id string, want Resources) error {
	if err := want.check("claim"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[id]
	if !ok {
		return nephos.Errorf(nephos.ErrNotFound, "claiming resources: host %s could not be found", id)
	}
	r, t := &s.rows[i], &s.rests[i]
	for _, class := range want.classes() {
		n := want[class]
		if n == 0 {
			continue
		}
		c := t.find(class)
		switch {
		case c == nil:
			return nephos.Errorf(nephos.ErrNoCapacity, "claiming resources: host %s has no %s", id, class)
		case n > c.cap-c.used:
			return nephos.Errorf(nephos.ErrNoCapacity, "claiming resources: host %s has %s of %s free, wanted %s", id, amountOf(class, c.cap-c.used), class, amountOf(class, n))
		case !c.inv.Fits(n):
			return nephos.Errorf(nephos.ErrNoCapacity, "claiming resources: host %s does not give %s to one server", id, amountOf(class, n))
		}
	}
	t.use(r, want, 1)
	if r.numInst < math.MaxInt32 {
		r.numInst++
	}
	return nil
}

// Release gives back what Claim took. Use never falls below zero. It fails with
// nephos.ErrNotFound if there is no such host.
func (s *Snapshot) Release(id string, give Resources) error {
	if err := give.check("release"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[id]
	if !ok {
		return nephos.Errorf(nephos.ErrNotFound, "releasing resources: host %s could not be found", id)
	}
	r, t := &s.rows[i], &s.rests[i]
	t.use(r, give, -1)
	r.numInst = max(0, r.numInst-1)
	return nil
}

// SetUsage replaces a host's use and counters, which is cheaper than Put. It
// fails with nephos.ErrNotFound if there is no such host, with
// nephos.ErrConflict if the generation is older than the known one, and with
// nephos.ErrInvalid if a number is out of bounds.
func (s *Snapshot) SetUsage(id string, u Usage) error {
	h := Host{ID: "usage", Used: u.Used, NumInstances: u.NumInstances, NumIOOps: u.NumIOOps, FailedBuilds: u.FailedBuilds}
	if err := h.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[id]
	if !ok {
		return nephos.Errorf(nephos.ErrNotFound, "setting usage: host %s could not be found", id)
	}
	r, t := &s.rows[i], &s.rests[i]
	if u.Generation != 0 {
		if u.Generation < t.generation {
			return nephos.Errorf(nephos.ErrConflict, "setting usage of host %s: generation %d is older than %d", id, u.Generation, t.generation)
		}
		t.generation = u.Generation
	}
	for k := range t.dense {
		t.dense[k].used = u.Used[t.dense[k].class]
		r.settle(t, k)
	}
	for k := range t.extra {
		t.extra[k].used = u.Used[t.extra[k].class]
	}
	r.numInst, r.numIO, r.failed = int32(u.NumInstances), int32(u.NumIOOps), int32(u.FailedBuilds)
	return nil
}

// use adds sign times the amounts to the use of the host.
func (t *rest) use(r *row, amounts Resources, sign int64) {
	for class, n := range amounts {
		if c := t.find(class); c != nil {
			c.used = max(0, c.used+sign*n)
		}
	}
	for k := range t.dense {
		r.settle(t, k)
	}
}
