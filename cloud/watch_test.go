package cloud_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/watch"
)

// get sends a GET to one of the APIs and returns the answer, open.
func get(t *testing.T, c *cloudtest.Cloud, token, path string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL+path, nil)
	require.NoError(t, err)
	r.Header.Set("X-Auth-Token", token)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestWatching(t *testing.T) {
	c := cloudtest.New(t, cloudtest.Options{Live: true, Listen: true})
	for name, test := range map[string]func(*testing.T, *cloudtest.Cloud){
		"show calls wait for a state":    showCallsWait,
		"a stream tells a server's life": streamTells,
		"the rules of events exist":      rulesExist,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

// Nobody polls: show calls wait for a state, of what a request began.
func showCallsWait(t *testing.T, c *cloudtest.Cloud) {
	clients := newClients(t, c)
	token := clients.compute.Token()
	s := clients.boot(t)

	require.NoError(t, servers.Stop(t.Context(), clients.compute, s.ID).ExtractErr())
	resp := get(t, c, token, "/compute/v2.1/servers/"+s.ID+"?wait=SHUTOFF&wait_timeout=60")
	require.Equal(t, "reached", resp.Header.Get("Nephos-Wait"))
	var body struct{ Server struct{ Status string } }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&body))
	require.Equal(t, "SHUTOFF", body.Server.Status)

	v, err := volumes.Create(t.Context(), newVolumeClient(t, c), volumes.CreateOpts{Size: 1}, nil).Extract()
	require.NoError(t, err)
	resp = get(t, c, token, "/volume/v3/volumes/"+v.ID+"?wait=available")
	require.Equal(t, "reached", resp.Header.Get("Nephos-Wait"))
	require.NoError(t, volumes.Delete(t.Context(), newVolumeClient(t, c), v.ID, nil).ExtractErr())
	resp = get(t, c, token, "/volume/v3/volumes/"+v.ID+"?wait=deleted")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	require.Equal(t, "reached", resp.Header.Get("Nephos-Wait"))

	resp = get(t, c, token, "/image/v2/images/"+s.Image["id"].(string)+"?wait=active")
	require.Equal(t, "reached", resp.Header.Get("Nephos-Wait"))
	for _, path := range []string{
		"/compute/v2.1/servers/" + s.ID, "/volume/v3/volumes/" + v.ID, "/volume/v3/snapshots/" + v.ID, "/volume/v3/attachments/" + v.ID,
		"/network/v2.0/ports/" + v.ID, "/network/v2.0/networks/" + v.ID, "/network/v2.0/routers/" + v.ID, "/network/v2.0/floatingips/" + v.ID,
		"/image/v2/images/" + v.ID,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL+path+"?wait=WARM", nil)
		require.NoError(t, err)
		r.Header.Set("X-Auth-Token", token)
		r.Header.Set("OpenStack-API-Version", "volume 3.59")
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, path)
	}
}

// One stream tells a server's life, from the snapshot on.
func streamTells(t *testing.T, c *cloudtest.Cloud) {
	clients := newClients(t, c)
	s := clients.boot(t)
	resp := get(t, c, clients.compute.Token(), "/watch/v1/events?snapshot=true&types=compute.server,network.port")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	seen := map[string]bool{}
	lines := bufio.NewScanner(resp.Body)
	until := func(what string) {
		for !seen[what] && lines.Scan() {
			text, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok || text == "{}" {
				continue
			}
			var e struct {
				Type       string
				ResourceID string `json:"resource_id"`
			}
			require.NoError(t, json.Unmarshal([]byte(text), &e))
			seen[e.Type+" "+e.ResourceID] = true
		}
		require.True(t, seen[what], "%v", seen)
	}
	until("compute.server " + s.ID) // in the snapshot
	require.NoError(t, servers.Delete(t.Context(), clients.compute, s.ID).ExtractErr())
	until("compute.server.delete " + s.ID)
	require.True(t, seen["compute.server.delete.start "+s.ID], "%v", seen)
}

func rulesExist(t *testing.T, c *cloudtest.Cloud) {
	known := map[string]bool{}
	for _, r := range c.Policy.Rules() {
		known[r.Name] = true
	}
	for kind, rule := range watch.Visibility() {
		require.True(t, known[rule], "%s: %s", kind, rule)
	}
}

func newVolumeClient(t *testing.T, c *cloudtest.Cloud) *gophercloud.ServiceClient {
	client, err := openstack.NewBlockStorageV3(c.Provider(t), region)
	require.NoError(t, err)
	return client
}
