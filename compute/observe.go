package compute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

var _ driver.Observer = (*Service)(nil)

// maxFailures is how many errors in a row about one revision are taken before
// it is given up on a host.
const maxFailures = 3

// Reported implements [driver.Observer]: it moves the server's record in one
// transaction, and leaves to its work what needs other services.
func (s *Service) Reported(ctx context.Context, r driver.Report) error {
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if r.Deleted {
			return s.buried(ctx, tx, r)
		}
		row, err := loadObserved(ctx, tx, r.ID)
		if errors.Is(err, nephos.ErrNotFound) {
			return nil
		}
		if err != nil || row.Host != r.Host {
			return err
		}
		if r.Error != "" {
			return s.observeError(ctx, tx, &row, r)
		}
		return s.observe(ctx, tx, &row, r)
	})
}

// buried forgets a tombstone that its host has carried out.
func (s *Service) buried(ctx context.Context, tx *store.Tx, r driver.Report) error {
	_, err := tx.NewRaw("DELETE FROM compute_tombstones WHERE host = ? AND server_id = ? AND revision <= ?", r.Host, r.ID, r.Revision).Exec(ctx)
	if err != nil {
		return err
	}
	row, err := loadObserved(ctx, tx, r.ID)
	if errors.Is(err, nephos.ErrNotFound) {
		return nil
	}
	switch row.Phase {
	case phaseUnplace, phaseRelease, phaseDeleting:
		if err == nil && row.Host == r.Host {
			err = reconcile.Enqueue(ctx, tx, kindServer, row.ID, time.Time{})
		}
	}
	return err
}

// observe takes what the host says of the guest.
func (s *Service) observe(ctx context.Context, tx *store.Tx, row *serverRow, r driver.Report) error {
	moments := momentsOf(r)
	password, err := passwordOf(r)
	if err != nil {
		return err
	}
	if password != nil {
		row.Password = *password
		if err := row.save(ctx, tx, "password"); err != nil {
			return err
		}
	}
	if r.State == "" || r.Revision < row.SeenRevision {
		return row.note(ctx, tx, moments)
	}
	wished := row.Deadline != nil || row.SeenRevision < row.Revision
	row.SeenRevision, row.PowerState = r.Revision, powerStateOf(r.State)
	uptodate := r.Revision >= row.Revision
	switch {
	case row.Phase == phaseWait && uptodate && !row.Wanted.Volumes:
		return s.booted(ctx, tx, row, moments)
	case row.Phase == phaseWait && uptodate:
		if err := reconcile.Enqueue(ctx, tx, kindServer, row.ID, time.Time{}); err != nil {
			return err
		}
	case row.Phase == phaseLive && uptodate:
		return s.settleLive(ctx, tx, row, moments, wished)
	}
	if err := row.note(ctx, tx, moments); err != nil {
		return err
	}
	return row.save(ctx, tx, "seen_revision", "power_state")
}

// settleLive ends what was wished of a server that runs, or notes what its guest
// did by itself.
func (s *Service) settleLive(ctx context.Context, tx *store.Tx, row *serverRow, moments []ActionEvent, wished bool) error {
	if err := row.note(ctx, tx, moments); err != nil {
		return err
	}
	if wished {
		pending, err := s.pendingDevices(ctx, tx, row)
		if err != nil {
			return err
		}
		if pending { // other services are to hear of it
			if err := row.save(ctx, tx, "seen_revision", "power_state"); err != nil {
				return err
			}
			return reconcile.Enqueue(ctx, tx, kindServer, row.ID, time.Time{})
		}
	}
	return s.calm(ctx, tx, row)
}

// calm records that the host has done all that was wished.
func (s *Service) calm(ctx context.Context, tx *store.Tx, row *serverRow) error {
	before := row.VMState
	task := row.TaskState
	if row.VMState != Errored || task != "" && task != TaskImage {
		row.VMState = row.vmStateNow()
	}
	if row.Deadline == nil && row.VMState != before {
		row.Power = powerFor(row.VMState) // the guest did it; it is not undone
	}
	if row.VMState == Active && before == Errored {
		row.Fault = nil
	}
	row.CheckAt, row.Deadline, row.Failures = nil, nil, 0
	if task != TaskImage { // its end is told by the image
		row.TaskState = ""
	}
	if err := row.finish(ctx, tx, "", "", nil); err != nil {
		return err
	}
	if row.VMState != before || task != row.TaskState {
		if err := row.emit(ctx, tx, "update"); err != nil {
			return err
		}
	}
	return row.save(ctx, tx, "vm_state", "task_state", "power_state", "seen_revision", "power", "fault", "check_at", "deadline", "failures", "action")
}

// observeError takes that the host could not do what it was sent.
func (s *Service) observeError(ctx context.Context, tx *store.Tx, row *serverRow, r driver.Report) error {
	if r.Revision != row.Revision {
		return nil
	}
	row.Failures++
	building := row.Phase == phaseWait || row.Phase == phaseConnect
	if building {
		row.Fault = &Fault{Code: 500, Message: fmt.Sprintf("Build of instance %s aborted: its host could not run it.", row.ID), At: tx.Now(), Details: r.Host + ": " + r.Error}
	}
	if !r.Fatal && row.Failures < maxFailures {
		return row.save(ctx, tx, "failures", "fault")
	}
	switch {
	case building:
		row.Failures = 0
		if len(row.Tried)+1 >= s.cfg.Attempts {
			message := row.Fault.Message
			if len(row.Tried) > 0 {
				message = fmt.Sprintf("Exceeded maximum number of retries. Exhausted all hosts available for retrying build failures for instance %s.", row.ID)
			}
			if err := s.release(ctx, tx, row, message, row.Fault.Details); err != nil {
				return err
			}
		} else {
			row.Phase = phaseUnplace
			if err := s.bury(ctx, tx, row); err != nil {
				return err
			}
			if err := row.note(ctx, tx, []ActionEvent{{Name: "compute__do_build_and_run_instance", Start: r.At, Finish: &r.At, Result: "Error", Host: r.Host, Internal: r.Error}}); err != nil {
				return err
			}
			if err := row.save(ctx, tx, "phase", "revision", "deadline", "failures", "fault"); err != nil {
				return err
			}
		}
		return reconcile.Enqueue(ctx, tx, kindServer, row.ID, time.Time{})
	case row.Phase == phaseLive && row.Deadline != nil:
		return s.abandon(ctx, tx, row, "The host could not carry it out.", r.Host+": "+r.Error)
	}
	return row.save(ctx, tx, "failures")
}

// abandon takes back a wish that the host cannot fulfil.
func (s *Service) abandon(ctx context.Context, tx *store.Tx, row *serverRow, message, details string) error {
	imaging := row.TaskState == TaskImage
	if row.TaskState != "" && !imaging { // about power: wish for what is
		row.Power, row.Reboot = powerFor(row.VMState), ""
		row.Generation++
	}
	for i := range row.NICs {
		if row.NICs[i].State == nicAttaching {
			row.NICs[i].State = nicDetaching
		}
	}
	_, err := tx.NewRaw("UPDATE compute_disks SET state = ? WHERE server_id = ? AND state = ?", diskDetaching, row.ID, diskAttaching).Exec(ctx)
	if err != nil {
		return err
	}
	if row.CheckAt = nil; !imaging {
		row.TaskState = ""
	}
	if err := row.finish(ctx, tx, message, details, nil); err != nil {
		return err
	}
	if err := s.wish(ctx, tx, row); err != nil {
		return err
	}
	return row.save(ctx, tx, append([]string{"power", "reboot", "generation", "nics", "task_state", "check_at", "action"}, wishColumns...)...)
}

// momentsOf turns a report's moments into events of the server's create.
func momentsOf(r driver.Report) []ActionEvent {
	out := make([]ActionEvent, len(r.Moments))
	for i, m := range r.Moments {
		at := m.At
		out[i] = ActionEvent{Name: m.Name, Start: m.At, Finish: &at, Result: "Success", Host: r.Host}
	}
	return out
}

// maxPassword bounds what a guest may post as its password, in bytes.
const maxPassword = 4096

func passwordOf(r driver.Report) (*string, error) {
	for _, m := range r.Moments {
		if m.Name == "password" && len(r.Data) > 0 {
			var p string
			if json.Unmarshal(r.Data, &p) != nil || len(p) > maxPassword {
				return nil, nil // a guest's nonsense is not worth a retry
			}
			return &p, nil
		}
	}
	return nil, nil
}

// powerStateOf maps a guest's state to Nova's numbers.
func powerStateOf(state string) int {
	switch state {
	case "running":
		return PowerRunning
	case "paused":
		return PowerPaused
	case "stopped":
		return PowerShutdown
	case "crashed":
		return PowerCrashed
	}
	return PowerNone
}

// vmStateNow is what the guest does, and why it is off.
func (row *serverRow) vmStateNow() string {
	state := vmStateOf(row.PowerState)
	if state == Stopped && row.Power == powerFor(Suspended) {
		return Suspended
	}
	return state
}

func vmStateOf(power int) string {
	switch power {
	case PowerPaused:
		return Paused
	case PowerShutdown, PowerCrashed:
		return Stopped
	}
	return Active
}

// powerFor is the wish that keeps a server as it is.
func powerFor(vmState string) string {
	switch vmState {
	case Stopped:
		return "off"
	case Paused:
		return "paused"
	case Suspended:
		return "suspended"
	}
	return "on"
}
