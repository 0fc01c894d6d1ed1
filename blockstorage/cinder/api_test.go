package cinder_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/blockstorage/cinder"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store/storetest"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Millisecond)
	return c.now
}

func (c *clock) After(time.Duration) <-chan time.Time { return nil }

// people is a verifier whose tokens are names.
type people map[string]nephos.Caller

func (p people) Verify(_ context.Context, token string) (nephos.Caller, error) {
	c, ok := p[token]
	if !ok {
		return c, nephos.Errorf(nephos.ErrUnauthenticated, "nobody")
	}
	return c, nil
}

const project = "0123456789abcdef0123456789abcdef"

var cast = people{
	"admin":    {UserID: "root", ProjectID: "ad", Roles: []string{"admin", "member", "reader"}},
	"member":   {UserID: "u", ProjectID: project, Roles: []string{"member", "reader"}},
	"reader":   {UserID: "r", ProjectID: project, Roles: []string{"reader"}},
	"stranger": {UserID: "x", ProjectID: "bad", Roles: []string{"member", "reader"}},
}

// server is the API over a real service on a fresh database and a fake pool.
type server struct {
	t     testing.TB
	url   string
	api   *httpapi.API
	svc   *blockstorage.Service
	queue *reconcile.Queue
	state *fake.State
}

func serve(t testing.TB) *server {
	t.Helper()
	c := &clock{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	enforcer, err := policy.New(policy.Base(), blockstorage.Rules())
	require.NoError(t, err)
	state := &fake.State{}
	pool, err := volume.NewPool(t.Context(), fake.New(fake.Config{State: state, TotalGiB: 5000}), volume.PoolOptions{})
	require.NoError(t, err)
	db := storetest.Open(t, c, blockstorage.Migrations())
	svc, err := blockstorage.New(blockstorage.Config{Store: db, Policy: enforcer, Pools: []*volume.Pool{pool}, Clock: c})
	require.NoError(t, err)
	queue := reconcile.New(reconcile.Config{Store: db, Clock: c})
	for _, k := range svc.Kinds() {
		queue.Add(k)
	}
	var hs *httptest.Server
	api := cinder.New(cinder.Config{Service: svc, HTTP: httpapi.Config{
		Verifier: cast, Clock: c, PublicURLFunc: func() string { return hs.URL },
	}})
	hs = httptest.NewServer(api)
	t.Cleanup(hs.Close)
	return &server{t: t, url: hs.URL, api: api, svc: svc, queue: queue, state: state}
}

func (s *server) settle() {
	s.t.Helper()
	require.NoError(s.t, s.queue.Settle(s.t.Context()))
}

// answer is a response, read whole.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

// do makes a request below /v3 in a microversion, "" for none.
func (s *server) do(token, version, method, path, body string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	if version != "" {
		req.Header.Set("OpenStack-API-Version", "volume "+version)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return answer{s.t, resp.StatusCode, resp.Header, string(b)}
}

// want checks the status.
func (a answer) want(status int) answer {
	a.t.Helper()
	require.Equal(a.t, status, a.status, a.body)
	return a
}

// fault checks the status, the fault's name and its message.
func (a answer) fault(status int, name, message string) {
	a.t.Helper()
	a.want(status)
	require.Equal(a.t, message, a.get(name, "message"), a.body)
	require.EqualValues(a.t, status, a.get(name, "code"))
}

// get returns a value inside the body.
func (a answer) get(path ...any) any {
	a.t.Helper()
	var v any
	require.NoError(a.t, json.Unmarshal([]byte(a.body), &v), a.body)
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}

func (a answer) text(path ...any) string {
	a.t.Helper()
	s, ok := a.get(path...).(string)
	require.True(a.t, ok, "%v is no text in %s", path, a.body)
	return s
}

// volume makes a volume and waits for it.
func (s *server) volume(body string) string {
	s.t.Helper()
	id := s.do("member", "3.67", "POST", "/v3/volumes", `{"volume": `+body+`}`).want(202).text("volume", "id")
	s.settle()
	require.Equal(s.t, "available", s.do("member", "", "GET", "/v3/volumes/"+id, "").want(200).text("volume", "status"))
	return id
}

func TestEveryRouteStatesItsRules(t *testing.T) {
	s := serve(t)
	require.NoError(t, httpapi.CheckRoutes(s.api.Routes()))
	known := map[string]bool{}
	for _, r := range blockstorage.Rules() {
		known[r.Name] = true
	}
	for _, route := range s.api.Routes() {
		for _, rule := range route.Rules {
			require.True(t, known[rule], "%s names %s, which is no rule", route.Pattern, rule)
		}
	}
}

func TestVersionsAreDiscovered(t *testing.T) {
	s := serve(t)
	root := s.do("", "", "GET", "/", "").want(300)
	require.Equal(t, "v3.0", root.text("versions", 0, "id"))
	require.Equal(t, "3.67", root.text("versions", 0, "version"))
	require.Equal(t, "3.0", root.text("versions", 0, "min_version"))
	require.Equal(t, s.url+"/v3/", root.text("versions", 0, "links", 1, "href"))
	s.do("", "", "GET", "/v3/", "").want(200)
	require.Equal(t, "volume 3.0", s.do("member", "", "GET", "/v3/types", "").want(200).header.Get("OpenStack-API-Version"))
	require.Equal(t, "volume 3.59", s.do("member", "3.59", "GET", "/v3/types", "").want(200).header.Get("OpenStack-API-Version"))
	s.do("member", "3.99", "GET", "/v3/types", "").want(406)
	s.do("", "", "GET", "/v3/types", "").want(401)
	s.do("member", "", "GET", "/v3/"+project+"/types", "").want(200)
	s.do("member", "", "GET", "/v3/abc/types", "").fault(400, "badRequest", "Malformed request url")
	for _, absent := range []string{"backups", "groups", "messages", "clusters", "nonsense"} {
		s.do("member", "3.67", "GET", "/v3/"+absent, "").want(404)
	}
}
