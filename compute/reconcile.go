package compute

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// Kinds returns the kinds of work that a queue must run for the service.
func (s *Service) Kinds() []reconcile.Kind {
	return []reconcile.Kind{
		{Name: kindServer, Handle: s.stepServer, GiveUp: s.giveUpServer},
		{Name: kindSnapshot, Handle: s.stepSnapshot, GiveUp: s.giveUpSnapshot, Deadline: s.cfg.SnapshotDeadline},
		{Name: kindSweep, Handle: s.sweep, Standing: true},
	}
}

// errSuperseded says that somebody changed the server's phase meanwhile: the
// work that this wrote is another step's now.
var errSuperseded = errors.New("the server is in another phase by now")

// stepServer takes a server as far as it can go without waiting. Each phase's
// outcome is a commit of its own, so that a crash between two of them is as if
// the next had been another wake-up.
func (s *Service) stepServer(ctx context.Context, it *reconcile.Item) (reconcile.Next, error) {
	row, err := loadServer(ctx, s.cfg.Store.Reader(), it.ID)
	if err != nil {
		if errors.Is(err, nephos.ErrNotFound) {
			return reconcile.Done(), nil
		}
		return reconcile.Next{}, err
	}
	for {
		sctx := row.served(ctx)
		phase := row.Phase
		var next reconcile.Next
		var err error
		switch phase {
		case phaseSchedule:
			var waits bool
			if waits, err = s.choose(sctx, it, &row); waits {
				return reconcile.Done(), nil // whoever is before it will wake it
			}
		case phaseConnect:
			return s.superseded(s.connect(sctx, it, &row))
		case phaseWait:
			return s.superseded(s.wait(sctx, it, &row))
		case phaseLive:
			return s.superseded(s.live(sctx, it, &row))
		case phaseUnplace, phaseRelease, phaseDeleting:
			var waits bool
			if next, waits, err = s.teardown(sctx, it, &row); waits || phase != phaseUnplace {
				return s.superseded(next, err)
			}
		default:
			return reconcile.Done(), nil
		}
		if err != nil {
			return s.superseded(next, err)
		}
		s.cfg.Crash.Here("compute after " + phase)
	}
}

// superseded turns that error into another look at the server.
func (s *Service) superseded(n reconcile.Next, err error) (reconcile.Next, error) {
	if errors.Is(err, errSuperseded) {
		return reconcile.Again(time.Time{}), nil
	}
	return n, err
}

// giveUpServer ends a boot whose steps keep failing; other work goes on being
// tried.
func (s *Service) giveUpServer(ctx context.Context, it *reconcile.Item, cause error) (reconcile.Next, error) {
	row, err := loadServer(ctx, s.cfg.Store.Reader(), it.ID)
	if err != nil {
		return reconcile.Done(), nil
	}
	if row.queued() {
		return s.superseded(s.giveUpQueued(ctx, it, &row, cause))
	}
	switch row.Phase {
	case phaseSchedule, phaseConnect, phaseWait:
		return s.superseded(s.abort(ctx, it, &row, fmt.Sprintf("Build of instance %s aborted: %v", row.ID, cause), ""))
	}
	return s.stepServer(ctx, it)
}

// guard holds a row against what is stored now, reading no more than that takes:
// what others may have changed since the step began is taken over.
func (row *serverRow) guard(ctx context.Context, tx *store.Tx) error {
	var cur []struct {
		bun.BaseModel `bun:"table:compute_servers,alias:server"`

		Phase, Host                        string
		Revision, SeenRevision, Generation int64
		PowerState                         int
		Power                              string
		Fault                              *Fault
		Deadline                           *time.Time
	}
	err := tx.NewSelect().Model(&cur).Where("server.id = ? AND NOT server.deleted", row.ID).Scan(ctx)
	if err != nil {
		return err
	}
	if len(cur) == 0 || cur[0].Phase != row.Phase || cur[0].Host != row.Host {
		return errSuperseded
	}
	c := cur[0]
	row.Revision, row.SeenRevision, row.Generation, row.PowerState, row.Power = c.Revision, c.SeenRevision, c.Generation, c.PowerState, c.Power
	row.Fault, row.Deadline = c.Fault, c.Deadline
	return nil
}

// current loads the row again inside a transaction and refuses unless it is
// still in the phase.
func current(ctx context.Context, tx *store.Tx, row *serverRow) (serverRow, error) {
	cur, err := loadServer(ctx, tx, row.ID)
	if err == nil && (cur.Phase != row.Phase || cur.Host != row.Host) {
		err = errSuperseded
	}
	return cur, err
}

// final reports whether an error of another service cannot be cured by a retry.
func final(err error) bool {
	for _, kind := range []error{
		nephos.ErrInvalid, nephos.ErrForbidden, nephos.ErrNotFound, nephos.ErrConflict, nephos.ErrQuota, nephos.ErrNoCapacity,
		errors.ErrUnsupported,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// abort begins to give back what a boot took; the server ends in error.
func (s *Service) abort(ctx context.Context, it *reconcile.Item, row *serverRow, message, details string) (reconcile.Next, error) {
	err := it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		cur, err := current(ctx, tx, row)
		if err != nil {
			return err
		}
		if err := s.release(ctx, tx, &cur, message, details); err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Again(time.Time{}))
	})
	return reconcile.Again(time.Time{}), err
}

// release puts the server into error and into the phase that gives everything
// back.
func (s *Service) release(ctx context.Context, tx *store.Tx, row *serverRow, message, details string) error {
	if err := row.leave(ctx, tx); err != nil {
		return err
	}
	row.fail(tx.Now(), message, details)
	row.Phase, row.CheckAt = phaseRelease, nil
	if err := s.bury(ctx, tx, row); err != nil {
		return err
	}
	if err := row.finish(ctx, tx, message, details, nil); err != nil {
		return err
	}
	if err := row.emit(ctx, tx, "error"); err != nil {
		return err
	}
	return row.save(ctx, tx, "vm_state", "task_state", "fault", "phase", "check_at", "revision", "deadline", "action")
}

// bury makes the tombstone for the server's host, if it is on one.
func (s *Service) bury(ctx context.Context, tx *store.Tx, row *serverRow) error {
	row.Revision++
	deadline := tx.Now().Add(s.cfg.ActionDeadline)
	row.Deadline = &deadline
	if row.Host == "" {
		return nil
	}
	stone := tombstoneRow{Host: row.Host, ServerID: row.ID, Revision: row.Revision, CreatedAt: tx.Now()}
	_, err := tx.NewInsert().Model(&stone).On("CONFLICT (host, server_id) DO UPDATE").
		Set("revision = excluded.revision").Returning("NULL").Exec(ctx)
	return err
}
