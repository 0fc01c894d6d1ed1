package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func novaAPI() *API {
	a := New(Config{
		Service: "compute", Faults: NovaFault, Verifier: someTokens,
		Versions: &VersionRange{Version{2, 1}, Version{2, 96}},
	})
	version := func(name string) Handler {
		return func(r *Request) (*Response, error) { return OK(name + " " + r.Version.String()), nil }
	}
	a.Add(
		get("GET /v", version("any")),
		Route{Pattern: "GET /windowed", Rules: []string{"r"}, Min: "2.10", Max: "2.35", Handler: version("window")},
		Route{Pattern: "GET /windowed", Rules: []string{"r"}, Min: "2.36", Handler: version("after")},
	)
	return a
}

func TestNegotiation(t *testing.T) {
	a := novaAPI()
	for _, c := range []struct {
		header string
		status int
		body   string
	}{
		{"X: ", 200, `"any 2.1"`},
		{"OpenStack-API-Version: compute 2.90", 200, `"any 2.90"`},
		{"OpenStack-API-Version: COMPUTE  2.90 ", 200, `"any 2.90"`},
		{"OpenStack-API-Version: compute latest", 200, `"any 2.96"`},
		{"OpenStack-API-Version: volume 3.50,compute 2.4, identity 3.0", 200, `"any 2.4"`},
		{"OpenStack-API-Version: volume 3.50", 200, `"any 2.1"`},
		{"X-OpenStack-Nova-API-Version: 2.60", 200, `"any 2.60"`},
		{"X-OpenStack-Nova-API-Version: latest", 200, `"any 2.96"`},
		{"OpenStack-API-Version: compute 2.999", 406, `{"computeFault":{"code":406,"message":"Version 2.999 is not supported by the API. Minimum is 2.1 and maximum is 2.96."}}`},
		{"OpenStack-API-Version: compute 3.1", 406, `{"computeFault":{"code":406,"message":"Version 3.1 is not supported by the API. Minimum is 2.1 and maximum is 2.96."}}`},
		{"OpenStack-API-Version: compute 2.01", 400, `{"badRequest":{"code":400,"message":"API Version String 2.01 is of invalid format. Must be of format MajorNum.MinorNum."}}`},
	} {
		w := do(a, "GET /v", "", c.header)
		require.Equal(t, c.status, w.Code, c.header)
		require.Equal(t, c.body, w.Body.String(), c.header)
	}
	w := do(a, "GET /v", "", "OpenStack-API-Version: compute 2.90")
	require.Equal(t, "compute 2.90", w.Header().Get("OpenStack-API-Version"))
	require.Equal(t, "2.90", w.Header().Get("X-OpenStack-Nova-API-Version"))
	require.Equal(t, []string{"OpenStack-API-Version", "X-OpenStack-Nova-API-Version"}, w.Header().Values("Vary"))
	w = do(a, "GET /v", "", "OpenStack-API-Version: compute 2.999")
	require.Equal(t, "compute 2.999", w.Header().Get("OpenStack-API-Version"), "Nova repeats what it refuses")
}

func TestWindows(t *testing.T) {
	a := novaAPI()
	for version, want := range map[string]int{"2.9": 404, "2.10": 200, "2.35": 200, "2.36": 200, "2.96": 200} {
		require.Equal(t, want, do(a, "GET /windowed", "", "OpenStack-API-Version: compute "+version).Code, version)
	}
	require.Equal(t, `"after 2.36"`, do(a, "GET /windowed", "", "OpenStack-API-Version: compute 2.36").Body.String())
	w := do(a, "GET /windowed", "")
	require.Equal(t, `{"itemNotFound":{"code":404,"message":"The resource could not be found."}}`, w.Body.String())
	require.Panics(t, func() {
		a.Add(Route{Pattern: "GET /windowed", Min: "2.30", Handler: echo("overlap")})
	})
}

func TestCinderNegotiation(t *testing.T) {
	a := New(Config{
		Service: "volume", Faults: CinderFault, Verifier: someTokens,
		Versions: &VersionRange{Version{3, 0}, Version{3, 70}},
	})
	a.Add(get("GET /v", func(r *Request) (*Response, error) { return OK(r.Version.String()), nil }))
	w := do(a, "GET /v", "", "OpenStack-API-Version: volume 3.27")
	require.Equal(t, `"3.27"`, w.Body.String())
	require.Equal(t, "volume 3.27", w.Header().Get("OpenStack-API-Version"))
	require.Equal(t, []string{"OpenStack-API-Version"}, w.Header().Values("Vary"))
	require.Empty(t, w.Header().Get("X-OpenStack-Nova-API-Version"))

	const (
		refused   = `{"badRequest":{"code":400,"message":"The server could not comply with the request since it is either malformed or otherwise incorrect."}}`
		malformed = `{"badRequest":{"code":400,"message":"API Version String %s is of invalid format. Must be of format MajorNum.MinorNum."}}`
		beyond    = `{"computeFault":{"code":406,"message":"Version %s is not supported by the API. Minimum is 3.0 and maximum is 3.70."}}`
	)
	for _, c := range []struct {
		header string
		status int
		body   string
		echoed string
	}{
		{"volume latest", 200, `"3.70"`, "volume 3.70"},
		{"volume  3.5", 200, `"3.5"`, "volume 3.5"},
		{"volume\t3.6", 200, `"3.6"`, "volume 3.6"},
		{"compute 2.1, volume 3.5", 200, `"3.5"`, "volume 3.5"},
		{"volume 3.5,volume 3.6", 200, `"3.5"`, "volume 3.5"},
		{"volumev3 3.5", 200, `"3.5"`, "volume 3.5"},
		{"compute 2.1", 400, refused, ""},
		{"3.0", 400, refused, ""},
		{"block-storage 3.5", 400, refused, ""},
		{"Volume 3.5", 400, refused, ""},
		{"volume", 400, refused, ""}, // 500 from Cinder
		{"volume 3.5 x", 400, refused, ""},
		{"volume 3.010", 400, fmt.Sprintf(malformed, "3.010"), ""},
		{"volume LATEST", 400, fmt.Sprintf(malformed, "LATEST"), ""},
		{"volume 99.0", 406, fmt.Sprintf(beyond, "99.0"), "volume 99.0"},
		{"volumev2 2.0", 406, fmt.Sprintf(beyond, "2.0"), ""},
	} {
		w := do(a, "GET /v", "", "OpenStack-API-Version: "+c.header)
		require.Equal(t, c.status, w.Code, c.header)
		require.Equal(t, c.body, w.Body.String(), c.header)
		require.Equal(t, c.echoed, w.Header().Get("OpenStack-API-Version"), c.header)
		require.Equal(t, c.echoed != "", w.Header().Get("Vary") != "", c.header)
	}
	a.Add(Route{Pattern: "GET /", Public: true, Handler: func(r *Request) (*Response, error) { return OK(r.Version.String()), nil }})
	w = do(a, "GET /", "", "OpenStack-API-Version: volume 3.99")
	require.Equal(t, `"3.70"`, w.Body.String(), "the versions are told to clients that are newer")
	require.Equal(t, "volume 3.70", w.Header().Get("OpenStack-API-Version"))
	require.Equal(t, 400, do(a, "GET /", "", "OpenStack-API-Version: volume x").Code)
	r := httptest.NewRequest("GET", "/v", nil)
	r.Header = http.Header{"X-Auth-Token": {"good"}, "Openstack-Api-Version": {""}}
	w = httptest.NewRecorder()
	a.ServeHTTP(w, r)
	require.Equal(t, refused, w.Body.String(), "an empty header")
}

// TestPlacementNegotiation checks numbers in Python's writing.
func TestPlacementNegotiation(t *testing.T) {
	a := New(Config{Service: "placement", Faults: PlacementFault, Verifier: someTokens, Versions: &VersionRange{Version{1, 0}, Version{1, 39}}})
	a.Add(get("GET /v", func(r *Request) (*Response, error) { return OK(r.Version.String()), nil }))
	for header, want := range map[string]string{
		"placement 1.39":                   "1.39",
		"placement  latest":                "1.39",
		"placement 01.+5":                  "1.5",
		"compute 2.1":                      "1.0",
		"placement":                        "1.0",
		"placement 1.4,x 2":                "1.4",
		"placement 1.4,placement 1.6":      "1.6",
		"placement 9.9":                    "406 Invalid microversion: Unacceptable version header: 9.9",
		"placement -1.0":                   "406 Invalid microversion: Unacceptable version header: -1.0",
		"placement 0.1":                    "406 Invalid microversion: Unacceptable version header: 0.1",
		"placement 1.99999999999999999999": "406 Invalid microversion: Unacceptable version header: 1.99999999999999999999",
		"placement foo":                    "400 Invalid microversion: invalid version string: foo; invalid literal for int() with base 10: 'foo'",
		"placement 1":                      "400 Invalid microversion: invalid version string: 1; Version.__new__() missing 1 required positional argument: 'minor'",
		"placement 1.2.3":                  "400 Invalid microversion: invalid version string: 1.2.3; invalid literal for int() with base 10: '2.3'",
	} {
		v, err := a.negotiate(http.Header{versionHeader: {header}})
		got := v.String()
		if err != nil {
			got = fmt.Sprint(StatusOf("placement", err), " ", err)
		}
		require.Equal(t, want, got, header)
	}
}

func TestEdits(t *testing.T) {
	type msg struct{ log []string }
	mark := func(v string) Edit[msg] {
		return Edit[msg]{MustVersion(v), func(m *msg) error { m.log = append(m.log, v); return nil }}
	}
	edits := Edits[msg]{mark("2.9"), mark("2.90"), mark("2.19"), mark("2.19")}
	for v, want := range map[string][]string{
		"2.96": nil, "2.90": nil, "2.89": {"2.90"}, "2.9": {"2.90", "2.19", "2.19"},
		"2.1": {"2.90", "2.19", "2.19", "2.9"},
	} {
		var m msg
		require.NoError(t, edits.Down(MustVersion(v), &m))
		require.Equal(t, want, m.log, v)
	}
	var m msg
	require.NoError(t, edits.Down(Version{}, &m))
	require.Empty(t, m.log)
}

func FuzzVersionHeader(f *testing.F) {
	for _, s := range []string{"compute 2.1", "compute latest", "volume 3.0,compute 2.96", "compute", ",,compute  2.2 ,", "compute 2.99999999999"} {
		f.Add(s)
	}
	a := novaAPI()
	f.Fuzz(func(t *testing.T, s string) {
		v, err := a.negotiate(map[string][]string{versionHeader: {s}})
		if err == nil {
			require.True(t, a.cfg.Versions.Contains(v))
		} else {
			require.Contains(t, []int{400, 406}, StatusOf("compute", err))
		}
	})
}
