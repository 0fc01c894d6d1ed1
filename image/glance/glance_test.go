package glance_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/file"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/apitest"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/image/glance"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// people have a project and a role for a token.
var people = apitest.People{
	"a/member":  {UserID: "u-a", ProjectID: "a", Roles: []string{"member", "reader"}},
	"a/reader":  {UserID: "u-a", ProjectID: "a", Roles: []string{"reader"}},
	"b/member":  {UserID: "u-b", ProjectID: "b", Roles: []string{"member", "reader"}},
	"c/member":  {UserID: "u-c", ProjectID: "c", Roles: []string{"member", "reader"}},
	"ops/admin": {UserID: "u-ops", ProjectID: "ops", Roles: []string{"admin", "member", "reader"}},
	"z/admin":   {UserID: "u-z", ProjectID: "z", Roles: []string{"admin", "member", "reader"}},
}

// server is the API below /image.
type server struct {
	*apitest.Server
	clock *nephos.VirtualClock
	image *image.Service
	blobs *blob.Store
}

func newServer(t testing.TB, db *store.DB, c *nephos.VirtualClock, change ...func(*glance.Config)) *server {
	t.Helper()
	rules, err := policy.New(policy.Base(), image.Rules())
	require.NoError(t, err)
	files, err := file.Open(file.Config{Dir: t.TempDir()})
	require.NoError(t, err)
	blobs, err := blob.NewStore(t.Context(), files, blob.StoreOptions{})
	require.NoError(t, err)
	s := &server{clock: c, blobs: blobs}
	s.Server = apitest.Serve(t, "image", func(url string) http.Handler {
		url += "/image"
		s.image, err = image.New(image.Config{
			Store: db, Policy: rules, Blobs: []*blob.Store{blobs}, Clock: c, InternalURLFunc: func() string { return url },
		})
		require.NoError(t, err)
		cfg := glance.Config{Service: s.image, HTTP: httpapi.Config{Verifier: people, PublicURL: url, Clock: c}}
		for _, f := range change {
			f(&cfg)
		}
		return http.StripPrefix("/image", glance.New(cfg))
	})
	s.URL += "/image"
	return s
}

// stopped is a clock that moves when told to.
func stopped() *nephos.VirtualClock {
	return nephos.NewVirtualClock(time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC))
}

func start(t testing.TB, change ...func(*glance.Config)) *server {
	c := stopped()
	return newServer(t, storetest.Open(t, c, image.Migrations()), c, change...)
}

func each(t *testing.T, f func(t *testing.T, s *server)) {
	shared := &struct{ *nephos.VirtualClock }{stopped()}
	storetest.Each(t, shared, []store.Migrations{image.Migrations()}, func(t *testing.T, db *store.DB) {
		shared.VirtualClock = stopped() // the other database's test moved it
		f(t, newServer(t, db, shared.VirtualClock))
	})
}

const (
	member = "a/member"
	other  = "b/member"
	boss   = "ops/admin"
)

// emptyBlobs deletes all objects.
func (s *server) emptyBlobs(t testing.TB) {
	t.Helper()
	var ids []string
	require.NoError(t, s.blobs.List(t.Context(), func(o blob.Object) bool { ids = append(ids, o.ID); return true }))
	for _, id := range ids {
		require.NoError(t, s.blobs.Delete(t.Context(), id))
	}
}

// make creates an image and returns its ID.
func (s *server) make(token, body string) string {
	s.T.Helper()
	return s.Do(token, "POST", "/v2/images", body).Want(201).Object()["id"].(string)
}

const rawImage = `{"name":"x","disk_format":"raw","container_format":"bare"}`

func (s *server) upload(token, id, data string) apitest.Answer {
	s.T.Helper()
	return s.Do(token, "PUT", "/v2/images/"+id+"/file", data, "Content-Type", "application/octet-stream")
}

const (
	patch10 = "application/openstack-images-v2.1-json-patch"
	patch4  = "application/openstack-images-v2.0-json-patch"
)

func (s *server) patch(token, id, body string) apitest.Answer {
	s.T.Helper()
	return s.Do(token, "PATCH", "/v2/images/"+id, body, "Content-Type", patch10)
}

func TestEveryRouteNamesItsRules(t *testing.T) {
	apitest.RulesExist(t, glance.New(glance.Config{Service: start(t).image}).Routes(), image.Rules())
}

func TestVersions(t *testing.T) {
	s := start(t)
	for path, status := range map[string]int{"/": 300, "/versions": 200} {
		list := s.Do("", "GET", path, "").Want(status).Object()["versions"].([]any)
		first := list[0].(map[string]any)
		require.Equal(t, "v2.15", first["id"])
		require.Equal(t, "CURRENT", first["status"])
		require.Equal(t, s.URL+"/v2/", first["links"].([]any)[0].(map[string]any)["href"])
		require.Equal(t, "SUPPORTED", list[1].(map[string]any)["status"])
	}
}

func TestATokenIsNeeded(t *testing.T) {
	s := start(t)
	for _, r := range glance.New(glance.Config{Service: s.image}).Routes() {
		if r.Public {
			continue
		}
		method, path, _ := strings.Cut(r.Pattern, " ")
		path = strings.NewReplacer("{id}", "x", "{tag}", "x", "{member_id}", "x").Replace(path)
		s.Do("", method, path, "").Want(401)
		s.Do("bad", method, path, "").Want(401)
	}
}

func TestCreateShowsTheWholeImage(t *testing.T) {
	s := start(t)
	const id = "6b9a2d4e-0000-4000-8000-000000000001"
	a := s.Do(member, "POST", "/v2/images", `{"id":"`+id+`","name":"x","tags":["b","a","b"],"os_distro":"debian","min_disk":1}`).Want(201)
	require.Equal(t, s.URL+"/v2/images/"+id, a.Header.Get("Location"))
	require.Equal(t, "glance-direct", a.Header.Get("OpenStack-image-import-methods"))
	want := map[string]any{
		"id": id, "name": "x", "status": "queued", "visibility": "shared", "owner": "a", "protected": false, "os_hidden": false,
		"disk_format": nil, "container_format": nil, "min_disk": 1.0, "min_ram": 0.0, "size": nil, "virtual_size": nil,
		"checksum": nil, "os_hash_algo": nil, "os_hash_value": nil, "tags": []any{"a", "b"}, "os_distro": "debian",
		"created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
		"self": "/v2/images/" + id, "file": "/v2/images/" + id + "/file", "schema": "/v2/schemas/image",
	}
	require.Equal(t, want, a.Object())
	require.Equal(t, want, s.Do(member, "GET", "/v2/images/"+id, "").Want(200).Object())
	s.Do(member, "POST", "/v2/images", `{"id":"`+id+`"}`).Want(409).Says("Image ID " + id + " already exists!")
	s.Do(other, "GET", "/v2/images/"+id, "").Want(404).Says("No image found with ID " + id)
	require.Nil(t, s.Do(member, "POST", "/v2/images", `{}`).Want(201).Object()["name"])
}

func TestCreateRefuses(t *testing.T) {
	s := start(t)
	long := strings.Repeat("x", 256)
	for body, want := range map[string]struct {
		status int
		words  string
	}{
		``:                          {400, "Body expected in request."},
		`{`:                         {400, "Malformed JSON"},
		`7`:                         {400, "Unexpected body type"},
		`[]`:                        {400, "is not of type 'object'"},
		`{"id":"x"}`:                {400, "'x' does not match '^([0-9a-fA-F]){8}"},
		`{"name":7}`:                {400, "Provided object does not match schema 'image': 7 is not of type 'null', 'string'"},
		`{"name":"` + long + `"}`:   {400, "is too long"},
		`{"disk_format":"x"}`:       {400, "'x' is not one of [None, 'ami', "},
		`{"container_format":"x"}`:  {400, "'x' is not one of [None, 'ami', "},
		`{"visibility":"x"}`:        {400, "'x' is not one of ['community', "},
		`{"visibility":null}`:       {400, "None is not of type 'string'"},
		`{"visibility":""}`:         {400, "is not one of"},
		`{"min_disk":-1}`:           {400, "Cannot be a negative value"},
		`{"min_ram":2147483648}`:    {400, "min_ram"},
		`{"min_ram":1.5}`:           {400, "1.5 is not of type 'integer'"},
		`{"min_ram":1e400}`:         {400, "not of type 'integer'"},
		`{"protected":"x"}`:         {400, "'x' is not of type 'boolean'"},
		`{"tags":"x"}`:              {400, "not of type 'array'"},
		`{"tags":[7]}`:              {400, "7 is not of type 'string'"},
		`{"tags":["` + long + `"]}`: {400, "is too long"},
		`{"x":7}`:                   {400, "7 is not of type 'string'"},
		`{"x":null}`:                {400, "None is not of type 'string'"},
		`{"x":"a\u0000b"}`:          {400, "NUL"},
		`{"` + long + `":"x"}`:      {400, "should not be greater than 255"},
		`{"":"x"}`:                  {400, "must not be empty"},
		`{"self":"x"}`:              {403, "Attribute 'self' is read-only."},
		`{"status":"active"}`:       {403, "Attribute 'status' is read-only."},
		`{"size":7}`:                {403, "Attribute 'size' is read-only."},
		`{"os_hash_value":"x"}`:     {403, "Attribute 'os_hash_value' is read-only."},
		`{"locations":[]}`:          {403, "Attribute 'locations' is reserved."},
		`{"deleted":"x"}`:           {403, "Attribute 'deleted' is reserved."},
		`{"os_glance_x":"x"}`:       {403, "Attribute 'os_glance_x' is reserved."},
		`{"owner":"b"}`:             {403, "You are not permitted to create images owned by 'b'"},
		`{"visibility":"public"}`:   {403, "You are not authorized to complete publicize_image action."},
	} {
		s.Do(member, "POST", "/v2/images", body).Want(want.status).Says(want.words)
	}
	require.Empty(t, s.Do(member, "GET", "/v2/images", "").Want(200).Object()["images"])
	s.Do("a/reader", "POST", "/v2/images", `{}`).Want(403).Says("add_image")
	require.Equal(t, "b", s.Do(boss, "POST", "/v2/images", `{"owner":"b","visibility":"public"}`).Want(201).Object()["owner"])
}

func TestPatch(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		id := s.make(member, `{"name":"x","p":"1","slash/and~tilde":"1"}`)
		s.clock.Advance(time.Minute)
		b := s.patch(member, id, `[
			{"op":"replace","path":"/name","value":null},
			{"op":"replace","path":"/visibility","value":"private"},
			{"op":"add","path":"/disk_format","value":"qcow2"},
			{"op":"replace","path":"/container_format","value":"bare"},
			{"op":"replace","path":"/tags","value":["z","y"]},
			{"op":"replace","path":"/min_ram","value":64},
			{"op":"replace","path":"/protected","value":true},
			{"op":"add","path":"/q","value":"2"},
			{"op":"replace","path":"/p","value":"3"},
			{"op":"remove","path":"/slash~1and~0tilde"}]`).Want(200).Object()
		require.Nil(t, b["name"])
		require.Equal(t, "private", b["visibility"])
		require.Equal(t, "qcow2", b["disk_format"])
		require.Equal(t, []any{"y", "z"}, b["tags"])
		require.Equal(t, 64.0, b["min_ram"])
		require.Equal(t, true, b["protected"])
		require.Equal(t, "2", b["q"])
		require.Equal(t, "3", b["p"])
		require.NotContains(t, b, "slash/and~tilde")
		require.Equal(t, "2026-01-02T03:05:05Z", b["updated_at"])
		require.Equal(t, b, s.Do(member, "GET", "/v2/images/"+id, "").Object())

		s.Do(member, "PATCH", "/v2/images/"+id, `[{"replace":"/name","value":"four"}]`, "Content-Type", patch4).Want(200)
		s.Do(member, "PATCH", "/v2/images/"+id, `[{"add":"/p","value":"x"}]`, "Content-Type", patch4).Want(409).Says("Property p already present.")
		a := s.Do(member, "PATCH", "/v2/images/"+id, `[]`).Want(415)
		require.Equal(t, patch4+", "+patch10, a.Header.Get("Accept-Patch"))
		s.patch(member, id, `[]`).Want(200)

		for body, want := range map[string]struct {
			status int
			words  string
		}{
			``:                                  {400, "Body expected in request."},
			`{}`:                                {400, "Request body must be a JSON array of operation objects."},
			`[7]`:                               {400, "Operations must be JSON objects."},
			`[{"path":"/name","value":"x"}]`:    {400, "Unable to find `op` in JSON Schema change."},
			`[{"op":"move","path":"/name"}]`:    {400, "Invalid operation: `move`."},
			`[{"op":"replace","value":"x"}]`:    {400, "Unable to find 'path' in JSON Schema change"},
			`[{"op":"replace","path":"/name"}]`: {400, `Operation "replace" requires a member named "value".`},
			`[{"op":"replace","path":"name","value":"x"}]`:                                            {400, `does not start with "/".`},
			`[{"op":"replace","path":"/a//b","value":"x"}]`:                                           {400, `contains adjacent "/".`},
			`[{"op":"replace","path":"/a/","value":"x"}]`:                                             {400, `end with "/".`},
			`[{"op":"replace","path":"/a~2","value":"x"}]`:                                            {400, "not part of a recognized escape sequence"},
			`[{"op":"replace","path":"/a/b","value":"x"}]`:                                            {400, "Invalid JSON pointer for this resource: '/a/b'"},
			`[{"op":"replace","path":7,"value":"x"}]`:                                                 {400, "pointer"},
			`[{"op":"replace","path":"/id","value":"x"}]`:                                             {403, "Attribute 'id' is read-only."},
			`[{"op":"remove","path":"/status"}]`:                                                      {403, "Attribute 'status' is read-only."},
			`[{"op":"replace","path":"/deleted","value":"x"}]`:                                        {403, "Attribute 'deleted' is reserved."},
			`[{"op":"replace","path":"/os_glance_x","value":"x"}]`:                                    {403, "Attribute 'os_glance_x' is reserved."},
			`[{"op":"remove","path":"/name"}]`:                                                        {403, "Property name may not be removed."},
			`[{"op":"remove","path":"/none"}]`:                                                        {409, "Property none does not exist."},
			`[{"op":"replace","path":"/none","value":"x"}]`:                                           {409, "Property none does not exist."},
			`[{"op":"replace","path":"/min_disk","value":-1}]`:                                        {400, "Cannot be a negative value"},
			`[{"op":"replace","path":"/min_disk","value":"1"}]`:                                       {400, "'1' is not of type 'integer'"},
			`[{"op":"add","path":"/x","value":7}]`:                                                    {400, "7 is not of type 'string'"},
			`[{"op":"replace","path":"/owner","value":"b"}]`:                                          {403, "Owner can't be updated by non admin."},
			`[{"op":"replace","path":"/visibility","value":"public"}]`:                                {403, "publicize_image"},
			`[{"op":"replace","path":"/locations","value":[]}]`:                                       {403, "Cannot set locations to empty list."},
			`[{"op":"add","path":"/locations/-","value":{"url":"file:///etc/shadow","metadata":{}}}]`: {403, "It's not allowed to add locations if locations are invisible."},
			`[{"op":"add","path":"/new","value":"x"},{"op":"remove","path":"/none"}]`:                 {409, "none"},
		} {
			s.patch(member, id, body).Want(want.status).Says(want.words)
		}
		require.NotContains(t, s.Do(member, "GET", "/v2/images/"+id, "").Object(), "new", "all steps or none")
		s.patch(other, id, `[{"op":"replace","path":"/name","value":"x"}]`).Want(404)
		s.patch(boss, id, `[{"op":"replace","path":"/owner","value":"b"}]`).Want(200)
		s.patch(member, id, `[{"op":"replace","path":"/name","value":"x"}]`).Want(404)

		s.Do(other, "DELETE", "/v2/images/"+id, "").Want(403).Says("Image " + id + " is protected and cannot be deleted.")
		s.patch(other, id, `[{"op":"replace","path":"/protected","value":false}]`).Want(200)
		s.Do(other, "DELETE", "/v2/images/"+id, "").Want(204)
		s.Do(other, "DELETE", "/v2/images/"+id, "").Want(404).Says("Failed to find image " + id + " to delete")
	})
}

func TestFormatsAreSetBeforeTheBytes(t *testing.T) {
	s := start(t)
	id := s.make(member, `{}`)
	s.upload(member, id, "x").Want(400).Says("Properties disk_format, container_format must be set prior to saving data.")
	s.patch(member, id, `[{"op":"replace","path":"/disk_format","value":"raw"}]`).Want(200)
	s.upload(member, id, "x").Want(400).Says("Property container_format must be set prior to saving data.")
	s.patch(member, id, `[{"op":"replace","path":"/container_format","value":"bare"}]`).Want(200)
	s.upload(member, id, "x").Want(204)
	s.upload(member, id, "x").Want(409).Says("Image status transition from active to saving is not allowed")
	s.patch(member, id, `[{"op":"replace","path":"/disk_format","value":"raw"}]`).Want(403).
		Says("Attribute disk_format can be only replaced for a queued image.")
}

func TestUploadAndDownload(t *testing.T) {
	s := start(t)
	id := s.make(member, rawImage)
	path := "/v2/images/" + id + "/file"
	s.Do(member, "GET", path, "").Want(204)
	s.Do(member, "PUT", path, "x", "Content-Type", "text/plain").Want(415)
	s.Do(other, "PUT", path, "x", "Content-Type", "application/octet-stream").Want(404).Says("No image found with ID")
	data := strings.Repeat("0123456789", 100_000)
	s.upload(member, id, data).Want(204)
	b := s.Do(member, "GET", "/v2/images/"+id, "").Object()
	require.Equal(t, "active", b["status"])
	require.Equal(t, 1e6, b["size"])
	require.Equal(t, 1e6, b["virtual_size"])

	a := s.Do(member, "GET", path, "").Want(200)
	require.Equal(t, data, a.Body)
	require.Equal(t, "application/octet-stream", a.Header.Get("Content-Type"))
	require.Equal(t, "1000000", a.Header.Get("Content-Length"))
	require.Equal(t, b["checksum"], a.Header.Get("Content-MD5"))
	for header, want := range map[string][2]string{
		"bytes=0-4":            {"01234", "bytes 0-4/1000000"},
		"bytes=5-5":            {"5", "bytes 5-5/1000000"},
		"bytes=999990-":        {"0123456789", "bytes 999990-999999/1000000"},
		"bytes=999998-2000000": {"89", "bytes 999998-999999/1000000"},
		"bytes=-3":             {"789", "bytes 999997-999999/1000000"},
	} {
		a := s.Do(member, "GET", path, "", "Range", header).Want(206)
		require.Equal(t, want[0], a.Body, header)
		require.Equal(t, want[1], a.Header.Get("Content-Range"), header)
		require.Equal(t, fmt.Sprint(len(want[0])), a.Header.Get("Content-Length"), header)
	}
	require.Equal(t, data, s.Do(member, "GET", path, "", "Range", "bytes=-2000000").Want(206).Body)
	require.Equal(t, "23", s.Do(member, "GET", path, "", "Content-Range", "bytes 2-3/*").Want(206).Body)
	for header, status := range map[string]int{
		"bytes=1000000-": 416, "bytes=4-3": 416, "bytes=x-": 416, "bytes=-": 416, "lines=0-1": 416, "bytes=-0": 416,
		"bytes=+1-2": 416, "bytes=0-1,3-4": 400,
	} {
		s.Do(member, "GET", path, "", "Range", header).Want(status)
	}
	empty := s.make(member, rawImage)
	s.upload(member, empty, "").Want(204)
	a = s.Do(member, "GET", "/v2/images/"+empty+"/file", "").Want(200)
	require.Equal(t, "0", a.Header.Get("Content-Length"))
	require.Empty(t, a.Body)

	s.Do(member, "POST", "/v2/images/"+id+"/actions/deactivate", "").Want(204)
	s.Do(member, "GET", path, "").Want(403).Says("The requested image has been deactivated. Image data download is forbidden.")
	s.Do(boss, "GET", path, "").Want(200)
	s.Do(member, "POST", "/v2/images/"+id+"/actions/reactivate", "").Want(204)
	s.Do(member, "GET", path, "").Want(200)
}

func TestContentThatIsNotWhatItWasDeclaredIsRefused(t *testing.T) {
	s := start(t)
	backed := make([]byte, 1024)
	copy(backed, "QFI\xfb\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x0b\x00\x00\x00\x10")
	copy(backed[512:], "/etc/shadow")
	for format, words := range map[string]string{
		"raw": "Image content does not match disk_format: declared raw, found qcow2.", "vmdk": "declared vmdk", "qcow2": "refused",
	} {
		id := s.make(member, strings.Replace(rawImage, `"raw"`, `"`+format+`"`, 1))
		s.upload(member, id, string(backed)).Want(415).Says(words)
		b := s.Do(member, "GET", "/v2/images/"+id, "").Object()
		require.Equal(t, "queued", b["status"])
		require.Nil(t, b["size"])
	}
	n := 0
	require.NoError(t, s.blobs.List(t.Context(), func(blob.Object) bool { n++; return true }))
	require.Zero(t, n, "nothing of it is stored")
}

func TestMembers(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		id := s.make(member, rawImage)
		path := "/v2/images/" + id + "/members"
		b := s.Do(member, "POST", path, `{"member":"b"}`).Want(200).Object()
		require.Equal(t, map[string]any{
			"member_id": "b", "image_id": id, "status": "pending", "schema": "/v2/schemas/member",
			"created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
		}, b)
		s.Do(member, "POST", path, `{"member":"b"}`).Want(409).Says("Member b is duplicated for image " + id)
		s.Do(member, "POST", path, `{}`).Want(400).Says("Member to be added not specified")
		s.Do(member, "POST", path, `{"member":""}`).Want(400).Says("Member can't be empty")
		s.Do(member, "POST", path, `[]`).Want(400)
		s.Do(other, "GET", "/v2/images/"+id, "").Want(200)
		list := s.Do(member, "GET", path, "").Want(200).Object()
		require.Equal(t, "/v2/schemas/members", list["schema"])
		require.Len(t, list["members"], 1)
		s.Do(other, "GET", path+"/b", "").Want(200)
		s.Do(other, "GET", path+"/c", "").Want(404).Says("c not found in the member list of the image " + id)
		s.Do(member, "PUT", path+"/b", `{"status":"accepted"}`).Want(403).Says("Not allowed to update members for image " + id)
		s.Do(other, "PUT", path+"/b", `{"status":"maybe"}`).Want(400).Says(`Incorrect request: Status must be "pending", "accepted" or "rejected".`)
		s.Do(other, "PUT", path+"/b", `{}`).Want(400).Says("Status not specified")
		require.Equal(t, "accepted", s.Do(other, "PUT", path+"/b", `{"status":"accepted"}`).Want(200).Object()["status"])
		require.Len(t, s.Do(other, "GET", "/v2/images", "").Object()["images"], 1)
		s.Do(other, "DELETE", path+"/b", "").Want(403)
		s.Do("c/member", "GET", path, "").Want(404).Says("Image " + id + " not found.")
		s.Do(member, "DELETE", path+"/b", "").Want(204)
		s.Do(member, "DELETE", path+"/b", "").Want(404)

		private := s.make(member, `{"visibility":"private"}`)
		path = "/v2/images/" + private + "/members"
		s.Do(member, "POST", path, `{"member":"b"}`).Want(403).Says("Not allowed to create members for image " + private + ".")
		s.Do(member, "GET", path, "").Want(403).Says("Not allowed to list members for image " + private + ": Only shared images have members.")
		s.Do(member, "GET", path+"/b", "").Want(404).Says("Only shared images have members.")
		s.Do(member, "PUT", path+"/b", `{"status":"accepted"}`).Want(403).Says("Not allowed to update members for image")
		s.Do(member, "DELETE", path+"/b", "").Want(403).Says("Not allowed to delete members for image")
	})
}

func TestTextThatADatabaseDoesNotTakeIsRefused(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		id := s.make(member, rawImage)
		for _, bad := range []string{"%00", "%ff", "x%00y"} {
			s.Do(member, "GET", "/v2/images/"+bad, "").Want(404)
			s.Do(member, "GET", "/v2/images/"+id+"/members/"+bad, "").Want(404)
			s.Do(member, "PUT", "/v2/images/"+id+"/tags/"+bad, "").Want(400)
			s.Do(member, "DELETE", "/v2/images/"+id+"/tags/"+bad, "").Want(404)
			for _, name := range []string{"name=", "owner=", "tag=", "x=", "marker=", "x" + bad + "="} {
				s.Do(member, "GET", "/v2/images?"+name+bad, "").Want(400)
			}
		}
		s.Do(member, "POST", "/v2/images/"+id+"/members", `{"member":"\u0000"}`).Want(400)
		s.Do(member, "POST", "/v2/images", "{\"name\": \"\xff\"}").Want(400).Says("Malformed JSON in request body.")
	})
}

// The answers below are those of Glance 25.
func TestFixedAnswers(t *testing.T) {
	s := start(t)
	id := s.make(member, `{"name":"x","visibility":"community"}`)
	at := "/v2/images/" + id
	patch := "application/openstack-images-v2.1-json-patch"
	for _, c := range []struct {
		token, request, body, contentType string
		status                            int
		says                              string
	}{
		{member, "HEAD " + at, "", "", 405, ""},
		{member, "HEAD " + at + "/file", "", "", 405, ""},
		{member, "HEAD /v2/images", "", "", 405, ""},
		{"", "GET /v1/images", "", "", 300, ""},
		{"", "GET /v3", "", "", 300, ""},
		{"", "GET /v2/nothing", "", "", 401, ""},
		{member, "GET /v2/nothing", "", "", 404, "The resource could not be found."},
		{"", "GET /healthcheck", "", "", 200, ""},
		{member, "PATCH " + at, `[{"op":"remove","path":"/name"}]`, patch, 403, "Access was denied to this resource.<br /><br />\nProperty name may not be removed."},
		{member, "PATCH " + at, `[{"op":"remove","path":"/z"}]`, patch, 409, "There was a conflict when trying to complete your request.<br /><br />\nProperty z does not exist."},
		{member, "PATCH " + at, `[{"op":"replace","path":"/owner","value":"z"}]`, patch, 403, "Access was denied to this resource.<br /><br />\nOwner can't be updated by non admin."},
		{other, "PUT " + at + "/file", "x", "application/octet-stream", 403, "Not allowed to upload image data for image " + id},
		{member, "PUT " + at + "/file", "x", "text/plain", 415, "The request media type text/plain is not supported by this server.\n<br /><br />\n"},
		{other, "PUT " + at + "/tags/x", "", "", 403, "Not allowed to update tags for image " + id + "."},
		{other, "DELETE " + at + "/tags/x", "", "", 403, "Not allowed to delete tags for image " + id + "."},
		{member, "GET /v2/images?sort_key=", "", "", 400, "Invalid sort key: . It must be one of the following: name, status,"},
		{member, "GET /v2/images?sort_dir=", "", "", 400, "Invalid sort direction: "},
		{member, "GET /v2/images?created_at=x:2020-01-01T00:00:00Z", "", "", 400, "Unable to filter on a unknown operator."},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		a := s.Do(c.token, method, path, c.body, "Content-Type", c.contentType).Want(c.status)
		if c.says != "" {
			a.Says(c.says)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/v2", nil)
	require.NoError(t, err)
	req.Header.Set("X-Auth-Token", member)
	resp, err := http.DefaultTransport.RoundTrip(req) // follows nothing
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 302, resp.StatusCode)
	require.Equal(t, s.URL+"/v2/", resp.Header.Get("Location"))
	require.Equal(t, "/v2/images?name=x&limit=1", s.Do(member, "GET", "/v2/images?name=x&limit=1", "").Object()["first"])
}

func TestTags(t *testing.T) {
	s := start(t)
	id := s.make(member, rawImage)
	path := "/v2/images/" + id + "/tags/"
	s.Do(member, "PUT", path+"x%2Fy%20z", "").Want(204)
	s.Do(member, "PUT", path+"x%2Fy%20z", "").Want(204)
	require.Equal(t, []any{"x/y z"}, s.Do(member, "GET", "/v2/images/"+id, "").Object()["tags"])
	s.Do(member, "PUT", path+strings.Repeat("x", 256), "").Want(400)
	s.Do(member, "DELETE", path+"none", "").Want(404)
	s.Do(member, "DELETE", path+"x%2Fy%20z", "").Want(204)
	s.Do(other, "PUT", path+"x", "").Want(404).Says("Image " + id + " not found.")
}

func (s *server) names(token, query string) []string {
	s.T.Helper()
	out := []string{}
	for _, i := range s.Do(token, "GET", "/v2/images?"+strings.NewReplacer(" ", "%20", `"`, "%22").Replace(query), "").Want(200).Object()["images"].([]any) {
		out = append(out, i.(map[string]any)["name"].(string))
	}
	return out
}

func TestFiltersAndOrders(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		one := s.make(member, `{"name":"one","disk_format":"raw","container_format":"bare","tags":["t","u"],"os_distro":"debian","min_disk":1}`)
		s.upload(member, one, "12345").Want(204)
		s.clock.Advance(time.Minute)
		two := s.make(member, `{"name":"two, or so","disk_format":"qcow2","container_format":"bare","tags":["t"],"protected":true,"os_distro":"arch"}`)
		s.clock.Advance(time.Minute)
		s.make(member, `{"name":"three","disk_format":"vmdk","visibility":"private","os_hidden":true}`)
		for query, want := range map[string][]string{
			"":                                      {"two, or so", "one"},
			"os_hidden=true":                        {"three"},
			"os_hidden=True":                        {"three"},
			"name=one":                              {"one"},
			"name=in:one,three":                     {"one"},
			`name=in:"two, or so",one`:              {"two, or so", "one"},
			"name=eq:one":                           {"one"},
			"id=" + one:                             {"one"},
			"id=in:" + one + "," + two:              {"two, or so", "one"},
			"status=active":                         {"one"},
			"status=in:queued,saving":               {"two, or so"},
			"visibility=shared":                     {"two, or so", "one"},
			"visibility=private":                    {},
			"owner=a":                               {"two, or so", "one"},
			"owner=b":                               {},
			"disk_format=in:raw,vmdk":               {"one"},
			"container_format=bare&disk_format=raw": {"one"},
			"tag=t":                                 {"two, or so", "one"},
			"tag=t&tag=u":                           {"one"},
			"protected=true":                        {"two, or so"},
			"protected=false":                       {"one"},
			"size_min=5&size_max=5":                 {"one"},
			"size_min=6":                            {},
			"min_disk=1":                            {"one"},
			"os_distro=debian":                      {"one"},
			"os_distro=debian&x=y":                  {},
			"checksum=827ccb0eea8a706c4c34a16891f84e7b":  {"one"},
			"created_at=2026-01-02T03:04:05Z":            {"one"},
			"created_at=eq:2026-01-02T03:05:05Z":         {"two, or so"},
			"created_at=gt:2026-01-02T03:04:05Z":         {"two, or so"},
			"created_at=gte:2026-01-02T03:04:05":         {"two, or so", "one"},
			"created_at=lt:2026-01-02T03:05:05Z":         {"one"},
			"updated_at=lte:2026-01-02T03:05:05%2B00:00": {"two, or so", "one"},
			"created_at=neq:2026-01-02T03:04:05Z":        {"two, or so"},
			"sort_key=name&sort_dir=asc":                 {"one", "two, or so"},
			"sort=name:desc":                             {"two, or so", "one"},
			"sort=size:asc,name:desc":                    {"two, or so", "one"},
			"sort_key=size&sort_key=name&sort_dir=asc":   {"two, or so", "one"},
			"limit=1":           {"two, or so"},
			"limit=0":           {},
			"marker=" + two:     {"one"},
			"member_status=all": {"two, or so", "one"},
		} {
			require.Equal(t, want, s.names(member, query), query)
		}
		for query, words := range map[string]string{
			"limit=x":                  "limit param must be an integer",
			"limit=-1":                 "limit param must be positive",
			"marker=none":              "No image found with ID none",
			"sort_key=x":               "Invalid sort key: x.",
			"sort_dir=x":               "Invalid sort direction: x",
			"sort=name:up":             "Invalid sort direction: up",
			"sort=name&sort_key=name":  "Old and new sorting syntax cannot be combined",
			"visibility=x":             "Invalid visibility value: x",
			"member_status=x":          "Invalid status: x",
			"os_hidden=x":              "Invalid value 'x' for 'os_hidden' filter.",
			"protected=True":           "Invalid value 'True' for 'protected' filter.",
			"size_min=x":               "Unable to filter on a range with a non-numeric value.",
			"created_at=x":             `Bad "created_at" query filter format. Use ISO 8601 DateTime notation.`,
			"created_at=at:2026-01-01": "operator",
			"name=like:x":              "Unable to filter by unknown operator 'like'.",
			`name=in:"x`:               "The quote is not closed.",
			"changes-since=2026":       "no longer available on v2",
		} {
			s.Do(member, "GET", "/v2/images?"+query, "").Want(400).Says(words)
		}
		b := s.Do(member, "GET", "/v2/images?limit=1&name=in:one,two", "").Want(200).Object()
		require.Equal(t, "/v2/schemas/images", b["schema"])
		require.Equal(t, "/v2/images?"+url.Values{"limit": {"1"}, "name": {"in:one,two"}}.Encode(), b["first"])
		require.Contains(t, b["next"], "/v2/images?")
		require.Contains(t, b["next"], "marker="+one)
		require.NotContains(t, s.Do(member, "GET", "/v2/images", "").Object(), "next")
		require.Equal(t, "/v2/images", s.Do(member, "GET", "/v2/images", "").Object()["first"])
	})
}

// The properties that the API names are held against what it says of them.
func TestPropertiesThatTheAPINames(t *testing.T) {
	s := start(t)
	s.Do(member, "POST", "/v2/images", `{"name": "i", "kernel_id": "linux"}`).Want(400).
		Says(`Provided object does not match schema 'image': 'linux' does not match '^([0-9a-fA-F]){8}-`)
	s.Do(member, "POST", "/v2/images", `{"name": "i", "architecture": null}`).Want(400).Says("None is not of type 'string'")
	const kernel = "22222222-2222-4222-8222-222222222222"
	made := s.Do(member, "POST", "/v2/images", `{"name": "i", "kernel_id": "`+kernel+`", "ramdisk_id": null, "os_distro": "debian"}`).Want(201).Object()
	require.Equal(t, []any{kernel, nil, "debian"}, []any{made["kernel_id"], made["ramdisk_id"], made["os_distro"]})
	require.Contains(t, made, "ramdisk_id")
	path := "/v2/images/" + made["id"].(string)
	patch := func(ops string) apitest.Answer {
		return s.Do(member, "PATCH", path, ops, "Content-Type", "application/openstack-images-v2.1-json-patch")
	}
	require.Nil(t, patch(`[{"op": "replace", "path": "/kernel_id", "value": null}]`).Want(200).Object()["kernel_id"])
	patch(`[{"op": "replace", "path": "/ramdisk_id", "value": "x"}]`).Want(400).Says("'x' does not match")
}

func TestSchemasAndInfo(t *testing.T) {
	s := start(t)
	b := s.Do(member, "GET", "/v2/schemas/image", "").Want(200).Object()
	require.Equal(t, "image", b["name"])
	require.Equal(t, map[string]any{"type": "string"}, b["additionalProperties"])
	props := b["properties"].(map[string]any)
	shown := s.Do(member, "POST", "/v2/images", rawImage).Object()
	for k := range shown {
		require.Contains(t, props, k)
	}
	require.Equal(t, []any{nil, "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"}, props["disk_format"].(map[string]any)["enum"])
	for _, name := range []string{"architecture", "instance_uuid", "kernel_id", "os_distro", "os_version", "ramdisk_id"} {
		require.Equal(t, false, props[name].(map[string]any)["is_base"], name)
	}
	for _, name := range []string{"images", "member", "members"} {
		require.Equal(t, name, s.Do(member, "GET", "/v2/schemas/"+name, "").Want(200).Object()["name"])
	}
	s.Do(member, "GET", "/v2/schemas/task", "").Want(404)
	s.Do(member, "GET", "/v2/info/stores", "").Want(404).Says("Multi backend is not supported at this site.")
	require.Equal(t, []any{"glance-direct"}, s.Do(member, "GET", "/v2/info/import", "").Want(200).Object()["import-methods"].(map[string]any)["value"])
	use := s.Do(member, "GET", "/v2/info/usage", "").Want(200).Object()["usage"].(map[string]any)
	require.Equal(t, map[string]any{"usage": 1.0, "limit": -1.0}, use["image_count_total"])
	id := shown["id"].(string)
	s.Do(member, "POST", "/v2/images/"+id+"/import", `{"method":{"name":"web-download","uri":"http://169.254.169.254/"}}`).Want(400).
		Says("Unknown import method name 'web-download'.")
	require.Equal(t, []any{}, s.Do(member, "GET", "/v2/images/"+id+"/tasks", "").Want(200).Object()["tasks"])
	s.Do(member, "GET", "/v2/tasks", "").Want(404)
	s.Do(member, "PUT", "/v2/images/"+id, "x").Want(405)
}

func TestASignedURLStandsForAToken(t *testing.T) {
	s := start(t)
	id, later := s.make(member, rawImage), s.make(member, rawImage)
	s.upload(member, id, "bytes").Want(204)
	ctx := nephos.WithCaller(t.Context(), nephos.Service("compute", nephos.Caller{}))
	u, err := s.image.SignedURL(ctx, id, time.Minute)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(u, s.URL+"/signed/"+id+"?"), u)
	require.Equal(t, "bytes", s.Do("", "GET", u, "").Want(200).Body)
	require.Equal(t, "yt", s.Do("", "GET", u, "", "Range", "bytes=1-2").Want(206).Body)
	s.Do("", "PUT", u, "x").Want(403)
	s.Do("", "GET", strings.Replace(u, id, later, 1), "").Want(403)
	s.Do("", "GET", strings.Replace(u, "expires=", "expires=9", 1), "").Want(403)
	s.Do("", "GET", "/signed/"+id, "").Want(403)

	put, err := s.image.SignedUploadURL(ctx, later, time.Minute)
	require.NoError(t, err)
	s.Do("", "GET", put, "").Want(403)
	s.Do("", "PUT", put, "snapshot").Want(204)
	require.Equal(t, "snapshot", s.Do(member, "GET", "/v2/images/"+later+"/file", "").Want(200).Body)

	s.clock.Advance(time.Minute)
	s.Do("", "GET", u, "").Want(403)
	_, err = s.image.SignedURL(nephos.WithCaller(t.Context(), nephos.Caller{ProjectID: "b", Roles: []string{"member", "reader"}}), id, time.Minute)
	require.ErrorIs(t, err, nephos.ErrNotFound)
}
