package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
)

// Decode fills v, a pointer to a struct, from the request's JSON body. It
// refuses with an error that wraps [nephos.ErrInvalid] and names the field: an
// empty body, more than one value, a field that v does not have (names are case
// sensitive), a value of another type than the field's, and a null where the
// field is not a pointer, slice, map or interface. A body that says it is
// something other than JSON is 415 (400 in identity; network and image do not
// look). Of a field given twice the last counts.
//
// What the service's own validator says in such a case differs between
// services; the texts here follow it for the service of the API.
func (r *Request) Decode(v any) error { return r.decode(v, true) }

// DecodeOpen is [Request.Decode] for bodies that may hold fields v does not have.
func (r *Request) DecodeOpen(v any) error { return r.decode(v, false) }

// Tree returns the body as a JSON object whose values are not decoded yet.
func (r *Request) Tree() (map[string]json.RawMessage, error) {
	raw, err := r.jsonBody()
	if err != nil {
		return nil, err
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil || m == nil {
		return nil, r.malformed(err)
	}
	return m, nil
}

// Action returns the name and the value of a body with exactly one key, as it is
// posted to the action resources of compute and volume:
//
//	{"reboot": {"type": "SOFT"}}
func (r *Request) Action() (name string, body json.RawMessage, err error) {
	m, err := r.Tree()
	if err != nil {
		return "", nil, err
	}
	if len(m) != 1 {
		return "", nil, r.malformed(nil)
	}
	for name, body = range m {
	}
	return name, body, nil
}

// DecodeValue is [Request.Decode] for a part of the body, such as an action's
// value. The path names the part in errors.
func (r *Request) DecodeValue(raw json.RawMessage, path string, v any) error {
	return r.decodeRaw(raw, path, v, true)
}

func (r *Request) decode(v any, strict bool) error {
	raw, err := r.jsonBody()
	if err != nil {
		return err
	}
	return r.decodeRaw(raw, "", v, strict)
}

func (r *Request) decodeRaw(raw []byte, path string, v any, strict bool) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return r.malformed(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return r.malformed(err)
	}
	c := checker{service: r.api.cfg.Service, strict: strict}
	if err := c.check(tree, v, path); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return c.unmarshalError(err, path)
	}
	return nil
}

// jsonBody returns the body of a request that has one and says it is JSON, or
// says nothing.
func (r *Request) jsonBody() ([]byte, error) {
	if err := r.checkType(); err != nil {
		return nil, err
	}
	raw, err := r.Raw()
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 && r.api.cfg.Service == "compute" && !strings.HasSuffix(r.Route(), "/action") {
		return nil, &nephos.Error{Kind: nephos.ErrInvalid, Field: "body", Message: "None is not of type 'object'"}
	}
	if len(bytes.TrimSpace(raw)) == 0 || !utf8.Valid(raw) {
		return nil, r.malformed(nil)
	}
	return raw, nil
}

func needsContentType() error {
	return &nephos.Error{
		Kind: nephos.ErrInvalid, Field: "Content-Type",
		Message: "content-type header required when content-length > 0",
	}
}

// checkType refuses a body that says it is something other than JSON.
func (r *Request) checkType() error {
	service := r.api.cfg.Service
	ct := r.Header.Get("Content-Type")
	switch {
	case service == "network" || service == "image":
		// These read JSON whatever it calls itself.
	case ct == "" && service == "placement":
		return needsContentType()
	case ct != "":
		media, _, err := mime.ParseMediaType(ct)
		if err != nil || !isJSON(service, media) {
			return r.unsupportedType(ct)
		}
	}
	return nil
}

// isJSON reports whether a service takes a media type for JSON. To Nova text/plain
// is what web servers say when a client said nothing.
func isJSON(service, media string) bool {
	return media == "application/json" || media == "text/plain" && service == "compute" ||
		strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
}

func (r *Request) unsupportedType(ct string) error {
	err := &nephos.Error{Kind: nephos.ErrInvalid, Field: "Content-Type", Message: "Unsupported Content-Type"}
	switch r.api.cfg.Service {
	case "identity":
		err.Message = expecting("application/json", "Content-Type header")
		return err
	case "placement":
		err.Message = fmt.Sprintf("The media type %s is not supported, use application/json", clip(ct, 128))
	}
	return WithStatus(415, err)
}

// expecting is the sentence of Keystone's validation error.
func expecting(attribute, target string) string {
	return "Expecting to find " + attribute + " in " + target + ". The server could not comply with the " +
		"request since it is either malformed or otherwise incorrect. The client is assumed to be in error."
}

// malformed is the error for a body that is not one JSON value of the right kind.
func (r *Request) malformed(cause error) error {
	e := &nephos.Error{Kind: nephos.ErrInvalid, Field: "body", Cause: cause}
	switch r.api.cfg.Service {
	case "compute", "volume":
		e.Message = "Malformed request body"
	case "identity":
		e.Message = expecting("valid JSON", "request body")
	case "network":
		e.Message = "Body contains invalid data"
	case "placement":
		e.Message = "Malformed JSON: " + jsonCause(cause)
	default:
		e.Message = "Malformed JSON in request body."
	}
	return e
}

// jsonCause describes a syntax error without quoting the body.
func jsonCause(err error) string {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("%s at character %d", syntax.Error(), syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "unexpected end of the body"
	}
	return "exactly one value is expected"
}

// clip bounds what a message quotes of a request, on a rune boundary.
func clip(s string, n int) string {
	if len(s) <= n {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
