package sqlstore_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// BenchmarkFsync is how often a second this machine's disk can be made to keep
// 4 KiB, one after the other: the yardstick for durable claims.
func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	require.NoError(b, err)
	defer f.Close()
	block := make([]byte, 4096)
	for b.Loop() {
		_, err := f.WriteAt(block, 0)
		require.NoError(b, err)
		require.NoError(b, f.Sync())
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "fsyncs/s")
}

// BenchmarkClaims has many ask for a server each at the same time. Every claim is
// committed durably before it is answered: SQLite with synchronous=FULL,
// PostgreSQL as its server is configured (NEPHOS_POSTGRES_FSYNC=on). "schedulers"
// are stores of their own, with connections of their own, as in so many
// processes.
func BenchmarkClaims(b *testing.B) {
	for _, hosts := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprintf("sqlite/1 scheduler/%d hosts", hosts), func(b *testing.B) {
			db, err := store.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "b.db"), store.Options{})
			require.NoError(b, err)
			defer db.Close()
			require.NoError(b, db.Migrate(b.Context(), sqlstore.Migrations()))
			claims(b, []*store.DB{db}, hosts, 64)
		})
	}
	for _, hosts := range []int{100, 1_000} {
		b.Run(fmt.Sprintf("postgres/8 schedulers/%d hosts", hosts), func(b *testing.B) {
			claims(b, postgres(b, 8), hosts, 64)
		})
	}
	b.Run("postgres/bare inserts", func(b *testing.B) {
		db := postgres(b, 1)[0]
		_, err := db.Reader().ExecContext(b.Context(), "CREATE TABLE bare (id VARCHAR(36) PRIMARY KEY)")
		require.NoError(b, err)
		ids := nephos.IDs{}
		spread(b, 64, func(int) error {
			return db.Tx(b.Context(), func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO bare (id) VALUES (?)", ids.New())
				return err
			})
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	})
}

// postgres opens one new schema n times.
func postgres(b *testing.B, n int) []*store.DB {
	u, err := url.Parse(storetest.PostgresURL(b))
	require.NoError(b, err)
	var list []*store.DB
	for range n {
		db, err := store.Open(b.Context(), u.String(), store.Options{})
		require.NoError(b, err)
		b.Cleanup(func() { _ = db.Close() })
		list = append(list, db)
	}
	require.NoError(b, list[0].Migrate(b.Context(), sqlstore.Migrations()))
	return list
}

// spread runs the operation b.N times, by so many workers.
func spread(b *testing.B, workers int, f func(worker int) error) {
	todo := make(chan struct{}, b.N)
	for range b.N {
		todo <- struct{}{}
	}
	close(todo)
	var wg sync.WaitGroup
	b.ResetTimer()
	for w := range workers {
		wg.Go(func() {
			for range todo {
				if err := f(w); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

func claims(b *testing.B, dbs []*store.DB, hosts, workers int) {
	var stores []*sqlstore.Store
	for _, db := range dbs {
		stores = append(stores, newStore(b, db, nephos.WallClock{}))
	}
	for i := range hosts {
		require.NoError(b, stores[0].PutHost(b.Context(), testHost(fmt.Sprintf("h%d", i), 1<<30, 1<<40)))
	}
	want := scheduler.Resources{scheduler.VCPU: 1, scheduler.MemoryMB: 512, scheduler.DiskGB: 10}
	for _, s := range stores {
		_, err := s.Hosts(b.Context())
		require.NoError(b, err)
	}
	ids := nephos.IDs{}
	var tries atomic.Int64
	claim := func(w int) error {
		id := ids.New()
		_, err := stores[w%len(stores)].Schedule(b.Context(), scheduler.Request{ID: id, Resources: want},
			sqlstore.Options{Consumer: sqlstore.Consumer{ID: id, ProjectID: "p", UserID: "u"}},
			func(context.Context, *store.Tx, scheduler.HostRef) error { tries.Add(1); return nil })
		return err
	}
	for range 8 { // connections are open and statements prepared before the clock runs
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				if err := claim(w); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
	tries.Store(0)
	spread(b, workers, claim)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "claims/s")
	b.ReportMetric(float64(tries.Load())/float64(b.N), "tries/claim")
}
