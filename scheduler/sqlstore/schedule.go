package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// Options are the options of Schedule.
type Options struct {
	// Consumer is who the claim is for. Its ID is needed.
	Consumer Consumer
	// Seed settles ties, with the request's ID.
	Seed uint64
	// Alternates is how many further hosts are tried in the same transaction if
	// the winner turns out to be full; 0 means 3.
	Alternates int
	// Building says that the claim begins a build, whose end BuildEnded tells.
	Building bool
}

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

// Schedule decides on a host for one server and claims it: the claim, what
// commit writes and the explanation are one transaction. commit, which may be
// nil, runs in it, perhaps several times, perhaps for several hosts; only the
// last counts. An error of commit undoes everything and is returned as it is.
//
// A consumer that has a claim gets no second one: the host of its claim is
// returned, and commit runs for it.
//
// It fails with nephos.ErrNoCapacity if no host will do; the Decision's
// Explanation then says why, and is kept. It fails with nephos.ErrConflict if
// what the consumer uses is not on a host.
func (s *Store) Schedule(ctx context.Context, req scheduler.Request, o Options, commit func(ctx context.Context, tx *store.Tx, host scheduler.HostRef) error) (scheduler.Decision, error) {
	nephos.OutsideTx(ctx, "sqlstore.Schedule")
	want, err := s.checkClaim(o.Consumer, req.Resources)
	if err != nil {
		return scheduler.Decision{}, err
	}
	if req.Count > 1 {
		return scheduler.Decision{}, nephos.Errorf(nephos.ErrInvalid, "scheduling for consumer %s: one server at a time, not %d", o.Consumer.ID, req.Count).WithField("count")
	}
	if o.Alternates == 0 {
		o.Alternates = 3
	}
	if req.ID == "" {
		req.ID = o.Consumer.ID
	}
	j := &job{s: s, req: req, want: want, o: o, commit: commit, refused: map[string]int{}}
	reread := !s.cfg.Store.Postgres()
	for tries, races := 0, 0; tries < maxTries && races < maxRaces; {
		if err := s.refresh(ctx); err != nil {
			return scheduler.Decision{}, err
		}
		before := s.roomGiven()
		d, err := s.choose(j.request(), scheduler.Options{Seed: o.Seed, Alternates: o.Alternates, Samples: samples})
		if errors.Is(err, nephos.ErrNoCapacity) && !reread {
			s.reread()
			reread = true
			continue
		}
		if errors.Is(err, nephos.ErrNoCapacity) {
			// Room that is kept for claims on their way may come back.
			if again, err := s.awaitRoom(ctx, before); err != nil {
				return d, err
			} else if again && races < maxWaits {
				races++
				continue
			}
			none, err := j.giveUp(ctx, d, err)
			if errors.Is(err, nephos.ErrNoCapacity) && s.roomGiven() != before && races < maxWaits {
				races++
				continue
			}
			return none, err
		}
		if err != nil {
			return d, err
		}
		best := j.wants(d, 0)
		if !s.reserve(d.Choices[0].Host.ID, best) {
			races++
			continue
		}
		err = j.claim(ctx, &d)
		s.unreserve(d.Choices[0].Host.ID, best, err != nil || !j.claimed || j.got.ID != d.Choices[0].Host.ID)
		if err == nil {
			if o.Building && j.claimed {
				s.began(o.Consumer.ID, j.got.ID)
			}
			return j.result(d), nil
		}
		if !j.full(err) {
			return scheduler.Decision{Explanation: d.Explanation}, err
		}
		tries++
	}
	return scheduler.Decision{}, nephos.Errorf(nephos.ErrUnavailable, "scheduling for consumer %s: the chosen hosts were always taken, try again", o.Consumer.ID)
}

// job is one call of Schedule.
type job struct {
	s       *Store
	req     scheduler.Request
	want    scheduler.Resources
	o       Options
	commit  func(ctx context.Context, tx *store.Tx, host scheduler.HostRef) error
	refused map[string]int // host id to how often its rows said no

	got     scheduler.HostRef // the host of the claim
	claimed bool              // by this call
	fulls   []*full
}

// request leaves out hosts whose rows keep disagreeing with the snapshot.
func (j *job) request() scheduler.Request {
	req := j.req
	for id, n := range j.refused {
		if n > 1 {
			req.IgnoreHosts = append(slices.Clip(req.IgnoreHosts), id)
		}
	}
	return req
}

// wants is what is claimed of the winner, 0, or of one of its alternates: what
// was asked for, and what the host's NUMA cells and devices give to it.
func (j *job) wants(d scheduler.Decision, i int) scheduler.Resources {
	c := d.Choices[0]
	switch {
	case i == 0 && c.Claim != nil:
		return c.Claim
	case i > 0 && i <= len(c.AlternateClaims) && c.AlternateClaims[i-1] != nil:
		return c.AlternateClaims[i-1]
	}
	return j.want
}

// claim takes the winner or one of its alternates, in one transaction.
func (j *job) claim(ctx context.Context, d *scheduler.Decision) error {
	hosts := append([]scheduler.HostRef{d.Choices[0].Host}, d.Choices[0].Alternates...)
	body, err := encodeExplanation(d.Explanation)
	if err != nil {
		return err
	}
	if s := j.s; s.cfg.Store.Postgres() {
		// Claims of one host in one process wait here rather than collide there.
		defer s.claims[hash(hosts[0].ID)%uint64(len(s.claims))].take(ctx)()
		err := j.claimAtOnce(ctx, hosts[0], j.wants(*d, 0), body)
		if !errors.Is(err, errNotAtOnce) {
			j.got, j.claimed = hosts[0], err == nil
			return err
		}
	}
	return j.s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		j.fulls, j.claimed = nil, false
		first, err := insertConsumer(ctx, tx, j.o.Consumer)
		if err != nil {
			return err
		}
		if !first {
			if found, err := j.existing(ctx, tx); err != nil || found {
				return err
			}
		}
		for i, h := range hosts {
			uuid := ProviderID(h.ID)
			want := j.wants(*d, i)
			err := j.s.change(ctx, tx, uuid, want, want, 1, true)
			var f *full
			if errors.As(err, &f) {
				j.fulls = append(j.fulls, f)
				continue
			}
			if err != nil {
				return err
			}
			j.got, j.claimed = h, true
			if err := insertAllocations(ctx, tx, j.o.Consumer.ID, uuid, want); err != nil {
				return err
			}
			if j.commit != nil {
				if err := j.commit(ctx, tx, h); err != nil {
					return err
				}
			}
			if i > 0 {
				if body, err = encodeExplanation(j.explain(d.Explanation)); err != nil {
					return err
				}
			}
			return j.s.keepExplanation(ctx, tx, j.req.ID, j.o.Consumer.ID, body)
		}
		return errAllFull
	})
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
		}
	}
	return true
}

// existing runs commit for the host of the claim that the consumer has, if any.
func (j *job) existing(ctx context.Context, tx *store.Tx) (bool, error) {
	held, err := loadAllocations(ctx, tx, j.o.Consumer.ID)
	if err != nil || len(held) == 0 {
		return false, err
	}
	for uuid := range held {
		id, ok := j.s.hostOf(uuid)
		if !ok {
			continue
		}
		ref, ok := j.s.ref(id)
		if !ok {
			continue
		}
		j.got = ref
		if j.commit == nil {
			return true, nil
		}
		return true, j.commit(ctx, tx, ref)
	}
	return false, nephos.Errorf(nephos.ErrConflict, "scheduling for consumer %s: it uses resources that are not a host's", j.o.Consumer.ID)
}

// giveUp keeps the explanation of a decision for no host, unless the consumer
// has a claim already.
func (j *job) giveUp(ctx context.Context, d scheduler.Decision, reason error) (scheduler.Decision, error) {
	body, err := encodeExplanation(d.Explanation)
	if err != nil {
		return d, err
	}
	found := false
	err = j.s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		j.claimed = false
		if found, err = j.existing(ctx, tx); err != nil || found {
			return err
		}
		return j.s.keepExplanation(ctx, tx, j.req.ID, j.o.Consumer.ID, body)
	})
	if err != nil {
		return d, err
	}
	if found {
		return j.result(d), nil
	}
	return d, reason
}

// result is the decision with the host that was claimed.
func (j *job) result(d scheduler.Decision) scheduler.Decision {
	if !j.claimed {
		return scheduler.Decision{Choices: []scheduler.Choice{{Host: j.got}}, Explanation: scheduler.Explanation{
			RequestID: j.req.ID, Seed: j.o.Seed, Wanted: 1, Placed: 1, Chosen: []scheduler.HostRef{j.got},
			Notes: []string{"the consumer had a claim on this host"},
		}}
	}
	if d.Choices[0].Host.ID != j.got.ID {
		d.Explanation = j.explain(d.Explanation)
		d.Choices[0].Host = j.got
		d.Choices[0].Alternates = slices.DeleteFunc(slices.Clone(d.Choices[0].Alternates), func(h scheduler.HostRef) bool {
			return h.ID == j.got.ID
		})
	}
	return d
}

// explain tells of an alternate that took the winner's place.
func (j *job) explain(e scheduler.Explanation) scheduler.Explanation {
	e.Notes = append(slices.Clip(e.Notes), fmt.Sprintf("%d better hosts were full when they were to be claimed", len(j.fulls)))
	e.Chosen = []scheduler.HostRef{j.got}
	return e
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
