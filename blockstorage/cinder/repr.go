package cinder

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
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
		var all ordered
		for _, k := range slices.Sorted(maps.Keys(v)) {
			all = append(all, namedValue{k, v[k]})
		}
		writeRepr(b, all)
	case ordered:
		b.WriteByte('{')
		for i, m := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			writeRepr(b, m.name)
			b.WriteString(": ")
			writeRepr(b, m.value)
		}
		b.WriteByte('}')
	}
}

// ordered is an object whose members are in the order in which they were sent.
type ordered []namedValue

type namedValue struct {
	name  string
	value any
}

// inOrder writes the objects that an error quotes in the order in which the
// request has their members: objects forget it, and the API does not.
func inOrder(err error, raw []byte) error {
	var e *nephos.Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, "{") {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, bad := readOrdered(d)
	if bad != nil {
		return err
	}
	told := *e
	told.Message = reorder(e.Message, v)
	return &told
}

// readOrdered reads one JSON value.
func readOrdered(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		o := ordered{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := readOrdered(d)
			if err != nil {
				return nil, err
			}
			if i := slices.IndexFunc(o, func(m namedValue) bool { return m.name == name }); i >= 0 {
				o[i].value = v
				continue
			}
			o = append(o, namedValue{name.(string), v})
		}
		_, err = d.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := readOrdered(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	return t, nil
}

// reorder replaces the sorted form of each object in a message.
func reorder(message string, v any) string {
	switch v := v.(type) {
	case ordered:
		if was, is := repr(sortedForm(v)), repr(v); was != is {
			message = strings.ReplaceAll(message, was, is)
		}
		for _, m := range v {
			message = reorder(message, m.value)
		}
	case []any:
		for _, e := range v {
			message = reorder(message, e)
		}
	}
	return message
}

// sortedForm is a value whose objects have forgotten their order.
func sortedForm(v any) any {
	switch v := v.(type) {
	case ordered:
		o := object{}
		for _, m := range v {
			o[m.name] = sortedForm(m.value)
		}
		return o
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = sortedForm(e)
		}
		return list
	}
	return v
}
