package cinder_test

import (
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/attachments"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/availabilityzones"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/limits"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/quotasets"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/schedulerstats"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/services"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/snapshots"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumetypes"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/blockstorage/cinder"
)

// client is a gophercloud client with a token of the cast.
func (s *server) client(token, version string) *gophercloud.ServiceClient {
	return &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{TokenID: token},
		Endpoint:       s.URL + "/v3/" + cast[token].ProjectID + "/", Type: "volume", Microversion: version,
	}
}

func TestGophercloudManagesVolumes(t *testing.T) {
	s := serve(t)
	c, ctx := s.client("member", "3.67"), t.Context()
	v, err := volumes.Create(ctx, c, volumes.CreateOpts{Size: 2, Name: "data", Metadata: map[string]string{"k": "v"}},
		volumes.SchedulerHintOpts{DifferentHost: []string{"0d6f4f0e-7f3c-4f93-9d3c-0d6f4f0e7f3c"}}).Extract()
	require.NoError(t, err)
	require.Equal(t, "creating", v.Status)
	s.settle()
	v, err = volumes.Get(ctx, c, v.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, "available", v.Status)
	require.Equal(t, "__DEFAULT__", v.VolumeType)
	require.NoError(t, volumes.ExtendSize(ctx, c, v.ID, volumes.ExtendSizeOpts{NewSize: 3}).ExtractErr())
	s.settle()
	name := "renamed"
	v, err = volumes.Update(ctx, c, v.ID, volumes.UpdateOpts{Name: &name}).Extract()
	require.NoError(t, err)
	require.Equal(t, 3, v.Size)

	snap, err := snapshots.Create(ctx, c, snapshots.CreateOpts{VolumeID: v.ID, Name: "s"}).Extract()
	require.NoError(t, err)
	s.settle()
	snap, err = snapshots.Get(ctx, c, snap.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, "available", snap.Status)
	require.Equal(t, "100%", snap.Progress)
	copied, err := volumes.Create(ctx, c, volumes.CreateOpts{SnapshotID: snap.ID}, nil).Extract()
	require.NoError(t, err)
	require.Equal(t, 3, copied.Size)
	s.settle()

	page, err := volumes.List(c, volumes.ListOpts{}).AllPages(ctx)
	require.NoError(t, err)
	all, err := volumes.ExtractVolumes(page)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.NoError(t, volumes.Delete(ctx, c, v.ID, volumes.DeleteOpts{Cascade: true}).ExtractErr())
	for range 3 {
		s.settle()
	}
	_, err = volumes.Get(ctx, c, v.ID).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, 404), "%v", err)
	_, err = snapshots.Get(ctx, c, snap.ID).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, 404), "%v", err)
}

func TestGophercloudAttaches(t *testing.T) {
	s := serve(t)
	c, ctx := s.client("member", "3.54"), t.Context()
	id := s.volume(`{"size": 1}`)
	a, err := attachments.Create(ctx, c, attachments.CreateOpts{VolumeUUID: id, InstanceUUID: "84b8950a-8594-4e5b-8dce-0dfa9c696357"}).Extract()
	require.NoError(t, err)
	require.Equal(t, "reserved", a.Status)
	require.Equal(t, "reserved", s.Do("member", "GET", "/v3/volumes/"+id, "").Text("volume", "status"))
	_, err = attachments.Create(ctx, c, attachments.CreateOpts{VolumeUUID: id, InstanceUUID: "84b8950a-8594-4e5b-8dce-0dfa9c696358"}).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, 400), "%v", err)
	a, err = attachments.Update(ctx, c, a.ID, attachments.UpdateOpts{Connector: map[string]any{"host": "h", "mountpoint": "/dev/vdb"}}).Extract()
	require.NoError(t, err)
	require.Equal(t, "attaching", a.Status)
	require.Equal(t, "file", a.ConnectionInfo["driver_volume_type"])
	require.NoError(t, attachments.Complete(ctx, c, a.ID).ExtractErr())
	shown := s.Do("admin", "GET", "/v3/volumes/"+id, "")
	require.Equal(t, "in-use", shown.Text("volume", "status"))
	require.Equal(t, "h", shown.Text("volume", "attachments", 0, "host_name"))
	require.Equal(t, "/dev/vdb", shown.Text("volume", "attachments", 0, "device"))
	page, err := attachments.List(c, attachments.ListOpts{}).AllPages(ctx)
	require.NoError(t, err)
	all, err := attachments.ExtractAttachments(page)
	require.NoError(t, err)
	require.Len(t, all, 1)
	a, err = attachments.Get(ctx, c, a.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, "attached", a.Status)
	require.NoError(t, attachments.Delete(ctx, c, a.ID).ExtractErr())
	require.Equal(t, "available", s.Do("member", "GET", "/v3/volumes/"+id, "").Text("volume", "status"))
	require.Empty(t, s.state.Attachments(id))
	s.Do("member", "GET 3.26", "/v3/attachments", "").Want(404)
}

func TestGophercloudRunsTheCloud(t *testing.T) {
	s := serve(t)
	c, ctx := s.client("admin", "3.67"), t.Context()
	private := false
	vt, err := volumetypes.Create(ctx, c, volumetypes.CreateOpts{Name: "fast", IsPublic: &private, ExtraSpecs: map[string]string{"volume_backend_name": "fake"}}).Extract()
	require.NoError(t, err)
	_, err = volumetypes.Create(ctx, c, volumetypes.CreateOpts{Name: "fast"}).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, 409), "%v", err)
	s.Do("member", "GET", "/v3/types/"+vt.ID, "").Want(404)
	require.NoError(t, volumetypes.AddAccess(ctx, c, vt.ID, volumetypes.AddAccessOpts{Project: project}).ExtractErr())
	require.Empty(t, s.Do("member", "GET", "/v3/types/"+vt.ID, "").Want(200).Get("volume_type", "extra_specs"), "extra specs are not for users")
	specs, err := volumetypes.CreateExtraSpecs(ctx, c, vt.ID, volumetypes.ExtraSpecsOpts{"a": "b"}).Extract()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "b"}, specs)
	require.NoError(t, volumetypes.DeleteExtraSpec(ctx, c, vt.ID, "a").ExtractErr())
	id := s.volume(`{"size": 1, "volume_type": "fast"}`)
	require.True(t, gophercloud.ResponseCodeIs(volumetypes.Delete(ctx, c, vt.ID).ExtractErr(), 400), "a type in use stays")
	s.Do("member", "DELETE", "/v3/volumes/"+id, "").Want(202)
	s.settle()
	require.NoError(t, volumetypes.Delete(ctx, c, vt.ID).ExtractErr())
	def := s.Do("member", "GET", "/v3/types/default", "").Want(200).Text("volume_type", "id")
	s.Do("admin", "DELETE", "/v3/types/"+def, "").Want(400)
	s.Do("admin", "PUT 3.62", "/v3/default-types/"+project, `{"default_type": {"volume_type": "__DEFAULT__"}}`).Want(200)
	require.Equal(t, def, s.Do("admin", "GET 3.62", "/v3/default-types/"+project, "").Want(200).Text("default_type", "volume_type_id"))
	s.Do("admin", "DELETE 3.62", "/v3/default-types/"+project, "").Want(204)
	s.Do("admin", "GET 3.62", "/v3/default-types/"+project, "").Want(404)

	page, err := services.List(c, services.ListOpts{}).AllPages(ctx)
	require.NoError(t, err)
	svcs, err := services.ExtractServices(page)
	require.NoError(t, err)
	require.Len(t, svcs, 2)
	page, err = schedulerstats.List(c, schedulerstats.ListOpts{Detail: true}).AllPages(ctx)
	require.NoError(t, err)
	pools, err := schedulerstats.ExtractStoragePools(page)
	require.NoError(t, err)
	require.EqualValues(t, 5000, pools[0].Capabilities.TotalCapacityGB)
	page, err = availabilityzones.List(c).AllPages(ctx)
	require.NoError(t, err)
	zones, err := availabilityzones.ExtractAvailabilityZones(page)
	require.NoError(t, err)
	require.Equal(t, "nova", zones[0].ZoneName)
	_, err = limits.Get(ctx, c).Extract()
	require.NoError(t, err)
	use, err := quotasets.GetUsage(ctx, c, project).Extract()
	require.NoError(t, err)
	require.Equal(t, 10, use.Volumes.Limit)
	for _, path := range []string{"os-hosts", "os-hosts/nephos@volumes", "extensions", "extensions/os-volume-actions", "resource_filters", "os-quota-class-sets/default"} {
		s.Do("admin", "GET 3.67", "/v3/"+path, "").Want(200)
	}
	s.Do("member", "PUT", "/v3/os-services/disable", `{}`).Want(403)
	for _, path := range []string{"os-hosts", "os-services", "scheduler-stats/get_pools", "os-quota-class-sets/default"} {
		s.Do("member", "GET 3.67", "/v3/"+path, "").Want(403)
	}
}

func FuzzParsePairs(f *testing.F) {
	for _, seed := range []string{`{'a': 'b'}`, `{"a": "b", 'c': u'd'}`, `{}`, `{'a'`, `{'a': 'b' 'c'}`, `{a: b}`, `{'\'': '\\'}`, `{'a': 1,}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		pairs, ok := cinder.ParsePairs(s)
		require.True(t, ok || pairs == nil)
	})
}

func TestParsePairs(t *testing.T) {
	for in, want := range map[string]map[string]string{
		`{'a': 'b'}`:                 {"a": "b"},
		`{"a": "b,c", u'd': u'e:f'}`: {"a": "b,c", "d": "e:f"},
		`{}`:                         {},
		`{'it\'s': 'x'}`:             {"it's": "x"},
		`{'n': 1, 'm': True}`:        {"n": "1", "m": "True"},
		`{'a'}`:                      nil,
		`{'a': }`:                    nil,
		`{'a': 'b' 'c'}`:             nil,
		`a=b`:                        nil,
		`{'a': 'b`:                   nil,
	} {
		got, ok := cinder.ParsePairs(in)
		require.Equal(t, want, got, in)
		require.Equal(t, want != nil, ok, in)
	}
}
