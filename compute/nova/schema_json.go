package nova

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

// object is a JSON object that remembers the order of its keys, which Nova's
// messages quote.
type object struct {
	keys   []string
	values map[string]any
}

// maxDepth bounds how deep a body may nest.
const maxDepth = 32

// parse reads the request's body, an object, and checks it.
func parse(r *httpapi.Request, s *schema) (*object, error) {
	_, badTree := r.Tree() // type, size, syntax
	raw, err := r.Raw()
	if err != nil {
		return nil, err
	}
	v, err := parseJSON(raw)
	o, ok := v.(*object)
	switch {
	case err == nil && !ok && isMalformed(badTree):
		return nil, s.body(v)
	case badTree != nil:
		return nil, badTree
	case err != nil:
		return nil, malformed()
	}
	return o, s.body(o)
}

func malformed() error { return nephos.Errorf(nephos.ErrInvalid, "Malformed request body") }

// isMalformed reports that a body was no object.
func isMalformed(err error) bool { return err != nil && err.Error() == malformed().Error() }

// parseJSON reads one value: objects as *object, numbers as json.Number.
func parseJSON(raw []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	v, err := parseValue(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return v, nil
}

func parseValue(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deep")
	}
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		o := &object{values: map[string]any{}}
		for dec.More() {
			k, err := dec.Token()
			if err != nil {
				return nil, err
			}
			v, err := parseValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			name := k.(string) // a key of an object always is
			if _, again := o.values[name]; !again {
				o.keys = append(o.keys, name)
			}
			o.values[name] = v
		}
		_, err := dec.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := parseValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.Token()
		return list, err
	}
	return t, nil
}

// has reports whether the property was given, also as null.
func (o *object) has(name string) bool {
	_, ok := o.values[name]
	return ok
}

// at returns a property that is an object.
func (o *object) at(name string) *object {
	if v, ok := o.values[name].(*object); ok {
		return v
	}
	return &object{values: map[string]any{}}
}

// str returns a property's text, "" when there is none; a number's digits count.
func (o *object) str(name string) string {
	switch v := o.values[name].(type) {
	case string:
		return v
	case json.Number:
		return string(v)
	}
	return ""
}

// ptr returns a property's text, nil when it is absent or null.
func (o *object) ptr(name string) *string {
	if o.values[name] == nil {
		return nil
	}
	s := o.str(name)
	return &s
}

// int returns a property's whole number, which may be written as a string; the
// schema has bounded it.
func (o *object) int(name string, otherwise int) int {
	n, err := json.Number(strings.TrimSpace(o.str(name))).Int64()
	if err != nil {
		return otherwise
	}
	return int(n)
}

// bool returns a property's truth value, which may be one of Nova's strings.
func (o *object) bool(name string, otherwise bool) bool {
	switch v := o.values[name].(type) {
	case bool:
		return v
	case string:
		if b, ok := httpapi.ParseBool(v); ok {
			return b
		}
	}
	return otherwise
}

// maxRepr bounds what a message quotes of a request, in bytes.
const maxRepr = 1024

// str writes a value as Python's str does: text without quotes.
func str(v any) string {
	if s, ok := v.(string); ok {
		return bounded(s)
	}
	return repr(v)
}

// repr writes a value as Python's repr does, bounded in length.
func repr(v any) string {
	var b strings.Builder
	writeRepr(&b, v, 0)
	return bounded(b.String())
}

func bounded(s string) string {
	if len(s) <= maxRepr {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:maxRepr], "") + "…"
}

func writeRepr(b *strings.Builder, v any, depth int) {
	if b.Len() > 2*maxRepr || depth > maxDepth {
		return
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		if v {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case json.Number:
		b.WriteString(string(v))
	case string:
		writeQuoted(b, v)
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			writeRepr(b, e, depth+1)
		}
		b.WriteByte(']')
	case *object:
		b.WriteByte('{')
		for i, k := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			writeQuoted(b, k)
			b.WriteString(": ")
			writeRepr(b, v.values[k], depth+1)
		}
		b.WriteByte('}')
	}
}

func writeQuoted(b *strings.Builder, s string) {
	s = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(bounded(s))
	quote := "'"
	if strings.Contains(s, "'") {
		if strings.Contains(s, `"`) {
			s = strings.ReplaceAll(s, "'", `\'`)
		} else {
			quote = `"`
		}
	}
	b.WriteString(quote + s + quote)
}
