package cinder

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// repr writes a JSON value as Python would, which is how the API quotes it.
func repr(v any) string {
	var b strings.Builder
	writeRepr(&b, v)
	return clip(b.String())
}

func writeRepr(b *strings.Builder, v any) {
	if b.Len() > maxQuote {
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
		b.WriteString(clip(v.String()))
	case string:
		quote := "'"
		if strings.Contains(v, "'") && !strings.Contains(v, `"`) {
			quote = `"`
		}
		v = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(clip(v))
		if quote == "'" {
			v = strings.ReplaceAll(v, "'", `\'`)
		}
		b.WriteString(quote + v + quote)
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
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteString(", ")
			}
			writeRepr(b, k)
			b.WriteString(": ")
			writeRepr(b, v[k])
		}
		b.WriteByte('}')
	}
}
