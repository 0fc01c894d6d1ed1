package trace

import (
	"encoding/json"
	"io"
	"reflect"
	"slices"
	"strings"
)

// encoder writes events as lines without the fields that say nothing, which
// most of a host's and a request's do.
type encoder struct {
	w io.Writer
	b []byte
}

func (e *encoder) encode(event Event) error {
	b, err := appendShort(e.b[:0], reflect.ValueOf(event))
	if err != nil {
		return err
	}
	e.b = append(b, '\n')
	_, err = e.w.Write(e.b)
	return err
}

// appendShort appends a value as JSON: a struct without its zero fields, a map
// with its keys sorted.
func appendShort(b []byte, v reflect.Value) ([]byte, error) {
	var err error
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, "null"...), nil
		}
		return appendShort(b, v.Elem())
	case reflect.Struct:
		b = append(b, '{')
		b, err = appendFields(b, v)
		return append(b, '}'), err
	case reflect.Slice:
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendShort(b, v.Index(i)); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case reflect.Map:
		b = append(b, '{')
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for i, k := range keys {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendPlain(b, k); err != nil {
				return nil, err
			}
			b = append(b, ':')
			if b, err = appendShort(b, v.MapIndex(k)); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	}
	return appendPlain(b, v)
}

func appendFields(b []byte, v reflect.Value) ([]byte, error) {
	var err error
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		if !f.IsExported() || value.IsZero() {
			continue
		}
		if f.Anonymous {
			if b, err = appendFields(b, value); err != nil {
				return nil, err
			}
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		if c := b[len(b)-1]; c != '{' {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, name...)
		b = append(b, `":`...)
		if b, err = appendShort(b, value); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func appendPlain(b []byte, v reflect.Value) ([]byte, error) {
	text, err := json.Marshal(v.Interface())
	return append(b, text...), err
}
