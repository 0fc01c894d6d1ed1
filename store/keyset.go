package store

import (
	"context"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
)

// Keyset is the order of a list whose pages begin after a row that is named, the
// marker, so that a page costs the same wherever it begins and rows that come or
// go meanwhile shift nothing.
type Keyset struct {
	Table, Alias string // of the rows, and in the list's query
	// Keys are what the rows are ordered by. Together they must tell any two rows
	// apart, as those that end with the id do.
	Keys []Key
	// ID is the column that the marker is in; empty is "id". Among are further
	// columns with the values that the marker's row has in them, where ID alone
	// does not name it.
	ID    string
	Among map[string]any
	// Missing is the error for a marker that names no row.
	Missing func(marker string) error
}

// Key is one key of an order.
type Key struct {
	// Expr is an SQL expression that is never NULL. "@" in it stands for the table.
	Expr string
	Desc bool
}

func (k Key) of(alias string) bun.Safe { return bun.Safe(strings.ReplaceAll(k.Expr, "@", alias)) }

// Page has a list's query begin after p.Marker, ordered, and with a limit of one
// more than p.Limit, for [More]; no limit is 0. p.Sort is what the caller has made
// the keys of.
func (k Keyset) Page(ctx context.Context, db bun.IDB, q *bun.SelectQuery, p nephos.Page) (*bun.SelectQuery, error) {
	if p.Marker != "" {
		n, err := k.marked(db, p.Marker).Count(ctx)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, k.Missing(p.Marker)
		}
		q = q.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery { return k.after(db, q, p.Marker) })
	}
	for _, key := range k.Keys {
		dir := "ASC"
		if key.Desc {
			dir = "DESC"
		}
		q = q.OrderExpr("? ?", key.of(k.Alias), bun.Safe(dir))
	}
	if p.Limit > 0 {
		q = q.Limit(int64(p.Limit) + 1)
	}
	return q, nil
}

// ReadPage reads the page that [Keyset.Page] leaves of a list's query, whose model
// rows is, and reports whether more follow.
func ReadPage[T any](ctx context.Context, db bun.IDB, k Keyset, q *bun.SelectQuery, rows *[]T, p nephos.Page) (more bool, err error) {
	if q, err = k.Page(ctx, db, q, p); err != nil {
		return false, err
	}
	if err := q.Scan(ctx); err != nil {
		return false, err
	}
	return More(rows, p.Limit), nil
}

// marked is a query for the marker's row.
func (k Keyset) marked(db bun.IDB, marker string) *bun.SelectQuery {
	id := k.ID
	if id == "" {
		id = "id"
	}
	q := db.NewSelect().TableExpr("? AS mark", bun.Ident(k.Table)).Where("mark.? = ?", bun.Ident(id), marker)
	for column, v := range k.Among {
		q = q.Where("mark.? = ?", bun.Ident(column), v)
	}
	return q
}

// after leaves the rows after the marker: those beyond it by the first key, or
// equal by that and beyond by the second, and so on. The database knows the
// marker's values itself.
func (k Keyset) after(db bun.IDB, q *bun.SelectQuery, marker string) *bun.SelectQuery {
	for i := range k.Keys {
		q = q.WhereGroup(" OR ", func(q *bun.SelectQuery) *bun.SelectQuery {
			for j, key := range k.Keys[:i+1] {
				op := "="
				switch {
				case j == i && key.Desc:
					op = "<"
				case j == i:
					op = ">"
				}
				q = q.Where("? ? (?)", key.of(k.Alias), bun.Safe(op), k.marked(db, marker).ColumnExpr("?", key.of("mark")))
			}
			return q
		})
	}
	return q
}

// Has reports whether an expression is among the keys.
func (k Keyset) Has(expr string) bool {
	return slices.ContainsFunc(k.Keys, func(key Key) bool { return key.Expr == expr })
}

// More cuts a page that was read with one row more than its limit, and reports
// whether that row was there.
func More[T any](rows *[]T, limit int) bool {
	if limit <= 0 || len(*rows) <= limit {
		return false
	}
	*rows = (*rows)[:limit]
	return true
}
