package network

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Filter narrows a list: by the name of an attribute in the Networking API, the
// values of which an item must have one. The attributes that can be filtered by
// are those of the resource in the API reference; another is ErrInvalid.
type Filter map[string][]string

// fieldKind is how a filter's value is read.
type fieldKind int

const (
	text fieldKind = iota
	boolean
	integer
)

// field is an attribute that a list can be filtered and sorted by.
type field struct {
	column   string // in SQL; empty: not sortable
	kind     fieldKind
	unsorted bool
	where    func(q *bun.SelectQuery, values []string) (*bun.SelectQuery, error)
}

// listing is what a resource's list knows of its table.
type listing struct {
	table, alias string
	fields       map[string]field
	missing      func(id string) error // the error for a marker that is not there
}

// sortable returns the attributes that the list can be sorted by.
func (l *listing) sortable() []string {
	var names []string
	for n, f := range l.fields {
		if f.column != "" && !f.unsorted {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// SortKeys returns the attributes by which a resource's list (network, subnet,
// port …) can be sorted.
func SortKeys(resource string) []string {
	if l := listings[resource]; l != nil {
		return l.sortable()
	}
	return nil
}

// FilterNames returns the attributes by which a resource's list can be filtered.
func FilterNames(resource string) []string {
	var names []string
	if l := listings[resource]; l != nil {
		for n := range l.fields {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// maxFilterValues bounds how many values one attribute is compared with.
const maxFilterValues = 1000

// filter adds the conditions.
func (l *listing) filter(q *bun.SelectQuery, f Filter) (*bun.SelectQuery, error) {
	var unknown []string
	for name := range f {
		if _, ok := l.fields[name]; !ok {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, nephos.Errorf(nephos.ErrInvalid, "['%s'] is invalid attribute for filtering", strings.Join(unknown, "', '")).
			WithReason("HTTPBadRequest").WithField(unknown[0])
	}
	var err error
	for name, values := range f {
		if len(values) > maxFilterValues {
			return nil, badRequest("filter", "at most %d values of %s are compared", maxFilterValues, name)
		}
		fd := l.fields[name]
		switch {
		case fd.where != nil:
			if q, err = fd.where(q, values); err != nil {
				return nil, err
			}
		case fd.kind == boolean:
			bools := make([]bool, len(values))
			for i, v := range values {
				if bools[i], err = parseBool(v); err != nil {
					return nil, err
				}
			}
			q = q.Where("? IN (?)", bun.Safe(fd.column), bun.List(bools))
		case fd.kind == integer:
			ints := make([]int64, len(values))
			for i, v := range values {
				if ints[i], err = strconv.ParseInt(v, 10, 64); err != nil {
					return nil, invalidInput(name, "'%s' is not an integer", v)
				}
			}
			q = q.Where("? IN (?)", bun.Safe(fd.column), bun.List(ints))
		case len(values) == 1:
			q = q.Where("? = ?", bun.Safe(fd.column), values[0])
		default:
			q = q.Where("? IN (?)", bun.Safe(fd.column), bun.List(values))
		}
	}
	return q, nil
}

func parseBool(v string) (bool, error) {
	switch strings.ToLower(v) {
	case "true", "1", "t", "on", "y", "yes":
		return true, nil
	case "false", "0", "f", "off", "n", "no":
		return false, nil
	}
	return false, invalidInput("", "'%s' cannot be converted to boolean", v)
}

// page adds order, marker and limit.
func (l *listing) page(ctx context.Context, db bun.IDB, q *bun.SelectQuery, p nephos.Page) (*bun.SelectQuery, error) {
	order := store.Keyset{Table: l.table, Alias: l.alias, Missing: l.missing}
	for _, k := range p.Sort {
		f, ok := l.fields[k.Key]
		if !ok || f.column == "" || f.unsorted {
			return nil, nephos.Errorf(nephos.ErrInvalid, "['%s'] is invalid attribute for sort_keys", k.Key).WithReason("HTTPBadRequest")
		}
		order.Keys = append(order.Keys, store.Key{Expr: strings.Replace(f.column, l.alias+".", "@.", 1), Desc: k.Desc != p.Reverse})
	}
	if !order.Has("@.id") {
		order.Keys = append(order.Keys, store.Key{Expr: "@.id", Desc: p.Reverse})
	}
	return order.Page(ctx, db, q, p)
}

// find runs a list query and reports whether more follow.
func find[T any](ctx context.Context, db bun.IDB, l *listing, q *bun.SelectQuery, rows *[]T, f Filter, p nephos.Page) (bool, error) {
	q, err := l.filter(q, f)
	if err != nil {
		return false, err
	}
	if q, err = l.page(ctx, db, q, p); err != nil {
		return false, err
	}
	if err := q.Scan(ctx); err != nil {
		return false, err
	}
	more := store.More(rows, p.Limit)
	if p.Reverse {
		slices.Reverse(*rows)
	}
	return more, nil
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

// metaFields are the attributes that all lists have.
func metaFields(alias string, more map[string]field) map[string]field {
	fields := map[string]field{
		"id":              {column: alias + ".id"},
		"project_id":      {column: alias + ".project_id"},
		"tenant_id":       {column: alias + ".project_id"},
		"description":     {column: alias + ".description", unsorted: true},
		"revision_number": {column: alias + ".revision", kind: integer, unsorted: true},
		"tags":            {where: tagged(alias, " AND ", false)},
		"tags-any":        {where: tagged(alias, " OR ", false)},
		"not-tags":        {where: tagged(alias, " AND ", true)},
		"not-tags-any":    {where: tagged(alias, " OR ", true)},
		"changed_since":   {where: changedSince(alias)},
	}
	for n, f := range more {
		fields[n] = f
	}
	return fields
}

// tagged finds tags in the JSON array that a row keeps its tags in.
func tagged(alias, join string, not bool) func(*bun.SelectQuery, []string) (*bun.SelectQuery, error) {
	return func(q *bun.SelectQuery, values []string) (*bun.SelectQuery, error) {
		var conditions []string
		var args []any
		for _, v := range values {
			for tag := range strings.SplitSeq(v, ",") {
				b, err := json.Marshal(tag)
				if err != nil {
					return nil, err
				}
				conditions = append(conditions, alias+".tags LIKE ? ESCAPE '!'")
				args = append(args, "%"+strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(string(b))+"%")
			}
		}
		where := "(" + strings.Join(conditions, join) + ")"
		if not {
			where = "NOT " + where
		}
		return q.Where(where, args...), nil
	}
}

// changedSince takes the API's changed_since, an ISO 8601 time in UTC.
func changedSince(alias string) func(*bun.SelectQuery, []string) (*bun.SelectQuery, error) {
	return func(q *bun.SelectQuery, values []string) (*bun.SelectQuery, error) {
		for _, v := range values {
			at, err := parseTime(v)
			if err != nil {
				return nil, invalidInput("changed_since", "The input %s must be in the following format: YYYY-MM-DDTHH:MM:SS[Z]", v)
			}
			q = q.Where("?.updated_at >= ?", bun.Safe(alias), at)
		}
		return q, nil
	}
}

// listings are the lists by resource. It is never written to.
var listings = map[string]*listing{
	"network": networkList, "subnet": subnetList, "port": portList, "security_group": groupList,
	"security_group_rule": ruleList, "router": routerList, "floatingip": floatingIPList,
}
