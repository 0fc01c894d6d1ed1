package cinder

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

const (
	maxDepth = 32
	maxQuote = 512
)

// decode reads a request's body, checks it and returns it.
func decode(r *httpapi.Request, s schema.Schema) (object, error) {
	raw, err := r.Tree()
	if err != nil {
		return nil, noObject(r, s, err)
	}
	all := make(object, len(raw))
	for k, v := range raw {
		if all[k], err = parse(v); err != nil {
			return nil, err
		}
	}
	body, err := r.Raw()
	if err != nil {
		return nil, err
	}
	return all, checkSent(s, "", all, body)
}

// noObject says of a body that is JSON but no object what the schema says of it.
func noObject(r *httpapi.Request, s schema.Schema, err error) error {
	raw, unread := r.Raw()
	if unread != nil {
		return err
	}
	v, unparsed := parse(raw)
	if _, isObject := v.(object); unparsed != nil || isObject || v == nil {
		return err
	}
	return check(s, "", v)
}

func malformed(cause error) error {
	return &nephos.Error{Kind: nephos.ErrInvalid, Field: "body", Message: "Malformed request body", Cause: cause}
}

// parse reads one JSON value, whose texts a database can keep.
func parse(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, malformed(err)
	}
	if !utf8.Valid(raw) || !limits.Keepable(v) {
		return nil, malformed(nil)
	}
	return v, nil
}

// limits bound a member of a body.
var limits = schema.Limits{Depth: maxDepth}
