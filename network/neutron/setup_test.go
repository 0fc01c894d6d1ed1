package neutron_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/network/neutron"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// clock stands still.
type clock struct{}

func (clock) Now() time.Time                       { return time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC) }
func (clock) After(time.Duration) <-chan time.Time { return make(chan time.Time) }

// verifier takes tokens that are the name of a project; admin's is admin.
type verifier struct{}

func (verifier) Verify(_ context.Context, token string) (nephos.Caller, error) {
	c := nephos.Caller{UserID: "user-of-" + token, ProjectID: token, Roles: []string{"member", "reader"}}
	switch token {
	case "admin":
		c.Roles = append(c.Roles, "admin")
	case "viewer":
		c.ProjectID, c.Roles = "red", []string{"reader"}
	case "bad":
		return nephos.Caller{}, nephos.ErrUnauthenticated
	}
	return c, nil
}

// cloud is the API over a real service.
type cloud struct {
	t       testing.TB
	url     string
	service *network.Service
	db      *store.DB
}

func newCloud(t testing.TB) *cloud {
	t.Helper()
	enforcer, err := policy.New(policy.Base(), network.Rules())
	require.NoError(t, err)
	db := storetest.Open(t, clock{}, network.Migrations())
	s, err := network.New(network.Config{
		Store: db, Policy: enforcer, Clock: clock{}, TenantNetworkType: network.TypeVXLAN,
		PhysicalNetworks: []network.PhysicalNetwork{{Name: "physnet1", Flat: true, VLANs: network.Range{Min: 100, Max: 200}}},
	})
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(nil)
	url := "http://" + srv.Listener.Addr().String()
	srv.Config.Handler = neutron.New(neutron.Config{Service: s, HTTP: httpapi.Config{Verifier: verifier{}, PublicURL: url}})
	srv.Start()
	t.Cleanup(srv.Close)
	return &cloud{t: t, url: url, service: s, db: db}
}

// newServer serves a handler until the test ends.
func newServer(t testing.TB, h http.Handler) string {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// client is gophercloud's, for the project.
func (c *cloud) client(project string) *gophercloud.ServiceClient {
	return &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{TokenID: project},
		Endpoint:       c.url + "/", ResourceBase: c.url + "/v2.0/", Type: "network",
	}
}

// do sends a request and returns status and decoded body.
func (c *cloud) do(project, method, path, body string, header ...string) (int, map[string]any) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, c.url+path, strings.NewReader(body))
	require.NoError(c.t, err)
	req.Header.Set("X-Auth-Token", project)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	var out map[string]any
	if len(b) > 0 {
		require.NoError(c.t, json.Unmarshal(b, &out), string(b))
	}
	return resp.StatusCode, out
}

// made posts a body and returns the id of what it made.
func (c *cloud) made(project, path, body string) string {
	c.t.Helper()
	status, out := c.do(project, "POST", path, body)
	require.Equal(c.t, 201, status, out)
	for _, v := range out {
		return v.(map[string]any)["id"].(string)
	}
	return ""
}

func fault(out map[string]any) (kind, message string) {
	e, _ := out["NeutronError"].(map[string]any)
	kind, _ = e["type"].(string)
	message, _ = e["message"].(string)
	return kind, message
}
