package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
)

func gangOf(name string, n int) []sqlstore.Consumer {
	out := make([]sqlstore.Consumer, n)
	for i := range out {
		out[i] = sqlstore.Consumer{ID: fmt.Sprint(name, i), ProjectID: "p", UserID: "u", Type: "INSTANCE"}
	}
	return out
}

func TestServersAreScheduledTogetherOrNotAtAll(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		ctx := t.Context()
		s, err := sqlstore.New(sqlstore.Config{Store: db, Clock: c})
		require.NoError(t, err)
		t.Cleanup(s.Close)
		for i := range 3 {
			require.NoError(t, s.PutHost(ctx, testHost(fmt.Sprint("h", i), 16, 4096)))
		}
		used := func() (n int64) {
			hosts, err := s.Hosts(ctx)
			require.NoError(t, err)
			for _, h := range hosts {
				n += h.Used[scheduler.MemoryMB]
			}
			return n
		}
		req := scheduler.Request{Resources: scheduler.Resources{scheduler.VCPU: 1, scheduler.MemoryMB: 1024}}
		var got []scheduler.HostRef
		d, err := s.ScheduleTogether(ctx, req, gangOf("a", 5), sqlstore.Options{}, func(_ context.Context, _ *store.Tx, hosts []scheduler.HostRef) error {
			got = hosts
			return nil
		})
		require.NoError(t, err)
		require.Len(t, got, 5)
		for i, choice := range d.Choices {
			require.Equal(t, choice.Host, got[i])
			held, err := s.Claims(ctx, got[i].ID)
			require.NoError(t, err)
			require.NotEmpty(t, held)
		}
		require.Equal(t, int64(5*1024), used())

		// What cannot be placed whole, or is not committed, leaves nothing.
		_, err = s.ScheduleTogether(ctx, req, gangOf("b", 100), sqlstore.Options{}, nil)
		require.ErrorIs(t, err, nephos.ErrNoCapacity)
		why, err := s.Explanation(ctx, "b99")
		require.NoError(t, err)
		require.Equal(t, 100, why.Wanted)
		no := errors.New("no")
		_, err = s.ScheduleTogether(ctx, req, gangOf("c", 2), sqlstore.Options{}, func(context.Context, *store.Tx, []scheduler.HostRef) error { return no })
		require.ErrorIs(t, err, no)
		_, err = s.ScheduleTogether(ctx, req, append(gangOf("d", 2), gangOf("a", 1)...), sqlstore.Options{}, nil)
		require.ErrorIs(t, err, nephos.ErrConflict)
		_, err = s.ScheduleTogether(ctx, req, nil, sqlstore.Options{}, nil)
		require.ErrorIs(t, err, nephos.ErrInvalid)
		require.Equal(t, int64(5*1024), used())
	})
}

// Many want more than there is at the same time: whole gangs win, and no host
// has more than it can carry.
func TestGangsContend(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		ctx := t.Context()
		s, err := sqlstore.New(sqlstore.Config{Store: db, Clock: c, Ratios: map[string]float64{scheduler.VCPU: 1, scheduler.MemoryMB: 1, scheduler.DiskGB: 1}})
		require.NoError(t, err)
		t.Cleanup(s.Close)
		for i := range 4 {
			require.NoError(t, s.PutHost(ctx, testHost(fmt.Sprint("h", i), 16, 4096)))
		}
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = s.ScheduleTogether(ctx, scheduler.Request{Resources: scheduler.Resources{scheduler.MemoryMB: 1024}},
					gangOf(fmt.Sprint("g", i, "-"), 4), sqlstore.Options{Seed: uint64(i)}, nil)
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			require.ErrorIs(t, err, nephos.ErrNoCapacity)
		}
		require.Equal(t, 4, won, "4 hosts of 4 GiB carry 4 times 4")
		requireSound(t, db)
	})
}

// BenchmarkScheduleTogether measures decisions for so many servers at once, among
// 1,000 hosts.
func BenchmarkScheduleTogether(b *testing.B) {
	for _, n := range []int{2, 10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			db, err := store.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "db"), store.Options{})
			require.NoError(b, err)
			b.Cleanup(func() { _ = db.Close() })
			require.NoError(b, db.Migrate(b.Context(), sqlstore.Migrations()))
			s := newStore(b, db, nil)
			for i := range 1000 {
				require.NoError(b, s.PutHost(b.Context(), testHost(fmt.Sprint("h", i), 1<<20, 1<<30)))
			}
			for i := 0; b.Loop(); i++ {
				_, err := s.ScheduleTogether(b.Context(), scheduler.Request{Resources: small()}, gangOf(fmt.Sprint("s", i, "-"), n), sqlstore.Options{}, nil)
				require.NoError(b, err)
			}
		})
	}
}
