package schema_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/httpapi/pyrepr"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// plain looks at all keywords and reports the first failure.
var plain = schema.Dialect{Quote: pyrepr.Style{Most: 200}, Order: []schema.Keyword{
	schema.Enum, schema.MinLength, schema.MaxLength, schema.PatternOf, schema.Format, schema.Minimum, schema.Maximum,
	schema.Items, schema.Unique, schema.MinItems, schema.MaxItems,
	schema.Members, schema.Required, schema.Unknown, schema.AnyOf, schema.MinProps, schema.MaxProps,
}}

var (
	text    = schema.Schema{Types: []string{"string"}}
	integer = schema.Schema{Types: []string{"integer"}}
	size    = schema.Schema{
		Types: []string{"integer", "string"}, Pattern: schema.Match(`^-?[0-9]+$`), Minimum: schema.Bound(1), Maximum: schema.Bound(3.5e+38),
	}
	even = schema.Schema{Types: []string{"string"}, Format: func(t string) error {
		switch {
		case t == "":
			return schema.Alone("Say something.")
		case len(t)%2 == 1:
			return schema.NotA("pair")
		}
		return nil
	}}
)

func object(props ...schema.Prop) schema.Schema {
	return schema.Schema{Types: []string{"object"}, Props: props}
}

func ExampleDialect_Check() {
	dialect := schema.Dialect{Order: []schema.Keyword{schema.MinLength, schema.Members, schema.Required, schema.Unknown}}
	name := schema.Schema{Types: []string{"string"}, MinLength: 1}
	body := schema.Schema{Types: []string{"object"}, Props: []schema.Prop{schema.Named("name", name)}, Required: []string{"name"}}
	for _, raw := range []string{`{"name": "n"}`, `{"name": ""}`, `{}`, `{"name": "n", "colour": "red"}`} {
		v, err := schema.Parse([]byte(raw), 32)
		if err != nil {
			fmt.Println(err)
			continue
		}
		if f := dialect.Check(&body, v); f != nil {
			fmt.Println(f.Path, f.Message)
		}
	}
	// Output:
	// [name] '' is too short
	// [] 'name' is a required property
	// [] Additional properties are not allowed ('colour' was unexpected)
}

func TestEachKeyword(t *testing.T) {
	words := schema.Schema{Types: []string{"array"}, Items: &text, MinItems: 1, MaxItems: 2, Unique: true}
	pairs := schema.Schema{Types: []string{"object"}, Patterns: []schema.PatternProp{
		{Pattern: schema.Match(`^x`), Value: text}, {Pattern: schema.MatchAs(`^b`, "^(?=b)"), Value: integer},
	}}
	some := object(schema.Named("a", text), schema.Named("b", text))
	some.AnyOf = []string{"a", "b"}
	counted := schema.Schema{Types: []string{"object"}, MinProps: 1, MaxProps: 2}
	open := object(schema.Named("a", text))
	open.Open = true
	for _, c := range []struct {
		s                schema.Schema
		in, path, answer string // "" is right
	}{
		{schema.Schema{}, `[{"a": [1, null]}]`, "", ""},
		{text, `1`, "", "1 is not of type 'string'"},
		{schema.Schema{Types: []string{"boolean", "null"}}, `"x"`, "", "'x' is not of type 'boolean', 'null'"},
		{schema.Schema{Types: []string{"boolean", "null"}}, `null`, "", ""},
		{schema.Schema{Types: []string{"number"}}, `1.5`, "", ""},
		{integer, `1.0`, "", "1.0 is not of type 'integer'"},
		{integer, `123456789012345678901234567890`, "", ""},
		{schema.Schema{Enum: []any{true, "on"}}, `"off"`, "", "'off' is not one of [True, 'on']"},
		{schema.Schema{Enum: []any{true, "on"}}, `true`, "", ""},
		{schema.Schema{Enum: []any{true, "on"}}, `{}`, "", "{} is not one of [True, 'on']"},
		{schema.Schema{MinLength: 2, MaxLength: 3}, `"ü"`, "", "'ü' is too short"},
		{schema.Schema{MinLength: 2, MaxLength: 3}, `"üüüü"`, "", "'üüüü' is too long"},
		{schema.Schema{MinLength: 2, MaxLength: 3}, `"üüü"`, "", ""},
		{schema.Schema{MinLength: 2, MaxLength: 3}, `1`, "", ""},
		{even, `"abc"`, "", "'abc' is not a 'pair'"},
		{even, `""`, "", "Say something."},
		{size, `0`, "", "0 is less than the minimum of 1"},
		{size, `"0"`, "", "'0' is less than the minimum of 1"},
		{size, `"x"`, "", "'x' does not match '^-?[0-9]+$'"},
		{size, `"` + strings.Repeat("9", 40) + `"`, "", "'" + strings.Repeat("9", 40) + "' is greater than the maximum of 3.5e+38"},
		{size, `"` + strings.Repeat("9", 400) + `"`, "", "'" + strings.Repeat("9", 199) + "… is greater than the maximum of 3.5e+38"},
		{size, `"7"`, "", ""},
		{words, `["a", 1, "a"]`, "1", "1 is not of type 'string'"},
		{words, `["a", "b", "a"]`, "", "['a', 'b', 'a'] has non-unique elements"},
		{words, `[]`, "", "[] is too short"},
		{words, `["a", "b", "c"]`, "", "['a', 'b', 'c'] is too long"},
		{pairs, `{"b": "y", "xa": "y"}`, "b", "'y' is not of type 'integer'"},
		{pairs, `{"z": 1, "xa": "y", "a": 1}`, "", "'z', 'a' do not match any of the regexes: '^(?=b)', '^x'"},
		{pairs, `{"z": 1}`, "", "'z' does not match any of the regexes: '^(?=b)', '^x'"},
		{object(schema.Named("a", object(schema.Named("b", words)))), `{"a": {"b": ["x", null]}}`, "a.b.1", "None is not of type 'string'"},
		{object(schema.Named("a", text)), `{"z": 1, "a": "x", "b'": 2}`, "", `Additional properties are not allowed ('z', "b'" were unexpected)`},
		{open, `{"z": 1, "a": "x"}`, "", ""},
		{schema.Schema{Types: []string{"object"}}, `{"z": 1}`, "", ""},
		{schema.Schema{Required: []string{"a", "b"}}, `{"a": 1}`, "", "'b' is a required property"},
		{some, `{}`, "", "{} is not valid under any of the given schemas"},
		{some, `{"b": "x"}`, "", ""},
		{counted, `{}`, "", "{} does not have enough properties"},
		{counted, `{"c": 1, "b": 2, "a": 3}`, "", "{'c': 1, 'b': 2, 'a': 3} has too many properties"},
		{schema.Schema{OneOf: []schema.Schema{size, {Types: []string{"null"}}}}, `null`, "", ""},
		{schema.Schema{OneOf: []schema.Schema{size, {Types: []string{"null"}}}}, `"x"`, "", "'x' is not valid under any of the given schemas"},
		{object(schema.Named("a", schema.Schema{OneOf: []schema.Schema{words, text}})), `{"a": ["x", 1]}`, "a", "['x', 1] is not valid under any of the given schemas"},
	} {
		v := read(t, c.in)
		f := plain.Check(&c.s, v)
		if c.answer == "" {
			require.Nil(t, f, c.in)
			continue
		}
		require.NotNil(t, f, c.in)
		require.Equal(t, c.answer, f.Message, c.in)
		require.Equal(t, c.path, strings.Join(f.Path, "."), c.in)
		require.Equal(t, c.answer == "Say something.", f.Whole)
		if f.Path == nil {
			require.Equal(t, v, f.Value)
		}
	}
}

func TestDialectsTellDifferentMistakes(t *testing.T) {
	with := func(edit func(d *schema.Dialect)) *schema.Dialect {
		d := plain
		edit(&d)
		return &d
	}
	s := object(schema.Named("b", size), schema.Named("a", size),
		schema.Named("id", schema.Schema{OneOf: []schema.Schema{even, {Types: []string{"null"}}}}))
	s.Required = []string{"b"}
	first := s
	first.UnknownFirst = true
	list := schema.Schema{Items: &text, Unique: true}
	nearest := with(func(d *schema.Dialect) { d.Nearest, d.SortUnknown = true, true })
	oneByOne := with(func(d *schema.Dialect) { d.SortMembers, d.OneByOne = true, true })
	for _, c := range []struct {
		d          *schema.Dialect
		s          schema.Schema
		in, answer string
	}{
		{&plain, s, `{"a": 0, "b": 0}`, "0 is less than the minimum of 1"},
		{with(func(d *schema.Dialect) { d.SortMembers = true }), s, `{"b": 0, "a": "x"}`, "'x' does not match '^-?[0-9]+$'"},
		{with(func(d *schema.Dialect) { d.BareNumbers = true }), s, `{"b": "0"}`, "0 is less than the minimum of 1"},
		{with(func(d *schema.Dialect) { d.WholeFloats = true }), s, `{"b": 0.0}`, "0.0 is less than the minimum of 1"},
		{with(func(d *schema.Dialect) { d.WholeFloats = true }), s, `{"b": 1.5}`, "1.5 is not of type 'integer', 'string'"},
		{with(func(d *schema.Dialect) { d.Order = []schema.Keyword{schema.Required, schema.Members} }), s, `{"a": null, "z": 1}`, "'b' is a required property"},
		{with(func(d *schema.Dialect) { d.Order = []schema.Keyword{schema.Members} }), s, `{"z": 1}`, ""},
		{&plain, s, `{"z": 1}`, "'b' is a required property"},
		{&plain, first, `{"z": 1}`, "Additional properties are not allowed ('z' was unexpected)"},
		// The nearest, then a wrong type, then what stands first.
		{nearest, s, `{"b": 0, "z": 1, "y": 1}`, "Additional properties are not allowed ('y', 'z' were unexpected)"},
		{nearest, s, `{"b": 0, "a": null}`, "None is not of type 'integer', 'string'"},
		{nearest, s, `{"a": "x", "b": 0}`, "0 is less than the minimum of 1"},
		{nearest, s, `{"b": 0, "id": 5}`, "0 is less than the minimum of 1"},
		{nearest, s, `{"b": 1, "id": 5}`, "5 is not valid under any of the given schemas"},
		{nearest, s, `{"b": 1, "id": "x"}`, "'x' is not a 'pair'"},
		{&plain, s, `{"b": 1, "id": "x"}`, "'x' is not valid under any of the given schemas"},
		// One after the other.
		{&plain, list, `["a", "a", 5]`, "5 is not of type 'string'"},
		{oneByOne, list, `["a", "a", 5]`, "['a', 'a', 5] has non-unique elements"},
		{oneByOne, list, `["a", 5, "a"]`, "5 is not of type 'string'"},
		{oneByOne, s, `{"z": 1, "aa": 1, "b": 0}`, "Additional properties are not allowed ('aa' was unexpected)"},
		{oneByOne, s, `{"z": 1, "b": 0}`, "0 is less than the minimum of 1"},
	} {
		for _, v := range []any{read(t, c.in), readMap(t, c.in)} {
			if _, unordered := v.(map[string]any); unordered && !c.d.SortMembers && !c.d.SortUnknown && strings.Contains(c.answer, "were") {
				continue
			}
			f := c.d.Check(&c.s, v)
			if c.answer == "" {
				require.Nil(t, f, c.in)
				continue
			}
			require.NotNil(t, f, c.in)
			require.Equal(t, c.answer, f.Message, c.in)
		}
	}
}

func read(t testing.TB, raw string) any {
	v, err := schema.Parse([]byte(raw), 64)
	require.NoError(t, err, raw)
	return v
}

func readMap(t testing.TB, raw string) any {
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber()
	var v any
	require.NoError(t, d.Decode(&v))
	return v
}

// Whatever is checked ends in a verdict, and two dialects agree on it.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{`{"b": 1, "a": "7"}`, `{"b": 1e999, "id": null, "b": {}}`, `[[[[{"a": [1, 1]}]]]]`, `{"id": ["", {}], "b": "-99999999999999999999"}`} {
		f.Add([]byte(seed))
	}
	words := schema.Schema{Items: &even, Unique: true, MaxItems: 3}
	s := object(schema.Named("b", size), schema.Named("a", schema.Schema{OneOf: []schema.Schema{size, words}}), schema.Named("id", words))
	s.Required = []string{"b"}
	nearest := plain
	nearest.Nearest = true
	oneByOne := plain
	oneByOne.SortMembers, oneByOne.OneByOne = true, true
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := schema.Parse(raw, 16)
		if err != nil {
			return
		}
		require.True(t, json.Valid(raw))
		right := plain.Check(&s, v) == nil
		require.Equal(t, right, nearest.Check(&s, v) == nil)
		require.Equal(t, right, oneByOne.Check(&s, v) == nil)
		if f := plain.Check(&s, v); f != nil {
			require.Less(t, len(f.Message), 10*len(raw)+2000)
		}
	})
}

// BenchmarkCheck checks a body of the size of a request for a server, which is
// right.
func BenchmarkCheck(b *testing.B) {
	inner := object()
	o := schema.Object{}
	for i := range 20 {
		name := fmt.Sprint("name", i)
		inner.Props = append(inner.Props, schema.Named(name, []schema.Schema{text, size, even, {Items: &text}}[i%4]))
		o = append(o, schema.Member{Name: name, Value: []any{"text", json.Number("7"), "even", []any{"a", "b"}}[i%4]})
	}
	s, v := object(schema.Named("server", inner)), schema.Object{{Name: "server", Value: o}}
	b.ReportAllocs()
	for b.Loop() {
		if f := plain.Check(&s, v); f != nil {
			b.Fatal(f.Message)
		}
	}
}
