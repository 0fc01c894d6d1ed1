package nova

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

// catalogRoutes are the operations on everything but servers.
func (a *api) catalogRoutes() []httpapi.Route {
	var routes []httpapi.Route
	for _, part := range [][]httpapi.Route{
		a.flavorRoutes(), a.flavorPartRoutes(), a.keyPairRoutes(), a.groupRoutes(), a.aggregateRoutes(), a.zoneRoutes(),
		a.quotaRoutes(), a.limitRoutes(), a.hypervisorRoutes(), a.computeServiceRoutes(), a.usageRoutes(),
		a.externalEventRoutes(), a.extensionRoutes(), a.securityGroupRoutes(),
	} {
		routes = append(routes, part...)
	}
	return routes
}

// collectionPath is a path below the version, with the project's id if the
// client gave it, as Nova's links have it.
func collectionPath(r *httpapi.Request, path string) string {
	if p := r.PathValue("project_id?"); p != "" {
		return p + "/" + path
	}
	return path
}

// resourceLinks are a resource's links to itself: with the version and without.
func resourceLinks(r *httpapi.Request, collection, id string) []httpapi.Link {
	path := collectionPath(r, collection+"/"+url.PathEscape(id))
	return []httpapi.Link{{Rel: "self", Href: r.Link("/v2.1/"+path, nil)}, {Rel: "bookmark", Href: r.Link("/"+path, nil)}}
}

// dateTime writes a time as Nova's less careful resources do: without a zone.
func dateTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000") }

// onlyParams refuses query parameters that are not known, from the microversion
// 2.minor on; before, they were passed over.
func onlyParams(r *httpapi.Request, minor int, known ...string) error {
	if !atLeast(r, minor) {
		return nil
	}
	var extra []string
	for k := range r.Query() {
		if !slices.Contains(known, k) {
			extra = append(extra, quoting.Repr(clip(k)))
		}
	}
	slices.Sort(extra)
	switch len(extra) {
	case 0:
		return nil
	case 1:
		return nephos.Errorf(nephos.ErrInvalid, "Additional properties are not allowed (%s was unexpected)", extra[0])
	}
	return nephos.Errorf(nephos.ErrInvalid, "Additional properties are not allowed (%s were unexpected)", strings.Join(extra, ", "))
}

// emptyAnswer is a status with no body.
func emptyAnswer(status int) *httpapi.Response { return httpapi.Status(status, nil) }
