package keystone

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// limits bound a body.
var limits = schema.Limits{Depth: 32, Items: 10_000}

// member decodes a request's body and returns the object below a key, after
// checking it. An absent one counts as empty, as in Keystone.
func member(r *httpapi.Request, key string, s schema.Schema) (object, error) {
	body, err := decode(r)
	if err != nil {
		return nil, err
	}
	if _, present := body[key]; !present {
		return object{}, check(&s, map[string]any{})
	}
	return body.object(key), check(&s, body[key])
}

// needed is member for an object that must be there.
func needed(r *httpapi.Request, key string, s schema.Schema) (object, error) {
	body, err := decode(r)
	if err != nil {
		return nil, err
	}
	return body.object(key), check(&s, body[key])
}

// decode reads the body as one JSON object. What is no JSON counts as empty, as
// in Keystone, so that the check of what is required says what is missing.
func decode(r *httpapi.Request) (object, error) {
	raw, err := r.Raw()
	if err != nil {
		return nil, err
	}
	if ct := r.Header.Get("Content-Type"); ct != "" && len(raw) > 0 {
		if media, _, _ := strings.Cut(ct, ";"); strings.TrimSpace(media) != "application/json" {
			return nil, expecting("application/json", "Content-Type header")
		}
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return object{}, nil
	}
	v, err := parseJSON(raw)
	if err != nil {
		return nil, errNoJSON()
	}
	obj, ok := v.(map[string]any)
	if !ok {
		return nil, errNoJSON()
	}
	return obj, nil
}

func errNoJSON() error { return expecting("valid JSON", "request body") }

// expecting is Keystone's complaint about something that is missing.
func expecting(attribute, target string) error {
	return nephos.Errorf(nephos.ErrInvalid, "Expecting to find %s in %s. The server could not comply with the request since it is "+
		"either malformed or otherwise incorrect. The client is assumed to be in error.", attribute, target).WithField(attribute)
}

func parseJSON(raw []byte) (any, error) {
	if !utf8.Valid(raw) {
		return nil, fmt.Errorf("the body is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("something follows the JSON value")
	}
	if !limits.Keepable(v) {
		return nil, fmt.Errorf("the body nests too deep, has a list of too many items, or a text with NUL")
	}
	return v, nil
}
