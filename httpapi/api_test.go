package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

// tokens is a Verifier that knows some tokens.
type tokens map[string]nephos.Caller

func (t tokens) Verify(_ context.Context, token string) (nephos.Caller, error) {
	if token == "down" {
		return nephos.Caller{}, nephos.Errorf(nephos.ErrUnavailable, "The Identity service is out of reach.")
	}
	c, ok := t[token]
	if !ok {
		return c, nephos.Errorf(nephos.ErrUnauthenticated, "unknown token %s", token)
	}
	return c, nil
}

var someTokens = tokens{"good": {UserID: "u1", ProjectID: "abc123", Roles: []string{"member"}}}

func newAPI(t testing.TB, service string, f FaultWriter, routes ...Route) *API {
	t.Helper()
	a := New(Config{
		Service: service, Faults: f, Verifier: someTokens,
		PublicURL: "http://cloud.example/" + service, AuthURL: "http://cloud.example/identity",
	})
	a.Add(routes...)
	return a
}

// do sends "METHOD /path", headers as "Key: value", with the good token unless
// the headers name another.
func do(h http.Handler, request, body string, headers ...string) *httptest.ResponseRecorder {
	method, path, _ := strings.Cut(request, " ")
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, rd)
	r.Header.Set("X-Auth-Token", "good")
	for _, line := range headers {
		k, v, _ := strings.Cut(line, ": ")
		if v == "" {
			r.Header.Del(k)
		} else {
			r.Header.Set(k, v)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// echo answers with the name of the route and the values of its wildcards.
func echo(name string, wildcards ...string) Handler {
	return func(r *Request) (*Response, error) {
		for _, w := range wildcards {
			name += " " + w + "=" + r.PathValue(w)
		}
		out := name
		name, _, _ = strings.Cut(name, " ")
		return OK(out), nil
	}
}

func get(pattern string, h Handler) Route {
	return Route{Pattern: pattern, Rules: []string{"r"}, Handler: h}
}

func TestRouting(t *testing.T) {
	a := newAPI(t, "scheduler", PlacementFault,
		get("GET /", echo("root")),
		get("GET /v2/{project_id?}/servers", echo("list", "project_id")),
		get("GET /v2/{project_id?}/servers/detail", echo("detail")),
		get("GET /v2/{project_id?}/servers/{id}", echo("show", "id")),
		get("DELETE /v2/{project_id?}/servers/{id}", echo("delete", "id")),
		get("PUT /v2/servers/detail", echo("put-detail")),
		get("GET /v2/servers/{id}/tags/{tag}", echo("tag", "id", "tag")),
		get("GET /v2/files/{path...}", echo("file", "path")),
	)
	for request, want := range map[string]string{
		"GET /":                           `"root"`,
		"GET /v2/servers":                 `"list project_id="`,
		"GET /v2/servers/":                `"list project_id="`,
		"GET /v2/abc123/servers":          `"list project_id=abc123"`,
		"GET /v2/servers/detail":          `"detail"`,
		"GET /v2/abc123/servers/detail":   `"detail"`,
		"GET /v2/servers/servers":         `"show id=servers"`,
		"GET /v2/abc123/servers/x1":       `"show id=x1"`,
		"DELETE /v2/servers/detail":       `"delete id=detail"`,
		"GET /v2/servers/a%2Fb/tags/c%20": `"tag id=a/b tag=c "`,
		"GET /v2/files/a/b/c":             `"file path=a/b/c"`,
	} {
		w := do(a, request, "")
		require.Equal(t, 200, w.Code, request)
		require.Equal(t, want, w.Body.String(), request)
	}

	w := do(a, "POST /v2/servers/x", "")
	require.Equal(t, 405, w.Code)
	require.Equal(t, "DELETE, GET", w.Header().Get("Allow"))
	for _, path := range []string{"/v2", "/v2//servers", "/v3/servers", "/v2/servers/x/y", "/v2/zz/servers", "/v2/files"} {
		require.Equal(t, 404, do(a, "GET "+path, "").Code, path)
	}
	// The project in the path must be the token's.
	require.Equal(t, 400, do(a, "GET /v2/abc999/servers", "").Code)

	require.Panics(t, func() { a.Add(get("GET /v2/servers/{other}", echo("twin"))) })
	require.Panics(t, func() { a.Add(get("/v2/x", echo("no method"))) })
	require.Panics(t, func() { a.Add(Route{Pattern: "GET /v2/x"}) })
	require.Panics(t, func() { a.Add(get("GET /v2/{x...}/y", echo("rest in the middle"))) })
}

func TestWrongMethodIsNotFoundInNova(t *testing.T) {
	a := newAPI(t, "compute", NovaFault, get("GET /servers", echo("x")))
	w := do(a, "PUT /servers", "", "Accept: application/json")
	require.Equal(t, 404, w.Code)
	require.JSONEq(t, `{"message":"The resource could not be found.<br /><br />\n\n\n","code":"404 Not Found","title":"Not Found"}`, w.Body.String())
}

func TestTokens(t *testing.T) {
	var seen nephos.Caller
	a := newAPI(t, "compute", NovaFault,
		get("GET /needs", func(r *Request) (*Response, error) {
			seen, _ = nephos.CallerFrom(r.Context())
			require.Equal(t, seen, r.Caller())
			require.Equal(t, "good", r.Token())
			return NoContent(), nil
		}),
		Route{Pattern: "GET /public", Public: true, Handler: echo("public")},
		Route{Pattern: "GET /optional", OptionalToken: true, Handler: func(r *Request) (*Response, error) {
			return OK(r.Caller().UserID), nil
		}})

	w := do(a, "GET /needs", "", "X-Openstack-Request-Id: req-11111111-2222-3333-4444-555555555555")
	require.Equal(t, 204, w.Code)
	require.Equal(t, "u1", seen.UserID)
	require.Regexp(t, `^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, seen.RequestID)
	require.Equal(t, seen.RequestID, w.Header().Get("X-Openstack-Request-Id"))
	require.Equal(t, seen.RequestID, w.Header().Get("X-Compute-Request-Id"))
	require.Equal(t, "req-11111111-2222-3333-4444-555555555555", seen.GlobalRequestID)
	do(a, "GET /needs", "", "X-Openstack-Request-Id: req-1111\n<script>")
	require.Empty(t, seen.GlobalRequestID)

	for _, path := range []string{"/needs", "/nowhere"} {
		for _, token := range []string{"", "bad", strings.Repeat("x", 1<<15)} {
			w := do(a, "GET "+path, "", "X-Auth-Token: "+token)
			require.Equal(t, 401, w.Code)
			require.Equal(t, `Keystone uri="http://cloud.example/identity"`, w.Header().Get("WWW-Authenticate"))
			require.JSONEq(t, `{"error":{"message":"The request you have made requires authentication.","code":401,"title":"Unauthorized"}}`, w.Body.String())
		}
	}
	require.Equal(t, 503, do(a, "GET /needs", "", "X-Auth-Token: down").Code)
	require.Equal(t, 200, do(a, "GET /public", "", "X-Auth-Token: bad").Code)
	require.Equal(t, `"u1"`, do(a, "GET /optional", "").Body.String())
	require.Equal(t, `""`, do(a, "GET /optional", "", "X-Auth-Token: ").Body.String())
	require.Equal(t, 401, do(a, "GET /optional", "", "X-Auth-Token: bad").Code)
}

// What one method of a path allows, another does not.
func TestPublicIsPerMethod(t *testing.T) {
	a := newAPI(t, "identity", KeystoneFault,
		Route{Pattern: "POST /v3/auth/tokens", Public: true, Handler: echo("issue")},
		get("GET /v3/auth/tokens", echo("show")))
	require.Equal(t, 200, do(a, "POST /v3/auth/tokens", "", "X-Auth-Token: ").Code)
	for _, method := range []string{"GET", "HEAD"} {
		w := do(a, method+" /v3/auth/tokens", "", "X-Auth-Token: ")
		require.Equal(t, 401, w.Code)
		require.Equal(t, "X-Auth-Token", w.Header().Get("Vary"))
	}
	require.Equal(t, 405, do(a, "PUT /v3/auth/tokens", "", "X-Auth-Token: ").Code)
	require.Equal(t, 404, do(a, "GET /v3/nowhere", "", "X-Auth-Token: ").Code)
}

func TestCheckRoutes(t *testing.T) {
	a := newAPI(t, "compute", NovaFault, get("GET /a", echo("a")), Route{Pattern: "GET /b", Public: true, Handler: echo("b")})
	a.Add(NotBuilt([]string{"os_compute_api:x"}, "GET /c", "POST /c")...)
	require.Len(t, a.Routes(), 4)
	require.NoError(t, CheckRoutes(a.Routes()))
	require.Equal(t, 501, do(a, "POST /c", "").Code)
	require.ErrorContains(t, CheckRoutes([]Route{{Pattern: "GET /d"}}), "GET /d")
}

func TestSecretsStayInside(t *testing.T) {
	var log bytes.Buffer
	secret := "password=hunter2"
	a := New(Config{Service: "compute", Verifier: someTokens, Log: slog.New(slog.NewTextHandler(&log, nil))})
	a.Add(
		get("GET /plain", func(*Request) (*Response, error) { return nil, errors.New(secret) }),
		get("GET /panic", func(*Request) (*Response, error) { panic(secret) }),
		get("GET /wrapped", func(*Request) (*Response, error) {
			return nil, fmt.Errorf("%s: %w", secret, nephos.ErrNotFound)
		}),
		get("GET /cause", func(*Request) (*Response, error) {
			return nil, fmt.Errorf("%s: %w", secret, &nephos.Error{
				Kind: nephos.ErrConflict, Message: "It is busy.", Cause: errors.New(secret),
			})
		}),
		get("GET /unencodable", func(*Request) (*Response, error) { return OK(map[string]any{"a": func() {}}), nil }),
	)
	for path, status := range map[string]int{"/plain": 500, "/panic": 500, "/wrapped": 404, "/cause": 409, "/unencodable": 500} {
		log.Reset()
		w := do(a, "GET "+path, "")
		require.Equal(t, status, w.Code, path)
		require.NotContains(t, w.Body.String(), secret, path)
		require.NotContains(t, log.String(), "good", "the token")
		if status == 500 {
			require.Contains(t, log.String(), w.Header().Get("X-Openstack-Request-Id"))
			require.JSONEq(t, `{"computeFault":{"code":500,"message":"The server has either erred or is incapable of performing the requested operation."}}`, w.Body.String())
		}
	}
	require.Contains(t, do(a, "GET /cause", "").Body.String(), "It is busy.")
}

func TestResponses(t *testing.T) {
	a := newAPI(t, "image", GlanceFault,
		get("GET /json", func(*Request) (*Response, error) { return OK(map[string]string{"a": "<&>"}), nil }),
		get("POST /made", func(*Request) (*Response, error) {
			return Created(json.RawMessage(`{ "x":1 }`)).Set("Location", "http://x/1"), nil
		}),
		get("POST /later", func(*Request) (*Response, error) { return Accepted(nil), nil }),
		get("GET /stream", func(*Request) (*Response, error) {
			return Bytes("application/octet-stream", 5, strings.NewReader("hello")), nil
		}),
		get("GET /write", func(*Request) (*Response, error) {
			return &Response{Write: func(w io.Writer) error { _, err := io.WriteString(w, "hi"); return err }}, nil
		}),
		get("GET /nothing", func(*Request) (*Response, error) { return nil, nil }),
	)
	w := do(a, "GET /json", "")
	require.Equal(t, `{"a":"<&>"}`, w.Body.String())
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.Equal(t, "11", w.Header().Get("Content-Length"))
	w = do(a, "HEAD /json", "")
	require.Equal(t, 200, w.Code)
	require.Empty(t, w.Body.String())
	require.Equal(t, "11", w.Header().Get("Content-Length"))
	w = do(a, "POST /made", "")
	require.Equal(t, 201, w.Code)
	require.Equal(t, `{ "x":1 }`, w.Body.String())
	require.Equal(t, "http://x/1", w.Header().Get("Location"))
	w = do(a, "POST /later", "")
	require.Equal(t, 202, w.Code)
	require.Empty(t, w.Body.String())
	w = do(a, "GET /stream", "")
	require.Equal(t, "hello", w.Body.String())
	require.Equal(t, "5", w.Header().Get("Content-Length"))
	require.Equal(t, "hi", do(a, "GET /write", "").Body.String())
	require.Equal(t, 204, do(a, "GET /nothing", "").Code)
}

// A stream that fails half way must not look complete.
func TestBrokenStreamIsCut(t *testing.T) {
	a := newAPI(t, "image", GlanceFault, get("GET /x", func(*Request) (*Response, error) {
		return &Response{Write: func(w io.Writer) error {
			_, _ = io.WriteString(w, "half")
			return errors.New("disk gone")
		}}, nil
	}))
	srv := httptest.NewServer(a)
	defer srv.Close()
	req, err := http.NewRequest(http.MethodGet, srv.URL+"/x", nil)
	require.NoError(t, err)
	req.Header.Set("X-Auth-Token", "good")
	resp, err := srv.Client().Do(req)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	require.Error(t, err)
}

func TestIdempotencyKey(t *testing.T) {
	var got nephos.Idempotency
	var ok bool
	a := newAPI(t, "compute", NovaFault, get("POST /servers", func(r *Request) (*Response, error) {
		got, ok = nephos.IdempotencyFrom(r.Context())
		raw, err := r.Raw()
		require.NoError(t, err)
		require.Equal(t, `{"a":1}`, string(raw))
		return NoContent(), nil
	}))
	do(a, "POST /servers", `{"a":1}`)
	require.False(t, ok)
	do(a, "POST /servers", `{"a":1}`, "Idempotency-Key: k1")
	require.True(t, ok)
	require.Equal(t, "k1", got.Key)
	require.Len(t, got.Digest, 64)
	first := got.Digest
	do(a, "POST /servers/", `{"a":1}`, "Idempotency-Key: k2")
	require.Equal(t, first, got.Digest)
	do(a, "POST /servers?x=y", `{"a":1}`, "Idempotency-Key: k2")
	require.NotEqual(t, first, got.Digest)
	for _, bad := range []string{strings.Repeat("k", 256), "a\x01b", "ä"} {
		require.Equal(t, 400, do(a, "POST /servers", `{"a":1}`, "Idempotency-Key: "+bad).Code)
	}
}

func TestBodyIsBounded(t *testing.T) {
	a := New(Config{Service: "compute", Verifier: someTokens, MaxBody: 10})
	a.Add(get("POST /x", func(r *Request) (*Response, error) {
		_, err := r.Raw()
		return NoContent(), err
	}))
	require.Equal(t, 204, do(a, "POST /x", "0123456789").Code)
	require.Equal(t, 413, do(a, "POST /x", "0123456789a").Code)
	// Without a Content-Length, too.
	r := httptest.NewRequest("POST", "/x", io.MultiReader(strings.NewReader("0123456789"), strings.NewReader("a")))
	r.Header.Set("X-Auth-Token", "good")
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	require.Equal(t, 413, w.Code)
}

// A client that reads no answer before it has sent everything is answered, too.
func TestABodyThatIsTooLargeIsReadToItsEnd(t *testing.T) {
	a := New(Config{Service: "compute", Verifier: someTokens, MaxBody: 10})
	a.Add(get("POST /x", func(r *Request) (*Response, error) {
		_, err := r.Raw()
		return NoContent(), err
	}))
	for _, length := range []int64{8 << 20, -1} {
		body := &counted{Reader: io.LimitReader(endless{}, 8<<20)}
		r := httptest.NewRequest("POST", "/x", body)
		r.ContentLength = length
		r.Header.Set("X-Auth-Token", "good")
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		require.Equal(t, 413, w.Code)
		require.Equal(t, 8<<20, body.n)
	}
	asking := &counted{Reader: endless{}}
	r := httptest.NewRequest("POST", "/x", asking)
	r.ContentLength = 1 << 40
	r.Header.Set("X-Auth-Token", "good")
	a.ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, maxDrain, asking.n, "not for ever")
	asking.n = 0
	r.Header.Set("Expect", "100-continue")
	a.ServeHTTP(httptest.NewRecorder(), r)
	require.Zero(t, asking.n, "it is told before it sends")
}

type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestObserveIsToldOfEveryAnswer(t *testing.T) {
	var seen []string
	a := New(Config{Service: "compute", Verifier: someTokens, Observe: func(r *Request, status int) {
		seen = append(seen, fmt.Sprint(r.Route(), " ", r.ActionName(), " ", status))
	}})
	a.Add(Route{Pattern: "POST /things/{id}/action", Handler: echo("act")}, Route{Pattern: "GET /things", Handler: echo("list")})
	do(a, "GET /things", "")
	do(a, "POST /things/1/action", `{"os-stop": null}`)
	do(a, "GET /nothing", "")
	require.Equal(t, []string{"GET /things  200", "POST /things/{id}/action os-stop 200", "  404"}, seen)
}
