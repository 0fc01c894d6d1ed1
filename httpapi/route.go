package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// Handler answers a request. It returns either a response or an error; a nil
// response without an error is 204, except on a Stream route, whose handler may
// have written to [Request.Writer] itself.
type Handler func(r *Request) (*Response, error)

// Route is one operation of an API.
type Route struct {
	// Pattern is a method and a path in the syntax of [http.ServeMux], relative to
	// where the API is mounted: "GET /v2.1/servers/{id}". A literal segment wins
	// over a wildcard; a last "{name...}" takes the rest of the path. Whether GET
	// serves HEAD, and what a trailing slash in a request means, is as with the
	// real service. Unlike in a ServeMux, "/v2/" and "/" match themselves only.
	//
	// A segment "{project_id?}" may be left out by the client. Where it is given,
	// it must be the caller's project; it takes hexadecimal digits and dashes
	// only, so that "/v2.1/{project_id?}/servers/{id}" is no rival of
	// "/v2.1/{project_id?}/servers/detail".
	Pattern string
	// Rules names the policy rules that the handler's operation enforces. It is a
	// statement for tests and documents (see [CheckRoutes]); nothing here
	// enforces it.
	Rules []string
	// Public says that no token is needed, and none is looked at.
	Public bool
	// OptionalToken says that the operation works without a token; one that is
	// sent must be good.
	OptionalToken bool
	// Stream says that the handler reads the body itself: it is not bounded, and
	// an Idempotency-Key is ignored.
	Stream bool
	// Min and Max bound the microversions in which the operation exists; empty
	// means from the first or to the last. Outside there is no such path: 404.
	Min, Max string
	// Wait, where set, lets clients wait for a state of what the route shows.
	Wait *Wait
	// Missing says that the operation is known and not built, or not any more.
	Missing bool
	Handler Handler
}

// CheckRoutes returns an error that lists the routes that state no policy rule
// although they need a token. Each wire package calls it in a test.
func CheckRoutes(routes []Route) error {
	var errs []error
	for _, r := range routes {
		if len(r.Rules) == 0 && !r.Public && !r.OptionalToken {
			errs = append(errs, fmt.Errorf("route %s names no policy rule", r.Pattern))
		}
	}
	return errors.Join(errs...)
}

// NotBuilt returns routes for operations that are known but not built: callers
// with a token get 501.
func NotBuilt(rules []string, patterns ...string) []Route {
	routes := make([]Route, len(patterns))
	for i, p := range patterns {
		routes[i] = Route{Pattern: p, Rules: rules, Missing: true, Handler: notBuilt}
	}
	return routes
}

func notBuilt(*Request) (*Response, error) {
	return nil, &nephos.Error{
		Kind:    errors.ErrUnsupported,
		Message: "The action you have requested has not been implemented.",
	}
}

// route is a Route made ready.
type route struct {
	Route
	method   string
	min, max Version
	names    []string // of the wildcards, in order
	observe  routeMetrics
}

// node is one segment of the tree of routes.
type node struct {
	literal map[string]*node
	any     *node
	project *node // {project_id?}: hexadecimal digits and dashes
	rest    *node // {name...}
	routes  []*route
}

// maxParams bounds the wildcards of one pattern.
const maxParams = 8

// params holds the values of a path's wildcards without allocating.
type params struct {
	n      int
	values [maxParams]string
}

// add puts a route into the tree. It panics on a pattern it cannot parse and on
// a twin, as [http.ServeMux] does: both are mistakes of the program.
func (n *node) add(rt *route, segments []string, names []string) {
	if len(segments) == 0 {
		for _, twin := range n.routes {
			if twin.method == rt.method && overlap(twin, rt) {
				panic("httpapi: route " + rt.Pattern + " exists already as " + twin.Pattern)
			}
		}
		r := *rt
		r.names = names
		n.routes = append(n.routes, &r)
		return
	}
	s := segments[0]
	if !strings.HasPrefix(s, "{") {
		if n.literal == nil {
			n.literal = make(map[string]*node)
		}
		child := n.literal[s]
		if child == nil {
			child = &node{}
			n.literal[s] = child
		}
		child.add(rt, segments[1:], names)
		return
	}
	name, ok := strings.CutSuffix(s[1:], "}")
	if !ok || name == "" || len(names) == maxParams {
		panic("httpapi: bad wildcard in route " + rt.Pattern)
	}
	child := &n.any
	switch {
	case name == "project_id?":
		n.add(rt, segments[1:], names)
		name, child = "project_id?", &n.project
	case strings.HasSuffix(name, "..."):
		if len(segments) != 1 {
			panic("httpapi: wildcard in the middle takes the rest in route " + rt.Pattern)
		}
		name, child = strings.TrimSuffix(name, "..."), &n.rest
	}
	if *child == nil {
		*child = &node{}
	}
	(*child).add(rt, segments[1:], append(slices.Clip(names), name))
}

func overlap(a, b *route) bool {
	return (a.max.IsZero() || a.max.AtLeast(b.min)) && (b.max.IsZero() || b.max.AtLeast(a.min))
}

// find returns the first node that fits the path and has a route of the method;
// of the nodes that fit and have none, it notes the methods in allow.
func (n *node) find(path, method string, p *params, allow *[]string) *node {
	if path == "" {
		if len(n.routes) == 0 {
			return nil
		}
		for _, rt := range n.routes {
			if rt.method == method || rt.method == http.MethodGet && method == http.MethodHead {
				return n
			}
		}
		for _, rt := range n.routes {
			if !slices.Contains(*allow, rt.method) {
				*allow = append(*allow, rt.method)
			}
		}
		return nil
	}
	segment, rest := path, ""
	if i := strings.IndexByte(path, '/'); i >= 0 {
		segment, rest = path[:i], path[i+1:]
	}
	if child := n.literal[segment]; child != nil {
		if found := child.find(rest, method, p, allow); found != nil {
			return found
		}
	}
	mark := p.n
	if n.project != nil && isProjectID(segment) {
		p.push(segment)
		if found := n.project.find(rest, method, p, allow); found != nil {
			return found
		}
		p.n = mark
	}
	if n.any != nil {
		p.push(segment)
		if found := n.any.find(rest, method, p, allow); found != nil {
			return found
		}
		p.n = mark
	}
	if n.rest != nil {
		p.push(path)
		if found := n.rest.find("", method, p, allow); found != nil {
			return found
		}
		p.n = mark
	}
	return nil
}

func (p *params) push(v string) { p.values[p.n] = v; p.n++ }

// pick returns the node's route for a method in a microversion.
func (n *node) pick(method string, v Version) *route {
	for _, rt := range n.routes {
		if (rt.method == method || rt.method == http.MethodGet && method == http.MethodHead) &&
			(v.IsZero() || v.AtLeast(rt.min) && (rt.max.IsZero() || rt.max.AtLeast(v))) {
			return rt
		}
	}
	return nil
}

func isProjectID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && c != '-' {
			return false
		}
	}
	return s != ""
}

// Add adds routes. It panics on a pattern it cannot parse, on a route without a
// handler and on a twin of another route.
func (a *API) Add(routes ...Route) {
	for _, r := range routes {
		method, path, ok := strings.Cut(r.Pattern, " ")
		path = strings.TrimLeft(path, " ")
		if !ok || method == "" || !strings.HasPrefix(path, "/") || r.Handler == nil {
			panic("httpapi: route " + r.Pattern + " needs a method, a path and a handler")
		}
		rt := &route{Route: r, method: method}
		if r.Min != "" {
			rt.min = MustVersion(r.Min)
		}
		if r.Max != "" {
			rt.max = MustVersion(r.Max)
		}
		path = strings.Trim(strings.TrimSuffix(path, "{$}"), "/")
		var segments []string
		if path != "" {
			segments = strings.Split(path, "/")
		}
		rt.observe = a.cfg.Metrics.route(a.cfg.Service, r.Pattern)
		a.root.add(rt, segments, nil)
		a.routes = append(a.routes, r)
	}
}

// Routes returns the routes in the order they were added.
func (a *API) Routes() []Route { return slices.Clone(a.routes) }
