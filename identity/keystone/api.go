package keystone

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity"
)

// Config are the parts of the API.
type Config struct {
	// Service stands behind every interface below that is left nil.
	Service *identity.Service

	Tokens         identity.Tokens
	Domains        identity.Domains
	Projects       identity.Projects
	ProjectTags    identity.ProjectTags
	Users          identity.Users
	Groups         identity.Groups
	Roles          identity.Roles
	Grants         identity.Grants
	Assignments    identity.Assignments
	ImpliedRoles   identity.ImpliedRoles
	Services       identity.Services
	Endpoints      identity.Endpoints
	Regions        identity.Regions
	AppCredentials identity.AppCredentials
	// Permits lets an answer say that a caller may not before it says what is
	// wrong with the body, as Keystone's do.
	Permits identity.Permits

	// HTTP carries the public URL, logs, metrics and traces. Its Service, Faults
	// and Verifier are set here; a Verifier that is given stays.
	HTTP httpapi.Config
}

// api holds what the handlers need.
type api struct {
	Config
	tokens   *memo[*identity.Token]   // encoded tokens
	catalogs *memo[*identity.Catalog] // encoded catalogs
}

// New returns the API, to be mounted at the root of the identity endpoint.
func New(cfg Config) *httpapi.API {
	if s := cfg.Service; s != nil {
		orElse[identity.Tokens](&cfg.Tokens, s)
		orElse[identity.Domains](&cfg.Domains, s)
		orElse[identity.Projects](&cfg.Projects, s)
		orElse[identity.ProjectTags](&cfg.ProjectTags, s)
		orElse[identity.Users](&cfg.Users, s)
		orElse[identity.Groups](&cfg.Groups, s)
		orElse[identity.Roles](&cfg.Roles, s)
		orElse[identity.Grants](&cfg.Grants, s)
		orElse[identity.Assignments](&cfg.Assignments, s)
		orElse[identity.ImpliedRoles](&cfg.ImpliedRoles, s)
		orElse[identity.Services](&cfg.Services, s)
		orElse[identity.Endpoints](&cfg.Endpoints, s)
		orElse[identity.Regions](&cfg.Regions, s)
		orElse[identity.AppCredentials](&cfg.AppCredentials, s)
		orElse[identity.Permits](&cfg.Permits, s)
		orElse[httpapi.Verifier](&cfg.HTTP.Verifier, s)
	}
	cfg.HTTP.Service, cfg.HTTP.Faults = "identity", httpapi.KeystoneFault
	if cfg.HTTP.AuthURL == "" && cfg.HTTP.AuthURLFunc == nil {
		public, fixed := cfg.HTTP.PublicURLFunc, cfg.HTTP.PublicURL
		cfg.HTTP.AuthURLFunc = func() string {
			if public != nil {
				return strings.TrimRight(public(), "/") + "/v3"
			}
			return strings.TrimRight(fixed, "/") + "/v3"
		}
	}
	a := &api{Config: cfg, tokens: newMemo[*identity.Token](2000), catalogs: newMemo[*identity.Catalog](1000)}
	h := httpapi.New(cfg.HTTP)
	for _, routes := range [][]httpapi.Route{
		a.versionRoutes(), a.tokenRoutes(), a.domainRoutes(), a.projectRoutes(), a.userRoutes(), a.groupRoutes(), a.roleRoutes(),
		a.impliedRoleRoutes(), a.grantRoutes(), a.assignmentRoutes(), a.serviceRoutes(), a.endpointRoutes(), a.regionRoutes(), a.appCredRoutes(),
	} {
		for i, r := range routes {
			routes[i].Handler = ofText(r.Handler)
		}
		h.Add(routes...)
	}
	return h
}

// ofText runs a handler unless something in the query is not text that a database
// takes.
func ofText(next httpapi.Handler) httpapi.Handler {
	return func(r *httpapi.Request) (*httpapi.Response, error) {
		bad := func(s string) bool { return strings.ContainsRune(s, 0) || !utf8.ValidString(s) }
		for name, values := range r.Query() {
			if bad(name) || slices.ContainsFunc(values, bad) {
				return nil, nephos.Errorf(nephos.ErrInvalid, "The query must be UTF-8 text without NUL.").WithField("query")
			}
		}
		return next(r)
	}
}

// orElse sets a part that was not given.
func orElse[T comparable](part *T, fallback T) {
	var zero T
	if *part == zero {
		*part = fallback
	}
}

// refuse answers a body that is no good, unless the caller may not do the
// operation at all, or there is nothing to do it to.
func (a *api) refuse(r *httpapi.Request, err error, rule, id string) error {
	if a.Permits != nil && errors.Is(err, nephos.ErrInvalid) {
		if e := a.Permits.Permit(r.Context(), "identity:"+rule, id); e != nil {
			return e
		}
	}
	return err
}

// rules names identity's policy rules.
func rules(names ...string) []string {
	for i, n := range names {
		names[i] = "identity:" + n
	}
	return names
}
