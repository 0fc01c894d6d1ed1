package neutron

import (
	"log/slog"

	"go.opentelemetry.io/otel/trace"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/network"
)

// Service is what the API stands on: all of the network package's interfaces.
type Service interface {
	network.Networks
	network.Subnets
	network.Ports
	network.SecurityGroups
	network.SecurityGroupRules
	network.Routers
	network.FloatingIPs
	network.Quotas
	network.Tags
	network.Agents
}

// Config are the parts of the API. Service, Policy and Verifier are needed.
type Config struct {
	Service Service
	// Policy decides which attributes a caller gets to see.
	Policy   *policy.Enforcer
	Verifier httpapi.Verifier
	// PublicURL is where clients see the API's root; PublicURLFunc, where set, is
	// asked instead. AuthURL is the Identity API's.
	PublicURL     string
	PublicURLFunc func() string
	AuthURL       string
	AuthURLFunc   func() string

	Log     *slog.Logger
	Clock   nephos.Clock
	IDs     nephos.IDs
	Metrics *httpapi.Metrics
	Tracer  trace.TracerProvider
}

// api is the API's handlers.
type api struct{ cfg Config }

// New returns the API.
func New(cfg Config) *httpapi.API {
	h := httpapi.New(httpapi.Config{
		Service: "network", Faults: httpapi.NeutronFault, Verifier: cfg.Verifier,
		PublicURL: cfg.PublicURL, PublicURLFunc: cfg.PublicURLFunc, AuthURL: cfg.AuthURL, AuthURLFunc: cfg.AuthURLFunc,
		Log: cfg.Log, Clock: cfg.Clock, IDs: cfg.IDs, Metrics: cfg.Metrics, Tracer: cfg.Tracer,
	})
	h.Add(Routes(cfg)...)
	return h
}

// Routes returns the API's operations.
func Routes(cfg Config) []httpapi.Route {
	a := &api{cfg: cfg}
	routes := []httpapi.Route{
		{Pattern: "GET /", Public: true, Handler: a.versions},
		{Pattern: "GET /v2.0", Rules: []string{"get_network"}, Handler: a.resources},
		{Pattern: "GET /v2.0/extensions", Rules: []string{"get_network"}, Handler: a.listExtensions},
		{Pattern: "GET /v2.0/extensions/{alias}", Rules: []string{"get_network"}, Handler: a.showExtension},
	}
	routes = append(routes, crud(a, a.network())...)
	routes = append(routes, crud(a, a.subnet())...)
	routes = append(routes, crud(a, a.port())...)
	routes = append(routes, crud(a, a.securityGroup())...)
	routes = append(routes, crud(a, a.securityGroupRule())...)
	routes = append(routes, crud(a, a.router())...)
	routes = append(routes, crud(a, a.floatingIP())...)
	routes = append(routes, a.routerActions()...)
	routes = append(routes, a.quotaRoutes()...)
	routes = append(routes, a.tagRoutes()...)
	return append(routes, a.agentRoutes()...)
}
