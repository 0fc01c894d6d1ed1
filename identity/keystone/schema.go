package keystone

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

// object is a JSON object from a request's body. Numbers are json.Number.
type object map[string]any

// property says what a value may be.
type property struct {
	types   []string // of JSON: string, boolean, object, array, integer, null
	min     int      // characters or items
	max     int      // 0: no bound
	pattern *regexp.Regexp
	enum    []string
	props   map[string]property // of an object
	items   *property           // of an array
	unique  bool                // of an array
	closed  bool                // of an object: no other properties
	needs   []string            // of an object
}

// schema says what an object of a request may hold; what it does not name is
// kept as it is.
type schema struct {
	props    map[string]property
	required []string
	atLeast1 bool
	strict   bool // the object must not be missing; otherwise it then counts as empty
}

var (
	typeString  = []string{"string"}
	typeBoolean = []string{"boolean"}

	pName        = property{types: typeString, min: 1, max: 255, pattern: regexp.MustCompile(`[\S]+`)}
	pText        = property{types: typeString}
	pNullText    = property{types: []string{"string", "null"}}
	pBool        = property{types: typeBoolean}
	pNullBool    = property{types: []string{"boolean", "null"}}
	pID          = property{types: typeString, min: 1, max: 64, pattern: regexp.MustCompile(`^[a-zA-Z0-9-]+$`)}
	pNullID      = property{types: []string{"string", "null"}, min: 1, max: 64, pattern: pID.pattern}
	pImmutable   = property{types: []string{"object"}, closed: true, props: map[string]property{"immutable": pNullBool}}
	maxDepth     = 32
	maxListItems = 10_000
)

// member decodes a request's body and returns the object below a key, after
// checking it. An absent one counts as empty, as in Keystone.
func member(r *httpapi.Request, key string, s schema) (object, error) {
	body, err := decode(r)
	if err != nil {
		return nil, err
	}
	v, present := body[key]
	obj, ok := v.(map[string]any)
	if !ok && (present || s.strict) {
		return nil, notObject(key, v)
	}
	return obj, s.check(obj)
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

func notObject(field string, v any) error {
	return nephos.Errorf(nephos.ErrInvalid, "%s is not of type 'object'", repr(v)).WithField(field)
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
	return v, bounded(v, 0)
}

// bounded refuses values that nest too deep or hold NUL, which a database
// cannot keep.
func bounded(v any, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("the JSON value nests deeper than %d", maxDepth)
	}
	switch v := v.(type) {
	case string:
		if strings.ContainsRune(v, 0) {
			return fmt.Errorf("text must not contain NUL")
		}
	case map[string]any:
		for k, e := range v {
			if strings.ContainsRune(k, 0) {
				return fmt.Errorf("text must not contain NUL")
			}
			if err := bounded(e, depth+1); err != nil {
				return err
			}
		}
	case []any:
		if len(v) > maxListItems {
			return fmt.Errorf("a list has more than %d items", maxListItems)
		}
		for _, e := range v {
			if err := bounded(e, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s schema) check(obj object) error {
	for _, name := range s.required {
		if _, ok := obj[name]; !ok {
			return nephos.Errorf(nephos.ErrInvalid, "%s is a required property", repr(name)).WithField(name)
		}
	}
	if s.atLeast1 && len(obj) == 0 {
		return nephos.Errorf(nephos.ErrInvalid, "{} does not have enough properties")
	}
	for _, name := range sortedKeys(s.props) {
		if v, ok := obj[name]; ok {
			if err := s.props[name].check(name, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p property) check(path string, v any) error {
	if len(p.types) > 0 && !slices.ContainsFunc(p.types, func(t string) bool { return isType(v, t) }) {
		quoted := make([]string, len(p.types))
		for i, t := range p.types {
			quoted[i] = "'" + t + "'"
		}
		return invalid(path, "%s is not of type %s", repr(v), strings.Join(quoted, ", "))
	}
	switch v := v.(type) {
	case string:
		return p.checkText(path, v)
	case map[string]any:
		return p.checkObject(path, v)
	case []any:
		return p.checkArray(path, v)
	}
	return nil
}

func (p property) checkText(path, v string) error {
	n := utf8.RuneCountInString(v)
	switch {
	case n < p.min:
		return invalid(path, "%s is too short", repr(v))
	case p.max > 0 && n > p.max:
		return invalid(path, "%s is too long", repr(v))
	case p.pattern != nil && !p.pattern.MatchString(v):
		return invalid(path, "%s does not match %s", repr(v), repr(p.pattern.String()))
	case p.enum != nil && !slices.Contains(p.enum, v):
		quoted := make([]string, len(p.enum))
		for i, e := range p.enum {
			quoted[i] = repr(e)
		}
		return invalid(path, "%s is not one of [%s]", repr(v), strings.Join(quoted, ", "))
	}
	return nil
}

func (p property) checkObject(path string, v map[string]any) error {
	for _, name := range p.needs {
		if _, ok := v[name]; !ok {
			return invalid(path, "%s is a required property", repr(name))
		}
	}
	for _, name := range sortedKeys(v) {
		prop, ok := p.props[name]
		if !ok && p.closed {
			return invalid(path, "Additional properties are not allowed (%s was unexpected)", repr(name))
		}
		if ok {
			if err := prop.check(below(path, name), v[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p property) checkArray(path string, v []any) error {
	switch {
	case len(v) < p.min:
		return invalid(path, "%s is too short", repr(v))
	case p.max > 0 && len(v) > p.max:
		return invalid(path, "%s is too long", repr(v))
	}
	seen := map[string]bool{}
	for i, e := range v {
		if p.items != nil {
			if err := p.items.check(below(path, strconv.Itoa(i)), e); err != nil {
				return err
			}
		}
		if text := repr(e); p.unique && seen[text] {
			return invalid(path, "%s has non-unique elements", repr(v))
		} else {
			seen[text] = true
		}
	}
	return nil
}

func isType(v any, t string) bool {
	switch v := v.(type) {
	case nil:
		return t == "null"
	case string:
		return t == "string"
	case bool:
		return t == "boolean"
	case map[string]any:
		return t == "object"
	case []any:
		return t == "array"
	case json.Number:
		if t == "number" {
			return true
		}
		f, err := v.Float64()
		return t == "integer" && err == nil && f == math.Trunc(f)
	}
	return false
}

// below is the path of a part of a value.
func below(path, name string) string {
	if path == "" {
		return name
	}
	return path + "/" + name
}

// invalid is the error for a value at a path; at "" it is the whole body.
func invalid(path, format string, args ...any) error {
	if path == "" {
		return nephos.Errorf(nephos.ErrInvalid, format, args...)
	}
	return nephos.Errorf(nephos.ErrInvalid, "Invalid input for field '%s': %s", path, fmt.Sprintf(format, args...)).WithField(path)
}

// repr writes a JSON value as Python would, which is how Keystone quotes it.
func repr(v any) string {
	s := reprAll(v)
	if len(s) > 1024 {
		s = strings.ToValidUTF8(s[:1024], "") + "…"
	}
	return s
}

func reprAll(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case json.Number:
		return v.String()
	case string:
		quote := "'"
		if strings.Contains(v, "'") && !strings.Contains(v, `"`) {
			quote = `"`
		}
		v = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(v)
		if quote == "'" {
			v = strings.ReplaceAll(v, "'", `\'`)
		}
		return quote + v + quote
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = reprAll(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		parts := make([]string, 0, len(v))
		for _, k := range sortedKeys(v) {
			parts = append(parts, reprAll(k)+": "+reprAll(v[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
