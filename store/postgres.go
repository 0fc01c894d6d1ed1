package store

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
)

// bun writes values into the text of a query, so that hardly two texts are the
// same. To prepare each would take a journey to the server of its own, and would
// push the statements out that are worth keeping: those with placeholders.

// postgresConnector opens connections that prepare only what has placeholders.
type postgresConnector struct{ driver.Connector }

// Connect implements [driver.Connector].
func (c postgresConnector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &postgresConn{inner.(*stdlib.Conn)}, nil
}

type postgresConn struct{ *stdlib.Conn }

// QueryContext implements [driver.QueryerContext].
func (c *postgresConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if len(args) == 0 {
		args = []driver.NamedValue{{Ordinal: 1, Value: pgx.QueryExecModeExec}}
	}
	return c.Conn.QueryContext(ctx, query, args)
}

const (
	beginning = "begin isolation level serializable"
	// A table that is read from end to end, as the server likes to do with a small
	// one, collides with all that is written to it; and the plan is kept.
	indexed = "set local enable_seqscan = off"
	planned = "set local enable_seqscan to default"
)

// begin begins a transaction on a connection of its own, and runs the first
// statement, if there is one, in the same journey.
func (db *DB) begin(ctx context.Context, first *Statement) (bun.Conn, error) {
	for {
		conn, err := db.write.Conn(ctx)
		if err != nil {
			return conn, fmt.Errorf("beginning a transaction: %w", err)
		}
		err = raw(conn, func(pg *pgx.Conn) error {
			if first == nil {
				_, err := pg.Exec(ctx, beginning)
				return err
			}
			return beginWith(ctx, pg, first)
		})
		if err == nil {
			return conn, nil
		}
		rollback(ctx, conn)
		_ = conn.Close()
		// A connection that was lost while nobody used it has been given up now;
		// the others in the pool, or a new one, may do.
		if !pgconn.SafeToRetry(err) || ctx.Err() != nil {
			return conn, fmt.Errorf("beginning a transaction: %w", err)
		}
	}
}

// prepared makes sure that the connection has the statement prepared, and will
// keep it: what the driver keeps by itself it forgets when a transaction fails,
// collisions included.
func prepared(ctx context.Context, pg *pgx.Conn, text string) error {
	_, err := pg.Prepare(ctx, text, text)
	return err
}

// beginWith begins a transaction and runs its first statement.
func beginWith(ctx context.Context, pg *pgx.Conn, first *Statement) error {
	for _, text := range []string{beginning, indexed, first.SQL, planned} {
		if err := prepared(ctx, pg, text); err != nil {
			return err
		}
	}
	batch := &pgx.Batch{}
	batch.Queue(beginning)
	batch.Queue(indexed)
	batch.Queue(first.SQL, first.Args...)
	batch.Queue(planned)
	results := pg.SendBatch(ctx, batch)
	defer results.Close()
	for range 2 {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	err = first.Read(rows)
	rows.Close()
	return cmp.Or(rows.Err(), err, results.Close())
}

// Read runs a statement on PostgreSQL by itself, for what is read over and over:
// it is kept prepared, and its values come as they are and not as text. Its Read
// may run again if the connection turns out to be lost.
func (db *DB) Read(ctx context.Context, q Statement) error {
	if !db.postgres {
		return fmt.Errorf("reading with a statement for PostgreSQL: %w", errors.ErrUnsupported)
	}
	for {
		conn, err := db.read.Conn(ctx)
		if err != nil {
			return err
		}
		err = raw(conn, func(pg *pgx.Conn) error {
			if err := prepared(ctx, pg, q.SQL); err != nil {
				return err
			}
			rows, err := pg.Query(ctx, q.SQL, q.Args...)
			if err != nil {
				return err
			}
			err = q.Read(rows)
			rows.Close()
			return cmp.Or(rows.Err(), err)
		})
		_ = conn.Close()
		if !pgconn.SafeToRetry(err) || ctx.Err() != nil {
			return err
		}
	}
}

func commit(ctx context.Context, conn bun.Conn) error {
	return raw(conn, func(pg *pgx.Conn) error {
		tag, err := pg.Exec(ctx, "commit")
		if err == nil && tag.String() == "ROLLBACK" {
			err = pgx.ErrTxCommitRollback // a statement had failed, and nobody said so
		}
		return err
	})
}

// rollback undoes what there is of a transaction. A connection that cannot tell
// it was done is not used again.
func rollback(ctx context.Context, conn bun.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = raw(conn, func(pg *pgx.Conn) error {
		if pg.IsClosed() || pg.PgConn().TxStatus() == 'I' {
			return nil
		}
		if _, err := pg.Exec(ctx, "rollback"); err != nil {
			return driver.ErrBadConn
		}
		return nil
	})
}

func raw(conn bun.Conn, f func(*pgx.Conn) error) error {
	return conn.Raw(func(c any) error { return f(c.(*postgresConn).Conn.Conn()) })
}
