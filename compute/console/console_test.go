package console_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute/console"
)

// door is a Redeemer whose tokens are good once and whose streams echo.
type door struct{ tokens map[string]bool }

type echo struct {
	io.Reader
	io.WriteCloser
}

func (e echo) Close() error { return e.WriteCloser.Close() }

func (d *door) Redeem(_ context.Context, token string) (io.ReadWriteCloser, error) {
	if !d.tokens[token] {
		return nil, nephos.Errorf(nephos.ErrNotFound, "no such token")
	}
	delete(d.tokens, token)
	r, w := io.Pipe()
	return echo{r, w}, nil
}

func TestConsole(t *testing.T) {
	d := &door{tokens: map[string]bool{"good": true, "other": true, "page": true}}
	srv := httptest.NewServer(console.New(console.Config{Consoles: d, PublicURL: func() string { return "http://cloud.test/x" }, Origins: []string{"dash.test"}}))
	defer srv.Close()
	dial := func(token, origin string) (*websocket.Conn, int) {
		o := &websocket.DialOptions{Subprotocols: []string{"binary"}, HTTPHeader: http.Header{}}
		if origin != "" {
			o.HTTPHeader.Set("Origin", origin)
		}
		ws, resp, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(srv.URL, "http")+"/console?token="+token, o)
		if err != nil {
			require.NotNil(t, resp, err)
			return nil, resp.StatusCode
		}
		return ws, resp.StatusCode
	}
	ws, _ := dial("good", "")
	require.Equal(t, "binary", ws.Subprotocol())
	require.NoError(t, ws.Write(t.Context(), websocket.MessageBinary, []byte("hello")))
	kind, data, err := ws.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, websocket.MessageBinary, kind)
	require.Equal(t, "hello", string(data))
	require.NoError(t, ws.CloseNow())

	_, status := dial("good", "")
	require.Equal(t, http.StatusForbidden, status, "a token is good once")
	_, status = dial("", "")
	require.Equal(t, http.StatusForbidden, status)
	_, status = dial("other", "http://evil.test")
	require.Equal(t, http.StatusForbidden, status)
	require.True(t, d.tokens["other"], "and the page did not use it up")
	ws, _ = dial("other", "http://cloud.test")
	require.NotNil(t, ws)
	ws, _ = dial("page", "https://dash.test")
	require.NotNil(t, ws)

	resp, err := http.Get(srv.URL + "/console?token=page")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusUpgradeRequired, resp.StatusCode)
}
