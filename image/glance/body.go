package glance

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos/httpapi"
)

// body returns a request's JSON body, whatever type it calls itself: an object
// or a list, numbers as json.Number.
func body(r *httpapi.Request) (any, error) {
	raw, err := r.Raw()
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, invalid("Body expected in request.")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil || !utf8.Valid(raw) {
		return nil, invalid("Malformed JSON in request body.")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid("Malformed JSON in request body.")
	}
	switch v.(type) {
	case map[string]any, []any:
		return v, nil
	}
	return nil, invalid("Unexpected body type. Expected list/dict.")
}

// repr writes a value as the messages of Python's schema validator do.
func repr(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case json.Number:
		return clip(string(v))
	case string:
		return "'" + clip(v) + "'"
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = repr(e)
		}
		return clip("[" + strings.Join(parts, ", ") + "]")
	case map[string]any:
		if len(v) == 0 {
			return "{}"
		}
		return "{...}"
	}
	return "?"
}
