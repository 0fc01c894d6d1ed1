package placement

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

// schema is the part of JSON Schema that the Placement API's requests need. Of
// all that is wrong with a value the one nearest to its root is reported, at the
// same depth a wrong type before the rest, and then what stands first: in the
// schema for properties, in the request for their values.
type schema struct {
	types    []string // any of these; none: all
	nullUUID bool     // a UUID or null, and nothing else is said

	props       []prop
	patterns    []patternProp // for names that props does not have
	required    []string
	closed      bool // no names but those of props and patterns
	closedFirst bool // … which is looked at before required
	minProps    int

	items    *schema
	minItems int
	unique   bool

	min, max *float64

	pattern        *regexp.Regexp
	minLen, maxLen int // characters; 0 is no bound
	uuid           bool
	enum           []string
}

type prop struct {
	name string
	*schema
}

type patternProp struct {
	name *regexp.Regexp
	*schema
}

// failure is one thing wrong with a value.
type failure struct {
	message, field string
	depth          int
	weak, mistyped bool
}

// worse says whether f is to be reported rather than g.
func (f *failure) worse(g *failure) bool {
	switch {
	case f.depth != g.depth:
		return f.depth < g.depth
	case f.weak != g.weak:
		return g.weak
	}
	return f.mistyped && !g.mistyped
}

// checking is one check of a value.
type checking struct{ found *failure }

func (c *checking) fail(f failure) {
	if c.found == nil || f.worse(c.found) {
		c.found = &f
	}
}

// check returns what to report of a value, nil if it is right.
func (s *schema) check(v any) *failure {
	var c checking
	c.value(s, v, "", 0)
	return c.found
}

func (c *checking) value(s *schema, v any, field string, depth int) {
	mistyped := !s.accepts(v)
	fail := func(format string, args ...any) {
		c.fail(failure{fmt.Sprintf(format, args...), field, depth, s.nullUUID, mistyped})
	}
	text, isText := v.(string)
	if s.nullUUID {
		if _, ok := normalUUID(text); isText && !ok {
			fail("%s is not a 'uuid'", repr(v))
		} else if !isText && v != nil {
			fail("%s is not valid under any of the given schemas", repr(v))
		}
		return
	}
	if mistyped {
		fail("%s is not of type '%s'", repr(v), strings.Join(s.types, "', '"))
	}
	switch v := v.(type) {
	case object:
		c.object(s, v, field, depth, fail)
	case []any:
		if len(v) < s.minItems {
			fail("%s is too short", repr(v))
		}
		seen := map[string]bool{}
		for _, e := range v {
			seen[repr(e)] = true
			if s.items != nil {
				c.value(s.items, e, field, depth+1)
			}
		}
		if s.unique && len(seen) < len(v) {
			fail("%s has non-unique elements", repr(v))
		}
	case string:
		s.text(v, fail)
	case json.Number:
		n, err := v.Float64()
		if err != nil { // too large for a float
			n = math.Inf(1)
			if strings.HasPrefix(string(v), "-") {
				n = math.Inf(-1)
			}
		}
		if s.max != nil && n > *s.max {
			fail("%s is greater than the maximum of %s", repr(v), reprFloat(*s.max))
		}
		if s.min != nil && n < *s.min {
			fail("%s is less than the minimum of %s", repr(v), reprFloat(*s.min))
		}
	}
}

func (s *schema) text(v string, fail func(string, ...any)) {
	n := utf8.RuneCountInString(v)
	if s.pattern != nil && !s.pattern.MatchString(v) {
		fail("%s does not match %s", repr(v), repr(s.pattern.String()))
	}
	if n < s.minLen {
		fail("%s is too short", repr(v))
	}
	if s.maxLen > 0 && n > s.maxLen {
		fail("%s is too long", repr(v))
	}
	if _, ok := normalUUID(v); s.uuid && !ok {
		fail("%s is not a 'uuid'", repr(v))
	}
	if s.enum != nil && !slices.Contains(s.enum, v) {
		fail("%s is not one of ['%s']", repr(v), strings.Join(s.enum, "', '"))
	}
}

func (c *checking) object(s *schema, v object, field string, depth int, fail func(string, ...any)) {
	within := func(name string) string {
		if field == "" {
			return clip(name)
		}
		return field + "." + clip(name)
	}
	var extra []string
	for _, p := range s.props {
		if value, ok := v.get(p.name); ok {
			c.value(p.schema, value, within(p.name), depth+1)
		}
	}
	for _, e := range v {
		known := slices.ContainsFunc(s.props, func(p prop) bool { return p.name == e.name })
		for _, p := range s.patterns {
			if p.name.MatchString(e.name) {
				known = true
				c.value(p.schema, e.value, within(e.name), depth+1)
			}
		}
		if !known {
			extra = append(extra, repr(e.name))
		}
	}
	if len(v) < s.minProps {
		fail("%s does not have enough properties", repr(v))
	}
	if s.closed && s.closedFirst {
		s.unexpected(extra, fail)
	}
	for _, name := range s.required {
		if _, ok := v.get(name); !ok {
			fail("'%s' is a required property", name)
		}
	}
	if s.closed && !s.closedFirst {
		s.unexpected(extra, fail)
	}
}

func (s *schema) unexpected(extra []string, fail func(string, ...any)) {
	slices.Sort(extra)
	switch {
	case len(extra) == 0:
	case len(s.patterns) > 0:
		var patterns []string
		for _, p := range s.patterns {
			patterns = append(patterns, repr(p.name.String()))
		}
		slices.Sort(patterns)
		verb := "do"
		if len(extra) == 1 {
			verb = "does"
		}
		fail("%s %s not match any of the regexes: %s", strings.Join(extra, ", "), verb, strings.Join(patterns, ", "))
	case len(extra) == 1:
		fail("Additional properties are not allowed (%s was unexpected)", extra[0])
	default:
		fail("Additional properties are not allowed (%s were unexpected)", strings.Join(extra, ", "))
	}
}

func (s *schema) accepts(v any) bool {
	return len(s.types) == 0 || slices.ContainsFunc(s.types, func(t string) bool {
		switch v := v.(type) {
		case nil:
			return t == "null"
		case string:
			return t == "string"
		case object:
			return t == "object"
		case []any:
			return t == "array"
		case json.Number:
			return t == "number" || t == "integer" && isWhole(v)
		}
		return false
	})
}

// isWhole says whether a number is an integer, however it is written.
func isWhole(n json.Number) bool {
	if !strings.ContainsAny(string(n), ".eE") {
		return true
	}
	f, err := n.Float64()
	return err == nil && f == math.Trunc(f)
}

// decode checks the body against the schema and reads it into v.
func decode(r *httpapi.Request, s *schema, v any) error {
	var raw json.RawMessage
	if err := r.Decode(&raw); err != nil {
		return err
	}
	tree, err := parse(raw)
	if err != nil {
		return nephos.Errorf(nephos.ErrInvalid, "Malformed JSON: %w", err).WithField("body")
	}
	if bytes.Contains(raw, []byte(`\u0000`)) && hasNUL(tree) {
		return invalid("body", "a string has a NUL character")
	}
	if f := s.check(tree); f != nil {
		return invalid(f.field, "%s", bounded(f.message))
	}
	// This writes integers as integers, and every name once.
	if raw, err = json.Marshal(whole(tree)); err != nil {
		return nephos.Errorf(nephos.ErrInvalid, "Malformed JSON: %w", err).WithField("body")
	}
	return r.DecodeValue(raw, "", v)
}

// checkQuery checks the query against the schema. Of a parameter that is given
// several times it sees the last.
func checkQuery(r *httpapi.Request, s *schema) error {
	var o object
	at := map[string]int{}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || pair == "" {
			continue
		}
		if value, err = url.QueryUnescape(value); err != nil {
			continue
		}
		for _, text := range []string{name, value} {
			if i := invalidAt(text); i >= 0 {
				return badQuery("query", "'utf-8' codec can't decode byte %#x in position %d: invalid start byte", text[i], i)
			}
		}
		if strings.ContainsRune(value, 0) { // which no database takes
			return badQuery(clip(name), "%s has a NUL character", bounded(repr(value)))
		}
		if i, ok := at[name]; ok {
			o[i].value = value
			continue
		}
		at[name] = len(o)
		o = append(o, member{name, value})
	}
	if f := s.check(o); f != nil {
		return badQuery(f.field, "%s", bounded(f.message))
	}
	return nil
}

// invalidAt is the place of the first byte that is no UTF-8; -1 if all is.
func invalidAt(s string) int {
	for i := 0; i < len(s); {
		c, n := utf8.DecodeRuneInString(s[i:])
		if c == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// bounded keeps an answer from being as large as the request it complains of.
func bounded(message string) string {
	const most = 4096
	if len(message) > most {
		return strings.ToValidUTF8(message[:most], "") + "…"
	}
	return message
}

func number(n float64) *float64 { return &n }

// reprFloat writes a number as Python does: integers up to 2⁵³ without a point.
func reprFloat(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return strconv.FormatInt(int64(f), 10)
	}
	return reprNumber(json.Number(strconv.FormatFloat(f, 'e', -1, 64)))
}
