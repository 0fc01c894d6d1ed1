package explain

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/heatmap"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
)

// Decisions is where decisions and hosts are kept. *sqlstore.Store satisfies it.
type Decisions interface {
	Decisions(ctx context.Context, f sqlstore.DecisionFilter, p nephos.Page) ([]sqlstore.Decision, bool, error)
	Decision(ctx context.Context, id string) (sqlstore.Decision, error)
	Explain(ctx context.Context, req scheduler.Request, o scheduler.ExplainOptions) (scheduler.Report, error)
	Hosts(ctx context.Context) ([]scheduler.Host, error)
}

// Config are the parts of the API. All are needed but Ratios.
type Config struct {
	Store  Decisions
	Policy *policy.Enforcer // with [Rules] among its defaults
	// Ratios are the allocation ratios of the store.
	Ratios map[string]float64
	// HTTP carries the verifier, the public URL, logs, metrics and traces. Its
	// Service and Faults are set here.
	HTTP httpapi.Config
}

type api struct {
	store  Decisions
	policy *policy.Enforcer
	ratios map[string]float64
}

// New returns the API.
func New(cfg Config) *httpapi.API {
	cfg.HTTP.Service, cfg.HTTP.Faults = "scheduler", httpapi.KeystoneFault
	a := &api{store: cfg.Store, policy: cfg.Policy, ratios: cfg.Ratios}
	h := httpapi.New(cfg.HTTP)
	h.Add(
		httpapi.Route{Pattern: "GET /", Public: true, Handler: a.versions},
		httpapi.Route{Pattern: "GET /v1", Public: true, Handler: a.version},
		a.route("GET /v1/decisions", "scheduler:decisions:list", a.list, "server_id", "volume_id", "request_id", "failed", "limit", "marker"),
		a.route("GET /v1/decisions/{id}", "scheduler:decisions:show", a.show),
		a.route("POST /v1/explain", "scheduler:explain", a.explain),
		a.route("GET /v1/heatmap.svg", "scheduler:heatmap", a.heatmap, "class", "zone", "width"),
	)
	return h
}

// route is an operation that a rule guards, and that takes these parameters in
// its query and no others.
func (a *api) route(pattern, rule string, h httpapi.Handler, parameters ...string) httpapi.Route {
	return httpapi.Route{Pattern: pattern, Rules: []string{rule}, Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
		if err := a.policy.Enforce(r.Context(), rule, nil); err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(r.Query())) {
			if !slices.Contains(parameters, name) {
				return nil, nephos.Errorf(nephos.ErrInvalid, "there is no parameter %.64q here: it takes %s", name, cmp.Or(strings.Join(parameters, ", "), "none")).
					WithField(name)
			}
		}
		return h(r)
	}}
}

type link struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

type version struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Links  []link `json:"links"`
}

func about(r *httpapi.Request) version {
	return version{ID: "v1.0", Status: "CURRENT", Links: []link{{"self", r.Link("/v1/", nil)}}}
}

func (a *api) versions(r *httpapi.Request) (*httpapi.Response, error) {
	return httpapi.MultipleChoices(map[string]any{"versions": []version{about(r)}}), nil
}

func (a *api) version(r *httpapi.Request) (*httpapi.Response, error) {
	return httpapi.OK(map[string]any{"version": about(r)}), nil
}

// heatmap draws the hosts.
func (a *api) heatmap(r *httpapi.Request) (*httpapi.Response, error) {
	class, zone := r.Query().Get("class"), r.Query().Get("zone")
	if class == "" {
		class = scheduler.MemoryMB
	}
	if len(class) > 255 || strings.Trim(class, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return nil, nephos.Errorf(nephos.ErrInvalid, "class %.64q is not a resource class", class).WithField("class")
	}
	width, err := r.Int("width", 960, 200, 4000)
	if err != nil {
		return nil, err
	}
	hosts, err := a.store.Hosts(r.Context())
	if err != nil {
		return nil, err
	}
	title := class
	if zone != "" {
		title += " in " + zone
		var in []scheduler.Host
		for _, h := range hosts {
			if h.Zone == zone {
				in = append(in, h)
			}
		}
		hosts = in
	}
	var b bytes.Buffer
	if err := heatmap.Write(&b, heatmap.Cells(hosts, class, a.ratios), heatmap.Options{Title: title, Width: width}); err != nil {
		return nil, err
	}
	resp := httpapi.Bytes("image/svg+xml", int64(b.Len()), &b)
	resp.Status = http.StatusOK
	return resp.Set("Cache-Control", "no-store").Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'").
		Set("X-Content-Type-Options", "nosniff"), nil
}
