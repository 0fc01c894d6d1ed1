package cinder

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

const (
	maxDepth = 32
	maxQuote = 512
)

// decode reads a request's body, checks it and returns it.
func decode(r *httpapi.Request, p property) (object, error) {
	raw, err := r.Tree()
	if err != nil {
		return nil, noObject(r, p, err)
	}
	all := make(object, len(raw))
	for k, v := range raw {
		if all[k], err = parse(v); err != nil {
			return nil, err
		}
	}
	if err := p.check("", all); err != nil {
		if body, e := r.Raw(); e == nil {
			err = inOrder(err, body)
		}
		return nil, err
	}
	return all, nil
}

// noObject says of a body that is JSON but no object what the schema says of it.
func noObject(r *httpapi.Request, p property, err error) error {
	raw, unread := r.Raw()
	if unread != nil {
		return err
	}
	v, unparsed := parse(raw)
	if _, isObject := v.(object); unparsed != nil || isObject || v == nil {
		return err
	}
	return p.check("", v)
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
	if !utf8.Valid(raw) || !keepable(v, 0) {
		return nil, malformed(nil)
	}
	return v, nil
}

// keepable refuses values that nest too deep or hold NUL.
func keepable(v any, depth int) bool {
	switch v := v.(type) {
	case string:
		return !strings.ContainsRune(v, 0)
	case []any:
		return depth < maxDepth && !slices.ContainsFunc(v, func(e any) bool { return !keepable(e, depth+1) })
	case object:
		for k, e := range v {
			if depth >= maxDepth || strings.ContainsRune(k, 0) || !keepable(e, depth+1) {
				return false
			}
		}
	}
	return true
}
