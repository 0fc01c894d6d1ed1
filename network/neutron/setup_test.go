package neutron_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/apitest"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/network/neutron"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// people are called what their projects are, or what they may.
var people = apitest.People{
	"red":    {UserID: "user-of-red", ProjectID: "red", Roles: []string{"member", "reader"}},
	"blue":   {UserID: "user-of-blue", ProjectID: "blue", Roles: []string{"member", "reader"}},
	"admin":  {UserID: "user-of-admin", ProjectID: "admin", Roles: []string{"admin", "member", "reader"}},
	"viewer": {UserID: "user-of-viewer", ProjectID: "red", Roles: []string{"reader"}},
}

// cloud is the API over a real service.
type cloud struct {
	*apitest.Server
	service *network.Service
}

func newCloud(t testing.TB) *cloud {
	t.Helper()
	enforcer, err := policy.New(policy.Base(), network.Rules())
	require.NoError(t, err)
	clock := nephos.NewVirtualClock(time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC))
	db := storetest.Open(t, clock, network.Migrations())
	s, err := network.New(network.Config{
		Store: db, Policy: enforcer, Clock: clock, TenantNetworkType: network.TypeVXLAN,
		PhysicalNetworks: []network.PhysicalNetwork{{Name: "physnet1", Flat: true, VLANs: network.Range{Min: 100, Max: 200}}},
	})
	require.NoError(t, err)
	return serve(t, s)
}

// serve serves the API over a service.
func serve(t testing.TB, s *network.Service) *cloud {
	return &cloud{service: s, Server: apitest.Serve(t, "network", func(url string) http.Handler {
		return neutron.New(neutron.Config{Service: s, HTTP: httpapi.Config{Verifier: people, PublicURL: url}})
	})}
}

// client is gophercloud's, for the project.
func (c *cloud) client(project string) *gophercloud.ServiceClient {
	return &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{TokenID: project},
		Endpoint:       c.URL + "/", ResourceBase: c.URL + "/v2.0/", Type: "network",
	}
}

// made posts a body and returns the id of what it made.
func (c *cloud) made(project, path, body string) string {
	c.T.Helper()
	a := c.Do(project, "POST", path, body).Want(201)
	return a.Text(a.Keys()[0], "id")
}
