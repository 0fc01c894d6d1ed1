package sqlstore_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
)

// A host where builds fail is avoided until one succeeds, and builds under way
// are counted.
func TestBuildsAreWatched(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		ctx, s := t.Context(), newStore(t, db, c)
		require.NoError(t, s.PutHost(ctx, testHost("large", 8, 65536)))
		require.NoError(t, s.PutHost(ctx, testHost("small", 8, 8192)))
		boot := func(id string) string {
			d, err := s.Schedule(ctx, scheduler.Request{ID: id, Resources: small()},
				sqlstore.Options{Consumer: sqlstore.Consumer{ID: id, ProjectID: "p", UserID: "u"}, Building: true}, nil)
			require.NoError(t, err)
			return d.Choices[0].Host.ID
		}
		ended := func(id, host string, ok bool) {
			require.NoError(t, db.Tx(ctx, func(_ context.Context, tx *store.Tx) error {
				s.BuildEnded(tx, id, host, ok)
				return nil
			}))
		}
		host := func(id string) scheduler.Host {
			h, err := s.Host(ctx, id)
			require.NoError(t, err)
			return h
		}
		require.Equal(t, "large", boot("s1"))
		require.Equal(t, 1, host("large").NumIOOps)
		ended("s1", "large", false)
		require.Equal(t, 1, host("large").FailedBuilds)
		require.Zero(t, host("large").NumIOOps)
		require.Equal(t, "small", boot("s2"), "the larger host is where nothing runs")
		require.NoError(t, db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error { return s.Release(ctx, tx, "s2") }))
		require.Zero(t, host("small").NumIOOps, "a server that is deleted builds no more")

		ended("s3", "large", true)
		require.Equal(t, "large", boot("s4"))
		require.NoError(t, s.PutHost(ctx, testHost("large", 9, 65536)))
		require.Equal(t, 1, host("large").NumIOOps, "it stays so when the host is put again")
	})
}
