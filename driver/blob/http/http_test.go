package http_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/blobtest"
	bhttp "github.com/nephos-cloud/nephos/driver/blob/http"
	"github.com/nephos-cloud/nephos/driver/drivertest"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func open(t drivertest.T, cfg bhttp.Config) *bhttp.Driver {
	t.Helper()
	if cfg.Allow == nil {
		cfg.Allow = loopback
	}
	d, err := bhttp.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func fill(t drivertest.T, dir, id string, content []byte) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, id), content, 0o600))
}

func TestConformance(t *testing.T) {
	plain := func(h http.Handler) http.Handler { return h }
	for name, server := range map[string]func(http.Handler) http.Handler{
		"Ranges": plain,
		"NoRanges": func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { r.Header.Del("Range"); h.ServeHTTP(w, r) })
		},
		"NoHEAD": func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead {
					w.WriteHeader(http.StatusMethodNotAllowed)
					return
				}
				h.ServeHTTP(w, r)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			blobtest.Run(t, func(t drivertest.T, dir string) blob.Driver {
				srv := httptest.NewServer(server(http.FileServer(http.Dir(dir))))
				t.Cleanup(srv.Close)
				return open(t, bhttp.Config{Base: srv.URL + "/"})
			}, blobtest.Options{Fill: fill})
		})
	}
}

// serve serves one handler under /o, and returns a driver on it.
func serve(t *testing.T, cfg bhttp.Config, h http.HandlerFunc) (*bhttp.Driver, string) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	cfg.Base = srv.URL + "/"
	return open(t, cfg), srv.URL
}

func TestOnlyPublicTargets(t *testing.T) {
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprint(w, "secret")
	}))
	defer srv.Close()
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	require.NoError(t, err)
	d := open(t, bhttp.Config{AnyURL: true, Allow: []netip.Prefix{}})
	for _, host := range []string{
		"127.0.0.1", "localhost", "127.9.9.9", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::127.0.0.1]",
		"10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255",
		"[fe80::1]", "[fc00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[ff02::1]", "2130706433", "0x7f.1",
	} {
		id, err := bhttp.ID("http://" + host + ":" + port + "/x")
		require.NoError(t, err, host)
		_, err = d.Get(t.Context(), id, 0, -1)
		require.Error(t, err, host)
		if !strings.ContainsAny(host, "x") && host != "2130706433" { // those a resolver may not know
			require.ErrorIs(t, err, nephos.ErrInvalid, host)
		}
		_, err = d.Stat(t.Context(), id)
		require.Error(t, err, host)
	}
	require.Zero(t, asked)
}

// A server that may be reached cannot send us to one that may not.
func TestRedirects(t *testing.T) {
	inside := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secret") }))
	l, err := net.Listen("tcp", "127.0.0.2:0")
	require.NoError(t, err)
	_ = inside.Listener.Close()
	inside.Listener = l
	inside.Start()
	defer inside.Close()

	var target string
	h := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/there":
			fmt.Fprint(w, r.Header.Get("Authorization"))
		default:
			http.Redirect(w, r, target, http.StatusFound)
		}
	}
	d, base := serve(t, bhttp.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Authorization: "Bearer x"}, h)
	for _, bad := range []string{inside.URL, "file:///etc/passwd", "ftp://127.0.0.1/x", "http://a:b@127.0.0.1/", base + "/o", "gopher://x"} {
		target = bad
		_, err := d.Get(t.Context(), "o", 0, -1)
		require.ErrorIs(t, err, nephos.ErrInvalid, bad)
		_, err = d.Stat(t.Context(), "o")
		require.ErrorIs(t, err, nephos.ErrInvalid, bad)
	}
	read := func(d *bhttp.Driver) string {
		r, err := d.Get(t.Context(), "o", 0, -1)
		require.NoError(t, err)
		defer r.Close()
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		return string(b)
	}
	target = "/there"
	require.Equal(t, "Bearer x", read(d))

	// Another host sees no Authorization, and with redirects off nobody follows.
	_, otherURL := serve(t, bhttp.Config{}, h)
	target = otherURL + "/there"
	require.Empty(t, read(d))
	none, _ := serve(t, bhttp.Config{MaxRedirects: -1}, h)
	_, err = none.Get(t.Context(), "o", 0, -1)
	require.ErrorIs(t, err, nephos.ErrInvalid)

	// From https to http nobody is sent.
	srv := httptest.NewTLSServer(http.HandlerFunc(h))
	defer srv.Close()
	secure := open(t, bhttp.Config{Base: srv.URL + "/", TLS: srv.Client().Transport.(*http.Transport).TLSClientConfig})
	_, err = secure.Get(t.Context(), "o", 0, -1)
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

func TestLimits(t *testing.T) {
	const limit = 1000
	for name, h := range map[string]http.HandlerFunc{
		"told": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1001")
			_, _ = w.Write(make([]byte, 1001))
		},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := serve(t, bhttp.Config{MaxSize: limit}, h)
			r, err := d.Get(t.Context(), "o", 0, -1)
			if err == nil {
				defer r.Close()
				var got []byte
				got, err = io.ReadAll(r)
				require.LessOrEqual(t, len(got), limit)
			}
			require.ErrorIs(t, err, nephos.ErrTooLarge)
		})
	}
	d, _ := serve(t, bhttp.Config{MaxSize: limit}, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush() // no length
		_, _ = w.Write(bytes.Repeat([]byte("x"), limit))
	})
	r, err := d.Get(t.Context(), "o", 0, -1)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Len(t, got, limit, "exactly the limit is not too much")
	require.NoError(t, r.Close())
	_, err = d.Stat(t.Context(), "o")
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

func TestLyingServers(t *testing.T) {
	short := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write(make([]byte, 50))
	}
	d, _ := serve(t, bhttp.Config{}, short)
	r, err := d.Get(t.Context(), "o", 0, -1)
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	require.NoError(t, r.Close())

	for _, value := range []string{"", "bytes 0-4/100", "bytes 5-9/x", "bytes 5-9/-1", "items 5-9/100", "bytes 5-9"} {
		d, _ := serve(t, bhttp.Config{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", value)
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(make([]byte, 5))
		})
		_, err := d.Get(t.Context(), "o", 5, 5)
		require.ErrorIs(t, err, nephos.ErrUnavailable, "%q", value)
	}
}

func TestAnswers(t *testing.T) {
	for code, want := range map[int]error{404: nephos.ErrNotFound, 410: nephos.ErrNotFound, 500: nephos.ErrUnavailable, 503: nephos.ErrUnavailable, 429: nephos.ErrUnavailable} {
		d, _ := serve(t, bhttp.Config{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		_, err := d.Stat(t.Context(), "o")
		require.ErrorIs(t, err, want, "%d", code)
		_, err = d.Get(t.Context(), "o", 3, 4)
		require.ErrorIs(t, err, want, "%d", code)
	}
	for _, code := range []int{204, 301, 400, 401, 403, 418} {
		d, _ := serve(t, bhttp.Config{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		_, err := d.Stat(t.Context(), "o")
		require.Error(t, err, "%d", code)
	}
	srv := httptest.NewServer(nil)
	srv.Close()
	_, err := open(t, bhttp.Config{Base: srv.URL + "/"}).Stat(t.Context(), "o")
	require.ErrorIs(t, err, nephos.ErrUnavailable)
}

func TestConfig(t *testing.T) {
	for _, cfg := range []bhttp.Config{
		{},
		{Base: "ftp://x/"},
		{Base: "http://x"},
		{Base: "http://x/a"},
		{Base: "http://me:pass@x/"},
		{Base: "http:///x/"},
		{Base: "http://x/?a=b/"},
		{Base: "http://x/", MaxSize: -1},
	} {
		_, err := bhttp.New(cfg)
		require.ErrorIs(t, err, nephos.ErrInvalid, "%+v", cfg)
		require.NotContains(t, err.Error(), "pass@")
	}
}

func TestIDs(t *testing.T) {
	d, base := serve(t, bhttp.Config{}, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL) })
	anywhere := open(t, bhttp.Config{AnyURL: true})
	id, err := bhttp.ID(base + "/deep/x?y=z")
	require.NoError(t, err)
	where, err := anywhere.Location(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, base+"/deep/x?y=z", where)
	where, err = d.Location(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, base+"/"+id, where, "a name like any other")
	_, err = anywhere.Stat(t.Context(), "o")
	require.ErrorIs(t, err, nephos.ErrNotFound, "there is no base")
	for _, bad := range []string{"url.!", "url.", "url.Z"} {
		_, err = anywhere.Stat(t.Context(), bad)
		require.ErrorIs(t, err, nephos.ErrInvalid, bad)
	}
	_, err = bhttp.ID("https://x/" + strings.Repeat("y", 200))
	require.ErrorIs(t, err, nephos.ErrInvalid)
	_, err = bhttp.ID("file:///x")
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

func FuzzID(f *testing.F) {
	f.Add("https://example.org/x")
	f.Add("http://[::1")
	f.Add("http://a\x00b/")
	d, err := bhttp.New(bhttp.Config{AnyURL: true, Allow: []netip.Prefix{}})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, raw string) {
		id, err := bhttp.ID(raw)
		if err != nil {
			return
		}
		require.NoError(t, blob.CheckID(id))
		where, err := d.URL(id)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(where.String(), "http"), where)
	})
}
