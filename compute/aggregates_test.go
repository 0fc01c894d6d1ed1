package compute_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/store"
)

func TestAnAggregateLivesAndDies(t *testing.T) {
	eachCatalog(t, func(t *testing.T, c catalog) {
		ctx := c.admin()
		c.beat("h1", "h2")
		a, err := c.CreateAggregate(ctx, "racks", "north")
		require.NoError(t, err)
		require.NotZero(t, a.ID)
		require.Equal(t, "north", a.Zone())
		require.Nil(t, a.UpdatedAt)
		_, err = c.CreateAggregate(ctx, "racks", "")
		require.ErrorIs(t, err, nephos.ErrConflict)
		require.EqualError(t, err, "Aggregate racks already exists.")

		a, err = c.AddAggregateHost(ctx, a.ID, "h2")
		require.NoError(t, err)
		a, err = c.AddAggregateHost(ctx, a.ID, "h1")
		require.NoError(t, err)
		require.Equal(t, []string{"h1", "h2"}, a.Hosts)
		_, err = c.AddAggregateHost(ctx, a.ID, "h1")
		require.EqualError(t, err, "Aggregate 1 already has host h1.")
		require.ErrorIs(t, err, nephos.ErrConflict)
		_, err = c.AddAggregateHost(ctx, a.ID, "nosuch")
		require.EqualError(t, err, "Compute host nosuch could not be found.")
		require.ErrorIs(t, err, nephos.ErrNotFound)

		a, err = c.SetAggregateMetadata(ctx, a.ID, map[string]*string{"ssd": ref("true"), "old": ref("1")})
		require.NoError(t, err)
		a, err = c.SetAggregateMetadata(ctx, a.ID, map[string]*string{"old": nil})
		require.NoError(t, err)
		require.Equal(t, map[string]string{"availability_zone": "north", "ssd": "true"}, a.Metadata)
		require.NotNil(t, a.UpdatedAt)

		a, err = c.UpdateAggregate(ctx, a.ID, ref("cages"), ref("south"))
		require.NoError(t, err)
		got, err := c.Aggregate(ctx, a.ID)
		require.NoError(t, err)
		require.Equal(t, []string{"h1", "h2"}, got.Hosts)
		require.Equal(t, a.Metadata, got.Metadata)
		require.Equal(t, "cages", got.Name)
		require.Equal(t, "south", got.Zone())
		ctx2, queries := store.CountQueries(ctx)
		all, err := c.ListAggregates(ctx2)
		require.NoError(t, err)
		require.Equal(t, []compute.Aggregate{got}, all)
		require.EqualValues(t, 2, queries.Load())

		err = c.DeleteAggregate(ctx, a.ID)
		require.ErrorIs(t, err, nephos.ErrInvalid)
		require.EqualError(t, err, "Cannot remove host from aggregate 1. Reason: Host aggregate is not empty.")
		_, err = c.RemoveAggregateHost(ctx, a.ID, "h1")
		require.NoError(t, err)
		_, err = c.RemoveAggregateHost(ctx, a.ID, "h1")
		require.EqualError(t, err, "Cannot remove host h1 in aggregate 1")
		a, err = c.RemoveAggregateHost(ctx, a.ID, "h2")
		require.NoError(t, err)
		require.Empty(t, a.Hosts)
		require.NoError(t, c.DeleteAggregate(ctx, a.ID))
		_, err = c.Aggregate(ctx, a.ID)
		require.EqualError(t, err, "Aggregate 1 could not be found.")
	})
}

func TestAHostIsInOneZone(t *testing.T) {
	eachCatalog(t, func(t *testing.T, c catalog) {
		ctx := c.admin()
		c.beat("h1", "h2")
		north, err := c.CreateAggregate(ctx, "n", "north")
		require.NoError(t, err)
		south, err := c.CreateAggregate(ctx, "s", "south")
		require.NoError(t, err)
		plain, err := c.CreateAggregate(ctx, "p", "")
		require.NoError(t, err)
		_, err = c.AddAggregateHost(ctx, north.ID, "h1")
		require.NoError(t, err)
		_, err = c.AddAggregateHost(ctx, plain.ID, "h1")
		require.NoError(t, err)
		_, err = c.AddAggregateHost(ctx, south.ID, "h1")
		require.ErrorIs(t, err, nephos.ErrConflict)
		require.EqualError(t, err, "Cannot add host to aggregate 2. Reason: One or more hosts already in availability zone(s) ['north'].")
		_, err = c.UpdateAggregate(ctx, plain.ID, nil, ref("west"))
		require.ErrorIs(t, err, nephos.ErrInvalid)
		require.EqualError(t, err, "Cannot update aggregate 3. Reason: One or more hosts already in availability zone(s) ['north'].")
		_, err = c.SetAggregateMetadata(ctx, north.ID, map[string]*string{"availability_zone": nil})
		require.EqualError(t, err, "Cannot update metadata of aggregate 1. Reason: Aggregate n does not support empty named availability zone.")

		zones := func(ctx context.Context, detail bool) (out []string) {
			list, err := c.ListZones(ctx, detail)
			require.NoError(t, err)
			for _, z := range list {
				s := z.Name
				if !z.Available {
					s += "!"
				}
				for _, r := range z.Services {
					s += " " + r.Binary + "@" + r.Host
				}
				out = append(out, s)
			}
			return out
		}
		require.Equal(t, []string{"north", "nova"}, zones(c.user(), false))
		require.Equal(t, []string{"internal nova-conductor@nephos nova-scheduler@nephos", "north nova-compute@h1", "nova nova-compute@h2"}, zones(ctx, true))
		_, err = c.UpdateServiceOn(ctx, "h1", compute.ComputeBinary, compute.ServiceUpdate{Disabled: ref(true)})
		require.NoError(t, err)
		require.Equal(t, []string{"nova", "north!"}, zones(c.user(), false))
	})
}

// What operators arrange decides where servers go.
func TestAggregatesAndServicesSteerTheScheduler(t *testing.T) {
	c := newCloud(t, 3, nil)
	ctx := c.admin()
	a, err := c.service.CreateAggregate(ctx, "a", "east")
	require.NoError(t, err)
	_, err = c.service.AddAggregateHost(ctx, a.ID, "host-2")
	require.NoError(t, err)
	for range 3 {
		s := c.boot(compute.BootRequest{Zone: "east"})
		c.settle()
		require.Equal(t, "host-2", c.server(s.ID).Host)
	}
	_, err = c.service.UpdateAggregate(ctx, a.ID, nil, ref("elsewhere"))
	require.EqualError(t, err, "Cannot update aggregate 1. Reason: One or more hosts contain instances in this zone.")
	_, err = c.service.Boot(c.user(), compute.BootRequest{Name: "x", ImageID: c.images.id, FlavorID: c.flavor(1, 1, 1), Zone: "west"})
	require.EqualError(t, err, "The requested availability zone is not available")

	_, err = c.service.UpdateServiceOn(ctx, "host-1", compute.ComputeBinary, compute.ServiceUpdate{Disabled: ref(true), DisabledReason: "new disks"})
	require.NoError(t, err)
	for range 3 {
		s := c.boot(compute.BootRequest{Zone: "nova"})
		c.settle()
		require.Equal(t, "host-3", c.server(s.ID).Host)
	}
}
