package sse_test

import (
	"bufio"
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
	"github.com/nephos-cloud/nephos/httpapi/apitest"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
	"github.com/nephos-cloud/nephos/watch"
	"github.com/nephos-cloud/nephos/watch/sse"
)

// tokens is a Verifier whose tokens can be revoked.
type tokens struct {
	mu sync.Mutex
	by apitest.People
}

func (v *tokens) Verify(ctx context.Context, token string) (nephos.Caller, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.by.Verify(ctx, token)
}

// beats is a clock whose heartbeats come when told.
type beats struct {
	nephos.WallClock
	c chan time.Time
}

func (b beats) After(time.Duration) <-chan time.Time { return b.c }

type fixture struct {
	url   string
	db    *store.DB
	valid *tokens
	beat  chan time.Time
}

func start(t *testing.T) *fixture {
	f := &fixture{db: storetest.Open(t, nil), beat: make(chan time.Time), valid: &tokens{by: apitest.People{
		"ann": {UserID: "ann", ProjectID: "p1", Roles: []string{"member", "reader"}},
	}}}
	enforcer, err := policy.New(policy.Base(), watch.Rules(), []policy.Rule{{Name: "os_compute_api:servers:show", Check: policy.RuleProjectReaderOrAdmin}})
	require.NoError(t, err)
	service, err := watch.New(watch.Config{Store: f.db, Policy: enforcer, Sources: []watch.Source{{
		Service: "compute", Resource: "server", List: func(context.Context, nephos.Page) ([]watch.Object, bool, error) {
			return []watch.Object{{ID: "s0", ProjectID: "p1"}}, false, nil
		},
	}}})
	require.NoError(t, err)
	server := httptest.NewServer(sse.New(sse.Config{Service: service, HTTP: httpapi.Config{
		Verifier: f.valid, PublicURL: "http://cloud.example/watch", Clock: beats{c: f.beat},
	}}))
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *fixture) emit(t *testing.T, id string) {
	require.NoError(t, f.db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return tx.Emit(ctx, store.Event{Service: "compute", Type: "server.update", ResourceID: id, ProjectID: "p1", RequestID: "req-1"}, nil)
	}))
}

// message is one event, or a comment.
type message struct{ id, event, data, comment string }

// stream reads messages.
type stream struct {
	t    *testing.T
	body io.ReadCloser
	in   *bufio.Scanner
}

func (f *fixture) get(t *testing.T, path string, headers ...string) *http.Response {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+path, nil)
	require.NoError(t, err)
	r.Header.Set("X-Auth-Token", "ann")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (f *fixture) open(t *testing.T, path string, headers ...string) *stream {
	resp := f.get(t, path, headers...)
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	s := &stream{t, resp.Body, bufio.NewScanner(resp.Body)}
	require.Equal(t, message{comment: "open"}, s.next())
	return s
}

func (s *stream) next() message {
	s.t.Helper()
	var m message
	for s.in.Scan() {
		line := s.in.Text()
		if line == "" {
			return m
		}
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "id":
			m.id = value
		case "event":
			m.event = value
		case "data":
			m.data = value
		default:
			m.comment = strings.TrimPrefix(line, ": ")
		}
	}
	require.NoError(s.t, s.in.Err())
	return message{comment: "end"}
}

func TestEventsStreamAndResume(t *testing.T) {
	f := start(t)
	s := f.open(t, "/v1/events?types=compute.server.*&snapshot=true")
	m := s.next()
	require.Equal(t, "snapshot", m.event)
	require.Contains(t, m.data, `"resource_id":"s0"`)
	m = s.next()
	require.Equal(t, "synced", m.event)
	synced := m.id
	require.NotEmpty(t, synced)
	f.emit(t, "s1")
	m = s.next()
	require.Equal(t, "compute.server.update", m.event)
	var body map[string]any
	require.NoError(t, json.Unmarshal([]byte(m.data), &body))
	require.Equal(t, "s1", body["resource_id"])
	require.Equal(t, "p1", body["project_id"])
	require.Equal(t, "req-1", body["request_id"])
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`, body["time"])
	s.body.Close()
	f.emit(t, "s2")
	require.Contains(t, f.open(t, "/v1/events?since="+m.id).next().data, `"s2"`)
	// A client that comes back repeats its URL and names what it saw last.
	require.Contains(t, f.open(t, "/v1/events?snapshot=true&since="+synced, "Last-Event-ID", m.id).next().data, `"s2"`)
}

func TestHeartbeatsKeepTheStreamAndTheToken(t *testing.T) {
	f := start(t)
	s := f.open(t, "/v1/events?types=network")
	f.beat <- time.Time{}
	require.Equal(t, message{comment: "heartbeat"}, s.next())
	f.emit(t, "s1") // not for this client
	var m message
	for m.event == "" { // by one of the beats the stream has looked at it
		f.beat <- time.Time{}
		m = s.next()
		require.Contains(t, []string{"heartbeat", ""}, m.comment)
	}
	require.Equal(t, "bookmark", m.event)
	require.NotEmpty(t, m.id)
}

func TestARevokedTokenEndsTheStream(t *testing.T) {
	f := start(t)
	s := f.open(t, "/v1/events")
	f.valid.mu.Lock()
	delete(f.valid.by, "ann")
	f.valid.mu.Unlock()
	f.beat <- time.Time{}
	m := s.next()
	require.Equal(t, "error", m.event)
	require.Contains(t, m.data, `"code":401`)
	require.Equal(t, "end", s.next().comment)
}

func TestBadRequests(t *testing.T) {
	f := start(t)
	for path, status := range map[string]int{
		"/v1/events?types=Nonsense":                          400,
		"/v1/events?since=nonsense":                          400,
		"/v1/events?snapshot=perhaps":                        400,
		"/v1/events?colour=blue":                             400,
		"/v1/events?since=a&since=b":                         400,
		"/v1/events/s1":                                      404,
		"/v1/events?resource_id=" + strings.Repeat("x", 256): 400,
	} {
		resp := f.get(t, path)
		require.Equal(t, status, resp.StatusCode, path)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		if status == 400 {
			require.Contains(t, string(body), `{"error":{"code":400,`, path)
		}
	}
	require.Equal(t, 401, f.get(t, "/v1/events", "X-Auth-Token", "nobody").StatusCode)
	require.Equal(t, 400, f.get(t, "/v1/events", "Last-Event-ID", "nonsense").StatusCode)
	// An expired token is told from one that never was.
	s := f.open(t, "/v1/events")
	f.emit(t, "s1")
	id := s.next().id
	f.emit(t, "s2")
	require.NoError(t, f.db.Prune(t.Context(), time.Now().Add(time.Hour)))
	resp := f.get(t, "/v1/events?since="+id)
	require.Equal(t, 410, resp.StatusCode)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), "snapshot=true")
}

func TestDiscovery(t *testing.T) {
	f := start(t)
	resp := f.get(t, "/")
	require.Equal(t, 300, resp.StatusCode)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.JSONEq(t, `{"versions": [{"id": "v1.0", "status": "CURRENT", "links": [
		{"rel": "self", "href": "http://cloud.example/watch/v1/"}, {"rel": "events", "href": "http://cloud.example/watch/v1/events"}]}]}`, string(body))
	require.Equal(t, 200, f.get(t, "/v1/").StatusCode)
}
