package neutron

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

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
		"tenant_id": onPost(owner), "project_id": onPost(owner), "description": both(text(255)),
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

// owner takes the project that a new resource belongs to. What is no name of a
// project is not the caller's, and so refused in the same words.
func owner(_ string, v any) (any, error) {
	s, ok := v.(string)
	if !ok || s == "" || len(s) > 255 {
		return nil, badRequest("Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin or advsvc privileges")
	}
	return s, nil
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
	missing := noResource(singular)
	raw, err := r.Raw()
	if err != nil {
		return nil, false, err
	}
	if !core(singular) {
		if err := checkExtensionBody(raw, create); err != nil {
			return nil, false, err
		}
	}
	switch {
	case len(raw) == 0:
		return nil, false, missing
	case !utf8.Valid(raw):
		return nil, false, &nephos.Error{Kind: nephos.ErrInvalid, Reason: "HTTPBadRequest"}
	}
	tree, err := r.Tree()
	if err != nil {
		return nil, false, err
	}
	if raw, ok := tree[plural]; ok {
		if !create {
			return nil, true, badRequest("Bulk operation not supported")
		}
		if string(raw) == "{}" {
			return nil, true, badRequest("Resources required")
		}
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
				return nil, true, badRequest("Object '%s' contains invalid data", singular)
			}
			v, err := convert(item, attributes, create)
			if err != nil {
				return nil, true, err
			}
			items = append(items, v)
		}
		return items, true, nil
	}
	member, ok := tree[singular]
	switch {
	case !ok:
		return nil, false, missing
	case string(member) == "null":
		return nil, false, badRequest("%w", missing)
	}
	item, err := decodeItem(member, "")
	if err != nil {
		return nil, false, badRequest("Object '%s' contains invalid data", singular)
	}
	v, err := convert(item, attributes, create)
	return []values{v}, false, err
}

// core reports whether a resource is of Neutron's own, and not of an extension,
// whose bodies are read by other code.
func core(singular string) bool {
	return singular == "network" || singular == "subnet" || singular == "port"
}

// noResource is the error for a body without the resource.
func noResource(singular string) *nephos.Error {
	return nephos.Errorf(nephos.ErrInvalid, "Unable to find '%s' in request body", singular).WithField(singular)
}

// isNoResource reports whether an error is [noResource]'s.
func isNoResource(err error, singular string) bool {
	e, ok := err.(*nephos.Error)
	return ok && e.Field == singular && e.Message == noResource(singular).Message
}

// checkExtensionBody refuses what extensions' resources refuse of a body in words
// of their own: what is not JSON, and what is empty.
func checkExtensionBody(raw []byte, create bool) error {
	var body any
	if len(raw) > 0 && (!utf8.Valid(raw) || json.Unmarshal(raw, &body) != nil) {
		return malformedBody()
	}
	required := badRequest("Resource body required")
	switch v := body.(type) {
	case map[string]any:
		if len(v) == 0 {
			return required
		}
	case []any:
		if create && len(v) == 0 {
			return required
		}
	case nil:
		if create {
			return required
		}
		return invalidFormat(raw)
	default:
		if !create {
			return invalidFormat(raw)
		}
	}
	return nil
}

func malformedBody() error {
	return nephos.Errorf(nephos.ErrInvalid, "Malformed request body: Cannot understand JSON.").WithReason("MalformedRequestBody")
}

// invalidFormat quotes a body as Python does bytes.
func invalidFormat(raw []byte) error {
	return nephos.Errorf(nephos.ErrInvalid, "Bad body request: Invalid format: b%s.", pythonBytes(raw)).WithReason("BadRequest")
}

func pythonBytes(raw []byte) string {
	var b strings.Builder
	quote := byte('\'')
	if bytes.IndexByte(raw, '\'') >= 0 && bytes.IndexByte(raw, '"') < 0 {
		quote = '"'
	}
	b.WriteByte(quote)
	for _, c := range raw[:min(len(raw), 300)] {
		switch {
		case c == quote || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte(quote)
	return b.String()
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
			if name == "project_id" {
				name = "tenant_id"
			}
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
	case string:
		return clip(v, 300)
	case []string:
		return clip("['"+strings.Join(v, "', '")+"']", 300)
	}
	return clip(python(v), 300)
}

// python writes a decoded JSON value as Python would, whose notation the API's
// messages are in.
func python(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case string:
		return "'" + v + "'"
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = python(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		parts := make([]string, 0, len(v))
		for _, k := range sorted(v) {
			parts = append(parts, "'"+k+"': "+python(v[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// text takes strings of at most n characters.
func text(n int) converter {
	return func(name string, v any) (any, error) {
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

// textOrNone is text that takes null as the empty one.
func textOrNone(n int) converter {
	return func(name string, v any) (any, error) {
		if v == nil {
			return "", nil
		}
		return text(n)(name, v)
	}
}

// integer takes whole numbers, also as text. Of other numbers it takes the whole
// part.
func integer(lo, hi int64) converter {
	return func(name string, v any) (any, error) {
		s, ok := v.(string)
		if n, isNumber := v.(json.Number); isNumber {
			s, ok = n.String(), true
			if f, err := n.Float64(); err == nil && strings.ContainsAny(s, ".eE") && math.Abs(f) < 1<<53 {
				s = strconv.FormatInt(int64(f), 10)
			}
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if !ok || err != nil {
			return nil, invalidInput(name, "'%s' is not an integer", show(v))
		}
		if n < lo && lo == 0 {
			return nil, invalidValue(name, "'%d' should be non-negative", n)
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
	if v == nil {
		return netip.Addr{}, nil
	}
	return address(name, v)
}

func cidr(name string, v any) (any, error) {
	s, _ := v.(string)
	p, err := netip.ParsePrefix(s)
	if a, e := netip.ParseAddr(s); e == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil || p.Addr().Is4In6() {
		return nil, invalidInput(name, "%s is not in a CIDR format", show(v))
	}
	return p, nil
}

// destination takes the block that a route leads to.
func destination(name string, v any) (any, error) {
	s, _ := v.(string)
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return nil, invalidValue(name, "'%s' is not a valid CIDR", show(v))
	}
	if p != p.Masked() {
		return nil, invalidValue(name, "'%s' is not a recognized CIDR, '%s' is recommended", show(v), p.Masked())
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
	return listFor[T]("", c)
}

// listFor takes lists of what: lists that take no null.
func listFor[T any](what string, c converter) converter {
	return func(name string, v any) (any, error) {
		if v == nil && what == "" {
			return []T{}, nil
		}
		list, ok := v.([]any)
		if !ok && what != "" {
			return nil, invalidValue(name, "Invalid data format for %s: '%s'", what, show(v))
		}
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

// pair takes objects with exactly the two keys and makes something of them.
func pair(first, second string, keys map[string]converter, build func(name string, v values) (any, error)) converter {
	return func(name string, v any) (any, error) {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, invalidValue(name, "Invalid input. '%s' must be a dictionary with keys: ['%s', '%s']", show(v), first, second)
		}
		_, one := m[first]
		_, two := m[second]
		if !one || !two || len(m) != 2 {
			provided := "set()"
			if len(m) > 0 {
				provided = "{'" + strings.Join(sorted(m), "', '") + "'}"
			}
			return nil, invalidValue(name, "Validation of dictionary's keys failed. Expected keys: {'%s', '%s'} Provided keys: %s", first, second, clip(provided, 300))
		}
		return object("", keys, build)(name, v)
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
