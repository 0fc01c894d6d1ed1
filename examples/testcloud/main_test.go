package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/stretchr/testify/require"
)

// program is the program as a test sees it: what it printed, and its URL.
type program struct {
	t      *testing.T
	url    string
	client *gophercloud.ProviderClient
	stop   func()
}

// start runs the program until the test ends, or stop.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	file := filepath.Join(t.TempDir(), "clouds.yaml")
	in, keep := io.Pipe()
	out, printed := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(context.Background(), append([]string{"-clouds", file, "-stdin"}, args...), in, printed, os.Stderr)
		printed.Close()
	}()
	stopped := false
	p := &program{t: t, stop: func() {
		if !stopped {
			stopped = true
			keep.Close()
			require.NoError(t, <-ended)
		}
	}}
	t.Cleanup(p.stop)
	var text strings.Builder
	lines := bufio.NewScanner(out)
	for p.url == "" {
		require.True(t, lines.Scan(), "it ended: %s", text.String())
		text.WriteString(lines.Text() + "\n")
		p.url, _ = strings.CutPrefix(lines.Text(), "# ready: ")
		if !strings.HasPrefix(lines.Text(), "# ready: ") {
			p.url = ""
		}
	}
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(written), text.String())
	auth, _, _, err := clouds.Parse(clouds.WithLocations(file), clouds.WithCloudName("testcloud"))
	require.NoError(t, err)
	p.client, err = openstack.AuthenticatedClient(t.Context(), auth)
	require.NoError(t, err)
	return p
}

// post sends JSON to the program and returns what it answered.
func (p *program) post(path, body string) (int, map[string]any) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+path, strings.NewReader(body))
	require.NoError(p.t, err)
	r.Header.Set("X-Auth-Token", p.client.Token())
	r.Header.Set("Content-Type", "application/json")
	return p.do(r)
}

func (p *program) do(r *http.Request) (int, map[string]any) {
	resp, err := http.DefaultClient.Do(r)
	require.NoError(p.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	var v map[string]any
	if len(b) > 0 {
		require.NoError(p.t, json.Unmarshal(b, &v), "%s", b)
	}
	return resp.StatusCode, v
}

func (p *program) service(make func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)) *gophercloud.ServiceClient {
	c, err := make(p.client, gophercloud.EndpointOpts{Region: "RegionOne"})
	require.NoError(p.t, err)
	return c
}

// boot makes a server and waits for it.
func (p *program) boot(name string) string {
	ctx := p.t.Context()
	image, compute := p.service(openstack.NewImageV2), p.service(openstack.NewComputeV2)
	compute.Microversion = "2.60"
	img, err := images.Create(ctx, image, images.CreateOpts{Name: name, DiskFormat: "raw", ContainerFormat: "bare"}).Extract()
	require.NoError(p.t, err)
	require.NoError(p.t, imagedata.Upload(ctx, image, img.ID, bytes.NewReader(make([]byte, 4096))).ExtractErr())
	s, err := servers.Create(ctx, compute, servers.CreateOpts{Name: name, ImageRef: img.ID, FlavorRef: "1", Networks: "none"}, nil).Extract()
	require.NoError(p.t, err)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/compute/v2.1/servers/"+s.ID+"?wait=ACTIVE", nil)
	require.NoError(p.t, err)
	r.Header.Set("X-Auth-Token", p.client.Token())
	status, body := p.do(r)
	require.Equal(p.t, 200, status)
	require.Equal(p.t, "ACTIVE", body["server"].(map[string]any)["status"])
	return s.ID
}

func (p *program) servers() (names []string) {
	pages, err := servers.List(p.service(openstack.NewComputeV2), servers.ListOpts{}).AllPages(p.t.Context())
	require.NoError(p.t, err)
	found, err := servers.ExtractServers(pages)
	require.NoError(p.t, err)
	for _, s := range found {
		names = append(names, s.Name)
	}
	return names
}

func TestResetGoesBackToTheBeginningOrToASnapshot(t *testing.T) {
	p := start(t)
	p.boot("one")
	storage := p.service(openstack.NewBlockStorageV3)
	v, err := volumes.Create(t.Context(), storage, volumes.CreateOpts{Size: 1}, nil).Extract()
	require.NoError(t, err)
	require.NoError(t, volumes.WaitForStatus(t.Context(), storage, v.ID, "available"))
	status, _ := p.post("/testcloud/v1/snapshots", `{"name": "one server"}`)
	require.Equal(t, 204, status)
	p.boot("two")
	require.ElementsMatch(t, []string{"one", "two"}, p.servers())

	status, _ = p.post("/reset", `{"snapshot": "one server"}`)
	require.Equal(t, 204, status)
	require.Equal(t, []string{"one"}, p.servers()) // with the token from before
	require.NoError(t, volumes.Delete(t.Context(), storage, v.ID, nil).ExtractErr())
	status, _ = p.post("/reset", "")
	require.Equal(t, 204, status)
	require.Empty(t, p.servers())
	p.boot("three")
	status, _ = p.post("/reset", `{"snapshot": "one server"}`)
	require.Equal(t, 204, status)
	v, err = volumes.Get(t.Context(), storage, v.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, "available", v.Status)

	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/testcloud/v1/snapshots", nil)
	require.NoError(t, err)
	_, body := p.do(r)
	require.Equal(t, []any{"initial", "one server"}, body["snapshots"])
}

func TestTimePassesWhenTold(t *testing.T) {
	p := start(t)
	status, body := p.post("/testcloud/v1/clock", `{"advance_seconds": 7200}`)
	require.Equal(t, 200, status)
	require.Equal(t, 7200.0, body["ahead_seconds"])
	now, err := time.Parse(time.RFC3339Nano, body["now"].(string))
	require.NoError(t, err)
	require.Greater(t, time.Until(now), time.Hour)
	// The token has expired.
	_, err = networks.List(p.service(openstack.NewNetworkV2), nil).AllPages(t.Context())
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusUnauthorized), "%v", err)
}

func TestFaultsAndCrashes(t *testing.T) {
	p := start(t)
	status, _ := p.post("/faults/v1/rules", `{"rule": {"point": "api", "effect": "error", "service": "compute", "operation": "GET /servers/detail", "status": 503, "count": 1}}`)
	require.Equal(t, 201, status)
	_, err := servers.List(p.service(openstack.NewComputeV2), servers.ListOpts{}).AllPages(t.Context())
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusServiceUnavailable), "%v", err)
	require.Empty(t, p.servers())
	status, _ = p.post("/reset", "")
	require.Equal(t, 204, status)
	status, body := p.post("/faults/v1/rules", `{"rule": {"id": "c", "point": "step", "effect": "crash", "operation": "settled compute.server", "count": 1}}`)
	require.Equal(t, 201, status)
	require.Equal(t, "c", body["rule"].(map[string]any)["id"])
	ctx, image, compute := t.Context(), p.service(openstack.NewImageV2), p.service(openstack.NewComputeV2)
	compute.Microversion = "2.60"
	img, err := images.Create(ctx, image, images.CreateOpts{Name: "i", DiskFormat: "raw", ContainerFormat: "bare"}).Extract()
	require.NoError(t, err)
	require.NoError(t, imagedata.Upload(ctx, image, img.ID, bytes.NewReader(make([]byte, 4096))).ExtractErr())
	s, err := servers.Create(ctx, compute, servers.CreateOpts{Name: "survivor", ImageRef: img.ID, FlavorRef: "1", Networks: "none"}, nil).Extract()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		// Requests under way when it crashes are cut off, as real ones are.
		s, err := servers.Get(ctx, compute, s.ID).Extract()
		return err == nil && s.Status == "ACTIVE"
	}, time.Minute, 10*time.Millisecond)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/faults/v1/rules/c", nil)
	require.NoError(t, err)
	r.Header.Set("X-Auth-Token", p.client.Token())
	_, body = p.do(r)
	require.Equal(t, 1.0, body["rule"].(map[string]any)["hits"])
}

func TestBadRequestsOfTheControl(t *testing.T) {
	p := start(t)
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"/reset", `{"snapshot": "no such"}`, 404},
		{"/reset", `{"snapshot": ""}`, 400},
		{"/reset", `{"colour": "red"}`, 400},
		{"/reset", `{} {}`, 400},
		{"/testcloud/v1/snapshots", ``, 400},
		{"/testcloud/v1/snapshots", `{"name": "initial"}`, 409},
		{"/testcloud/v1/snapshots", fmt.Sprintf(`{"name": %q}`, strings.Repeat("x", 65)), 400},
		{"/testcloud/v1/clock", ``, 400},
		{"/testcloud/v1/clock", `{"advance_seconds": -1}`, 400},
		{"/testcloud/v1/clock", `{"advance_seconds": "1"}`, 400},
	} {
		status, _ := p.post(c.path, c.body)
		require.Equal(t, c.status, status, "%s %s", c.path, c.body)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/reset", nil)
	require.NoError(t, err)
	r.Header.Set("Origin", "https://example.org")
	status, _ := p.do(r)
	require.Equal(t, 403, status)
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"-listen", "0.0.0.0:0"}, {"-listen", "example.org:80"}, {"-hosts", "0"}, {"surplus"}, {"-nonsense"}} {
		_, err := parse(args, io.Discard)
		require.Error(t, err, "%v", args)
	}
}

// A clock that was moved ahead wakes who waits.
func TestTheClock(t *testing.T) {
	c := &clock{}
	far, near := c.After(time.Hour), c.After(time.Minute)
	require.Equal(t, 2*time.Minute, c.advance(2*time.Minute))
	<-near
	select {
	case <-far:
		t.Fatal("too early")
	default:
	}
	c.advance(time.Hour)
	<-far
	<-c.After(0)
	<-c.After(time.Millisecond)
}
