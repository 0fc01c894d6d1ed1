package blockstorage

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// fieldKind is how a filter's value is read.
type fieldKind int

const (
	text fieldKind = iota
	boolean
	integer
	moment
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
		case f.kind == moment:
			at, ok := parseMoment(value)
			if !ok {
				return q.Where("1 = 0")
			}
			q = q.Where("? = ?", l.column(f.expr), at)
		case f.kind == boolean:
			q = q.Where("? = ?", l.column(f.expr), value == "true")
		default:
			q = q.Where("? = ?", l.column(f.expr), value)
		}
	}
	return q
}

// parseMoment reads a time as the API writes times, and as databases do.
func parseMoment(s string) (time.Time, bool) {
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", time.RFC3339Nano, time.DateOnly} {
		if at, err := time.Parse(layout, strings.TrimSpace(s)); err == nil && at.Year() > 0 {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
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
	if len(p.Sort) == 0 {
		p.Sort = []nephos.SortKey{{Key: "created_at", Desc: true}}
	}
	order := store.Keyset{Table: l.table, Alias: l.alias, Missing: l.missing}
	for _, k := range p.Sort {
		f, ok := l.fields[k.Key]
		if !ok {
			return nil, badRequest("Invalid input received: Invalid sort key")
		}
		order.Keys = append(order.Keys, store.Key{Expr: f.expr, Desc: k.Desc})
	}
	if !order.Has("@.id") {
		order.Keys = append(order.Keys, store.Key{Expr: "@.id", Desc: order.Keys[0].Desc})
	}
	q, err := order.Page(ctx, db, q, p)
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		if p.Limit <= 0 {
			q = q.Limit(1 << 40) // SQLite has no offset without a limit
		}
		q = q.Offset(int64(offset))
	}
	return q, nil
}

// find runs a list's query for one page and reports whether more follow.
func find[T any](ctx context.Context, db bun.IDB, l *listing, q *bun.SelectQuery, rows *[]T, p nephos.Page, offset int) (bool, error) {
	q, err := l.page(ctx, db, q, p, offset)
	if err != nil {
		return false, err
	}
	if err := q.Scan(ctx); err != nil {
		return false, err
	}
	return store.More(rows, p.Limit), nil
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
