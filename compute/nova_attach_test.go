package compute_test

import (
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/remoteconsoles"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/volumeattach"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/blockstorage"
)

func TestWireVolumeAttachments(t *testing.T) {
	w := newWire(t, 1, nil)
	id := w.bootWire("2.90", "")
	w.settle()
	v := w.volume(false)
	c := w.client("user", "2.79")
	a, err := volumeattach.Create(t.Context(), c, id, volumeattach.CreateOpts{VolumeID: v.ID, DeleteOnTermination: true}).Extract()
	require.NoError(t, err)
	require.Equal(t, v.ID, a.ID)
	require.Equal(t, "/dev/vdb", a.Device)
	w.settle()
	require.Equal(t, blockstorage.InUse, w.volumeNow(v.ID).Status)
	pages, err := volumeattach.List(c, id).AllPages(t.Context())
	require.NoError(t, err)
	list, err := volumeattach.ExtractVolumeAttachments(pages)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.True(t, *list[0].DeleteOnTermination)

	path := "/v2.1/servers/" + id + "/os-volume_attachments/" + v.ID
	got := w.call("user", "2.89", "GET", path, "").body["volumeAttachment"].(map[string]any)
	require.NotContains(t, got, "id")
	require.Contains(t, got, "bdm_uuid")
	got = w.call("user", "2.69", "GET", path, "").body["volumeAttachment"].(map[string]any)
	require.Equal(t, map[string]any{"id": v.ID, "volumeId": v.ID, "serverId": id, "device": "/dev/vdb"}, got)
	answer := w.call("user", "2.85", "PUT", path, `{"volumeAttachment": {"volumeId": "`+v.ID+`", "delete_on_termination": false}}`)
	require.Equal(t, 202, answer.Status, answer.Body)
	answer = w.call("user", "2.85", "PUT", path, `{"volumeAttachment": {"volumeId": "`+v.ID+`", "delete_on_termination": true, "device": "/dev/vdz"}}`)
	require.Equal(t, 400, answer.Status)
	require.Contains(t, answer.Body, "The device property is not mutable")
	answer = w.call("user", "", "POST", "/v2.1/servers/"+id+"/os-volume_attachments", `{"volumeAttachment": {"volumeId": "`+v.ID+`"}}`)
	require.Equal(t, 400, answer.Status)
	require.Contains(t, answer.Body, "is already attached to instances: ")
	answer = w.call("user", "", "POST", "/v2.1/servers/"+id+"/os-volume_attachments", `{"volumeAttachment": {"volumeId": "55555555-5555-4555-8555-555555555555"}}`)
	require.Equal(t, 404, answer.Status, answer.Body)

	require.NoError(t, volumeattach.Delete(t.Context(), c, id, v.ID).ExtractErr())
	w.settle()
	require.Equal(t, blockstorage.Available, w.volumeNow(v.ID).Status)
}

func TestWireBootFromVolume(t *testing.T) {
	w := newWire(t, 1, nil)
	c := w.client("user", "2.42")
	s, err := servers.Create(t.Context(), c, servers.CreateOpts{
		Name: "v", FlavorRef: w.flavor(1, 64, 0), Networks: "none",
		BlockDevice: []servers.BlockDevice{{
			SourceType: servers.SourceImage, UUID: w.images.id, DestinationType: servers.DestinationVolume, VolumeSize: 1, DeleteOnTermination: true,
		}},
	}, nil).Extract()
	require.NoError(t, err)
	for range 3 {
		w.settle()
		w.clock.Advance(timeStep)
	}
	w.settle()
	got, err := servers.Get(t.Context(), c, s.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, "ACTIVE", got.Status, "%+v", got.Fault)
	require.Len(t, got.AttachedVolumes, 1)
	require.Empty(t, got.Image)
}

func TestWireConsolesAndVersions(t *testing.T) {
	w := newWire(t, 1, nil)
	id := w.bootWire("2.90", "")
	w.settle()
	con, err := remoteconsoles.Create(t.Context(), w.client("user", "2.6"), id, remoteconsoles.CreateOpts{
		Protocol: remoteconsoles.ConsoleProtocolVNC, Type: remoteconsoles.ConsoleTypeNoVNC,
	}).Extract()
	require.NoError(t, err)
	require.Contains(t, con.URL, "http://cloud.test/console?token=")
	old := w.call("user", "2.5", "POST", "/v2.1/servers/"+id+"/action", `{"os-getVNCConsole": {"type": "novnc"}}`)
	require.Equal(t, 200, old.Status, old.Body)
	require.Contains(t, old.body["console"], "url")
	spice := w.call("user", "2.6", "POST", "/v2.1/servers/"+id+"/remote-consoles", `{"remote_console": {"protocol": "spice", "type": "spice-html5"}}`)
	require.Equal(t, 400, spice.Status)
	require.Contains(t, spice.Body, "Unavailable console type spice-html5.")

	list := w.call("", "", "GET", "/", "")
	require.Equal(t, 200, list.Status)
	require.Equal(t, "2.96", list.body["versions"].([]any)[0].(map[string]any)["version"])
	one := w.call("", "", "GET", "/v2.1/", "")
	require.Equal(t, 200, one.Status)
	require.Equal(t, "CURRENT", one.body["version"].(map[string]any)["status"])
	require.Equal(t, 406, w.call("user", "2.999", "GET", "/v2.1/servers", "").Status)
}

func TestWireLists(t *testing.T) {
	w := newWire(t, 1, nil)
	flavor := w.flavor(1, 64, 1)
	a := w.call("user", "2.52", "POST", "/v2.1/servers", `{"server": {"name": "n", "imageRef": "`+w.images.id+`", "flavorRef": "`+flavor+
		`", "networks": "none", "min_count": 3, "return_reservation_id": true, "tags": ["x"]}}`)
	require.Equal(t, 202, a.Status, a.Body)
	require.Regexp(t, "^r-[0-9a-f]{8}$", a.body["reservation_id"])
	w.settle()
	names := func(token, version, query string) (out []string) {
		a := w.call(token, version, "GET", "/v2.1/servers?"+query, "")
		require.Equal(t, 200, a.Status, a.Body)
		for _, s := range a.body["servers"].([]any) {
			out = append(out, s.(map[string]any)["name"].(string))
		}
		return out
	}
	require.Equal(t, []string{"n-1", "n-2", "n-3"}, names("user", "", "sort_key=display_name&sort_dir=asc"))
	require.Len(t, names("user", "", "status=ACTIVE&reservation_id="+a.body["reservation_id"].(string)), 3)
	require.Empty(t, names("user", "", "status=ERROR"))
	require.Empty(t, names("user", "", "status=NOPE"))
	require.Empty(t, names("user", "", "limit=0"))
	require.Len(t, names("user", "2.26", "tags=x&not-tags=y"), 3)
	require.Len(t, names("user", "2.25", "tags=y"), 3, "ignored before its time")
	require.Len(t, names("user", "", "host=nope&uuid=nope"), 3, "not a user's to filter by")
	require.Empty(t, names("admin", "", "all_tenants=1&host=nope"))
	require.Empty(t, names("admin", "", ""))
	require.Len(t, names("admin", "", "all_tenants=1&project_id="+project), 3)
	require.Empty(t, names("other", "", ""))
	require.Equal(t, []string{"n-2"}, names("user", "", "name=-2$"))

	first := w.call("user", "", "GET", "/v2.1/servers?limit=2&sort_key=display_name&sort_dir=asc", "")
	links := first.body["servers_links"].([]any)[0].(map[string]any)
	require.Equal(t, "next", links["rel"])
	require.Contains(t, links["href"], "http://cloud.test/compute/v2.1/servers?limit=2&sort_dir=asc&sort_key=display_name&marker=")
	require.NoError(t, servers.ForceDelete(t.Context(), w.client("user", ""), first.body["servers"].([]any)[0].(map[string]any)["id"].(string)).ExtractErr())
	w.settle()
	require.Len(t, names("user", "", ""), 2)
	require.Len(t, names("user", "", "changes-since=2020-01-01T00:00:00Z"), 3, "with those deleted lately")
	require.Len(t, names("admin", "", "all_tenants=1&deleted=true"), 1)
	_, err := servers.Get(t.Context(), w.client("user", ""), "66666666-6666-4666-8666-666666666666").Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, 404))
}
