package sse

import (
	"net/http"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/watch"
)

// Config are the parts of the API. Service and HTTP are needed.
type Config struct {
	Service *watch.Service
	// HTTP carries the verifier, the public URL, logs, metrics and traces. Its
	// Service and Faults are set here.
	HTTP httpapi.Config
	// Heartbeat is how long a stream is silent before a heartbeat, at which the
	// token is verified again; 0 means 15 seconds.
	Heartbeat time.Duration
}

type api struct {
	service   *watch.Service
	heartbeat time.Duration
	clock     nephos.Clock
}

// New returns the API. Its faults look like the Identity API's.
func New(cfg Config) *httpapi.API {
	cfg.HTTP.Service, cfg.HTTP.Faults = "watch", httpapi.KeystoneFault
	a := &api{service: cfg.Service, heartbeat: cfg.Heartbeat, clock: cfg.HTTP.Clock}
	if a.heartbeat <= 0 {
		a.heartbeat = 15 * time.Second
	}
	if a.clock == nil {
		a.clock = nephos.WallClock{}
	}
	h := httpapi.New(cfg.HTTP)
	h.Add(
		httpapi.Route{Pattern: "GET /", Public: true, Handler: a.versions},
		httpapi.Route{Pattern: "GET /v1", Public: true, Handler: a.version},
		httpapi.Route{Pattern: "GET /v1/events", Rules: []string{"watch:events:list"}, Stream: true, Handler: a.events},
	)
	return h
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
	return version{ID: "v1.0", Status: "CURRENT", Links: []link{{"self", r.Link("/v1/", nil)}, {"events", r.Link("/v1/events", nil)}}}
}

func (a *api) versions(r *httpapi.Request) (*httpapi.Response, error) {
	return httpapi.MultipleChoices(map[string]any{"versions": []version{about(r)}}), nil
}

func (a *api) version(r *httpapi.Request) (*httpapi.Response, error) {
	return httpapi.Status(http.StatusOK, map[string]any{"version": about(r)}), nil
}
