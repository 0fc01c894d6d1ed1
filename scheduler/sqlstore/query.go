package sqlstore

import (
	"context"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/store"
)

// condition says which rows are to be read: those whose column is among a list of
// strings, or no earlier than a time. The zero condition holds for all.
type condition struct {
	column string
	value  any
}

// query reads the rows that the condition holds for, one after the other, outside
// of any transaction. On PostgreSQL each query, whatever its values, is one
// statement that stays prepared: a snapshot that several processes change is read
// several times a second.
func (s *Store) query(ctx context.Context, text string, c condition, each func(scan func(dest ...any) error) error) error {
	postgres := s.cfg.Store.Postgres()
	var args []any
	switch v := c.value.(type) {
	case []string:
		if text += " WHERE " + c.column; postgres {
			text, args = text+" IN (SELECT UNNEST($1::varchar[]))", []any{v}
		} else {
			text, args = text+" IN (?)", []any{bun.List(v)}
		}
	case time.Time:
		if text += " WHERE " + c.column; postgres {
			text += " >= $1"
		} else {
			text += " >= ?"
		}
		args = []any{v}
	}
	if postgres {
		return s.cfg.Store.Read(ctx, store.Statement{SQL: text, Args: args, Read: func(rows store.Rows) error { return eachRow(rows, each) }})
	}
	rows, err := s.cfg.Store.Reader().QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return errors.Join(eachRow(rows, each), rows.Err())
}

func eachRow(rows store.Rows, each func(scan func(dest ...any) error) error) error {
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return nil
}
