package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
)

// Request is an HTTP request to an [API], after the token and the microversion
// were seen to. It belongs to one handler; it is not safe for concurrent use.
type Request struct {
	*http.Request
	// Version is the negotiated microversion, zero where there is none.
	Version Version
	// Writer is for handlers of Stream routes that write the answer themselves,
	// such as a watch or a console; they call [Request.Wrote] and return nil, nil.
	Writer http.ResponseWriter

	api       *API
	route     *route
	params    params
	caller    nephos.Caller
	token     string
	requestID string
	status    int
	wrote     bool
	body      []byte
	bodyErr   error
	bodyRead  bool
	query     url.Values
}

// Caller returns who makes the request; the zero Caller on a public route.
func (r *Request) Caller() nephos.Caller { return r.caller }

// Token returns the verified token the request came with; the Identity API
// needs it to show and revoke it. It must not be kept or logged.
func (r *Request) Token() string { return r.token }

// Reverify verifies the request's token again, for handlers that stream for
// long, and puts the caller as it is now into the context.
func (r *Request) Reverify() error {
	if r.route.Public || r.token == "" {
		return nil
	}
	return r.api.authenticate(r, r.route.OptionalToken)
}

// RequestID returns the request's id, "req-" and a UUID.
func (r *Request) RequestID() string { return r.requestID }

// Service returns the API's service type.
func (r *Request) Service() string { return r.api.cfg.Service }

// Route returns the pattern of the request's route; "" where no route takes it.
func (r *Request) Route() string {
	if r.route == nil {
		return ""
	}
	return r.route.Pattern
}

// ActionName returns the action that a POST to a path ending in /action asks for,
// which is the first name in its body; "" where there is none.
func (r *Request) ActionName() string {
	if r.Method != http.MethodPost || !strings.HasSuffix(r.Route(), "/action") {
		return ""
	}
	body, err := r.Raw()
	if err != nil {
		return ""
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil || len(fields) != 1 {
		return ""
	}
	for name := range fields {
		return name
	}
	return ""
}

// PathValue returns the value of a wildcard of the route's pattern, "" if it has
// none of that name.
func (r *Request) PathValue(name string) string {
	if r.route == nil {
		return ""
	}
	for i, n := range r.route.names {
		if n == name || n == "project_id?" && name == "project_id" {
			return r.params.values[i]
		}
	}
	return ""
}

// SetContext replaces the request's context.
func (r *Request) SetContext(ctx context.Context) { r.Request = r.WithContext(ctx) }

// Wrote says that the handler writes the answer to [Request.Writer] itself, and
// with which status.
func (r *Request) Wrote(status int) { r.wrote, r.status = true, status }

// Raw returns the request's body, read whole and at most once. A body larger
// than the API's bound is [nephos.ErrTooLarge].
func (r *Request) Raw() ([]byte, error) {
	if !r.bodyRead {
		r.bodyRead = true
		r.body, r.bodyErr = r.readBody()
	}
	return r.body, r.bodyErr
}

func (r *Request) readBody() ([]byte, error) {
	limit := r.api.cfg.MaxBody
	tooLarge := &nephos.Error{Kind: nephos.ErrTooLarge, Message: "Request is too large."}
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength > limit {
		r.drain()
		return nil, tooLarge
	}
	buf := bytes.NewBuffer(make([]byte, 0, max(r.ContentLength, 0)+bytes.MinRead))
	_, err := buf.ReadFrom(http.MaxBytesReader(r.Writer, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		r.drain()
		return nil, tooLarge
	case err != nil:
		if r.Context().Err() != nil {
			return nil, r.Context().Err()
		}
		return nil, &nephos.Error{Kind: nephos.ErrInvalid, Message: "The request body could not be read.", Cause: err}
	}
	return buf.Bytes(), nil
}

// maxDrain bounds what is read of a body that is refused, in bytes.
const maxDrain = 16 << 20

// drain reads on in a body that is too large. Many a client reads no answer
// before it has sent all of its request, and would find the connection broken.
// One that asks first, by Expect, sends nothing.
func (r *Request) drain() {
	if r.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, r.Body, maxDrain) // what remains is the connection's end
	}
}

// keepable reports whether a database takes all text of the request. It is asked
// when something went wrong: handlers should have said so before.
func (r *Request) keepable() bool {
	query, err := url.QueryUnescape(r.URL.RawQuery)
	if err != nil {
		query = r.URL.RawQuery
	}
	for _, text := range []string{r.URL.Path, query, string(r.body)} {
		if strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
			return false
		}
	}
	return !bytes.Contains(r.body, []byte(`\u0000`))
}

// maxIdempotencyKey bounds the Idempotency-Key header in bytes.
const maxIdempotencyKey = 255

// takeIdempotencyKey puts the request's Idempotency-Key, if it has one, into the
// context, with a digest of method, path and body.
func (r *Request) takeIdempotencyKey() error {
	keys := r.Header["Idempotency-Key"]
	if len(keys) == 0 {
		return nil
	}
	key := keys[0]
	bad := len(keys) > 1 || key == "" || len(key) > maxIdempotencyKey
	for i := 0; !bad && i < len(key); i++ {
		bad = key[i] < ' ' || key[i] > '~'
	}
	if bad {
		return nephos.Errorf(nephos.ErrInvalid,
			"The Idempotency-Key header must be one value of 1 to %d printable ASCII characters.", maxIdempotencyKey).
			WithField("Idempotency-Key")
	}
	body, err := r.Raw()
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, _ = io.WriteString(sum, r.Method+" "+strings.TrimSuffix(r.URL.EscapedPath(), "/")+"?"+r.URL.RawQuery+"\n")
	_, _ = sum.Write(body)
	r.SetContext(nephos.WithIdempotency(r.Context(), nephos.Idempotency{
		Key: key, Digest: hex.EncodeToString(sum.Sum(nil)),
	}))
	return nil
}

// PublicURL returns the URL at which clients see the API's root, without a
// trailing slash; "" when it is not known.
func (r *Request) PublicURL() string {
	if r.api.cfg.PublicURLFunc != nil {
		return strings.TrimRight(r.api.cfg.PublicURLFunc(), "/")
	}
	return strings.TrimRight(r.api.cfg.PublicURL, "/")
}

// Link returns the URL of a path of this API, with a query unless that is empty.
// The path is taken as it is: escape ids that are not known to be safe.
func (r *Request) Link(path string, query url.Values) string {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	link := r.PublicURL() + path
	if len(query) > 0 {
		link += "?" + query.Encode()
	}
	return link
}

// SelfPath returns the request's own path relative to the API's mount point,
// without a trailing slash.
func (r *Request) SelfPath() string {
	p := strings.TrimSuffix(r.URL.EscapedPath(), "/")
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	return p
}
