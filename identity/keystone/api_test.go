package keystone_test

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
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity"
	"github.com/nephos-cloud/nephos/identity/keystone"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store/storetest"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
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

// server is the API over a real service on a fresh database.
type server struct {
	t     testing.TB
	url   string
	api   *httpapi.API
	svc   *identity.Service
	clock *clock
}

// serve starts a server; a nil verifier means real tokens.
func serve(t testing.TB, v httpapi.Verifier) *server {
	t.Helper()
	c := &clock{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	enforcer, err := policy.New(policy.Base(), identity.Rules())
	require.NoError(t, err)
	svc, err := identity.New(identity.Config{
		Store: storetest.Open(t, c, identity.Migrations()), Policy: enforcer, Clock: c, BcryptCost: 4,
	})
	require.NoError(t, err)
	t.Cleanup(svc.Close)
	var hs *httptest.Server
	api := keystone.New(keystone.Config{Service: svc, HTTP: httpapi.Config{
		Verifier: v, Clock: c, PublicURLFunc: func() string { return hs.URL },
	}})
	hs = httptest.NewServer(api)
	t.Cleanup(hs.Close)
	return &server{t: t, url: hs.URL, api: api, svc: svc, clock: c}
}

// answer is a response, read whole.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

// do makes a request with the given token; a body is sent as it is.
func (s *server) do(method, path, token, body string, header ...string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
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

// fault checks the status and the message.
func (a answer) fault(status int, message string) {
	a.t.Helper()
	a.want(status)
	require.Equal(a.t, message, a.get("error", "message"))
	require.EqualValues(a.t, status, a.get("error", "code"))
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

// text is get for text.
func (a answer) text(path ...any) string {
	a.t.Helper()
	s, ok := a.get(path...).(string)
	require.True(a.t, ok, "%v is no text in %s", path, a.body)
	return s
}

var cast = people{
	"stranger": {UserID: "s"}, // an unscoped token
	"admin":    {UserID: "root", ProjectID: "p", Roles: []string{"admin"}},
	"member":   {UserID: "u", ProjectID: "p", Roles: []string{"member", "reader"}},
}

func TestEveryRouteStatesItsRules(t *testing.T) {
	s := serve(t, cast)
	require.NoError(t, httpapi.CheckRoutes(s.api.Routes()))
	known := map[string]bool{}
	for _, r := range identity.Rules() {
		known[r.Name] = true
	}
	for _, route := range s.api.Routes() {
		for _, rule := range route.Rules {
			require.True(t, known[rule], "%s names %s, which is no rule", route.Pattern, rule)
		}
	}
}
