package s3_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/blobtest"
	"github.com/nephos-cloud/nephos/driver/blob/s3"
	"github.com/nephos-cloud/nephos/driver/drivertest"
)

// quiet is for servers whose clients misbehave.
var quiet = log.New(io.Discard, "", 0)

// service is an S3 service inside the test, and what stands before it.
type service struct {
	url     string
	backend gofakes3.Backend
	// before may answer a request itself, and then reports true.
	before func(w http.ResponseWriter, r *http.Request, next http.Handler) bool
}

func serve(t testing.TB) *service {
	t.Helper()
	s := &service{backend: s3mem.New()}
	fake := gofakes3.New(s.backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("partNumber") && r.ContentLength == 0 {
			r.Header.Set("Content-Length", "1") // the fake, unlike services, takes no empty part
		}
		if s.before != nil && s.before(w, r, fake) {
			return
		}
		fake.ServeHTTP(w, r)
	}))
	srv.Config.ErrorLog = quiet
	srv.Start()
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

func (s *service) config(prefix string) s3.Config {
	return s3.Config{
		Endpoint: s.url, Bucket: "images", Prefix: prefix, Region: "us-east-1",
		AccessKey: "nephos", SecretKey: "secret", CreateBucket: true, PartSize: 5 << 20, Attempts: 2,
	}
}

func open(t drivertest.T, cfg s3.Config) *s3.Driver {
	t.Helper()
	d, err := s3.Open(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func TestConformance(t *testing.T) {
	s := serve(t)
	blobtest.Run(t, func(t drivertest.T, dir string) blob.Driver {
		return open(t, s.config(dir[1:]+"/"))
	}, blobtest.Options{})
}

func pattern(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func requireContent(t *testing.T, d *s3.Driver, id string, want []byte) {
	t.Helper()
	r, err := d.Get(t.Context(), id, 0, -1)
	require.NoError(t, err)
	defer r.Close()
	got := bytes.NewBuffer(make([]byte, 0, len(want)+bytes.MinRead))
	_, err = got.ReadFrom(r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got.Bytes()))
}

func TestBodyInParts(t *testing.T) {
	s := serve(t)
	parts := map[string]int64{}
	s.before = func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if n := r.URL.Query().Get("partNumber"); n != "" {
			parts[n] = r.ContentLength
		}
		return false
	}
	cfg := s.config("")
	cfg.Parallel = 1
	d := open(t, cfg)
	for _, one := range []struct {
		size int
		hint int64
		want int // parts; 0 where the object may be vast, whose parts are larger
	}{{11 << 20, -1, 3}, {5<<20 + 1, 5<<20 + 1, 2}, {5<<20 + 1, 1 << 62, 0}} {
		clear(parts)
		content := pattern(one.size)
		n, err := d.Put(t.Context(), "o", io.MultiReader(bytes.NewReader(content)), one.hint)
		require.NoError(t, err)
		require.EqualValues(t, len(content), n)
		requireContent(t, d, "o", content)
		if one.want > 0 {
			require.Len(t, parts, one.want)
		}
	}
}

func TestTLS(t *testing.T) {
	s := serve(t)
	plain, err := url.Parse(s.url)
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(plain))
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	defer srv.Close()
	cfg := s.config("")
	cfg.Endpoint = srv.URL
	cfg.Attempts = 1
	_, err = s3.Open(t.Context(), cfg)
	require.ErrorIs(t, err, nephos.ErrUnavailable, "a certificate of nobody whom we trust")
	cfg.TLS = srv.Client().Transport.(*http.Transport).TLSClientConfig
	d := open(t, cfg)
	for _, n := range []int{0, 100, 5<<20 + 1} {
		content := pattern(n)
		_, err = d.Put(t.Context(), "o", bytes.NewReader(content), -1)
		require.NoError(t, err)
		requireContent(t, d, "o", content)
	}
}

func TestListPages(t *testing.T) {
	s := serve(t)
	d := open(t, s.config("p/"))
	pages := 0
	s.before = func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if q := r.URL.Query(); q.Get("list-type") == "2" {
			pages++
			q.Set("max-keys", "10")
			r.URL.RawQuery = q.Encode()
		}
		return false
	}
	want := map[string]bool{}
	for i := range 35 {
		id := fmt.Sprintf("o%d", i)
		_, err := d.Put(t.Context(), id, bytes.NewReader(nil), 0)
		require.NoError(t, err)
		want[id] = true
	}
	// Other things in the bucket are no objects of ours.
	for _, key := range []string{"p/a/b", "p/.hidden", "other", "p2/x"} {
		_, err := s.backend.PutObject("images", key, nil, bytes.NewReader(nil), 0, nil)
		require.NoError(t, err)
	}
	got := map[string]bool{}
	require.NoError(t, d.List(t.Context(), func(o blob.Object) bool { got[o.ID] = true; return true }))
	require.Equal(t, want, got)
	require.GreaterOrEqual(t, pages, 4)
}

func TestConfig(t *testing.T) {
	s := serve(t)
	for name, change := range map[string]func(*s3.Config){
		"no endpoint":       func(c *s3.Config) { c.Endpoint = "" },
		"endpoint's scheme": func(c *s3.Config) { c.Endpoint = "ftp://x" },
		"endpoint's path":   func(c *s3.Config) { c.Endpoint += "/images" },
		"endpoint's user":   func(c *s3.Config) { c.Endpoint = "http://me:hidden@x" },
		"no bucket":         func(c *s3.Config) { c.Bucket = "" },
		"bucket's name":     func(c *s3.Config) { c.Bucket = "../x" },
		"no such bucket":    func(c *s3.Config) { c.CreateBucket = false },
		"one key":           func(c *s3.Config) { c.SecretKey = "" },
		"small parts":       func(c *s3.Config) { c.PartSize = 1 },
		"large parts":       func(c *s3.Config) { c.PartSize = 6 << 30 },
		"prefix":            func(c *s3.Config) { c.Prefix = "a/../b/" },
		"attempts":          func(c *s3.Config) { c.Attempts = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := s.config("")
			change(&cfg)
			_, err := s3.Open(t.Context(), cfg)
			require.ErrorIs(t, err, nephos.ErrInvalid)
			require.NotContains(t, err.Error(), "hidden")
		})
	}
}

func TestLocation(t *testing.T) {
	d := open(t, serve(t).config("p/"))
	_, err := d.Put(t.Context(), "o", bytes.NewReader(nil), 0)
	require.NoError(t, err)
	where, err := d.Location(t.Context(), "o")
	require.NoError(t, err)
	require.Equal(t, "s3://images/p/o", where)
}

// later is a clock that is ahead.
type later struct {
	nephos.WallClock
	by time.Duration
}

func (l later) Now() time.Time { return l.WallClock.Now().Add(l.by) }

func uploads(t *testing.T, s *service) int {
	t.Helper()
	resp, err := http.Get(s.url + "/images?uploads")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
	return bytes.Count(body, []byte("<UploadId>"))
}

// A process that dies in the middle of an upload leaves parts that nobody sees;
// a later Open takes them back.
func TestAbandonedUploads(t *testing.T) {
	s := serve(t)
	cfg := s.config("p/")
	d := open(t, cfg)
	begun := make(chan struct{})
	s.before = func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodDelete && r.URL.Query().Has("uploadId") {
			w.WriteHeader(http.StatusForbidden) // as if the process were gone
			return true
		}
		if r.URL.Query().Get("partNumber") == "1" {
			close(begun)
		}
		return false
	}
	ctx, cancel := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	go func() {
		_, _ = pw.Write(pattern(6 << 20))
		<-begun
		cancel()
		_ = pw.CloseWithError(io.ErrClosedPipe)
	}()
	_, err := d.Put(ctx, "o", pr, -1)
	require.Error(t, err)
	s.before = nil
	require.Equal(t, 1, uploads(t, s))

	open(t, cfg)
	require.Equal(t, 1, uploads(t, s), "another process may be at it")
	cfg.Clock = later{by: 8 * 24 * time.Hour}
	cfg.Prefix = "q/"
	open(t, cfg)
	require.Equal(t, 1, uploads(t, s), "somebody else's")
	cfg.Prefix = "p/"
	require.NoError(t, d.BeginParts(t.Context(), "o"))
	require.Equal(t, 2, uploads(t, s))
	d = open(t, cfg)
	require.Equal(t, 1, uploads(t, s), "one is meant")
	require.NoError(t, d.AbortParts(t.Context(), "o"))
	require.Zero(t, uploads(t, s))
}

// A part that is longer than what is kept in memory.
func TestLongPart(t *testing.T) {
	d := open(t, serve(t).config(""))
	content := pattern(6 << 20)
	require.NoError(t, d.BeginParts(t.Context(), "o"))
	p, err := d.PutPart(t.Context(), "o", 1, bytes.NewReader(content), -1)
	require.NoError(t, err)
	n, err := d.CompleteParts(t.Context(), "o", []blob.Part{p})
	require.NoError(t, err)
	require.EqualValues(t, len(content), n)
	requireContent(t, d, "o", content)
}
