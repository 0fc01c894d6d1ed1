package operator

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/faults"
)

// newFleet returns a cloud and a fleet of three in it.
func newFleet(t *testing.T) (*cloudtest.Cloud, *Fleet) {
	t.Parallel()
	c := cloudtest.New(t)
	p := c.Project()
	compute := c.Clients().Compute
	compute.Microversion = "2.60"
	return c, &Fleet{
		Compute: compute, Name: "web", Size: 3,
		Server: servers.CreateOpts{ImageRef: c.AddImage("web", []byte("an image")), FlavorRef: p.FlavorID, Networks: "none"},
		// The cloud's clock, not the wall's.
		Sleep: func(_ context.Context, d time.Duration) error { c.Advance(d); return nil },
	}
}

func TestTheFleetComesUp(t *testing.T) {
	c, fleet := newFleet(t)
	state, err := fleet.Reconcile(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"web-1", "web-2", "web-3"}, state.Created)
	c.Settle() // all that takes time has happened
	state, err = fleet.Reconcile(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"web-1", "web-2", "web-3"}, state.Running)
	require.Empty(t, state.Created)
}

// The API is too busy now and then: the operator tries again.
func TestTheFleetSurvivesABusyCloud(t *testing.T) {
	c, fleet := newFleet(t)
	c.Inject.MustAdd(
		faults.Rule{Point: faults.API, Effect: faults.Error, Service: "compute", Operation: "POST /servers", Status: 503, RetryAfter: 1, Count: 4},
		faults.Rule{Point: faults.API, Effect: faults.Error, Service: "compute", Operation: "GET", Status: 503, Probability: 0.2},
	)
	_, err := fleet.Reconcile(t.Context())
	require.NoError(t, err)
	c.Settle()
	state, err := fleet.Reconcile(t.Context())
	require.NoError(t, err)
	require.Len(t, state.Running, 3)
	require.Equal(t, 4, c.Inject.Rules()[0].Hits)
}

// An answer is lost after the work was done: the operator makes no twin.
func TestTheFleetMakesNoTwins(t *testing.T) {
	c, fleet := newFleet(t)
	c.Inject.MustAdd(faults.Rule{Point: faults.API, Effect: faults.Drop, Service: "compute", Operation: "POST /servers", After: true, Count: 1})
	_, err := fleet.Reconcile(t.Context())
	require.NoError(t, err)
	c.Settle()
	pages, err := servers.List(fleet.Compute, servers.ListOpts{}).AllPages(t.Context())
	require.NoError(t, err)
	all, err := servers.ExtractServers(pages)
	require.NoError(t, err)
	require.Len(t, all, 3, "%d servers", len(all))
}

// A cloud that stays broken is an error, and none that is hidden.
func TestTheFleetSaysWhenItGivesUp(t *testing.T) {
	c, fleet := newFleet(t)
	c.Inject.MustAdd(faults.Rule{Point: faults.API, Effect: faults.Error, Service: "compute", Operation: "POST /servers", Status: 503})
	_, err := fleet.Reconcile(t.Context())
	require.ErrorContains(t, err, "creating web-1")
	// An error that will not pass is not tried again.
	c.Inject.Reset(0)
	c.Inject.MustAdd(faults.Rule{ID: "no", Point: faults.API, Effect: faults.Error, Service: "compute", Operation: "POST /servers", Status: 403})
	_, err = fleet.Reconcile(t.Context())
	require.ErrorContains(t, err, "creating web-1")
	rule, err := c.Inject.Rule("no")
	require.NoError(t, err)
	require.Equal(t, 1, rule.Hits)
}

// A server that breaks is replaced.
func TestTheFleetReplacesWhatIsBroken(t *testing.T) {
	c, fleet := newFleet(t)
	c.Inject.MustAdd(faults.Rule{ID: "broken", Point: faults.Driver, Effect: faults.Error, Service: "hypervisor", Operation: "Ensure", Kind: "invalid"})
	_, err := fleet.Reconcile(t.Context())
	require.NoError(t, err)
	c.Settle()
	require.NoError(t, c.Inject.Remove("broken"))
	state, err := fleet.Reconcile(t.Context())
	require.NoError(t, err)
	require.Len(t, state.Replaced, 3)
	c.Settle()
	state, err = fleet.Reconcile(t.Context())
	require.NoError(t, err)
	require.Len(t, state.Running, 3)
}

// A host dies: the operator notices, and has its servers elsewhere.
func TestTheFleetLeavesADeadHost(t *testing.T) {
	c, fleet := newFleet(t)
	_, err := fleet.Reconcile(t.Context())
	require.NoError(t, err)
	c.Settle()
	s := one(t, fleet, "web-1")
	dead := s.Host
	c.Inject.MustAdd(faults.Rule{Point: faults.Host, Effect: faults.Dead, Host: dead})
	c.Advance(5 * time.Minute) // until nobody believes in it any more
	state, err := fleet.Reconcile(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{dead}, state.Dead)
	require.Contains(t, state.Replaced, "web-1")
	c.Advance(time.Minute)
	state, err = fleet.Reconcile(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, dead, one(t, fleet, "web-1", s.ID).Host)
	require.Contains(t, fmt.Sprint(state.Running, state.Building), "web-1")
}

// one returns the server of the name that is not one of those.
func one(t *testing.T, fleet *Fleet, name string, not ...string) servers.Server {
	t.Helper()
	found, err := fleet.list(t.Context())
	require.NoError(t, err)
	for _, s := range found {
		if s.Name == name && (len(not) == 0 || s.ID != not[0]) {
			return s
		}
	}
	t.Fatalf("there is no %s among %v", name, found)
	return servers.Server{}
}
