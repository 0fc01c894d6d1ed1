// Package console is the door to servers' screens and serial ports: a websocket
// that carries the bytes of a guest's console to whoever shows a token that the
// Compute API gave out.
//
// A token is good once and not for long; only its hash is kept. A browser may
// open the door only from the cloud's own pages. Nothing here logs a token.
package console

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/coder/websocket"

	"github.com/nephos-cloud/nephos"
)

// Redeemer opens the console that a token invites to; *compute.Service is one.
// The stream ends when its server goes.
type Redeemer interface {
	Redeem(ctx context.Context, token string) (io.ReadWriteCloser, error)
}

// Config are the parts of a Handler.
type Config struct {
	Consoles Redeemer
	// PublicURL returns the cloud's public URL, whose origin browsers must come
	// from; others that send no Origin may come from anywhere.
	PublicURL func() string
	// Origins are further hosts that pages may come from, such as a dashboard's.
	Origins []string
	Log     *slog.Logger
}

// Handler answers GET /console?token=… with a websocket of the subprotocol
// binary.
type Handler struct{ cfg Config }

// New returns a handler.
func New(cfg Config) *Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Handler{cfg}
}

// frame is how much of a console is passed on at a time, in bytes.
const frame = 16 << 10

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		http.Error(w, "this is a websocket", http.StatusUpgradeRequired)
		return
	}
	if !h.welcome(r.Header.Get("Origin")) {
		http.Error(w, "the page may not open this", http.StatusForbidden)
		return
	}
	token := r.URL.Query().Get("token")
	if token == "" || len(token) > 64 {
		http.Error(w, "the token is not good", http.StatusForbidden)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	stream, err := h.cfg.Consoles.Redeem(ctx, token)
	if err != nil {
		if errors.Is(err, nephos.ErrNotFound) {
			http.Error(w, "the token is not good, or no longer", http.StatusForbidden)
			return
		}
		h.cfg.Log.Error("opening a console", "error", err)
		http.Error(w, "the console cannot be reached", http.StatusServiceUnavailable)
		return
	}
	defer stream.Close()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{"binary"}, InsecureSkipVerify: true, // the origin was looked at above
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	ws.SetReadLimit(1 << 20)
	conn := websocket.NetConn(ctx, ws, websocket.MessageBinary)
	go func() {
		defer cancel()
		_, _ = io.CopyBuffer(stream, struct{ io.Reader }{conn}, make([]byte, frame))
		stream.Close()
	}()
	_, _ = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{stream}, make([]byte, frame))
	_ = ws.Close(websocket.StatusNormalClosure, "")
}

// welcome reports whether a page of the origin may open a console. What is no
// browser sends none.
func (h *Handler) welcome(origin string) bool {
	if origin == "" {
		return true
	}
	o, err := url.Parse(origin)
	if err != nil || o.Host == "" {
		return false
	}
	for _, host := range h.cfg.Origins {
		if strings.EqualFold(o.Host, host) {
			return true
		}
	}
	if h.cfg.PublicURL == nil {
		return false
	}
	p, err := url.Parse(h.cfg.PublicURL())
	return err == nil && strings.EqualFold(p.Host, o.Host) && strings.EqualFold(p.Scheme, o.Scheme)
}
