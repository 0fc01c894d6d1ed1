package cloud_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// Operators are told what the scheduler decided and why, and users a summary.
func TestTheSchedulerExplainsItself(t *testing.T) {
	c := cloudtest.New(t, cloudtest.Options{Host: hypervisor.Host{MemoryMiB: 2048}})
	p := c.Project()
	member, admin := p.Member().Compute, c.Clients().Compute
	huge, err := flavors.Create(t.Context(), admin, flavors.CreateOpts{Name: "huge", RAM: 3584, VCPUs: 1, Disk: gophercloud.IntToPointer(1)}).Extract()
	require.NoError(t, err)
	boot := func(flavor string) *servers.Server {
		s, err := servers.Create(t.Context(), member, servers.CreateOpts{Name: "s", ImageRef: p.ImageID, FlavorRef: flavor, Networks: []servers.Network{{UUID: p.NetworkID}}}, nil).Extract()
		require.NoError(t, err)
		c.Settle()
		s, err = servers.Get(t.Context(), member, s.ID).Extract()
		require.NoError(t, err)
		return s
	}
	good, bad := boot(p.FlavorID), boot(huge.ID)
	require.Equal(t, "ACTIVE", good.Status)
	require.Equal(t, "ERROR", bad.Status)
	require.Equal(t, "No valid host was found. There are not enough hosts available. "+
		"No valid host: 3 hosts, 3 lack memory (nearest short of 512 MiB).", bad.Fault.Message)

	ask := func(token, method, path, body string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, c.URL+"/scheduler"+path, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("X-Auth-Token", token)
		r.Header.Set("Content-Type", "application/json")
		resp, err := c.Client().Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(text)
	}
	status, text := ask(admin.Token(), "GET", "/v1/decisions/"+bad.ID, "")
	require.Equal(t, http.StatusOK, status, text)
	var shown struct {
		Decision struct {
			Nearest struct{ Advice []string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(text), &shown))
	require.Equal(t, []string{"free 512 MiB"}, shown.Decision.Nearest.Advice)

	status, text = ask(admin.Token(), "POST", "/v1/explain", `{"explain": {"flavor": {"vcpus": 1, "ram": 1024, "disk": 1}, "count": 20}}`)
	require.Equal(t, http.StatusOK, status, text)
	var asked struct{ Explanation struct{ Placed, Wanted int } }
	require.NoError(t, json.Unmarshal([]byte(text), &asked))
	require.Equal(t, 8, asked.Explanation.Placed, "of 9, one server takes half a place")

	v, err := volumes.Create(t.Context(), p.Member().BlockStorage, volumes.CreateOpts{Size: 1}, nil).Extract()
	require.NoError(t, err)
	c.Settle()
	status, text = ask(admin.Token(), "GET", "/v1/decisions?volume_id="+v.ID, "")
	require.Equal(t, http.StatusOK, status, text)
	require.Contains(t, text, "Placed 1 volume: 1 pool, 1 suitable")

	status, text = ask(admin.Token(), "GET", "/v1/heatmap.svg", "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, text, "</svg>")
	for _, path := range []string{"/v1/decisions", "/v1/decisions/" + good.ID, "/v1/heatmap.svg"} {
		status, _ = ask(member.Token(), "GET", path, "")
		require.Equal(t, http.StatusForbidden, status, path)
	}
}
