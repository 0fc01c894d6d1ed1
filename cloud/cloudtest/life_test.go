package cloudtest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
)

// active boots a server.
func active(t testing.TB, c *cloudtest.Cloud, p *cloudtest.Project, compute *gophercloud.ServiceClient) string {
	t.Helper()
	s, err := servers.Create(t.Context(), compute, servers.CreateOpts{
		Name: "one", ImageRef: p.ImageID, FlavorRef: p.FlavorID, Networks: []servers.Network{{UUID: p.NetworkID}},
	}, nil).Extract()
	require.NoError(t, err)
	got, err := servers.Get(t.Context(), compute, s.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, "ACTIVE", got.Status)
	return s.ID
}

// life boots a server and deletes it.
func life(t testing.TB, c *cloudtest.Cloud, p *cloudtest.Project, compute *gophercloud.ServiceClient) {
	t.Helper()
	id := active(t, c, p, compute)
	require.NoError(t, servers.Delete(t.Context(), compute, id).ExtractErr())
	c.Work()
}

// rss is the memory of this process, in MiB.
func rss(t testing.TB) float64 {
	b, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		var kb float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kb); err == nil {
			return kb / 1024
		}
	}
	return 0
}
