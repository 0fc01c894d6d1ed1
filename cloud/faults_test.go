package cloud_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/services"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud"
	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/faults"
)

// Each service fails in its own words, also on purpose.
func TestFaultsSpeakTheDialectOfTheirService(t *testing.T) {
	c := cloudtest.New(t)
	token := c.Clients().Compute.Token()
	for service, want := range map[string]struct{ path, body string }{
		"identity":  {"/identity/v3/projects", `{"error": {"code": 503, "title": "Service Unavailable", "message": "Not now."}}`},
		"compute":   {"/compute/v2.1/servers", `{"serviceUnavailable": {"code": 503, "message": "Not now."}}`},
		"volume":    {"/volume/v3/volumes", `{"serviceUnavailable": {"code": 503, "message": "Not now."}}`},
		"network":   {"/network/v2.0/networks", `{"NeutronError": {"type": "HTTPServiceUnavailable", "message": "Not now.", "detail": ""}}`},
		"placement": {"/placement/resource_providers", `Not now.`},
		"image":     {"/image/v2/images", `Not now.`},
	} {
		t.Run(service, func(t *testing.T) {
			c.Inject.MustAdd(faults.Rule{Point: faults.API, Effect: faults.Error, Service: service, Message: "Not now.", Count: 1})
			get := func() (int, string) {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL+want.path, nil)
				require.NoError(t, err)
				r.Header.Set("X-Auth-Token", token)
				resp, err := c.Client().Do(r)
				require.NoError(t, err)
				defer resp.Body.Close()
				var b strings.Builder
				_, err = io.Copy(&b, resp.Body)
				require.NoError(t, err)
				return resp.StatusCode, b.String()
			}
			status, body := get()
			require.Equal(t, http.StatusServiceUnavailable, status)
			if json.Valid([]byte(want.body)) {
				require.JSONEq(t, want.body, body)
			} else {
				require.Contains(t, body, want.body)
			}
			status, _ = get()
			require.Equal(t, http.StatusOK, status)
		})
	}
}

// Whatever is lost, doubled, refused or killed on the way, the server comes up,
// and nothing stays behind when it is gone.
func TestABootBearsFaults(t *testing.T) {
	c := cloudtest.New(t)
	p := c.Project()
	client := p.Member().Compute
	cases := map[string][]faults.Rule{
		"messages lost": {
			{Point: faults.Bus, Effect: faults.Lose, Operation: "put", Probability: 0.3, Count: 5},
			{Point: faults.Bus, Effect: faults.Lose, Operation: "report", Probability: 0.3, Count: 5},
		},
		"messages doubled": {{Point: faults.Bus, Effect: faults.Double}},
		"drivers fail once": {
			{Point: faults.Driver, Effect: faults.Error, Service: "hypervisor", Operation: "Ensure", Count: 1},
			{Point: faults.Driver, Effect: faults.Error, Service: "hypervisor", Operation: "Start", After: true, Count: 1},
			{Point: faults.Driver, Effect: faults.Error, Service: "network", Operation: "EnsurePort", Kind: "unavailable", Count: 1},
		},
		"slow drivers": {{Point: faults.Driver, Effect: faults.Latency, Service: "hypervisor", Operation: "Ensure", Delay: 20 * time.Second}},
		"crashes": {
			{Point: faults.Step, Effect: faults.Crash, Operation: "after compute.server", Count: 2},
			{Point: faults.Step, Effect: faults.Crash, Operation: "compute sent", Count: 1},
			{Point: faults.Step, Effect: faults.Crash, Operation: "agent after server", Count: 1},
		},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			c.Inject.MustAdd(cases[name]...)
			s, err := servers.Create(t.Context(), client, servers.CreateOpts{
				Name: "one", ImageRef: p.ImageID, FlavorRef: p.FlavorID, Networks: []servers.Network{{UUID: p.NetworkID}},
			}, nil).Extract()
			require.NoError(t, err)
			c.Settle()
			s, err = servers.Get(t.Context(), client, s.ID).Extract()
			require.NoError(t, err)
			require.Equal(t, "ACTIVE", s.Status, "%v", s.Fault)
			hits := 0
			for _, r := range c.Inject.Rules() {
				hits += r.Hits
			}
			require.Positive(t, hits)
			require.NoError(t, servers.Delete(t.Context(), client, s.ID).ExtractErr())
			c.Settle()
			c.NoLeaks(t)
			for _, r := range c.Inject.Rules() {
				require.NoError(t, c.Inject.Remove(r.ID))
			}
		})
	}
}

func TestADeadHostIsNoticed(t *testing.T) {
	c := cloudtest.New(t)
	state := func(host string) string {
		pages, err := services.List(c.Clients().Compute, services.ListOpts{Binary: "nova-compute", Host: host}).AllPages(t.Context())
		require.NoError(t, err)
		found, err := services.ExtractServices(pages)
		require.NoError(t, err)
		require.Len(t, found, 1)
		return found[0].State
	}
	name := c.Hosts[0].Name
	require.Equal(t, "up", state(name))
	c.Inject.MustAdd(faults.Rule{ID: "power", Point: faults.Host, Effect: faults.Dead, Host: name})
	c.Advance(5 * time.Minute)
	require.Equal(t, "down", state(name))
	require.Equal(t, "up", state(c.Hosts[1].Name))
	require.NoError(t, c.Inject.Remove("power"))
	c.Advance(time.Minute)
	require.Equal(t, "up", state(name))
}

// Nobody breaks a cloud whose main did not ask for that, and only admins break
// one whose main did.
func TestFaultsAreForAdminsOfCloudsThatWantThem(t *testing.T) {
	ask := func(c *cloudtest.Cloud, token string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL+"/faults/v1/rules", nil)
		require.NoError(t, err)
		r.Header.Set("X-Auth-Token", token)
		resp, err := c.Client().Do(r)
		require.NoError(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	c := cloudtest.New(t)
	require.Equal(t, http.StatusOK, ask(c, c.Clients().Compute.Token()))
	require.Equal(t, http.StatusForbidden, ask(c, c.Project().Member().Compute.Token()))
	c = cloudtest.New(t, cloudtest.Options{Compose: func(cfg *cloud.Config) { cfg.Faults = nil }})
	require.Equal(t, http.StatusNotFound, ask(c, c.Clients().Compute.Token()))
}
