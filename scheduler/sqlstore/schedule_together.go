package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// ScheduleTogether is [Store.Schedule] for several servers of one kind in one
// decision, so that the rules of their group hold among them: all of them get a
// host and a claim, or none does. The hosts that commit gets, and those of the
// Decision's Choices, are in the order of the consumers. Options.Consumer and
// Options.Alternates do not count.
//
// It fails with nephos.ErrConflict if one of the consumers has a claim already.
func (s *Store) ScheduleTogether(ctx context.Context, req scheduler.Request, consumers []Consumer, o Options,
	commit func(ctx context.Context, tx *store.Tx, hosts []scheduler.HostRef) error,
) (scheduler.Decision, error) {
	nephos.OutsideTx(ctx, "sqlstore.ScheduleTogether")
	if len(consumers) == 0 || len(consumers) > scheduler.MaxCount {
		return scheduler.Decision{}, nephos.Errorf(nephos.ErrInvalid, "scheduling %d servers together: want 1 to %d", len(consumers), scheduler.MaxCount).WithField("consumers")
	}
	var want scheduler.Resources
	for _, c := range consumers {
		var err error
		if want, err = s.checkClaim(c, req.Resources); err != nil {
			return scheduler.Decision{}, err
		}
	}
	if req.Count = len(consumers); req.ID == "" {
		req.ID = consumers[0].ID
	}
	g := &gang{s: s, job: &job{s: s, req: req, want: want, o: o, refused: map[string]int{}}, consumers: consumers, commit: commit}
	reread := !s.cfg.Store.Postgres()
	for tries, races := 0, 0; tries < maxTries && races < maxRaces; {
		if err := s.refresh(ctx); err != nil {
			return scheduler.Decision{}, err
		}
		before := s.roomGiven()
		d, err := s.choose(g.job.request(), scheduler.Options{Seed: o.Seed, Samples: samples})
		if errors.Is(err, nephos.ErrNoCapacity) {
			if !reread {
				s.reread()
				reread = true
				continue
			}
			again, waitErr := s.awaitRoom(ctx, before)
			if waitErr != nil {
				return d, waitErr
			}
			if again && races < maxWaits {
				races++
				continue
			}
			if kept := g.giveUp(ctx, d); kept != nil {
				return d, kept
			}
			return d, err
		}
		if err != nil {
			return d, err
		}
		held, ok := g.reserve(d)
		if !ok {
			races++
			continue
		}
		err = g.claim(ctx, d)
		for i := range held {
			s.unreserve(d.Choices[i].Host.ID, g.wants(d, i), err != nil)
		}
		if err == nil {
			if o.Building {
				for i, c := range consumers {
					s.began(c.ID, d.Choices[i].Host.ID)
				}
			}
			return d, nil
		}
		if !g.job.full(err) {
			return scheduler.Decision{Explanation: d.Explanation}, err
		}
		tries++
	}
	return scheduler.Decision{}, nephos.Errorf(nephos.ErrUnavailable, "scheduling %d servers together: the chosen hosts were always taken, try again", len(consumers))
}

// gang is one call of ScheduleTogether.
type gang struct {
	s         *Store
	job       *job // what hosts refused
	consumers []Consumer
	commit    func(ctx context.Context, tx *store.Tx, hosts []scheduler.HostRef) error
}

// wants is what the i-th server takes of its host.
func (g *gang) wants(d scheduler.Decision, i int) scheduler.Resources {
	if c := d.Choices[i].Claim; c != nil {
		return c
	}
	return g.job.want
}

// reserve keeps the room of all choices, or of none. It returns how many.
func (g *gang) reserve(d scheduler.Decision) (int, bool) {
	for i, c := range d.Choices {
		if g.s.reserve(c.Host.ID, g.wants(d, i)) {
			continue
		}
		for j := range i {
			g.s.unreserve(d.Choices[j].Host.ID, g.wants(d, j), true)
		}
		return 0, false
	}
	return len(d.Choices), true
}

// share is what several servers take of one host, each the same.
type share struct {
	uuid string
	each scheduler.Resources
	n    int
}

// shares groups the choices by host, in the order of providers, which is that in
// which every process changes them.
func (g *gang) shares(d scheduler.Decision) []share {
	var out []share
	for i, c := range d.Choices {
		uuid, want := ProviderID(c.Host.ID), g.wants(d, i)
		k := slices.IndexFunc(out, func(s share) bool { return s.uuid == uuid && maps.Equal(s.each, want) })
		if k < 0 {
			out = append(out, share{uuid, want, 1})
			continue
		}
		out[k].n++
	}
	slices.SortStableFunc(out, func(a, b share) int { return strings.Compare(a.uuid, b.uuid) })
	return out
}

// claim takes what was chosen, in one transaction.
func (g *gang) claim(ctx context.Context, d scheduler.Decision) error {
	bodies := make([]string, len(g.consumers)) // each with the one host that is its own
	for i, c := range d.Choices {
		e := d.Explanation
		e.Chosen = []scheduler.HostRef{c.Host}
		var err error
		if bodies[i], err = encodeExplanation(e); err != nil {
			return err
		}
	}
	return g.s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		g.job.fulls = nil
		for _, sh := range g.shares(d) {
			all := make(scheduler.Resources, len(sh.each))
			for class, n := range sh.each {
				all[class] = n * int64(sh.n)
			}
			err := g.s.change(ctx, tx, sh.uuid, all, sh.each, sh.n, true)
			var f *full
			if errors.As(err, &f) {
				g.job.fulls = append(g.job.fulls, f)
				return errAllFull
			}
			if err != nil {
				return err
			}
		}
		hosts := make([]scheduler.HostRef, len(g.consumers))
		for i, c := range g.consumers {
			hosts[i] = d.Choices[i].Host
			first, err := insertConsumer(ctx, tx, c)
			if err != nil {
				return err
			}
			if !first {
				held, err := loadAllocations(ctx, tx, c.ID)
				if err != nil {
					return err
				}
				if len(held) > 0 {
					return nephos.Errorf(nephos.ErrConflict, "scheduling %d servers together: consumer %s has a claim already", len(g.consumers), c.ID)
				}
			}
			if err := insertAllocations(ctx, tx, c.ID, ProviderID(hosts[i].ID), g.wants(d, i)); err != nil {
				return err
			}
			if err := g.s.keepExplanation(ctx, tx, g.job.req.ID, c.ID, bodies[i]); err != nil {
				return err
			}
		}
		if g.commit == nil {
			return nil
		}
		return g.commit(ctx, tx, hosts)
	})
}

// giveUp keeps for each server why there was no room.
func (g *gang) giveUp(ctx context.Context, d scheduler.Decision) error {
	body, err := encodeExplanation(d.Explanation)
	if err != nil {
		return err
	}
	err = g.s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		for _, c := range g.consumers {
			if err := g.s.keepExplanation(ctx, tx, g.job.req.ID, c.ID, body); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keeping why there was no room: %w", err)
	}
	return nil
}
