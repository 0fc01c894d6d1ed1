package compute

import (
	"context"
	"fmt"
	"time"

	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// connect makes or takes the server's ports and volumes, bound to its host, and
// sends it there.
func (s *Service) connect(ctx context.Context, it *reconcile.Item, row *serverRow) (reconcile.Next, error) {
	disks, err := loadDisks(ctx, s.cfg.Store.Reader(), row.ID)
	if err != nil {
		return reconcile.Next{}, err
	}
	ready := true
	for i := range row.NICs {
		if err := s.connectNIC(ctx, row, &row.NICs[i]); err != nil {
			return s.bootFailed(ctx, it, row, err)
		}
	}
	if err := s.describe(ctx, row); err != nil {
		return reconcile.Next{}, err
	}
	for i := range row.NICs {
		row.NICs[i].Plan = nil
	}
	s.cfg.Crash.Here("compute connected ports")
	for i := range disks {
		ok, err := s.connectDisk(ctx, row, &disks[i])
		if err != nil {
			return s.bootFailed(ctx, it, row, err)
		}
		ready = ready && ok
	}
	s.cfg.Crash.Here("compute connected volumes")
	if ready {
		object, err := s.object(ctx, row, disks)
		if err != nil {
			return reconcile.Next{}, err
		}
		if err := s.cfg.Fleet.Put(ctx, row.Host, object); err != nil {
			return reconcile.Next{}, err
		}
		s.cfg.Crash.Here("compute placed")
	}
	late := false
	before := *row
	err = it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		*row = before
		if err := row.guard(ctx, tx); err != nil {
			return err
		}
		cur := row
		if row.Wanted.Volumes {
			if err := saveDisks(ctx, tx, disks); err != nil {
				return err
			}
		}
		now := tx.Now()
		cur.TaskState = TaskBlockDevices
		late = cur.Deadline != nil && now.After(*cur.Deadline)
		next := reconcile.Again(now.Add(volumePoll))
		if ready {
			check := now.Add(s.cfg.Resend)
			cur.Phase, cur.TaskState, cur.CheckAt, next = phaseWait, TaskSpawning, &check, reconcile.Done()
			if cur.SeenRevision >= cur.Revision {
				next = reconcile.Again(time.Time{}) // the host was faster than we
			}
		}
		if err := cur.save(ctx, tx, "nics", "task_state", "phase", "check_at"); err != nil {
			return err
		}
		return it.Settle(ctx, tx, next)
	})
	if err == nil && late && !ready {
		return s.abort(ctx, it, row, fmt.Sprintf("Build of instance %s aborted: its volumes were not ready in time.", row.ID), "")
	}
	return reconcile.Done(), err
}

// volumePoll is how often volumes that are being made are looked at.
const volumePoll = 500 * time.Millisecond

// bootFailed ends the boot if the error is final.
func (s *Service) bootFailed(ctx context.Context, it *reconcile.Item, row *serverRow, err error) (reconcile.Next, error) {
	if !final(err) {
		return reconcile.Next{}, err
	}
	return s.abort(ctx, it, row, fmt.Sprintf("Build of instance %s aborted: %v", row.ID, err), "")
}

// wait looks after a server that its host has been sent and has not reported
// running.
func (s *Service) wait(ctx context.Context, it *reconcile.Item, row *serverRow) (reconcile.Next, error) {
	disks, err := loadDisks(ctx, s.cfg.Store.Reader(), row.ID)
	if err != nil {
		return reconcile.Next{}, err
	}
	if row.SeenRevision >= row.Revision {
		if err := s.completeDisks(ctx, disks); err != nil {
			return s.bootFailed(ctx, it, row, err)
		}
		s.cfg.Crash.Here("compute completed volumes")
		return reconcile.Done(), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
			cur, err := current(ctx, tx, row)
			if err != nil {
				return err
			}
			if err := saveDisks(ctx, tx, disks); err != nil {
				return err
			}
			if err := s.booted(ctx, tx, &cur, nil); err != nil {
				return err
			}
			return it.Settle(ctx, tx, reconcile.Done())
		})
	}
	now := s.cfg.Clock.Now()
	if row.Deadline != nil && now.After(*row.Deadline) {
		message := fmt.Sprintf("Build of instance %s aborted: its host did not have it running within %s.", row.ID, s.cfg.BootDeadline)
		if row.Fault != nil {
			message += " Last error: " + row.Fault.Message
		}
		return s.abort(ctx, it, row, message, "host "+row.Host)
	}
	return reconcile.Done(), s.resend(ctx, it, row, disks)
}

// resend sends the server to its host again, and settles.
func (s *Service) resend(ctx context.Context, it *reconcile.Item, row *serverRow, disks []diskRow) error {
	object, err := s.object(ctx, row, disks)
	if err != nil {
		return err
	}
	if err := s.cfg.Fleet.Put(ctx, row.Host, object); err != nil {
		return err
	}
	s.cfg.Crash.Here("compute sent")
	return it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		cur, err := current(ctx, tx, row)
		if err != nil {
			return err
		}
		check := tx.Now().Add(s.cfg.Resend)
		if cur.CheckAt = &check; cur.SeenRevision >= cur.Revision {
			return it.Settle(ctx, tx, reconcile.Again(time.Time{}))
		}
		if err := cur.save(ctx, tx, "check_at"); err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Done())
	})
}

// booted records that the server runs.
func (s *Service) booted(ctx context.Context, tx *store.Tx, row *serverRow, moments []ActionEvent) error {
	now := tx.Now()
	s.buildEnded(tx, row, true)
	row.VMState, row.TaskState, row.Phase, row.LaunchedAt, row.Fault = vmStateOf(row.PowerState), "", phaseLive, &now, nil
	row.CheckAt, row.Deadline, row.Failures = nil, nil, 0
	if row.VMState != Active {
		row.Power = powerFor(row.VMState)
	}
	if err := row.finish(ctx, tx, "", "", moments); err != nil {
		return err
	}
	if err := row.emit(ctx, tx, "active"); err != nil {
		return err
	}
	return row.save(ctx, tx, "vm_state", "task_state", "power_state", "phase", "launched_at", "fault", "check_at", "deadline",
		"failures", "power", "action", "seen_revision", "password")
}
