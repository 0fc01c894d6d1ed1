package file_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const benchSize = 256 << 20

type pattern struct{ block []byte }

func (p pattern) Read(b []byte) (int, error) { return copy(b, p.block), nil }

func body() io.Reader {
	block := make([]byte, 64<<10)
	for i := range block {
		block[i] = byte(i * 7)
	}
	return io.LimitReader(pattern{block}, benchSize)
}

func BenchmarkPut(b *testing.B) {
	d := open(b, b.TempDir())
	b.SetBytes(benchSize)
	for b.Loop() {
		_, err := d.Put(b.Context(), "o", body(), benchSize)
		require.NoError(b, err)
	}
}

// BenchmarkUpload compares a PUT into the driver with handlers that do the least
// there is to do.
func BenchmarkUpload(b *testing.B) {
	for _, kind := range []string{"driver", "bare", "bare-fsync"} {
		b.Run(kind, func(b *testing.B) {
			dir := b.TempDir()
			d := open(b, dir)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if kind == "driver" {
					if _, err := d.Put(r.Context(), "o", r.Body, r.ContentLength); err != nil {
						http.Error(w, err.Error(), 500)
					}
					return
				}
				f, err := os.Create(filepath.Join(dir, "bare"))
				if err == nil {
					_, err = io.Copy(f, r.Body)
				}
				if err == nil && kind == "bare-fsync" {
					err = f.Sync()
				}
				if err != nil {
					http.Error(w, err.Error(), 500)
				}
				_ = f.Close()
			}))
			defer srv.Close()
			b.SetBytes(benchSize)
			for b.Loop() {
				req, _ := http.NewRequestWithContext(b.Context(), http.MethodPut, srv.URL, body())
				req.ContentLength = benchSize
				resp, err := http.DefaultClient.Do(req)
				require.NoError(b, err)
				require.Equal(b, 200, resp.StatusCode)
				_ = resp.Body.Close()
			}
		})
	}
}

func BenchmarkPutSmall(b *testing.B) {
	d := open(b, b.TempDir())
	i := 0
	for b.Loop() {
		i++
		_, err := d.Put(b.Context(), fmt.Sprint(i), io.LimitReader(body(), 4096), 4096)
		require.NoError(b, err)
	}
}

func BenchmarkGet(b *testing.B) {
	d := open(b, b.TempDir())
	_, err := d.Put(b.Context(), "o", body(), benchSize)
	require.NoError(b, err)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rd, err := d.Get(r.Context(), "o", 0, -1)
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		defer rd.Close()
		w.Header().Set("Content-Length", fmt.Sprint(benchSize))
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = io.Copy(w, rd)
	}))
	defer srv.Close()
	b.SetBytes(benchSize)
	for b.Loop() {
		resp, err := http.Get(srv.URL)
		require.NoError(b, err)
		n, err := io.Copy(io.Discard, resp.Body)
		require.NoError(b, err)
		require.EqualValues(b, benchSize, n)
		_ = resp.Body.Close()
	}
}
