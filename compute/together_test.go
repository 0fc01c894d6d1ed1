package compute_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// together boots n servers of one request.
func (c *testCloud) together(n int, req compute.BootRequest) []compute.Server {
	c.t.Helper()
	req.Name, req.ImageID, req.MinCount = "many", c.images.id, n
	if req.FlavorID == "" {
		req.FlavorID = c.flavor(1, 512, 1)
	}
	made, err := c.service.Boot(c.user(), req)
	require.NoError(c.t, err)
	require.Len(c.t, made, n)
	return made
}

func (c *testCloud) apart() compute.BootRequest {
	c.t.Helper()
	g, err := c.service.CreateGroup(c.user(), compute.GroupSpec{Name: "apart", Policy: scheduler.AntiAffinity})
	require.NoError(c.t, err)
	return compute.BootRequest{Hints: map[string][]string{"group": {g.ID}}}
}

func (c *testCloud) used() (sum int64) {
	c.t.Helper()
	hosts, err := c.claims.Hosts(c.t.Context())
	require.NoError(c.t, err)
	for _, h := range hosts {
		sum += h.Used[scheduler.MemoryMB]
	}
	return sum
}

// Nova places all servers of one request, or none.
func TestServersOfOneRequestArePlacedTogether(t *testing.T) {
	clock := newClock()
	storetest.Each(t, clock, migrations(), func(t *testing.T, db *store.DB) {
		c := newCloudOn(t, db, clock, 3, nil)
		made := c.together(3, c.apart())
		c.settle()
		hosts := map[string]bool{}
		for _, s := range made {
			s = c.server(s.ID)
			require.Equal(t, compute.Active, s.VMState, "%+v", s.Fault)
			hosts[s.Host] = true
		}
		require.Len(t, hosts, 3)
		require.Equal(t, int64(3*512), c.used())

		late := c.together(4, c.apart())
		c.settle()
		for _, s := range late {
			s = c.server(s.ID)
			require.Equal(t, compute.Errored, s.VMState)
			require.Empty(t, s.Host)
			require.Equal(t, "No valid host was found. There are not enough hosts available. "+
				"No valid host: 3 hosts with room for 3 of 4 servers, 3 already have enough of the server group.", s.Fault.Message)
			why, err := c.claims.Explanation(t.Context(), s.ID)
			require.NoError(t, err)
			require.Equal(t, 4, why.Wanted)
			require.Empty(t, c.guests(s.ID))
		}
		require.Equal(t, int64(3*512), c.used(), "nothing of it is held")
	})
}

func TestAffinityHoldsWithinOneRequest(t *testing.T) {
	c := newCloud(t, 3, nil)
	g, err := c.service.CreateGroup(c.user(), compute.GroupSpec{Name: "near", Policy: scheduler.Affinity})
	require.NoError(t, err)
	req := compute.BootRequest{Hints: map[string][]string{"group": {g.ID}}, FlavorID: c.flavor(1, 5120, 1)}
	made := c.together(3, req)
	c.settle()
	for _, s := range made {
		require.Equal(t, c.server(made[0].ID).Host, c.server(s.ID).Host)
		require.Equal(t, compute.Active, c.server(s.ID).VMState)
	}
}

// The server whose turn it is may go, and the others are placed all the same.
func TestTheFirstOfSeveralIsDeletedMeanwhile(t *testing.T) {
	c := newCloud(t, 3, nil)
	made := c.together(3, c.apart())
	require.NoError(t, c.service.DeleteServer(c.user(), made[0].ID, false))
	c.settle()
	c.pass(2 * time.Second)
	c.settle()
	require.NotEqual(t, c.server(made[1].ID).Host, c.server(made[2].ID).Host)
	for _, s := range made[1:] {
		require.Equal(t, compute.Active, c.server(s.ID).VMState)
	}
	require.Equal(t, int64(2*512), c.used())
}
