package nova

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity/policy"
)

// Config are the parts of the API.
type Config struct {
	// Service stands behind every interface below that is left nil.
	Service *compute.Service
	// Policy decides which attributes a caller sees; it is needed.
	Policy *policy.Enforcer

	Servers     compute.Servers
	Metadata    compute.ServerMetadata
	Tags        compute.ServerTags
	Power       compute.ServerPower
	Actions     compute.Actions
	Interfaces  compute.Interfaces
	Attachments compute.VolumeAttachments
	Groups      compute.ServerSecurityGroups
	AllGroups   compute.SecurityGroups
	Consoles    compute.Consoles
	Images      compute.ServerImages
	Catalog     compute.Catalog
	Topologies  compute.Topologies
	// ImageURL is the public URL of the Image API, for the place of an image that
	// is made of a server.
	ImageURL string

	// HTTP carries the verifier, the public URL, logs, metrics and traces. Its
	// Service, Faults and Versions are set here.
	HTTP httpapi.Config
}

// api holds what the handlers need.
type api struct {
	Config
	serverSchemas sync.Map // of bodies that make servers, by microversion
}

// root is what all paths of the API begin with. The project's id may be given.
const root = "/v2.1/{project_id?}"

// New returns the API.
func New(cfg Config) *httpapi.API {
	if s := cfg.Service; s != nil {
		orElse[compute.Servers](&cfg.Servers, s)
		orElse[compute.ServerMetadata](&cfg.Metadata, s)
		orElse[compute.ServerTags](&cfg.Tags, s)
		orElse[compute.ServerPower](&cfg.Power, s)
		orElse[compute.Actions](&cfg.Actions, s)
		orElse[compute.Interfaces](&cfg.Interfaces, s)
		orElse[compute.VolumeAttachments](&cfg.Attachments, s)
		orElse[compute.ServerSecurityGroups](&cfg.Groups, s)
		orElse[compute.SecurityGroups](&cfg.AllGroups, s)
		orElse[compute.Consoles](&cfg.Consoles, s)
		orElse[compute.ServerImages](&cfg.Images, s)
		orElse[compute.Catalog](&cfg.Catalog, s)
		orElse[compute.Topologies](&cfg.Topologies, s)
	}
	cfg.HTTP.Service, cfg.HTTP.Faults, cfg.HTTP.Versions = "compute", httpapi.NovaFault, &versions
	a := &api{Config: cfg}
	h := httpapi.New(cfg.HTTP)
	for _, routes := range [][]httpapi.Route{
		a.versionRoutes(), a.serverRoutes(), a.serverPartRoutes(), a.actionRoutes(), a.instanceActionRoutes(),
		a.attachmentRoutes(), a.consoleRoutes(), a.catalogRoutes(), a.removedRoutes(),
	} {
		for i := range routes {
			routes[i].Handler = typed(ofUTF8(routes[i].Handler))
		}
		h.Add(routes...)
	}
	return h
}

// searched are parameters of lists whose values databases are asked for.
var searched = []string{"user_id", "project_id", "tenant_id", "host", "binary", "source_compute", "instance_uuid", "migration_type", "hypervisor_hostname_pattern"}

// ofUTF8 runs a handler unless the query is not text. A NUL, which databases do not
// take and so have nowhere, becomes another character that nothing is called by.
func ofUTF8(next httpapi.Handler) httpapi.Handler {
	return func(r *httpapi.Request) (*httpapi.Response, error) {
		for name, values := range r.Query() {
			if !utf8.ValidString(name) || slices.ContainsFunc(values, func(v string) bool { return !utf8.ValidString(v) }) {
				return nil, nephos.Errorf(nephos.ErrInvalid, "Query string is not UTF-8 encoded").WithField("query")
			}
		}
		for _, name := range searched {
			for i, v := range r.Query()[name] {
				r.Query()[name][i] = strings.ReplaceAll(v, "\x00", "\ufffd")
			}
		}
		return next(r)
	}
}

// typed gives answers without a body the type that Nova's have.
func typed(next httpapi.Handler) httpapi.Handler {
	return func(r *httpapi.Request) (*httpapi.Response, error) {
		resp, err := next(r)
		if err != nil {
			return nil, err
		}
		if resp == nil {
			resp = httpapi.Status(http.StatusNoContent, nil)
		}
		if resp.Body == nil && resp.Stream == nil && resp.Write == nil && resp.Header.Get("Content-Type") == "" {
			resp.Set("Content-Type", "application/json")
		}
		return resp, nil
	}
}

// orElse sets a part that was not given.
func orElse[T comparable](part *T, fallback T) {
	var zero T
	if *part == zero {
		*part = fallback
	}
}

// rules names policy rules of the Compute API.
func rules(names ...string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = "os_compute_api:" + n
	}
	return out
}
