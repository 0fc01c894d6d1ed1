package neutron

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/network"
)

// resource is one kind of thing, and how it is listed, made and shown.
type resource[T any] struct {
	singular, plural string // on the wire: network, networks
	path             string // networks, security-groups
	attributes       map[string]attribute

	list   func(ctx context.Context, f network.Filter, p nephos.Page) ([]T, bool, error)
	show   func(ctx context.Context, id string) (T, error)
	create func(ctx context.Context, items []values) ([]T, error)
	update func(ctx context.Context, id string, v values) (T, error) // nil: it cannot be changed
	remove func(ctx context.Context, id string) error
	render func(ctx context.Context, t T) map[string]any
}

// crud returns the five routes of a resource.
func crud[T any](a *api, res resource[T]) []httpapi.Route {
	at := "/v2.0/" + res.path
	one := at + "/{id}"
	rules := func(verb string) []string { return []string{verb + "_" + res.singular} }
	routes := []httpapi.Route{
		{Pattern: "GET " + at, Rules: rules("get"), Handler: func(r *httpapi.Request) (*httpapi.Response, error) { return list(r, res) }},
		{Pattern: "POST " + at, Rules: rules("create"), Handler: func(r *httpapi.Request) (*httpapi.Response, error) { return create(r, res) }},
		{Pattern: "GET " + one, Rules: rules("get"), Wait: waitFor(res.singular), Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
			if err := knownFilters(r, network.FilterNames(res.singular)); err != nil {
				return nil, err
			}
			t, err := res.show(r.Context(), r.PathValue("id"))
			if err != nil {
				return nil, err
			}
			return httpapi.OK(map[string]any{res.singular: only(r, res.render(r.Context(), t))}), nil
		}},
		{Pattern: "DELETE " + one, Rules: rules("delete"), Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
			if err := ifMatch(r); err != nil {
				return nil, err
			}
			return httpapi.NoContent(), res.remove(r.Context(), r.PathValue("id"))
		}},
	}
	if res.update == nil {
		return routes
	}
	return append(routes, httpapi.Route{Pattern: "PUT " + one, Rules: rules("update"), Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
		if err := ifMatch(r); err != nil {
			return nil, err
		}
		items, _, err := decode(r, res.singular, res.plural, res.attributes, false)
		if core(res.singular) && isNoResource(err, res.singular) {
			if _, err := res.show(r.Context(), r.PathValue("id")); err != nil {
				return nil, err // what is not there is told first
			}
		}
		if err != nil {
			return nil, err
		}
		t, err := res.update(r.Context(), r.PathValue("id"), items[0])
		if err != nil {
			return nil, err
		}
		return httpapi.OK(map[string]any{res.singular: res.render(r.Context(), t)}), nil
	}})
}

// list answers a GET of a collection.
func list[T any](r *httpapi.Request, res resource[T]) (*httpapi.Response, error) {
	p, err := r.Page(httpapi.PageOptions{Style: httpapi.Neutron, MaxLimit: 100_000, SortKeys: network.SortKeys(res.singular)})
	if err != nil {
		var e *nephos.Error
		if errors.As(err, &e) && e.Field == "limit" {
			err = e.WithReason("BadRequest")
		}
		return nil, err
	}
	if limit, given := r.Param("limit"); !given || limit == "0" {
		p.Marker = "" // counts with a limit only
	}
	f := network.Filter{}
	for name, vs := range r.Query() {
		if slices.Contains(notFilters, name) {
			continue
		}
		if slices.ContainsFunc(vs, unwritable) || unwritable(name) {
			return nil, badRequest("The filter %s is not text", clip(strings.ReplaceAll(name, "\x00", ""), 64))
		}
		f[name] = vs
	}
	items, _, err := res.list(r.Context(), f, p)
	if err != nil {
		return nil, err
	}
	out := make([]map[string]any, len(items))
	first, last := "", ""
	for i, t := range items {
		m := res.render(r.Context(), t)
		last, _ = m["id"].(string)
		if i == 0 {
			first = last
		}
		out[i] = only(r, m)
	}
	body := map[string]any{res.plural: out}
	if links := httpapi.PageLinks(r, httpapi.Neutron, p, len(items), first, last); links != nil {
		body[res.plural+"_links"] = links
	}
	return httpapi.OK(body), nil
}

// knownFilters refuses parameters by which nothing can be filtered, in questions
// for one thing, too.
func knownFilters(r *httpapi.Request, names []string) error {
	var unknown []string
	for name := range r.Query() {
		if !slices.Contains(notFilters, name) && !slices.Contains(names, name) {
			unknown = append(unknown, clip(name, 255))
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return nephos.Errorf(nephos.ErrInvalid, "['%s'] is invalid attribute for filtering", strings.Join(unknown, "', '")).WithReason("HTTPBadRequest")
}

// unwritable reports text that a database would not take.
func unwritable(s string) bool { return !utf8.ValidString(s) || strings.ContainsRune(s, 0) }

// withID runs a handler unless the id in the path can be nobody's.
func withID(h httpapi.Handler) httpapi.Handler {
	return func(r *httpapi.Request) (*httpapi.Response, error) {
		if id := r.PathValue("id"); len(id) > 255 || unwritable(id) {
			return nil, nephos.Errorf(nephos.ErrNotFound, "The resource could not be found.").WithReason("HTTPNotFound")
		}
		return h(r)
	}
}

var notFilters = []string{"fields", "sort_key", "sort_dir", "limit", "marker", "page_reverse"}

// create answers a POST of one item or several.
func create[T any](r *httpapi.Request, res resource[T]) (*httpapi.Response, error) {
	items, bulk, err := decode(r, res.singular, res.plural, res.attributes, true)
	if err != nil {
		return nil, err
	}
	made, err := res.create(r.Context(), items)
	if err != nil {
		return nil, err
	}
	if !bulk {
		return httpapi.Created(map[string]any{res.singular: created(res, res.render(r.Context(), made[0]))}), nil
	}
	out := make([]map[string]any, len(made))
	for i, t := range made {
		out[i] = created(res, res.render(r.Context(), t))
	}
	return httpapi.Created(map[string]any{res.plural: out}), nil
}

// created adds what only the answer to a create tells: of a network, also of one
// inside the cloud, whether it is the default.
func created[T any](res resource[T], m map[string]any) map[string]any {
	if _, ok := m["is_default"]; !ok && res.singular == "network" {
		m["is_default"] = false
	}
	return m
}

// only leaves the fields that the client asked for, if it named any; a field that
// there is not leaves nothing.
func only(r *httpapi.Request, m map[string]any) map[string]any {
	fields := slices.DeleteFunc(slices.Clone(r.Query()["fields"]), func(f string) bool { return f == "" })
	if len(fields) == 0 {
		return m
	}
	out := map[string]any{}
	for _, f := range fields {
		if v, ok := m[f]; ok {
			out[f] = v
		}
	}
	return out
}

// ifMatch takes the header If-Match: revision_number=N.
func ifMatch(r *httpapi.Request) error {
	for _, h := range r.Header.Values("If-Match") {
		for part := range strings.SplitSeq(h, ",") {
			number, ok := strings.CutPrefix(strings.TrimSpace(part), "revision_number=")
			if !ok {
				continue
			}
			n, err := strconv.ParseInt(number, 10, 64)
			if err != nil || strings.Count(h, "revision_number=") > 1 {
				return nephos.Errorf(nephos.ErrInvalid, "Bad if-match request: Revision number etag must be in the format of revision_number=<int>.").
					WithReason("BadRequest")
			}
			r.SetContext(network.IfRevision(r.Context(), n))
		}
	}
	return nil
}

// renderMeta writes what all resources have.
func renderMeta(m network.Meta, more map[string]any) map[string]any {
	more["id"], more["tenant_id"], more["project_id"] = m.ID, m.ProjectID, m.ProjectID
	more["tags"], more["revision_number"] = emptyList(m.Tags), m.Revision
	more["created_at"], more["updated_at"] = stamp(m.CreatedAt), stamp(m.UpdatedAt)
	return more
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func emptyList[T any](in []T) []T {
	if in == nil {
		return []T{}
	}
	return in
}

// orNull writes empty text as null.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// hide takes away the attributes that the caller may not see.
func (a *api) hide(ctx context.Context, resource, projectID string, m map[string]any, names ...string) {
	for _, n := range names {
		if !a.cfg.Service.MaySee(ctx, resource, n, projectID) {
			delete(m, n)
		}
	}
}

func sortStrings(s []string) { slices.Sort(s) }

// int64To turns a converted number into an int.
func int64To(p *int64) *int {
	if p == nil {
		return nil
	}
	n := int(*p)
	return &n
}
