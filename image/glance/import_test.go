package glance_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestImports(t *testing.T) {
	s := start(t)
	id := s.make(member, rawImage)
	path := "/v2/images/" + id
	const direct = `{"method":{"name":"glance-direct"}}`
	s.Do(member, "POST", path+"/import", direct).Want(409).Says("Image needs to be staged before 'glance-direct' method can be used")
	s.Do(member, "PUT", path+"/stage", "x", "Content-Type", "text/plain").Want(415).Says("The request media type text/plain is not supported by this server.")
	s.Do(other, "PUT", path+"/stage", "x", "Content-Type", "application/octet-stream").Want(404)
	s.Do("a/reader", "PUT", path+"/stage", "x", "Content-Type", "application/octet-stream").Want(403)
	s.Do(member, "PUT", path+"/stage", "12345", "Content-Type", "application/octet-stream").Want(204)
	shown := s.Do(member, "GET", path, "").Want(200).Object()
	require.Equal(t, []any{"uploading", 5.0, nil}, []any{shown["status"], shown["size"], shown["checksum"]})
	s.Do(member, "GET", path+"/file", "").Want(204)
	for body, says := range map[string]string{
		`{}`:                               "Import request requires a 'method' field.",
		`{"method":{}}`:                    "Import request requires a 'name' field.",
		`{"method":{"name":"copy-image"}}`: "Unknown import method name 'copy-image'.",
		`{"method":{"name":"glance-direct"},"all_stores":"x"}`:               "'all_stores' must be boolean value only",
		`{"method":{"name":"glance-direct"},"all_stores_must_succeed":null}`: "'all_stores_must_succeed' must be boolean value only",
	} {
		s.Do(member, "POST", path+"/import", body).Want(400).Says(says)
	}
	s.Do("a/reader", "POST", path+"/import", direct).Want(403)
	s.Do(member, "POST", path+"/import", direct).Want(202)
	shown = s.Do(member, "GET", path, "").Want(200).Object()
	require.Equal(t, []any{"active", "827ccb0eea8a706c4c34a16891f84e7b"}, []any{shown["status"], shown["checksum"]})
	require.Equal(t, "12345", s.Do(member, "GET", path+"/file", "").Want(200).Body)
	s.Do(member, "POST", path+"/import", direct).Want(409).Says("Image with status active cannot be target for import")

	wrong := s.make(member, `{"name":"x","disk_format":"qcow2","container_format":"bare"}`)
	s.Do(member, "PUT", "/v2/images/"+wrong+"/stage", "12345", "Content-Type", "application/octet-stream").Want(204)
	s.Do(member, "POST", "/v2/images/"+wrong+"/import", direct).Want(415)
	require.Equal(t, "queued", s.Do(member, "GET", "/v2/images/"+wrong, "").Object()["status"])
}

func TestTextsThatGlanceRefuses(t *testing.T) {
	s := start(t)
	s.Do(member, "POST", "/v2/images", `{"name":"😀"}`).Want(400).Says("Name can't contain 4 byte unicode characters.")
	s.Do(member, "POST", "/v2/images", `{"os_distro":"😀"}`).Want(400).Says("Os_Distro can't contain 4 byte unicode characters.")
	s.Do(member, "POST", "/v2/images", `{"name":{}}`).Want(400).Says("Provided object does not match schema 'image': {} is not of type 'null', 'string'")
	s.make(member, rawImage)
	require.Empty(t, s.Do(member, "GET", "/v2/images?min_ram=x", "").Want(200).Object()["images"])
	s.Do(member, "GET", "/v2/images?size_min=x", "").Want(400)
}
