package httpapi

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

// shelf is a thing with a status whose changes wake the one who follows it. What
// is sent to changed is the status from then on, and nothing if the thing is
// gone: the follower takes the change over when it wakes, so that it never sees
// one before.
type shelf struct {
	mu      sync.Mutex
	status  string
	shown   int
	queries []string
	changed chan string
	follows int
}

func (s *shelf) show(r *Request) (*Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown++
	s.queries = append(s.queries, r.URL.RawQuery)
	if s.status == "" {
		return nil, nephos.NotFound("thing", "one")
	}
	return OK(map[string]any{"thing": map[string]string{"id": r.PathValue("id"), "status": s.status}}), nil
}

func (s *shelf) follow(_ context.Context, id string) (func(context.Context) error, func(), error) {
	if id != "one" {
		panic("following " + id)
	}
	s.mu.Lock()
	s.follows++
	s.mu.Unlock()
	return func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case status := <-s.changed:
				s.mu.Lock()
				s.status = status
				s.mu.Unlock()
				return nil
			}
		}, func() {
			s.mu.Lock()
			s.follows--
			s.mu.Unlock()
		}, nil
}

// manual is a clock whose timers fire when told.
type manual struct {
	nephos.WallClock
	fire chan time.Time
	set  chan time.Duration
}

func (m manual) After(d time.Duration) <-chan time.Time {
	m.set <- d
	return m.fire
}

func waiting(s *shelf, clock nephos.Clock) *API {
	a := New(Config{Service: "compute", Verifier: someTokens, Follow: s.follow, Clock: clock})
	a.Add(
		Route{Pattern: "GET /things/{id}", Handler: s.show, Wait: &Wait{Field: "thing.status", States: []string{"BUILD", "ACTIVE", "ERROR"}, End: []string{"ERR*"}}},
		Route{Pattern: "GET /others/{id}", Handler: s.show},
	)
	return a
}

func TestWaitAnswersWhenTheStateIsReached(t *testing.T) {
	for _, c := range []struct{ query, becomes, outcome, status string }{
		{"wait=ACTIVE", "ACTIVE", "reached", "ACTIVE"},
		{"wait=active&x=y", "ACTIVE", "reached", "ACTIVE"},
		{"wait=ERROR,ACTIVE&wait_timeout=600", "ACTIVE", "reached", "ACTIVE"},
		{"wait=ACTIVE", "ERROR", "ended", "ERROR"},
		{"wait=DELETED", "", "reached", ""},
		{"wait=ACTIVE", "", "", ""},
	} {
		t.Run(c.query+" "+c.becomes, func(t *testing.T) {
			s := &shelf{status: "BUILD", changed: make(chan string)}
			a := waiting(s, nil)
			answer := make(chan *httptest.ResponseRecorder)
			go func() { answer <- do(a, "GET /things/one?"+c.query, "") }()
			s.changed <- "BUILD" // a change that leaves the status
			s.changed <- c.becomes
			w := <-answer
			require.Equal(t, c.outcome, w.Header().Get("Nephos-Wait"))
			if c.becomes == "" {
				require.Equal(t, 404, w.Code)
			} else {
				require.Equal(t, 200, w.Code)
				require.JSONEq(t, `{"thing": {"id": "one", "status": "`+c.status+`"}}`, w.Body.String())
			}
			require.Equal(t, 3, s.shown)
			require.Zero(t, s.follows)
			for _, q := range s.queries {
				require.NotContains(t, q, "wait")
			}
		})
	}
}

func TestWaitEndsWithItsTime(t *testing.T) {
	s := &shelf{status: "BUILD", changed: make(chan string)}
	clock := manual{fire: make(chan time.Time), set: make(chan time.Duration, 1)}
	a := waiting(s, clock)
	answer := make(chan *httptest.ResponseRecorder)
	go func() { answer <- do(a, "GET /things/one?wait=ACTIVE&wait_timeout=7", "") }()
	require.Equal(t, 7*time.Second, <-clock.set)
	clock.fire <- time.Time{}
	w := <-answer
	require.Equal(t, 200, w.Code)
	require.Equal(t, "timeout", w.Header().Get("Nephos-Wait"))
	require.JSONEq(t, `{"thing": {"id": "one", "status": "BUILD"}}`, w.Body.String())
	w = do(waiting(s, nil), "GET /things/one?wait=ACTIVE&wait_timeout=0", "")
	require.Equal(t, "timeout", w.Header().Get("Nephos-Wait"))
	w = do(waiting(s, nil), "GET /things/one?wait=BUILD", "")
	require.Equal(t, "reached", w.Header().Get("Nephos-Wait"))
}

func TestWaitEndsWithTheClient(t *testing.T) {
	s := &shelf{status: "BUILD", changed: make(chan string)}
	a := waiting(s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := httptest.NewRequestWithContext(ctx, "GET", "/things/one?wait=ACTIVE", nil)
		r.Header.Set("X-Auth-Token", "good")
		a.ServeHTTP(httptest.NewRecorder(), r)
	}()
	s.changed <- "BUILD"
	cancel()
	<-done
	require.Zero(t, s.follows)
}

func TestWaitIsCheckedAndChangesNothingElse(t *testing.T) {
	s := &shelf{status: "BUILD", changed: make(chan string)}
	a := waiting(s, nil)
	for _, query := range []string{
		"wait=", "wait=NONSENSE", "wait=ACTIVE,", "wait=ACTIVE&wait_timeout=-1", "wait=ACTIVE&wait_timeout=601",
		"wait=ACTIVE&wait_timeout=soon", "wait=ACTIVE&wait=ERROR", "wait=ACTIVE&wait_timeout=1&wait_timeout=2",
	} {
		w := do(a, "GET /things/one?"+query, "")
		require.Equal(t, 400, w.Code, query)
		require.Contains(t, w.Body.String(), "badRequest", query)
	}
	require.Zero(t, s.shown)
	for _, path := range []string{"/things/one", "/things/one?wait_timeout=soon", "/others/one?wait=ACTIVE"} {
		w := do(a, "GET "+path, "")
		require.Equal(t, 200, w.Code, path)
		require.Empty(t, w.Header().Get("Nephos-Wait"))
	}
	a.Add(Route{Pattern: "GET /bare/{id}", Wait: &Wait{Field: "thing.status", States: []string{"ACTIVE"}}, Handler: func(*Request) (*Response, error) {
		return OK(map[string]any{"thing": map[string]string{}}), nil
	}})
	require.Equal(t, 400, do(a, "GET /bare/one?wait=ACTIVE", "").Code)
	require.Equal(t, []string{"", "wait_timeout=soon", "wait=ACTIVE"}, s.queries)
}
