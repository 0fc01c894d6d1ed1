package nova_test

import (
	"strconv"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/aggregates"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/availabilityzones"
	"github.com/stretchr/testify/require"
)

func TestAggregatesAndZonesByGophercloud(t *testing.T) {
	s := serveCatalog(t)
	s.beat("h1", "h2")
	ctx := t.Context()
	admin := s.client("admin", "2.96")
	made, err := aggregates.Create(ctx, admin, aggregates.CreateOpts{Name: "racks", AvailabilityZone: "north"}).Extract()
	require.NoError(t, err)
	require.Equal(t, "north", made.AvailabilityZone)
	require.False(t, made.CreatedAt.IsZero())
	got, err := aggregates.AddHost(ctx, admin, made.ID, aggregates.AddHostOpts{Host: "h1"}).Extract()
	require.NoError(t, err)
	require.Equal(t, []string{"h1"}, got.Hosts)
	got, err = aggregates.SetMetadata(ctx, admin, made.ID, aggregates.SetMetadataOpts{Metadata: map[string]any{"ssd": "true"}}).Extract()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"availability_zone": "north", "ssd": "true"}, got.Metadata)
	got, err = aggregates.Update(ctx, admin, made.ID, aggregates.UpdateOpts{Name: "cages"}).Extract()
	require.NoError(t, err)
	require.Equal(t, "cages", got.Name)
	shown, err := aggregates.Get(ctx, admin, made.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, got, shown)
	pages, err := aggregates.List(admin).AllPages(ctx)
	require.NoError(t, err)
	all, err := aggregates.ExtractAggregates(pages)
	require.NoError(t, err)
	require.Equal(t, []aggregates.Aggregate{*shown}, all)

	zp, err := availabilityzones.List(s.client("member", "2.96")).AllPages(ctx)
	require.NoError(t, err)
	zones, err := availabilityzones.ExtractAvailabilityZones(zp)
	require.NoError(t, err)
	require.Equal(t, []availabilityzones.AvailabilityZone{
		{ZoneName: "north", ZoneState: availabilityzones.ZoneState{Available: true}}, {ZoneName: "nova", ZoneState: availabilityzones.ZoneState{Available: true}},
	}, zones)
	zp, err = availabilityzones.ListDetail(admin).AllPages(ctx)
	require.NoError(t, err)
	zones, err = availabilityzones.ExtractAvailabilityZones(zp)
	require.NoError(t, err)
	require.Equal(t, "internal", zones[0].ZoneName)
	require.True(t, zones[1].Hosts["h1"]["nova-compute"].Available)
	require.True(t, zones[2].Hosts["h2"]["nova-compute"].Active)

	require.ErrorContains(t, aggregates.Delete(ctx, admin, made.ID).ExtractErr(), "Host aggregate is not empty")
	_, err = aggregates.RemoveHost(ctx, admin, made.ID, aggregates.RemoveHostOpts{Host: "h1"}).Extract()
	require.NoError(t, err)
	require.NoError(t, aggregates.Delete(ctx, admin, made.ID).ExtractErr())
}

func TestAggregateBodies(t *testing.T) {
	s := serveCatalog(t)
	made := s.Do("admin", "POST", "/v2.1/os-aggregates", `{"aggregate": {"name": "a"}}`).Want(200)
	require.Equal(t, map[string]any{
		"id": 1.0, "name": "a", "availability_zone": nil, "created_at": "2030-01-02T03:04:05.000678", "updated_at": nil, "deleted_at": nil, "deleted": false,
	}, made.Get("aggregate"))
	id := strconv.Itoa(int(made.Get("aggregate", "id").(float64)))
	require.ElementsMatch(t, []string{"id", "uuid", "name", "availability_zone", "hosts", "metadata", "created_at", "updated_at", "deleted_at", "deleted"},
		s.Do("admin", "GET 2.41", "/v2.1/os-aggregates/"+id, "").Keys("aggregate"))
	for _, tc := range []struct {
		method, path, body string
		status             int
		message            string
	}{
		{"POST", "", `{"aggregate": {"name": "a"}}`, 409, "Aggregate a already exists."},
		{"POST", "", `{"aggregate": {"name": "b", "availability_zone": "x:y"}}`, 400, "Invalid input for field/attribute availability_zone. Value: x:y. 'x:y' is not valid under any of the given schemas"},
		{"POST", "", `{"aggregate": {"availability_zone": "x"}}`, 400, "Invalid input for field/attribute aggregate. Value: {'availability_zone': 'x'}. 'name' is a required property"},
		{"PUT", "/1", `{"aggregate": {}}`, 400, "Invalid input for field/attribute aggregate. Value: {}. {} is not valid under any of the given schemas"},
		{"PUT", "/1", `{"aggregate": {"availability_zone": null}}`, 400, "Cannot update aggregate 1. Reason: Aggregate a does not support empty named availability zone."},
		{"PUT", "/7", `{"aggregate": {"name": "x"}}`, 404, "Aggregate 7 could not be found."},
		{"GET", "/x", ``, 400, "Invalid input received: id must be an integer"},
		{"POST", "/1/action", `{"add_host": {"host": "nosuch"}}`, 404, "Compute host nosuch could not be found."},
		{"POST", "/1/action", `{"remove_host": {"host": "nosuch"}}`, 404, "Cannot remove host nosuch in aggregate 1"},
		{"POST", "/1/action", `{"set_metadata": {"metadata": {"a": 1}}}`, 400, "Invalid input for field/attribute a. Value: 1. 1 is not of type 'string', 'null'"},
		{"POST", "/1/action", `{"sing": {}}`, 400, "There is no such action: sing"},
	} {
		s.Do("admin", tc.method, "/v2.1/os-aggregates"+tc.path, tc.body).Fault(tc.status, tc.message)
	}
	require.Nil(t, s.Do("admin", "POST", "/v2.1/os-aggregates/1/action", `{"set_metadata": {"metadata": {"a": null}}}`).Want(200).Get("aggregate", "metadata", "a"))
	require.Empty(t, s.Do("admin", "DELETE", "/v2.1/os-aggregates/1", "").Want(200).Body)
}
