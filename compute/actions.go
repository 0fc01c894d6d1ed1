package compute

import (
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Action is something that was done to a server, by Nova's names: create, stop,
// reboot, attach_volume …
type Action struct {
	ServerID   string `bun:",pk"`
	RequestID  string `bun:",pk"`
	Action     string
	ProjectID  string
	UserID     string
	StartedAt  time.Time
	UpdatedAt  time.Time
	FinishedAt *time.Time
	Message    *string // "Error" when it failed
	Events     []ActionEvent
}

// ActionEvent is a step of an action. For a create these are the moments of the
// server's way to its host and up: queued, scheduled, image, network, volume,
// defined, running, dhcp, metadata.
type ActionEvent struct {
	Name     string
	Start    time.Time
	Finish   *time.Time
	Result   string // Success, Error or empty
	Host     string
	Details  string // why it failed, for everybody
	Internal string // why it failed, for operators
}

type actionRow struct {
	bun.BaseModel `bun:"table:compute_actions,alias:action"`
	Action
}

// ActionFilter narrows a list of actions.
type ActionFilter struct {
	Since, Before *time.Time
}

// Actions is what the Compute API's instance actions need. Actions of a deleted
// server are there as long as its record is kept.
type Actions interface {
	ListActions(ctx context.Context, serverID string, f ActionFilter, p nephos.Page) ([]Action, bool, error)
	Action(ctx context.Context, serverID, requestID string) (Action, error)
}

// newAction begins an action in the caller's name.
func newAction(ctx context.Context, tx *store.Tx, row *serverRow, name string) actionRow {
	c := caller(ctx)
	if c.RequestID == "" {
		c.RequestID = "req-" + nephos.ChildID(row.ID, name+tx.Now().String())
	}
	return actionRow{Action: Action{
		ServerID: row.ID, RequestID: c.RequestID, Action: name, ProjectID: c.ProjectID, UserID: c.UserID,
		StartedAt: tx.Now(), UpdatedAt: tx.Now(), Events: []ActionEvent{},
	}}
}

// begin records an action as the one under way. The column action of the row is to be
// saved.
func (row *serverRow) begin(ctx context.Context, tx *store.Tx, name string) error {
	a := newAction(ctx, tx, row, name)
	row.Action = a.RequestID
	_, err := tx.NewInsert().Model(&a).On("CONFLICT (server_id, request_id) DO UPDATE").
		Set("action = excluded.action").Set("updated_at = excluded.updated_at").Returning("NULL").Exec(ctx)
	return err
}

// done is an action that needs no more than the transaction it is recorded in,
// with the events that it had, whose times are that of the transaction.
func (row *serverRow) done(ctx context.Context, tx *store.Tx, name string, events ...string) error {
	a := newAction(ctx, tx, row, name)
	now := tx.Now()
	a.FinishedAt = &now
	for _, e := range events {
		a.Events = append(a.Events, ActionEvent{Name: e, Start: now, Finish: &now, Result: "Success", Host: row.Host})
	}
	_, err := tx.NewInsert().Model(&a).On("CONFLICT (server_id, request_id) DO NOTHING").Returning("NULL").Exec(ctx)
	return err
}

// finish ends the action under way: it failed if there is a cause. Moments are
// added to the server's create. The column action of the row is to be saved.
func (row *serverRow) finish(ctx context.Context, tx *store.Tx, cause, internal string, moments []ActionEvent) error {
	return finish(ctx, tx, []*serverRow{row}, cause, internal, moments)
}

// finish is [serverRow.finish] for several servers.
func finish(ctx context.Context, tx *store.Tx, rows []*serverRow, cause, internal string, moments []ActionEvent) error {
	ids, under := make([]string, len(rows)), make([]string, len(rows))
	hosts := map[[2]string]string{} // of servers and their actions
	for i, row := range rows {
		ids[i], under[i] = row.ID, row.Action
		if row.Action != "" {
			hosts[[2]string{row.ID, row.Action}] = row.Host
		}
		row.Action = ""
	}
	if len(hosts) == 0 {
		return nil
	}
	var found []actionRow
	err := tx.NewSelect().Model(&found).Where("action.server_id IN (?) AND action.request_id IN (?)", bun.List(ids), bun.List(under)).Scan(ctx)
	if err != nil {
		return err
	}
	now := tx.Now()
	result := "Success"
	if cause != "" {
		result = "Error"
	}
	var ended []actionRow
	for _, a := range found {
		host, ok := hosts[[2]string{a.ServerID, a.RequestID}]
		if !ok {
			continue
		}
		if cause != "" {
			a.Message = &result
		}
		a.FinishedAt, a.UpdatedAt = &now, now
		a.Events = append(a.Events, moments...)
		a.Events = append(a.Events, ActionEvent{
			Name: "compute_" + workerOf(a.Action.Action), Start: a.StartedAt, Finish: &now, Result: result, Host: host,
			Details: cause, Internal: internal,
		})
		ended = append(ended, a)
	}
	return saveActions(ctx, tx, ended...)
}

// saveActions writes what becomes of actions.
func saveActions(ctx context.Context, tx *store.Tx, actions ...actionRow) error {
	if len(actions) == 0 {
		return nil
	}
	for i := range actions {
		a := &actions[i]
		a.Events = a.Events[max(0, len(a.Events)-maxActionEvents):]
	}
	_, err := tx.NewInsert().Model(&actions).On("CONFLICT (server_id, request_id) DO UPDATE").
		Set("finished_at = excluded.finished_at").Set("updated_at = excluded.updated_at").
		Set("message = excluded.message").Set("events = excluded.events").Returning("NULL").Exec(ctx)
	return err
}

// maxActionEvents bounds the events kept of one action.
const maxActionEvents = 100

// workerOf is the name that Nova's compute worker gives the event of an action.
func workerOf(action string) string {
	switch action {
	case "create":
		return "_do_build_and_run_instance"
	case "delete":
		return "terminate_instance"
	case "createImage":
		return "snapshot_instance"
	case "attach_volume", "detach_volume", "attach_interface", "detach_interface":
		return action
	}
	return action + "_instance"
}

// note adds moments to the server's create.
func (row *serverRow) note(ctx context.Context, tx *store.Tx, moments []ActionEvent) error {
	if len(moments) == 0 {
		return nil
	}
	var actions []actionRow
	err := tx.NewSelect().Model(&actions).Where("action.server_id = ? AND action.action = 'create'", row.ID).Limit(1).Scan(ctx)
	if err != nil || len(actions) == 0 {
		return err
	}
	actions[0].Events = append(actions[0].Events, moments...)
	actions[0].UpdatedAt = tx.Now()
	return saveActions(ctx, tx, actions[0])
}

// ListActions implements [Actions].
func (s *Service) ListActions(ctx context.Context, serverID string, f ActionFilter, p nephos.Page) ([]Action, bool, error) {
	if _, err := s.actionsOf(ctx, serverID, "list"); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []actionRow
	q := db.NewSelect().Model(&rows).Where("action.server_id = ?", serverID)
	if f.Since != nil {
		q = q.Where("action.updated_at >= ?", *f.Since)
	}
	if f.Before != nil {
		q = q.Where("action.updated_at <= ?", *f.Before)
	}
	order := store.Keyset{
		Table: "compute_actions", Alias: "action", ID: "request_id", Among: map[string]any{"server_id": serverID},
		Keys: []store.Key{{Expr: "@.started_at", Desc: true}, {Expr: "@.request_id", Desc: true}}, Missing: noMarker,
	}
	more, err := store.ReadPage(ctx, db, order, q, &rows, p)
	if err != nil {
		return nil, false, err
	}
	out := make([]Action, len(rows))
	for i, r := range rows {
		out[i] = r.Action
	}
	return out, more, nil
}

// Action implements [Actions].
func (s *Service) Action(ctx context.Context, serverID, requestID string) (Action, error) {
	server, err := s.actionsOf(ctx, serverID, "show")
	if err != nil {
		return Action{}, err
	}
	var rows []actionRow
	err = s.cfg.Store.Reader().NewSelect().Model(&rows).
		Where("action.server_id = ? AND action.request_id = ?", serverID, requestID).Scan(ctx)
	if err != nil {
		return Action{}, err
	}
	if len(rows) == 0 {
		return Action{}, nephos.Errorf(nephos.ErrNotFound, "Action %.64s not found", requestID)
	}
	a := rows[0].Action
	if a.Action == "create" {
		a.Events = slices.Insert(a.Events, 0, server.onItsWay(a)...)
	}
	if !s.cfg.Policy.Allowed(ctx, "os_compute_api:os-instance-actions:events:details", server.target()) {
		for i := range a.Events {
			a.Events[i].Internal = ""
		}
	}
	return a, nil
}

// onItsWay are the moments of a create that the server's record itself tells.
func (row *serverRow) onItsWay(create Action) []ActionEvent {
	at := create.StartedAt
	events := []ActionEvent{{Name: "queued", Start: at, Finish: &at, Result: "Success"}}
	if at := row.ScheduledAt; at != nil {
		events = append(events, ActionEvent{Name: "scheduled", Start: *at, Finish: at, Result: "Success", Host: row.Host})
	}
	return events
}

// actionsOf loads a server that may be deleted, and checks that its actions may
// be seen.
func (s *Service) actionsOf(ctx context.Context, id, rule string) (*serverRow, error) {
	row, err := s.find(ctx, id, true)
	if err != nil {
		return nil, err
	}
	return row, s.cfg.Policy.Enforce(ctx, "os_compute_api:os-instance-actions:"+rule, row.target())
}
