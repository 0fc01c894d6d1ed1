package cinder_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/blockstorage/cinder"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/apitest"
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

const project = "0123456789abcdef0123456789abcdef"

var cast = apitest.People{
	"admin":    {UserID: "root", ProjectID: "ad", Roles: []string{"admin", "member", "reader"}},
	"member":   {UserID: "u", ProjectID: project, Roles: []string{"member", "reader"}},
	"reader":   {UserID: "r", ProjectID: project, Roles: []string{"reader"}},
	"stranger": {UserID: "x", ProjectID: "bad", Roles: []string{"member", "reader"}},
}

// server is the API over a real service on a fresh database and a fake pool.
type server struct {
	*apitest.Server
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
	s := &server{state: state, queue: reconcile.New(reconcile.Config{Store: db, Clock: c})}
	s.svc, err = blockstorage.New(blockstorage.Config{Store: db, Policy: enforcer, Pools: []*volume.Pool{pool}, Clock: c})
	require.NoError(t, err)
	for _, k := range s.svc.Kinds() {
		s.queue.Add(k)
	}
	s.Server = apitest.Serve(t, "volume", func(url string) http.Handler {
		s.api = cinder.New(cinder.Config{Service: s.svc, HTTP: httpapi.Config{Verifier: cast, Clock: c, PublicURL: url}})
		return s.api
	})
	return s
}

func (s *server) settle() {
	s.T.Helper()
	require.NoError(s.T, s.queue.Settle(s.T.Context()))
}

// volume makes a volume and waits for it.
func (s *server) volume(body string) string {
	s.T.Helper()
	id := s.Do("member", "POST 3.67", "/v3/volumes", `{"volume": `+body+`}`).Want(202).Text("volume", "id")
	s.settle()
	require.Equal(s.T, "available", s.Do("member", "GET", "/v3/volumes/"+id, "").Want(200).Text("volume", "status"))
	return id
}

func TestEveryRouteStatesItsRules(t *testing.T) {
	apitest.RulesExist(t, serve(t).api.Routes(), blockstorage.Rules())
}

func TestVersionsAreDiscovered(t *testing.T) {
	s := serve(t)
	root := s.Do("", "GET", "/", "").Want(300)
	require.Equal(t, "v3.0", root.Text("versions", 0, "id"))
	require.Equal(t, "3.67", root.Text("versions", 0, "version"))
	require.Equal(t, "3.0", root.Text("versions", 0, "min_version"))
	require.Equal(t, s.URL+"/v3/", root.Text("versions", 0, "links", 1, "href"))
	s.Do("", "GET", "/v3/", "").Want(200)
	require.Equal(t, "volume 3.0", s.Do("member", "GET", "/v3/types", "").Want(200).Header.Get("OpenStack-API-Version"))
	require.Equal(t, "volume 3.59", s.Do("member", "GET 3.59", "/v3/types", "").Want(200).Header.Get("OpenStack-API-Version"))
	s.Do("member", "GET 3.99", "/v3/types", "").Want(406)
	s.Do("", "GET", "/v3/types", "").Want(401)
	s.Do("member", "GET", "/v3/"+project+"/types", "").Want(200)
	s.Do("member", "GET", "/v3/abc/types", "").Fault(400, "Malformed request url")
	for _, absent := range []string{"backups", "groups", "messages", "clusters", "nonsense"} {
		s.Do("member", "GET 3.67", "/v3/"+absent, "").Want(404)
	}
}
