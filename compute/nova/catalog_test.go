package nova_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/compute/nova"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/apitest"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store/storetest"
)

const memberProject = "11111111111111111111111111111111"

// catalogAPI is the API over a real service on a fresh database, without hosts
// until one beats.
type catalogAPI struct {
	*apitest.Server
	api *httpapi.API
	svc *compute.Service
}

func serveCatalog(t testing.TB) *catalogAPI {
	t.Helper()
	clock := nephos.NewVirtualClock(time.Date(2030, 1, 2, 3, 4, 5, 678_000, time.UTC))
	enforcer, err := policy.New(policy.Base(), compute.Rules())
	require.NoError(t, err)
	s := &catalogAPI{}
	s.svc, err = compute.New(compute.Config{Store: storetest.Open(t, clock, compute.Migrations()), Policy: enforcer, Clock: clock})
	require.NoError(t, err)
	cast := apitest.People{
		"admin":    {UserID: "root", ProjectID: "0123456789abcdef", Roles: []string{"admin", "member", "reader"}},
		"member":   {UserID: "u", ProjectID: memberProject, Roles: []string{"member", "reader"}},
		"stranger": {UserID: "x", ProjectID: "x", Roles: []string{"member", "reader"}},
	}
	s.Server = apitest.Serve(t, "compute", func(url string) http.Handler {
		s.api = nova.New(nova.Config{Service: s.svc, Policy: enforcer, HTTP: httpapi.Config{Clock: clock, PublicURL: url, Verifier: cast}})
		return s.api
	})
	return s
}

// client speaks the microversion with gophercloud.
func (s *catalogAPI) client(token, version string) *gophercloud.ServiceClient {
	return &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{TokenID: token}, Endpoint: s.URL + "/v2.1/", Type: "compute", Microversion: version,
	}
}

// beat lets hosts appear.
func (s *catalogAPI) beat(names ...string) {
	s.T.Helper()
	for _, n := range names {
		b := driver.HostBeat{Host: n, AgentID: "a", BootID: "b"}
		b.Type, b.Version, b.HostIP, b.Arch, b.CPUModel = "QEMU", 7002000, "192.0.2.7", "x86_64", "qemu64"
		b.VCPUs, b.MemoryMiB, b.DiskGiB, b.FreeDiskGiB = 8, 16384, 100, 60
		require.NoError(s.T, s.svc.Beat(s.T.Context(), b))
	}
}

func TestCatalogRoutesNameRulesThatExist(t *testing.T) {
	apitest.RulesExist(t, serveCatalog(t).api.Routes(), compute.Rules())
}

func TestWhatNovaDroppedIsNotThere(t *testing.T) {
	s := serveCatalog(t)
	for _, path := range []string{
		"/v2.1/os-networks", "/v2.1/os-security-groups", "/v2.1/os-floating-ips", "/v2.1/os-floating-ip-pools", "/v2.1/images",
		"/v2.1/os-volumes", "/v2.1/os-hosts", "/v2.1/os-certificates",
	} {
		s.Do("admin", "GET 2.96", path, "").Want(404)
	}
}
