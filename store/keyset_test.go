package store_test

import (
	"context"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

func TestPagesGoOnAfterTheMarker(t *testing.T) {
	tables := store.Migrations{Service: "thing", FS: fstest.MapFS{"0001_thing.sql": {Data: []byte(
		"CREATE TABLE things (owner VARCHAR(8) NOT NULL, id VARCHAR(8) NOT NULL, size BIGINT, PRIMARY KEY (owner, id))",
	)}}}
	storetest.Each(t, nil, []store.Migrations{tables}, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		require.NoError(t, db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
			for i := range 7 {
				for _, owner := range []string{"a", "b"} {
					size := any(i % 3)
					if i == 4 {
						size = nil
					}
					if _, err := tx.NewRaw("INSERT INTO things (owner, id, size) VALUES (?, ?, ?)", owner, fmt.Sprint("t", i), size).Exec(ctx); err != nil {
						return err
					}
				}
			}
			return nil
		}))
		missing := nephos.NotFound("Thing", "x")
		for want, desc := range map[string][2]bool{
			"t4 t0 t3 t6 t1 t2 t5 ": {false, false},
			"t4 t6 t3 t0 t1 t5 t2 ": {false, true},
			"t5 t2 t1 t6 t3 t0 t4 ": {true, true},
		} {
			order := store.Keyset{
				Table: "things", Alias: "thing", Among: map[string]any{"owner": "a"}, Missing: func(string) error { return missing },
				Keys: []store.Key{{Expr: "COALESCE(@.size, -1)", Desc: desc[0]}, {Expr: "@.id", Desc: desc[1]}},
			}
			require.True(t, order.Has("@.id"))
			require.False(t, order.Has("@.size"))
			for limit := range 9 {
				got, marker := "", ""
				for more := true; more; {
					var ids []string
					q := db.Reader().NewSelect().TableExpr("things AS thing").Column("thing.id").Where("thing.owner = 'a'")
					q, err := order.Page(ctx, db.Reader(), q, nephos.Page{Limit: limit, Marker: marker})
					require.NoError(t, err)
					require.NoError(t, q.Scan(ctx, &ids))
					more = store.More(&ids, limit)
					for _, marker = range ids {
						got += marker + " "
					}
				}
				require.Equal(t, want, got, "%d at a time", limit)
			}
			_, err := order.Page(ctx, db.Reader(), db.Reader().NewSelect(), nephos.Page{Marker: "x"})
			require.ErrorIs(t, err, missing)
		}
	})
}
