package compute

import (
	"context"
	"errors"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
)

// togetherPoll is how often a server whose host is chosen with others' looks
// whether it is its turn to do so: the first of them may have been deleted.
const togetherPoll = 2 * time.Second

// fellows returns the servers of the same request that wait for their first host
// with the server, and it among them, in the order of the request.
func (s *Service) fellows(ctx context.Context, row *serverRow) ([]serverRow, error) {
	if !row.Wanted.Together || len(row.Tried) > 0 {
		return []serverRow{*row}, nil
	}
	var all, out []serverRow
	err := s.cfg.Store.Reader().NewSelect().Model(&all).
		Where("server.reservation_id = ? AND server.phase = ? AND NOT server.deleted", row.ReservationID, phaseSchedule).
		Order("server.launch_index").Scan(ctx)
	for _, r := range all {
		if len(r.Tried) == 0 {
			out = append(out, r)
		}
	}
	if err == nil && len(out) == 0 {
		err = errSuperseded
	}
	return out, err
}

// choose finds a host for a server: for all servers of one request in one
// decision, which the first of them makes, so that all get one or none. waits
// says that it is another's to make.
func (s *Service) choose(ctx context.Context, it *reconcile.Item, row *serverRow) (next reconcile.Next, waits bool, err error) {
	rows, err := s.fellows(ctx, row)
	if err != nil {
		return next, false, err
	}
	if rows[0].ID != row.ID {
		return reconcile.Again(s.cfg.Clock.Now().Add(togetherPoll)), true, nil
	}
	if len(rows) > 1 {
		err = s.scheduleTogether(ctx, it, rows)
		if err == nil {
			*row = rows[0]
		}
		if !errors.Is(err, nephos.ErrConflict) { // one has a claim from elsewhere
			return next, false, err
		}
	}
	return next, false, s.schedule(ctx, it, row)
}

// scheduleTogether chooses hosts and claims their capacity, in one commit with
// the servers' records, and has the others go on. Without room for all, none
// gets any.
func (s *Service) scheduleTogether(ctx context.Context, it *reconcile.Item, rows []serverRow) error {
	req, err := s.request(ctx, &rows[0])
	if err != nil {
		return err
	}
	consumers := make([]sqlstore.Consumer, len(rows))
	for i := range rows {
		consumers[i] = consumerOf(&rows[i])
	}
	before := append([]serverRow{}, rows...) // the transaction may run again
	o := sqlstore.Options{Seed: seedOf(rows[0].ID), Building: true}
	_, err = s.cfg.Claims.ScheduleTogether(ctx, req, consumers, o, func(ctx context.Context, tx *store.Tx, hosts []scheduler.HostRef) error {
		copy(rows, before)
		if err := checkGroup(ctx, tx, &rows[0], req.Group, hosts...); err != nil {
			return err
		}
		for i := range rows {
			if err := rows[i].guard(ctx, tx); err != nil {
				return err
			}
			if err := s.chosen(ctx, tx, &rows[i], hosts[i]); err != nil {
				return err
			}
			if i > 0 {
				if err := reconcile.Enqueue(ctx, tx, kindServer, rows[i].ID, time.Time{}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		copy(rows, before)
	}
	if !errors.Is(err, nephos.ErrNoCapacity) {
		return err
	}
	message := noValidHost(err)
	err = it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		for i := range rows {
			cur, err := current(ctx, tx, &rows[i])
			if errors.Is(err, nephos.ErrNotFound) {
				err = errSuperseded // deleted meanwhile: who is left decides anew
			}
			if err != nil {
				return err
			}
			if err := s.release(ctx, tx, &cur, message, ""); err != nil {
				return err
			}
			if i == 0 {
				continue
			}
			if err := reconcile.Enqueue(ctx, tx, kindServer, cur.ID, time.Time{}); err != nil {
				return err
			}
		}
		return it.Settle(ctx, tx, reconcile.Again(time.Time{}))
	})
	if err == nil {
		err = errSuperseded // by the release of what there is
	}
	return err
}
