package schema

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos/httpapi/pyrepr"
)

// value checks a value and all in it. The depth is that below the root.
func (c *checking) value(s *Schema, v any, depth int) {
	if len(s.Types) > 0 && !c.d.typed(s.Types, v) {
		f := Failure{Value: v, depth: depth, mistyped: true}
		if !c.quiet {
			f.Message = " is not of type '" + strings.Join(s.Types, "', '") + "'"
		}
		c.report(f, true)
		return
	}
	if s.OneOf != nil {
		c.oneOf(s.OneOf, v, depth)
	}
	if c.done() {
		return
	}
	t, isText := v.(string)
	first, last := Enum, Enum-1 // the keywords about values of the kind
	switch v.(type) {
	case string:
		first, last = MinLength, Maximum
	case json.Number:
		first, last = Minimum, Maximum
	case []any:
		first, last = Items, MaxItems
	case map[string]any, Object:
		first, last = Members, MaxProps
	}
	var unknown []string
	for _, k := range c.d.Order {
		switch {
		case k == Enum:
			if s.Enum != nil && !slices.Contains(s.Enum, v) {
				c.fail(v, depth, " is not one of "+c.d.Quote.Repr(s.Enum))
			}
		case k < first || k > last:
			continue
		case isText:
			c.text(k, s, v, t, depth)
		case k <= Maximum:
			c.number(k, s, v, string(v.(json.Number)), depth)
		case k <= MaxItems:
			c.array(k, s, v, v.([]any), depth)
		default:
			unknown = c.object(k, s, v, unknown, depth)
		}
		if c.done() {
			return
		}
	}
}

// below checks a part of a value, which the name leads to.
func (c *checking) below(s *Schema, v any, name string, depth int) {
	known := c.found
	c.value(s, v, depth+1)
	c.within(name, known)
}

func (d *Dialect) typed(types []string, v any) bool {
	is, also := "null", ""
	switch v := v.(type) {
	case string:
		is = "string"
	case bool:
		is = "boolean"
	case []any:
		is = "array"
	case map[string]any, Object:
		is = "object"
	case json.Number:
		is = "number"
		if !strings.ContainsAny(string(v), ".eE") || d.WholeFloats && IsWhole(v) {
			also = "integer"
		}
	}
	return slices.Contains(types, is) || also != "" && slices.Contains(types, also)
}

// IsWhole says whether a number is an integer, however it is written: 1, 1.0, 1e3.
func IsWhole(n json.Number) bool {
	if !strings.ContainsAny(string(n), ".eE") {
		return true
	}
	f, err := n.Float64()
	return err == nil && f == math.Trunc(f)
}

func (c *checking) oneOf(schemas []Schema, v any, depth int) {
	var why *Failure
	was := *c
	for i := range schemas {
		c.found, c.quiet = nil, was.quiet || !c.d.Nearest
		c.value(&schemas[i], v, depth)
		one := c.found
		if *c = was; one == nil {
			return
		}
		if why == nil && !one.mistyped {
			why = one
		}
	}
	if c.d.Nearest && why != nil {
		c.report(Failure{Value: v, Message: why.Message, depth: depth, weak: true}, false)
		return
	}
	c.report(Failure{Value: v, Message: " is not valid under any of the given schemas", depth: depth, weak: true}, true)
}

func (c *checking) text(k Keyword, s *Schema, v any, t string, depth int) {
	switch k {
	case MinLength:
		if s.MinLength > 0 && utf8.RuneCountInString(t) < s.MinLength {
			c.fail(v, depth, " is too short")
		}
	case MaxLength:
		if s.MaxLength > 0 && len(t) > s.MaxLength && utf8.RuneCountInString(t) > s.MaxLength {
			c.fail(v, depth, " is too long")
		}
	case PatternOf:
		if s.Pattern != nil && !s.Pattern.MatchString(t) {
			c.fail(v, depth, " does not match "+c.d.Quote.Repr(s.Pattern.text))
		}
	case Format:
		if s.Format != nil {
			c.format(s.Format(t), v, depth)
		}
	case Minimum, Maximum:
		c.number(k, s, v, strings.TrimSpace(t), depth)
	}
}

func (c *checking) format(err error, v any, depth int) {
	var not NotA
	switch {
	case err == nil:
	case errors.As(err, &not):
		c.fail(v, depth, " is not a '"+string(not)+"'")
	default:
		c.report(Failure{Value: v, Message: err.Error(), Whole: true, depth: depth}, false)
	}
}

// number checks a number, which may be in a text.
func (c *checking) number(k Keyword, s *Schema, v any, digits string, depth int) {
	if k != Minimum && k != Maximum || k == Minimum && s.Minimum == nil || k == Maximum && s.Maximum == nil {
		return
	}
	n, err := strconv.ParseFloat(digits, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return
	}
	is := ""
	switch {
	case k == Minimum && n < *s.Minimum:
		is = " is less than the minimum of " + bound(*s.Minimum)
	case k == Maximum && n > *s.Maximum:
		is = " is greater than the maximum of " + bound(*s.Maximum)
	default:
		return
	}
	if c.d.BareNumbers {
		is = c.d.Quote.Str(digits) + is
	}
	c.report(Failure{Value: v, Message: is, depth: depth}, !c.d.BareNumbers)
}

func (c *checking) array(k Keyword, s *Schema, v any, list []any, depth int) {
	switch k {
	case Items:
		c.items(s, v, list, depth)
	case Unique:
		if s.Unique && twice(list) {
			c.fail(v, depth, " has non-unique elements")
		}
	case MinItems:
		if len(list) < s.MinItems {
			c.fail(v, depth, " is too short")
		}
	case MaxItems:
		if s.MaxItems > 0 && len(list) > s.MaxItems {
			c.fail(v, depth, " is too long")
		}
	}
}

func (c *checking) items(s *Schema, v any, list []any, depth int) {
	var seen map[string]bool
	if c.d.OneByOne && s.Unique {
		seen = make(map[string]bool, len(list))
	}
	for i, e := range list {
		if s.Items != nil {
			known := c.found
			c.value(s.Items, e, depth+1)
			c.within(strconv.Itoa(i), known)
		}
		if seen != nil && !c.done() && again(seen, e) {
			c.fail(v, depth, " has non-unique elements")
		}
		if c.done() {
			return
		}
	}
}

// twice says whether an item is there twice.
func twice(v []any) bool {
	seen := make(map[string]bool, len(v))
	return slices.ContainsFunc(v, func(e any) bool { return again(seen, e) })
}

// again says whether a value was seen, and remembers it.
func again(seen map[string]bool, v any) bool {
	t := pyrepr.Style{}.Repr(v)
	was := seen[t]
	seen[t] = true
	return was
}

// object checks an object and returns its members that the schema does not have.
func (c *checking) object(k Keyword, s *Schema, v any, unknown []string, depth int) []string {
	o := membersOf(v)
	switch k {
	case Members:
		if c.d.SortMembers {
			return c.sorted(s, v, o, depth)
		}
		return c.members(s, o, depth)
	case Required:
		if s.UnknownFirst {
			unknown = c.unknown(s, v, unknown, depth)
		}
		for _, name := range s.Required {
			if _, ok := o.get(name); !ok {
				c.report(Failure{Value: v, Message: c.d.Quote.Repr(name) + " is a required property", depth: depth}, false)
			}
		}
	case Unknown:
		return c.unknown(s, v, unknown, depth)
	case AnyOf:
		if len(s.AnyOf) > 0 && !slices.ContainsFunc(s.AnyOf, func(name string) bool { _, ok := o.get(name); return ok }) {
			c.fail(v, depth, " is not valid under any of the given schemas")
		}
	case MinProps:
		if o.len() < s.MinProps {
			c.fail(v, depth, " does not have enough properties")
		}
	case MaxProps:
		if s.MaxProps > 0 && o.len() > s.MaxProps {
			c.fail(v, depth, " has too many properties")
		}
	}
	return unknown
}

// members checks the members that the schema names, then those that match its
// patterns.
func (c *checking) members(s *Schema, o members, depth int) (unknown []string) {
	for i := range s.Props {
		p := &s.Props[i]
		if e, ok := o.get(p.Name); ok {
			if c.below(&p.Schema, e, p.Name, depth); c.done() {
				return nil
			}
		}
	}
	closed := s.closed()
	if !closed && s.Patterns == nil {
		return nil
	}
	for name, e := range o.all {
		known := s.Prop(name) != nil
		for i := range s.Patterns {
			if p := &s.Patterns[i]; p.Pattern.MatchString(name) {
				known = true
				if c.below(&p.Value, e, name, depth); c.done() {
					return nil
				}
			}
		}
		if closed && !known {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// sorted checks all members in the order of their names.
func (c *checking) sorted(s *Schema, v any, o members, depth int) (unknown []string) {
	for _, name := range o.names() {
		p := s.Prop(name)
		for i := range s.Patterns {
			if p == nil && s.Patterns[i].Pattern.MatchString(name) {
				p = &s.Patterns[i].Value
			}
		}
		switch {
		case p != nil:
			e, _ := o.get(name)
			c.below(p, e, name, depth)
		case s.closed() && c.d.OneByOne:
			c.unknown(s, v, []string{name}, depth)
		case s.closed():
			unknown = append(unknown, name)
		}
		if c.done() {
			return nil
		}
	}
	return unknown
}

// unknown reports members that the schema does not have.
func (c *checking) unknown(s *Schema, v any, names []string, depth int) []string {
	if len(names) == 0 || c.done() {
		return nil
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = c.d.Quote.Repr(name)
	}
	if c.d.SortUnknown {
		slices.Sort(quoted)
	}
	list, does, was := strings.Join(quoted, ", "), "do", "were"
	if len(names) == 1 {
		does, was = "does", "was"
	}
	if s.Patterns == nil {
		c.report(Failure{Value: v, Message: "Additional properties are not allowed (" + list + " " + was + " unexpected)", depth: depth}, false)
		return nil
	}
	patterns := make([]string, len(s.Patterns))
	for i := range s.Patterns {
		patterns[i] = c.d.Quote.Repr(s.Patterns[i].Pattern.text)
	}
	slices.Sort(patterns)
	c.report(Failure{Value: v, Message: list + " " + does + " not match any of the regexes: " + strings.Join(patterns, ", "), depth: depth}, false)
	return nil
}
