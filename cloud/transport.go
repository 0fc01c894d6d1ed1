package cloud

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// Transport returns an HTTP transport that calls the cloud's handler without a
// network: for the agents of this process, and for tests.
func (c *Cloud) Transport() http.RoundTripper {
	// Agents get it before the handler is made.
	return NewTransport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }))
}

// NewTransport returns an HTTP transport that calls the handler without a
// network. Answers stream once they are flushed or long; the handler may hijack
// the connection, as websockets do; closing an answer's body early, or ending
// the request's context, ends the handler's context. A handler that panics
// breaks the connection off.
func NewTransport(h http.Handler) http.RoundTripper { return transport{h} }

type transport struct{ handler http.Handler }

// held is how many bytes of an answer wait for the handler's end. What is
// shorter is read in peace: by then the handler does nothing any more.
const held = 1 << 20

var errBrokeOff = errors.New("the handler broke off")

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	in := r.Clone(ctx)
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "127.0.0.1:0"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	w := &answer{header: http.Header{}, started: make(chan struct{})}
	go func() {
		defer func() {
			p := recover()
			in.Body.Close()
			w.end(p)
		}()
		t.handler.ServeHTTP(w, in)
	}()
	select {
	case <-w.started:
	case <-r.Context().Done():
	}
	if err := r.Context().Err(); err != nil {
		cancel()
		w.refuse(err)
		return nil, err
	}
	return w.response(r, cancel)
}

// answer is the handler's side of a request, and becomes a stream when it must.
type answer struct {
	header, sent http.Header
	status       int
	started      chan struct{} // closed when the response can be returned

	mu    sync.Mutex
	once  sync.Once
	buf   bytes.Buffer   // until it streams
	pipe  *io.PipeWriter // once it streams
	out   *io.PipeReader
	conn  net.Conn // the client's end, once it was hijacked
	gone  error    // why nobody reads any more
	ended error    // how the handler ended, if badly
}

func (w *answer) Header() http.Header { return w.header }

func (w *answer) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *answer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.mu.Lock()
	if w.gone != nil {
		w.mu.Unlock()
		return 0, w.gone
	}
	if w.pipe == nil && w.buf.Len()+len(p) > held {
		w.stream()
	}
	pipe := w.pipe
	if pipe == nil {
		defer w.mu.Unlock()
		return w.buf.Write(p)
	}
	w.mu.Unlock()
	return pipe.Write(p)
}

// stream has what follows read as it is written. The lock is held.
func (w *answer) stream() {
	if w.pipe == nil {
		w.out, w.pipe = io.Pipe()
		w.start()
	}
}

func (w *answer) start() { w.once.Do(func() { close(w.started) }) }

// FlushError is for [http.ResponseController].
func (w *answer) FlushError() error {
	w.WriteHeader(http.StatusOK)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone == nil && w.conn == nil {
		w.stream()
	}
	return w.gone
}

// Flush implements [http.Flusher].
func (w *answer) Flush() { _ = w.FlushError() }

// Hijack implements [http.Hijacker].
func (w *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pipe != nil || w.conn != nil || w.gone != nil {
		return nil, nil, errors.New("hijacking a connection: the answer has begun")
	}
	theirs, ours := net.Pipe()
	w.conn = theirs
	w.start()
	return ours, bufio.NewReadWriter(bufio.NewReader(ours), bufio.NewWriter(ours)), nil
}

// end is told how the handler ended.
func (w *answer) end(p any) {
	if p == nil {
		w.WriteHeader(http.StatusOK)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if p != nil {
		w.ended = fmt.Errorf("%w: %v", errBrokeOff, p)
		if err, ok := p.(error); ok {
			w.ended = fmt.Errorf("%w: %w", errBrokeOff, err)
		}
	}
	if w.pipe != nil {
		w.pipe.CloseWithError(w.ended)
	}
	w.start()
}

// refuse says that nobody reads any more.
func (w *answer) refuse(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = why
	if w.out != nil {
		w.out.CloseWithError(why)
	}
	if w.conn != nil {
		w.conn.Close()
	}
}

// response is what the client gets. cancel ends the handler's context.
func (w *answer) response(r *http.Request, cancel func()) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil && w.status == 0 { // the handler writes the head itself
		from := bufio.NewReader(w.conn)
		resp, err := http.ReadResponse(from, r)
		if err != nil {
			cancel()
			w.conn.Close()
			return nil, err
		}
		resp.Body = &hijacked{Conn: w.conn, from: from, cancel: cancel}
		return resp, nil
	}
	if w.conn == nil && w.pipe == nil && w.ended != nil { // nothing of the answer was sent
		cancel()
		return nil, w.ended
	}
	resp := &http.Response{
		Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.sent, Request: r, ContentLength: -1,
	}
	if n, err := strconv.ParseInt(w.sent.Get("Content-Length"), 10, 64); err == nil {
		resp.ContentLength = n
	}
	switch {
	case w.conn != nil:
		resp.Body = &hijacked{Conn: w.conn, from: w.conn, cancel: cancel}
	case w.pipe == nil: // the handler has ended
		cancel()
		body := io.Reader(&w.buf)
		if resp.ContentLength < 0 && r.Method != http.MethodHead {
			resp.ContentLength = int64(w.buf.Len())
		}
		if r.Method == http.MethodHead {
			body = http.NoBody
		}
		resp.Body = io.NopCloser(body)
	default:
		head := bytes.NewReader(bytes.Clone(w.buf.Bytes()))
		stop := context.AfterFunc(r.Context(), func() { w.refuse(r.Context().Err()) })
		resp.Body = &body{Reader: io.MultiReader(head, w.out), close: func() { stop(); cancel(); w.refuse(io.ErrClosedPipe) }}
	}
	return resp, nil
}

type body struct {
	io.Reader
	close func()
}

func (b *body) Close() error {
	b.close()
	return nil
}

// hijacked is the client's end of a connection that the handler has taken.
type hijacked struct {
	net.Conn
	from   io.Reader // what it sends: some of it may have been read with the head
	cancel func()
}

func (h *hijacked) Read(p []byte) (int, error) { return h.from.Read(p) }

func (h *hijacked) Close() error {
	h.cancel()
	return h.Conn.Close()
}
