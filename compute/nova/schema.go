package nova

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// schema is what a value in a request must look like: the part of JSON Schema
// (draft 4) that the Compute API's own schemas use. Errors read as Nova's.
// Checks run in the order of the fields; the first that fails is reported.
type schema struct {
	types   []string // string, integer, number, boolean, array, object, null; empty: any
	enum    []any
	min     *int64 // also of digits in a string
	max     *int64
	minLen  int
	maxLen  int // 0: no bound
	pattern *pattern
	format  func(v any) *failure
	items   *schema
	// minItems and maxItems bound an array, minProps and maxProps an object;
	// a maximum of 0 is no bound.
	minItems, maxItems int
	minProps, maxProps int
	unique             bool

	props    []prop
	required []string
	keys     *keyset // properties whose names match have its schema
	anyOf    []string
	open     bool // other properties may be anything
	// oneOf are the schemas of which the value must have one; beside it nothing
	// else counts.
	oneOf []schema
}

// prop is a property of an object, in the order in which they are checked.
type prop struct {
	name string
	schema
}

// keyset is the schema of properties by their names.
type keyset struct {
	pattern *pattern
	value   schema
}

// pattern is a regular expression and the text by which Nova's messages quote
// it.
type pattern struct {
	*regexp.Regexp
	text string
}

func match(text string) *pattern { return &pattern{regexp.MustCompile(text), text} }

// matchAs is match for patterns that Go writes in another way.
func matchAs(text, quoted string) *pattern { return &pattern{regexp.MustCompile(text), quoted} }

// failure is an error on its way up: where it is, and the message.
type failure struct {
	path    []string
	value   any
	message string
	whole   bool // the message says everything
}

func fail(v any, format string, args ...any) *failure {
	return &failure{value: v, message: fmt.Sprintf(format, args...)}
}

func (f *failure) below(name string) *failure {
	if f != nil {
		f.path = append([]string{name}, f.path...)
	}
	return f
}

// body checks a request's body against the schema.
func (s *schema) body(v any) error { return s.check(v).error("field/attribute", true) }

// query checks query parameters, which are lists by name.
func (s *schema) query(v any) error { return s.check(v).error("query parameters", false) }

func (f *failure) error(what string, last bool) error {
	if f == nil {
		return nil
	}
	if f.whole || len(f.path) == 0 {
		return nephos.Errorf(nephos.ErrInvalid, "%s", f.message).WithField(strings.Join(f.path, "."))
	}
	name := f.path[0]
	if last {
		name = f.path[len(f.path)-1]
	}
	return nephos.Errorf(nephos.ErrInvalid, "Invalid input for %s %s. Value: %s. %s", what, name, str(f.value), f.message).
		WithField(strings.Join(f.path, "."))
}

func (s *schema) check(v any) *failure {
	if s.oneOf != nil {
		for i := range s.oneOf {
			if s.oneOf[i].check(v) == nil {
				return nil
			}
		}
		return fail(v, "%s is not valid under any of the given schemas", repr(v))
	}
	if len(s.types) > 0 && !s.typed(v) {
		return fail(v, "%s is not of type '%s'", repr(v), strings.Join(s.types, "', '"))
	}
	if s.enum != nil {
		ok := false
		for _, e := range s.enum {
			ok = ok || e == v
		}
		if !ok {
			return fail(v, "%s is not one of %s", repr(v), repr(s.enum))
		}
	}
	for _, c := range []func(any) *failure{s.text, s.number, s.array, s.object} {
		if f := c(v); f != nil {
			return f
		}
	}
	if s.format != nil {
		return s.format(v)
	}
	return nil
}

func (s *schema) typed(v any) bool {
	for _, t := range s.types {
		ok := false
		switch v := v.(type) {
		case nil:
			ok = t == "null"
		case bool:
			ok = t == "boolean"
		case string:
			ok = t == "string"
		case json.Number:
			ok = t == "number" || t == "integer" && !strings.ContainsAny(string(v), ".eE")
		case []any:
			ok = t == "array"
		case *object:
			ok = t == "object"
		}
		if ok {
			return true
		}
	}
	return false
}

func (s *schema) text(v any) *failure {
	t, ok := v.(string)
	if !ok {
		return nil
	}
	n := len([]rune(t))
	switch {
	case n < s.minLen:
		return fail(v, "%s is too short", repr(v))
	case s.maxLen > 0 && n > s.maxLen:
		return fail(v, "%s is too long", repr(v))
	case s.pattern != nil && !s.pattern.MatchString(t):
		return fail(v, "%s does not match %s", repr(v), repr(s.pattern.text))
	}
	return nil
}

func (s *schema) number(v any) *failure {
	if s.min == nil && s.max == nil {
		return nil
	}
	var t string
	switch v := v.(type) {
	case string:
		t = strings.TrimSpace(v)
	case json.Number:
		t = string(v)
	default:
		return nil
	}
	if len(t) > 400 {
		return fail(v, "%s is too long", repr(v))
	}
	n, _, err := big.ParseFloat(t, 10, 1400, big.ToNearestEven)
	if err != nil {
		return nil
	}
	if s.min != nil && n.Cmp(new(big.Float).SetInt64(*s.min)) < 0 {
		return fail(v, "%s is less than the minimum of %d", t, *s.min)
	}
	if s.max != nil && n.Cmp(new(big.Float).SetInt64(*s.max)) > 0 {
		return fail(v, "%s is greater than the maximum of %d", t, *s.max)
	}
	return nil
}

func (s *schema) array(v any) *failure {
	list, ok := v.([]any)
	if !ok {
		return nil
	}
	if s.items != nil {
		for i, e := range list {
			if f := s.items.check(e); f != nil {
				return f.below(strconv.Itoa(i))
			}
		}
	}
	if s.unique {
		seen := map[string]bool{}
		for _, e := range list {
			if k := repr(e); seen[k] {
				return fail(v, "%s has non-unique elements", repr(v))
			} else {
				seen[k] = true
			}
		}
	}
	switch {
	case len(list) < s.minItems:
		return fail(v, "%s is too short", repr(v))
	case s.maxItems > 0 && len(list) > s.maxItems:
		return fail(v, "%s is too long", repr(v))
	}
	return nil
}

func (s *schema) object(v any) *failure {
	o, ok := v.(*object)
	if !ok {
		return nil
	}
	known := map[string]bool{}
	for i := range s.props {
		p := &s.props[i]
		known[p.name] = true
		if e, ok := o.values[p.name]; ok {
			if f := p.check(e); f != nil {
				return f.below(p.name)
			}
		}
	}
	var extra []string
	for _, k := range o.keys {
		switch {
		case s.keys != nil && s.keys.pattern.MatchString(k):
			if f := s.keys.value.check(o.values[k]); f != nil {
				return f.below(k)
			}
		case !known[k]:
			extra = append(extra, k)
		}
	}
	for _, r := range s.required {
		if _, ok := o.values[r]; !ok {
			return fail(v, "%s is a required property", repr(r))
		}
	}
	if len(extra) > 0 && !s.open && (s.props != nil || s.keys != nil || s.required != nil) {
		return s.unexpected(v, extra)
	}
	some := len(s.anyOf) == 0
	for _, name := range s.anyOf {
		_, ok := o.values[name]
		some = some || ok
	}
	switch {
	case !some:
		return fail(v, "%s is not valid under any of the given schemas", repr(v))
	case len(o.keys) < s.minProps:
		return fail(v, "%s does not have enough properties", repr(v))
	case s.maxProps > 0 && len(o.keys) > s.maxProps:
		return fail(v, "%s has too many properties", repr(v))
	}
	return nil
}

func (s *schema) unexpected(v any, extra []string) *failure {
	quoted := make([]string, len(extra))
	for i, k := range extra {
		quoted[i] = repr(k)
	}
	list := strings.Join(quoted, ", ")
	if s.keys != nil && s.props == nil {
		verb := "does"
		if len(extra) > 1 {
			verb = "do"
		}
		return fail(v, "%s %s not match any of the regexes: %s", list, verb, repr(s.keys.pattern.text))
	}
	verb := "was"
	if len(extra) > 1 {
		verb = "were"
	}
	return fail(v, "Additional properties are not allowed (%s %s unexpected)", list, verb)
}
