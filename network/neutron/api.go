package neutron

import (
	"github.com/nephos-cloud/nephos/httpapi"
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
	network.Visibility
}

// Config are the parts of the API.
type Config struct {
	// Service is *network.Service, or an implementation of one's own.
	Service Service
	// HTTP carries the verifier, the public URL, logs, metrics and traces. Its
	// Service and Faults are set here.
	HTTP httpapi.Config
}

// api is the API's handlers.
type api struct{ cfg Config }

// New returns the API.
func New(cfg Config) *httpapi.API {
	cfg.HTTP.Service, cfg.HTTP.Faults = "network", httpapi.NeutronFault
	h := httpapi.New(cfg.HTTP)
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
	routes = append(routes, a.agentRoutes()...)
	for i := range routes {
		routes[i].Handler = withID(routes[i].Handler)
	}
	return routes
}
