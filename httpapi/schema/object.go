package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
)

// Object is a JSON object whose members have the order in which they were sent,
// which messages quote. Where that does not matter a map[string]any will do: all
// of this package takes either.
type Object []Member

// Member is a member of an object: its value is nil, a bool, a json.Number, a
// string, a []any, or an object.
type Member struct {
	Name  string
	Value any
}

// Get returns a member's value.
func (o Object) Get(name string) (any, bool) {
	for i := range o {
		if o[i].Name == name {
			return o[i].Value, true
		}
	}
	return nil, false
}

// All are the members in their order; it makes an Object a [pyrepr.Ordered].
func (o Object) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for i := range o {
			if !yield(o[i].Name, o[i].Value) {
				return
			}
		}
	}
}

// MarshalJSON writes the members in their order.
func (o Object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(m.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.Value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}'), nil
}

// Parse reads one JSON value that nests no deeper than so many levels: objects as
// [Object], numbers as json.Number. A member that is given twice keeps its first
// place and its last value, as in Python.
func Parse(raw []byte, depth int) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	v, err := parse(dec, depth)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return v, nil
}

func parse(dec *json.Decoder, depth int) (any, error) {
	if depth < 0 {
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
			v, err := parse(dec, depth-1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.Token()
		return list, err
	case json.Delim('{'):
		o, at := Object{}, map[string]int(nil)
		for dec.More() {
			t, err := dec.Token()
			if err != nil {
				return nil, err
			}
			v, err := parse(dec, depth-1)
			if err != nil {
				return nil, err
			}
			name := t.(string) // which a name always is
			if i := o.index(name, &at); i >= 0 {
				o[i].Value = v
				continue
			}
			o = append(o, Member{name, v})
		}
		_, err := dec.Token()
		return o, err
	}
	return t, nil
}

// index returns where an object that grows has a member, -1 if it does not. Of
// many members the map remembers where they are.
func (o Object) index(name string, at *map[string]int) int {
	const few = 16
	if len(o) < few {
		return slices.IndexFunc(o, func(m Member) bool { return m.Name == name })
	}
	if *at == nil {
		*at = make(map[string]int, 2*few)
	}
	for i := len(*at); i < len(o); i++ {
		(*at)[o[i].Name] = i
	}
	if i, ok := (*at)[name]; ok {
		return i
	}
	return -1
}

// Limits bound what a database is asked to keep.
type Limits struct {
	Depth int // levels below the value
	Items int // of one list; 0: no bound
}

// Keepable says whether a value is within the limits and no text in it has a NUL,
// which databases do not take.
func (l Limits) Keepable(v any) bool {
	if l.Depth < 0 {
		return false
	}
	l.Depth--
	switch v := v.(type) {
	case string:
		return !strings.ContainsRune(v, 0)
	case []any:
		return (l.Items == 0 || len(v) <= l.Items) && !slices.ContainsFunc(v, func(e any) bool { return !l.Keepable(e) })
	case map[string]any, Object:
		for name, e := range membersOf(v).all {
			if strings.ContainsRune(name, 0) || !l.Keepable(e) {
				return false
			}
		}
	}
	return true
}

// Finite says whether all numbers in a value are within those of a float64. Others
// cannot be read back, as values of no type in particular, from where they are kept.
func Finite(v any) bool {
	switch v := v.(type) {
	case json.Number:
		_, err := v.Float64()
		return err == nil
	case []any:
		return !slices.ContainsFunc(v, func(e any) bool { return !Finite(e) })
	case map[string]any, Object:
		for _, e := range membersOf(v).all {
			if !Finite(e) {
				return false
			}
		}
	}
	return true
}

// members are those of an object of either kind.
type members struct {
	sent Object
	by   map[string]any
}

func membersOf(v any) members {
	sent, _ := v.(Object)
	by, _ := v.(map[string]any)
	return members{sent, by}
}

func (m members) len() int { return len(m.sent) + len(m.by) }

func (m members) get(name string) (any, bool) {
	if m.by != nil {
		v, ok := m.by[name]
		return v, ok
	}
	return m.sent.Get(name)
}

// all goes through the members as they were sent, where that is known.
func (m members) all(yield func(string, any) bool) {
	for _, one := range m.sent {
		if !yield(one.Name, one.Value) {
			return
		}
	}
	for name, v := range m.by {
		if !yield(name, v) {
			return
		}
	}
}

// names are the members' names in order.
func (m members) names() []string {
	names := make([]string, 0, m.len())
	for i := range m.sent {
		names = append(names, m.sent[i].Name)
	}
	for name := range m.by {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
