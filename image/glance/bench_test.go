package glance_test

import (
	"crypto/md5" //nolint:gosec // the API's checksum
	"crypto/sha512"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchSize is how many bytes an image of the benchmarks has.
const benchSize = 256 << 20

// noise is a body that costs its reader next to nothing.
type noise struct {
	left int64
	buf  []byte
}

func newNoise() *noise {
	n := &noise{left: benchSize, buf: make([]byte, 1<<20)}
	for i := range n.buf {
		n.buf[i] = byte(i*7 + i>>8)
	}
	return n
}

func (n *noise) Read(p []byte) (int, error) {
	if n.left == 0 {
		return 0, io.EOF
	}
	m := copy(p, n.buf[:min(int64(len(n.buf)), n.left)])
	n.left -= int64(m)
	return m, nil
}

func put(b *testing.B, url, token string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPut, url, newNoise())
	require.NoError(b, err)
	req.ContentLength = benchSize
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("X-Auth-Token", token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(b, err)
	_, _ = io.Copy(io.Discard, resp.Body)
	require.NoError(b, resp.Body.Close())
	require.Equal(b, http.StatusNoContent, resp.StatusCode)
}

// BenchmarkUpload compares an upload with the least that a handler must do:
// write the body to a file, hash it in two goroutines, sync once.
func BenchmarkUpload(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		dir := b.TempDir()
		var n atomic.Int64
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := bareUpload(filepath.Join(dir, fmt.Sprint(n.Add(1))), r.Body); err != nil {
				http.Error(w, err.Error(), 500)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}))
		defer srv.Close()
		b.SetBytes(benchSize)
		for b.Loop() {
			put(b, srv.URL, "")
			require.NoError(b, os.Remove(filepath.Join(dir, fmt.Sprint(n.Load()))))
		}
	})
	b.Run("glance", func(b *testing.B) {
		s := start(b)
		b.SetBytes(benchSize)
		for b.Loop() {
			id := s.make(member, rawImage)
			put(b, s.URL+"/v2/images/"+id+"/file", member)
			b.StopTimer()
			s.emptyBlobs(b)
			b.StartTimer()
		}
	})
}

// bareUpload is the handler's part of it.
func bareUpload(path string, body io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	type piece struct {
		buf []byte
		wg  *sync.WaitGroup
	}
	var lanes [2]chan piece
	var done sync.WaitGroup
	for i, h := range []hash.Hash{md5.New(), sha512.New()} { //nolint:gosec // the API's checksum
		lanes[i] = make(chan piece, 4)
		done.Go(func() {
			for p := range lanes[i] {
				h.Write(p.buf)
				p.wg.Done()
			}
		})
	}
	const buffers = 4
	var bufs [buffers][]byte
	var busy [buffers]sync.WaitGroup
	for i := 0; ; i = (i + 1) % buffers {
		busy[i].Wait()
		if bufs[i] == nil {
			bufs[i] = make([]byte, 1<<20)
		}
		n, err := io.ReadFull(body, bufs[i])
		if n > 0 {
			busy[i].Add(2)
			for _, l := range lanes {
				l <- piece{bufs[i][:n], &busy[i]}
			}
			if _, err := f.Write(bufs[i][:n]); err != nil {
				return err
			}
		}
		if err != nil {
			break
		}
	}
	for _, l := range lanes {
		close(l)
	}
	done.Wait()
	return f.Sync()
}

// BenchmarkDownload compares a download with net/http's own file server.
func BenchmarkDownload(b *testing.B) {
	get := func(b *testing.B, url string) {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
		require.NoError(b, err)
		req.Header.Set("X-Auth-Token", member)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(b, err)
		n, err := io.Copy(io.Discard, resp.Body)
		require.NoError(b, err)
		require.NoError(b, resp.Body.Close())
		require.Equal(b, int64(benchSize), n)
	}
	b.Run("bare", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "x")
		f, err := os.Create(path)
		require.NoError(b, err)
		_, err = io.Copy(f, newNoise())
		require.NoError(b, err)
		require.NoError(b, f.Close())
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			http.ServeFile(w, r, path)
		}))
		defer srv.Close()
		b.SetBytes(benchSize)
		for b.Loop() {
			get(b, srv.URL)
		}
	})
	b.Run("glance", func(b *testing.B) {
		s := start(b)
		id := s.make(member, rawImage)
		put(b, s.URL+"/v2/images/"+id+"/file", member)
		b.SetBytes(benchSize)
		for b.Loop() {
			get(b, s.URL+"/v2/images/"+id+"/file")
		}
	})
}

// BenchmarkList lists a page of 100 of 1000 images, with tags and properties.
func BenchmarkList(b *testing.B) {
	s := start(b)
	for range 1000 {
		s.make(member, `{"name":"x","disk_format":"raw","container_format":"bare","tags":["t","u"],"os_distro":"debian","os_version":"13"}`)
	}
	for b.Loop() {
		s.Do(member, "GET", "/v2/images?limit=100", "").Want(200)
	}
}
