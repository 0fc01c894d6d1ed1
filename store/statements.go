package store

import (
	"context"
	"database/sql/driver"
	"encoding/hex"
	"reflect"
	"strconv"
	"strings"
)

// SQLite compiles a statement before it runs it, which for short statements
// costs more than running them. bun writes values into the text, so that hardly
// two texts are the same; these connections take the values out again and keep
// what was compiled.

// maxStatements is how many compiled statements a connection keeps.
const maxStatements = 300

// maxLifted is how many values a statement may have to be kept: those with more
// are lists, whose lengths differ.
const maxLifted = 200

// connector opens connections that keep compiled statements.
type connector struct{ driver.Connector }

// Connect implements [driver.Connector].
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &liteConn{sqliteConn: inner.(sqliteConn), kept: map[string]liteStmt{}}, nil
}

// sqliteConn is what the SQLite driver's connections can do.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type liteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type liteRows interface {
	driver.Rows
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeScanType
}

// liteConn is a connection with its compiled statements. database/sql lets one
// goroutine at a time use it.
type liteConn struct {
	sqliteConn
	kept map[string]liteStmt // those that nobody uses just now
}

// Close implements [driver.Conn].
func (c *liteConn) Close() error {
	for _, s := range c.kept {
		_ = s.Close()
	}
	c.kept = nil
	return c.sqliteConn.Close()
}

// ExecContext implements [driver.ExecerContext].
func (c *liteConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, text, lifted, err := c.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	defer c.keep(text, s)
	// Short as statements are, a watch over each costs more than it saves.
	return s.ExecContext(context.WithoutCancel(ctx), lifted)
}

// QueryContext implements [driver.QueryerContext].
func (c *liteConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, text, lifted, err := c.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	rows, err := s.QueryContext(context.WithoutCancel(ctx), lifted)
	if err != nil {
		c.keep(text, s)
		return nil, err
	}
	return &keptRows{liteRows: rows.(liteRows), done: func() { c.keep(text, s) }}, nil
}

// statement returns the compiled statement for the query, with its text and its
// values; nil where the query is to be run as it is.
func (c *liteConn) statement(ctx context.Context, query string, args []driver.NamedValue) (liteStmt, string, []driver.NamedValue, error) {
	if err := ctx.Err(); err != nil || len(args) > 0 {
		return nil, "", nil, err
	}
	text, lifted, ok := lift(query)
	if !ok {
		return nil, "", nil, nil
	}
	if s := c.kept[text]; s != nil {
		delete(c.kept, text) // until its rows are closed
		return s, text, lifted, nil
	}
	s, err := c.PrepareContext(ctx, text)
	if err != nil {
		return nil, "", nil, nil // let the query itself say what is wrong
	}
	return s.(liteStmt), text, lifted, nil
}

func (c *liteConn) keep(text string, s liteStmt) {
	if c.kept == nil || c.kept[text] != nil {
		_ = s.Close()
		return
	}
	if len(c.kept) >= maxStatements {
		for t, old := range c.kept { // any: the used ones come back
			delete(c.kept, t)
			_ = old.Close()
			break
		}
	}
	c.kept[text] = s
}

// keptRows give their statement back when they are closed.
type keptRows struct {
	liteRows
	done func()
}

// Close implements [driver.Rows].
func (r *keptRows) Close() error {
	err := r.liteRows.Close()
	if r.done != nil {
		r.done()
		r.done = nil
	}
	return err
}

// ColumnTypeScanType implements [driver.RowsColumnTypeScanType].
func (r *keptRows) ColumnTypeScanType(i int) reflect.Type { return r.liteRows.ColumnTypeScanType(i) }

// lift replaces the values in a statement by placeholders and returns them. It
// says false for what is better run as it is: other statements than those that
// read or change rows, and texts with comments or placeholders of their own.
//
// Short numbers stay: they are part of the statement as a rule (ORDER BY 1,
// LIMIT 1), and SQLite plans with some of them.
func lift(query string) (string, []driver.NamedValue, bool) {
	if !liftable(query) {
		return query, nil, !strings.ContainsAny(query, ";?'") && isControl(query)
	}
	var out strings.Builder
	out.Grow(len(query))
	var args []driver.NamedValue
	add := func(v driver.Value) {
		out.WriteByte('?')
		args = append(args, driver.NamedValue{Ordinal: len(args) + 1, Value: v})
	}
	for i := 0; i < len(query); {
		switch b := query[i]; {
		case b == '\'':
			text, n, ok := quoted(query[i:])
			if !ok {
				return "", nil, false
			}
			add(text)
			i += n
		case (b == 'x' || b == 'X') && i+1 < len(query) && query[i+1] == '\'':
			text, n, ok := quoted(query[i+1:])
			blob, err := hex.DecodeString(text)
			if !ok || err != nil {
				return "", nil, false
			}
			if len(blob) == 0 {
				out.WriteString("X''")
			} else {
				add(blob)
			}
			i += 1 + n
		case b == '"' || b == '`':
			n := strings.IndexByte(query[i+1:], b)
			if n < 0 {
				return "", nil, false
			}
			out.WriteString(query[i : i+n+2])
			i += n + 2
		case letter(b):
			j := i + 1
			for j < len(query) && (letter(query[j]) || digit(query[j])) {
				j++
			}
			out.WriteString(query[i:j])
			i = j
		case digit(b):
			j := i + 1
			for j < len(query) && (letter(query[j]) || digit(query[j]) || query[j] == '.') {
				j++
			}
			n, err := strconv.ParseInt(query[i:j], 10, 64)
			if err == nil && j-i >= 4 && (i == 0 || query[i-1] != '.') {
				add(n)
			} else {
				out.WriteString(query[i:j])
			}
			i = j
		case b == '?' || b == ':' || b == '@' || b == '$' || b == '[' || b == ';',
			strings.HasPrefix(query[i:], "--"), strings.HasPrefix(query[i:], "/*"):
			return "", nil, false
		default:
			out.WriteByte(b)
			i++
		}
		if len(args) > maxLifted {
			return "", nil, false
		}
	}
	return out.String(), args, true
}

// quoted reads the string that the text begins with and returns it with how
// long it is as written.
func quoted(s string) (string, int, bool) {
	doubled := false
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			doubled = true
			i++
			continue
		}
		text := s[1:i]
		if doubled {
			text = strings.ReplaceAll(text, "''", "'")
		}
		return text, i + 1, true
	}
	return "", 0, false
}

func letter(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || b == '_' || b >= 0x80
}

func digit(b byte) bool { return '0' <= b && b <= '9' }

func liftable(query string) bool {
	query = strings.TrimLeft(query, " \t\n")
	for _, verb := range []string{"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"} {
		if len(query) > len(verb) && strings.EqualFold(query[:len(verb)], verb) {
			return true
		}
	}
	return false
}

// isControl reports whether the statement begins or ends (a part of) a
// transaction.
func isControl(query string) bool {
	switch query {
	case "BEGIN IMMEDIATE", "COMMIT", "SAVEPOINT job", "RELEASE job":
		return true
	}
	return false
}
