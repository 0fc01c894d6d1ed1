package cinder

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos/httpapi"
)

// The functions here read members of a body that was checked.

func member(o object, name string) object {
	m, _ := o[name].(object)
	return m
}

func textOf(o object, name string) string {
	s, _ := o[name].(string)
	return s
}

// nullText returns a text, nil when it is absent or null.
func nullText(o object, names ...string) *string {
	for _, n := range names {
		if s, ok := o[n].(string); ok {
			s = strings.TrimSpace(s)
			return &s
		}
	}
	return nil
}

// changedText returns what an update makes of a text: nil to leave it.
func changedText(o object, names ...string) **string {
	for _, n := range names {
		if _, ok := o[n]; ok {
			s := nullText(o, n)
			return &s
		}
	}
	return nil
}

func boolOf(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case string:
		b, _ := httpapi.ParseBool(v)
		return b
	}
	return false
}

func intOf(v any) int {
	switch v := v.(type) {
	case json.Number:
		f, _ := v.Float64()
		return int(f)
	case string:
		n, _ := strconv.Atoi(v)
		return n
	}
	return 0
}

// pairsOf returns an object of texts; nil when it is absent or null.
func pairsOf(o object, name string) map[string]string {
	m, ok := o[name].(object)
	if !ok {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k], _ = v.(string)
	}
	return out
}

// orNull is an optional text on the wire.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// stamp is a time on the wire.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000") }

func nullStamp(t *time.Time) any {
	if t == nil {
		return nil
	}
	return stamp(*t)
}

// links are a resource's own links.
func links(r *httpapi.Request, collection, id string) []httpapi.Link {
	project := r.PathValue("project_id")
	if project != "" {
		project = "/" + project
	}
	path := project + "/" + collection + "/" + id
	return []httpapi.Link{{Rel: "self", Href: r.Link("/v3"+path, nil)}, {Rel: "bookmark", Href: r.Link(path, nil)}}
}
