package compute

import (
	"context"

	"github.com/nephos-cloud/nephos/store"
)

var _ ServerPower = (*Service)(nil)

// decide makes a decision about a server's power.
func (s *Service) decide(ctx context.Context, id, rule, operation, action, power, reboot, task string, from ...string) error {
	_, err := s.change(ctx, id, rule, false, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		if err := row.demand(operation, from...); err != nil {
			return err
		}
		if row.Host == "" || row.Phase != phaseLive {
			return refusal(operation, row.ID, "vm_state", row.VMState)
		}
		row.Power, row.Reboot, row.TaskState = power, reboot, task
		row.Generation++
		if err := row.begin(ctx, tx, action); err != nil {
			return err
		}
		if err := s.wish(ctx, tx, row); err != nil {
			return err
		}
		if err := row.emit(ctx, tx, action+".start"); err != nil {
			return err
		}
		return row.save(ctx, tx, append([]string{"power", "reboot", "task_state", "generation", "action"}, wishColumns...)...)
	})
	return err
}

// StartServer implements [ServerPower].
func (s *Service) StartServer(ctx context.Context, id string) error {
	return s.decide(ctx, id, serversRule("start"), "start", "start", "on", "", TaskPoweringOn, Stopped)
}

// StopServer implements [ServerPower].
func (s *Service) StopServer(ctx context.Context, id string) error {
	return s.decide(ctx, id, serversRule("stop"), "stop", "stop", "off", "", TaskPoweringOff, Active, Errored)
}

// RebootServer implements [ServerPower].
func (s *Service) RebootServer(ctx context.Context, id string, hard bool) error {
	if hard {
		return s.decide(ctx, id, serversRule("reboot"), "reboot", "reboot", "on", "hard", TaskRebootingHard, Active, Stopped, Paused, Errored)
	}
	return s.decide(ctx, id, serversRule("reboot"), "reboot", "reboot", "on", "soft", TaskRebooting, Active)
}

// PauseServer implements [ServerPower].
func (s *Service) PauseServer(ctx context.Context, id string) error {
	return s.decide(ctx, id, "os_compute_api:os-pause-server:pause", "pause", "pause", "paused", "", TaskPausing, Active)
}

// UnpauseServer implements [ServerPower].
func (s *Service) UnpauseServer(ctx context.Context, id string) error {
	return s.decide(ctx, id, "os_compute_api:os-pause-server:unpause", "unpause", "unpause", "on", "", TaskUnpausing, Paused)
}

// SuspendServer implements [ServerPower].
func (s *Service) SuspendServer(ctx context.Context, id string) error {
	return s.decide(ctx, id, "os_compute_api:os-suspend-server:suspend", "suspend", "suspend", "suspended", "", TaskSuspending, Active)
}

// ResumeServer implements [ServerPower].
func (s *Service) ResumeServer(ctx context.Context, id string) error {
	return s.decide(ctx, id, "os_compute_api:os-suspend-server:resume", "resume", "resume", "on", "", TaskResuming, Suspended)
}

// LockServer implements [ServerPower].
func (s *Service) LockServer(ctx context.Context, id, reason string) error {
	_, err := s.change(ctx, id, lockRule("lock"), true, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		by := "admin"
		if caller(ctx).ProjectID == row.ProjectID {
			by = "owner"
		}
		// An owner's word changes nothing about a lock that is there.
		if row.LockedBy != "" && by == "owner" {
			return nil
		}
		row.LockedBy, row.LockedReason = by, reason
		if err := row.done(ctx, tx, "lock", "api_lock"); err != nil {
			return err
		}
		if err := row.emit(ctx, tx, "lock"); err != nil {
			return err
		}
		return row.save(ctx, tx, "locked_by", "locked_reason")
	})
	return err
}

// UnlockServer implements [ServerPower].
func (s *Service) UnlockServer(ctx context.Context, id string) error {
	_, err := s.change(ctx, id, lockRule("unlock"), true, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		if row.LockedBy == "admin" {
			if err := s.cfg.Policy.Enforce(ctx, lockRule("unlock:unlock_override"), row.target()); err != nil {
				return err
			}
		}
		row.LockedBy, row.LockedReason = "", ""
		if err := row.done(ctx, tx, "unlock", "api_unlock"); err != nil {
			return err
		}
		if err := row.emit(ctx, tx, "unlock"); err != nil {
			return err
		}
		return row.save(ctx, tx, "locked_by", "locked_reason")
	})
	return err
}

// ResetServerState implements [ServerPower].
func (s *Service) ResetServerState(ctx context.Context, id, vmState string) error {
	_, err := s.change(ctx, id, "os_compute_api:os-admin-actions:reset_state", true, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		row.VMState, row.TaskState = vmState, ""
		columns := []string{"vm_state", "task_state"}
		if vmState == Errored && row.Fault == nil {
			row.Fault = &Fault{Code: 500, Message: "An operator has set the server into error.", At: tx.Now()}
			columns = append(columns, "fault")
		}
		if err := row.done(ctx, tx, "resetState"); err != nil {
			return err
		}
		if row.Phase == phaseLive {
			if err := s.wish(ctx, tx, row); err != nil { // ask the host what is true
				return err
			}
			columns = append(columns, wishColumns...)
		}
		if err := row.emit(ctx, tx, "update"); err != nil {
			return err
		}
		return row.save(ctx, tx, columns...)
	})
	return err
}
