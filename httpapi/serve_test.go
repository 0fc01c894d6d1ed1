package httpapi

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A request that runs when the shutdown begins is answered in full.
func TestServeFinishesWhatRuns(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	started, release := make(chan struct{}), make(chan struct{})
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(started)
			<-release
			_, _ = io.WriteString(w, "done")
		}), nil)
	}()
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		answer <- string(b)
	}()
	<-started
	stop()
	select {
	case err := <-served:
		t.Fatalf("Serve returned %v while a request ran", err)
	case release <- struct{}{}:
	}
	require.Equal(t, "done", <-answer)
	require.NoError(t, <-served)
	_, err = net.Dial("tcp", l.Addr().String())
	require.Error(t, err, "the listener is closed")
}

func TestServeReportsABrokenListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.Error(t, Serve(t.Context(), l, http.NotFoundHandler(), nil))
}

// A stream without an end learns of the shutdown.
func TestStoppingEndsStreams(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	started, served := make(chan struct{}), make(chan error, 1)
	a := New(Config{Service: "compute"})
	a.Add(Route{Pattern: "GET /watch", Public: true, Stream: true, Handler: func(r *Request) (*Response, error) {
		r.Wrote(200)
		_, _ = io.WriteString(r.Writer, "first")
		close(started)
		<-Stopping(r.Context())
		_, _ = io.WriteString(r.Writer, " last")
		return nil, nil
	}})
	go func() { served <- Serve(ctx, l, a, nil) }()
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + l.Addr().String() + "/watch")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		answer <- string(b)
	}()
	<-started
	stop()
	require.Equal(t, "first last", <-answer)
	require.NoError(t, <-served)
	require.Nil(t, Stopping(t.Context()))
}
