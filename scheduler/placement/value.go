package placement

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// object is a JSON object in the order of its text.
type object []member

type member struct {
	name  string
	value any // nil, bool, json.Number, string, []any or object
}

func (o object) get(name string) (any, bool) {
	for _, m := range o {
		if m.name == name {
			return m.value, true
		}
	}
	return nil, false
}

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}'), nil
}

// maxDepth bounds how deep a body may nest.
const maxDepth = 64

// parse reads one JSON value.
func parse(raw []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	return parseValue(dec, 0)
}

func parseValue(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("it nests too deep")
	}
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t {
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
	case json.Delim('{'):
		o, at := object{}, map[string]int{}
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return nil, err
			}
			v, err := parseValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			if i, ok := at[name.(string)]; ok {
				o[i].value = v
				continue
			}
			at[name.(string)] = len(o)
			o = append(o, member{name.(string), v})
		}
		_, err := dec.Token()
		return o, err
	}
	return t, nil
}

// hasNUL says whether a string within a value has the character that databases
// do not take.
func hasNUL(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.ContainsRune(v, 0)
	case []any:
		return slices.ContainsFunc(v, hasNUL)
	case object:
		return slices.ContainsFunc(v, func(m member) bool { return hasNUL(m.name) || hasNUL(m.value) })
	}
	return false
}

// whole returns the value with its whole numbers as integers that an int64
// holds.
func whole(v any) any {
	switch v := v.(type) {
	case json.Number:
		if _, err := v.Int64(); err == nil || !isWhole(v) {
			return v
		}
		f, _ := v.Float64()
		switch {
		case f >= math.MaxInt64:
			return json.Number(strconv.FormatInt(math.MaxInt64, 10))
		case f <= math.MinInt64:
			return json.Number(strconv.FormatInt(math.MinInt64, 10))
		}
		return json.Number(strconv.FormatInt(int64(f), 10))
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	case object:
		for i := range v {
			v[i].value = whole(v[i].value)
		}
	}
	return v
}

// repr writes a value as Python does, which is how Placement quotes it.
func repr(v any) string {
	var b strings.Builder
	writeRepr(&b, v)
	return b.String()
}

func writeRepr(b *strings.Builder, v any) {
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
		b.WriteString(reprNumber(v))
	case string:
		writeReprString(b, v)
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			writeRepr(b, e)
		}
		b.WriteByte(']')
	case object:
		b.WriteByte('{')
		for i, m := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			writeReprString(b, m.name)
			b.WriteString(": ")
			writeRepr(b, m.value)
		}
		b.WriteByte('}')
	}
}

func reprNumber(n json.Number) string {
	if !strings.ContainsAny(string(n), ".eE") {
		return string(n)
	}
	f, err := n.Float64()
	if err != nil {
		if strings.HasPrefix(string(n), "-") {
			return "-inf"
		}
		return "inf"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func writeReprString(b *strings.Builder, s string) {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	b.WriteByte(quote)
	for _, c := range s {
		switch {
		case c == rune(quote) || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < 0x20 || c == 0x7f || c > 0x7f && c <= 0xff && !unicode.IsPrint(c):
			const hex = "0123456789abcdef"
			b.WriteString(`\x` + string(hex[c>>4]) + string(hex[c&15]))
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte(quote)
}
