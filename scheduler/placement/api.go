package placement

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
)

// The microversions that the API speaks.
const (
	MinVersion = "1.0"
	MaxVersion = "1.39"
)

// Config are the parts of the API. All are needed.
type Config struct {
	Store  *sqlstore.Store
	Policy *policy.Enforcer // with [Rules] among its defaults
	// HTTP carries the verifier, the public URL, logs, metrics and traces. Its
	// Service, Faults and Versions are set here.
	HTTP httpapi.Config
}

type api struct {
	store  *sqlstore.Store
	policy *policy.Enforcer
	clock  nephos.Clock
}

// New returns the API.
func New(cfg Config) *httpapi.API {
	cfg.HTTP.Service, cfg.HTTP.Faults = "placement", httpapi.PlacementFault
	cfg.HTTP.Versions = &httpapi.VersionRange{Min: httpapi.MustVersion(MinVersion), Max: httpapi.MustVersion(MaxVersion)}
	a := &api{store: cfg.Store, policy: cfg.Policy, clock: cfg.HTTP.Clock}
	if a.clock == nil {
		a.clock = nephos.WallClock{}
	}
	h := httpapi.New(cfg.HTTP)
	// A path's methods stand in the order that Placement's Allow header has.
	h.Add(httpapi.Route{Pattern: "GET /", Public: true, Handler: a.home})
	const rp = "/resource_providers/{uuid}"
	h.Add(
		a.route("GET /resource_classes", "resource_classes:list", "1.2", a.listClasses),
		a.route("POST /resource_classes", "resource_classes:create", "1.2", a.createClass),
		a.route("GET /resource_classes/{name}", "resource_classes:show", "1.2", a.showClass),
		a.route("PUT /resource_classes/{name}", "resource_classes:update", "1.2", a.updateClass),
		a.route("DELETE /resource_classes/{name}", "resource_classes:delete", "1.2", a.deleteClass),
		a.route("GET /resource_providers", "resource_providers:list", "", a.listProviders),
		a.route("POST /resource_providers", "resource_providers:create", "", a.createProvider),
		a.route("GET "+rp, "resource_providers:show", "", a.showProvider),
		a.route("DELETE "+rp, "resource_providers:delete", "", a.deleteProvider),
		a.route("PUT "+rp, "resource_providers:update", "", a.updateProvider),
		a.route("GET "+rp+"/inventories", "resource_providers:inventories:list", "", a.listInventories),
		a.route("POST "+rp+"/inventories", "resource_providers:inventories:create", "", a.createInventory),
		a.route("PUT "+rp+"/inventories", "resource_providers:inventories:update", "", a.setInventories),
		a.route("DELETE "+rp+"/inventories", "resource_providers:inventories:delete", "", a.deleteInventories),
		a.route("GET "+rp+"/inventories/{class}", "resource_providers:inventories:show", "", a.showInventory),
		a.route("PUT "+rp+"/inventories/{class}", "resource_providers:inventories:update", "", a.updateInventory),
		a.route("DELETE "+rp+"/inventories/{class}", "resource_providers:inventories:delete", "", a.deleteInventory),
		a.route("GET "+rp+"/usages", "resource_providers:usages", "", a.providerUsages),
		a.route("GET "+rp+"/aggregates", "resource_providers:aggregates:list", "1.1", a.listAggregates),
		a.route("PUT "+rp+"/aggregates", "resource_providers:aggregates:update", "1.1", a.setAggregates),
		a.route("GET "+rp+"/traits", "resource_providers:traits:list", "1.6", a.providerTraits),
		a.route("PUT "+rp+"/traits", "resource_providers:traits:update", "1.6", a.setProviderTraits),
		a.route("DELETE "+rp+"/traits", "resource_providers:traits:delete", "1.6", a.deleteProviderTraits),
		a.route("GET "+rp+"/allocations", "resource_providers:allocations:list", "", a.providerAllocations),
		a.route("GET /traits", "traits:list", "1.6", a.listTraits),
		a.route("GET /traits/{name}", "traits:show", "1.6", a.showTrait),
		a.route("PUT /traits/{name}", "traits:update", "1.6", a.createTrait),
		a.route("DELETE /traits/{name}", "traits:delete", "1.6", a.deleteTrait),
		a.route("GET /usages", "usages", "1.9", a.projectUsages),
		a.route("POST /allocations", "allocations:manage", "1.13", a.manageAllocations),
		a.route("GET /allocations/{consumer}", "allocations:list", "", a.showAllocations),
		a.route("PUT /allocations/{consumer}", "allocations:update", "", a.setAllocations),
		a.route("DELETE /allocations/{consumer}", "allocations:delete", "", a.deleteAllocations),
		a.route("GET /allocation_candidates", "allocation_candidates:list", "1.10", a.listCandidates),
		a.route("POST /reshaper", "reshaper:reshape", "1.30", a.reshape),
	)
	return h
}

// route is an operation that a rule guards.
func (a *api) route(pattern, rule, min string, h httpapi.Handler) httpapi.Route {
	rule = "placement:" + rule
	reads := func(r *httpapi.Request) bool {
		switch rule {
		case "placement:traits:update":
			return false
		case "placement:resource_classes:update":
			return !at(r, "1.7")
		}
		return r.Method == http.MethodPut || r.Method == http.MethodPost
	}
	since := "" // looked at by the handler and not by the router
	if strings.HasPrefix(rule, "placement:resource_providers:aggregates:") {
		since, min = min, ""
	}
	return httpapi.Route{Pattern: pattern, Rules: []string{rule}, Min: min, Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
		if strings.ContainsRune(r.URL.Path, 0) || !utf8.ValidString(r.URL.Path) {
			return nil, nephos.Errorf(nephos.ErrNotFound, "No such resource")
		}
		if err := checkContentType(r, reads(r)); err != nil {
			return nil, err
		}
		if r.Method == http.MethodGet && !acceptsJSON(r.Header["Accept"]) && rule != "placement:traits:show" {
			return nil, httpapi.WithStatus(http.StatusNotAcceptable, &nephos.Error{Kind: nephos.ErrInvalid, Message: "Only application/json is provided"})
		}
		if since != "" && !at(r, since) {
			return nil, &nephos.Error{Kind: nephos.ErrNotFound}
		}
		var target policy.Target
		if rule == "placement:usages" {
			target = policy.Target{"project_id": r.URL.Query().Get("project_id")}
		}
		if err := a.policy.Enforce(r.Context(), rule, target); errors.Is(err, nephos.ErrForbidden) {
			r.Writer.Header().Del("Vary")
			return nil, nephos.Errorf(nephos.ErrForbidden, "Policy does not allow %s to be performed.", rule)
		} else if err != nil {
			return nil, err
		}
		resp, err := h(r)
		if unworded(err) {
			r.Writer.Header().Del("Vary")
		}
		return resp, err
	}}
}

// unworded says whether an error is of a provider that is not there and that the
// operation has no words of its own for: Placement then forgets the Vary header.
func unworded(err error) bool {
	var e *nephos.Error
	return errors.As(err, &e) && e.Kind == nephos.ErrNotFound &&
		strings.HasPrefix(e.Message, "No resource provider with uuid ") && strings.HasSuffix(e.Message, " found") && !strings.Contains(e.Message, ": ")
}

// acceptsJSON says whether an Accept header allows JSON; without one, or with a
// malformed one, all is allowed.
func acceptsJSON(lines []string) bool {
	if len(lines) == 0 {
		return true
	}
	for part := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		media, params, _ := strings.Cut(part, ";")
		media = strings.ToLower(strings.TrimSpace(media))
		if media == "" || !strings.Contains(media, "/") {
			return true
		}
		switch media {
		case "application/json", "application/*", "*/*":
			if !refused(params) {
				return true
			}
		}
	}
	return false
}

// refused says whether the parameters of a media range have the quality zero.
func refused(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		if q, err := strconv.ParseFloat(v, 64); strings.EqualFold(k, "q") && err == nil && q == 0 {
			return true
		}
	}
	return false
}

// checkContentType refuses bodies that do not say they are JSON, for operations
// that read one even if there is none.
func checkContentType(r *httpapi.Request, reads bool) error {
	ct := r.Header.Get("Content-Type")
	if ct == "" && r.ContentLength > 0 {
		return nephos.Errorf(nephos.ErrInvalid, "content-type header required when content-length > 0").WithField("Content-Type")
	}
	media, _, _ := strings.Cut(ct, ";")
	if media = strings.TrimSpace(media); !reads || media == "application/json" {
		return nil
	}
	if media == "" {
		media = "None"
	}
	return httpapi.WithStatus(http.StatusUnsupportedMediaType, nephos.Errorf(nephos.ErrInvalid,
		"The media type %s is not supported, use application/json", clip(media)).WithField("Content-Type"))
}

func at(r *httpapi.Request, version string) bool {
	return r.Version.AtLeast(httpapi.MustVersion(version))
}

// modified adds the headers that answers have since 1.15. A zero time is now.
func (a *api) modified(r *httpapi.Request, resp *httpapi.Response, t time.Time) *httpapi.Response {
	if !at(r, "1.15") {
		return resp
	}
	if t.IsZero() {
		t = a.clock.Now()
	}
	return resp.Set("Last-Modified", t.UTC().Format(http.TimeFormat)).Set("Cache-Control", "no-cache")
}

// path returns the path of a resource as it is written in bodies: with the
// mount point, and without scheme and host.
func path(r *httpapi.Request, rest string) string {
	u, err := url.Parse(r.PublicURL())
	if err != nil {
		return rest
	}
	return strings.TrimSuffix(u.Path, "/") + rest
}

// home is the version document.
func (a *api) home(r *httpapi.Request) (*httpapi.Response, error) {
	return a.modified(r, httpapi.OK(map[string]any{"versions": []any{map[string]any{
		"id": "v" + MinVersion, "min_version": MinVersion, "max_version": MaxVersion, "status": "CURRENT",
		"links": []any{map[string]string{"rel": "self", "href": ""}},
	}}}), time.Time{}), nil
}

// asMissing words the absence of a provider as the operation does.
func asMissing(err error, before string) error {
	if errors.Is(err, nephos.ErrNotFound) {
		return nephos.Errorf(nephos.ErrNotFound, "%s%w", before, err)
	}
	return err
}

// required is the error for a property that is not there.
func required(name string) error {
	return nephos.Errorf(nephos.ErrInvalid, "JSON does not validate: '%s' is a required property", name).WithField(name)
}

// invalid is the error for a body that does not fit its schema.
func invalid(field, format string, args ...any) error {
	return nephos.Errorf(nephos.ErrInvalid, "JSON does not validate: "+format, args...).WithField(field)
}

// badQuery is the error for a query that does not fit its schema.
func badQuery(field, format string, args ...any) error {
	return nephos.Errorf(nephos.ErrInvalid, "Invalid query string parameters: "+format, args...).WithField(field)
}

// normalUUID accepts what OpenStack takes for a UUID, with or without dashes,
// in any case, and returns it in its one form.
func normalUUID(s string) (string, bool) {
	if len(s) > 64 {
		return "", false
	}
	h := strings.ToLower(strings.NewReplacer("-", "", "{", "", "}", "", "urn:uuid:", "").Replace(s))
	if len(h) != 32 || strings.Trim(h, "0123456789abcdef") != "" {
		return "", false
	}
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], true
}

// isName says whether a word is one of capital letters, digits and underscores.
func isName(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// clip bounds what a message quotes.
func clip(s string) string {
	if len(s) > 512 {
		s = s[:512]
	}
	return strings.ToValidUTF8(s, "")
}
