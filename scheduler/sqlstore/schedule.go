package sqlstore

import (
	"context"
	"errors"
	"fmt"
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
	one := &single{
		job:    &job{s: s, req: req, want: want, o: o, who: "consumer " + o.Consumer.ID, refused: map[string]int{}},
		commit: commit,
	}
	return one.decide(ctx, scheduler.Options{Seed: o.Seed, Alternates: o.Alternates, Samples: samples}, one)
}

// single is one call of Schedule.
type single struct {
	*job
	commit func(ctx context.Context, tx *store.Tx, host scheduler.HostRef) error

	got     scheduler.HostRef // the host of the claim
	claimed bool              // by this call
}

func (j *single) reserve(d scheduler.Decision) bool {
	return j.s.reserve(d.Choices[0].Host.ID, j.wants(d, 0))
}

func (j *single) unreserve(d scheduler.Decision, failed bool) {
	best := d.Choices[0].Host.ID
	j.s.unreserve(best, j.wants(d, 0), failed || !j.claimed || j.got.ID != best)
}

// wants is what is claimed of the winner, 0, or of one of its alternates: what
// was asked for, and what the host's NUMA cells and devices give to it.
func (j *single) wants(d scheduler.Decision, i int) scheduler.Resources {
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
func (j *single) claim(ctx context.Context, d scheduler.Decision) error {
	hosts := append([]scheduler.HostRef{d.Choices[0].Host}, d.Choices[0].Alternates...)
	body, err := encodeExplanation(d.Explanation)
	if err != nil {
		return err
	}
	if s := j.s; s.cfg.Store.Postgres() {
		// Claims of one host in one process wait here rather than collide there.
		defer s.claims[hash(hosts[0].ID)%uint64(len(s.claims))].take(ctx)()
		err := j.claimAtOnce(ctx, hosts[0], j.wants(d, 0), body)
		if !errors.Is(err, errNotAtOnce) {
			j.got, j.claimed = hosts[0], err == nil
			return err
		}
	}
	return j.s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		j.fulls, j.claimed = nil, false
		held, err := enter(ctx, tx, j.o.Consumer)
		if err != nil {
			return err
		}
		if found, err := j.existing(ctx, tx, held[j.o.Consumer.ID]); err != nil || found {
			return err
		}
		for i, h := range hosts {
			uuid := ProviderID(h.ID)
			want := j.wants(d, i)
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
			taken := allocation{j.o.Consumer.ID, uuid, want}
			if err := insertAllocations(ctx, tx, taken); err != nil {
				return err
			}
			if err := j.assign(ctx, tx, taken); err != nil {
				j.claimed = false
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
			return j.s.keepExplanations(ctx, tx, j.req.ID, explained{j.o.Consumer.ID, body})
		}
		return errAllFull
	})
}

// existing runs commit for the host of the claim that the consumer has, if any.
func (j *single) existing(ctx context.Context, tx *store.Tx, held map[string]scheduler.Resources) (bool, error) {
	if len(held) == 0 {
		return false, nil
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
func (j *single) giveUp(ctx context.Context, d scheduler.Decision, reason error) (scheduler.Decision, error) {
	body, err := encodeExplanation(d.Explanation)
	if err != nil {
		return d, err
	}
	found := false
	err = j.s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		j.claimed = false
		held, err := loadAllocations(ctx, tx, j.o.Consumer.ID)
		if err != nil {
			return err
		}
		if found, err = j.existing(ctx, tx, held); err != nil || found {
			return err
		}
		return j.s.keepExplanations(ctx, tx, j.req.ID, explained{j.o.Consumer.ID, body})
	})
	if err != nil {
		return d, err
	}
	if found {
		return j.done(d), nil
	}
	return d, reason
}

// done is the decision with the host that was claimed.
func (j *single) done(d scheduler.Decision) scheduler.Decision {
	if !j.claimed {
		return scheduler.Decision{Choices: []scheduler.Choice{{Host: j.got}}, Explanation: scheduler.Explanation{
			RequestID: j.req.ID, Seed: j.o.Seed, Wanted: 1, Placed: 1, Chosen: []scheduler.HostRef{j.got},
			Notes: []string{"the consumer had a claim on this host"},
		}}
	}
	if j.o.Building {
		j.s.began(j.o.Consumer.ID, j.got.ID)
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
func (j *single) explain(e scheduler.Explanation) scheduler.Explanation {
	e.Notes = append(slices.Clip(e.Notes), fmt.Sprintf("%d better hosts were full when they were to be claimed", len(j.fulls)))
	e.Chosen = []scheduler.HostRef{j.got}
	return e
}
