package compute_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
)

func TestServices(t *testing.T) {
	eachCatalog(t, func(t *testing.T, c catalog) {
		ctx := c.admin()
		c.beat("h1", "h2")
		list, err := c.ListServices(ctx, "", "nova-compute")
		require.NoError(t, err)
		require.Len(t, list, 2)
		s := list[0]
		require.Equal(t, compute.ServiceRecord{
			ID: s.ID, Number: s.Number, Binary: "nova-compute", Host: "h1", Zone: "nova", Up: true, SeenAt: s.SeenAt,
		}, s)
		require.NotEqual(t, s.ID, list[1].ID)
		require.NotEqual(t, s.Number, list[1].Number)
		list, err = c.ListServices(ctx, "h2", "")
		require.NoError(t, err)
		require.Len(t, list, 1)
		list, err = c.ListServices(ctx, "", "nova-scheduler")
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, "internal", list[0].Zone)
		require.True(t, list[0].Up)
		_, err = c.UpdateService(ctx, list[0].ID, compute.ServiceUpdate{Disabled: ref(true)})
		require.EqualError(t, err, "Updating a nova-scheduler service is not supported. Only nova-compute services can be updated.")
		require.NoError(t, c.DeleteService(ctx, list[0].ID))
		list, err = c.ListServices(ctx, "", "")
		require.NoError(t, err)
		require.Len(t, list, 4)

		got, err := c.UpdateService(ctx, s.ID, compute.ServiceUpdate{Disabled: ref(true), DisabledReason: "broken"})
		require.NoError(t, err)
		require.True(t, got.Disabled)
		require.Equal(t, "broken", got.DisabledReason)
		got, err = c.UpdateService(ctx, strconv.FormatInt(s.Number, 10), compute.ServiceUpdate{ForcedDown: ref(true)})
		require.NoError(t, err)
		require.False(t, got.Up)
		require.True(t, got.Disabled)
		c.beat("h1")
		got, err = c.UpdateService(ctx, s.ID, compute.ServiceUpdate{Disabled: ref(false), ForcedDown: ref(false)})
		require.NoError(t, err)
		require.Equal(t, s.DisabledReason, got.DisabledReason)
		require.True(t, got.Up)
		_, err = c.UpdateService(ctx, s.ID, compute.ServiceUpdate{})
		require.ErrorIs(t, err, nephos.ErrInvalid)
		_, err = c.UpdateService(ctx, "nosuch", compute.ServiceUpdate{Disabled: ref(true)})
		require.EqualError(t, err, "Service nosuch could not be found.")
		_, err = c.UpdateServiceOn(ctx, "h1", "nova-scheduler", compute.ServiceUpdate{Disabled: ref(true)})
		require.EqualError(t, err, "Updating a nova-scheduler service is not supported. Only nova-compute services can be updated.")

		a, err := c.CreateAggregate(ctx, "a", "")
		require.NoError(t, err)
		_, err = c.AddAggregateHost(ctx, a.ID, "h1")
		require.NoError(t, err)
		require.NoError(t, c.DeleteService(ctx, s.ID))
		require.ErrorIs(t, c.DeleteService(ctx, s.ID), nephos.ErrNotFound)
		a, err = c.Aggregate(ctx, a.ID)
		require.NoError(t, err)
		require.Empty(t, a.Hosts)
		c.beat("h1")
		list, err = c.ListServices(ctx, "h1", "")
		require.NoError(t, err)
		require.Len(t, list, 1)
	})
}

func TestAServiceWithServersStays(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	list, err := c.service.ListServices(c.admin(), s.Host, "")
	require.NoError(t, err)
	err = c.service.DeleteService(c.admin(), list[0].ID)
	require.ErrorIs(t, err, nephos.ErrConflict)
	require.EqualError(t, err, "Unable to delete compute service that is hosting instances. Migrate or delete the instances first.")
	require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false))
	c.settle()
	require.NoError(t, c.service.DeleteService(c.admin(), list[0].ID))
	_, err = c.claims.Host(t.Context(), s.Host)
	require.ErrorIs(t, err, nephos.ErrNotFound)
}

func TestHypervisors(t *testing.T) {
	c := newCloud(t, 2, nil)
	s := c.running()
	list, more, err := c.service.ListHypervisors(c.admin(), compute.HypervisorFilter{Detail: true, Servers: true}, nephos.Page{})
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, list, 2)
	for _, h := range list {
		require.Equal(t, 8, h.Beat.VCPUs)
		if h.Name == s.Host {
			require.Equal(t, 1, h.VCPUsUsed)
			require.Equal(t, 512, h.MemoryMiBUsed)
			require.Equal(t, 1, h.ServerCount)
			require.Equal(t, []compute.HostedServer{{ID: s.ID, Name: s.Name}}, h.HostedServers)
		} else {
			require.Zero(t, h.ServerCount)
			require.Empty(t, h.HostedServers)
		}
	}
	sum, err := c.service.HypervisorStatistics(c.admin())
	require.NoError(t, err)
	require.Equal(t, 2, sum.Count)
	require.Equal(t, 16, sum.VCPUs)
	require.Equal(t, 1, sum.VCPUsUsed)

	page, more, err := c.service.ListHypervisors(c.admin(), compute.HypervisorFilter{}, nephos.Page{Limit: 1})
	require.NoError(t, err)
	require.True(t, more)
	rest, more, err := c.service.ListHypervisors(c.admin(), compute.HypervisorFilter{}, nephos.Page{Limit: 1, Marker: page[0].ID})
	require.NoError(t, err)
	require.False(t, more)
	require.NotEqual(t, page[0].Name, rest[0].Name)
	_, _, err = c.service.ListHypervisors(c.admin(), compute.HypervisorFilter{}, nephos.Page{Marker: "x"})
	require.EqualError(t, err, "marker [x] not found")

	for _, id := range []string{list[0].ID, strconv.FormatInt(list[0].Number, 10)} {
		h, err := c.service.Hypervisor(c.admin(), id, false)
		require.NoError(t, err)
		require.Equal(t, list[0].Name, h.Name)
	}
	_, err = c.service.Hypervisor(c.admin(), "77", false)
	require.EqualError(t, err, "Hypervisor with ID '77' could not be found.")
	_, err = c.service.HypervisorUptime(c.admin(), list[0].ID)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	found, err := c.service.SearchHypervisors(c.admin(), compute.HypervisorFilter{Name: "OST-2"})
	require.NoError(t, err)
	require.Len(t, found, 1)
	_, err = c.service.SearchHypervisors(c.admin(), compute.HypervisorFilter{Name: "nosuch"})
	require.EqualError(t, err, "No hypervisor matching 'nosuch' could be found.")
}

func TestExternalEvents(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	waiting := c.boot(compute.BootRequest{})
	codes, err := c.service.ExternalEvents(c.admin(), []compute.ExternalEvent{
		{ServerID: s.ID, Name: "network-vif-plugged"},
		{ServerID: "nosuch", Name: "network-changed"},
		{ServerID: s.ID, Name: "volume-extended"},
		{ServerID: waiting.ID, Name: "network-changed"},
	})
	require.NoError(t, err)
	require.Equal(t, []int{200, 404, 400, 422}, codes)
	c.settle()
	require.Equal(t, compute.Active, c.server(s.ID).VMState)
}
