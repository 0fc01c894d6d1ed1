package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"modernc.org/sqlite"
)

func TestValuesAreLiftedOutOfStatements(t *testing.T) {
	for _, tt := range []struct {
		query, text string
		values      []driver.Value
	}{
		{`SELECT a FROM t WHERE b = 'it''s' AND c IN ('x', '')`, `SELECT a FROM t WHERE b = ? AND c IN (?, ?)`, []driver.Value{"it's", "x", ""}},
		{`select "a'b" from t where c = 'd'`, `select "a'b" from t where c = ?`, []driver.Value{"d"}},
		{`INSERT INTO t2000 VALUES (X'00ff', x'', 12, 123456, -70000, 1.5, 12345.5, NULL)`, `INSERT INTO t2000 VALUES (?, X'', 12, ?, -?, 1.5, 12345.5, NULL)`, []driver.Value{[]byte{0, 255}, int64(123456), int64(70000)}},
		{`SELECT a LIKE '%\%' ESCAPE '\'`, `SELECT a LIKE ? ESCAPE ?`, []driver.Value{`%\%`, `\`}},
		{`SELECT 99999999999999999999, 0x1234, 12e45`, `SELECT 99999999999999999999, 0x1234, 12e45`, nil},
		{`SAVEPOINT job`, `SAVEPOINT job`, nil},
	} {
		text, args, ok := lift(tt.query)
		require.True(t, ok, tt.query)
		require.Equal(t, tt.text, text)
		var values []driver.Value
		for i, a := range args {
			require.Equal(t, i+1, a.Ordinal)
			values = append(values, a.Value)
		}
		require.Equal(t, tt.values, values)
	}
	for _, query := range []string{
		`CREATE TABLE t (a TEXT DEFAULT 'x')`, `PRAGMA user_version`, `SELECT ?`, `SELECT 'a`, `SELECT "a`, `SELECT 1; SELECT 2`,
		`SELECT 'a' -- b`, `SELECT /* ' */ 1`, `SELECT X'0'`, `SELECT ` + strings.Repeat(`'a', `, maxLifted) + `'b'`,
	} {
		_, _, ok := lift(query)
		require.False(t, ok, query)
	}
}

// FuzzLift: what is lifted is what SQLite itself would have read.
func FuzzLift(f *testing.F) {
	db, err := sql.Open("sqlite", "file::memory:")
	require.NoError(f, err)
	f.Cleanup(func() { db.Close() })
	for _, s := range []string{"", "'", "''", `\'`, "a'; DROP TABLE t; --", "?", "ä\x01"} {
		f.Add(s, []byte(s), int64(len(s)))
	}
	dialect := sqlitedialect.New()
	f.Fuzz(func(t *testing.T, s string, b []byte, n int64) {
		s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
		query := []byte("SELECT ")
		query = dialect.AppendString(query, s)
		query = append(query, " AS s, "...)
		query = dialect.AppendBytes(query, append([]byte{}, b...))
		query = append(query, " AS b, "...)
		query = strconv.AppendInt(query, n, 10)
		query = append(query, " AS n"...)
		text, args, ok := lift(string(query))
		require.True(t, ok)
		values := make([]any, len(args))
		for i, a := range args {
			values[i] = a.Value
		}
		type row struct {
			s string
			b []byte
			n int64
		}
		var plain, lifted row
		require.NoError(t, db.QueryRow(string(query)).Scan(&plain.s, &plain.b, &plain.n))
		require.NoError(t, db.QueryRow(text, values...).Scan(&lifted.s, &lifted.b, &lifted.n))
		require.Equal(t, plain, lifted)
		require.Equal(t, s, lifted.s)
	})
}

func TestStatementsAreKept(t *testing.T) {
	ctx := t.Context()
	base, err := sqlite.NewConnector("file:" + filepath.Join(t.TempDir(), "test.db"))
	require.NoError(t, err)
	db := sql.OpenDB(connector{base})
	defer db.Close()
	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	defer conn.Close()
	kept := func() int {
		n := 0
		require.NoError(t, conn.Raw(func(c any) error { n = len(c.(*liteConn).kept); return nil }))
		return n
	}
	_, err = conn.ExecContext(ctx, "CREATE TABLE t (a TEXT)")
	require.NoError(t, err)
	for _, a := range []string{"x", "y", "z"} {
		_, err = conn.ExecContext(ctx, "INSERT INTO t (a) VALUES ('"+a+"')")
		require.NoError(t, err)
	}
	require.Equal(t, 1, kept())

	// The same statement twice at a time, the first half read.
	outer, err := conn.QueryContext(ctx, "SELECT a FROM t WHERE a >= 'x' ORDER BY a")
	require.NoError(t, err)
	require.True(t, outer.Next())
	inner, err := conn.QueryContext(ctx, "SELECT a FROM t WHERE a >= 'z' ORDER BY a")
	require.NoError(t, err)
	var a string
	require.True(t, inner.Next())
	require.NoError(t, inner.Scan(&a))
	require.Equal(t, "z", a)
	require.NoError(t, inner.Close())
	require.True(t, outer.Next())
	require.NoError(t, outer.Scan(&a))
	require.Equal(t, "y", a)
	require.NoError(t, outer.Close())
	require.Equal(t, 2, kept())

	// A table that has changed since.
	_, err = conn.ExecContext(ctx, "ALTER TABLE t ADD COLUMN b TEXT DEFAULT 'new'")
	require.NoError(t, err)
	rows, err := conn.QueryContext(ctx, "SELECT * FROM t WHERE a = 'x'")
	require.NoError(t, err)
	columns, err := rows.Columns()
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, columns)
	require.NoError(t, rows.Close())

	// There is an end to what is kept, and what is wrong says so.
	for i := range 2 * maxStatements {
		_, err := conn.ExecContext(ctx, "SELECT a AS a"+strings.Repeat("a", i)+" FROM t")
		require.NoError(t, err)
	}
	require.Equal(t, maxStatements, kept())
	_, err = conn.ExecContext(ctx, "SELECT 'x' FROM nowhere")
	require.ErrorContains(t, err, "no such table")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = conn.ExecContext(ended, "SELECT a FROM t")
	require.ErrorIs(t, err, context.Canceled)
}
