package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

type counter struct {
	bun.BaseModel `bun:"table:counters"`

	ID    string `bun:",pk"`
	Value int
	Tags  []string
	At    time.Time
	Data  []byte
	Maybe *time.Time
	Flag  bool
}

var counters = []store.Migrations{{Service: "test", FS: fstest.MapFS{
	"0001_counters.sql": {Data: []byte(`-- counters; with a semicolon in a comment
CREATE TABLE counters (id VARCHAR(64) PRIMARY KEY, value BIGINT NOT NULL, tags TEXT, at TIMESTAMP, data BLOB, maybe TIMESTAMP, flag BOOLEAN);
`)},
}}}

func each(t *testing.T, f func(t *testing.T, db *store.DB)) {
	storetest.Each(t, nil, counters, f)
}

func insert(id string, value int) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.NewInsert().Model(&counter{ID: id, Value: value}).Exec(ctx)
		return err
	}
}

func value(t *testing.T, db *store.DB, id string) int {
	var c counter
	require.NoError(t, db.Reader().NewSelect().Model(&c).Where("id = ?", id).Scan(t.Context()))
	return c.Value
}

func TestRowsComeBackAsTheyWere(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		at := time.Date(2026, 1, 2, 3, 4, 5, 600_000, time.UTC)
		in := counter{ID: "a", Value: 1 << 40, Tags: []string{"x", "y's"}, At: at, Data: []byte{0, 1, 255}, Maybe: nil, Flag: true}
		require.NoError(t, db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.NewInsert().Model(&in).Exec(ctx)
			return err
		}))
		var out counter
		require.NoError(t, db.Reader().NewSelect().Model(&out).Where("id = 'a'").Scan(t.Context()))
		out.At = out.At.UTC()
		require.Equal(t, in, out)
	})
}

func TestConcurrentIncrementsAreNotLost(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		require.NoError(t, db.Tx(t.Context(), insert("n", 0)))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 10 {
					err := db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
						var c counter
						if err := tx.NewSelect().Model(&c).Where("id = 'n'").Scan(ctx); err != nil {
							return err
						}
						_, err := tx.NewRaw("UPDATE counters SET value = ? WHERE id = 'n'", c.Value+1).Exec(ctx)
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		require.Equal(t, 80, value(t, db, "n"))
	})
}

func TestOneFailureLeavesTheOthersOfASharedCommitWhole(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		boom := errors.New("boom")
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				err := db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
					if err := insert(fmt.Sprint("r", i), i)(ctx, tx); err != nil {
						return err
					}
					if i%4 == 0 {
						return boom
					}
					return nil
				})
				if (i%4 == 0) != errors.Is(err, boom) {
					t.Errorf("%d: %v", i, err)
				}
			})
		}
		wg.Wait()
		n, err := db.Reader().NewSelect().Model((*counter)(nil)).Count(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 30, n)
	})
}

func TestAPanicReachesItsCallerAndUndoesItsWork(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		require.Panics(t, func() {
			_ = db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				_ = insert("p", 1)(ctx, tx)
				panic("boom")
			})
		})
		n, err := db.Reader().NewSelect().Model((*counter)(nil)).Count(t.Context())
		require.NoError(t, err)
		require.Zero(t, n)
		require.NoError(t, db.Tx(t.Context(), insert("q", 1)))
	})
}

func TestCallingOutFromATransactionPanics(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		defer func() {
			require.Contains(t, fmt.Sprint(recover()), "store.Tx called inside a transaction")
		}()
		_ = db.Tx(t.Context(), func(ctx context.Context, _ *store.Tx) error {
			return db.Tx(ctx, insert("never", 1))
		})
	})
}

func TestUniqueViolation(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		require.NoError(t, db.Tx(t.Context(), insert("u", 1)))
		require.True(t, store.UniqueViolation(db.Tx(t.Context(), insert("u", 1))))
		require.False(t, store.UniqueViolation(errors.New("other")))
	})
}

func TestEventsAreNumberedInCommitOrderAndWake(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		wake, stop := db.Watch(store.EventTopic)
		defer stop()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				err := db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
					return tx.Emit(ctx, store.Event{Service: "test", Type: "thing.update", ResourceID: fmt.Sprint(i)}, map[string]int{"i": i})
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		<-wake
		var all []store.Event
		var after int64
		for {
			page, err := db.Events(t.Context(), after, 7)
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			after = page[len(page)-1].Seq
			all = append(all, page...)
		}
		require.Len(t, all, 20)
		require.NoError(t, db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.SetCursor(ctx, "me", after) }))
		cursor, err := db.Cursor(t.Context(), "me")
		require.NoError(t, err)
		require.Equal(t, after, cursor)
	})
}

func TestForgottenEventsLeaveAMark(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		forgotten, newest, err := db.EventsRange(t.Context())
		require.NoError(t, err)
		require.Zero(t, forgotten)
		require.Zero(t, newest)
		emit := func() {
			require.NoError(t, db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				return tx.Emit(ctx, store.Event{Service: "test", Type: "thing.update", ResourceID: "one"}, nil)
			}))
		}
		emit()
		emit()
		_, newest, err = db.EventsRange(t.Context())
		require.NoError(t, err)
		require.NoError(t, db.Prune(t.Context(), db.Clock().Now().Add(-time.Hour)))
		forgotten, _, err = db.EventsRange(t.Context())
		require.NoError(t, err)
		require.Zero(t, forgotten)
		require.NoError(t, db.Prune(t.Context(), db.Clock().Now().Add(time.Hour)))
		forgotten, last, err := db.EventsRange(t.Context())
		require.NoError(t, err)
		require.Equal(t, newest, forgotten)
		require.Equal(t, newest, last)
		emit()
		events, err := db.Events(t.Context(), 0, 10)
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.Greater(t, events[0].Seq, newest) // numbers are not used again
	})
}

func TestIdempotencyKeyReturnsTheFirstResult(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		once := func(ctx context.Context, id string) (got string, first bool, err error) {
			err = db.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
				got, first, err = tx.Once(ctx, "test.create", id)
				return err
			})
			return got, first, err
		}
		ctx := nephos.WithCaller(t.Context(), nephos.Caller{UserID: "u", ProjectID: "p"})
		keyed := nephos.WithIdempotency(ctx, nephos.Idempotency{Key: "k", Digest: "d"})
		got, first, err := once(keyed, "one")
		require.NoError(t, err)
		require.True(t, first)
		require.Equal(t, "one", got)
		got, first, err = once(keyed, "two")
		require.NoError(t, err)
		require.False(t, first)
		require.Equal(t, "one", got)
		_, _, err = once(nephos.WithIdempotency(ctx, nephos.Idempotency{Key: "k", Digest: "other"}), "three")
		require.ErrorIs(t, err, nephos.ErrInvalid)
		other := nephos.WithCaller(keyed, nephos.Caller{UserID: "u2", ProjectID: "p"})
		got, first, err = once(other, "four")
		require.NoError(t, err)
		require.True(t, first)
		require.Equal(t, "four", got)

		for _, c := range []struct {
			ctx  context.Context
			want string
		}{{keyed, "one"}, {other, "four"}, {ctx, ""}} {
			id, made, err := db.Made(c.ctx, "test.create")
			require.NoError(t, err)
			require.Equal(t, c.want, id)
			require.Equal(t, c.want != "", made)
		}
		_, _, err = db.Made(nephos.WithIdempotency(ctx, nephos.Idempotency{Key: "k", Digest: "other"}), "test.create")
		require.ErrorIs(t, err, nephos.ErrInvalid)
		for _, of := range []context.Context{ctx, keyed} { // without a key there is nothing to forget
			require.NoError(t, db.Tx(of, func(ctx context.Context, tx *store.Tx) error { return tx.Forget(ctx, "test.create") }))
		}
		got, first, err = once(keyed, "five")
		require.NoError(t, err)
		require.True(t, first)
		require.Equal(t, "five", got)
		got, _, err = once(other, "six")
		require.NoError(t, err)
		require.Equal(t, "four", got, "another's is not forgotten")
	})
}

func TestMigrationsApplyOnceAndANewerDatabaseIsRefused(t *testing.T) {
	path := "sqlite:" + filepath.Join(t.TempDir(), "m.db")
	open := func() *store.DB {
		db, err := store.Open(t.Context(), path, store.Options{NoSync: true})
		require.NoError(t, err)
		t.Cleanup(func() { db.Close() })
		return db
	}
	db := open()
	require.NoError(t, db.Migrate(t.Context(), counters...))
	require.NoError(t, db.Migrate(t.Context(), counters...))
	require.NoError(t, db.Tx(t.Context(), insert("kept", 7)))
	require.NoError(t, db.Close())
	db = open()
	require.NoError(t, db.Migrate(t.Context(), counters...))
	require.Equal(t, 7, value(t, db, "kept"))
	err := db.Migrate(t.Context(), store.Migrations{Service: "test", FS: fstest.MapFS{}})
	require.ErrorContains(t, err, "written by a newer one")
}

func TestQueriesAreCounted(t *testing.T) {
	db := storetest.Open(t, nil, counters...)
	ctx, n := store.CountQueries(t.Context())
	_, err := db.Reader().NewSelect().Model((*counter)(nil)).Count(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, n.Load())
}

func BenchmarkDurableCommits(b *testing.B) {
	db, err := store.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "b.db"), store.Options{})
	require.NoError(b, err)
	defer db.Close()
	require.NoError(b, db.Migrate(b.Context(), counters...))
	b.SetParallelism(8)
	ids := nephos.IDs{}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := db.Tx(b.Context(), insert(ids.New(), 1)); err != nil {
				b.Error(err)
			}
		}
	})
}

func TestReadersDoNotCollideWithTransactions(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB) {
		if !db.Postgres() {
			return
		}
		var got string
		require.NoError(t, db.Reader().QueryRowContext(t.Context(), "SHOW transaction_isolation").Scan(&got))
		require.Equal(t, "read committed", got)
		require.NoError(t, db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			require.NoError(t, tx.QueryRowContext(ctx, "SHOW transaction_isolation").Scan(&got))
			require.Equal(t, "serializable", got)
			return nil
		}))
	})
}
