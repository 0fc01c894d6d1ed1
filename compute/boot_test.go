package compute_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

func TestBootRunsAServer(t *testing.T) {
	c := newCloud(t, 3, nil)
	s := c.boot(compute.BootRequest{Name: "My Server"})
	require.Equal(t, compute.Building, s.VMState)
	require.Equal(t, compute.TaskScheduling, s.TaskState)
	require.NotEmpty(t, s.AdminPass)
	c.settle()

	s = c.server(s.ID)
	require.Equal(t, compute.Active, s.VMState, "%+v", s.Fault)
	require.Empty(t, s.TaskState)
	require.Equal(t, compute.PowerRunning, s.PowerState)
	require.Equal(t, "my-server", s.Hostname)
	require.NotNil(t, s.LaunchedAt)
	require.Len(t, s.NICs, 1)
	require.Equal(t, "private", s.NICs[0].Network)
	require.Equal(t, "10.0.0.0/20", s.NICs[0].Addresses[0].Subnet.CIDR)

	guests := c.guests(s.ID)
	require.Len(t, guests, 1)
	require.Equal(t, hypervisor.Running, guests[0].State)
	claims, err := c.claims.Claims(t.Context(), s.Host)
	require.NoError(t, err)
	require.Len(t, claims, 1)

	actions, _, err := c.service.ListActions(c.user(), s.ID, compute.ActionFilter{}, page())
	require.NoError(t, err)
	require.Len(t, actions, 1)
	require.Equal(t, "create", actions[0].Action)
	require.Nil(t, actions[0].Message)
	require.NotNil(t, actions[0].FinishedAt)
	whole, err := c.service.Action(c.user(), s.ID, actions[0].RequestID)
	require.NoError(t, err)
	var names []string
	for _, e := range whole.Events {
		names = append(names, e.Name)
	}
	require.Equal(t, []string{"queued", "scheduled", "image", "network", "defined", "running", "compute__do_build_and_run_instance"}, names)

	_, err = c.service.Server(c.stranger(), s.ID)
	require.ErrorContains(t, err, "could not be found")
}

func TestDeleteGivesEverythingBack(t *testing.T) {
	c := newCloud(t, 3, nil)
	s := c.running()
	require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false))
	require.Equal(t, compute.TaskDeleting, c.server(s.ID).TaskState)
	c.settle()
	_, err := c.service.Server(c.user(), s.ID)
	require.ErrorContains(t, err, "could not be found")
	c.empty()

	deleted := true
	list, _, err := c.service.ListServers(c.admin(), compute.ServerFilter{AllProjects: true, Deleted: &deleted}, page())
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, compute.Deleted, list[0].VMState)
}

// A server may be deleted at any moment of its boot.
func TestDeleteWhileBuilding(t *testing.T) {
	stride := 1
	if race { // which takes ten times as long: make unit goes step by step without it
		stride = 4
	}
	for steps := 0; steps < 12; steps += stride {
		c := newCloud(t, 2, nil)
		s := c.boot(compute.BootRequest{})
		for range steps {
			c.stepOnce()
		}
		require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false))
		require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false), "again")
		c.settle()
		_, err := c.service.Server(c.user(), s.ID)
		require.ErrorContains(t, err, "could not be found", "after %d steps", steps)
		c.pass(time.Minute)
		c.empty()
	}
}

func TestForgottenServersAreForgotten(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false))
	c.settle()
	c.clock.Advance(25 * time.Hour)
	c.pass(time.Minute)
	n, err := c.db.Reader().NewSelect().Table("compute_servers").Count(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
}
