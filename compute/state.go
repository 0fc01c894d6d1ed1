package compute

import (
	"context"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// kindServer is the work of one server.
const kindServer = "compute.server"

// refusal is the error for a server whose state forbids the operation.
func refusal(operation, id, attribute, state string) error {
	return nephos.Errorf(nephos.ErrConflict, "Cannot '%s' instance %s while it is in %s %s", operation, id, attribute, state)
}

func lockedError(id string) error {
	return nephos.Errorf(nephos.ErrConflict, "Instance %s is locked", id)
}

// demand refuses unless the server is in one of the states and busy with nothing.
func (row *serverRow) demand(operation string, vmStates ...string) error {
	ok := false
	for _, s := range vmStates {
		ok = ok || s == row.VMState
	}
	if !ok {
		return refusal(operation, row.ID, "vm_state", row.VMState)
	}
	if row.TaskState != "" {
		return refusal(operation, row.ID, "task_state", row.TaskState)
	}
	return nil
}

// unlocked refuses if the server is locked and the caller may not overrule that.
func (s *Service) unlocked(ctx context.Context, row *serverRow) error {
	if row.LockedBy == "" || s.cfg.Policy.Allowed(ctx, lockRule("unlock:unlock_override"), row.target()) {
		return nil
	}
	return lockedError(row.ID)
}

// wish raises the revision: the host is to be sent the server again.
func (s *Service) wish(ctx context.Context, tx *store.Tx, row *serverRow) error {
	row.Revision++
	row.Failures = 0
	deadline := tx.Now().Add(s.cfg.ActionDeadline)
	row.Deadline = &deadline
	return reconcile.Enqueue(ctx, tx, kindServer, row.ID, time.Time{})
}

// wishColumns are what wish changes.
var wishColumns = []string{"revision", "failures", "deadline"}

// emit records a change of a server.
func (row *serverRow) emit(ctx context.Context, tx *store.Tx, kind string) error {
	return tx.Emit(ctx, store.Event{Service: "compute", Type: "server." + kind, ResourceID: row.ID, ProjectID: row.ProjectID}, serverEvent{
		Name: row.Name, State: row.VMState, Task: row.TaskState, Host: row.Host,
	})
}

// serverEvent is the data of the events of servers.
type serverEvent struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Task  string `json:"task_state"`
	Host  string `json:"host"`
}

// fail puts a server into error.
func (row *serverRow) fail(now time.Time, message, details string) {
	if len(message) > 1024 {
		message = strings.ToValidUTF8(message[:1024], "")
	}
	row.VMState, row.TaskState = Errored, ""
	row.Fault = &Fault{Code: 500, Message: message, At: now, Details: details}
}

func ownerKey(parts ...string) string { return strings.Join(parts, "/") }

// served is the context as which a server's work calls other services: on behalf of the
// server's project, whoever asked for the work.
func (row *serverRow) served(ctx context.Context) context.Context {
	c := caller(ctx)
	c.ProjectID, c.UserID = row.ProjectID, row.UserID
	return nephos.WithCaller(ctx, nephos.Service("compute", c))
}

// wishQuietly is [Service.wish] for what no action waits for.
func (s *Service) wishQuietly(ctx context.Context, tx *store.Tx, row *serverRow) error {
	deadline := row.Deadline
	err := s.wish(ctx, tx, row)
	if deadline != nil && row.Phase == phaseWait {
		row.Deadline = deadline // a boot's time goes on
	}
	return err
}
