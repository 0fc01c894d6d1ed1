package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// Response is what a handler answers.
type Response struct {
	Status int
	// Body is encoded as JSON, without HTML escaping; nil means no body. A
	// [json.RawMessage] is sent as it is.
	Body any
	// Header is added to the answer's headers. A Content-Type here replaces
	// application/json.
	Header http.Header
	// Stream, where set, is the body instead of Body. It is closed when it is an
	// io.Closer, also after an error.
	Stream io.Reader
	// Write, where set, writes the body instead of Body and Stream.
	Write func(w io.Writer) error
	// Length is the number of bytes in Stream or from Write; 0 means unknown. An
	// empty stream is sent as no body.
	Length int64
}

// Status returns a response of any status; a nil body means none.
func Status(status int, body any) *Response { return &Response{Status: status, Body: body} }

// OK returns a 200.
func OK(body any) *Response { return &Response{Status: http.StatusOK, Body: body} }

// Created returns a 201.
func Created(body any) *Response { return &Response{Status: http.StatusCreated, Body: body} }

// Accepted returns a 202; body may be nil.
func Accepted(body any) *Response { return &Response{Status: http.StatusAccepted, Body: body} }

// NoContent returns a 204.
func NoContent() *Response { return &Response{Status: http.StatusNoContent} }

// MultipleChoices returns a 300, as version documents are served at an API's
// root.
func MultipleChoices(body any) *Response {
	return &Response{Status: http.StatusMultipleChoices, Body: body}
}

// Redirect returns a redirection to an absolute URL.
func Redirect(status int, location string) *Response {
	return (&Response{Status: status}).Set("Location", location)
}

// Bytes returns a 200 that streams a body of a known length. A length of 0 means
// that it is not known.
func Bytes(contentType string, length int64, body io.Reader) *Response {
	return (&Response{Status: http.StatusOK, Stream: body, Length: length}).Set("Content-Type", contentType)
}

// Set sets a header and returns the same response.
func (resp *Response) Set(key, value string) *Response {
	if resp.Header == nil {
		resp.Header = make(http.Header, 1)
	}
	resp.Header.Set(key, value)
	return resp
}

// buffer is a reusable JSON encoder.
type buffer struct {
	bytes.Buffer
	enc *json.Encoder
}

var buffers = sync.Pool{New: func() any {
	b := &buffer{}
	b.enc = json.NewEncoder(&b.Buffer)
	b.enc.SetEscapeHTML(false)
	return b
}}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

func putBuffer(b *buffer) {
	if b.Cap() > 1<<20 {
		return // let a rare giant go
	}
	b.Reset()
	buffers.Put(b)
}

// encode appends v as JSON, without the encoder's newline.
func (b *buffer) encode(v any) error {
	if raw, ok := v.(json.RawMessage); ok {
		b.Write(raw)
		return nil
	}
	if err := b.enc.Encode(v); err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	b.Truncate(b.Len() - 1)
	return nil
}

var typeJSON = []string{jsonPlain}

// write sends a response. An error before anything was sent leaves r.wrote false.
func (a *API) write(r *Request, resp *Response) error {
	if c, ok := resp.Stream.(io.Closer); ok {
		defer c.Close()
	}
	status := resp.Status
	if status == 0 {
		status = http.StatusOK
	}
	bodyless := status == http.StatusNoContent || status == http.StatusNotModified || status < 200
	h := r.Writer.Header()

	var b *buffer
	if resp.Stream == nil && resp.Write == nil && resp.Body != nil && !bodyless {
		b = getBuffer()
		defer putBuffer(b)
		if err := b.encode(resp.Body); err != nil {
			return err
		}
	}
	for k, v := range resp.Header {
		if k == "Vary" {
			h[k] = append(h[k], v...)
			continue
		}
		h[k] = v
	}
	r.wrote, r.status = true, status
	switch {
	case bodyless:
		r.Writer.WriteHeader(status)
		return nil
	case resp.Stream != nil || resp.Write != nil:
		return a.writeStream(r, resp, status, h)
	case b == nil:
		// An empty body still has a type on the real services' 202.
		if _, ok := h["Content-Length"]; !ok {
			h["Content-Length"] = []string{"0"}
		}
		r.Writer.WriteHeader(status)
		return nil
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = typeJSON
	}
	h["Content-Length"] = []string{strconv.Itoa(b.Len())}
	r.Writer.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	// A client that hangs up while we write is nobody's failure.
	_, _ = r.Writer.Write(b.Bytes())
	return nil
}

func (a *API) writeStream(r *Request, resp *Response, status int, h http.Header) error {
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = []string{"application/octet-stream"}
	}
	if resp.Length > 0 {
		h["Content-Length"] = []string{strconv.FormatInt(resp.Length, 10)}
	}
	r.Writer.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	var err error
	if resp.Write != nil {
		err = resp.Write(r.Writer)
	} else {
		_, err = io.Copy(r.Writer, resp.Stream)
	}
	if err != nil {
		return fmt.Errorf("streaming the answer: %w", err)
	}
	return nil
}
