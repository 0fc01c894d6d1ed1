package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUnroutedAsTheRealServices asks each service for paths and methods that its
// web framework answers before a resource does.
func TestUnroutedAsTheRealServices(t *testing.T) {
	roots := map[string]string{"compute": "v2.1", "volume": "v3", "image": "v2", "network": "v2.0", "identity": "v3", "placement": ""}
	faults := map[string]FaultWriter{"image": GlanceFault, "network": NeutronFault, "identity": KeystoneFault, "placement": PlacementFault, "volume": CinderFault}
	apis := map[string]*API{}
	for service, root := range roots {
		prefix := strings.TrimSuffix("/"+root, "/")
		apis[service] = newAPI(t, service, faults[service],
			Route{Pattern: "GET " + prefix + "/", Public: true, Handler: echo("root")},
			get("GET "+prefix+"/things", echo("list")),
			get("PUT "+prefix+"/things", echo("put")),
			get("GET "+prefix+"/things/{id}", echo("show", "id")),
			get("DELETE "+prefix+"/things/{id}", echo("delete", "id")),
		)
	}
	for _, c := range []struct {
		service, request string
		status           int
		allow            string
	}{
		{"compute", "GET /v2.1/things/", 404, ""},
		{"compute", "GET /v2.1/", 200, ""},
		{"compute", "HEAD /v2.1/things", 404, ""},
		{"compute", "HEAD /v2.1", 200, ""},
		{"compute", "POST /v2.1/things", 404, ""},
		{"compute", "OPTIONS /v2.1/things", 200, ""},
		{"compute", "OPTIONS /nothing", 200, ""},
		{"volume", "GET /v3/things/", 404, ""},
		{"volume", "GET /v3/things/x.json", 200, ""},
		{"volume", "HEAD /v3/things/x", 404, ""},
		{"volume", "OPTIONS /v3/things", 200, ""},
		{"image", "GET /v2/things/", 404, ""},
		{"image", "HEAD /v2/things", 405, "GET, PUT"},
		{"image", "POST /v2/things/x", 405, "DELETE, GET"},
		{"image", "OPTIONS /v2/things", 200, ""},
		{"image", "FOO /v2/things", 405, "GET, PUT"},
		{"image", "FOO /v2/nothing", 501, ""},
		{"network", "GET /v2.0/things/", 200, ""},
		{"network", "GET /v2.0/things.json", 200, ""},
		{"network", "HEAD /v2.0/things", 405, ""},
		{"network", "POST /v2.0/things/x", 405, ""},
		{"network", "OPTIONS /v2.0/things", 200, ""},
		{"identity", "GET /v3/things/", 200, ""},
		{"identity", "HEAD /v3/things", 200, ""},
		{"identity", "POST /v3/things", 405, "GET, HEAD, OPTIONS, PUT"},
		{"identity", "OPTIONS /v3/things", 200, "GET, HEAD, OPTIONS, PUT"},
		{"placement", "GET /things/", 404, ""},
		{"placement", "HEAD /things", 405, "GET, PUT"},
		{"placement", "HEAD /", 405, "GET"},
		{"placement", "OPTIONS /things/x", 405, "GET, DELETE"},
		{"placement", "POST /things/x", 405, "GET, DELETE"},
	} {
		w := do(apis[c.service], c.request, "")
		require.Equal(t, c.status, w.Code, "%s %s", c.service, c.request)
		require.Equal(t, c.allow, w.Header().Get("Allow"), "%s %s", c.service, c.request)
		switch method, _, _ := strings.Cut(c.request, " "); {
		case method == http.MethodOptions && c.status == 200:
			require.Empty(t, w.Body.String(), "%s %s", c.service, c.request)
		case method == http.MethodHead && c.status >= 400 && c.service != "network":
			require.Equal(t, "text/html; charset=UTF-8", w.Header().Get("Content-Type"), "%s %s", c.service, c.request)
			require.Equal(t, "0", w.Header().Get("Content-Length"), "%s %s", c.service, c.request)
		}
	}

	for service, root := range roots {
		if service == "image" {
			continue // which says more
		}
		for _, id := range []string{"a%00b", "%ff", "%C3%28"} {
			require.Equal(t, 404, do(apis[service], "GET "+strings.TrimSuffix("/"+root, "/")+"/things/"+id, "").Code, "%s %s", service, id)
		}
	}

	// OPTIONS needs no token, and neither do paths of no program.
	for service, want := range map[string]int{"compute": 401, "volume": 404, "network": 404, "image": 401, "identity": 404, "placement": 401} {
		require.Equal(t, want, do(apis[service], "GET /nothing", "", "X-Auth-Token: ").Code, service)
		if service != "placement" {
			require.Equal(t, 200, do(apis[service], "OPTIONS /"+roots[service]+"/things", "", "X-Auth-Token: ").Code, service)
		}
	}
}

// TestKeystoneLooksAtBodiesFirst checks that a body that is not a JSON object is
// refused before the path, the method and the token are looked at.
func TestKeystoneLooksAtBodiesFirst(t *testing.T) {
	a := newAPI(t, "identity", KeystoneFault, get("GET /v3/things", echo("list")))
	notJSON := `{"error":{"code":400,"message":"` + expecting("valid JSON", "request body") + `","title":"Bad Request"}}`
	notSaid := `{"error":{"code":400,"message":"` + expecting("application/json", "Content-Type header") + `","title":"Bad Request"}}`
	for _, c := range []struct{ request, body, mediaType, want string }{
		{"POST /v3/things", "x", "application/json", notJSON},
		{"POST /v3/nothing", "[]", "application/json", notJSON},
		{"GET /v3/things", "null", "application/json", notJSON},
		{"POST /v3/nothing", `"a"`, "", notJSON},
		{"POST /v3/things", "{} {}", "", notJSON},
		{"POST /v3/things", "{}", "text/plain", notSaid},
	} {
		for _, token := range []string{"good", "bad"} {
			w := do(a, c.request, c.body, "X-Auth-Token: "+token, "Content-Type: "+c.mediaType)
			require.Equal(t, 400, w.Code, c)
			require.Equal(t, c.want, w.Body.String(), c)
		}
	}
	require.Equal(t, 200, do(a, "GET /v3/things", "{}").Code)
	require.Equal(t, 405, do(a, "POST /v3/things", "{}").Code)
	require.Equal(t, 404, do(a, "POST /v3/nothing", "{}").Code)
}
