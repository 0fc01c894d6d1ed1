package cloud_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/nephos-cloud/nephos/cloud"
)

func roundTrip(t *testing.T, ctx context.Context, method, body string, h http.HandlerFunc) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://cloud.test/path?q=1", strings.NewReader(body))
	require.NoError(t, err)
	return (&http.Client{Transport: cloud.NewTransport(h)}).Do(r)
}

func TestTransport(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx := t.Context()
	t.Run("an answer", func(t *testing.T) {
		resp, err := roundTrip(t, ctx, "PUT", "ping", func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			w.Header().Set("X-Thing", "yes")
			w.WriteHeader(http.StatusTeapot)
			w.Header().Set("X-Late", "no")
			fmt.Fprint(w, r.Host, " ", r.RequestURI, " ", string(b))
		})
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "cloud.test /path?q=1 ping", string(b))
		require.Equal(t, http.StatusTeapot, resp.StatusCode)
		require.Equal(t, "418 I'm a teapot", resp.Status)
		require.Equal(t, "yes", resp.Header.Get("X-Thing"))
		require.Empty(t, resp.Header.Get("X-Late"))
		require.EqualValues(t, len(b), resp.ContentLength)
	})
	t.Run("no body for HEAD", func(t *testing.T) {
		resp, err := roundTrip(t, ctx, "HEAD", "", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			fmt.Fprint(w, "123456789")
		})
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Empty(t, b)
		require.EqualValues(t, 9, resp.ContentLength)
	})
	t.Run("what is long streams", func(t *testing.T) {
		resp, err := roundTrip(t, ctx, "GET", "", func(w http.ResponseWriter, _ *http.Request) {
			for range 64 {
				_, _ = w.Write(bytes.Repeat([]byte("x"), 1<<16))
			}
		})
		require.NoError(t, err)
		n, err := io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.EqualValues(t, 4<<20, n)
	})
	t.Run("what is flushed can be read while the handler goes on", func(t *testing.T) {
		ended := make(chan error)
		resp, err := roundTrip(t, ctx, "GET", "", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "one")
			require.NoError(t, http.NewResponseController(w).Flush())
			<-r.Context().Done() // the client closes the body
			_, err := fmt.Fprint(w, "two")
			ended <- err
		})
		require.NoError(t, err)
		b := make([]byte, 3)
		_, err = io.ReadFull(resp.Body, b)
		require.NoError(t, err)
		require.Equal(t, "one", string(b))
		require.NoError(t, resp.Body.Close())
		require.Error(t, <-ended)
	})
	t.Run("a request can be given up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		_, err := roundTrip(t, ctx, "GET", "", func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
			close(ended)
		})
		require.ErrorIs(t, err, context.Canceled)
		<-ended
	})
	t.Run("a handler that breaks off", func(t *testing.T) {
		_, err := roundTrip(t, ctx, "GET", "", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "half")
			panic(http.ErrAbortHandler)
		})
		require.ErrorContains(t, err, "broke off")
		require.ErrorIs(t, err, http.ErrAbortHandler)
		resp, err := roundTrip(t, ctx, "GET", "", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "half")
			w.(http.Flusher).Flush()
			panic("oops")
		})
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.Equal(t, "half", string(b))
		require.ErrorContains(t, err, "broke off: oops")
		require.NoError(t, resp.Body.Close())
	})
	t.Run("a handler that takes the connection and writes the head itself", func(t *testing.T) {
		resp, err := roundTrip(t, ctx, "GET", "", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			require.NoError(t, err)
			defer conn.Close()
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhello ")
			_, _ = io.CopyN(conn, conn, 5)
		})
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
		both, ok := resp.Body.(io.ReadWriteCloser)
		require.True(t, ok)
		_, err = io.WriteString(both, "world")
		require.NoError(t, err)
		b, err := io.ReadAll(both)
		require.NoError(t, err)
		require.Equal(t, "hello world", string(b))
		require.NoError(t, both.Close())
	})
}
