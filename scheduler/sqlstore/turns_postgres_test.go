package sqlstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

func TestTransactionsOfOthersThatLastHoldUpNoClaim(t *testing.T) {
	storetest.Each(t, nil, []store.Migrations{sqlstore.Migrations()}, func(t *testing.T, db *store.DB) {
		if !db.Postgres() {
			return // has one writer
		}
		// More processes than this one, so that it has few turns.
		for range 7 {
			other, err := store.Open(t.Context(), storetest.PostgresURL(t), store.Options{})
			require.NoError(t, err)
			t.Cleanup(func() { _ = other.Close() })
		}
		s := newStore(t, db, nephos.WallClock{})
		for i := range 20 {
			require.NoError(t, s.PutHost(t.Context(), testHost(fmt.Sprintf("h%d", i), 100, 1<<20)))
		}
		claim := func(id string, commit func()) error {
			_, err := s.Schedule(t.Context(), scheduler.Request{ID: id, Resources: scheduler.Resources{scheduler.VCPU: 1}},
				sqlstore.Options{Consumer: sqlstore.Consumer{ID: id, ProjectID: "p", UserID: "u"}},
				func(context.Context, *store.Tx, scheduler.HostRef) error { commit(); return nil })
			return err
		}
		goOn, arrived := make(chan struct{}), make(chan struct{}, 1000)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if err := claim(fmt.Sprintf("slow%d", i), func() { arrived <- struct{}{}; <-goOn }); err != nil {
					t.Error(err)
				}
			})
		}
		for range 8 {
			<-arrived
		}
		require.NoError(t, claim("quick", func() {}))
		close(goOn)
		wg.Wait()
		n := 0
		for i := range 20 {
			list, err := s.Claims(t.Context(), fmt.Sprintf("h%d", i))
			require.NoError(t, err)
			n += len(list)
		}
		require.Equal(t, 9, n)
	})
}
