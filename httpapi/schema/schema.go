// Package schema checks what requests say as OpenStack's services do: with JSON
// Schema, in the words of Python's jsonschema. A service writes down what its
// bodies look like, once as data, and in a [Dialect] how its version of the
// library goes about it; the checks and their sentences are here.
//
//	name := schema.Schema{Types: []string{"string"}, MinLength: 1, MaxLength: 255}
//	body := schema.Schema{Types: []string{"object"}, Props: []schema.Prop{schema.Named("name", name)}, Required: []string{"name"}}
//	v, err := schema.Parse(raw, 32)
//	if f := dialect.Check(&body, v); f != nil {
//		// f.Message is: '' is too short
//	}
//
// A failure says where it is; around it each service writes a sentence of its
// own, such as "Invalid input for field/attribute name."
package schema

import "regexp"

// Schema is what a value must look like: the part of JSON Schema that OpenStack's
// APIs use. The zero Schema takes anything. All but Types and OneOf only matter
// to values of the kind they are about, so one Schema may describe a number or
// the text of one.
type Schema struct {
	// Types are those that are taken: string, integer, number, boolean, array,
	// object, null. None takes all.
	Types []string
	// OneOf are schemas of which the value must have one.
	OneOf []Schema
	// Enum are the values that are taken: strings and booleans.
	Enum []any

	// MinLength and MaxLength bound a text's characters. A maximum of 0 is none,
	// here and below.
	MinLength, MaxLength int
	Pattern              *Pattern
	// Format returns what is wrong with a text: [NotA] or [Alone].
	Format func(text string) error

	// Minimum and Maximum bound a number, also one in a text.
	Minimum, Maximum *float64

	Items              *Schema
	MinItems, MaxItems int
	Unique             bool

	// Props are an object's properties, and Patterns those whose names match. An
	// object with either, or with Required, has no others, unless it is Open.
	Props    []Prop
	Patterns []PatternProp
	Required []string
	AnyOf    []string // of these properties one is needed
	Open     bool
	// UnknownFirst tells of properties that are unknown before those missing.
	UnknownFirst       bool
	MinProps, MaxProps int
}

// Prop is a property of an object.
type Prop struct {
	Name string
	Schema
}

// Named is a property.
func Named(name string, s Schema) Prop { return Prop{name, s} }

// PatternProp is the schema of an object's properties by their names.
type PatternProp struct {
	Pattern *Pattern
	Value   Schema
}

// Pattern is a regular expression and the text by which messages quote it.
type Pattern struct {
	*regexp.Regexp
	text string
}

// Match is a pattern. It panics if it is no regular expression.
func Match(text string) *Pattern { return MatchAs(text, text) }

// MatchAs is [Match] for a pattern that Go writes in another way than messages.
func MatchAs(text, quoted string) *Pattern { return &Pattern{regexp.MustCompile(text), quoted} }

// Bound is a bound of numbers.
func Bound(n float64) *float64 { return &n }

// NotA is what a [Schema.Format] of this name says of a text without it.
type NotA string

func (n NotA) Error() string { return "it is not a '" + string(n) + "'" }

// Alone is what a [Schema.Format] says that needs no word of where the text is.
type Alone string

func (a Alone) Error() string { return string(a) }

// Prop returns the schema of a property by its name, nil if there is none.
func (s *Schema) Prop(name string) *Schema {
	for i := range s.Props {
		if s.Props[i].Name == name {
			return &s.Props[i].Schema
		}
	}
	return nil
}

func (s *Schema) closed() bool {
	return !s.Open && (s.Props != nil || s.Patterns != nil || s.Required != nil)
}
