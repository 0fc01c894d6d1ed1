package placement_test

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestChecksComeInPlacementsOrder sends requests with several faults and expects
// the answer to the one that Placement sees first: token, version, a body without
// a type, path, method, version of the operation, types. With
// NEPHOS_PLACEMENT_PEER a real Placement has to agree.
func TestChecksComeInPlacementsOrder(t *testing.T) {
	const (
		one  = "/resource_providers/" + rp1
		html = "text/html"
	)
	unknownVersion := "placement 9.9"
	cases := []struct {
		request, version, accept, contentType, body string
		status                                      int
		allow, vary                                 string
	}{
		{"GET /nothing", unknownVersion, "", "", "", 406, "", ""},
		{"POST " + one, unknownVersion, "", "", "", 406, "", ""},
		{"POST /", unknownVersion, "", "", "", 406, "", ""},
		{"GET /nothing", "placement x", "", "", "", 400, "", ""},
		{"GET /nothing", "", "", "", "{}", 400, "", ""},
		{"POST " + one, "", "", "", "{}", 400, "", ""},
		{"GET /nothing", "", html, "", "", 404, "", ""},
		{"GET /resource_providers/", "", "", "", "", 404, "", ""},
		{"GET " + one + "/", "", "", "", "", 404, "", ""},
		{"POST /", "", "", "", "", 405, "GET", "openstack-api-version"},
		{"HEAD /", "", "", "", "", 405, "GET", "openstack-api-version"},
		{"HEAD /resource_providers", "", "", "", "", 405, "GET, POST", "openstack-api-version"},
		{"OPTIONS /resource_providers", "", "", "", "", 405, "GET, POST", "openstack-api-version"},
		{"PATCH " + one, "", html, "text/plain", "x", 405, "GET, DELETE, PUT", "openstack-api-version"},
		{"FOO " + one + "/inventories", "", "", "", "", 405, "GET, POST, PUT, DELETE", "openstack-api-version"},
		{"FOO " + one + "/inventories/VCPU", "", "", "", "", 405, "GET, PUT, DELETE", "openstack-api-version"},
		{"FOO /resource_classes/VCPU", "placement 1.0", "", "", "", 405, "GET, PUT, DELETE", "openstack-api-version"},
		{"PUT /allocations", "placement 1.0", "", "", "", 405, "POST", "openstack-api-version"},
		{"GET /reshaper", "placement 1.0", "", "", "", 405, "POST", "openstack-api-version"},
		{"POST /traits/CUSTOM_A", "placement 1.0", "", "", "", 405, "GET, PUT, DELETE", "openstack-api-version"},
		{"GET /resource_classes", "placement 1.0", html, "", "", 404, "", "openstack-api-version"},
		{"POST /resource_classes", "placement 1.0", "", "text/plain", "x", 404, "", "openstack-api-version"},
		{"GET " + one + "/aggregates", "placement 1.0", html, "", "", 406, "", "openstack-api-version"},
		{"GET " + one + "/aggregates", "placement 1.0", "", "", "", 404, "", "openstack-api-version"},
		{"PUT " + one + "/aggregates", "placement 1.0", "", "text/plain", "[]", 415, "", "openstack-api-version"},
		{"GET /resource_providers", "", html, "", "", 406, "", "openstack-api-version"},
		{"GET " + one, "", "text/plain", "", "", 406, "", "openstack-api-version"},
		{"POST /resource_providers", "", "", "", "", 415, "", "openstack-api-version"},
		{"PUT " + one, "", html, "", "", 415, "", "openstack-api-version"},
		{"PUT " + one, "", "", "text/plain", "x", 415, "", "openstack-api-version"},
		{"GET " + one, "", "", "", "", 404, "", ""},
		{"GET " + one + "/usages", "", "", "", "", 404, "", "openstack-api-version"},
		{"DELETE " + one, "", "", "", "", 404, "", "openstack-api-version"},
	}
	send := func(base string, i int) (*http.Response, string) {
		c := cases[i]
		method, path, _ := strings.Cut(c.request, " ")
		var body io.Reader
		if c.body != "" {
			body = strings.NewReader(c.body)
		}
		req, err := http.NewRequest(method, base+path, body)
		require.NoError(t, err)
		req.Header.Set("X-Auth-Token", "admin")
		for k, v := range map[string]string{"OpenStack-API-Version": c.version, "Accept": c.accept, "Content-Type": c.contentType} {
			if v != "" {
				req.Header.Set(k, v)
			}
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp, regexp.MustCompile(`req-[0-9a-f-]*|\s`).ReplaceAllString(string(raw), "")
	}
	f := newFixture(t)
	if real := os.Getenv("NEPHOS_PLACEMENT_PEER"); real != "" {
		peer{real}.clear(t)
	}
	for i, c := range cases {
		resp, body := send(f.URL, i)
		require.Equal(t, c.status, resp.StatusCode, "%v: %s", c, body)
		require.Equal(t, c.allow, resp.Header.Get("Allow"), "%v", c)
		require.Equal(t, c.vary, resp.Header.Get("Vary"), "%v", c)
		if real := os.Getenv("NEPHOS_PLACEMENT_PEER"); real != "" {
			theirs, theirBody := send(real, i)
			require.Equal(t, theirs.StatusCode, resp.StatusCode, "%v: %s", c, theirBody)
			for _, header := range []string{"Allow", "Vary", "Content-Type", "Openstack-Api-Version"} {
				require.Equal(t, theirs.Header.Get(header), resp.Header.Get(header), "%v", c)
			}
			require.Len(t, body, len(theirBody), "%v: %s\n%s", c, body, theirBody)
		}
	}

	// A bad token is refused before all else.
	for _, request := range []string{"GET /nothing", "POST /resource_providers", "HEAD /resource_providers"} {
		method, path, _ := strings.Cut(request, " ")
		req, err := http.NewRequest(method, f.URL+path, nil)
		require.NoError(t, err)
		req.Header.Set("OpenStack-API-Version", unknownVersion)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 401, resp.StatusCode, request)
	}
}
