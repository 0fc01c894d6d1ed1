package cloudtest_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/snapshots"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/volumeattach"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
)

var update = flag.Bool("update", false, "write golden files anew")

// recorder writes down all answers, secrets aside.
type recorder struct {
	http.RoundTripper

	mu   sync.Mutex
	text bytes.Buffer
}

var secret = regexp.MustCompile(`"(adminPass|secret|password)":\s*"[^"]*"`)

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.text, "%s %s\n%d\n", req.Method, req.URL, resp.StatusCode)
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		if name != "X-Subject-Token" {
			fmt.Fprintf(&r.text, "%s: %s\n", name, resp.Header[name])
		}
	}
	fmt.Fprintf(&r.text, "%s\n\n", secret.ReplaceAll(body, []byte(`"$1": "…"`)))
	return resp, nil
}

// play does a bit of everything, and returns every answer.
func play(t *testing.T, seed uint64) string {
	c := cloudtest.New(t, cloudtest.Options{Seed: seed})
	p := c.Project()
	tape := &recorder{RoundTripper: c.Client().Transport}
	c.Client().Transport = tape
	ctx := t.Context()
	cl := p.Member()
	for i := range many / 2 {
		boot(t, p, cl.Compute, fmt.Sprint("server-", i))
	}
	all, err := servers.List(cl.Compute, servers.ListOpts{Limit: many/2 - 1}).AllPages(ctx)
	require.NoError(t, err)
	list, err := servers.ExtractServers(all)
	require.NoError(t, err)
	require.Len(t, list, many/2)
	v, err := volumes.Create(ctx, cl.BlockStorage, volumes.CreateOpts{Size: 1, ImageID: p.ImageID}, nil).Extract()
	require.NoError(t, err)
	c.Settle()
	_, err = volumeattach.Create(ctx, cl.Compute, list[0].ID, volumeattach.CreateOpts{VolumeID: v.ID}).Extract()
	require.NoError(t, err)
	c.Advance(time.Hour)
	_, err = snapshots.Create(ctx, cl.BlockStorage, snapshots.CreateOpts{VolumeID: v.ID, Force: true}).Extract()
	require.NoError(t, err)
	port, err := ports.Create(ctx, cl.Network, ports.CreateOpts{NetworkID: p.NetworkID}).Extract()
	require.NoError(t, err)
	_, err = floatingips.Create(ctx, cl.Network, floatingips.CreateOpts{FloatingNetworkID: p.ExternalID, PortID: port.ID}).Extract()
	require.NoError(t, err)
	_, err = images.Create(ctx, cl.Image, images.CreateOpts{Name: "another"}).Extract()
	require.NoError(t, err)
	require.NoError(t, servers.Delete(ctx, cl.Compute, list[1].ID).ExtractErr())
	c.Settle()
	admin := c.Clients()
	for _, path := range []string{
		"compute/v2.1/servers/detail?all_tenants=1", "compute/v2.1/os-hypervisors/detail", "compute/v2.1/os-services", "compute/v2.1/flavors/detail",
		"network/v2.0/ports", "network/v2.0/agents", "network/v2.0/networks", "network/v2.0/security-groups",
		"volume/v3/" + c.Bootstrapped.ProjectID + "/volumes/detail?all_tenants=1", "volume/v3/" + c.Bootstrapped.ProjectID + "/snapshots?all_tenants=1", "image/v2/images", "identity/v3/users", "identity/v3/projects",
		"placement/resource_providers",
	} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/"+path, nil)
		require.NoError(t, err)
		r.Header.Set("X-Auth-Token", admin.Provider.Token())
		resp, err := c.Client().Do(r)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode, path)
		require.NoError(t, resp.Body.Close())
	}
	return tape.text.String()
}

func TestTheSameTestGetsTheSameAnswers(t *testing.T) {
	one, two := play(t, 0), play(t, 0)
	require.Greater(t, len(one), 10_000)
	if one != two { // not require.Equal: its difference would take minutes
		a, b := strings.Split(one, "\n"), strings.Split(two, "\n")
		for i := range a {
			require.Equal(t, a[i], b[min(i, len(b)-1)], "line %d", i)
		}
	}
	if !race { // which makes it slow
		require.NotEqual(t, one, play(t, 8))
	}
}

// The file was written by another process, on another day.
func TestAGoldenFileHolds(t *testing.T) {
	c := cloudtest.New(t)
	p := c.Project()
	cl := p.Member()
	s := boot(t, p, cl.Compute, "golden")
	c.Settle()
	tape := &recorder{RoundTripper: c.Client().Transport}
	cl.Provider.HTTPClient.Transport = tape
	_, err := servers.Get(t.Context(), cl.Compute, s.ID).Extract()
	require.NoError(t, err)
	path := filepath.Join("testdata", "server.golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, tape.text.Bytes(), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "go test -update writes it")
	require.Equal(t, string(want), tape.text.String())
}
