package identity

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// MatchOp is how a [Match] compares.
type MatchOp int

// The comparisons of the Identity API's list filters.
const (
	Equals     MatchOp = iota
	Contains           // name__contains
	StartsWith         // name__startswith
	EndsWith           // name__endswith
)

// Match is one condition on a text attribute of a list's items. Fold ignores
// the case of letters.
type Match struct {
	Op    MatchOp
	Value string
	Fold  bool
}

// Is returns the condition that an attribute equals a value.
func Is(value string) []Match { return []Match{{Value: value}} }

// where adds the conditions on a column to a query. The functions used mean the
// same on both databases.
func where(q *bun.SelectQuery, column string, matches []Match) *bun.SelectQuery {
	for _, m := range matches {
		col, v := bun.Safe(column), m.Value
		if m.Fold {
			col, v = bun.Safe("LOWER("+column+")"), strings.ToLower(v)
		}
		switch m.Op {
		case Contains:
			if v != "" {
				q = q.Where("REPLACE(?, ?, '') <> ?", col, v, col)
			}
		case StartsWith:
			q = q.Where("SUBSTR(?, 1, LENGTH(?)) = ?", col, v, v)
		case EndsWith:
			q = q.Where("LENGTH(?) >= LENGTH(?) AND SUBSTR(?, LENGTH(?) - LENGTH(?) + 1) = ?", col, v, col, col, v, v)
		default:
			q = q.Where("? = ?", col, v)
		}
	}
	return q
}

// page runs a list query in the order of ids, which is the only one that the
// Identity API knows, and reports whether more follow. A marker is the id after
// which the page begins, whether or not it still exists.
func page[T any](ctx context.Context, s *Service, q *bun.SelectQuery, rows *[]T, alias string, p nephos.Page) (bool, error) {
	column := bun.Safe(alias + ".id")
	limit := p.Limit
	if s.cfg.ListLimit > 0 && (limit == 0 || limit > s.cfg.ListLimit) {
		limit = s.cfg.ListLimit
	}
	if p.Marker != "" {
		q = q.Where("? > ?", column, p.Marker)
	}
	q = q.OrderExpr("? ASC", column)
	if limit > 0 {
		q = q.Limit(int64(limit) + 1)
	}
	if err := q.Scan(ctx); err != nil {
		return false, err
	}
	return store.More(rows, limit), nil
}

// one scans a query for a single row; false when there is none.
func one(ctx context.Context, q *bun.SelectQuery) (bool, error) {
	switch err := q.Limit(1).Scan(ctx); {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, nil
}
