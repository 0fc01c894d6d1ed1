package cinder

import (
	"github.com/nephos-cloud/nephos/httpapi"
)

const (
	minVersion = "3.0"
	maxVersion = "3.67"
)

// object is a JSON object on the wire.
type object = map[string]any

// without is the edit that takes members out again which a microversion added.
func without(version string, names ...string) httpapi.Edit[object] {
	return httpapi.Edit[object]{Version: httpapi.MustVersion(version), Apply: func(o *object) error {
		for _, n := range names {
			delete(*o, n)
		}
		return nil
	}}
}

// volumeEdits is the history of a volume's details.
func volumeEdits() httpapi.Edits[object] {
	return httpapi.Edits[object]{
		without("3.13", "group_id"),
		without("3.21", "provider_id"),
		without("3.48", "shared_targets", "service_uuid"),
		without("3.61", "cluster_name"),
		without("3.63", "volume_type_id"),
		without("3.65", "consumes_quota"),
	}
}

// snapshotEdits is the history of a snapshot's details.
func snapshotEdits() httpapi.Edits[object] {
	return httpapi.Edits[object]{
		without("3.14", "group_snapshot_id"),
		without("3.41", "user_id"),
		without("3.65", "consumes_quota"),
	}
}

// serviceEdits is the history of a service's entry.
func serviceEdits() httpapi.Edits[object] {
	return httpapi.Edits[object]{without("3.7", "cluster"), without("3.49", "backend_state")}
}

// transferEdits is the history of a transfer's details.
func transferEdits() httpapi.Edits[object] {
	return httpapi.Edits[object]{without("3.55", "no_snapshots"), without("3.57", "source_project_id", "destination_project_id", "accepted")}
}

// summaryEdits is the history of the summary of volumes.
func summaryEdits() httpapi.Edits[object] { return httpapi.Edits[object]{without("3.36", "metadata")} }

// since reports whether the request speaks the microversion or a newer one. It
// is for what a request means; answers are edited down.
func since(r *httpapi.Request, version string) bool {
	return r.Version.AtLeast(httpapi.MustVersion(version))
}

func (a *api) versionRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "GET /", Public: true, Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
			return httpapi.MultipleChoices(versionList(r)), nil
		}},
		{Pattern: "GET /v3", Public: true, Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
			return httpapi.OK(versionList(r)), nil
		}},
	}
}

// versionList is the document by which clients discover the API.
func versionList(r *httpapi.Request) object {
	return object{"versions": []object{{
		"id": "v3.0", "status": "CURRENT", "version": maxVersion, "min_version": minVersion, "updated": "2022-03-30T00:00:00Z",
		"links": []object{
			{"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
			{"rel": "self", "href": r.Link("/v3/", nil)},
		},
		"media-types": []object{{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}},
	}}}
}
