package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/trace"

	"github.com/nephos-cloud/nephos"
)

// Verifier says on whose behalf a token acts. It returns an error that wraps
// [nephos.ErrUnauthenticated] for a token that is malformed, unknown, expired or
// revoked, and [nephos.ErrUnavailable] when it cannot tell. It is called once a
// request and must be fast and safe for concurrent use.
type Verifier interface {
	Verify(ctx context.Context, token string) (nephos.Caller, error)
}

// Config is what an [API] is made of.
type Config struct {
	// Service is the service's type: compute, image, network, volume, identity or
	// placement. It names the service in headers and metrics.
	Service string
	// Faults writes faults in the service's dialect; nil means [NovaFault].
	Faults FaultWriter
	// Verifier is needed unless every route is public.
	Verifier Verifier
	// Versions is the range of microversions; nil means that the API has none.
	Versions *VersionRange
	// PublicURL is the absolute URL at which clients see this API's root, such as
	// http://127.0.0.1:8774/compute. Links come from it and never from the Host
	// header. Empty makes links relative to the server's root.
	PublicURL string
	// PublicURLFunc, where set, is asked at each request instead.
	PublicURLFunc func() string
	// AuthURL is the Identity API's public URL, for WWW-Authenticate.
	AuthURL string
	// AuthURLFunc, where set, is asked instead.
	AuthURLFunc func() string
	// Unrouted, where set, is asked first about a request that no route takes,
	// before anybody looks at a token. It declines with no response and no error.
	Unrouted Handler
	// Follow, where set, lets clients wait for changes (see [Wait]): next returns
	// after a change of the resource with the id that came since it was called
	// last, or with the context's error, and stop ends it.
	Follow func(ctx context.Context, resourceID string) (next func(context.Context) error, stop func(), err error)
	// Around, where set, is called in place of every route's handler and calls it as
	// next. It sees requests whose token, microversion and path are good.
	Around func(r *Request, next Handler) (*Response, error)
	// Observe, where set, is told of every request when it has been answered. It
	// must not block, and not keep the request.
	Observe func(r *Request, status int)
	// MaxBody bounds request bodies in bytes; 0 means 1 MiB. Stream routes bound
	// themselves.
	MaxBody int64

	Log     *slog.Logger         // nil: nothing is logged
	Clock   nephos.Clock         // nil: the wall clock
	IDs     nephos.IDs           // for request ids
	Metrics *Metrics             // nil: nothing is counted
	Tracer  trace.TracerProvider // nil: nothing is traced
}

// API is one service's HTTP API. Routes are added before it serves; it is then
// safe for concurrent use.
type API struct {
	cfg    Config
	root   node
	routes []Route
	tracer trace.Tracer
	// unrouted stands for the requests that no route takes.
	unrouted routeMetrics
}

// New returns an API without routes.
func New(cfg Config) *API {
	if cfg.Faults == nil {
		cfg.Faults = NovaFault
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 1 << 20
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Clock == nil {
		cfg.Clock = nephos.WallClock{}
	}
	a := &API{cfg: cfg, unrouted: cfg.Metrics.route(cfg.Service, "none")}
	if cfg.Tracer != nil {
		a.tracer = cfg.Tracer.Tracer("github.com/nephos-cloud/nephos/httpapi")
	}
	return a
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	start := a.cfg.Clock.Now()
	r := &Request{Request: hr, Writer: w, api: a, requestID: "req-" + a.cfg.IDs.New()}
	h := w.Header()
	id := []string{r.requestID}
	h["X-Openstack-Request-Id"] = id
	if a.cfg.Service == "compute" || a.cfg.Service == "volume" {
		h["X-Compute-Request-Id"] = id
	}
	if a.cfg.Service == "identity" {
		h["Vary"] = varyToken
	}

	var allow []string
	n := a.match(r, &allow)
	pattern, metrics := "none", &a.unrouted
	if n != nil {
		r.route = n.pick(r.Method, Version{})
		pattern, metrics = r.route.Pattern, &r.route.observe
	}
	if a.tracer != nil {
		var end func(status int)
		r.Request, end = a.startSpan(r, pattern)
		defer func() { end(r.status) }()
	}
	defer func() {
		p := recover()
		if p != nil && p != http.ErrAbortHandler {
			a.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "panic in a handler",
				slog.String("request_id", r.requestID), slog.Any("panic", p),
				slog.String("stack", string(debug.Stack())))
			if !r.wrote {
				a.fault(r, Fault{Status: 500, Title: title(500), RequestID: r.requestID, Service: a.cfg.Service, Version: r.Version})
				p = nil
			}
		}
		a.finish(r, pattern, metrics, start)
		if p != nil {
			panic(http.ErrAbortHandler)
		}
	}()
	a.serve(r, n, allow)
}

var varyToken = []string{"X-Auth-Token"}

// match finds the node whose routes take the request, and the wildcards' values.
func (a *API) match(r *Request, allow *[]string) *node {
	u := r.URL
	escaped := u.RawPath != ""
	path := u.Path
	if escaped {
		path = u.EscapedPath()
	}
	path = strings.TrimPrefix(path, "/")
	path, found := trimPath(a.cfg.Service, path)
	if !found || a.cfg.Service != "image" && (strings.IndexByte(u.Path, 0) >= 0 || !utf8.ValidString(u.Path)) {
		return nil // nothing is named so, and databases take neither; tags of images are checked
	}
	n := a.root.find(path, r.Method, &r.params, allow)
	if n != nil && r.Method == http.MethodHead && headless(a.cfg.Service, path) {
		for _, rt := range n.routes {
			*allow = append(*allow, rt.method)
		}
		return nil
	}
	if n != nil && escaped {
		for i := range r.params.n {
			v, err := url.PathUnescape(r.params.values[i])
			if err != nil {
				return nil
			}
			r.params.values[i] = v
		}
	}
	return n
}

// serve runs the request to the end of its answer.
func (a *API) serve(r *Request, n *node, allow []string) {
	if n == nil && r.Method == http.MethodOptions && a.answersOptions(r, allow) {
		return
	}
	if err := a.checkEarly(r); err != nil {
		a.fail(r, err)
		return
	}
	// Placement looks for the route when token, version and body are good.
	late := a.cfg.Service == "placement"
	if n == nil && !late {
		a.serveUnrouted(r, allow)
		return
	}
	if n != nil && !r.route.Public || n == nil && strings.Trim(r.URL.Path, "/") != "" {
		if err := a.authenticate(r, n != nil && r.route.OptionalToken); err != nil {
			a.refuse(r, err)
			return
		}
	}
	if a.cfg.Versions != nil && !(a.cfg.Service == "compute" && strings.Trim(r.URL.Path, "/") == "") {
		v, err := a.negotiate(r.Header)
		if err != nil && !v.IsZero() && a.cfg.Service == "volume" && strings.Trim(r.URL.Path, "/") == "" {
			// Cinder's client asks for the versions in its own newest, and would not
			// learn from a refusal that this one is older.
			v, err = a.cfg.Versions.Max, nil
		}
		if err != nil {
			f := a.newFault(r, err)
			if f.Status == http.StatusNotAcceptable {
				f.Versions = a.cfg.Versions
				if a.cfg.Service != "placement" {
					a.setVersionHeaders(r.Writer.Header(), v)
				}
			}
			a.fault(r, f)
			return
		}
		r.Version = v
		a.setVersionHeaders(r.Writer.Header(), v)
	}
	if late && r.ContentLength > 0 && r.Header.Get("Content-Type") == "" {
		r.Writer.Header().Del("Vary") // Placement's early refusals have none
		a.fail(r, needsContentType())
		return
	}
	if n == nil {
		if len(allow) == 0 {
			r.Writer.Header().Del("Vary")
		}
		a.faultUnrouted(r, allow)
		return
	}
	rt := n.pick(r.Method, r.Version)
	if rt == nil {
		a.fault(r, Fault{
			Status: 404, Title: title(404), Kind: nephos.ErrNotFound, RequestID: r.requestID,
			Service: a.cfg.Service, Version: r.Version,
		})
		return
	}
	r.route = rt
	if err := a.checkProject(r); err != nil {
		a.fail(r, err)
		return
	}
	if r.Method == http.MethodPost && !rt.Stream {
		if err := r.takeIdempotencyKey(); err != nil {
			a.fail(r, err)
			return
		}
	}
	resp, err := a.handle(r, rt.Handler)
	if err != nil {
		a.fail(r, err)
		return
	}
	if resp == nil {
		if r.wrote || rt.Stream {
			return
		}
		resp = NoContent()
	}
	if err := a.write(r, resp); err != nil {
		a.fail(r, err)
	}
}

// handle runs the route's handler, with what the configuration puts around it.
func (a *API) handle(r *Request, h Handler) (*Response, error) {
	if a.waits(r) {
		show := h
		h = func(r *Request) (*Response, error) { return a.wait(r, show) }
	}
	if a.cfg.Around != nil {
		return a.cfg.Around(r, h)
	}
	return h(r)
}

// serveUnrouted answers 404, or 405 where the path exists with other methods.
// Nova and Cinder route by method, so that there a wrong method is a 404. As in
// the real services, all but identity look at the token first.
func (a *API) serveUnrouted(r *Request, allow []string) {
	if a.cfg.Unrouted != nil {
		resp, err := a.cfg.Unrouted(r)
		if resp != nil && err == nil {
			err = a.write(r, resp)
		}
		if err != nil {
			a.fail(r, err)
		}
		if resp != nil || err != nil {
			return
		}
	}
	if a.cfg.Service != "identity" && a.cfg.Verifier != nil && !a.elsewhere(r) {
		if err := a.authenticate(r, false); err != nil {
			a.refuse(r, err)
			return
		}
	}
	a.faultUnrouted(r, allow)
}

// faultUnrouted writes the fault for a request that no route takes; allow are the
// methods that are routed.
func (a *API) faultUnrouted(r *Request, allow []string) {
	f := Fault{
		Status: http.StatusNotFound, Kind: nephos.ErrNotFound, RequestID: r.requestID,
		Service: a.cfg.Service, Version: r.Version, Unrouted: true,
	}
	if len(allow) > 0 && a.cfg.Service != "compute" && a.cfg.Service != "volume" {
		f.Status, f.Kind = http.StatusMethodNotAllowed, nil
		if list := a.allowed(allow); list != "" {
			r.Writer.Header()["Allow"] = []string{list}
		}
	}
	if f.Status == http.StatusNotFound && a.cfg.Service == "image" && !slices.Contains(glanceMethods, r.Method) {
		f.Status, f.Kind = http.StatusNotImplemented, nil
	}
	f.Title = title(f.Status)
	a.fault(r, f)
}

// authenticate puts the token's caller into the context.
func (a *API) authenticate(r *Request, optional bool) error {
	tokens := r.Header["X-Auth-Token"]
	if len(tokens) == 0 || tokens[0] == "" {
		if optional {
			return nil
		}
		return errNoToken
	}
	if len(tokens[0]) > maxToken || a.cfg.Verifier == nil {
		return errNoToken
	}
	c, err := a.cfg.Verifier.Verify(r.Context(), tokens[0])
	if err != nil {
		return err
	}
	c.RequestID = r.requestID
	c.GlobalRequestID = globalRequestID(r.Header)
	r.caller, r.token = c, tokens[0]
	r.SetContext(nephos.WithCaller(r.Context(), c))
	return nil
}

// maxToken bounds a token's length in bytes.
const maxToken = 16 << 10

var errNoToken = &nephos.Error{Kind: nephos.ErrUnauthenticated, Message: needsAuthentication}

// globalRequestID returns the request id a client sent, if it is one.
func globalRequestID(h http.Header) string {
	v := h["X-Openstack-Request-Id"]
	if len(v) == 0 || len(v[0]) != 40 || v[0][:4] != "req-" {
		return ""
	}
	for i := 4; i < 40; i++ {
		switch c := v[0][i]; {
		case i == 12 || i == 17 || i == 22 || i == 27:
			if c != '-' {
				return ""
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return ""
		}
	}
	return v[0]
}

// checkProject refuses a path whose {project_id?} is not the caller's project.
func (a *API) checkProject(r *Request) error {
	id := r.PathValue("project_id?")
	if id == "" || id == r.caller.ProjectID || r.route.Public {
		return nil
	}
	if a.cfg.Service == "volume" {
		return nephos.Errorf(nephos.ErrInvalid, "Malformed request url")
	}
	return nephos.Errorf(nephos.ErrInvalid,
		"Malformed request URL: URL's project_id '%s' doesn't match Context's project_id '%s'",
		clip(id, 64), r.caller.ProjectID)
}

// refuse answers a request whose token was not verified.
func (a *API) refuse(r *Request, err error) {
	f := a.newFault(r, err)
	if f.Status == http.StatusUnauthorized {
		f.Unverified, f.Message = true, ""
		if f.Service == "identity" {
			f.Message = needsAuthentication
		}
	} else {
		a.logFailure(r, f.Status, err)
	}
	a.fault(r, f)
}

// fail answers with an error.
func (a *API) fail(r *Request, err error) {
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		r.status = statusClientGone
		if r.wrote {
			panic(http.ErrAbortHandler)
		}
		return
	}
	f := a.newFault(r, err)
	if f.Status >= 500 && f.Status != http.StatusNotImplemented {
		a.logFailure(r, f.Status, err)
	}
	if f.Status == http.StatusInternalServerError && !r.keepable() {
		f = a.newFault(r, nephos.Errorf(nephos.ErrInvalid, "The request has text that no database keeps: it must be UTF-8 without NUL."))
	}
	if r.wrote {
		// The answer has begun: cut it, so that nobody takes a part for the whole.
		panic(http.ErrAbortHandler)
	}
	a.fault(r, f)
}

func (a *API) logFailure(r *Request, status int, err error) {
	var e *nephos.Error
	var cause error
	if errors.As(err, &e) {
		cause = e.Cause
	}
	a.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "request failed",
		slog.String("request_id", r.requestID), slog.Int("status", status),
		slog.Any("err", err), slog.Any("cause", cause))
}

// fault writes a fault and the headers that belong to its status.
func (a *API) fault(r *Request, f Fault) {
	h := r.Writer.Header()
	if f.Status == http.StatusUnauthorized {
		if u := a.authURL(); u != "" {
			h["Www-Authenticate"] = []string{`Keystone uri="` + u + `"`}
		}
	}
	if f.RetryAfter != "" {
		h["Retry-After"] = []string{f.RetryAfter}
	}
	r.status, r.wrote = f.Status, true
	a.cfg.Faults(r.Writer, r.Request, f)
}

func (a *API) authURL() string {
	if a.cfg.AuthURLFunc != nil {
		return a.cfg.AuthURLFunc()
	}
	return a.cfg.AuthURL
}

// finish counts and logs the request.
func (a *API) finish(r *Request, pattern string, m *routeMetrics, start time.Time) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	took := a.cfg.Clock.Now().Sub(start)
	m.observe(r.Method, r.status, took)
	if a.cfg.Observe != nil {
		a.cfg.Observe(r, r.status)
	}
	level := slog.LevelInfo
	if r.status < 400 && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		level = slog.LevelDebug
	}
	if !a.cfg.Log.Enabled(r.Context(), level) {
		return
	}
	a.cfg.Log.LogAttrs(r.Context(), level, "request",
		slog.String("service", a.cfg.Service), slog.String("method", r.Method),
		slog.String("path", r.URL.Path), slog.String("route", pattern),
		slog.Int("status", r.status), slog.Duration("took", took),
		slog.String("request_id", r.requestID), slog.String("user", r.caller.UserID),
		slog.String("project", r.caller.ProjectID))
}
