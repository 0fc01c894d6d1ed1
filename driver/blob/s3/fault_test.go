package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

// drop breaks the connection without an answer.
func drop(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_ = conn.Close()
}

func TestBusyService(t *testing.T) {
	s := serve(t)
	d := open(t, s.config(""))
	_, err := d.Put(t.Context(), "o", strings.NewReader("hello"), 5)
	require.NoError(t, err)
	var busy atomic.Int32
	s.before = func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if busy.Add(-1) < 0 {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
		return true
	}
	put := func() error {
		_, err := d.Put(t.Context(), "o", strings.NewReader("world"), -1)
		return err
	}
	for name, call := range map[string]func() error{
		"Stat": func() error { _, err := d.Stat(t.Context(), "o"); return err },
		"Put":  put,
		"Get": func() error {
			r, err := d.Get(t.Context(), "o", 1, -1)
			if err == nil {
				_ = r.Close()
			}
			return err
		},
	} {
		busy.Store(1)
		require.NoError(t, call(), "%s after one refusal", name)
		busy.Store(1000)
		require.ErrorIs(t, call(), nephos.ErrUnavailable, name)
		busy.Store(0)
		require.NoError(t, call(), name)
	}
}

func TestServiceGone(t *testing.T) {
	s := serve(t)
	cfg := s.config("")
	d := open(t, cfg)
	gone := httptest.NewServer(nil)
	gone.Close()
	cfg.Endpoint = gone.URL
	cfg.Attempts = 1
	_, err := d.Stat(t.Context(), "o")
	require.ErrorIs(t, err, nephos.ErrNotFound)
	s.before = func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool { drop(w); return true }
	_, err = d.Stat(t.Context(), "o")
	require.ErrorIs(t, err, nephos.ErrUnavailable)
}

func TestWrongKeys(t *testing.T) {
	s := serve(t)
	d := open(t, s.config(""))
	s.before = func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>`)
		return true
	}
	_, err := d.Put(t.Context(), "o", strings.NewReader("x"), 1)
	require.ErrorContains(t, err, "check them")
	require.NotErrorIs(t, err, nephos.ErrForbidden, "the client did nothing wrong")
}

// A reader goes on where its connection broke.
func TestConnectionBreaksWhileReading(t *testing.T) {
	s := serve(t)
	d := open(t, s.config(""))
	content := pattern(3 << 20)
	_, err := d.Put(t.Context(), "o", bytes.NewReader(content), -1)
	require.NoError(t, err)
	gets := 0
	s.before = func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if r.Method != http.MethodGet {
			return false
		}
		if gets++; gets < 4 {
			next.ServeHTTP(&short{ResponseWriter: w, left: 700_000}, r)
			drop(w)
			return true
		}
		return false
	}
	r, err := d.Get(t.Context(), "o", 5, -1)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.True(t, bytes.Equal(content[5:], got))
	require.Equal(t, 4, gets)

	// It never mixes two versions.
	gets = 0
	r, err = d.Get(t.Context(), "o", 0, -1)
	require.NoError(t, err)
	_, err = d.Put(t.Context(), "o", bytes.NewReader(pattern(4 << 20)[1:]), -1)
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, nephos.ErrConflict)
	require.NoError(t, r.Close())

	// It does not try for ever.
	gets = -1 << 30
	s.before = func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if r.Method == http.MethodGet {
			next.ServeHTTP(&short{ResponseWriter: w}, r)
			drop(w)
			return true
		}
		return false
	}
	r, err = d.Get(t.Context(), "o", 0, -1)
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// short lets only so many bytes of a body through.
type short struct {
	http.ResponseWriter
	left int
}

func (s *short) Write(p []byte) (int, error) {
	n := min(len(p), s.left)
	s.left -= n
	if n > 0 {
		if _, err := s.ResponseWriter.Write(p[:n]); err != nil {
			return 0, err
		}
	}
	_ = http.NewResponseController(s.ResponseWriter).Flush()
	if n < len(p) {
		return n, errors.New("cut")
	}
	return n, nil
}

func TestConnectionBreaksWhileSending(t *testing.T) {
	s := serve(t)
	d := open(t, s.config(""))
	content := pattern(5<<20 + 1000)
	var drops, answersLost atomic.Int32
	s.before = func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		q := r.URL.Query()
		if q.Get("partNumber") == "2" && drops.Add(-1) >= 0 {
			drop(w)
			return true
		}
		if r.Method == http.MethodPost && q.Has("uploadId") && answersLost.Add(-1) >= 0 {
			next.ServeHTTP(httptest.NewRecorder(), r)
			drop(w)
			return true
		}
		return false
	}
	drops.Store(1)
	n, err := d.Put(t.Context(), "o", io.MultiReader(bytes.NewReader(content)), -1)
	require.NoError(t, err)
	require.EqualValues(t, len(content), n)
	requireContent(t, d, "o", content)

	answersLost.Store(1)
	content[0]++
	_, err = d.Put(t.Context(), "o", bytes.NewReader(content), -1)
	require.NoError(t, err, "the upload had succeeded, only its answer was lost")
	requireContent(t, d, "o", content)

	drops.Store(1000)
	_, err = d.Put(t.Context(), "new", bytes.NewReader(content), -1)
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	_, err = d.Stat(t.Context(), "new")
	require.ErrorIs(t, err, nephos.ErrNotFound)
	require.Zero(t, uploads(t, s), "the parts are taken back")
}

// A failed body leaves no parts, also when its context is over.
func TestFailedBodyTakesPartsBack(t *testing.T) {
	s := serve(t)
	d := open(t, s.config(""))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := d.Put(ctx, "o", io.MultiReader(bytes.NewReader(pattern(6<<20)), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, io.ErrNoProgress
	})), -1)
	require.ErrorIs(t, err, io.ErrNoProgress)
	require.Zero(t, uploads(t, s))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
