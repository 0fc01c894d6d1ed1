package cinder_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Texts and statuses as Cinder gives them.
func TestAnswersAreCinders(t *testing.T) {
	s := serve(t)
	id, other := s.volume(`{"size": 1}`), s.volume(`{"size": 2}`)
	snap := s.Do("member", "POST", "/v3/snapshots", `{"snapshot": {"volume_id": "`+id+`"}}`).Want(202).Text("snapshot", "id")
	s.settle()
	const none, long = "00000000-0000-4000-8000-000000000000", "x"
	volume, snapshot := "volumes/"+id+"/action", "snapshots/"+snap+"/metadata"
	for _, c := range []struct {
		token, version, method, path, body string
		status                             int
		message                            string
	}{
		{"member", "", "POST", "volumes", `{"volume": {"snapshot_id": "` + snap + `", "source_volid": "` + id + `"}}`, 400, "Invalid input received: May specify only one of backup, imageRef, snapshot, source volume"},
		{"member", "", "POST", "volumes", `{"volume": {"snapshot_id": "` + none + `", "source_volid": "` + none + `"}}`, 404, "Snapshot " + none + " could not be found."},
		{"member", "", "POST", "volumes", `{"volume": {"size": 1, "imageRef": ""}}`, 400, "Invalid image identifier or unable to access requested image."},
		{"member", "", "POST", "volumes", `{"volume": {"size": 1, "multiattach": null}}`, 400, "Value 'None' for 'multiattach' is not a boolean."},
		{"member", "3.53", "POST", "volumes", `{"volume": {"size": 1, "metadata": {"b": "c", "a": "d"}, "foo": [{"z": 1, "y": 2}]}}`, 400, "Invalid input for field/attribute volume. Value: " +
			"{'size': 1, 'metadata': {'b': 'c', 'a': 'd'}, 'foo': [{'z': 1, 'y': 2}]}. Additional properties are not allowed ('foo' was unexpected)"},
		{"member", "", "POST", volume, `{"os-retype": {"new_type": "x", "migration_policy": null}}`, 400, "Invalid input for field/attribute migration_policy. Value: None. None is not one of ['on-demand', 'never']"},
		{"member", "", "POST", volume, `{"os-reimage": {"image_id": "` + none + `"}}`, 404, "The resource could not be found."},
		{"member", "", "POST", volume, `{"os-show_image_metadata": null}`, 404, "Glance metadata for volume/snapshot " + id + " cannot be found."},
		{"member", "3.40", "POST", volume, `{"revert": {}}`, 400, "Specified snapshot None is None or not the latest one of volume " + id + "."},
		{"admin", "", "POST", volume, `{"os-force_detach": {"attachment_id": "` + none + `"}}`, 409, "ConflictNovaUsingAttachment: Detach volume from instance  using the Compute API"},
		{"member", "", "POST", snapshot, `{}`, 400, "Missing required element 'metadata' in request body."},
		{"member", "", "POST", snapshot, `{"metadata": {"": "x"}}`, 400, "Invalid metadata: Invalid input received: Metadata key:  has 0 characters, less than 1."},
		{"member", "", "PUT", snapshot, `{"metadata": {"a": 5}}`, 400, "Invalid metadata: Invalid input received: Value for metadata key: a is not a string or unicode"},
		{"member", "", "PUT", snapshot, `{"metadata": {"a": "` + strings.Repeat(long, 256) + `"}}`, 413, "Invalid metadata size: Metadata property key a value greater than 255 characters."},
		{"member", "", "PUT", snapshot + "/a", `{"meta": {}}`, 400, "Request body and URI mismatch"},
		{"member", "", "PUT", snapshot + "/a", `{}`, 400, "Missing required element 'meta' in request body."},
		{"member", "3.52", "GET", "types?nope=1", "", 400, "Invalid filters nope are found in query options."},
		{"member", "3.29", "GET", "snapshots?sort=name:asc", "", 400, "Invalid input received: Invalid sort key"},
		{"member", "3.59", "GET", "volume-transfers?sort=name", "", 400, "Invalid input received: Invalid sort key"},
		{"admin", "3.31", "GET", "scheduler-stats/get_pools?nope=1", "", 400, "Invalid filters nope are found in query options."},
		{"admin", "3.35", "GET", "scheduler-stats/get_pools?volume_type=nope", "", 404, "Volume type with name nope could not be found."},
		{"member", "", "GET", "scheduler-stats/get_pools?detail=x", "", 403, "Policy doesn't allow scheduler_extension:scheduler_stats:get_pools to be performed."},
		{"member", "", "GET", "os-volume-manage", "", 403, "Policy doesn't allow volume_extension:list_manageable to be performed."},
		{"admin", "", "GET", "os-volume-manage?host=no@x%23y", "", 404, "Service cinder-volume could not be found on host no@x."},
		{"admin", "", "POST", "qos-specs", `{"qos_specs": {"name": " "}}`, 400, "An invalid 'name' value was provided. The 'name' can not be empty."},
		{"admin", "", "POST", "qos-specs", `{"qos_specs": {"name": "q", "": "x"}}`, 400, "Invalid input received: Key \"\" has 0 characters, less than 1."},
	} {
		s.Do(c.token, c.method+" "+c.version, "/v3/"+c.path, c.body).Fault(c.status, c.message)
	}
	require.Len(t, s.Do("member", "GET", "/v3/volumes", "").Get("volumes"), 2, "nothing was half done")
	s.Do("member", "POST", "/v3/"+snapshot, `{"metadata": {"a#": "b"}, "x": 1}`).Want(200)
	require.Empty(t, s.Do("member", "GET", "/v3/volumes?metadata=x", "").Want(200).Get("volumes"))
	s.Do("member", "POST", "/v3/volume-transfers", `{"transfer": {"volume_id": "`+other+`"}}`).Want(202)
	require.Empty(t, s.Do("member", "GET 3.67", "/v3/volume-transfers?nope=1", "").Want(200).Get("transfers"))
	require.Len(t, s.Do("member", "GET 3.67", "/v3/volume-transfers", "").Want(200).Get("transfers"), 1)

	require.Len(t, s.Do("member", "GET 3.51", "/v3/types?nope=1", "").Want(200).Get("volume_types"), 1)
	for _, sort := range []string{"snapshots?sort=name:asc", "volume-transfers?sort=display_name"} {
		s.Do("member", "GET 3.59", "/v3/"+sort, "").Want(200)
	}

	a := s.Do("admin", "POST", "/v3/types", `{"volume_type": {"name": "t"}}`).Want(200)
	require.NotContains(t, a.Body, "qos_specs_id")
	typ := a.Text("volume_type", "id")
	require.Contains(t, s.Do("admin", "GET", "/v3/types/"+typ, "").Body, "qos_specs_id")
	a = s.Do("admin", "PUT", "/v3/types/"+typ, `{"volume_type": {"description": "d"}}`).Want(200)
	require.NotContains(t, a.Body, "os-volume-type-access")
	require.NotContains(t, s.Do("member", "GET", "/v3/types/default", "").Body, "os-volume-type-access")
}

func TestQueriesThatNoDatabaseTakes(t *testing.T) {
	s := serve(t)
	for _, path := range []string{"volumes?name=%ff", "limits?%C3%28=x", "types/detail?x=%ff", "snapshots?sort=%ff"} {
		s.Do("admin", "GET 3.60", "/v3/"+path, "").Fault(400,
			"Error decoding your request. Either the URL or the request body contained characters that could not be decoded by Cinder.")
	}
	s.Do("admin", "GET 3.60", "/v3/limits?project_id=a%00b", "").Want(200)
}

// A number that cannot be read back would make every list of volumes fail.
func TestConnectorsAreReadBack(t *testing.T) {
	s := serve(t)
	id := s.volume(`{"size": 1}`)
	s.Do("member", "POST", "/v3/volumes/"+id+"/action", `{"os-initialize_connection": {"connector": {"host": "h", "x": 1e400}}}`).Want(400)
	s.Do("admin", "POST 3.27", "/v3/attachments", `{"attachment": {"volume_uuid": "`+id+`", "connector": {"host": "h", "x": [1e400]}}}`).Want(400)
	require.Len(t, s.Do("member", "GET", "/v3/volumes", "").Want(200).Get("volumes"), 1)
}
