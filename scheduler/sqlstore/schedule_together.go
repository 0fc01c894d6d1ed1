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
	named := make(map[string]bool, len(consumers))
	for _, c := range consumers {
		if named[c.ID] {
			return scheduler.Decision{}, nephos.Errorf(nephos.ErrInvalid, "scheduling %d servers together: consumer %s is among them twice", len(consumers), c.ID).WithField("consumers")
		}
		named[c.ID] = true
		var err error
		if want, err = s.checkClaim(c, req.Resources); err != nil {
			return scheduler.Decision{}, err
		}
	}
	if req.Count = len(consumers); req.ID == "" {
		req.ID = consumers[0].ID
	}
	g := &gang{
		job:       &job{s: s, req: req, want: want, o: o, who: fmt.Sprintf("%d servers together", len(consumers)), refused: map[string]int{}},
		consumers: consumers, commit: commit,
	}
	return g.decide(ctx, scheduler.Options{Seed: o.Seed, Samples: samples}, g)
}

// gang is one call of ScheduleTogether.
type gang struct {
	*job
	consumers []Consumer
	commit    func(ctx context.Context, tx *store.Tx, hosts []scheduler.HostRef) error
}

// wants is what the i-th server takes of its host.
func (g *gang) wants(d scheduler.Decision, i int) scheduler.Resources {
	if c := d.Choices[i].Claim; c != nil {
		return c
	}
	return g.want
}

// reserve keeps the room of all choices, or of none.
func (g *gang) reserve(d scheduler.Decision) bool {
	for i, c := range d.Choices {
		if g.s.reserve(c.Host.ID, g.wants(d, i)) {
			continue
		}
		for j := range i {
			g.s.unreserve(d.Choices[j].Host.ID, g.wants(d, j), true)
		}
		return false
	}
	return true
}

func (g *gang) unreserve(d scheduler.Decision, failed bool) {
	for i, c := range d.Choices {
		g.s.unreserve(c.Host.ID, g.wants(d, i), failed)
	}
}

func (g *gang) done(d scheduler.Decision) scheduler.Decision {
	if g.o.Building {
		for i, c := range g.consumers {
			g.s.began(c.ID, d.Choices[i].Host.ID)
		}
	}
	return d
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
	hosts := make([]scheduler.HostRef, len(g.consumers))
	taken := make([]allocation, len(g.consumers))
	why := make([]explained, len(g.consumers)) // each with the one host that is its own
	for i, c := range g.consumers {
		hosts[i] = d.Choices[i].Host
		taken[i] = allocation{c.ID, ProviderID(hosts[i].ID), g.wants(d, i)}
		e := d.Explanation
		e.Chosen = hosts[i : i+1]
		body, err := encodeExplanation(e)
		if err != nil {
			return err
		}
		why[i] = explained{c.ID, body}
	}
	return g.s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		g.fulls = nil
		for _, sh := range g.shares(d) {
			all := make(scheduler.Resources, len(sh.each))
			for class, n := range sh.each {
				all[class] = n * int64(sh.n)
			}
			err := g.s.change(ctx, tx, sh.uuid, all, sh.each, sh.n, true)
			var f *full
			if errors.As(err, &f) {
				g.fulls = append(g.fulls, f)
				return errAllFull
			}
			if err != nil {
				return err
			}
		}
		held, err := enter(ctx, tx, g.consumers...)
		if err != nil {
			return err
		}
		for id := range held {
			return nephos.Errorf(nephos.ErrConflict, "scheduling for %s: consumer %s has a claim already", g.who, id)
		}
		if err := insertAllocations(ctx, tx, taken...); err != nil {
			return err
		}
		if err := g.assign(ctx, tx, taken...); err != nil {
			return err
		}
		if err := g.s.keepExplanations(ctx, tx, g.req.ID, why...); err != nil {
			return err
		}
		if g.commit == nil {
			return nil
		}
		return g.commit(ctx, tx, hosts)
	})
}

// giveUp keeps for each server why there was no room.
func (g *gang) giveUp(ctx context.Context, d scheduler.Decision, reason error) (scheduler.Decision, error) {
	body, err := encodeExplanation(d.Explanation)
	if err != nil {
		return d, err
	}
	why := make([]explained, len(g.consumers))
	for i, c := range g.consumers {
		why[i] = explained{c.ID, body}
	}
	err = g.s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		return g.s.keepExplanations(ctx, tx, g.req.ID, why...)
	})
	if err != nil {
		return d, fmt.Errorf("keeping why there was no room: %w", err)
	}
	return d, reason
}
