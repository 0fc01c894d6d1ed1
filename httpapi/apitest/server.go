package apitest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Server is an API that is served for a test.
type Server struct {
	// T is the test, which fails when a request cannot be made.
	T testing.TB
	// URL is where the paths of requests begin, without a slash at the end.
	URL string
	// Service is the service's type as microversions name it: "compute". It also
	// says where faults have their messages.
	Service string
	// HTTP is what listens. Its Close waits until all handlers have ended.
	HTTP *httptest.Server
}

// Serve serves what api returns until the test ends. The function is told where
// the API will stand: scheme, host and port.
func Serve(t testing.TB, service string, api func(url string) http.Handler) *Server {
	t.Helper()
	hs := httptest.NewUnstartedServer(nil)
	url := "http://" + hs.Listener.Addr().String()
	hs.Config.Handler = api(url)
	hs.Start()
	t.Cleanup(hs.Close)
	return &Server{T: t, URL: url, Service: service, HTTP: hs}
}

// Do makes a request and reads the answer. The token may be empty for none. The
// method may be followed by a microversion: "GET 2.75". The path may be a whole
// URL. The body is sent as it is, said to be JSON unless the header, given in
// pairs, says otherwise.
func (s *Server) Do(token, method, path, body string, header ...string) Answer {
	s.T.Helper()
	if strings.HasPrefix(path, "/") {
		path = s.URL + path
	}
	method, version, _ := strings.Cut(method, " ")
	req, err := http.NewRequestWithContext(s.T.Context(), method, path, strings.NewReader(body))
	require.NoError(s.T, err)
	req.Header.Set("Accept", "application/json")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	if version != "" {
		req.Header.Set("OpenStack-API-Version", s.Service+" "+version)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.T, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(s.T, err)
	return Answer{T: s.T, Status: resp.StatusCode, Header: resp.Header, Body: string(b), service: s.Service}
}
