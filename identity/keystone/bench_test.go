package keystone_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// nobody throws an answer away.
type nobody struct{ h http.Header }

func (n nobody) Header() http.Header         { return n.h }
func (n nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n nobody) WriteHeader(int)             {}

// BenchmarkShowToken is the validation of a token, catalog and all, which other
// services ask for at each of their requests: the handler alone, then over HTTP
// beside a handler that does nothing.
func BenchmarkShowToken(b *testing.B) {
	s, _ := cloud(b)
	token := s.token(adminOnProject)
	b.Run("handler", func(b *testing.B) {
		b.ReportAllocs()
		r, err := http.NewRequest("GET", "/v3/auth/tokens", nil)
		require.NoError(b, err)
		r.Header.Set("X-Auth-Token", token)
		r.Header.Set("X-Subject-Token", token)
		for b.Loop() {
			s.api.ServeHTTP(nobody{http.Header{}}, r)
		}
	})
	empty := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.Cleanup(empty.Close)
	request := "GET /v3/auth/tokens HTTP/1.1\r\nHost: x\r\nX-Auth-Token: " + token + "\r\nX-Subject-Token: " + token + "\r\n\r\n"
	for name, url := range map[string]string{"http": s.URL, "http-empty": empty.URL} {
		b.Run(name, func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				// A client that costs little next to the server.
				conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
				if err != nil {
					b.Error(err)
					return
				}
				defer conn.Close()
				in := bufio.NewReaderSize(conn, 64<<10)
				for pb.Next() {
					if err := exchange(conn, in, request); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func exchange(conn net.Conn, in *bufio.Reader, request string) error {
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if n, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
			for _, c := range strings.TrimSpace(n) {
				length = length*10 + int(c-'0')
			}
		}
		if len(line) == 2 {
			_, err := in.Discard(length)
			return err
		}
	}
}
