package nova

import (
	"github.com/nephos-cloud/nephos/httpapi"
)

// versions is the range of microversions whose every mounted operation speaks
// them.
var versions = httpapi.VersionRange{Min: httpapi.V(2, 1), Max: httpapi.V(2, 96)}

// versionsUpdated is when the API's document changed last, as Nova tells it.
const versionsUpdated = "2013-07-23T11:33:21Z"

type versionBody struct {
	ID         string         `json:"id"`
	Status     string         `json:"status"`
	Version    string         `json:"version"`
	MinVersion string         `json:"min_version"`
	Updated    string         `json:"updated"`
	Links      []versionLink  `json:"links"`
	MediaTypes []mediaVersion `json:"media-types,omitempty"`
}

type versionLink struct {
	Rel  string `json:"rel"`
	Type string `json:"type,omitempty"`
	Href string `json:"href"`
}

type mediaVersion struct {
	Base string `json:"base"`
	Type string `json:"type"`
}

func (a *api) versionRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "GET /{$}", Public: true, Handler: a.listVersions},
		{Pattern: "GET /v2.1", Public: true, Handler: a.showVersion},
	}
}

func currentVersion(r *httpapi.Request) versionBody {
	return versionBody{
		ID: "v2.1", Status: "CURRENT", Version: versions.Max.String(), MinVersion: versions.Min.String(), Updated: versionsUpdated,
		Links: []versionLink{{Rel: "self", Href: r.Link("/v2.1/", nil)}},
	}
}

func (a *api) listVersions(r *httpapi.Request) (*httpapi.Response, error) {
	return httpapi.OK(map[string]any{"versions": []versionBody{currentVersion(r)}}), nil
}

func (a *api) showVersion(r *httpapi.Request) (*httpapi.Response, error) {
	v := currentVersion(r)
	v.Links = append(v.Links, versionLink{Rel: "describedby", Type: "text/html", Href: "http://docs.openstack.org/"})
	v.MediaTypes = []mediaVersion{{"application/json", "application/vnd.openstack.compute+json;version=2.1"}}
	return httpapi.OK(map[string]any{"version": v}), nil
}
