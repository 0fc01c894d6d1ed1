package compat

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/httpapi"
)

var titles = []API{
	{Name: "identity", Title: "Identity"},
	{Name: "image", Title: "Image"},
	{Name: "compute", Title: "Compute"},
	{Name: "network", Title: "Networking"},
	{Name: "volume", Title: "Block Storage"},
	{Name: "placement", Title: "Placement"},
}

// nothing is the id of a thing that does not exist.
const nothing = "00000000-0000-4000-8000-000000000000"

var wildcard = regexp.MustCompile(`\{[^}]*\}`)

// TestThePageIsWhatTheTestsHaveShown makes the page anew.
func TestThePageIsWhatTheTestsHaveShown(t *testing.T) {
	if os.Getenv("NEPHOS_E2E") != "1" {
		t.Skip("NEPHOS_E2E=1 is not set: the page is compared where the tests that it tells of run")
	}
	c := cloudtest.New(t, cloudtest.Options{Stopped: true})
	token := c.Clients().Compute.Token()
	page := Page{APIs: titles, HasAction: func(api string, route httpapi.Route, action string) bool {
		path := strings.ReplaceAll(strings.TrimPrefix(route.Pattern, "POST "), "/{project_id?}", "")
		path = wildcard.ReplaceAllString(path, nothing)
		// Some actions began late, some ended early.
		for _, version := range versions[api] {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(`{"`+action+`": {}}`))
			r.Header.Set("X-Auth-Token", token)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("OpenStack-API-Version", api+" "+version)
			w := httptest.NewRecorder()
			c.API(api).ServeHTTP(w, r)
			switch {
			case strings.Contains(w.Body.String(), "no such action"), w.Code == http.StatusNotImplemented:
			case w.Code == http.StatusNotFound && !strings.Contains(w.Body.String(), nothing): // the microversion has it not
			default:
				return true
			}
		}
		return false
	}}
	for i := range page.APIs {
		page.APIs[i].Routes = c.API(page.APIs[i].Name).(*httpapi.API).Routes()
	}
	var err error
	page.Reference, err = Reference()
	require.NoError(t, err)
	page.Gophercloud, err = read(filepath.Join(folder(), Gophercloud))
	require.NoError(t, err)
	page.OpenStack, err = read(filepath.Join(folder(), OpenStack))
	require.NoError(t, err)
	path := filepath.Join(folder(), "..", "..", "docs", "compatibility.md")
	if Updating() {
		require.NoError(t, os.WriteFile(path, []byte(page.String()), 0o644))
		return
	}
	committed, err := os.ReadFile(path)
	require.NoError(t, err)
	if string(committed) != page.String() {
		require.Equal(t, strings.Split(page.String(), "\n"), strings.Split(string(committed), "\n"),
			"docs/compatibility.md is not what the tests have shown; write it by NEPHOS_COMPATIBILITY_UPDATE=1 go test ./e2e/compat")
	}
}

var versions = map[string][]string{"compute": {"latest", "2.1"}, "volume": {"latest", "3.0"}, "image": {""}, "network": {""}}
