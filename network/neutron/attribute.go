package neutron

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

// attribute is what a client may say of one attribute of a resource.
type attribute struct {
	post, put bool
	required  bool
	convert   converter
}

// converter checks a decoded JSON value and turns it into the attribute's type.
type converter func(name string, v any) (any, error)

// The usual attributes.
func readOnly() attribute          { return attribute{} }
func both(c converter) attribute   { return attribute{post: true, put: true, convert: c} }
func onPost(c converter) attribute { return attribute{post: true, convert: c} }
func onPut(c converter) attribute  { return attribute{put: true, convert: c} }
func needed(c converter) attribute { return attribute{post: true, required: true, convert: c} }
func standard(more map[string]attribute) map[string]attribute {
	attributes := map[string]attribute{
		"id": readOnly(), "created_at": readOnly(), "updated_at": readOnly(), "revision_number": readOnly(), "tags": readOnly(),
		"tenant_id": onPost(text(255)), "project_id": onPost(text(255)), "description": both(text(255)),
	}
	for n, a := range more {
		attributes[n] = a
	}
	return attributes
}

// values are the attributes of a request, converted.
type values map[string]any

// get returns an attribute if the request has it, and it is of the type.
func get[T any](v values, name string) *T {
	if x, ok := v[name].(T); ok {
		return &x
	}
	return nil
}

// plain is get with the zero value for what the request lacks.
func plain[T any](v values, name string) T {
	x, _ := v[name].(T)
	return x
}

// project is the project that a create names.
func (v values) project() string {
	if p := plain[string](v, "project_id"); p != "" {
		return p
	}
	return plain[string](v, "tenant_id")
}

func badRequest(format string, args ...any) error {
	return nephos.Errorf(nephos.ErrInvalid, format, args...).WithReason("HTTPBadRequest")
}

// invalidValue is what Neutron's validators answer with.
func invalidValue(name, format string, args ...any) error {
	e := nephos.Errorf(nephos.ErrInvalid, format, args...)
	e.Message = "Invalid input for " + name + ". Reason: " + e.Message + "."
	return e.WithReason("HTTPBadRequest").WithField(name)
}

// invalidInput is what Neutron's converters answer with.
func invalidInput(name, format string, args ...any) error {
	e := nephos.Errorf(nephos.ErrInvalid, format, args...)
	e.Message = "Invalid input for operation: " + e.Message + "."
	return e.WithReason("InvalidInput").WithField(name)
}

// maxBulk bounds how many items a bulk request may make.
const maxBulk = 1000

// decode reads a request's body: one item, or several under the plural.
func decode(r *httpapi.Request, singular, plural string, attributes map[string]attribute, create bool) (items []values, bulk bool, err error) {
	tree, err := r.Tree()
	if err != nil {
		return nil, false, err
	}
	if len(tree) == 0 {
		return nil, false, badRequest("Resource body required")
	}
	if raw, ok := tree[plural]; ok && create {
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, true, badRequest("Body contains invalid data")
		}
		if len(list) == 0 {
			return nil, true, badRequest("Resources required")
		}
		if len(list) > maxBulk {
			return nil, true, badRequest("At most %d resources are made by one request", maxBulk)
		}
		for _, raw := range list {
			item, err := decodeItem(raw, singular)
			if err != nil {
				return nil, true, err
			}
			v, err := convert(item, attributes, create)
			if err != nil {
				return nil, true, err
			}
			items = append(items, v)
		}
		return items, true, nil
	}
	raw, ok := tree[singular]
	if !ok || string(raw) == "null" {
		return nil, false, badRequest("Unable to find '%s' in request body", singular)
	}
	item, err := decodeItem(raw, "")
	if err != nil {
		return nil, false, badRequest("Object '%s' contains invalid data", singular)
	}
	v, err := convert(item, attributes, create)
	return []values{v}, false, err
}

// decodeItem reads an object; one that only wraps another under the name is
// unwrapped.
func decodeItem(raw json.RawMessage, wrapper string) (map[string]any, error) {
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	var item map[string]any
	if err := dec.Decode(&item); err != nil || item == nil {
		return nil, badRequest("Body contains invalid data")
	}
	if inner, ok := item[wrapper].(map[string]any); ok && wrapper != "" {
		return inner, nil
	}
	return item, nil
}

// convert holds an item against the attributes of its resource.
func convert(item map[string]any, attributes map[string]attribute, create bool) (values, error) {
	var unknown []string
	for _, name := range sorted(item) {
		if _, ok := attributes[name]; !ok {
			unknown = append(unknown, clip(name, 64))
		}
	}
	if len(unknown) > 0 {
		e := badRequest("Unrecognized attribute(s) '%s'", strings.Join(unknown, ", "))
		return nil, e
	}
	if create {
		for _, name := range sorted(attributes) {
			if _, given := item[name]; attributes[name].required && !given {
				return nil, badRequest("Failed to parse request. Required attribute '%s' not specified", name)
			}
		}
	}
	out := values{}
	for _, name := range sorted(item) {
		a := attributes[name]
		switch {
		case create && !a.post:
			return nil, badRequest("Attribute '%s' not allowed in POST", name)
		case !create && !a.put:
			return nil, badRequest("Cannot update read-only attribute %s", name)
		}
		v, err := a.convert(name, item[name])
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	if p, t := plain[string](out, "project_id"), plain[string](out, "tenant_id"); p != "" && t != "" && p != t {
		return nil, badRequest("'project_id' and 'tenant_id' do not match")
	}
	return out, nil
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	sortStrings(names)
	return names
}

// show writes a value into a message.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case string:
		return clip(v, 128)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return clip(string(b), 128)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// text takes strings of at most n characters; null is the empty one.
func text(n int) converter {
	return func(name string, v any) (any, error) {
		if v == nil {
			v = ""
		}
		s, ok := v.(string)
		if !ok {
			return nil, invalidValue(name, "'%s' is not a valid string", show(v))
		}
		if len([]rune(s)) > n {
			return nil, invalidValue(name, "'%s' exceeds maximum length of %d", clip(s, 300), n)
		}
		if strings.ContainsRune(s, 0) {
			return nil, invalidValue(name, "'%s' is not a valid string", clip(strings.ReplaceAll(s, "\x00", ""), 64))
		}
		return s, nil
	}
}

func boolean(name string, v any) (any, error) {
	switch x := v.(type) {
	case bool:
		return x, nil
	case string:
		switch strings.ToLower(x) {
		case "true", "1":
			return true, nil
		case "false", "0":
			return false, nil
		}
	case json.Number:
		switch x {
		case "1":
			return true, nil
		case "0":
			return false, nil
		}
	}
	return nil, invalidInput(name, "'%s' cannot be converted to boolean", show(v))
}

// integer takes whole numbers, also as text.
func integer(lo, hi int64) converter {
	return func(name string, v any) (any, error) {
		s, ok := v.(string)
		if n, isNumber := v.(json.Number); isNumber {
			s, ok = n.String(), true
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if !ok || err != nil {
			return nil, invalidInput(name, "'%s' is not an integer", show(v))
		}
		if n < lo {
			return nil, invalidValue(name, "'%d' is too small - must be at least '%d'", n, lo)
		}
		if n > hi {
			return nil, invalidValue(name, "'%d' is too large - must be no larger than '%d'", n, hi)
		}
		return n, nil
	}
}

// optional lets null pass, as absent.
func optional(c converter) converter {
	return func(name string, v any) (any, error) {
		if v == nil {
			return nil, nil
		}
		return c(name, v)
	}
}

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$`)

func uuid(name string, v any) (any, error) {
	s, ok := v.(string)
	if !ok || !uuidForm.MatchString(s) {
		return nil, invalidValue(name, "'%s' is not a valid UUID", show(v))
	}
	return s, nil
}

// uuidOrNone takes null as the empty text.
func uuidOrNone(name string, v any) (any, error) {
	if v == nil || v == "" {
		return "", nil
	}
	return uuid(name, v)
}

func address(name string, v any) (any, error) {
	s, _ := v.(string)
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return nil, invalidValue(name, "'%s' is not a valid IP address", show(v))
	}
	return a, nil
}

// addressOrNone takes null as the invalid address.
func addressOrNone(name string, v any) (any, error) {
	if v == nil || v == "" {
		return netip.Addr{}, nil
	}
	return address(name, v)
}

func cidr(name string, v any) (any, error) {
	s, _ := v.(string)
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		if a, e := netip.ParseAddr(s); e == nil {
			return nil, invalidValue(name, "'%s' isn't a recognized IP subnet cidr, '%s/%d' is recommended", s, a, a.BitLen())
		}
		return nil, invalidValue(name, "'%s' is not a valid IP subnet", show(v))
	}
	return p, nil
}

func mac(name string, v any) (any, error) {
	s, _ := v.(string)
	if m, err := net.ParseMAC(s); err == nil && len(m) == 6 {
		return m.String(), nil
	}
	return nil, invalidValue(name, "'%s' is not a valid MAC address", show(v))
}

// oneOf takes certain texts.
func oneOf(texts ...string) converter {
	return func(name string, v any) (any, error) {
		for _, t := range texts {
			if v == t {
				return t, nil
			}
		}
		return nil, invalidValue(name, "%s is not in ['%s']", show(v), strings.Join(texts, "', '"))
	}
}

// listOf takes lists; null is the empty one.
func listOf[T any](c converter) converter {
	return func(name string, v any) (any, error) {
		if v == nil {
			return []T{}, nil
		}
		list, ok := v.([]any)
		if !ok {
			return nil, invalidValue(name, "'%s' is not a list", show(v))
		}
		if len(list) > maxBulk {
			return nil, invalidValue(name, "more than %d items", maxBulk)
		}
		out := make([]T, 0, len(list))
		for _, e := range list {
			x, err := c(name, e)
			if err != nil {
				return nil, err
			}
			out = append(out, x.(T))
		}
		return out, nil
	}
}

// object takes objects with certain keys and makes something of them.
func object(what string, keys map[string]converter, build func(name string, v values) (any, error)) converter {
	return func(name string, v any) (any, error) {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, invalidValue(name, "Invalid data format for %s: '%s'", what, show(v))
		}
		out := values{}
		for _, k := range sorted(m) {
			c, ok := keys[k]
			if !ok {
				return nil, invalidValue(name, "Invalid data format for %s: '%s'", what, show(v))
			}
			x, err := c(name, m[k])
			if err != nil {
				return nil, err
			}
			out[k] = x
		}
		return build(name, out)
	}
}
