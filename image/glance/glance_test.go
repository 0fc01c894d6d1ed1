package glance_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/file"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/image/glance"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// tokens is a Verifier for which a token is a project and a role.
type tokens struct{}

func (tokens) Verify(_ context.Context, token string) (nephos.Caller, error) {
	project, role, ok := strings.Cut(token, "/")
	if !ok {
		return nephos.Caller{}, nephos.Errorf(nephos.ErrUnauthenticated, "The token is not known.")
	}
	roles := map[string][]string{"admin": {"admin", "member", "reader"}, "member": {"member", "reader"}, "reader": {"reader"}}[role]
	return nephos.Caller{UserID: "u-" + project, ProjectID: project, Roles: roles}, nil
}

// steady is a clock that moves when told to.
type steady struct {
	mu  sync.Mutex
	now time.Time
}

func (c *steady) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}
func (c *steady) After(time.Duration) <-chan time.Time { return make(chan time.Time) }
func (c *steady) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type server struct {
	*httptest.Server
	t     testing.TB
	clock *steady
	image *image.Service
	blobs *blob.Store
}

func newServer(t testing.TB, db *store.DB, c *steady, change ...func(*glance.Config)) *server {
	t.Helper()
	rules, err := policy.New(policy.Base(), image.Rules())
	require.NoError(t, err)
	files, err := file.Open(file.Config{Dir: t.TempDir()})
	require.NoError(t, err)
	blobs, err := blob.NewStore(t.Context(), files, blob.StoreOptions{})
	require.NoError(t, err)
	s := &server{t: t, clock: c, blobs: blobs}
	base := func() string { return s.URL + "/image" }
	s.image, err = image.New(image.Config{Store: db, Policy: rules, Blobs: []*blob.Store{blobs}, Clock: c, InternalURLFunc: base})
	require.NoError(t, err)
	cfg := glance.Config{Service: s.image, HTTP: httpapi.Config{Verifier: tokens{}, PublicURLFunc: base, Clock: c}}
	for _, f := range change {
		f(&cfg)
	}
	s.Server = httptest.NewServer(http.StripPrefix("/image", glance.New(cfg)))
	t.Cleanup(s.Close)
	return s
}

func start(t testing.TB, change ...func(*glance.Config)) *server {
	c := &steady{now: time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)}
	return newServer(t, storetest.Open(t, c, image.Migrations()), c, change...)
}

func each(t *testing.T, f func(t *testing.T, s *server)) {
	c := &steady{now: time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)}
	storetest.Each(t, c, []store.Migrations{image.Migrations()}, func(t *testing.T, db *store.DB) {
		c.now = time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC) // the other database's test moved it
		f(t, newServer(t, db, c))
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

type answer struct {
	t      testing.TB
	status int
	header http.Header
	raw    string
}

// object decodes the body as a JSON object.
func (a answer) object() map[string]any {
	a.t.Helper()
	var m map[string]any
	require.NoError(a.t, json.Unmarshal([]byte(a.raw), &m), a.raw)
	return m
}

// is checks the status.
func (a answer) is(status int) answer {
	a.t.Helper()
	require.Equal(a.t, status, a.status, a.raw)
	return a
}

// says checks that a fault's message has the words.
func (a answer) says(words string) answer {
	a.t.Helper()
	require.Contains(a.t, a.object()["message"], words)
	return a
}

// do makes a request. Headers are pairs; a Content-Type is JSON unless given.
func (s *server) do(token, method, path, body string, headers ...string) answer {
	s.t.Helper()
	u := path
	if strings.HasPrefix(path, "/") {
		u = s.URL + "/image" + path
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, u, strings.NewReader(body))
	require.NoError(s.t, err)
	req.Header.Set("Accept", "application/json")
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return answer{s.t, resp.StatusCode, resp.Header, string(raw)}
}

// make creates an image and returns its ID.
func (s *server) make(token, body string) string {
	s.t.Helper()
	return s.do(token, "POST", "/v2/images", body).is(201).object()["id"].(string)
}

const rawImage = `{"name":"x","disk_format":"raw","container_format":"bare"}`

func (s *server) upload(token, id, data string) answer {
	s.t.Helper()
	return s.do(token, "PUT", "/v2/images/"+id+"/file", data, "Content-Type", "application/octet-stream")
}

const (
	patch10 = "application/openstack-images-v2.1-json-patch"
	patch4  = "application/openstack-images-v2.0-json-patch"
)

func (s *server) patch(token, id, body string) answer {
	s.t.Helper()
	return s.do(token, "PATCH", "/v2/images/"+id, body, "Content-Type", patch10)
}

func TestEveryRouteNamesItsRules(t *testing.T) {
	s := start(t)
	api := glance.New(glance.Config{Service: s.image})
	require.NotEmpty(t, api.Routes())
	require.NoError(t, httpapi.CheckRoutes(api.Routes()))
	known := map[string]bool{"@": true}
	for _, r := range image.Rules() {
		known[r.Name] = true
	}
	for _, r := range api.Routes() {
		for _, name := range r.Rules {
			require.True(t, known[name], "%s names the rule %s, which there is not", r.Pattern, name)
		}
	}
}

func TestVersions(t *testing.T) {
	s := start(t)
	for path, status := range map[string]int{"/": 300, "/versions": 200} {
		list := s.do("", "GET", path, "").is(status).object()["versions"].([]any)
		first := list[0].(map[string]any)
		require.Equal(t, "v2.15", first["id"])
		require.Equal(t, "CURRENT", first["status"])
		require.Equal(t, s.URL+"/image/v2/", first["links"].([]any)[0].(map[string]any)["href"])
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
		s.do("", method, path, "").is(401)
		s.do("bad", method, path, "").is(401)
	}
}

func TestCreateShowsTheWholeImage(t *testing.T) {
	s := start(t)
	const id = "6b9a2d4e-0000-4000-8000-000000000001"
	a := s.do(member, "POST", "/v2/images", `{"id":"`+id+`","name":"x","tags":["b","a","b"],"os_distro":"debian","min_disk":1}`).is(201)
	require.Equal(t, s.URL+"/image/v2/images/"+id, a.header.Get("Location"))
	require.Equal(t, "glance-direct", a.header.Get("OpenStack-image-import-methods"))
	want := map[string]any{
		"id": id, "name": "x", "status": "queued", "visibility": "shared", "owner": "a", "protected": false, "os_hidden": false,
		"disk_format": nil, "container_format": nil, "min_disk": 1.0, "min_ram": 0.0, "size": nil, "virtual_size": nil,
		"checksum": nil, "os_hash_algo": nil, "os_hash_value": nil, "tags": []any{"a", "b"}, "os_distro": "debian",
		"created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
		"self": "/v2/images/" + id, "file": "/v2/images/" + id + "/file", "schema": "/v2/schemas/image",
	}
	require.Equal(t, want, a.object())
	require.Equal(t, want, s.do(member, "GET", "/v2/images/"+id, "").is(200).object())
	s.do(member, "POST", "/v2/images", `{"id":"`+id+`"}`).is(409).says("Image ID " + id + " already exists!")
	s.do(other, "GET", "/v2/images/"+id, "").is(404).says("No image found with ID " + id)
	require.Nil(t, s.do(member, "POST", "/v2/images", `{}`).is(201).object()["name"])
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
		s.do(member, "POST", "/v2/images", body).is(want.status).says(want.words)
	}
	require.Empty(t, s.do(member, "GET", "/v2/images", "").is(200).object()["images"])
	s.do("a/reader", "POST", "/v2/images", `{}`).is(403).says("add_image")
	require.Equal(t, "b", s.do(boss, "POST", "/v2/images", `{"owner":"b","visibility":"public"}`).is(201).object()["owner"])
}

func TestPatch(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		id := s.make(member, `{"name":"x","p":"1","slash/and~tilde":"1"}`)
		s.clock.advance(time.Minute)
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
			{"op":"remove","path":"/slash~1and~0tilde"}]`).is(200).object()
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
		require.Equal(t, b, s.do(member, "GET", "/v2/images/"+id, "").object())

		s.do(member, "PATCH", "/v2/images/"+id, `[{"replace":"/name","value":"four"}]`, "Content-Type", patch4).is(200)
		s.do(member, "PATCH", "/v2/images/"+id, `[{"add":"/p","value":"x"}]`, "Content-Type", patch4).is(409).says("Property p already present.")
		a := s.do(member, "PATCH", "/v2/images/"+id, `[]`).is(415)
		require.Equal(t, patch4+", "+patch10, a.header.Get("Accept-Patch"))
		s.patch(member, id, `[]`).is(200)

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
			s.patch(member, id, body).is(want.status).says(want.words)
		}
		require.NotContains(t, s.do(member, "GET", "/v2/images/"+id, "").object(), "new", "all steps or none")
		s.patch(other, id, `[{"op":"replace","path":"/name","value":"x"}]`).is(404)
		s.patch(boss, id, `[{"op":"replace","path":"/owner","value":"b"}]`).is(200)
		s.patch(member, id, `[{"op":"replace","path":"/name","value":"x"}]`).is(404)

		s.do(other, "DELETE", "/v2/images/"+id, "").is(403).says("Image " + id + " is protected and cannot be deleted.")
		s.patch(other, id, `[{"op":"replace","path":"/protected","value":false}]`).is(200)
		s.do(other, "DELETE", "/v2/images/"+id, "").is(204)
		s.do(other, "DELETE", "/v2/images/"+id, "").is(404).says("Failed to find image " + id + " to delete")
	})
}

func TestFormatsAreSetBeforeTheBytes(t *testing.T) {
	s := start(t)
	id := s.make(member, `{}`)
	s.upload(member, id, "x").is(400).says("Properties disk_format, container_format must be set prior to saving data.")
	s.patch(member, id, `[{"op":"replace","path":"/disk_format","value":"raw"}]`).is(200)
	s.upload(member, id, "x").is(400).says("Property container_format must be set prior to saving data.")
	s.patch(member, id, `[{"op":"replace","path":"/container_format","value":"bare"}]`).is(200)
	s.upload(member, id, "x").is(204)
	s.upload(member, id, "x").is(409).says("Image status transition from active to saving is not allowed")
	s.patch(member, id, `[{"op":"replace","path":"/disk_format","value":"raw"}]`).is(403).
		says("Attribute disk_format can be only replaced for a queued image.")
}

func TestUploadAndDownload(t *testing.T) {
	s := start(t)
	id := s.make(member, rawImage)
	path := "/v2/images/" + id + "/file"
	s.do(member, "GET", path, "").is(204)
	s.do(member, "PUT", path, "x", "Content-Type", "text/plain").is(415)
	s.do(other, "PUT", path, "x", "Content-Type", "application/octet-stream").is(404).says("No image found with ID")
	data := strings.Repeat("0123456789", 100_000)
	s.upload(member, id, data).is(204)
	b := s.do(member, "GET", "/v2/images/"+id, "").object()
	require.Equal(t, "active", b["status"])
	require.Equal(t, 1e6, b["size"])
	require.Equal(t, 1e6, b["virtual_size"])

	a := s.do(member, "GET", path, "").is(200)
	require.Equal(t, data, a.raw)
	require.Equal(t, "application/octet-stream", a.header.Get("Content-Type"))
	require.Equal(t, "1000000", a.header.Get("Content-Length"))
	require.Equal(t, b["checksum"], a.header.Get("Content-MD5"))
	for header, want := range map[string][2]string{
		"bytes=0-4":            {"01234", "bytes 0-4/1000000"},
		"bytes=5-5":            {"5", "bytes 5-5/1000000"},
		"bytes=999990-":        {"0123456789", "bytes 999990-999999/1000000"},
		"bytes=999998-2000000": {"89", "bytes 999998-999999/1000000"},
		"bytes=-3":             {"789", "bytes 999997-999999/1000000"},
	} {
		a := s.do(member, "GET", path, "", "Range", header).is(206)
		require.Equal(t, want[0], a.raw, header)
		require.Equal(t, want[1], a.header.Get("Content-Range"), header)
		require.Equal(t, fmt.Sprint(len(want[0])), a.header.Get("Content-Length"), header)
	}
	require.Equal(t, data, s.do(member, "GET", path, "", "Range", "bytes=-2000000").is(206).raw)
	require.Equal(t, "23", s.do(member, "GET", path, "", "Content-Range", "bytes 2-3/*").is(206).raw)
	for header, status := range map[string]int{
		"bytes=1000000-": 416, "bytes=4-3": 416, "bytes=x-": 416, "bytes=-": 416, "lines=0-1": 416, "bytes=-0": 416,
		"bytes=+1-2": 416, "bytes=0-1,3-4": 400,
	} {
		s.do(member, "GET", path, "", "Range", header).is(status)
	}
	empty := s.make(member, rawImage)
	s.upload(member, empty, "").is(204)
	a = s.do(member, "GET", "/v2/images/"+empty+"/file", "").is(200)
	require.Equal(t, "0", a.header.Get("Content-Length"))
	require.Empty(t, a.raw)

	s.do(member, "POST", "/v2/images/"+id+"/actions/deactivate", "").is(204)
	s.do(member, "GET", path, "").is(403).says("The requested image has been deactivated. Image data download is forbidden.")
	s.do(boss, "GET", path, "").is(200)
	s.do(member, "POST", "/v2/images/"+id+"/actions/reactivate", "").is(204)
	s.do(member, "GET", path, "").is(200)
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
		s.upload(member, id, string(backed)).is(415).says(words)
		b := s.do(member, "GET", "/v2/images/"+id, "").object()
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
		b := s.do(member, "POST", path, `{"member":"b"}`).is(200).object()
		require.Equal(t, map[string]any{
			"member_id": "b", "image_id": id, "status": "pending", "schema": "/v2/schemas/member",
			"created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z",
		}, b)
		s.do(member, "POST", path, `{"member":"b"}`).is(409).says("Member b is duplicated for image " + id)
		s.do(member, "POST", path, `{}`).is(400).says("Member to be added not specified")
		s.do(member, "POST", path, `{"member":""}`).is(400).says("Member can't be empty")
		s.do(member, "POST", path, `[]`).is(400)
		s.do(other, "GET", "/v2/images/"+id, "").is(200)
		list := s.do(member, "GET", path, "").is(200).object()
		require.Equal(t, "/v2/schemas/members", list["schema"])
		require.Len(t, list["members"], 1)
		s.do(other, "GET", path+"/b", "").is(200)
		s.do(other, "GET", path+"/c", "").is(404).says("c not found in the member list of the image " + id)
		s.do(member, "PUT", path+"/b", `{"status":"accepted"}`).is(403).says("Not allowed to update members for image " + id)
		s.do(other, "PUT", path+"/b", `{"status":"maybe"}`).is(400).says(`Incorrect request: Status must be "pending", "accepted" or "rejected".`)
		s.do(other, "PUT", path+"/b", `{}`).is(400).says("Status not specified")
		require.Equal(t, "accepted", s.do(other, "PUT", path+"/b", `{"status":"accepted"}`).is(200).object()["status"])
		require.Len(t, s.do(other, "GET", "/v2/images", "").object()["images"], 1)
		s.do(other, "DELETE", path+"/b", "").is(403)
		s.do("c/member", "GET", path, "").is(404).says("Image " + id + " not found.")
		s.do(member, "DELETE", path+"/b", "").is(204)
		s.do(member, "DELETE", path+"/b", "").is(404)

		private := s.make(member, `{"visibility":"private"}`)
		path = "/v2/images/" + private + "/members"
		s.do(member, "POST", path, `{"member":"b"}`).is(403).says("Not allowed to create members for image " + private + ".")
		s.do(member, "GET", path, "").is(403).says("Not allowed to list members for image " + private + ": Only shared images have members.")
		s.do(member, "GET", path+"/b", "").is(404).says("Only shared images have members.")
		s.do(member, "PUT", path+"/b", `{"status":"accepted"}`).is(403).says("Not allowed to update members for image")
		s.do(member, "DELETE", path+"/b", "").is(403).says("Not allowed to delete members for image")
	})
}

func TestTextThatADatabaseDoesNotTakeIsRefused(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		id := s.make(member, rawImage)
		for _, bad := range []string{"%00", "%ff", "x%00y"} {
			s.do(member, "GET", "/v2/images/"+bad, "").is(404)
			s.do(member, "GET", "/v2/images/"+id+"/members/"+bad, "").is(404)
			s.do(member, "PUT", "/v2/images/"+id+"/tags/"+bad, "").is(400)
			s.do(member, "DELETE", "/v2/images/"+id+"/tags/"+bad, "").is(404)
			for _, name := range []string{"name=", "owner=", "tag=", "x=", "marker=", "x" + bad + "="} {
				s.do(member, "GET", "/v2/images?"+name+bad, "").is(400)
			}
		}
		s.do(member, "POST", "/v2/images/"+id+"/members", `{"member":"\u0000"}`).is(400)
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
		a := s.do(c.token, method, path, c.body, "Content-Type", c.contentType).is(c.status)
		if c.says != "" {
			a.says(c.says)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/image/v2", nil)
	require.NoError(t, err)
	req.Header.Set("X-Auth-Token", member)
	resp, err := http.DefaultTransport.RoundTrip(req) // follows nothing
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 302, resp.StatusCode)
	require.Equal(t, s.URL+"/image/v2/", resp.Header.Get("Location"))
	require.Equal(t, "/v2/images?name=x&limit=1", s.do(member, "GET", "/v2/images?name=x&limit=1", "").object()["first"])
}

func TestTags(t *testing.T) {
	s := start(t)
	id := s.make(member, rawImage)
	path := "/v2/images/" + id + "/tags/"
	s.do(member, "PUT", path+"x%2Fy%20z", "").is(204)
	s.do(member, "PUT", path+"x%2Fy%20z", "").is(204)
	require.Equal(t, []any{"x/y z"}, s.do(member, "GET", "/v2/images/"+id, "").object()["tags"])
	s.do(member, "PUT", path+strings.Repeat("x", 256), "").is(400)
	s.do(member, "DELETE", path+"none", "").is(404)
	s.do(member, "DELETE", path+"x%2Fy%20z", "").is(204)
	s.do(other, "PUT", path+"x", "").is(404).says("Image " + id + " not found.")
}

func (s *server) names(token, query string) []string {
	s.t.Helper()
	out := []string{}
	for _, i := range s.do(token, "GET", "/v2/images?"+strings.NewReplacer(" ", "%20", `"`, "%22").Replace(query), "").is(200).object()["images"].([]any) {
		out = append(out, i.(map[string]any)["name"].(string))
	}
	return out
}

func TestFiltersAndOrders(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		one := s.make(member, `{"name":"one","disk_format":"raw","container_format":"bare","tags":["t","u"],"os_distro":"debian","min_disk":1}`)
		s.upload(member, one, "12345").is(204)
		s.clock.advance(time.Minute)
		two := s.make(member, `{"name":"two, or so","disk_format":"qcow2","container_format":"bare","tags":["t"],"protected":true,"os_distro":"arch"}`)
		s.clock.advance(time.Minute)
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
			s.do(member, "GET", "/v2/images?"+query, "").is(400).says(words)
		}
		b := s.do(member, "GET", "/v2/images?limit=1&name=in:one,two", "").is(200).object()
		require.Equal(t, "/v2/schemas/images", b["schema"])
		require.Equal(t, "/v2/images?"+url.Values{"limit": {"1"}, "name": {"in:one,two"}}.Encode(), b["first"])
		require.Contains(t, b["next"], "/v2/images?")
		require.Contains(t, b["next"], "marker="+one)
		require.NotContains(t, s.do(member, "GET", "/v2/images", "").object(), "next")
		require.Equal(t, "/v2/images", s.do(member, "GET", "/v2/images", "").object()["first"])
	})
}

func TestSchemasAndInfo(t *testing.T) {
	s := start(t)
	b := s.do(member, "GET", "/v2/schemas/image", "").is(200).object()
	require.Equal(t, "image", b["name"])
	require.Equal(t, map[string]any{"type": "string"}, b["additionalProperties"])
	props := b["properties"].(map[string]any)
	shown := s.do(member, "POST", "/v2/images", rawImage).object()
	for k := range shown {
		require.Contains(t, props, k)
	}
	require.Equal(t, []any{nil, "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"}, props["disk_format"].(map[string]any)["enum"])
	for _, name := range []string{"images", "member", "members"} {
		require.Equal(t, name, s.do(member, "GET", "/v2/schemas/"+name, "").is(200).object()["name"])
	}
	s.do(member, "GET", "/v2/schemas/task", "").is(404)
	s.do(member, "GET", "/v2/info/stores", "").is(404).says("Multi backend is not supported at this site.")
	require.Equal(t, []any{"glance-direct"}, s.do(member, "GET", "/v2/info/import", "").is(200).object()["import-methods"].(map[string]any)["value"])
	use := s.do(member, "GET", "/v2/info/usage", "").is(200).object()["usage"].(map[string]any)
	require.Equal(t, map[string]any{"usage": 1.0, "limit": -1.0}, use["image_count_total"])
	id := shown["id"].(string)
	s.do(member, "POST", "/v2/images/"+id+"/import", `{"method":{"name":"web-download","uri":"http://169.254.169.254/"}}`).is(400).
		says("Unknown import method name 'web-download'.")
	require.Equal(t, []any{}, s.do(member, "GET", "/v2/images/"+id+"/tasks", "").is(200).object()["tasks"])
	s.do(member, "GET", "/v2/tasks", "").is(404)
	s.do(member, "PUT", "/v2/images/"+id, "x").is(405)
}

func TestASignedURLStandsForAToken(t *testing.T) {
	s := start(t)
	id, later := s.make(member, rawImage), s.make(member, rawImage)
	s.upload(member, id, "bytes").is(204)
	ctx := nephos.WithCaller(t.Context(), nephos.Service("compute", nephos.Caller{}))
	u, err := s.image.SignedURL(ctx, id, time.Minute)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(u, s.URL+"/image/signed/"+id+"?"), u)
	require.Equal(t, "bytes", s.do("", "GET", u, "").is(200).raw)
	require.Equal(t, "yt", s.do("", "GET", u, "", "Range", "bytes=1-2").is(206).raw)
	s.do("", "PUT", u, "x").is(403)
	s.do("", "GET", strings.Replace(u, id, later, 1), "").is(403)
	s.do("", "GET", strings.Replace(u, "expires=", "expires=9", 1), "").is(403)
	s.do("", "GET", "/signed/"+id, "").is(403)

	put, err := s.image.SignedUploadURL(ctx, later, time.Minute)
	require.NoError(t, err)
	s.do("", "GET", put, "").is(403)
	s.do("", "PUT", put, "snapshot").is(204)
	require.Equal(t, "snapshot", s.do(member, "GET", "/v2/images/"+later+"/file", "").is(200).raw)

	s.clock.advance(time.Minute)
	s.do("", "GET", u, "").is(403)
	_, err = s.image.SignedURL(nephos.WithCaller(t.Context(), nephos.Caller{ProjectID: "b", Roles: []string{"member", "reader"}}), id, time.Minute)
	require.ErrorIs(t, err, nephos.ErrNotFound)
}
