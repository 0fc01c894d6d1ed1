package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
)

// EventTopic is woken by every transaction that emits.
const EventTopic = "events"

// Event is one change of state. Seq is given at commit and grows in the order
// of commits.
type Event struct {
	bun.BaseModel `bun:"table:events"`

	Seq        int64  `bun:",pk,autoincrement"`
	Service    string // compute, network …
	Type       string // server.update, port.delete …
	ResourceID string
	ProjectID  string
	UserID     string
	RequestID  string
	At         time.Time
	Data       json.RawMessage `bun:"type:text"`
}

// Emit adds an event to the transaction. Project, user and request come from
// the context's caller where the event leaves them empty. data, where not nil,
// is encoded as JSON.
func (tx *Tx) Emit(ctx context.Context, e Event, data any) error {
	c, _ := nephos.CallerFrom(ctx)
	if e.ProjectID == "" {
		e.ProjectID = c.ProjectID
	}
	if e.UserID == "" {
		e.UserID = c.UserID
	}
	if e.RequestID == "" {
		e.RequestID = c.RequestID
	}
	e.Seq, e.At, e.Data = 0, tx.Now(), json.RawMessage("null")
	if data != nil {
		b, err := json.Marshal(data)
		if err != nil {
			return fmt.Errorf("encoding the event %s: %w", e.Type, err)
		}
		e.Data = b
	}
	tx.events = append(tx.events, &e)
	tx.Wake(EventTopic)
	return nil
}

// writeEvents numbers the events. On PostgreSQL a lock that is held until the
// commit makes the order of numbers the order of commits.
func (tx *Tx) writeEvents(ctx context.Context) error {
	if len(tx.events) == 0 {
		return nil
	}
	if tx.db.postgres {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(7305809)"); err != nil {
			return err
		}
	}
	_, err := tx.NewInsert().Model(&tx.events).Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("writing events: %w", err)
	}
	return nil
}

// Events returns at most limit events after the number, oldest first.
func (db *DB) Events(ctx context.Context, after int64, limit int) ([]Event, error) {
	var events []Event
	err := db.read.NewSelect().Model(&events).Where("seq > ?", after).Order("seq").Limit(int64(limit)).Scan(ctx)
	return events, err
}

// Cursor returns how far the named reader of events has come.
func (db *DB) Cursor(ctx context.Context, name string) (int64, error) {
	var seq []int64
	err := db.read.NewSelect().Table("event_cursors").Column("seq").Where("name = ?", name).Scan(ctx, &seq)
	if err != nil || len(seq) == 0 {
		return 0, err
	}
	return seq[0], nil
}

// SetCursor records, in the transaction that acts on them, that the named
// reader has seen the events up to the number.
func (tx *Tx) SetCursor(ctx context.Context, name string, seq int64) error {
	_, err := tx.NewRaw(`INSERT INTO event_cursors (name, seq) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET seq = excluded.seq`, name, seq).Exec(ctx)
	return err
}

// Prune forgets events and idempotency keys from before the time.
func (db *DB) Prune(ctx context.Context, before time.Time) error {
	return db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := tx.forget(ctx, before); err != nil {
			return err
		}
		_, err := tx.NewRaw("DELETE FROM idempotency WHERE at < ?", before).Exec(ctx)
		return err
	})
}
