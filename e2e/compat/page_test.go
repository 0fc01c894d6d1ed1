package compat

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	volumequota "github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/quotasets"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	computequota "github.com/gophercloud/gophercloud/v2/openstack/compute/v2/quotasets"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
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
	c := cloudtest.New(t)
	token := c.Clients().Compute.Token()
	noQuota(t, c)
	image := c.AddImage("probed", []byte("an image"))
	page := Page{APIs: titles, Has: func(api string, route httpapi.Route, op Operation) bool {
		path := strings.ReplaceAll(strings.TrimPrefix(route.Pattern, op.Method+" "), "/{project_id?}", "")
		id, body := nothing, "{}"
		switch path { // an action that is not built says so of what exists
		case "/v2.1/servers/{id}/action":
			id = newServer(t, c, image)
		case "/v3/volumes/{id}/action":
			id = newVolume(t, c)
		}
		if op.Action != "" {
			body = `{"` + op.Action + `": "probe"}`
		}
		path = strings.ReplaceAll(path, "{action}", op.Path[strings.LastIndexByte(op.Path, '/')+1:])
		path = wildcard.ReplaceAllString(path, id)
		for _, version := range versions[api] { // some actions began late, some ended early
			r := httptest.NewRequest(op.Method, path, strings.NewReader(body))
			r.Header.Set("X-Auth-Token", token)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("OpenStack-API-Version", api+" "+version)
			w := httptest.NewRecorder()
			c.API(api).ServeHTTP(w, r)
			switch {
			case strings.Contains(w.Body.String(), "no such action"), w.Code == http.StatusNotImplemented:
			case w.Code == http.StatusNotFound && !strings.Contains(w.Body.String(), id): // the microversion has it not
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

func newServer(t *testing.T, c *cloudtest.Cloud, image string) string {
	client := c.Clients().Compute
	client.Microversion = "2.60"
	s, err := servers.Create(t.Context(), client, servers.CreateOpts{Name: "probed", ImageRef: image, FlavorRef: "1", Networks: "none"}, nil).Extract()
	require.NoError(t, err)
	c.Work()
	return s.ID
}

func newVolume(t *testing.T, c *cloudtest.Cloud) string {
	v, err := volumes.Create(t.Context(), c.Clients().BlockStorage, volumes.CreateOpts{Size: 1}, nil).Extract()
	require.NoError(t, err)
	c.Work()
	return v.ID
}

// noQuota lets as much be made as there are actions.
func noQuota(t *testing.T, c *cloudtest.Cloud) {
	admin := c.Cloud.Admin().ProjectID
	many := 10_000
	_, err := computequota.Update(t.Context(), c.Clients().Compute, admin, computequota.UpdateOpts{
		Instances: &many, Cores: &many, RAM: gophercloud.IntToPointer(-1),
	}).Extract()
	require.NoError(t, err)
	_, err = volumequota.Update(t.Context(), c.Clients().BlockStorage, admin, volumequota.UpdateOpts{Volumes: &many, Gigabytes: &many}).Extract()
	require.NoError(t, err)
}
