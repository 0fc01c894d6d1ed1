package cinder_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// keys are the members of an object in an answer.
func keys(a answer, path ...any) []string {
	a.t.Helper()
	return slices.Sorted(maps.Keys(a.get(path...).(map[string]any)))
}

func TestAVolumeHasTheMembersOfItsMicroversion(t *testing.T) {
	s := serve(t)
	id := s.volume(`{"name": "v", "size": 1, "metadata": {"a": "b"}}`)
	base := []string{
		"attachments", "availability_zone", "bootable", "consistencygroup_id", "created_at", "description", "encrypted", "id", "links",
		"metadata", "multiattach", "name", "os-vol-tenant-attr:tenant_id", "replication_status", "size", "snapshot_id", "source_volid",
		"status", "updated_at", "user_id", "volume_type",
	}
	show := s.do("member", "", "GET", "/v3/"+project+"/volumes/"+id, "").want(200)
	require.Equal(t, base, keys(show, "volume"))
	require.Equal(t, "2030-01-02T03:04:05", show.text("volume", "created_at")[:19])
	require.Len(t, show.text("volume", "created_at"), 26)
	require.Equal(t, s.url+"/v3/"+project+"/volumes/"+id, show.text("volume", "links", 0, "href"))
	require.Equal(t, s.url+"/"+project+"/volumes/"+id, show.text("volume", "links", 1, "href"))
	require.Equal(t, "false", show.get("volume", "bootable"))
	all := append(slices.Clone(base), "consumes_quota", "group_id", "service_uuid", "shared_targets", "volume_type_id")
	slices.Sort(all)
	newest := s.do("member", "3.67", "GET", "/v3/volumes/"+id, "").want(200)
	require.Equal(t, all, keys(newest, "volume"))
	require.Equal(t, s.url+"/v3/volumes/"+id, newest.text("volume", "links", 0, "href"))
	admins := append(all, "cluster_name", "migration_status", "os-vol-host-attr:host", "os-vol-mig-status-attr:migstat",
		"os-vol-mig-status-attr:name_id", "provider_id")
	slices.Sort(admins)
	require.Equal(t, admins, keys(s.do("admin", "3.67", "GET", "/v3/volumes/"+id, "").want(200), "volume"))
	require.Equal(t, []string{"id", "links", "name"}, keys(s.do("member", "", "GET", "/v3/volumes", "").want(200), "volumes", 0))
	require.Equal(t, base, keys(s.do("member", "", "GET", "/v3/volumes/detail", "").want(200), "volumes", 0))
	s.do("stranger", "", "GET", "/v3/volumes/"+id, "").fault(404, "itemNotFound", "Volume "+id+" could not be found.")
	s.do("reader", "", "DELETE", "/v3/volumes/"+id, "").fault(403, "forbidden", "Policy doesn't allow volume:delete to be performed.")
	s.do("member", "", "PUT", "/v3/volumes/"+id, `{"volume": {"name": "w", "description": null}}`).want(200)
	require.Equal(t, "w", s.do("member", "", "GET", "/v3/volumes/"+id, "").text("volume", "name"))
	s.do("member", "", "DELETE", "/v3/volumes/"+id, "").want(202)
	s.settle()
	s.do("member", "", "GET", "/v3/volumes/"+id, "").want(404)
}

func TestListsOfVolumes(t *testing.T) {
	s := serve(t)
	var ids []string
	for i := range 5 {
		ids = append(ids, s.volume(fmt.Sprintf(`{"name": "v%d", "size": "%d", "metadata": {"odd": "%d"}}`, i, i+1, i%2)))
	}
	list := func(query string) []string {
		a := s.do("member", "3.67", "GET", "/v3/volumes/detail?"+query, "").want(200)
		var out []string
		for i := range a.get("volumes").([]any) {
			out = append(out, a.text("volumes", i, "name"))
		}
		return out
	}
	require.Equal(t, []string{"v4", "v3", "v2", "v1", "v0"}, list(""))
	require.Equal(t, []string{"v0", "v1"}, list("sort=name:asc&limit=2"))
	require.Equal(t, []string{"v2", "v3"}, list("sort=size:asc&limit=2&marker="+ids[1]))
	require.Equal(t, []string{"v1", "v0"}, list("offset=3"))
	require.Equal(t, []string{"v3"}, list("name=v3"))
	require.Equal(t, []string{"v3", "v1"}, list("metadata={'odd':%20'1'}"))
	require.Equal(t, []string{"v1", "v0"}, list("created_at=lt:"+s.do("member", "", "GET", "/v3/volumes/"+ids[2], "").text("volume", "created_at")))
	require.Empty(t, list("limit=0"))
	require.Empty(t, list("bootable=true"))
	page := s.do("member", "3.67", "GET", "/v3/volumes?limit=2&with_count=true", "").want(200)
	require.EqualValues(t, 5, page.get("count"))
	require.Equal(t, "next", page.text("volumes_links", 0, "rel"))
	require.Contains(t, page.text("volumes_links", 0, "href"), "marker="+ids[3])
	s.do("member", "3.67", "GET", "/v3/volumes?nonsense=1", "").fault(400, "badRequest", "Invalid filters nonsense are found in query options.")
	s.do("member", "3.30", "GET", "/v3/volumes?nonsense=1", "").want(200)
	s.do("member", "", "GET", "/v3/volumes?limit=-1", "").fault(400, "badRequest", "limit param must be positive")
	s.do("member", "", "GET", "/v3/volumes?sort=nonsense", "").want(400)
	s.do("member", "", "GET", "/v3/volumes?marker=nosuch", "").want(404)
	s.do("member", "3.60", "GET", "/v3/volumes?created_at=about:2020-01-01", "").fault(400, "badRequest", "Invalid about operator")
	require.Len(t, s.do("admin", "3.67", "GET", "/v3/volumes?all_tenants=1", "").want(200).get("volumes"), 5)
	require.Empty(t, s.do("admin", "3.67", "GET", "/v3/volumes", "").want(200).get("volumes"))
	require.Empty(t, s.do("stranger", "3.67", "GET", "/v3/volumes?all_tenants=1", "").want(200).get("volumes"))
	sum := s.do("member", "3.36", "GET", "/v3/volumes/summary", "").want(200)
	require.EqualValues(t, 15, sum.get("volume-summary", "total_size"))
	require.Equal(t, []any{"0", "1"}, sum.get("volume-summary", "metadata", "odd"))
}

func TestBadInputIsRefused(t *testing.T) {
	s := serve(t)
	id := s.volume(`{"size": 1}`)
	snap := s.do("member", "3.67", "POST", "/v3/snapshots", `{"snapshot": {"volume_id": "`+id+`"}}`).want(202).text("snapshot", "id")
	s.settle()
	long := strings.Repeat("x", 256)
	for _, tc := range []struct{ version, method, path, body, message string }{
		{"", "POST", "volumes", ``, "Malformed request body"},
		{"", "POST", "volumes", `{`, "Malformed request body"},
		{"", "POST", "volumes", `[]`, "[] is not of type 'object'"},
		{"", "POST", "volumes", `{"volume": {"name": "\u0000"}}`, "Malformed request body"},
		{"", "POST", "volumes", `{}`, "'volume' is a required property"},
		{"", "POST", "volumes", `{"volume": []}`, "Invalid input for field/attribute volume. Value: []. [] is not of type 'object'"},
		{"", "POST", "volumes", `{"volume": {}}`, "The server could not comply with the request since it is either malformed or otherwise incorrect."},
		{"", "GET", "volumes?sort=nope:asc", ``, "Invalid input received: Invalid sort key"},
		{"", "GET", "volumes?offset=x", ``, "offset must be an integer"},
		{"", "POST", "volumes", `{"volume": {"size": 0}}`, "Invalid input for field/attribute size. Value: 0. 0 is less than the minimum of 1"},
		{"", "POST", "volumes", `{"volume": {"size": -3}}`, "Invalid input for field/attribute size. Value: -3. -3 is less than the minimum of 1"},
		{"", "POST", "volumes", `{"volume": {"size": "big"}}`, "Invalid input for field/attribute size. Value: big. 'big' does not match '^[0-9]+$'"},
		{"", "POST", "volumes", `{"volume": {"size": 1.5}}`, "Invalid input for field/attribute size. Value: 1.5. 1.5 is not of type 'integer', 'string', 'null'"},
		{"", "POST", "volumes", `{"volume": {"size": 99999999999999999999}}`, ""},
		{"", "POST", "volumes", `{"volume": {"size": 1, "name": "` + long + `"}}`, ""},
		{"", "POST", "volumes", `{"volume": {"size": 1, "metadata": {"k": 1}}}`, "Invalid input for field/attribute k. Value: 1. 1 is not of type 'string'"},
		{"", "POST", "volumes", `{"volume": {"size": 1, "metadata": {"k?": "v"}}}`, "Invalid input for field/attribute metadata. Value: {'k?': 'v'}. 'k?' does not match any of the regexes: '^[a-zA-Z0-9-_:. /]{1,255}$'"},
		{"", "POST", "volumes", `{"volume": {"size": 1, "snapshot_id": "x"}}`, "Invalid input for field/attribute snapshot_id. Value: x. 'x' is not valid under any of the given schemas"},
		{"", "POST", "volumes", `{"volume": {"size": 1, "availability_zone": "mars"}}`, "Availability zone 'mars' is invalid."},
		{"", "POST", "volumes", `{"volume": {"size": 1, "multiattach": true}}`, "multiattach parameter has been removed. The default behavior is to use multiattach enabled volume types. Contact your administrator to create a multiattach enabled volume type and use it to create multiattach volumes."},
		{"3.53", "POST", "volumes", `{"volume": {"size": 1, "foo": 1}}`, "Invalid input for field/attribute volume. Value: {'size': 1, 'foo': 1}. Additional properties are not allowed ('foo' was unexpected)"},
		{"3.53", "PUT", "volumes/" + id, `{"volume": {}}`, "Invalid input for field/attribute volume. Value: {}. {} is not valid under any of the given schemas"},
		{"", "PUT", "volumes/" + id, `{"volume": {"size": 2}}`, "Invalid input for field/attribute volume. Value: {'size': 2}. Additional properties are not allowed ('size' was unexpected)"},
		{"", "POST", "volumes/" + id + "/action", `{"os-dance": {}}`, "There is no such action: os-dance. Verify the request body and Content-Type header and try again."},
		{"", "POST", "volumes/" + id + "/action", `{"os-extend": {"new_size": 1}}`, "Invalid input received: New size for extend must be greater than current size. (current: 1, extended: 1)."},
		{"", "POST", "volumes/" + id + "/action", `{"os-extend": {}}`, "Invalid input for field/attribute os-extend. Value: {}. 'new_size' is a required property"},
		{"", "POST", "volumes/" + id + "/action", `{"os-detach": {"attachment_id": 5}}`, ""},
		{"", "POST", "volumes/" + id + "/action", `{"os-begin_detaching": null}`, "Invalid volume: Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach."},
		{"", "POST", "volumes/" + id + "/action", `{"os-set_bootable": {"bootable": "maybe"}}`, ""},
		{"3.40", "POST", "volumes/" + id + "/action", `{"revert": {}}`, "Specified snapshot None is None or not the latest one of volume " + id + "."},
		{"", "DELETE", "volumes/" + id, ``, "Invalid volume: Volume status must be available or error or error_restoring or error_extending or error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer."},
		{"", "DELETE", "volumes/" + id + "?cascade=perhaps", ``, "Value 'perhaps' for 'cascade' is not a boolean."},
		{"", "POST", "snapshots", `{"snapshot": {"force": true}}`, "Invalid input for field/attribute snapshot. Value: {'force': True}. 'volume_id' is a required property"},
		{"3.66", "POST", "snapshots", `{"snapshot": {"volume_id": "` + id + `", "force": false}}`, ""},
		{"", "PUT", "snapshots/" + snap, `{"snapshot": {}}`, ""},
		{"3.27", "POST", "attachments", `{"attachment": {"volume_uuid": "x"}}`, "Invalid input for field/attribute volume_uuid. Value: x. 'x' is not a 'uuid'"},
		{"3.27", "POST", "attachments", `{"attachment": {"volume_uuid": "` + id + `", "mode": "rw"}}`, ""},
		{"3.27", "POST", "attachments", `{"attachment": {"volume_uuid": "` + id + `", "connector": {"x": 1}}}`, "Invalid input received: Connector doesn't have required information: host"},
		{"", "PUT", "volumes/" + id + "/metadata/a", `{"meta": {"b": "c"}}`, "Request body and URI mismatch"},
		{"", "PUT", "volumes/" + id + "/metadata/a", `{"meta": {"a": "1", "b": "c"}}`, ""},
	} {
		a := s.do("member", tc.version, tc.method, "/v3/"+tc.path, tc.body).want(400)
		if tc.message != "" {
			require.Equal(t, tc.message, a.get("badRequest", "message"), tc.body)
		}
	}
	s.do("member", "3.39", "POST", "/v3/volumes/"+id+"/action", `{"revert": {"snapshot_id": "`+snap+`"}}`).
		fault(404, "itemNotFound", "The resource could not be found.")
	require.Len(t, s.do("member", "", "GET", "/v3/volumes", "").get("volumes"), 1, "nothing was half done")
	require.Equal(t, "available", s.do("member", "", "GET", "/v3/volumes/"+id, "").text("volume", "status"))
	require.Empty(t, s.do("member", "3.27", "GET", "/v3/attachments", "").get("attachments"))
	s.do("admin", "", "POST", "/v3/volumes/"+id+"/action", `{"os-reset_status": {"status": "sleepy"}}`).want(400)
	s.do("admin", "", "POST", "/v3/volumes/"+id+"/action", `{"os-reset_status": {}}`).
		fault(400, "badRequest", "Must specify 'status', 'attach_status' or 'migration_status' for update.")
	s.do("admin", "", "PUT", "/v3/os-quota-sets/p", `{"quota_set": {"apples": 1}}`).fault(400, "badRequest", "Invalid input received: Bad key(s) in quota set: apples")
	s.do("admin", "", "PUT", "/v3/os-quota-sets/p", `{"quota_set": {"volumes": -2}}`).want(400)
	s.do("admin", "", "PUT", "/v3/os-quota-sets/p", `{"quota_set": {"volumes": "many"}}`).want(400)
	s.do("admin", "", "POST", "/v3/types", `{"volume_type": {"name": ""}}`).want(400)
}

func TestQuotasAnswerOverLimit(t *testing.T) {
	s := serve(t)
	s.do("admin", "", "PUT", "/v3/os-quota-sets/"+project, `{"quota_set": {"volumes": 1}}`).want(200)
	s.volume(`{"size": 1}`)
	over := s.do("member", "", "POST", "/v3/volumes", `{"volume": {"size": 1}}`)
	over.fault(413, "overLimit", "VolumeLimitExceeded: Maximum number of volumes allowed (1) exceeded for quota 'volumes'.")
	require.Equal(t, "0", over.header.Get("Retry-After"))
	use := s.do("member", "", "GET", "/v3/os-quota-sets/"+project+"?usage=true", "").want(200)
	require.Equal(t, map[string]any{"limit": 1.0, "in_use": 1.0, "reserved": 0.0}, use.get("quota_set", "volumes"))
	limits := s.do("member", "", "GET", "/v3/limits", "").want(200)
	require.EqualValues(t, 1, limits.get("limits", "absolute", "maxTotalVolumes"))
	require.EqualValues(t, 1, limits.get("limits", "absolute", "totalVolumesUsed"))
	s.do("member", "", "PUT", "/v3/os-quota-sets/"+project, `{"quota_set": {"volumes": 5}}`).want(403)
	s.do("stranger", "", "GET", "/v3/os-quota-sets/"+project, "").want(403)
	s.do("admin", "", "DELETE", "/v3/os-quota-sets/"+project, "").want(200)
	require.EqualValues(t, 10, s.do("member", "", "GET", "/v3/os-quota-sets/"+project, "").get("quota_set", "volumes"))
}

func TestMetadataHasTags(t *testing.T) {
	s := serve(t)
	id := s.volume(`{"size": 1}`)
	path := "/v3/volumes/" + id + "/metadata"
	s.do("member", "3.15", "POST", path, `{"metadata": {"a": "1", "b": "2"}}`).want(200)
	etag := s.do("member", "3.15", "GET", path, "").want(200).header.Get("Etag")
	require.Len(t, etag, 32)
	require.Empty(t, s.do("member", "3.14", "GET", path, "").want(200).header.Get("Etag"))
	require.Equal(t, "1", s.do("member", "", "GET", path+"/a", "").want(200).text("meta", "a"))
	s.do("member", "", "PUT", path, `{"metadata": {"c": "3"}}`).want(200)
	require.Equal(t, map[string]any{"c": "3"}, s.do("member", "", "GET", path, "").get("metadata"))
	s.do("member", "", "DELETE", path+"/c", "").want(200)
	s.do("member", "", "DELETE", path+"/c", "").fault(404, "itemNotFound", "Volume "+id+" has no metadata with key c.")
}

func TestOlderActionsDriveTheSameStates(t *testing.T) {
	s := serve(t)
	id := s.volume(`{"size": 1}`)
	act := func(body string) answer { return s.do("member", "", "POST", "/v3/volumes/"+id+"/action", body) }
	status := func(want string) {
		t.Helper()
		require.Equal(t, want, s.do("member", "", "GET", "/v3/volumes/"+id, "").text("volume", "status"))
	}
	act(`{"os-reserve": {}}`).want(202)
	status("attaching")
	act(`{"os-reserve": {}}`).want(400)
	act(`{"os-unreserve": null}`).want(202)
	status("available")
	info := act(`{"os-initialize_connection": {"connector": {"host": "h1"}}}`).want(200)
	require.Equal(t, "file", info.text("connection_info", "driver_volume_type"))
	require.Len(t, s.state.Attachments(id), 1)
	act(`{"os-attach": {"instance_uuid": "95d9ef50-507d-11e5-b970-0800200c9a66", "mountpoint": "/dev/vdc"}}`).want(202)
	status("in-use")
	shown := s.do("member", "", "GET", "/v3/volumes/"+id, "").want(200)
	require.Equal(t, "/dev/vdc", shown.text("volume", "attachments", 0, "device"))
	act(`{"os-begin_detaching": {}}`).want(202)
	status("detaching")
	act(`{"os-roll_detaching": {}}`).want(202)
	status("in-use")
	act(`{"os-terminate_connection": {"connector": {"host": "h1"}}}`).want(202)
	require.Empty(t, s.state.Attachments(id))
	act(`{"os-detach": {"attachment_id": "` + shown.text("volume", "attachments", 0, "attachment_id") + `"}}`).want(202)
	status("available")
	act(`{"os-update_readonly_flag": {"readonly": true}}`).want(202)
	require.Equal(t, "True", s.do("member", "", "GET", "/v3/volumes/"+id, "").text("volume", "metadata", "readonly"))
	act(`{"os-set_bootable": {"bootable": true}}`).want(200)
	require.Equal(t, "true", s.do("member", "", "GET", "/v3/volumes/"+id, "").text("volume", "bootable"))
	act(`{"os-set_image_metadata": {"metadata": {"image_id": "x", "kernel_id": "y"}}}`).want(200)
	act(`{"os-unset_image_metadata": {"key": "image_id"}}`).want(200)
	require.Equal(t, map[string]any{"kernel_id": "y"}, act(`{"os-show_image_metadata": null}`).want(200).get("metadata"))
	require.Equal(t, map[string]any{"kernel_id": "y"}, s.do("member", "", "GET", "/v3/volumes/"+id, "").get("volume", "volume_image_metadata"))
	act(`{"os-reset_status": {"status": "error"}}`).want(403)
	s.do("admin", "", "POST", "/v3/volumes/"+id+"/action", `{"os-reset_status": {"status": "error"}}`).want(202)
	status("error")
	act(`{"os-retype": {"new_type": "x"}}`).fault(404, "itemNotFound", "Volume type with name x could not be found.")
	act(`{"os-migrate_volume": {"host": "x"}}`).want(403)
	act(`{"os-volume_upload_image": {"image_name": "x"}}`).want(501)
	act(`{"os-force_delete": {}}`).want(403)
	s.do("admin", "", "POST", "/v3/volumes/"+id+"/action", `{"os-force_delete": {}}`).want(202)
	s.settle()
	s.do("member", "", "GET", "/v3/volumes/"+id, "").want(404)
}
