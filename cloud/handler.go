package cloud

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/nephos-cloud/nephos/blockstorage/cinder"
	"github.com/nephos-cloud/nephos/compute/console"
	"github.com/nephos-cloud/nephos/compute/nova"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity"
	"github.com/nephos-cloud/nephos/identity/keystone"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/image/glance"
	"github.com/nephos-cloud/nephos/network/neutron"
	"github.com/nephos-cloud/nephos/scheduler/explain"
	"github.com/nephos-cloud/nephos/scheduler/placement"
	"github.com/nephos-cloud/nephos/watch/sse"
)

func placementRules() []policy.Rule { return append(placement.Rules(), explain.Rules()...) }

// mount is one API: where it is, and how the catalog knows it.
type mount struct {
	name, kind, service, path string // path: what the catalog's URL has below the mount
}

var mounts = []mount{
	{"identity", "identity", "keystone", ""},
	{"image", "image", "glance", ""},
	{"compute", "compute", "nova", "/v2.1"},
	{"network", "network", "neutron", ""},
	{"volume", "volumev3", "cinderv3", "/v3/$(project_id)s"},
	{"placement", "placement", "placement", ""},
	{"scheduler", "scheduler", "nephos-scheduler", "/v1"},
	{"watch", "watch", "nephos-watch", "/v1"},
}

func (c *Cloud) url(name string) string {
	if u := c.cfg.URLs[name]; u != "" {
		return u
	}
	return c.cfg.PublicURL + "/" + name
}

// catalog is what is mounted.
func (c *Cloud) catalog() []identity.CatalogEntry {
	var entries []identity.CatalogEntry
	for _, m := range mounts {
		u := c.url(m.name) + m.path
		entries = append(entries, identity.CatalogEntry{
			Type: m.kind, Name: m.service, URLs: map[string]string{"public": u, "internal": u, "admin": u},
		})
	}
	return entries
}

// Handler serves all APIs, each below its own path: /identity, /image,
// /compute, /network, /volume, /placement, /scheduler, /watch; consoles at /console; metrics for
// Prometheus at /metrics; and /healthz.
func (c *Cloud) Handler() http.Handler { return c.handler }

// API serves one of the APIs at its root, for a listener of its own.
func (c *Cloud) API(name string) http.Handler { return c.apis[name] }

func (c *Cloud) makeHandler(context.Context) error {
	metrics, err := httpapi.NewMetrics(c.cfg.Metrics)
	if err != nil {
		return err
	}
	common := func(name string) httpapi.Config {
		cfg := httpapi.Config{
			PublicURL: c.url(name), AuthURL: c.url("identity"), Verifier: c.Identity,
			Log: c.cfg.Log, Clock: c.cfg.Clock, IDs: c.cfg.IDs, Metrics: metrics, Tracer: c.cfg.Tracer,
			Follow: c.Watch.Follow,
		}
		if c.cfg.Faults != nil {
			cfg.Around = c.cfg.Faults.Around(name)
		}
		if observe := c.cfg.Observe; observe != nil {
			cfg.Observe = func(r *httpapi.Request, status int) { observe(name, r, status) }
		}
		return cfg
	}
	apis := map[string]*httpapi.API{
		"identity":  keystone.New(keystone.Config{Service: c.Identity, HTTP: common("identity")}),
		"image":     glance.New(glance.Config{Service: c.Image, HTTP: common("image")}),
		"network":   neutron.New(neutron.Config{Service: c.Network, HTTP: common("network")}),
		"volume":    cinder.New(cinder.Config{Service: c.BlockStorage, HTTP: common("volume")}),
		"compute":   nova.New(nova.Config{Service: c.Compute, Policy: c.Policy, ImageURL: c.url("image"), HTTP: common("compute")}),
		"placement": placement.New(placement.Config{Store: c.Claims, Policy: c.Policy, HTTP: common("placement")}),
		"scheduler": explain.New(explain.Config{Store: c.Claims, Policy: c.Policy, HTTP: common("scheduler")}),
		"watch":     sse.New(sse.Config{Service: c.Watch, HTTP: common("watch")}),
	}
	if c.cfg.Faults != nil {
		apis["faults"] = c.cfg.Faults.API(c.Policy, common("faults"))
	}
	mux := http.NewServeMux()
	c.apis = map[string]http.Handler{}
	for name, api := range apis {
		c.apis[name] = api
		httpapi.Mount(mux, name, api)
	}
	mux.Handle("/console", console.New(console.Config{Consoles: c.Compute, PublicURL: func() string { return c.cfg.PublicURL }, Log: c.cfg.Log}))
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.cfg.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /{$}", c.index)
	c.handler = mux
	return nil
}

// index tells a person who comes by where the APIs are.
func (c *Cloud) index(w http.ResponseWriter, _ *http.Request) {
	urls := map[string]string{}
	for _, m := range mounts {
		urls[m.kind], _, _ = strings.Cut(c.url(m.name)+m.path, "/$(")
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"nephos": urls})
}
