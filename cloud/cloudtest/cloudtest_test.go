package cloudtest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	fakehypervisor "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// boot asks for a server.
func boot(t *testing.T, p *cloudtest.Project, compute *gophercloud.ServiceClient, name string) *servers.Server {
	t.Helper()
	s, err := servers.Create(t.Context(), compute, servers.CreateOpts{
		Name: name, ImageRef: p.ImageID, FlavorRef: p.FlavorID, Networks: []servers.Network{{UUID: p.NetworkID}},
		SecurityGroups: []string{"ssh"},
	}, nil).Extract()
	require.NoError(t, err)
	return s
}

func status(t *testing.T, compute *gophercloud.ServiceClient, id string) string {
	t.Helper()
	s, err := servers.Get(t.Context(), compute, id).Extract()
	require.NoError(t, err)
	return s.Status
}

func TestACloudWorksWhenItIsAsked(t *testing.T) {
	c := cloudtest.New(t)
	p := c.Project()
	compute := p.Member().Compute
	s := boot(t, p, compute, "one")
	require.NoError(t, servers.WaitForStatus(t.Context(), compute, s.ID, "ACTIVE"))
	require.NoError(t, servers.Delete(t.Context(), compute, s.ID).ExtractErr())
	_, err := servers.Get(t.Context(), compute, s.ID).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusNotFound))
	c.NoLeaks(t)
}

func TestByHandNothingHappensBetweenSteps(t *testing.T) {
	c := cloudtest.New(t, cloudtest.Options{Stopped: true})
	c.Settle()
	p := c.Project()
	c.Settle()
	compute := p.Member().Compute
	s := boot(t, p, compute, "one")
	require.Equal(t, "BUILD", status(t, compute, s.ID))
	steps, now := 0, c.Clock.Now()
	for c.Step() {
		steps++
	}
	require.Greater(t, steps, 5)
	require.Equal(t, "ACTIVE", status(t, compute, s.ID))
	require.Equal(t, now, c.Clock.Now())
}

func TestABuildOfTenMinutesTakesNoTime(t *testing.T) {
	c := cloudtest.New(t)
	p := c.Project()
	c.Faults.Add(fakehypervisor.Fault{Method: "Ensure", Delay: 10 * time.Minute})
	compute := p.Member().Compute
	s := boot(t, p, compute, "slow")
	begun := c.Clock.Now()
	require.Equal(t, "BUILD", status(t, compute, s.ID))
	c.Advance(9 * time.Minute)
	require.Equal(t, "BUILD", status(t, compute, s.ID))
	c.Settle()
	require.Equal(t, "ACTIVE", status(t, compute, s.ID))
	require.Equal(t, 10*time.Minute, c.Clock.Now().Sub(begun).Truncate(time.Minute))
}

func TestTokensExpire(t *testing.T) {
	c := cloudtest.New(t)
	clients := c.Clients()
	_, err := servers.List(clients.Compute, nil).AllPages(t.Context())
	require.NoError(t, err)
	clients.Provider.ReauthFunc = nil
	c.Advance(24 * time.Hour)
	_, err = servers.List(clients.Compute, nil).AllPages(t.Context())
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusUnauthorized), "%v", err)
}

func TestParallelCloudsDoNotSeeEachOther(t *testing.T) {
	for range many / 2 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			c := cloudtest.New(t)
			p := c.Project()
			boot(t, p, p.Member().Compute, "one")
			all, err := servers.List(c.Clients().Compute, servers.ListOpts{AllTenants: true}).AllPages(t.Context())
			require.NoError(t, err)
			list, err := servers.ExtractServers(all)
			require.NoError(t, err)
			require.Len(t, list, 1)
		})
	}
}

func TestADeadHostIsNoticedAndComesBack(t *testing.T) {
	c := cloudtest.New(t)
	p := c.Project()
	compute := p.Member().Compute
	s := boot(t, p, compute, "one")
	c.Settle()
	h := c.HostOf(s.ID)
	h.Kill()
	c.Advance(5 * time.Minute)
	records, err := c.Compute.ListServices(c.AsAdmin(), h.Name, "nova-compute")
	require.NoError(t, err)
	require.Len(t, records, 1)
	require.False(t, records[0].Up)
	h.Revive()
	c.Settle()
	require.Equal(t, "ACTIVE", status(t, compute, s.ID))
	guest, ok := c.Guest(s.ID)
	require.True(t, ok)
	require.Equal(t, "running", string(guest.State))

	h.Drain("to be repaired")
	for range 4 {
		other := boot(t, p, compute, "other")
		c.Settle()
		require.NotEqual(t, h, c.HostOf(other.ID))
	}
}

// A request that waits for a state lets time pass, and no more than it takes.
func TestRequestsThatWait(t *testing.T) {
	c := cloudtest.New(t)
	p := c.Project()
	c.Faults.Add(fakehypervisor.Fault{Method: "Ensure", Delay: 20 * time.Second})
	member := p.Member()
	s := boot(t, p, member.Compute, "slow")
	ask := func(query string) (string, time.Duration) {
		begun := c.Clock.Now()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL+"/compute/v2.1/servers/"+s.ID+query, nil)
		require.NoError(t, err)
		r.Header.Set("X-Auth-Token", member.Provider.Token())
		resp, err := c.Client().Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
		return resp.Header.Get("Nephos-Wait"), c.Clock.Now().Sub(begun).Truncate(time.Second)
	}
	for _, one := range []struct {
		query, want string
		took        time.Duration
	}{
		{"?wait=BUILD", "reached", 0},
		{"?wait=ACTIVE&wait_timeout=5", "timeout", 5 * time.Second},
		{"?wait=ACTIVE", "reached", 15 * time.Second},
	} {
		got, took := ask(one.query)
		require.Equal(t, one.want, got, one.query)
		require.InDelta(t, one.took, took, float64(time.Second), one.query)
	}
}

func TestACloudMayBeginAtAnotherTime(t *testing.T) {
	start := time.Date(2031, time.May, 4, 3, 2, 1, 0, time.UTC)
	for range 2 {
		c := cloudtest.New(t, cloudtest.Options{Clock: nephos.NewVirtualClock(start)})
		p := c.Project()
		life(t, c, p, p.Member().Compute)
		c.NoLeaks(t)
		require.Equal(t, 2031, c.Events("")[0].At.Year())
	}
}
