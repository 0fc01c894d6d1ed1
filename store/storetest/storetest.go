// Package storetest opens throw-away databases for tests: a SQLite file without
// syncing, and a schema of its own in the PostgreSQL server that NEPHOS_POSTGRES
// names (make test starts one).
package storetest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Open returns a migrated SQLite database that goes with the test.
func Open(t testing.TB, clock nephos.Clock, sets ...store.Migrations) *store.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nephos.db")
	require.NoError(t, os.WriteFile(path, migrated(t, sets), 0o600))
	return open(t, "sqlite:"+path, clock, sets)
}

// templates are the bytes of freshly migrated databases: a test that needs many
// pays for the migrations once.
var templates struct {
	sync.Mutex
	by map[string][]byte
}

func migrated(t testing.TB, sets []store.Migrations) []byte {
	t.Helper()
	hash := sha256.New()
	for _, set := range sets {
		fmt.Fprintln(hash, set.Service)
		require.NoError(t, fs.WalkDir(set.FS, ".", func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			text, err := fs.ReadFile(set.FS, path)
			fmt.Fprintf(hash, "%q %q\n", path, text)
			return err
		}))
	}
	key := string(hash.Sum(nil))
	templates.Lock()
	defer templates.Unlock()
	if b, ok := templates.by[key]; ok {
		return b
	}
	path := filepath.Join(t.TempDir(), "template.db")
	db, err := store.Open(t.Context(), "sqlite:"+path, store.Options{NoSync: true})
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context(), sets...))
	require.NoError(t, db.Close())
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	if templates.by == nil {
		templates.by = map[string][]byte{}
	}
	templates.by[key] = b
	return b
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
