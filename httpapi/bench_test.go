package httpapi

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// nullWriter is a ResponseWriter that keeps nothing.
type nullWriter struct{ h http.Header }

func (w *nullWriter) Header() http.Header         { return w.h }
func (w *nullWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w *nullWriter) WriteHeader(int)             {}

func BenchmarkGetTokens(b *testing.B) {
	m, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	a := New(Config{Service: "identity", Faults: KeystoneFault, Verifier: someTokens, Metrics: m})
	body := map[string]any{"token": map[string]string{"expires_at": "2026-11-21T00:00:00.000000Z"}}
	a.Add(get("GET /v3/auth/tokens", func(*Request) (*Response, error) { return OK(body), nil }))
	r := httptest.NewRequest("GET", "/v3/auth/tokens", nil)
	r.Header.Set("X-Auth-Token", "good")
	b.ReportAllocs()
	for b.Loop() {
		a.ServeHTTP(&nullWriter{http.Header{}}, r)
	}
}
