package glance

import (
	"io"
	"net/http"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

type versionsBody struct {
	Versions []version `json:"versions"`
}

type version struct {
	ID     string         `json:"id"`
	Status string         `json:"status"`
	Links  []httpapi.Link `json:"links"`
}

// Versions 2.8 and 2.10 to 2.13 are of clouds with several stores, 2.14 and 2.16
// of those with a cache.
func built() []string {
	return []string{"v2.15", "v2.9", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0"}
}

func showVersions(status int) httpapi.Handler {
	return func(r *httpapi.Request) (*httpapi.Response, error) {
		body := versionsBody{}
		for i, id := range built() {
			v := version{ID: id, Status: "SUPPORTED", Links: []httpapi.Link{{Rel: "self", Href: r.Link("/v2/", nil)}}}
			if i == 0 {
				v.Status = "CURRENT"
			}
			body.Versions = append(body.Versions, v)
		}
		return httpapi.Status(status, body), nil
	}
}

func (a *api) versionRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "GET /{$}", Public: true, Handler: showVersions(http.StatusMultipleChoices)},
		{Pattern: "GET /versions", Public: true, Handler: showVersions(http.StatusOK)},
		{Pattern: "GET /healthcheck", Public: true, Handler: func(*httpapi.Request) (*httpapi.Response, error) {
			return httpapi.Bytes("text/plain; charset=UTF-8", 2, io.NopCloser(strings.NewReader("OK"))), nil
		}},
		{Pattern: "GET /v2", Rules: []string{"@"}, Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/") {
				return nil, &nephos.Error{Kind: nephos.ErrNotFound}
			}
			return httpapi.Redirect(http.StatusFound, r.Link("/v2/", nil)), nil
		}},
	}
}

// otherVersions answers what is below no version of the API with the choice of
// versions.
func otherVersions(r *httpapi.Request) (*httpapi.Response, error) {
	if first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); first == "v2" || first == "" {
		return nil, nil
	}
	return showVersions(http.StatusMultipleChoices)(r)
}
