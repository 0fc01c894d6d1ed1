package keystone_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// nobody throws an answer away.
type nobody struct{ h http.Header }

func (n nobody) Header() http.Header         { return n.h }
func (n nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n nobody) WriteHeader(int)             {}

// BenchmarkShowToken is the validation of a token, catalog and all, which other
// services ask for at each of their requests; the handler alone, then over HTTP.
func BenchmarkShowToken(b *testing.B) {
	s, _ := cloud(b)
	token := s.token(adminOnProject)
	request := func(url string) *http.Request {
		r, err := http.NewRequest("GET", url, nil)
		require.NoError(b, err)
		r.Header.Set("X-Auth-Token", token)
		r.Header.Set("X-Subject-Token", token)
		return r
	}
	b.Run("handler", func(b *testing.B) {
		b.ReportAllocs()
		r := request("/v3/auth/tokens")
		for b.Loop() {
			s.api.ServeHTTP(nobody{http.Header{}}, r)
		}
	})
	empty := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.Cleanup(empty.Close)
	for name, url := range map[string]string{"http": s.url + "/v3/auth/tokens", "http-empty": empty.URL} {
		b.Run(name, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				r := request(url)
				for pb.Next() {
					resp, err := http.DefaultClient.Do(r)
					if err != nil || resp.StatusCode != 200 {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		})
	}
}
