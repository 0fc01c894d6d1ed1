package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"maps"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

const (
	// samples is how many hosts an explanation names for each filter: it is
	// written with every claim.
	samples = 3
	// maxTries bounds how often a decision is made anew because rows said that
	// its hosts were full.
	maxTries = 8
	// maxRaces bounds how often it is because another decision of this process
	// took the room first.
	maxRaces = 1000
	// maxWaits bounds how often a decision for no host is made anew because
	// something was given back meanwhile.
	maxWaits = 100
)

// job is a decision and the claim of what was chosen, for one server or several.
type job struct {
	s       *Store
	req     scheduler.Request
	want    scheduler.Resources
	o       Options
	who     string            // for whom, as errors call it
	refused map[string]int    // host id to how often its rows said no
	parts   map[string]string // and why, if its parts did
	fulls   []*full           // what they said last
}

// claimer is what claims for one server and for several do each in its way.
type claimer interface {
	// reserve keeps the room of what was chosen away from other decisions, or says
	// that another was first. unreserve ends that; failed says that nothing was
	// claimed.
	reserve(d scheduler.Decision) bool
	unreserve(d scheduler.Decision, failed bool)
	// claim takes what was chosen, in one transaction. Of hosts that turn out to be
	// full it fails with errAllFull and leaves word in job.fulls.
	claim(ctx context.Context, d scheduler.Decision) error
	// done is the answer after a claim, giveUp that to a decision for no host.
	done(d scheduler.Decision) scheduler.Decision
	giveUp(ctx context.Context, d scheduler.Decision, reason error) (scheduler.Decision, error)
}

// decide chooses and claims until a claim holds or there is no room.
func (j *job) decide(ctx context.Context, o scheduler.Options, c claimer) (scheduler.Decision, error) {
	s := j.s
	reread := !s.cfg.Store.Postgres()
	for tries, races := 0, 0; tries < maxTries && races < maxRaces; {
		if err := s.refresh(ctx); err != nil {
			return scheduler.Decision{}, err
		}
		before := s.roomGiven()
		d, err := s.choose(j.request(), o)
		switch {
		case errors.Is(err, nephos.ErrNoCapacity) && !reread:
			s.reread()
			reread = true
			continue
		case errors.Is(err, nephos.ErrNoCapacity):
			// Room that is kept for claims on their way may come back.
			again, waitErr := s.awaitRoom(ctx, before)
			if waitErr != nil {
				return d, waitErr
			}
			if !again || races >= maxWaits {
				none, err := c.giveUp(ctx, d, err)
				if !errors.Is(err, nephos.ErrNoCapacity) || s.roomGiven() == before || races >= maxWaits {
					return none, err
				}
			}
			races++
			continue
		case err != nil:
			return d, err
		case !c.reserve(d):
			races++
			continue
		}
		err = c.claim(ctx, d)
		c.unreserve(d, err != nil)
		if err == nil {
			return c.done(d), nil
		}
		if !j.full(err) {
			return scheduler.Decision{Explanation: d.Explanation}, err
		}
		tries++
	}
	return scheduler.Decision{}, nephos.Errorf(nephos.ErrUnavailable, "scheduling for %s: the chosen hosts were always taken, try again", j.who)
}

// request leaves out hosts whose rows keep disagreeing with the snapshot.
func (j *job) request() scheduler.Request {
	req := j.req
	req.Refused = maps.Clone(req.Refused)
	for id, n := range j.refused {
		if n <= 1 {
			continue
		}
		if req.Refused == nil {
			req.Refused = map[string]string{}
		}
		req.Refused[id] = cmp.Or(j.parts[id], "filled up meanwhile")
	}
	return req
}

var errAllFull = errors.New("the chosen hosts are full")

// full says whether the error means that the chosen hosts had no room, and lets
// the snapshot know what their rows said.
func (j *job) full(err error) bool {
	if !errors.Is(err, errAllFull) {
		return false
	}
	for _, f := range j.fulls {
		j.s.observe(f.uuid, f.generation, f.used, f.consumers)
		if id, ok := j.s.hostOf(f.uuid); ok {
			j.refused[id]++
			if f.parts {
				if j.parts == nil {
					j.parts = map[string]string{}
				}
				j.parts[id] = "have no CPUs or devices left that go together"
			}
		}
	}
	return true
}

func (s *Store) hostOf(uuid string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.byUUID[uuid]
	return id, ok
}

func (s *Store) ref(id string) (scheduler.HostRef, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.hosts[id]
	if !ok {
		return scheduler.HostRef{}, false
	}
	return h.ref, true
}

func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}
