package store_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// postgres runs the test on PostgreSQL alone.
func postgres(t *testing.T, f func(t *testing.T, db *store.DB)) {
	storetest.Each(t, nil, counters, func(t *testing.T, db *store.DB) {
		if db.Postgres() {
			f(t, db)
		}
	})
}

// add is a statement that adds to a counter and tells its new value.
func add(id string, n int, value *int) store.Statement {
	return store.Statement{
		SQL: "UPDATE counters SET value = value + $2 WHERE id = $1 RETURNING value", Args: []any{id, n},
		Read: func(rows store.Rows) error {
			*value = -1
			for rows.Next() {
				if err := rows.Scan(value); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func TestAFirstStatementIsPartOfItsTransaction(t *testing.T) {
	postgres(t, func(t *testing.T, db *store.DB) {
		require.NoError(t, db.Tx(t.Context(), insert("n", 1)))
		var got int
		woken, stop := db.Watch("topic")
		defer stop()
		require.NoError(t, db.TxFirst(t.Context(), add("n", 2, &got), func(ctx context.Context, tx *store.Tx) error {
			require.Equal(t, 3, got)
			tx.Wake("topic")
			return insert("other", got)(ctx, tx)
		}))
		require.Equal(t, 3, value(t, db, "n"))
		require.Equal(t, 3, value(t, db, "other"))
		<-woken

		refused := errors.New("refused")
		require.Same(t, refused, db.TxFirst(t.Context(), add("n", 2, &got), func(context.Context, *store.Tx) error { return refused }))
		require.Equal(t, 5, got)
		require.Equal(t, 3, value(t, db, "n"))

		unread := add("n", 2, &got)
		unread.Read = func(store.Rows) error { return refused }
		require.ErrorIs(t, db.TxFirst(t.Context(), unread, insert("never", 1)), refused)
		require.Equal(t, 3, value(t, db, "n"))

		require.PanicsWithValue(t, "oh", func() {
			_ = db.TxFirst(t.Context(), add("n", 2, &got), func(context.Context, *store.Tx) error { panic("oh") })
		})
		require.Equal(t, 3, value(t, db, "n"))

		wrong := store.Statement{SQL: "UPDATE nowhere SET value = $1", Args: []any{1}, Read: func(store.Rows) error { return nil }}
		require.ErrorContains(t, db.TxFirst(t.Context(), wrong, insert("never", 1)), "nowhere")
		ctx, cancel := context.WithCancel(t.Context())
		require.ErrorIs(t, db.TxFirst(ctx, add("n", 2, &got), func(context.Context, *store.Tx) error { cancel(); return nil }), context.Canceled)
		require.Equal(t, 3, value(t, db, "n"))
		require.Zero(t, count(t, db, "never"))
	})
}

func count(t *testing.T, db *store.DB, id string) int {
	n, err := db.Reader().NewSelect().Model((*counter)(nil)).Where("id = ?", id).Count(t.Context())
	require.NoError(t, err)
	return int(n)
}

func TestAnErrorThatWasPassedOverIsNotCommitted(t *testing.T) {
	postgres(t, func(t *testing.T, db *store.DB) {
		err := db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			require.NoError(t, insert("a", 1)(ctx, tx))
			require.Error(t, insert("a", 2)(ctx, tx))
			return nil
		})
		require.Error(t, err)
		require.NoError(t, db.Tx(t.Context(), insert("a", 3)))
	})
}

func TestFirstStatementsThatCollideAreTriedAgain(t *testing.T) {
	postgres(t, func(t *testing.T, db *store.DB) {
		require.NoError(t, db.Tx(t.Context(), insert("n", 0)))
		var wg sync.WaitGroup
		seen := make(chan int, 80)
		for range 8 {
			wg.Go(func() {
				for range 10 {
					var got int
					if err := db.TxFirst(t.Context(), add("n", 1, &got), func(context.Context, *store.Tx) error { return nil }); err != nil {
						t.Error(err)
					}
					seen <- got
				}
			})
		}
		wg.Wait()
		close(seen)
		all := map[int]bool{}
		for n := range seen {
			all[n] = true
		}
		require.Len(t, all, 80)
		require.Equal(t, 80, value(t, db, "n"))
	})
}

func TestReadKeepsItsStatement(t *testing.T) {
	postgres(t, func(t *testing.T, db *store.DB) {
		require.NoError(t, db.Tx(t.Context(), insert("a", 1)))
		require.NoError(t, db.Tx(t.Context(), insert("b", 2)))
		read := func(ids ...string) (sum int, err error) {
			err = db.Read(t.Context(), store.Statement{SQL: "SELECT value FROM counters WHERE id = ANY($1)", Args: []any{ids}, Read: func(rows store.Rows) error {
				for rows.Next() {
					var n int
					if err := rows.Scan(&n); err != nil {
						return err
					}
					sum += n
				}
				return nil
			}})
			return sum, err
		}
		for _, want := range []struct {
			ids []string
			sum int
		}{{[]string{"a", "b"}, 3}, {[]string{"b"}, 2}, {nil, 0}} {
			sum, err := read(want.ids...)
			require.NoError(t, err)
			require.Equal(t, want.sum, sum)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, db.Read(ctx, store.Statement{SQL: "SELECT 1", Read: func(store.Rows) error { return nil }}), context.Canceled)
	})
}

func TestLostConnectionsAreReplaced(t *testing.T) {
	postgres(t, func(t *testing.T, db *store.DB) {
		require.NoError(t, db.Tx(t.Context(), insert("n", 0)))
		var got int
		for range 3 {
			var pid int
			require.NoError(t, db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				return tx.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(&pid)
			}))
			other, err := pgx.Connect(t.Context(), os.Getenv("NEPHOS_POSTGRES"))
			require.NoError(t, err)
			_, err = other.Exec(t.Context(), "SELECT pg_terminate_backend($1, 10000)", pid)
			require.NoError(t, err)
			require.NoError(t, other.Close(t.Context()))
			err = db.TxFirst(t.Context(), add("n", 1, &got), func(context.Context, *store.Tx) error { return nil })
			if err != nil { // told by the server why, once
				require.NoError(t, db.TxFirst(t.Context(), add("n", 1, &got), func(context.Context, *store.Tx) error { return nil }))
			}
		}
		require.Equal(t, 3, got)
		require.Equal(t, 3, value(t, db, "n"))
	})
}

func TestSweepingIsPartOfNoTransactionOnPostgres(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		require.NoError(t, db.Tx(t.Context(), insert("old", 1)))
		require.NoError(t, db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			if err := tx.Sweep(ctx, "DELETE FROM counters WHERE id = ?", "old"); err != nil {
				return err
			}
			return insert("new", 2)(ctx, tx)
		}))
		require.Zero(t, count(t, db, "old"))
		require.Equal(t, 2, value(t, db, "new"))

		require.Error(t, db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			if err := tx.Sweep(ctx, "DELETE FROM counters WHERE id = ?", "new"); err != nil {
				return err
			}
			return errors.New("not now")
		}))
		require.Equal(t, 2, value(t, db, "new"))
	})
}

func TestProcessesAreCounted(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		n, err := db.Processes(t.Context())
		require.NoError(t, err)
		require.Positive(t, n)
		if !db.Postgres() {
			require.Equal(t, 1, n)
			return
		}
		u, err := url.Parse(os.Getenv("NEPHOS_POSTGRES"))
		require.NoError(t, err)
		q := u.Query()
		q.Set("application_name", "alone") // of all that use this server
		u.RawQuery = q.Encode()
		var list []*store.DB
		for range 3 {
			one, err := store.Open(t.Context(), u.String(), store.Options{})
			require.NoError(t, err)
			defer one.Close()
			list = append(list, one)
		}
		require.Eventually(t, func() bool { // each begins to listen in its own time
			n, err := list[0].Processes(t.Context())
			return err == nil && n == 3
		}, 10*time.Second, 10*time.Millisecond)
	})
}
