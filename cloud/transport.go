package cloud

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

// Transport returns an HTTP transport that calls the cloud's handler without a
// network: for the agents of this process, and for tests.
func (c *Cloud) Transport() http.RoundTripper { return transport{c} }

type transport struct{ cloud *Cloud }

// RoundTrip implements [http.RoundTripper]. The answer's body streams.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body := r.Body
	if body == nil {
		body = http.NoBody
	}
	in := r.Clone(r.Context())
	in.Body, in.RequestURI, in.RemoteAddr = body, r.URL.RequestURI(), "127.0.0.1:0"
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	pr, pw := io.Pipe()
	w := &pipeWriter{header: http.Header{}, pipe: pw, started: make(chan struct{})}
	go func() {
		defer func() {
			if p := recover(); p != nil {
				w.end(errors.New("the handler broke off"))
				return
			}
			w.end(nil)
		}()
		defer body.Close()
		t.cloud.handler.ServeHTTP(w, in)
	}()
	select {
	case <-w.started:
	case <-r.Context().Done():
		pr.CloseWithError(r.Context().Err())
		return nil, r.Context().Err()
	}
	stop := make(chan struct{})
	var once sync.Once
	go func() {
		select {
		case <-r.Context().Done():
			pr.CloseWithError(r.Context().Err())
		case <-stop:
		}
	}()
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Request: r, ContentLength: -1,
		Body: &pipeBody{PipeReader: pr, close: func() { once.Do(func() { close(stop) }) }},
	}, nil
}

type pipeBody struct {
	*io.PipeReader
	close func()
}

func (b *pipeBody) Close() error {
	b.close()
	return b.PipeReader.Close()
}

// pipeWriter is the handler's side.
type pipeWriter struct {
	header, sent http.Header
	status       int
	pipe         *io.PipeWriter
	started      chan struct{}
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status, w.sent = status, w.header.Clone()
		close(w.started)
	}
}

func (w *pipeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(p)
}

func (w *pipeWriter) end(err error) {
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
	}
	w.WriteHeader(http.StatusOK)
	w.pipe.CloseWithError(err)
}
