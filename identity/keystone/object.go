package keystone

import (
	"strings"

	"github.com/nephos-cloud/nephos"
)

// object is a JSON object from a request's body. Numbers are json.Number.
type object map[string]any

// text returns a property's text, "" when it is absent or null.
func (o object) text(name string) string {
	s, _ := o[name].(string)
	return s
}

// textPtr returns a property's text, nil when it is absent. Null counts as "".
func (o object) textPtr(name string) *string {
	v, ok := o[name]
	if !ok {
		return nil
	}
	s, _ := v.(string)
	return &s
}

// nullText returns a property's text, nil when it is absent or null.
func (o object) nullText(name string) *string {
	s, ok := o[name].(string)
	if !ok {
		return nil
	}
	return &s
}

// isNull reports whether a property is there and null.
func (o object) isNull(name string) bool {
	v, ok := o[name]
	return ok && v == nil
}

// flag returns a property's boolean, nil when it is absent or null.
func (o object) flag(name string) *bool {
	b, ok := o[name].(bool)
	if !ok {
		return nil
	}
	return &b
}

// flagOr is flag with a default.
func (o object) flagOr(name string, def bool) bool {
	if b := o.flag(name); b != nil {
		return *b
	}
	return def
}

// object returns a property that is an object, nil when it is absent.
func (o object) object(name string) object {
	v, _ := o[name].(map[string]any)
	return v
}

// rest returns the properties that are neither named here nor the server's own:
// the extra attributes, whose colons and dashes become underscores, as in
// Keystone.
func (o object) rest(named ...string) map[string]any {
	extra := map[string]any{}
next:
	for k, v := range o {
		if k == "id" || k == "links" || k == "extra" {
			continue
		}
		for _, n := range named {
			if k == n {
				continue next
			}
		}
		extra[strings.NewReplacer(":", "_", "-", "_").Replace(k)] = v
	}
	return extra
}

// checkID refuses an update that would change the resource's id.
func (o object) checkID(id string) error {
	if v, ok := o["id"]; ok && v != nil && v != id {
		return nephos.Errorf(nephos.ErrInvalid, "Cannot change ID").WithField("id")
	}
	return nil
}

// render merges a resource's extra attributes below its named ones.
func render(named, extra map[string]any) map[string]any {
	for k, v := range extra {
		if _, taken := named[k]; !taken {
			named[k] = v
		}
	}
	return named
}

// withExtra shows a resource's extra attributes together, too, as answers to
// updates of users and projects do.
func withExtra(body, extra map[string]any) map[string]any {
	if extra == nil {
		extra = map[string]any{}
	}
	body["extra"] = extra
	return body
}

// orNull is an optional id on the wire.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
