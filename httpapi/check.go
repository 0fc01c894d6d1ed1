package httpapi

import (
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi/pyrepr"
)

// checker compares a JSON tree with the Go type that it shall fill, so that
// errors can name the field, and so that encoding/json's leniency (unknown
// fields, other capitals, null for anything) does not leak into the API.
type checker struct {
	service string
	strict  bool
}

// maxDepth bounds how deep a body may nest.
const maxDepth = 64

func (c checker) check(tree any, v any, path string) error {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer {
		panic("httpapi: decoding needs a pointer")
	}
	return c.value(tree, t.Elem(), path, 0)
}

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	lenientType     = reflect.TypeFor[lenient]()
	rawMessage      = reflect.TypeFor[json.RawMessage]()
	jsonNumber      = reflect.TypeFor[json.Number]()
)

func (c checker) value(tree any, t reflect.Type, path string, depth int) error {
	if depth > maxDepth {
		return c.invalid(path, "The request body nests too deep.")
	}
	if t == rawMessage {
		return nil
	}
	if t.Kind() == reflect.Pointer {
		if tree == nil {
			return nil
		}
		return c.value(tree, t.Elem(), path, depth)
	}
	if t.Implements(lenientType) {
		if l := reflect.Zero(t).Interface().(lenient); !l.accepts(tree) {
			return c.mistyped(path, tree, l.wants())
		}
		return nil
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return nil // it speaks for itself
	}
	if t.Kind() == reflect.Interface || tree == nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Map) {
		return nil
	}
	if reflect.PointerTo(t).Implements(textUnmarshaler) {
		if _, ok := tree.(string); !ok {
			return c.mistyped(path, tree, "string")
		}
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		m, ok := tree.(map[string]any)
		if !ok {
			return c.mistyped(path, tree, "object")
		}
		return c.object(m, t, path, depth)
	case reflect.Map:
		m, ok := tree.(map[string]any)
		if !ok {
			return c.mistyped(path, tree, "object")
		}
		for _, k := range sortedKeys(m) {
			if err := c.value(m[k], t.Elem(), join(path, k), depth+1); err != nil {
				return err
			}
		}
	case reflect.Slice, reflect.Array:
		list, ok := tree.([]any)
		if !ok {
			if t.Elem().Kind() == reflect.Uint8 {
				if _, ok := tree.(string); ok {
					return nil // base64
				}
				return c.mistyped(path, tree, "string")
			}
			return c.mistyped(path, tree, "array")
		}
		for i, e := range list {
			if err := c.value(e, t.Elem(), join(path, strconv.Itoa(i)), depth+1); err != nil {
				return err
			}
		}
	case reflect.String:
		if t == jsonNumber {
			if _, ok := tree.(json.Number); !ok {
				return c.mistyped(path, tree, "number")
			}
			return nil
		}
		if _, ok := tree.(string); !ok {
			return c.mistyped(path, tree, "string")
		}
	case reflect.Bool:
		if _, ok := tree.(bool); !ok {
			return c.mistyped(path, tree, "boolean")
		}
	case reflect.Float32, reflect.Float64:
		n, ok := tree.(json.Number)
		if !ok {
			return c.mistyped(path, tree, "number")
		}
		if _, err := strconv.ParseFloat(string(n), t.Bits()); err != nil {
			return c.mistyped(path, tree, "number")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, ok := tree.(json.Number)
		if !ok {
			return c.mistyped(path, tree, "integer")
		}
		if _, err := strconv.ParseInt(string(n), 10, t.Bits()); err != nil {
			return c.mistyped(path, tree, "integer")
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		n, ok := tree.(json.Number)
		if !ok {
			return c.mistyped(path, tree, "integer")
		}
		if _, err := strconv.ParseUint(string(n), 10, t.Bits()); err != nil {
			return c.mistyped(path, tree, "integer")
		}
	}
	return nil
}

func (c checker) object(m map[string]any, t reflect.Type, path string, depth int) error {
	fields := fieldsOf(t)
	var unknown []string
	for _, k := range sortedKeys(m) {
		f, ok := fields.byName[k]
		if !ok {
			// encoding/json would take another spelling for the field; such a field
			// is refused even where unknown ones are let through.
			if c.strict || fields.folded[strings.ToLower(k)] {
				unknown = append(unknown, k)
			}
			continue
		}
		if err := c.value(m[k], f, join(path, k), depth+1); err != nil {
			return err
		}
	}
	if len(unknown) > 0 {
		return c.unknown(path, m, unknown)
	}
	return nil
}

// structFields are the JSON fields of a struct type.
type structFields struct {
	byName map[string]reflect.Type
	folded map[string]bool
}

// fieldCache remembers what reflection finds, per type.
var fieldCache sync.Map // reflect.Type → *structFields

func fieldsOf(t reflect.Type) *structFields {
	if f, ok := fieldCache.Load(t); ok {
		return f.(*structFields)
	}
	f := &structFields{byName: map[string]reflect.Type{}, folded: map[string]bool{}}
	collectFields(t, f, 0)
	for k := range f.byName {
		f.folded[strings.ToLower(k)] = true
	}
	actual, _ := fieldCache.LoadOrStore(t, f)
	return actual.(*structFields)
}

func collectFields(t reflect.Type, f *structFields, depth int) {
	if depth > 8 {
		return
	}
	var embedded []reflect.Type
	for i := range t.NumField() {
		sf := t.Field(i)
		tag := sf.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, opts, _ := strings.Cut(tag, ",")
		if sf.Anonymous && name == "" {
			e := sf.Type
			if e.Kind() == reflect.Pointer {
				e = e.Elem()
			}
			if e.Kind() == reflect.Struct {
				embedded = append(embedded, e)
				continue
			}
		}
		if !sf.IsExported() {
			continue
		}
		if name == "" {
			name = sf.Name
		}
		ft := sf.Type
		if strings.Contains(opts, "string") {
			ft = rawMessage // quoted numbers are encoding/json's business
		}
		if _, outer := f.byName[name]; !outer {
			f.byName[name] = ft
		}
	}
	for _, e := range embedded {
		collectFields(e, f, depth+1)
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// last returns the last part of a path.
func last(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

func (c checker) invalid(path, message string) error {
	if path == "" {
		path = "body"
	}
	return &nephos.Error{Kind: nephos.ErrInvalid, Field: path, Message: message}
}

// mistyped is the error for a value of the wrong type.
func (c checker) mistyped(path string, got any, want string) error {
	value := quoting.Repr(got)
	of := value + " is not of type '" + want + "'"
	switch c.service {
	case "network":
		return c.invalid(path, "Invalid input for "+last(path)+". Reason: "+"'"+strings.Trim(value, "'")+"' is not a valid "+want+".")
	case "identity":
		if path == "" {
			return c.invalid("body", expecting("valid JSON", "request body"))
		}
		return c.invalid(path, "Invalid input for field '"+strings.ReplaceAll(path, ".", "/")+"': "+of)
	case "placement":
		return c.invalid(path, "JSON does not validate: "+of)
	}
	if path == "" {
		return c.invalid("body", of)
	}
	return c.invalid(path, "Invalid input for field/attribute "+last(path)+". Value: "+quoting.Str(got)+". "+of)
}

// unknown is the error for fields that do not exist.
func (c checker) unknown(path string, m map[string]any, names []string) error {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = "'" + clip(n, 64) + "'"
	}
	field := join(path, clip(names[0], 64))
	list := strings.Join(quoted, ", ")
	if c.service == "network" {
		return c.invalid(field, "Unrecognized attribute(s) '"+strings.ReplaceAll(list, "'", "")+"'")
	}
	verb := " was"
	if len(names) > 1 {
		verb = " were"
	}
	msg := "Additional properties are not allowed (" + list + verb + " unexpected)"
	switch {
	case c.service == "placement":
		msg = "JSON does not validate: " + msg
	case path == "":
	case c.service == "identity":
		msg = "Invalid input for field '" + strings.ReplaceAll(path, ".", "/") + "': " + msg
	case c.service == "compute" || c.service == "volume":
		msg = "Invalid input for field/attribute " + last(path) + ". Value: " + quoting.Str(m) + ". " + msg
	}
	return c.invalid(field, msg)
}

// unmarshalError makes an error of what a type's own UnmarshalJSON, or
// encoding/json after all, had to say.
func (c checker) unmarshalError(err error, path string) error {
	var e *nephos.Error
	if errors.As(err, &e) {
		return e
	}
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		return c.invalid(join(path, typ.Field),
			"Invalid input for field/attribute "+last(join(path, typ.Field))+". A "+typ.Value+" is not expected here.")
	}
	return &nephos.Error{Kind: nephos.ErrInvalid, Field: "body", Message: "Malformed request body", Cause: err}
}

// quoting is how messages quote what a request says.
var quoting = pyrepr.Style{Most: 512, MostText: 256, AsSent: true}
