package blockstorage

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
)

// fieldKind is how a filter's value is read.
type fieldKind int

const (
	text fieldKind = iota
	boolean
	integer
)

// field is an attribute that a list can be filtered and sorted by: an
// expression over the columns of the table, whose alias is written "@".
type field struct {
	expr string
	kind fieldKind
}

// listing is what a resource's list knows of its table.
type listing struct {
	table, alias string
	fields       map[string]field
	missing      func(id string) error // the error for a marker that is not there
}

func (l *listing) column(expr string) bun.Safe {
	return bun.Safe(strings.ReplaceAll(expr, "@", l.alias))
}

// filter adds the conditions of one attribute each.
func (l *listing) filter(q *bun.SelectQuery, match map[string]string) *bun.SelectQuery {
	for name, value := range match {
		base, like := strings.CutSuffix(name, "~")
		f, ok := l.fields[base]
		switch {
		case !ok:
			return q.Where("1 = 0")
		case like && f.kind == text:
			q = q.Where("LOWER(?) LIKE LOWER(?) ESCAPE '!'", l.column(f.expr), "%"+likeText(value)+"%")
		case f.kind == integer:
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				return q.Where("1 = 0")
			}
			q = q.Where("? = ?", l.column(f.expr), n)
		case f.kind == boolean:
			q = q.Where("? = ?", l.column(f.expr), value == "true")
		default:
			q = q.Where("? = ?", l.column(f.expr), value)
		}
	}
	return q
}

func likeText(s string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(s)
}

// having adds the condition that a JSON object in a column holds the pairs.
func (l *listing) having(q *bun.SelectQuery, column string, pairs map[string]string) (*bun.SelectQuery, error) {
	for k, v := range pairs {
		pair, err := json.Marshal(map[string]string{k: v})
		if err != nil {
			return nil, err
		}
		// Commas around the pairs tell a whole pair from a part of another; the
		// quotes inside a value are escaped, so that it cannot look like one.
		pat := "," + string(pair[1:len(pair)-1]) + ","
		c := l.column("(',' || SUBSTR(@." + column + ", 2, LENGTH(@." + column + ") - 2) || ',')")
		q = q.Where("LENGTH(REPLACE(?, ?, '')) < LENGTH(?)", c, pat, c)
	}
	return q, nil
}

// page adds order, marker, offset and limit.
func (l *listing) page(ctx context.Context, db bun.IDB, q *bun.SelectQuery, p nephos.Page, offset int) (*bun.SelectQuery, error) {
	type key struct {
		expr string
		desc bool
	}
	if len(p.Sort) == 0 {
		p.Sort = []nephos.SortKey{{Key: "created_at", Desc: true}}
	}
	var keys []key
	for _, k := range p.Sort {
		f, ok := l.fields[k.Key]
		if !ok {
			return nil, badRequest("Invalid input received: Invalid sort key")
		}
		keys = append(keys, key{f.expr, k.Desc})
	}
	if !slices.ContainsFunc(keys, func(k key) bool { return k.expr == "@.id" }) {
		keys = append(keys, key{"@.id", keys[0].desc})
	}
	if p.Marker != "" {
		n, err := db.NewSelect().Table(l.table).Where("id = ?", p.Marker).Count(ctx)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, l.missing(p.Marker)
		}
		// The rows after the marker: those beyond it by the first key, or equal by
		// that and beyond by the second, and so on.
		q = q.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
			for i := range keys {
				q = q.WhereGroup(" OR ", func(q *bun.SelectQuery) *bun.SelectQuery {
					for j, e := range keys[:i+1] {
						op := "="
						if j == i {
							op = ">"
							if e.desc {
								op = "<"
							}
						}
						q = q.Where("? ? (SELECT ? FROM ? AS mark WHERE mark.id = ?)", l.column(e.expr), bun.Safe(op),
							bun.Safe(strings.ReplaceAll(e.expr, "@", "mark")), bun.Safe(l.table), p.Marker)
					}
					return q
				})
			}
			return q
		})
	}
	for _, k := range keys {
		dir := "ASC"
		if k.desc {
			dir = "DESC"
		}
		q = q.OrderExpr("? ?", l.column(k.expr), bun.Safe(dir))
	}
	if p.Limit > 0 {
		q = q.Limit(int64(p.Limit) + 1)
	}
	if offset > 0 {
		if p.Limit <= 0 {
			q = q.Limit(1 << 40) // SQLite has no offset without a limit
		}
		q = q.Offset(int64(offset))
	}
	return q, nil
}

// more cuts a page to its limit and reports whether something follows.
func more[T any](rows *[]T, limit int) bool {
	if limit <= 0 || len(*rows) <= limit {
		return false
	}
	*rows = (*rows)[:limit]
	return true
}

// SortKeys returns the attributes by which the list of a resource (volume,
// snapshot, attachment, type, qos, transfer) can be sorted.
func SortKeys(resource string) []string {
	var l *listing
	switch resource {
	case "volume":
		l = volumeList()
	case "snapshot":
		l = snapshotList()
	case "attachment":
		l = attachmentList()
	case "type":
		l = typeList()
	case "qos":
		l = qosList()
	case "transfer":
		l = transferList()
	default:
		return nil
	}
	names := make([]string, 0, len(l.fields))
	for n := range l.fields {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
