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
	s.do(member, "POST", path+"/import", direct).is(409).says("Image needs to be staged before 'glance-direct' method can be used")
	s.do(member, "PUT", path+"/stage", "x", "Content-Type", "text/plain").is(415).says("The request media type text/plain is not supported by this server.")
	s.do(other, "PUT", path+"/stage", "x", "Content-Type", "application/octet-stream").is(404)
	s.do("a/reader", "PUT", path+"/stage", "x", "Content-Type", "application/octet-stream").is(403)
	s.do(member, "PUT", path+"/stage", "12345", "Content-Type", "application/octet-stream").is(204)
	shown := s.do(member, "GET", path, "").is(200).object()
	require.Equal(t, []any{"uploading", 5.0, nil}, []any{shown["status"], shown["size"], shown["checksum"]})
	s.do(member, "GET", path+"/file", "").is(204)
	for body, says := range map[string]string{
		`{}`:                               "Import request requires a 'method' field.",
		`{"method":{}}`:                    "Import request requires a 'name' field.",
		`{"method":{"name":"copy-image"}}`: "Unknown import method name 'copy-image'.",
		`{"method":{"name":"glance-direct"},"all_stores":"x"}`:               "'all_stores' must be boolean value only",
		`{"method":{"name":"glance-direct"},"all_stores_must_succeed":null}`: "'all_stores_must_succeed' must be boolean value only",
	} {
		s.do(member, "POST", path+"/import", body).is(400).says(says)
	}
	s.do("a/reader", "POST", path+"/import", direct).is(403)
	s.do(member, "POST", path+"/import", direct).is(202)
	shown = s.do(member, "GET", path, "").is(200).object()
	require.Equal(t, []any{"active", "827ccb0eea8a706c4c34a16891f84e7b"}, []any{shown["status"], shown["checksum"]})
	require.Equal(t, "12345", s.do(member, "GET", path+"/file", "").is(200).raw)
	s.do(member, "POST", path+"/import", direct).is(409).says("Image with status active cannot be target for import")

	wrong := s.make(member, `{"name":"x","disk_format":"qcow2","container_format":"bare"}`)
	s.do(member, "PUT", "/v2/images/"+wrong+"/stage", "12345", "Content-Type", "application/octet-stream").is(204)
	s.do(member, "POST", "/v2/images/"+wrong+"/import", direct).is(415)
	require.Equal(t, "queued", s.do(member, "GET", "/v2/images/"+wrong, "").object()["status"])
}

func TestTextsThatGlanceRefuses(t *testing.T) {
	s := start(t)
	s.do(member, "POST", "/v2/images", `{"name":"😀"}`).is(400).says("Name can't contain 4 byte unicode characters.")
	s.do(member, "POST", "/v2/images", `{"os_distro":"😀"}`).is(400).says("Os_Distro can't contain 4 byte unicode characters.")
	s.do(member, "POST", "/v2/images", `{"name":{}}`).is(400).says("Provided object does not match schema 'image': {} is not of type 'null', 'string'")
	s.make(member, rawImage)
	require.Empty(t, s.do(member, "GET", "/v2/images?min_ram=x", "").is(200).object()["images"])
	s.do(member, "GET", "/v2/images?size_min=x", "").is(400)
}
