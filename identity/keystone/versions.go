package keystone

import "github.com/nephos-cloud/nephos/httpapi"

// The version of the Identity API that is spoken, and when it became so.
const (
	versionID      = "v3.14"
	versionUpdated = "2020-04-07T00:00:00Z"
)

func (a *api) versionRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "GET /", Public: true, Handler: a.listVersions},
		{Pattern: "GET /v3", Public: true, Handler: a.showVersion},
	}
}

func versionBody(r *httpapi.Request) map[string]any {
	return map[string]any{
		"id": versionID, "status": "stable", "updated": versionUpdated,
		"links":       []map[string]string{{"rel": "self", "href": r.Link("/v3/", nil)}},
		"media-types": []map[string]string{{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}},
	}
}

func (a *api) listVersions(r *httpapi.Request) (*httpapi.Response, error) {
	if wantsHome(r) {
		return jsonHome("/v3"), nil
	}
	resp := httpapi.MultipleChoices(map[string]any{"versions": map[string]any{"values": []any{versionBody(r)}}})
	return resp.Set("Location", r.Link("/v3/", nil)), nil
}

func (a *api) showVersion(r *httpapi.Request) (*httpapi.Response, error) {
	if wantsHome(r) {
		return jsonHome(""), nil
	}
	return httpapi.OK(map[string]any{"version": versionBody(r)}), nil
}
