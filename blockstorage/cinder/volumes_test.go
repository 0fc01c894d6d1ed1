package cinder_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/httpapi/apitest"
)

func TestAVolumeHasTheMembersOfItsMicroversion(t *testing.T) {
	s := serve(t)
	id := s.volume(`{"name": "v", "size": 1, "metadata": {"a": "b"}}`)
	base := []string{
		"attachments", "availability_zone", "bootable", "consistencygroup_id", "created_at", "description", "encrypted", "id", "links",
		"metadata", "multiattach", "name", "os-vol-tenant-attr:tenant_id", "replication_status", "size", "snapshot_id", "source_volid",
		"status", "updated_at", "user_id", "volume_type",
	}
	show := s.Do("member", "GET", "/v3/"+project+"/volumes/"+id, "").Want(200)
	require.Equal(t, base, show.Keys("volume"))
	require.Equal(t, "2030-01-02T03:04:05", show.Text("volume", "created_at")[:19])
	require.Len(t, show.Text("volume", "created_at"), 26)
	require.Equal(t, s.URL+"/v3/"+project+"/volumes/"+id, show.Text("volume", "links", 0, "href"))
	require.Equal(t, s.URL+"/"+project+"/volumes/"+id, show.Text("volume", "links", 1, "href"))
	require.Equal(t, "false", show.Get("volume", "bootable"))
	all := append(slices.Clone(base), "consumes_quota", "group_id", "service_uuid", "shared_targets", "volume_type_id")
	slices.Sort(all)
	newest := s.Do("member", "GET 3.67", "/v3/volumes/"+id, "").Want(200)
	require.Equal(t, all, newest.Keys("volume"))
	require.Equal(t, s.URL+"/v3/volumes/"+id, newest.Text("volume", "links", 0, "href"))
	admins := append(all, "cluster_name", "migration_status", "os-vol-host-attr:host", "os-vol-mig-status-attr:migstat",
		"os-vol-mig-status-attr:name_id", "provider_id")
	slices.Sort(admins)
	require.Equal(t, admins, s.Do("admin", "GET 3.67", "/v3/volumes/"+id, "").Want(200).Keys("volume"))
	require.Equal(t, []string{"id", "links", "name"}, s.Do("member", "GET", "/v3/volumes", "").Want(200).Keys("volumes", 0))
	require.Equal(t, base, s.Do("member", "GET", "/v3/volumes/detail", "").Want(200).Keys("volumes", 0))
	s.Do("stranger", "GET", "/v3/volumes/"+id, "").Fault(404, "Volume "+id+" could not be found.")
	s.Do("reader", "DELETE", "/v3/volumes/"+id, "").Fault(403, "Policy doesn't allow volume:delete to be performed.")
	s.Do("member", "PUT", "/v3/volumes/"+id, `{"volume": {"name": "w", "description": null}}`).Want(200)
	require.Equal(t, "w", s.Do("member", "GET", "/v3/volumes/"+id, "").Text("volume", "name"))
	s.Do("member", "DELETE", "/v3/volumes/"+id, "").Want(202)
	s.settle()
	s.Do("member", "GET", "/v3/volumes/"+id, "").Want(404)
}

func TestListsOfVolumes(t *testing.T) {
	s := serve(t)
	var ids []string
	for i := range 5 {
		ids = append(ids, s.volume(fmt.Sprintf(`{"name": "v%d", "size": "%d", "metadata": {"odd": "%d"}}`, i, i+1, i%2)))
	}
	list := func(query string) []string {
		a := s.Do("member", "GET 3.67", "/v3/volumes/detail?"+query, "").Want(200)
		var out []string
		for i := range a.Get("volumes").([]any) {
			out = append(out, a.Text("volumes", i, "name"))
		}
		return out
	}
	require.Equal(t, []string{"v4", "v3", "v2", "v1", "v0"}, list(""))
	require.Equal(t, []string{"v0", "v1"}, list("sort=name:asc&limit=2"))
	require.Equal(t, []string{"v2", "v3"}, list("sort=size:asc&limit=2&marker="+ids[1]))
	require.Equal(t, []string{"v1", "v0"}, list("offset=3"))
	require.Equal(t, []string{"v3"}, list("name=v3"))
	require.Equal(t, []string{"v3", "v1"}, list("metadata={'odd':%20'1'}"))
	require.Equal(t, []string{"v1", "v0"}, list("created_at=lt:"+s.Do("member", "GET", "/v3/volumes/"+ids[2], "").Text("volume", "created_at")))
	require.Empty(t, list("limit=0"))
	require.Empty(t, list("bootable=true"))
	attached := func(status string) (out []string) {
		volumes := s.Do("admin", "GET 3.67", "/v3/volumes/detail?all_tenants=1&multiattach=false&attach_status="+status, "").Want(200).Get("volumes")
		for _, v := range volumes.([]any) {
			out = append(out, v.(map[string]any)["name"].(string))
		}
		return out
	}
	require.Empty(t, attached("attached"))
	attachment := s.Do("member", "POST 3.44", "/v3/attachments", `{"attachment": {"volume_uuid": "`+ids[2]+`", "instance_uuid": "`+ids[0]+`",
		"connector": {"host": "h1", "initiator": "iqn.x", "ip": "10.0.0.1", "platform": "x86_64", "os_type": "linux", "multipath": false}}}`).Want(200).Text("attachment", "id")
	s.Do("member", "POST 3.44", "/v3/attachments/"+attachment+"/action", `{"os-complete": {}}`).Want(204)
	require.Equal(t, []string{"v2"}, attached("attached"))
	require.Equal(t, []string{"v4", "v3", "v1", "v0"}, attached("detached"))
	require.Empty(t, s.Do("admin", "GET 3.67", "/v3/volumes?all_tenants=1&multiattach=true", "").Want(200).Get("volumes"))
	page := s.Do("member", "GET 3.67", "/v3/volumes?limit=2&with_count=true", "").Want(200)
	require.EqualValues(t, 5, page.Get("count"))
	require.Equal(t, "next", page.Text("volumes_links", 0, "rel"))
	require.Contains(t, page.Text("volumes_links", 0, "href"), "marker="+ids[3])
	s.Do("member", "GET 3.67", "/v3/volumes?nonsense=1", "").Fault(400, "Invalid filters nonsense are found in query options.")
	s.Do("member", "GET 3.30", "/v3/volumes?nonsense=1", "").Want(200)
	s.Do("member", "GET", "/v3/volumes?limit=-1", "").Fault(400, "limit param must be positive")
	s.Do("member", "GET", "/v3/volumes?sort=nonsense", "").Want(400)
	s.Do("member", "GET", "/v3/volumes?marker=nosuch", "").Want(404)
	s.Do("member", "GET 3.60", "/v3/volumes?created_at=about:2020-01-01", "").Fault(400, "Invalid about operator")
	require.Len(t, s.Do("admin", "GET 3.67", "/v3/volumes?all_tenants=1", "").Want(200).Get("volumes"), 5)
	require.Empty(t, s.Do("admin", "GET 3.67", "/v3/volumes", "").Want(200).Get("volumes"))
	require.Empty(t, s.Do("stranger", "GET 3.67", "/v3/volumes?all_tenants=1", "").Want(200).Get("volumes"))
	sum := s.Do("member", "GET 3.36", "/v3/volumes/summary", "").Want(200)
	require.EqualValues(t, 15, sum.Get("volume-summary", "total_size"))
	require.Equal(t, []any{"0", "1"}, sum.Get("volume-summary", "metadata", "odd"))
}

func TestBadInputIsRefused(t *testing.T) {
	s := serve(t)
	id := s.volume(`{"size": 1}`)
	snap := s.Do("member", "POST 3.67", "/v3/snapshots", `{"snapshot": {"volume_id": "`+id+`"}}`).Want(202).Text("snapshot", "id")
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
		a := s.Do("member", tc.method+" "+tc.version, "/v3/"+tc.path, tc.body).Want(400)
		if tc.message != "" {
			require.Equal(t, tc.message, a.Get("badRequest", "message"), tc.body)
		}
	}
	s.Do("member", "POST 3.39", "/v3/volumes/"+id+"/action", `{"revert": {"snapshot_id": "`+snap+`"}}`).
		Fault(404, "The resource could not be found.")
	require.Len(t, s.Do("member", "GET", "/v3/volumes", "").Get("volumes"), 1, "nothing was half done")
	require.Equal(t, "available", s.Do("member", "GET", "/v3/volumes/"+id, "").Text("volume", "status"))
	require.Empty(t, s.Do("member", "GET 3.27", "/v3/attachments", "").Get("attachments"))
	s.Do("admin", "POST", "/v3/volumes/"+id+"/action", `{"os-reset_status": {"status": "sleepy"}}`).Want(400)
	s.Do("admin", "POST", "/v3/volumes/"+id+"/action", `{"os-reset_status": {}}`).
		Fault(400, "Must specify 'status', 'attach_status' or 'migration_status' for update.")
	s.Do("admin", "PUT", "/v3/os-quota-sets/p", `{"quota_set": {"apples": 1}}`).Fault(400, "Invalid input received: Bad key(s) in quota set: apples")
	s.Do("admin", "PUT", "/v3/os-quota-sets/p", `{"quota_set": {"volumes": -2}}`).Want(400)
	s.Do("admin", "PUT", "/v3/os-quota-sets/p", `{"quota_set": {"volumes": "many"}}`).Want(400)
	s.Do("admin", "POST", "/v3/types", `{"volume_type": {"name": ""}}`).Want(400)
}

func TestQuotasAnswerOverLimit(t *testing.T) {
	s := serve(t)
	s.Do("admin", "PUT", "/v3/os-quota-sets/"+project, `{"quota_set": {"volumes": 1}}`).Want(200)
	s.volume(`{"size": 1}`)
	over := s.Do("member", "POST", "/v3/volumes", `{"volume": {"size": 1}}`)
	over.Fault(413, "VolumeLimitExceeded: Maximum number of volumes allowed (1) exceeded for quota 'volumes'.")
	require.Equal(t, "0", over.Header.Get("Retry-After"))
	use := s.Do("member", "GET", "/v3/os-quota-sets/"+project+"?usage=true", "").Want(200)
	require.Equal(t, map[string]any{"limit": 1.0, "in_use": 1.0, "reserved": 0.0}, use.Get("quota_set", "volumes"))
	limits := s.Do("member", "GET", "/v3/limits", "").Want(200)
	require.EqualValues(t, 1, limits.Get("limits", "absolute", "maxTotalVolumes"))
	require.EqualValues(t, 1, limits.Get("limits", "absolute", "totalVolumesUsed"))
	s.Do("member", "PUT", "/v3/os-quota-sets/"+project, `{"quota_set": {"volumes": 5}}`).Want(403)
	s.Do("stranger", "GET", "/v3/os-quota-sets/"+project, "").Want(403)
	s.Do("admin", "DELETE", "/v3/os-quota-sets/"+project, "").Want(200)
	require.EqualValues(t, 10, s.Do("member", "GET", "/v3/os-quota-sets/"+project, "").Get("quota_set", "volumes"))
}

func TestMetadataHasTags(t *testing.T) {
	s := serve(t)
	id := s.volume(`{"size": 1}`)
	path := "/v3/volumes/" + id + "/metadata"
	s.Do("member", "POST 3.15", path, `{"metadata": {"a": "1", "b": "2"}}`).Want(200)
	etag := s.Do("member", "GET 3.15", path, "").Want(200).Header.Get("Etag")
	require.Len(t, etag, 32)
	require.Empty(t, s.Do("member", "GET 3.14", path, "").Want(200).Header.Get("Etag"))
	require.Equal(t, "1", s.Do("member", "GET", path+"/a", "").Want(200).Text("meta", "a"))
	s.Do("member", "PUT", path, `{"metadata": {"c": "3"}}`).Want(200)
	require.Equal(t, map[string]any{"c": "3"}, s.Do("member", "GET", path, "").Get("metadata"))
	s.Do("member", "DELETE", path+"/c", "").Want(200)
	s.Do("member", "DELETE", path+"/c", "").Fault(404, "Volume "+id+" has no metadata with key c.")
}

func TestOlderActionsDriveTheSameStates(t *testing.T) {
	s := serve(t)
	id := s.volume(`{"size": 1}`)
	act := func(body string) apitest.Answer { return s.Do("member", "POST", "/v3/volumes/"+id+"/action", body) }
	status := func(want string) {
		t.Helper()
		require.Equal(t, want, s.Do("member", "GET", "/v3/volumes/"+id, "").Text("volume", "status"))
	}
	act(`{"os-reserve": {}}`).Want(202)
	status("attaching")
	act(`{"os-reserve": {}}`).Want(400)
	act(`{"os-unreserve": null}`).Want(202)
	status("available")
	info := act(`{"os-initialize_connection": {"connector": {"host": "h1"}}}`).Want(200)
	require.Equal(t, "file", info.Text("connection_info", "driver_volume_type"))
	require.Len(t, s.state.Attachments(id), 1)
	act(`{"os-attach": {"instance_uuid": "95d9ef50-507d-11e5-b970-0800200c9a66", "mountpoint": "/dev/vdc"}}`).Want(202)
	status("in-use")
	shown := s.Do("member", "GET", "/v3/volumes/"+id, "").Want(200)
	require.Equal(t, "/dev/vdc", shown.Text("volume", "attachments", 0, "device"))
	act(`{"os-begin_detaching": {}}`).Want(202)
	status("detaching")
	act(`{"os-roll_detaching": {}}`).Want(202)
	status("in-use")
	act(`{"os-terminate_connection": {"connector": {"host": "h1"}}}`).Want(202)
	require.Empty(t, s.state.Attachments(id))
	act(`{"os-detach": {"attachment_id": "` + shown.Text("volume", "attachments", 0, "attachment_id") + `"}}`).Want(202)
	status("available")
	act(`{"os-update_readonly_flag": {"readonly": true}}`).Want(202)
	require.Equal(t, "True", s.Do("member", "GET", "/v3/volumes/"+id, "").Text("volume", "metadata", "readonly"))
	act(`{"os-set_bootable": {"bootable": true}}`).Want(200)
	require.Equal(t, "true", s.Do("member", "GET", "/v3/volumes/"+id, "").Text("volume", "bootable"))
	act(`{"os-set_image_metadata": {"metadata": {"image_id": "x", "kernel_id": "y"}}}`).Want(200)
	act(`{"os-unset_image_metadata": {"key": "image_id"}}`).Want(200)
	require.Equal(t, map[string]any{"kernel_id": "y"}, act(`{"os-show_image_metadata": null}`).Want(200).Get("metadata"))
	require.Equal(t, map[string]any{"kernel_id": "y"}, s.Do("member", "GET", "/v3/volumes/"+id, "").Get("volume", "volume_image_metadata"))
	act(`{"os-reset_status": {"status": "error"}}`).Want(403)
	s.Do("admin", "POST", "/v3/volumes/"+id+"/action", `{"os-reset_status": {"status": "error"}}`).Want(202)
	status("error")
	act(`{"os-retype": {"new_type": "x"}}`).Fault(404, "Volume type with name x could not be found.")
	act(`{"os-migrate_volume": {"host": "x"}}`).Want(403)
	act(`{"os-volume_upload_image": {"image_name": "x"}}`).Want(501)
	act(`{"os-force_delete": {}}`).Want(403)
	s.Do("admin", "POST", "/v3/volumes/"+id+"/action", `{"os-force_delete": {}}`).Want(202)
	s.settle()
	s.Do("member", "GET", "/v3/volumes/"+id, "").Want(404)
}
