package keystone

import (
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity"
)

// Config are the parts of the API.
type Config struct {
	// Service stands behind every interface below that is left nil.
	Service *identity.Service

	Roles identity.Roles

	// HTTP carries the public URL, logs, metrics and traces. Its Service, Faults
	// and Verifier are set here; a Verifier that is given stays.
	HTTP httpapi.Config
}

// api holds what the handlers need.
type api struct {
	Config
}

// New returns the API.
func New(cfg Config) *httpapi.API {
	if s := cfg.Service; s != nil {
		orElse[identity.Roles](&cfg.Roles, s)
		orElse[httpapi.Verifier](&cfg.HTTP.Verifier, s)
	}
	cfg.HTTP.Service, cfg.HTTP.Faults = "identity", httpapi.KeystoneFault
	a := &api{Config: cfg}
	h := httpapi.New(cfg.HTTP)
	for _, routes := range [][]httpapi.Route{
		a.roleRoutes(),
	} {
		h.Add(routes...)
	}
	return h
}

// orElse sets a part that was not given.
func orElse[T comparable](part *T, fallback T) {
	var zero T
	if *part == zero {
		*part = fallback
	}
}

// rules names identity's policy rules.
func rules(names ...string) []string {
	for i, n := range names {
		names[i] = "identity:" + n
	}
	return names
}
