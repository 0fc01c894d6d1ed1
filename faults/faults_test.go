package faults_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/bus"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/faults"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/apitest"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/reconcile"
)

var people = apitest.People{
	"ann":  {UserID: "ann", ProjectID: "aaa", Roles: []string{"member", "reader"}},
	"root": {UserID: "root", ProjectID: "bbb", Roles: []string{"admin"}},
}

// compute is an API with a few of Nova's routes, which counts its work.
func compute(set *faults.Set, done *int) *httpapi.API {
	a := httpapi.New(httpapi.Config{Service: "compute", Verifier: people, Around: set.Around("compute")})
	work := func(*httpapi.Request) (*httpapi.Response, error) {
		*done++
		return httpapi.OK(map[string]string{"it": "worked"}), nil
	}
	for _, p := range []string{
		"GET /v2.1/{project_id?}/servers", "POST /v2.1/{project_id?}/servers", "GET /v2.1/{project_id?}/servers/{id}",
		"POST /v2.1/{project_id?}/servers/{id}/action", "GET /v2.1/{project_id?}/flavors/{id}",
	} {
		a.Add(httpapi.Route{Pattern: p, Handler: work})
	}
	return a
}

func do(h http.Handler, token, method, path, body string) (w *httptest.ResponseRecorder, dropped bool) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("X-Auth-Token", token)
	r.Header.Set("Content-Type", "application/json")
	w = httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil {
			dropped = true
		}
	}()
	h.ServeHTTP(w, r)
	return w, false
}

func TestAnAPIErrorComesInTheServicesDialect(t *testing.T) {
	set := faults.New(faults.Config{})
	done := 0
	a := compute(set, &done)
	set.MustAdd(faults.Rule{Point: faults.API, Effect: faults.Error, Service: "compute", Operation: "POST /servers", Status: 503, Message: "Not now.", RetryAfter: 3, Skip: 1, Count: 2})
	var codes []int
	for range 5 {
		w, _ := do(a, "ann", "POST", "/v2.1/servers", "{}")
		codes = append(codes, w.Code)
		if w.Code == 503 {
			require.JSONEq(t, `{"serviceUnavailable": {"code": 503, "message": "Not now."}}`, w.Body.String())
			require.Equal(t, "3", w.Header().Get("Retry-After"))
		}
	}
	require.Equal(t, []int{200, 503, 503, 200, 200}, codes)
	require.Equal(t, 3, done)
	rules := set.Rules()
	require.Equal(t, 5, rules[0].Seen)
	require.Equal(t, 2, rules[0].Hits)
}

func TestWhatARuleMatches(t *testing.T) {
	for _, c := range []struct {
		rule    faults.Rule
		yes, no []string // token method path body
	}{
		{faults.Rule{}, []string{"ann GET /v2.1/servers"}, nil},
		{faults.Rule{Service: "network"}, nil, []string{"ann GET /v2.1/servers"}},
		{faults.Rule{Operation: "GET"}, []string{"ann GET /v2.1/servers", "ann GET /v2.1/flavors/1"}, []string{"ann POST /v2.1/servers"}},
		{faults.Rule{Operation: "/servers"}, []string{"ann GET /v2.1/servers", "ann POST /v2.1/aaa/servers"}, []string{"ann GET /v2.1/servers/1"}},
		{faults.Rule{Operation: "GET /servers/{server_id}"}, []string{"ann GET /v2.1/servers/1", "ann GET /v2.1/aaa/servers/1"}, []string{"ann GET /v2.1/servers", "ann GET /v2.1/flavors/1"}},
		{faults.Rule{Operation: "GET /v2.1/*/1"}, []string{"ann GET /v2.1/servers/1", "ann GET /v2.1/flavors/1"}, []string{"ann GET /v2.1/servers/2"}},
		{faults.Rule{Resource: "s1"}, []string{"ann GET /v2.1/servers/s1"}, []string{"ann GET /v2.1/servers/s2", "ann GET /v2.1/servers"}},
		{faults.Rule{Project: "aaa"}, []string{"ann GET /v2.1/servers"}, []string{"root GET /v2.1/servers"}},
		{faults.Rule{User: "root"}, []string{"root GET /v2.1/servers"}, []string{"ann GET /v2.1/servers"}},
		{faults.Rule{Action: "os-stop"}, []string{`ann POST /v2.1/servers/s1/action {"os-stop":null}`}, []string{`ann POST /v2.1/servers/s1/action {"os-start":null}`, "ann GET /v2.1/servers"}},
	} {
		set := faults.New(faults.Config{})
		done := 0
		a := compute(set, &done)
		c.rule.Point, c.rule.Effect, c.rule.Status = faults.API, faults.Error, 418
		set.MustAdd(c.rule)
		try := func(text string) int {
			f := append(strings.Fields(text), "")
			w, _ := do(a, f[0], f[1], f[2], f[3])
			return w.Code
		}
		for _, text := range c.yes {
			require.Equal(t, 418, try(text), "%v: %s", c.rule, text)
		}
		for _, text := range c.no {
			require.Equal(t, 200, try(text), "%v: %s", c.rule, text)
		}
	}
}

func TestConnectionsAreDroppedBeforeTheWorkOrAfter(t *testing.T) {
	for after, want := range map[bool]int{false: 0, true: 1} {
		set := faults.New(faults.Config{})
		done := 0
		a := compute(set, &done)
		set.MustAdd(faults.Rule{Point: faults.API, Effect: faults.Drop, After: after})
		_, dropped := do(a, "ann", "POST", "/v2.1/servers", "{}")
		require.True(t, dropped)
		require.Equal(t, want, done)
	}
}

// asked is a clock that notes how long is waited, and lets it pass.
type asked struct {
	nephos.WallClock
	waits *[]time.Duration
}

func (a asked) After(d time.Duration) <-chan time.Time {
	*a.waits = append(*a.waits, d)
	c := make(chan time.Time, 1)
	c <- time.Time{}
	return c
}

func TestLatenciesAddUpByTheCloudsClock(t *testing.T) {
	var waits []time.Duration
	set := faults.New(faults.Config{})
	set.Attach(asked{waits: &waits}, nil)
	done := 0
	a := compute(set, &done)
	set.MustAdd(
		faults.Rule{Point: faults.API, Effect: faults.Latency, Delay: time.Minute},
		faults.Rule{Point: faults.API, Effect: faults.Error, Count: 1},
		faults.Rule{Point: faults.API, Effect: faults.Latency, Delay: time.Second},
	)
	w, _ := do(a, "ann", "GET", "/v2.1/servers", "")
	require.Equal(t, 503, w.Code)
	w, _ = do(a, "ann", "GET", "/v2.1/servers", "")
	require.Equal(t, 200, w.Code)
	require.Equal(t, []time.Duration{61 * time.Second, 61 * time.Second}, waits)
}

func TestChanceFollowsFromTheSeed(t *testing.T) {
	run := func(seed uint64) (hits string) {
		set := faults.New(faults.Config{Seed: seed})
		set.MustAdd(faults.Rule{Point: faults.Driver, Effect: faults.Error, Probability: 0.5})
		for range 64 {
			if _, err := set.Intercept("h1")(t.Context(), driver.Call{}); err != nil {
				hits += "x"
			} else {
				hits += "."
			}
		}
		return hits
	}
	require.Equal(t, run(1), run(1))
	require.NotEqual(t, run(1), run(2))
	require.Contains(t, run(1), "x")
	require.Contains(t, run(1), ".")
}

func TestDriversFail(t *testing.T) {
	set := faults.New(faults.Config{})
	set.MustAdd(
		faults.Rule{Point: faults.Driver, Effect: faults.Error, Service: "hypervisor", Operation: "Ens*", Host: "h1", Resource: "s1", Kind: "unavailable", Message: "no power", After: true},
		faults.Rule{Point: faults.Driver, Effect: faults.Error, Service: "volume", Operation: "Create"},
	)
	ask := func(host string, c driver.Call) (bool, error) { return set.Intercept(host)(t.Context(), c) }
	after, err := ask("h1", driver.Call{Kind: "hypervisor", Method: "Ensure", ID: "s1"})
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	require.ErrorContains(t, err, "no power")
	require.True(t, after)
	for _, other := range []driver.Call{
		{Kind: "hypervisor", Method: "Ensure", ID: "s2"}, {Kind: "hypervisor", Method: "Start", ID: "s1"}, {Kind: "network", Method: "EnsurePort", ID: "s1"},
	} {
		_, err = ask("h1", other)
		require.NoError(t, err)
	}
	_, err = ask("h2", driver.Call{Kind: "hypervisor", Method: "Ensure", ID: "s1"})
	require.NoError(t, err)
	_, err = ask("", driver.Call{Kind: "volume", Method: "Create"})
	require.Error(t, err)
	require.NotErrorIs(t, err, nephos.ErrUnavailable)
}

// delivered takes all reports that wait on the bus.
func delivered(t *testing.T, b bus.Bus) (values []string) {
	one := b.(interface {
		DeliverOne(context.Context, func(context.Context, string, []byte) error) (bool, error)
	})
	for {
		did, err := one.DeliverOne(t.Context(), func(_ context.Context, host string, value []byte) error {
			values = append(values, host+":"+string(value))
			return nil
		})
		require.NoError(t, err)
		if !did {
			return values
		}
	}
}

func TestMessagesAreLostAndDoubled(t *testing.T) {
	set := faults.New(faults.Config{})
	b := set.Wire(bus.NewMemory(nil))
	ctx := t.Context()
	set.MustAdd(
		faults.Rule{Point: faults.Bus, Effect: faults.Lose, Operation: "report", Resource: "s1", Count: 1},
		faults.Rule{Point: faults.Bus, Effect: faults.Double, Operation: "report", Resource: "s2", Count: 1},
		faults.Rule{Point: faults.Bus, Effect: faults.Lose, Operation: "put", Host: "h2", Count: 1},
		faults.Rule{Point: faults.Bus, Effect: faults.Lose, Operation: "ask", Host: "h3"},
	)
	for _, id := range []string{"s1", "s2", "s3"} {
		require.NoError(t, b.Report(ctx, "h1", "server/"+id, []byte(id)))
	}
	require.ElementsMatch(t, []string{"h1:s2", "h1:s2", "h1:s3"}, delivered(t, b))
	<-b.Lost() // so that the controllers publish again
	require.NoError(t, b.Put(ctx, "h2", "server/s1", bus.Version{}, []byte("one")))
	<-b.Lost()
	require.NoError(t, b.Put(ctx, "h2", "server/s2", bus.Version{}, []byte("two")))
	w, err := b.Watch(ctx, "h2")
	require.NoError(t, err)
	defer w.Close()
	entries, err := w.Next(ctx)
	require.NoError(t, err)
	require.Equal(t, []bus.Entry{{Key: "server/s2", Value: []byte("two")}}, entries)
	_, err = b.Ask(ctx, "h3", "q", nil)
	require.ErrorIs(t, err, nephos.ErrUnavailable)
}

func TestADeadHostIsSilentUntilItLives(t *testing.T) {
	set := faults.New(faults.Config{})
	b := set.Wire(bus.NewMemory(nil))
	ctx := t.Context()
	set.MustAdd(faults.Rule{ID: "off", Point: faults.Host, Effect: faults.Dead, Host: "h1"})
	require.NoError(t, b.Report(ctx, "h1", "", []byte("beat")))
	require.NoError(t, b.Report(ctx, "h1", "server/s1", []byte("active")))
	require.NoError(t, b.Report(ctx, "h2", "server/s2", []byte("active")))
	require.NoError(t, b.Put(ctx, "h1", "server/s3", bus.Version{}, []byte("three")))
	require.Equal(t, []string{"h2:active"}, delivered(t, b))
	for _, err := range []error{
		func() error { _, err := b.Ask(ctx, "h1", "q", nil); return err }(),
		func() error { _, err := b.Dial(ctx, "h1", "q", nil); return err }(),
	} {
		require.ErrorIs(t, err, nephos.ErrUnavailable)
	}
	require.NoError(t, set.Remove("off"))
	require.Equal(t, []string{"h1:active"}, delivered(t, b)) // no old heartbeat
	w, err := b.Watch(ctx, "h1")
	require.NoError(t, err)
	defer w.Close()
	entries, err := w.Next(ctx)
	require.NoError(t, err)
	require.Equal(t, "server/s3", entries[0].Key)
}

func TestCrashPoints(t *testing.T) {
	set := faults.New(faults.Config{})
	var passed []string
	point := set.CrashPoint(func(name string) { passed = append(passed, name) }, nil)
	point("before compute.server")
	set.MustAdd(faults.Rule{Point: faults.Step, Effect: faults.Crash, Operation: "after compute.*", Count: 1})
	point("before compute.server")
	require.PanicsWithValue(t, reconcile.Crash{At: "after compute.server"}, func() { point("after compute.server") })
	point("after compute.server")
	require.Equal(t, []string{"before compute.server", "before compute.server", "after compute.server"}, passed)
	require.Equal(t, map[string]int{"before compute.server": 2, "after compute.server": 2}, set.Steps())
}

func TestRulesThatMeanNothingAreRefused(t *testing.T) {
	for field, r := range map[string]faults.Rule{
		"point":       {Effect: faults.Error},
		"effect":      {Point: faults.API, Effect: faults.Crash},
		"service":     {Point: faults.API, Effect: faults.Error, Service: "nova"},
		"operation":   {Point: faults.API, Effect: faults.Error, Operation: "FETCH /servers"},
		"action":      {Point: faults.Driver, Effect: faults.Error, Action: "os-stop"},
		"host":        {Point: faults.Host, Effect: faults.Dead},
		"status":      {Point: faults.API, Effect: faults.Error, Status: 200},
		"retry_after": {Point: faults.API, Effect: faults.Error, RetryAfter: -1},
		"message":     {Point: faults.API, Effect: faults.Drop, Message: "hm"},
		"kind":        {Point: faults.Driver, Effect: faults.Error, Kind: "bad luck"},
		"delay":       {Point: faults.API, Effect: faults.Latency},
		"after":       {Point: faults.API, Effect: faults.Latency, Delay: 1, After: true},
		"count":       {Point: faults.API, Effect: faults.Error, Count: -1},
		"probability": {Point: faults.API, Effect: faults.Error, Probability: 1.5},
		"id":          {Point: faults.API, Effect: faults.Error, ID: "a/b"},
		"resource":    {Point: faults.Step, Effect: faults.Crash, Resource: "s1"},
		"project_id":  {Point: faults.Bus, Effect: faults.Lose, Project: "p1"},
	} {
		err := r.Validate()
		require.ErrorIs(t, err, nephos.ErrInvalid, field)
		var e *nephos.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, field, e.Field, err)
	}
	set := faults.New(faults.Config{})
	set.MustAdd(faults.Rule{ID: "one", Point: faults.API, Effect: faults.Error})
	_, err := set.Add(faults.Rule{ID: "one", Point: faults.API, Effect: faults.Error})
	require.ErrorIs(t, err, nephos.ErrConflict)
	require.ErrorIs(t, set.Remove("two"), nephos.ErrNotFound)
}

func TestTheAPIIsForAdmins(t *testing.T) {
	set := faults.New(faults.Config{})
	enforcer, err := policy.New(policy.Base(), faults.Rules())
	require.NoError(t, err)
	api := set.API(enforcer, httpapi.Config{Verifier: people})
	require.NoError(t, httpapi.CheckRoutes(api.Routes()))
	for _, r := range api.Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		w, _ := do(api, "ann", method, strings.ReplaceAll(path, "{id}", "one"), "{}")
		require.Equal(t, 403, w.Code, r.Pattern)
		w, _ = do(api, "nobody", method, strings.ReplaceAll(path, "{id}", "one"), "{}")
		require.Equal(t, 401, w.Code, r.Pattern)
	}
	w, _ := do(api, "root", "POST", "/v1/rules", `{"rule": {"id": "one", "point": "api", "effect": "latency", "service": "compute", "delay_ms": 1.5, "count": 2}}`)
	require.Equal(t, 201, w.Code, w.Body)
	require.JSONEq(t, `{"rule": {"id": "one", "point": "api", "effect": "latency", "service": "compute", "delay_ms": 1.5, "count": 2, "seen": 0, "hits": 0}}`, w.Body.String())
	require.Equal(t, 1500*time.Microsecond, set.Rules()[0].Delay)
	for _, body := range []string{
		``, `{}`, `{"rule": null}`, `{"rule": {}}`, `{"rule": {"point": "api", "effect": "error", "colour": "red"}}`,
		`{"rule": {"point": "api", "effect": "error", "count": "2"}}`, `{"rule": {"point": "api", "effect": "latency", "delay_ms": 1e300}}`,
		`{"rule": {"point": "api", "effect": "error"}, "rules": []}`, `[]`,
	} {
		w, _ := do(api, "root", "POST", "/v1/rules", body)
		require.Equal(t, 400, w.Code, "%s: %s", body, w.Body)
	}
	w, _ = do(api, "root", "POST", "/v1/rules", `{"rule": {"id": "one", "point": "api", "effect": "error"}}`)
	require.Equal(t, 409, w.Code)
	w, _ = do(api, "root", "GET", "/v1/rules/one", "")
	require.Equal(t, 200, w.Code)
	w, _ = do(api, "root", "DELETE", "/v1/rules/one", "")
	require.Equal(t, 204, w.Code)
	w, _ = do(api, "root", "DELETE", "/v1/rules/one", "")
	require.Equal(t, 404, w.Code)
	set.MustAdd(faults.Rule{Point: faults.API, Effect: faults.Error})
	w, _ = do(api, "root", "POST", "/v1/reset", `{"seed": 7}`)
	require.Equal(t, 204, w.Code)
	w, _ = do(api, "root", "GET", "/v1/rules", "")
	require.JSONEq(t, `{"rules": []}`, w.Body.String())
	w, _ = do(api, "root", "GET", "/v1/steps", "")
	require.JSONEq(t, `{"steps": {}}`, w.Body.String())
}

func TestASetIsSafeForConcurrentUse(t *testing.T) {
	set := faults.New(faults.Config{})
	b := set.Wire(bus.NewMemory(nil))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				r, err := set.Add(faults.Rule{Point: faults.Host, Effect: faults.Dead, Host: "h1"})
				if err != nil {
					t.Error(err)
				}
				_ = b.Put(t.Context(), "h1", "k", bus.Version{}, []byte("v"))
				_, _ = set.Intercept("h1")(t.Context(), driver.Call{})
				if err := set.Remove(r.ID); err != nil && !errors.Is(err, nephos.ErrNotFound) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Empty(t, set.Rules())
}

func FuzzRule(f *testing.F) {
	f.Add("api", "error", "compute", "POST /servers", 503)
	f.Fuzz(func(t *testing.T, point, effect, service, operation string, status int) {
		set := faults.New(faults.Config{})
		if _, err := set.Add(faults.Rule{Point: faults.Point(point), Effect: faults.Effect(effect), Service: service, Operation: operation, Status: status}); err != nil {
			return
		}
		done := 0
		do(compute(set, &done), "ann", "POST", "/v2.1/servers", "{}")
	})
}
