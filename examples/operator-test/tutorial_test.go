package operator_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/faults"
)

func boot(t *testing.T, p *cloudtest.Project, name string) *servers.Server {
	t.Helper()
	s, err := servers.Create(t.Context(), p.Member().Compute, servers.CreateOpts{
		Name: name, ImageRef: p.ImageID, FlavorRef: p.FlavorID,
		Networks: []servers.Network{{UUID: p.NetworkID}},
	}, nil).Extract()
	require.NoError(t, err)
	return s
}

func TestAServerBoots(t *testing.T) {
	c := cloudtest.New(t)
	p := c.Project() // a user, a network with a router, an image, a keypair
	s := boot(t, p, "web")
	c.Settle() // all that takes time has happened
	s, err := servers.Get(t.Context(), p.Member().Compute, s.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, "ACTIVE", s.Status)

	require.NoError(t, servers.Delete(t.Context(), p.Member().Compute, s.ID).ExtractErr())
	c.Settle()
	c.NoLeaks(t) // no port, no volume, no claim, no file is left
}

func TestTheAPIIsTooBusy(t *testing.T) {
	c := cloudtest.New(t)
	p := c.Project()
	c.Inject.MustAdd(faults.Rule{
		Point: faults.API, Effect: faults.Error,
		Service: "compute", Operation: "GET /servers/{id}", Status: 503, RetryAfter: 1, Count: 1,
	})
	s := boot(t, p, "web")
	_, err := servers.Get(t.Context(), p.Member().Compute, s.ID).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusServiceUnavailable))
	_, err = servers.Get(t.Context(), p.Member().Compute, s.ID).Extract()
	require.NoError(t, err)
}

func TestAHostDies(t *testing.T) {
	c := cloudtest.New(t)
	p := c.Project()
	s := boot(t, p, "web")
	c.Settle()
	c.HostOf(s.ID).Kill()
	c.Advance(10 * time.Minute) // in microseconds
	c.HostOf(s.ID).Revive()
	c.Settle()
	s, err := servers.Get(t.Context(), p.Member().Compute, s.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, "ACTIVE", s.Status) // what should run was started again
}
