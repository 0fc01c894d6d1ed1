package httpapi

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

var dialects = map[string]FaultWriter{
	"compute": NovaFault, "volume": CinderFault, "identity": KeystoneFault,
	"network": NeutronFault, "image": GlanceFault, "placement": PlacementFault,
}

func failing(t *testing.T, service string, err error) *API {
	return newAPI(t, service, dialects[service], get("GET /x", func(*Request) (*Response, error) { return nil, err }))
}

func TestStatuses(t *testing.T) {
	all := map[error]int{
		nephos.ErrInvalid: 400, nephos.ErrUnauthenticated: 401, nephos.ErrForbidden: 403,
		nephos.ErrNotFound: 404, nephos.ErrConflict: 409, nephos.ErrPrecondition: 412,
		nephos.ErrTooLarge: 413, nephos.ErrRange: 416, nephos.ErrGone: 410,
		nephos.ErrUnavailable: 503, errors.ErrUnsupported: 501, errors.New("other"): 500,
	}
	quota := map[string]int{"compute": 403, "volume": 413, "identity": 403, "network": 409, "image": 413, "placement": 409}
	for service := range dialects {
		for kind, status := range all {
			require.Equal(t, status, StatusOf(service, kind))
			require.Equal(t, status, do(failing(t, service, kind), "GET /x", "").Code)
		}
		require.Equal(t, quota[service], do(failing(t, service, nephos.ErrQuota), "GET /x", "").Code, service)
	}
	require.Equal(t, 400, StatusOf("compute", nephos.ErrNoCapacity))
	require.Equal(t, 418, StatusOf("compute", WithStatus(418, nephos.ErrInvalid)))
	require.NoError(t, WithStatus(400, nil))
	// The error's own kind wins over its cause's.
	require.Equal(t, 409, StatusOf("compute", &nephos.Error{Kind: nephos.ErrConflict, Cause: nephos.ErrInvalid}))
}

func TestDialects(t *testing.T) {
	missing := nephos.NotFound("Thing", "t1").WithReason("ThingNotFound")
	quota := nephos.Errorf(nephos.ErrQuota, "Too many things.")
	for _, c := range []struct {
		service string
		err     error
		want    string
	}{
		{"compute", missing, `{"itemNotFound":{"code":404,"message":"Thing t1 could not be found."}}`},
		{"compute", quota, `{"forbidden":{"code":403,"message":"Too many things."}}`},
		{"compute", nephos.ErrConflict, `{"conflictingRequest":{"code":409,"message":"There was a conflict when trying to complete your request."}}`},
		{"compute", nephos.ErrPrecondition, `{"computeFault":{"code":412,"message":"Request precondition failed."}}`},
		{"compute", errors.ErrUnsupported, `{"notImplemented":{"code":501,"message":"The server has either erred or is incapable of performing the requested operation."}}`},
		{"volume", quota, `{"overLimit":{"code":413,"message":"Too many things.","retryAfter":"0"}}`},
		{"volume", WithStatus(429, quota), `{"computeFault":{"code":429,"message":"Too many things."}}`},
		{"identity", missing, `{"error":{"code":404,"message":"Thing t1 could not be found.","title":"Not Found"}}`},
		{"identity", nephos.ErrForbidden, `{"error":{"code":403,"message":"You are not authorized to perform the requested action.","title":"Forbidden"}}`},
		{"identity", errors.New("x"), `{"error":{"code":500,"message":"An unexpected error prevented the server from fulfilling your request.","title":"Internal Server Error"}}`},
		{"network", missing, `{"NeutronError":{"type":"ThingNotFound","message":"Thing t1 could not be found.","detail":""}}`},
		{"network", nephos.ErrNotFound, `{"NeutronError":{"type":"HTTPNotFound","message":"The resource could not be found.","detail":""}}`},
		{"network", quota, `{"NeutronError":{"type":"OverQuota","message":"Too many things.","detail":""}}`},
		{"network", errors.New("x"), `{"NeutronError":{"type":"HTTPInternalServerError","message":"Request Failed: internal server error while processing your request.","detail":""}}`},
		{"image", missing, `{"message":"Thing t1 could not be found.<br /><br />\n\n\n","code":"404 Not Found","title":"Not Found"}`},
		{"image", WithStatus(405, missing), `{"message":"The method GET is not allowed for this resource. <br /><br />\nThing t1 could not be found.","code":"405 Method Not Allowed","title":"Method Not Allowed"}`},
	} {
		w := do(failing(t, c.service, c.err), "GET /x", "", "Accept: application/json")
		require.JSONEq(t, c.want, w.Body.String(), "%s %v", c.service, c.err)
		require.Contains(t, w.Header().Get("Content-Type"), "application/json")
	}
	w := do(failing(t, "volume", quota), "GET /x", "")
	require.Equal(t, "0", w.Header().Get("Retry-After"))
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
}

func TestPlacementFault(t *testing.T) {
	a := New(Config{
		Service: "placement", Faults: PlacementFault, Verifier: someTokens,
		Versions: &VersionRange{Version{1, 0}, Version{1, 39}},
	})
	a.Add(get("GET /x", func(*Request) (*Response, error) {
		return nil, nephos.Errorf(nephos.ErrConflict, "generation <conflict>").WithReason("placement.concurrent_update")
	}))
	w := do(a, "GET /x", "", "Accept: application/json")
	id := w.Header().Get("X-Openstack-Request-Id")
	require.JSONEq(t, `{"errors":[{"status":409,"title":"Conflict","request_id":"`+id+`",
		"detail":"There was a conflict when trying to complete your request.\n\n generation   "}]}`, w.Body.String())
	w = do(a, "GET /x", "", "Accept: application/json", "OpenStack-API-Version: placement 1.23")
	require.Contains(t, w.Body.String(), `"code":"placement.concurrent_update"`)
	require.Equal(t, "placement 1.23", w.Header().Get("OpenStack-API-Version"))
	w = do(a, "GET /x", "", "Accept: application/json", "OpenStack-API-Version: placement 1.99")
	require.Equal(t, 406, w.Code)
	require.Contains(t, w.Body.String(), `"max_version":"1.39","min_version":"1.0"`)
	require.Contains(t, w.Body.String(), `Unacceptable version header: 1.99`)
	w = do(a, "GET /x", "", "Accept: application/json", "OpenStack-API-Version: placement 0.9")
	require.Equal(t, 406, w.Code)
	w = do(a, "GET /x", "", "X-Auth-Token: ", "Accept: application/json")
	require.Equal(t, 401, w.Code)
	require.JSONEq(t, `{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}`, w.Body.String())
	w = do(a, "GET /nothing", "", "Accept: application/json", "OpenStack-API-Version: placement 1.39")
	require.Equal(t, 404, w.Code)
	require.Equal(t, "placement 1.39", w.Header().Get("OpenStack-API-Version"))
	require.Contains(t, w.Body.String(), `"code":"placement.undefined_code"`)
	w = do(a, "PUT /x", "", "Accept: application/json")
	require.Equal(t, 405, w.Code)
	require.Contains(t, w.Body.String(), `The method specified is not allowed for this resource.`)
}

func TestUnroutedInKeystone(t *testing.T) {
	ok := func(*Request) (*Response, error) { return NoContent(), nil }
	a := newAPI(t, "identity", KeystoneFault, get("GET /v3", ok), get("GET /v3/users", ok), get("POST /v3/users", ok))
	w := do(a, "GET /v3/nothing", "")
	require.Equal(t, 404, w.Code)
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	require.Contains(t, w.Body.String(), "<h1>Not Found</h1>\n<p>The requested URL was not found on the server.")
	w = do(a, "PUT /v3/users", "")
	require.Equal(t, 405, w.Code)
	require.Equal(t, "GET, HEAD, OPTIONS, POST", w.Header().Get("Allow"))
	require.JSONEq(t, `{"message":"The method is not allowed for the requested URL."}`, w.Body.String())
	w = do(a, "PUT /v3", "")
	require.Equal(t, 405, w.Code)
	require.Contains(t, w.Body.String(), "<h1>Method Not Allowed</h1>")
	w = do(a, "OPTIONS /v3/users", "")
	require.Equal(t, 200, w.Code)
	require.Equal(t, "GET, HEAD, OPTIONS, POST", w.Header().Get("Allow"))
}

func TestDetail(t *testing.T) {
	err := nephos.Errorf(nephos.ErrConflict, "Property x does not exist.")
	w := do(failing(t, "image", WithDetail(err)), "GET /x", "", "Accept: application/json")
	require.Contains(t, w.Body.String(), `"There was a conflict when trying to complete your request.<br /><br />\nProperty x does not exist.\n\n"`)
	require.Equal(t, 409, w.Code)
	require.NoError(t, WithDetail(nil))
}

// The bodies here were read from WebOb 1.8.6, which Glance answers with.
func TestGlanceLayouts(t *testing.T) {
	a := failing(t, "image", nephos.Errorf(nephos.ErrNotFound, "Image <x> & 'y' not found"))
	const (
		html = "<html>\n <head>\n  <title>404 Not Found</title>\n </head>\n <body>\n  <h1>404 Not Found</h1>\n  Image &lt;x&gt; &amp; &#x27;y&#x27; not found<br /><br />\n\n\n\n </body>\n</html>"
		text = "404 Not Found\n\nImage  & 'y' not found\n\n   "
		json = `{"message":"Image <x> & 'y' not found<br /><br />\n\n\n","code":"404 Not Found","title":"Not Found"}`
	)
	for accept, want := range map[string]string{
		"":                                    text,
		"*/*":                                 html,
		"text/html":                           html,
		"text/*":                              html,
		"application/json":                    json,
		"application/*":                       json,
		"text/plain":                          text,
		"application/json, text/plain, */*":   html,
		"text/html;q=0.5, application/json":   json,
		"text/html;q=0, */*":                  json,
		"application/json;q=0,text/html;q=0":  text,
		"text/html;q=nonsense":                html,
		"*/*;q=0.1, application/json; q=0.10": html,
	} {
		w := do(a, "GET /x", "", "Accept: "+accept)
		require.Equal(t, want, w.Body.String(), accept)
	}
	require.Equal(t, "text/html; charset=UTF-8", do(a, "GET /x", "", "Accept: */*").Header().Get("Content-Type"))
	require.Equal(t, "text/plain; charset=UTF-8", do(a, "GET /x", "").Header().Get("Content-Type"))
	w := do(a, "GET /x", "", "X-Auth-Token: ", "Accept: text/plain")
	require.Equal(t, "401 Unauthorized\n\nThis server could not verify that you are authorized to access the document you requested. Either you supplied the wrong credentials (e.g., bad password), or your browser does not understand how to supply the credentials required.\n\n   ", w.Body.String())
	a.Add(get("POST /y", func(*Request) (*Response, error) { return nil, errors.ErrUnsupported }))
	w = do(a, "POST /y", "", "Accept: text/plain")
	require.Equal(t, "501 Not Implemented\n\n The request method POST is not implemented for this server. \n\n ", w.Body.String())
}

// The statuses whose sentence WebOb writes itself; read from it, too.
func TestFixedLayouts(t *testing.T) {
	for status, want := range map[int]string{
		405: "405 Method Not Allowed\n\nThe method GET is not allowed for this resource. \n\n det",
		406: "406 Not Acceptable\n\nThe resource could not be generated that was acceptable to your browser (content of type text/plain. \n\n det",
		415: "415 Unsupported Media Type\n\nThe request media type a/b is not supported by this server. \n\n det",
		501: "501 Not Implemented\n\n The request method GET is not implemented for this server. \n\n det",
		409: "409 Conflict\n\ndet\n\n   ",
	} {
		a := failing(t, "image", WithStatus(status, nephos.Errorf(nephos.ErrInvalid, "det")))
		w := do(a, "GET /x", "", "Accept: text/plain", "Content-Type: a/b")
		require.Equal(t, status, w.Code)
		require.Equal(t, want, w.Body.String())
	}
	// In Placement the detail stands below the status's sentence.
	a := failing(t, "placement", nephos.Errorf(nephos.ErrConflict, "det <a>"))
	w := do(a, "GET /x", "", "Accept: text/plain")
	require.Equal(t, "409 Conflict\n\nThere was a conflict when trying to complete your request.\n\n det   ", w.Body.String())
}

// What a database refuses because it is no text is the client's failure, where no
// handler saw it.
func TestFailuresOverTextThatNoDatabaseKeeps(t *testing.T) {
	a := newAPI(t, "volume", CinderFault, Route{Pattern: "POST /v3/things", Rules: []string{"r"}, Handler: func(r *Request) (*Response, error) {
		_, _ = r.Raw()
		return nil, errors.New("the database does not take it")
	}})
	for _, c := range []struct {
		query, body string
		status      int
	}{
		{"", `{"a": "b"}`, 500},
		{"a=%41", `{"a": "\u0041"}`, 500},
		{"a=%00", "", 400},
		{"%ff=a", "", 400},
		{"a=%C3%28", "", 400},
		{"", `{"a": "\u0000"}`, 400},
		{"", "{\"a\": \"\xff\"}", 400},
	} {
		require.Equal(t, c.status, do(a, "POST /v3/things?"+c.query, c.body).Code, c)
	}
}
