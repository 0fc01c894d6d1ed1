package keystone

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity"
)

// self is a resource's own links.
type self struct {
	Self string `json:"self"`
}

// link returns the URL of a path below /v3.
func link(r *httpapi.Request, parts ...string) string {
	for i, p := range parts {
		if i > 0 {
			parts[i] = url.PathEscape(p)
		}
	}
	return r.Link("/v3/"+strings.Join(parts, "/"), nil)
}

// paging reads limit and marker. A limit that is no positive number is refused.
func paging(r *httpapi.Request) (nephos.Page, error) {
	q := r.URL.Query()
	p := nephos.Page{Marker: q.Get("marker")}
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return p, invalid("limit", "%s is not a non-negative integer", quoting.Repr(s))
		}
		p.Limit = n
	}
	return p, nil
}

// collection answers a list. Where more follows, it links to the next page,
// which begins after last.
func collection(r *httpapi.Request, name string, items any, more bool, last string) *httpapi.Response {
	here := r.Link(r.SelfPath(), nil)
	if r.URL.RawQuery != "" {
		here += "?" + r.URL.RawQuery
	}
	links := map[string]any{"self": here, "previous": nil, "next": nil}
	body := map[string]any{name: items, "links": links}
	if more {
		q := r.URL.Query()
		q.Set("marker", last)
		links["next"] = r.Link(r.SelfPath(), q)
		body["truncated"] = true
	}
	return httpapi.OK(body)
}

// matches reads the filters on a text attribute: name=, name__contains= and so
// on, with an i before the comparison to ignore case. Unknown comparisons are
// passed over, as in Keystone.
func matches(q url.Values, name string) []identity.Match {
	var all []identity.Match
	for _, v := range q[name] {
		all = append(all, identity.Match{Value: v})
	}
	for _, c := range comparisons {
		for _, v := range q[name+"__"+c.word] {
			all = append(all, identity.Match{Op: c.op, Value: v})
		}
		for _, v := range q[name+"__i"+c.word] {
			all = append(all, identity.Match{Op: c.op, Value: v, Fold: true})
		}
	}
	return all
}

var comparisons = []struct {
	word string
	op   identity.MatchOp
}{
	{"contains", identity.Contains},
	{"startswith", identity.StartsWith},
	{"endswith", identity.EndsWith},
	{"exact", identity.Equals},
}

// flagFilter reads a boolean filter as Keystone does: present without a value
// is true; 0, no, off, f, n and false in any case are false.
func flagFilter(q url.Values, name string) *bool {
	if !q.Has(name) {
		return nil
	}
	v := true
	switch strings.ToLower(q.Get(name)) {
	case "0", "false", "f", "no", "n", "off":
		v = false
	}
	return &v
}

// flagSet reads a switch in a query: present and not 0.
func flagSet(q url.Values, name string) bool { return q.Has(name) && q.Get(name) != "0" }

// mapped renders each item of a list.
func mapped[T, W any](items []T, f func(T) W) []W {
	out := make([]W, len(items))
	for i, it := range items {
		out[i] = f(it)
	}
	return out
}

// lastID returns the id of the last item of a list, "" of none.
func lastID[T any](items []T, id func(T) string) string {
	if len(items) == 0 {
		return ""
	}
	return id(items[len(items)-1])
}
