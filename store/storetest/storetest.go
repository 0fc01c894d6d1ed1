// Package storetest opens throw-away databases for tests: a SQLite file without
// syncing, and a schema of its own in the PostgreSQL server that NEPHOS_POSTGRES
// names (make test starts one).
package storetest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Open returns a migrated SQLite database that goes with the test.
func Open(t testing.TB, clock nephos.Clock, sets ...store.Migrations) *store.DB {
	t.Helper()
	return open(t, "sqlite:"+filepath.Join(t.TempDir(), "nephos.db"), clock, sets)
}

// Each runs the test on both databases. The PostgreSQL half is skipped, and
// says so, when NEPHOS_POSTGRES does not name a server.
func Each(t *testing.T, clock nephos.Clock, sets []store.Migrations, f func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, Open(t, clock, sets...)) })
	t.Run("postgres", func(t *testing.T) { f(t, open(t, PostgresURL(t), clock, sets)) })
}

// PostgresURL makes a schema in the server that NEPHOS_POSTGRES names and
// returns a URL that opens it; the schema goes with the test.
func PostgresURL(t testing.TB) string {
	t.Helper()
	server := os.Getenv("NEPHOS_POSTGRES")
	if server == "" {
		t.Skip("no PostgreSQL: NEPHOS_POSTGRES is not set (make test starts a server and sets it)")
	}
	schema := "t" + nephos.IDs{}.Hex()
	exec := func(statement string) {
		db, err := sql.Open("pgx", server)
		require.NoError(t, err)
		defer db.Close()
		_, err = db.ExecContext(context.Background(), statement)
		require.NoError(t, err)
	}
	exec("CREATE SCHEMA " + schema)
	t.Cleanup(func() { exec(fmt.Sprintf("DROP SCHEMA %s CASCADE", schema)) })
	u, err := url.Parse(server)
	require.NoError(t, err)
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

func open(t testing.TB, rawURL string, clock nephos.Clock, sets []store.Migrations) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), rawURL, store.Options{Clock: clock, NoSync: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(context.Background(), sets...))
	return db
}
