package cloud_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
)

var region = gophercloud.EndpointOpts{Region: "RegionOne"}

// clients are gophercloud's for one cloud.
type clients struct {
	compute, network, image *gophercloud.ServiceClient
}

func newClients(t *testing.T, c *cloudtest.Cloud) clients {
	p := c.Provider(t)
	var out clients
	var err error
	out.compute, err = openstack.NewComputeV2(p, region)
	require.NoError(t, err)
	out.compute.Microversion = "2.60"
	out.network, err = openstack.NewNetworkV2(p, region)
	require.NoError(t, err)
	out.image, err = openstack.NewImageV2(p, region)
	require.NoError(t, err)
	return out
}

// boot makes an image, a network and a server on it, and waits for ACTIVE.
func (c clients) boot(t *testing.T) *servers.Server {
	ctx := t.Context()
	img, err := images.Create(ctx, c.image, images.CreateOpts{Name: "one", DiskFormat: "raw", ContainerFormat: "bare"}).Extract()
	require.NoError(t, err)
	require.NoError(t, imagedata.Upload(ctx, c.image, img.ID, strings.NewReader(strings.Repeat("x", 4096))).ExtractErr())
	n, err := networks.Create(ctx, c.network, networks.CreateOpts{Name: "one"}).Extract()
	require.NoError(t, err)
	_, err = subnets.Create(ctx, c.network, subnets.CreateOpts{NetworkID: n.ID, CIDR: "10.0.0.0/24", IPVersion: 4}).Extract()
	require.NoError(t, err)
	s, err := servers.Create(ctx, c.compute, servers.CreateOpts{
		Name: "one", ImageRef: img.ID, FlavorRef: "1", Networks: []servers.Network{{UUID: n.ID}},
	}, nil).Extract()
	require.NoError(t, err)
	require.NoError(t, servers.WaitForStatus(ctx, c.compute, s.ID, "ACTIVE"))
	s, err = servers.Get(ctx, c.compute, s.ID).Extract()
	require.NoError(t, err)
	return s
}

func TestAServerBecomesActiveAndGoes(t *testing.T) {
	c := cloudtest.New(t)
	clients := newClients(t, c)
	s := clients.boot(t)
	require.Contains(t, s.Addresses, "one")
	require.NoError(t, servers.Delete(t.Context(), clients.compute, s.ID).ExtractErr())
	for {
		_, err := servers.Get(t.Context(), clients.compute, s.ID).Extract()
		if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
			break
		}
		require.NoError(t, err)
	}
}

// One request's trace goes on through the queue, the bus, the agent and the
// driver.
func TestOneTraceFromTheRequestToTheDriver(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	c := cloudtest.New(t, cloudtest.Options{Tracer: provider})
	newClients(t, c).boot(t)
	c.Stop()
	require.NoError(t, provider.ForceFlush(context.Background()))
	traces := map[string][]string{}
	for _, s := range spans.GetSpans() {
		id := s.SpanContext.TraceID().String()
		traces[id] = append(traces[id], s.Name)
	}
	for _, names := range traces {
		all := strings.Join(names, "\n")
		if strings.Contains(all, "POST") && strings.Contains(all, "/servers") {
			require.Contains(t, all, "step compute.server")
			require.Contains(t, all, "agent server")
			require.Contains(t, all, "hypervisor.Ensure")
			return
		}
	}
	t.Fatalf("no trace begins with the request: %v", traces)
}
