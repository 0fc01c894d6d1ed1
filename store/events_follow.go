package store

import (
	"context"
	"database/sql"
	"time"
)

// pruned is the cursor that remembers the newest event that was forgotten.
const pruned = "store.pruned"

// EventsRange says which events there are: newest is the number of the last
// one that was written and forgotten that of the last one that [DB.Prune]
// forgot, 0 where there is none. A reader whose last event has a number below
// forgotten, or above newest, has lost its place.
func (db *DB) EventsRange(ctx context.Context) (forgotten, newest int64, err error) {
	if forgotten, err = db.Cursor(ctx, pruned); err != nil {
		return 0, 0, err
	}
	var last sql.NullInt64
	if err := db.read.NewRaw("SELECT max(seq) FROM events").Scan(ctx, &last); err != nil {
		return 0, 0, err
	}
	return forgotten, max(last.Int64, forgotten), nil
}

// forget deletes the events from before the time, and remembers how far.
func (tx *Tx) forget(ctx context.Context, before time.Time) error {
	var last sql.NullInt64
	if err := tx.NewRaw("SELECT max(seq) FROM events WHERE at < ?", before).Scan(ctx, &last); err != nil {
		return err
	}
	if !last.Valid {
		return nil
	}
	// By number, so that clocks that disagree leave no gaps in what is kept.
	if _, err := tx.NewRaw("DELETE FROM events WHERE seq <= ?", last.Int64).Exec(ctx); err != nil {
		return err
	}
	return tx.SetCursor(ctx, pruned, last.Int64)
}
