// Package pyrepr writes JSON values as Python's repr does. OpenStack's services
// are written in Python and quote what they were sent in that notation: None,
// True, 'text', {'name': 1.5}.
//
//	quoting := pyrepr.Style{Most: 512}
//	quoting.Repr(map[string]any{"a": nil}) // {'a': None}
package pyrepr

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Style says how one service quotes. The zero Style writes whatever the length,
// exactly as Python does.
type Style struct {
	// Most bounds what is written, in bytes, and MostText each text in it; 0 is
	// no bound. What is cut ends in "…".
	Most, MostText int
	// AsSent writes numbers and control characters as the request has them: 1e3,
	// where Python writes 1000.0.
	AsSent bool
}

// Ordered is an object whose members have an order. Those of a map[string]any
// are written in the order of their names.
type Ordered interface {
	All() iter.Seq2[string, any]
}

// Repr writes a value: nil, a bool, a json.Number, a string, a []any, a
// map[string]any or an [Ordered].
func (s Style) Repr(v any) string {
	var b strings.Builder
	s.write(&b, v)
	return cut(b.String(), s.Most)
}

// Str writes a value as Python's str does: a text without quotes around it.
func (s Style) Str(v any) string {
	t, ok := v.(string)
	if !ok {
		return s.Repr(v)
	}
	most := s.MostText
	if most == 0 {
		most = s.Most
	}
	return strings.ToValidUTF8(cut(t, most), "\uFFFD")
}

// cut shortens a text to some bytes, 0 being no bound, between two characters.
func cut(t string, most int) string {
	if most == 0 || len(t) <= most {
		return t
	}
	return strings.ToValidUTF8(t[:most], "") + "…"
}

func (s Style) write(b *strings.Builder, v any) {
	if s.Most > 0 && b.Len() > s.Most {
		return // it is cut there
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
		if s.AsSent {
			b.WriteString(cut(string(v), s.MostText))
		} else {
			b.WriteString(Number(v))
		}
	case string:
		s.text(b, v)
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			s.write(b, e)
		}
		b.WriteByte(']')
	case map[string]any:
		s.members(b, func(yield func(string, any) bool) {
			for _, name := range slices.Sorted(maps.Keys(v)) {
				if !yield(name, v[name]) {
					return
				}
			}
		})
	case Ordered:
		s.members(b, v.All())
	default:
		fmt.Fprint(b, v)
	}
}

func (s Style) members(b *strings.Builder, all iter.Seq2[string, any]) {
	open := "{"
	for name, v := range all {
		b.WriteString(open)
		s.text(b, name)
		b.WriteString(": ")
		s.write(b, v)
		open = ", "
	}
	if open == "{" {
		b.WriteString(open)
	}
	b.WriteByte('}')
}

func (s Style) text(b *strings.Builder, t string) {
	quote := '\''
	if strings.Contains(t, "'") && !strings.Contains(t, `"`) {
		quote = '"'
	}
	t = cut(t, s.MostText)
	if s.Most > 0 && len(t) > s.Most {
		t = t[:s.Most] // the quote before it goes beyond
	}
	b.WriteRune(quote)
	for _, c := range t {
		switch {
		case c == quote || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case !s.AsSent && c <= unicode.MaxLatin1 && !unicode.IsPrint(c):
			fmt.Fprintf(b, `\x%02x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteRune(quote)
}

// Number writes a number as Python does: integers as they are, others with a
// point or an exponent, and what no float holds as inf.
func Number(n json.Number) string {
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
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}
