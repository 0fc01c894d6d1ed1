package cinder

import (
	"slices"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/httpapi"
)

// filters are the attributes that everybody may filter a list by, as
// /resource_filters shows them.
func filters() map[string][]string {
	return map[string][]string{
		"volume": {
			"name", "status", "metadata", "bootable", "migration_status", "availability_zone", "group_id", "size",
			"created_at", "updated_at", "consumes_quota",
		},
		"snapshot":    {"name", "status", "volume_id", "metadata", "availability_zone", "consumes_quota"},
		"attachment":  {"volume_id", "status", "instance_id", "attach_status"},
		"pool":        {"name", "volume_type"},
		"volume_type": {"is_public", "extra_specs"},
		"qos":         {"id", "name", "consumer"},
		"transfer":    {"id", "name", "volume_id"},
	}
}

// listing is what a query asks of a list.
type listing struct {
	page   nephos.Page
	offset int
	count  bool              // how many there are on all pages
	all    bool              // of all projects
	match  map[string]string // what is left
}

// readList reads a query. Filters that the resource does not have are refused
// from microversion 3.31, types' from 3.52, and passed over before; an admin may
// use any.
func (a *api) readList(r *httpapi.Request, resource, list string) (listing, error) {
	l := listing{match: map[string]string{}}
	var err error
	l.page, err = r.Page(httpapi.PageOptions{
		Style: httpapi.Cinder, SortKeys: blockstorage.SortKeys(resource), DefaultSort: []nephos.SortKey{{Key: "created_at", Desc: true}},
	})
	if err != nil {
		return l, err
	}
	if l.offset, err = r.Int("offset", 0, 0, maxInt); err != nil {
		return l, badRequest("offset must be an integer")
	}
	if since(r, "3.45") {
		if l.count, err = boolParam(r, "with_count"); err != nil {
			return l, err
		}
	}
	admin := a.Backends.IsAdmin(r.Context())
	if admin {
		if l.all, err = boolParam(r, "all_tenants"); err != nil {
			return l, err
		}
	}
	allowed := map[string]bool{}
	for _, f := range filters()[list] {
		allowed[f] = true
	}
	var unknown []string
	for name, values := range r.Query() {
		switch name {
		case "limit", "marker", "offset", "sort", "sort_key", "sort_dir", "all_tenants", "with_count":
			continue
		}
		if len(name) > 255 || len(values) == 0 || len(values[len(values)-1]) > 4096 || strings.ContainsRune(values[len(values)-1], 0) {
			return l, badRequest("Invalid filters %s are found in query options.", clip(name))
		}
		if !admin && !allowed[name] {
			unknown = append(unknown, clip(name))
			continue
		}
		l.match[name] = values[len(values)-1]
	}
	if len(unknown) > 0 && list == "transfer" {
		l.match[unknown[0]] = "" // nothing matches it, as in Cinder
		return l, nil
	}
	refusing := "3.31"
	if list == "volume_type" {
		refusing = "3.52"
	}
	if len(unknown) > 0 && since(r, refusing) {
		return l, badRequest("Invalid filters %s are found in query options.", strings.Join(unknown, ","))
	}
	return l, nil
}

// notBy refuses to sort by a key.
func (l *listing) notBy(key string) error {
	if slices.ContainsFunc(l.page.Sort, func(k nephos.SortKey) bool { return k.Key == key }) {
		return badRequest("Invalid input received: Invalid sort key")
	}
	return nil
}

// poolFilters refuses filters that pools do not have.
func poolFilters(r *httpapi.Request) error {
	var unknown []string
	for name := range r.Query() {
		if name != "detail" && !slices.Contains(filters()["pool"], name) {
			unknown = append(unknown, clip(name))
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return badRequest("Invalid filters %s are found in query options.", strings.Join(unknown, ","))
	}
	return nil
}

// take removes a filter and returns it.
func (l *listing) take(name string) (string, bool) {
	v, ok := l.match[name]
	delete(l.match, name)
	return v, ok
}

// takePairs removes a filter that is a dictionary and returns it.
func (l *listing) takePairs(name string) (map[string]string, error) {
	v, ok := l.take(name)
	if !ok {
		return nil, nil
	}
	pairs, ok := parsePairs(v)
	if !ok {
		pairs = map[string]string{"": v} // no resource has such a key
	}
	return pairs, nil
}

// takeQuota removes the filter by whether a resource counts against quotas,
// which all do. It reports false when none can match.
func (l *listing) takeQuota(r *httpapi.Request) (bool, error) {
	v, ok := l.take("consumes_quota")
	if !ok || !since(r, "3.65") {
		return true, nil
	}
	b, ok := httpapi.ParseBool(v)
	if !ok {
		return false, badRequest("Value '%s' for 'use_quota' is not a boolean.", clip(v))
	}
	return b, nil
}

func boolParam(r *httpapi.Request, name string) (bool, error) {
	s, ok := r.Param(name)
	if !ok {
		return false, nil
	}
	v, ok := httpapi.ParseBool(s)
	if !ok {
		return false, badRequest("Value '%s' for '%s' is not a boolean.", clip(s), name).(*nephos.Error).WithField(name)
	}
	return v, nil
}

// parsePairs reads a dictionary of texts as Python or JSON writes it:
// {'key': 'value', "other": u'value'}. Numbers and booleans count as their text.
func parsePairs(s string) (map[string]string, bool) {
	s = strings.TrimSpace(s)
	if len(s) < 2 || s[0] != '{' || s[len(s)-1] != '}' {
		return nil, false
	}
	s = strings.TrimSpace(s[1 : len(s)-1])
	out := map[string]string{}
	for s != "" {
		key, rest, ok := parseAtom(s, ':')
		if !ok {
			return nil, false
		}
		value, rest, ok := parseAtom(rest, ',')
		if !ok {
			return nil, false
		}
		out[key], s = value, rest
	}
	return out, true
}

// parseAtom reads a text up to the separator or the end.
func parseAtom(s string, sep byte) (atom, rest string, ok bool) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "u'") || strings.HasPrefix(s, `u"`) {
		s = s[1:]
	}
	if s == "" {
		return "", "", false
	}
	if quote := s[0]; quote == '\'' || quote == '"' {
		var b strings.Builder
		i := 1
		for ; i < len(s) && s[i] != quote; i++ {
			if s[i] == '\\' && i+1 < len(s) {
				i++
			}
			b.WriteByte(s[i])
		}
		if i >= len(s) {
			return "", "", false
		}
		rest = strings.TrimSpace(s[i+1:])
		if rest == "" {
			return b.String(), "", sep == ','
		}
		return b.String(), strings.TrimSpace(rest[1:]), rest[0] == sep
	}
	atom, rest, found := strings.Cut(s, string(sep))
	atom = strings.TrimSpace(atom)
	return atom, strings.TrimSpace(rest), (found || sep == ',') && atom != "" && !strings.ContainsAny(atom, `'"{}`)
}

// times reads a filter such as gt:2020-01-01T00:00:00,lte:2021-01-01.
func times(field, value string) ([]blockstorage.TimeMatch, error) {
	var out []blockstorage.TimeMatch
	for part := range strings.SplitSeq(value, ",") {
		op, text, _ := strings.Cut(part, ":")
		switch op {
		case "gt", "gte", "eq", "neq", "lt", "lte":
		default:
			return nil, badRequest("Invalid %s operator", clip(op))
		}
		at, ok := parseTime(text)
		if !ok {
			return nil, badRequest("Invalid %s value", clip(text))
		}
		out = append(out, blockstorage.TimeMatch{Field: field, Op: op, Value: at})
	}
	return out, nil
}

func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// pageOf answers a list with its links and, where asked for, its count.
func pageOf[T any](r *httpapi.Request, l listing, name, linksName string, items []T, id func(T) string, view func(T) (object, error), count *int) (*httpapi.Response, error) {
	out := make([]object, len(items))
	for i, it := range items {
		var err error
		if out[i], err = view(it); err != nil {
			return nil, err
		}
	}
	o := object{name: out}
	if len(items) > 0 {
		if ls := httpapi.PageLinks(r, httpapi.Cinder, l.page, len(items), id(items[0]), id(items[len(items)-1])); ls != nil {
			o[linksName] = ls
		}
	}
	if count != nil {
		o["count"] = *count
	}
	return httpapi.OK(o), nil
}
