package nova_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/compute/nova"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// catalogClock stands still until it is told.
type catalogClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *catalogClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *catalogClock) After(time.Duration) <-chan time.Time { return nil }

// cast is a verifier whose tokens are names.
type cast map[string]nephos.Caller

func (p cast) Verify(_ context.Context, token string) (nephos.Caller, error) {
	c, ok := p[token]
	if !ok {
		return c, nephos.Errorf(nephos.ErrUnauthenticated, "nobody")
	}
	return c, nil
}

const memberProject = "11111111111111111111111111111111"

// catalogAPI is the API over a real service on a fresh database, without hosts
// until one beats.
type catalogAPI struct {
	t   testing.TB
	url string
	api *httpapi.API
	svc *compute.Service
}

func serveCatalog(t testing.TB) *catalogAPI {
	t.Helper()
	clock := &catalogClock{now: time.Date(2030, 1, 2, 3, 4, 5, 678_000, time.UTC)}
	enforcer, err := policy.New(policy.Base(), compute.Rules())
	require.NoError(t, err)
	svc, err := compute.New(compute.Config{Store: storetest.Open(t, clock, compute.Migrations()), Policy: enforcer, Clock: clock})
	require.NoError(t, err)
	var hs *httptest.Server
	api := nova.New(nova.Config{Service: svc, Policy: enforcer, HTTP: httpapi.Config{
		Clock: clock, PublicURLFunc: func() string { return hs.URL },
		Verifier: cast{
			"admin":    {UserID: "root", ProjectID: "0123456789abcdef", Roles: []string{"admin", "member", "reader"}},
			"member":   {UserID: "u", ProjectID: memberProject, Roles: []string{"member", "reader"}},
			"stranger": {UserID: "x", ProjectID: "x", Roles: []string{"member", "reader"}},
		},
	}})
	hs = httptest.NewServer(api)
	t.Cleanup(hs.Close)
	return &catalogAPI{t: t, url: hs.URL, api: api, svc: svc}
}

// client speaks the microversion with gophercloud.
func (s *catalogAPI) client(token, version string) *gophercloud.ServiceClient {
	return &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{TokenID: token}, Endpoint: s.url + "/v2.1/", Type: "compute", Microversion: version,
	}
}

// beat lets hosts appear.
func (s *catalogAPI) beat(names ...string) {
	s.t.Helper()
	for _, n := range names {
		b := driver.HostBeat{Host: n, AgentID: "a", BootID: "b"}
		b.Type, b.Version, b.HostIP, b.Arch, b.CPUModel = "QEMU", 7002000, "192.0.2.7", "x86_64", "qemu64"
		b.VCPUs, b.MemoryMiB, b.DiskGiB, b.FreeDiskGiB = 8, 16384, 100, 60
		require.NoError(s.t, s.svc.Beat(s.t.Context(), b))
	}
}

// catalogAnswer is a response, read whole.
type catalogAnswer struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

// do makes a request. The method may be followed by a microversion: "GET 2.75".
func (s *catalogAPI) do(method, path, token, body string) catalogAnswer {
	s.t.Helper()
	method, version, _ := strings.Cut(method, " ")
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	req.Header.Set("X-Auth-Token", token)
	req.Header.Set("Content-Type", "application/json")
	if version != "" {
		req.Header.Set("OpenStack-API-Version", "compute "+version)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return catalogAnswer{s.t, resp.StatusCode, resp.Header, string(b)}
}

func (a catalogAnswer) want(status int) catalogAnswer {
	a.t.Helper()
	require.Equal(a.t, status, a.status, a.body)
	return a
}

// fault checks status and message.
func (a catalogAnswer) fault(status int, message string) {
	a.t.Helper()
	a.want(status)
	for _, f := range a.get().(map[string]any) {
		require.Equal(a.t, message, f.(map[string]any)["message"])
		require.EqualValues(a.t, status, f.(map[string]any)["code"])
	}
}

// get returns a value inside the body.
func (a catalogAnswer) get(path ...any) any {
	a.t.Helper()
	var v any
	require.NoError(a.t, json.Unmarshal([]byte(a.body), &v), a.body)
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}

// keys returns the names of an object's fields in order.
func (a catalogAnswer) keys(path ...any) []string {
	a.t.Helper()
	var out []string
	for k := range a.get(path...).(map[string]any) {
		out = append(out, k)
	}
	return out
}

func TestCatalogRoutesNameRulesThatExist(t *testing.T) {
	s := serveCatalog(t)
	require.NoError(t, httpapi.CheckRoutes(s.api.Routes()))
	known := map[string]bool{}
	for _, r := range compute.Rules() {
		known[r.Name] = true
	}
	for _, route := range s.api.Routes() {
		for _, rule := range route.Rules {
			require.True(t, known[rule], "%s names %s, which is no rule", route.Pattern, rule)
		}
	}
}

func TestWhatNovaDroppedIsNotThere(t *testing.T) {
	s := serveCatalog(t)
	for _, path := range []string{
		"/v2.1/os-networks", "/v2.1/os-security-groups", "/v2.1/os-floating-ips", "/v2.1/os-floating-ip-pools", "/v2.1/images",
		"/v2.1/os-volumes", "/v2.1/os-hosts", "/v2.1/os-agents", "/v2.1/os-cells", "/v2.1/os-fping", "/v2.1/os-certificates",
	} {
		s.do("GET 2.96", path, "admin", "").want(404)
	}
}
