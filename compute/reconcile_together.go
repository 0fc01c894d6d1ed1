package compute

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
)

// The servers of one request wait for their first hosts in a queue, by their
// launch index. Only the first of them has work: it finds hosts for all. Whatever
// takes servers out of the queue, a decision, an error or a delete, enqueues the
// work of those who go on in the same transaction, so nobody need look whether it
// is his turn.

// queued reports whether the server waits for a host with others of its request.
func (row *serverRow) queued() bool {
	return row.Wanted.Together && row.Phase == phaseSchedule && len(row.Tried) == 0
}

// queue finds the ids of the servers in the queue of the server's request, the
// first one first.
func (row *serverRow) queue(db bun.IDB) *bun.SelectQuery {
	return db.NewSelect().Table("compute_servers").Column("id").
		Where("reservation_id = ? AND phase = ? AND tried = '[]' AND NOT deleted", row.ReservationID, phaseSchedule).Order("launch_index")
}

// turn returns the queue that the server is the first of; waits says that another
// is, who will wake it. It fails with errSuperseded if the server is in no queue.
func (s *Service) turn(ctx context.Context, row *serverRow) (ids []string, waits bool, err error) {
	err = row.queue(s.cfg.Store.Reader()).Scan(ctx, &ids)
	if err == nil && !slices.Contains(ids, row.ID) {
		err = errSuperseded
	}
	return ids, err == nil && ids[0] != row.ID, err
}

// leave wakes who is the first of the queue when this server, which is in it until
// the transaction ends, has left it.
func (row *serverRow) leave(ctx context.Context, tx *store.Tx) error {
	if !row.queued() {
		return nil
	}
	var next []string
	if err := row.queue(tx).Where("id <> ?", row.ID).Limit(1).Scan(ctx, &next); err != nil {
		return err
	}
	// It goes on in the name of the request that made both, whoever sent this one away.
	ctx = nephos.WithCaller(ctx, nephos.Service("compute", nephos.Caller{UserID: row.UserID, ProjectID: row.ProjectID, RequestID: row.Action}))
	return reconcile.EnqueueAll(ctx, tx, kindServer, next, time.Time{})
}

// choose finds a host for a server: for all servers of one request in one
// decision, which the first of them makes, so that all get one or none. waits
// says that it is another's to make.
func (s *Service) choose(ctx context.Context, it *reconcile.Item, row *serverRow) (waits bool, err error) {
	if row.queued() {
		ids, waits, err := s.turn(ctx, row)
		if err != nil || waits {
			return waits, err
		}
		if len(ids) > 1 {
			err = s.scheduleTogether(ctx, it, row, ids)
			if !errors.Is(err, nephos.ErrConflict) { // one has a claim from elsewhere
				return false, err
			}
		}
	}
	return false, s.schedule(ctx, it, row)
}

// scheduleTogether chooses hosts for the servers of a queue, the row's the first,
// and claims their capacity, in one commit with the servers' records, and has the
// others go on. Without room for all, none gets any.
func (s *Service) scheduleTogether(ctx context.Context, it *reconcile.Item, row *serverRow, ids []string) error {
	req, err := s.request(ctx, row)
	if err != nil {
		return err
	}
	consumers := make([]sqlstore.Consumer, len(ids))
	for i, id := range ids {
		consumers[i] = consumerOf(row)
		consumers[i].ID = id
	}
	before := *row // the transaction may run again
	o := sqlstore.Options{Seed: seedOf(row.ID), Building: true}
	_, err = s.cfg.Claims.ScheduleTogether(ctx, req, consumers, o, func(ctx context.Context, tx *store.Tx, hosts []scheduler.HostRef) error {
		*row = before
		if err := row.guard(ctx, tx); err != nil {
			return err
		}
		if err := row.stillQueued(ctx, tx, ids); err != nil {
			return err
		}
		if err := checkGroup(ctx, tx, row, req.Group, hosts...); err != nil {
			return err
		}
		return s.chosenTogether(ctx, tx, row, ids, hosts)
	})
	if err != nil {
		*row = before
	}
	if !errors.Is(err, nephos.ErrNoCapacity) {
		return err
	}
	if err = s.abortTogether(ctx, it, row, ids, noValidHost(err)); err == nil {
		err = errSuperseded // by the release of what there is
	}
	return err
}

// stillQueued refuses unless the queue is still the one that a step began with:
// who is left decides anew.
func (row *serverRow) stillQueued(ctx context.Context, tx *store.Tx, ids []string) error {
	var now []string
	err := row.queue(tx).Scan(ctx, &now)
	if err == nil && !slices.Equal(now, ids) {
		err = errSuperseded
	}
	return err
}

// chosenTogether writes down the hosts of a queue's servers, the row's the first,
// and wakes the others.
func (s *Service) chosenTogether(ctx context.Context, tx *store.Tx, row *serverRow, ids []string, hosts []scheduler.HostRef) error {
	rows := make([]serverRow, len(ids))
	for i, id := range ids {
		rows[i].ID = id
		s.assign(&rows[i], hosts[i], tx.Now())
	}
	s.assign(row, hosts[0], tx.Now())
	_, err := tx.NewUpdate().With("chosen", tx.NewValues(&rows).Column("id", "host", "node", "zone")).TableExpr("chosen").
		Model(row).Column("phase", "task_state", "scheduled_at", "deadline", "updated_at").
		Set("host = chosen.host").Set("node = chosen.node").Set("zone = chosen.zone").
		Where("server.id = chosen.id").Returning("NULL").Exec(ctx)
	if err != nil {
		return err
	}
	return reconcile.EnqueueAll(ctx, tx, kindServer, ids[1:], time.Time{})
}

// abortTogether is [Service.abort] for the servers of a queue, the row's the first.
func (s *Service) abortTogether(ctx context.Context, it *reconcile.Item, row *serverRow, ids []string, message string) error {
	return it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := row.stillQueued(ctx, tx, ids); err != nil {
			return err
		}
		var rows []*serverRow
		err := tx.NewSelect().Model(&rows).Column("id", "project_id", "name", "host", "action").Where("server.id IN (?)", bun.List(ids)).Scan(ctx)
		if err != nil {
			return err
		}
		if err := finish(ctx, tx, rows, message, "", nil); err != nil {
			return err
		}
		now := tx.Now()
		deadline := now.Add(s.cfg.ActionDeadline)
		for _, r := range rows {
			r.fail(now, message, "")
			r.Phase, r.Deadline, r.UpdatedAt = phaseRelease, &deadline, now
			if err := r.emit(ctx, tx, "error"); err != nil {
				return err
			}
		}
		_, err = tx.NewUpdate().Model(rows[0]).
			Column("vm_state", "task_state", "fault", "phase", "check_at", "deadline", "action", "updated_at").
			Set("revision = server.revision + 1").Where("server.id IN (?)", bun.List(ids)).Returning("NULL").Exec(ctx)
		if err != nil {
			return err
		}
		if err := reconcile.EnqueueAll(ctx, tx, kindServer, ids[1:], time.Time{}); err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Again(time.Time{}))
	})
}

// giveUpQueued ends the boots of a queue whose first server's steps keep failing.
func (s *Service) giveUpQueued(ctx context.Context, it *reconcile.Item, row *serverRow, cause error) (reconcile.Next, error) {
	ids, waits, err := s.turn(ctx, row)
	if err != nil || waits {
		return reconcile.Done(), err
	}
	message := fmt.Sprintf("Build of the instances of request %s aborted: %v", row.ReservationID, cause)
	return reconcile.Again(time.Time{}), s.abortTogether(ctx, it, row, ids, message)
}
