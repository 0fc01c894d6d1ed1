package nova

import (
	"encoding/json"
	"strings"

	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// object is an object in a request that was checked.
type object struct{ schema.Object }

// has reports whether the property was given, also as null.
func (o object) has(name string) bool {
	_, ok := o.Get(name)
	return ok
}

// of returns a property's value, nil when it is absent.
func (o object) of(name string) any {
	v, _ := o.Get(name)
	return v
}

// at returns a property that is an object.
func (o object) at(name string) object {
	v, _ := o.of(name).(schema.Object)
	return object{v}
}

// str returns a property's text, "" when there is none; a number's digits count.
func (o object) str(name string) string {
	return textOf(o.of(name))
}

func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return string(v)
	}
	return ""
}

// ptr returns a property's text, nil when it is absent or null.
func (o object) ptr(name string) *string {
	if o.of(name) == nil {
		return nil
	}
	s := o.str(name)
	return &s
}

// int returns a property's whole number, which may be written as a string; the
// schema has bounded it.
func (o object) int(name string, otherwise int) int {
	n, err := json.Number(strings.TrimSpace(o.str(name))).Int64()
	if err != nil {
		return otherwise
	}
	return int(n)
}

// bool returns a property's truth value, which may be one of Nova's strings.
func (o object) bool(name string, otherwise bool) bool {
	switch v := o.of(name).(type) {
	case bool:
		return v
	case string:
		if b, ok := httpapi.ParseBool(v); ok {
			return b
		}
	}
	return otherwise
}
