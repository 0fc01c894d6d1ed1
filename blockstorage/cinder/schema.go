package cinder

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
)

// property describes a value in a request, as the JSON schemas of the API do.
type property struct {
	types       []string
	min, max    int // of a text, in characters; a max of 0 is none
	pattern     *regexp.Regexp
	enum        []any
	lowest      int64 // of a number, also one in a text; 0: no bounds
	props       map[string]property
	required    []string
	open        bool           // members that are not in props are let through
	keys        *regexp.Regexp // of members that are not in props
	values      *property      // of members whose keys match
	least, most int            // of an object's members
	anyOf       []string       // one of these members is needed
	format      func(v any) error
	orNull      bool // a type of its own beside null: the API says so in another way
}

var (
	typeText     = []string{"string"}
	typeNullText = []string{"string", "null"}
	typeBool     = []string{"boolean", "string"}
	typeSize     = []string{"integer", "string"}
	typeObject   = []string{"object"}
	typeNullObj  = []string{"object", "null"}

	digits  = regexp.MustCompile(`^[0-9]+$`)
	keyForm = regexp.MustCompile(`^[a-zA-Z0-9-_:. /]{1,255}$`)
	specKey = regexp.MustCompile(`^[a-zA-Z0-9-_:.]{1,255}$`)

	uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$`)
)

const maxInt = math.MaxInt32

// isUUID is the format of IDs.
func isUUID(v any) error {
	if s, ok := v.(string); ok && !uuidForm.MatchString(s) {
		return fmt.Errorf("%s is not a 'uuid'", repr(v))
	}
	return nil
}

// isName is the format of names that must be there.
func isName(v any) error {
	if s, ok := v.(string); ok && strings.TrimSpace(s) == "" {
		what := "empty"
		if s == "" {
			what = "None"
		}
		return plainError("An invalid 'name' value was provided. The 'name' can not be " + what + ".")
	}
	return nil
}

// plainError is a format's error that stands alone, without the field.
type plainError string

func (e plainError) Error() string { return string(e) }

// trimmedLength is the format of names and descriptions whose outer spaces do
// not count.
func trimmedLength(name string) func(v any) error {
	return func(v any) error {
		if s, ok := v.(string); ok && utf8.RuneCountInString(strings.TrimSpace(s)) > 255 {
			return plainError(fmt.Sprintf("Invalid input received: %s has %d characters, more than 255.", name, utf8.RuneCountInString(strings.TrimSpace(s))))
		}
		return nil
	}
}

var (
	pUUID     = property{types: typeText, format: isUUID}
	pNullUUID = property{types: typeText, format: isUUID, orNull: true}
	pText     = property{types: typeText}
	pNullText = property{types: typeNullText, max: 255}
	pAny      = property{}
	pBool     = property{types: typeBool, enum: truths()}
	pNullBool = property{types: typeBool, enum: truths(), orNull: true}
	pSize     = property{types: typeSize, pattern: digits, lowest: 1}
	pNullSize = property{types: append(slices.Clone(typeSize), "null"), pattern: digits, lowest: 1}
	pValue    = property{types: typeText, max: 255}
	pNullVal  = property{types: typeNullText, max: 255}
	pMetadata = property{types: typeObject, keys: keyForm, values: &pValue}
	pNullMeta = property{types: typeNullObj, keys: keyForm, values: &pValue}
	pName     = property{types: typeNullText, format: trimmedLength("name")}
	pDescr    = property{types: typeNullText, format: trimmedLength("description")}
	pObject   = property{types: typeObject, open: true}
)

func truths() []any {
	return []any{
		true, "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes", "y", "t",
		false, "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no", "n", "f",
	}
}

// body is the schema of a body with one member.
func body(name string, p property) property {
	return property{types: typeObject, props: map[string]property{name: p}, required: []string{name}}
}

// strict is an object with just these members, of which some are needed.
func strict(props map[string]property, required ...string) property {
	return property{types: typeObject, props: props, required: required}
}

// check holds a value against the property. The path's last part is named.
func (p property) check(name string, v any) error {
	if p.orNull {
		if v == nil {
			return nil
		}
		q := p
		q.orNull = false
		if q.check(name, v) != nil {
			return invalid(name, v, "%s is not valid under any of the given schemas", repr(v))
		}
		return nil
	}
	if len(p.types) > 0 && !slices.ContainsFunc(p.types, func(t string) bool { return isType(v, t) }) {
		return invalid(name, v, "%s is not of type '%s'", repr(v), strings.Join(p.types, "', '"))
	}
	switch t := v.(type) {
	case string:
		if err := p.checkText(name, t); err != nil {
			return err
		}
	case object:
		if err := p.checkObject(name, t); err != nil {
			return err
		}
	}
	if p.enum != nil && !slices.Contains(p.enum, v) {
		return invalid(name, v, "%s is not one of %s", repr(v), repr(p.enum))
	}
	if err := p.checkNumber(name, v); err != nil {
		return err
	}
	if p.format != nil && v != nil {
		if err := p.format(v); err != nil {
			if plain, ok := err.(plainError); ok { //nolint:errorlint // our own value
				return nephos.Errorf(nephos.ErrInvalid, "%s", string(plain)).WithField(name)
			}
			return invalid(name, v, "%s", err)
		}
	}
	return nil
}

func (p property) checkText(name, v string) error {
	n := utf8.RuneCountInString(v)
	switch {
	case n < p.min:
		return invalid(name, v, "%s is too short", repr(v))
	case p.max > 0 && n > p.max:
		return invalid(name, v, "%s is too long", repr(v))
	case p.pattern != nil && !p.pattern.MatchString(v):
		return invalid(name, v, "%s does not match %s", repr(v), repr(p.pattern.String()))
	}
	return nil
}

func (p property) checkNumber(name string, v any) error {
	if p.lowest == 0 {
		return nil
	}
	n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
	case n < float64(p.lowest):
		return invalid(name, v, "%s is less than the minimum of %d", repr(v), p.lowest)
	case n > maxInt:
		return invalid(name, v, "%s is greater than the maximum of %d", repr(v), maxInt)
	}
	return nil
}

// checkObject goes through the members first and the object itself then, which is
// the order in which Cinder's schemas are written.
func (p property) checkObject(name string, v object) error {
	keys := slices.Sorted(maps.Keys(v))
	var unknown []string
	for _, k := range keys {
		q, ok := p.props[k]
		if !ok && !p.open && (p.keys == nil || !p.keys.MatchString(k)) {
			unknown = append(unknown, repr(k))
			continue
		}
		if !ok && p.values != nil {
			q, ok = *p.values, true
		}
		if ok {
			if err := q.check(k, v[k]); err != nil {
				return err
			}
		}
	}
	for _, k := range p.required {
		if _, ok := v[k]; !ok {
			return invalid(name, v, "%s is a required property", repr(k))
		}
	}
	switch {
	case len(v) < p.least:
		return invalid(name, v, "%s does not have enough properties", repr(v))
	case p.most > 0 && len(v) > p.most:
		return invalid(name, v, "%s has too many properties", repr(v))
	case len(p.anyOf) > 0 && !slices.ContainsFunc(p.anyOf, func(k string) bool { _, ok := v[k]; return ok }):
		return invalid(name, v, "%s is not valid under any of the given schemas", repr(v))
	}
	return p.refuseUnknown(name, v, unknown)
}

func (p property) refuseUnknown(name string, v object, unknown []string) error {
	switch {
	case len(unknown) == 0:
		return nil
	case p.keys != nil && len(unknown) == 1:
		return invalid(name, v, "%s does not match any of the regexes: %s", unknown[0], repr(p.keys.String()))
	case p.keys != nil:
		return invalid(name, v, "%s do not match any of the regexes: %s", strings.Join(unknown, ", "), repr(p.keys.String()))
	case len(unknown) == 1:
		return invalid(name, v, "Additional properties are not allowed (%s was unexpected)", unknown[0])
	}
	return invalid(name, v, "Additional properties are not allowed (%s were unexpected)", strings.Join(unknown, ", "))
}

func isType(v any, t string) bool {
	switch v := v.(type) {
	case nil:
		return t == "null"
	case string:
		return t == "string"
	case bool:
		return t == "boolean"
	case object:
		return t == "object"
	case []any:
		return t == "array"
	case json.Number:
		return t == "integer" && !strings.ContainsAny(string(v), ".eE")
	}
	return false
}

// invalid is the error for a value that a schema does not take.
func invalid(name string, v any, format string, args ...any) error {
	msg := fmt.Sprintf(format, args...)
	if name == "" {
		return nephos.Errorf(nephos.ErrInvalid, "%s", clip(msg)).WithField("body")
	}
	value := repr(v)
	if s, ok := v.(string); ok {
		value = clip(s)
	}
	return nephos.Errorf(nephos.ErrInvalid, "Invalid input for field/attribute %s. Value: %s. %s", clip(name), value, clip(msg)).WithField(clip(name))
}

func badRequest(format string, args ...any) error {
	return nephos.Errorf(nephos.ErrInvalid, format, args...)
}

// clip bounds what a message quotes.
func clip(s string) string {
	if len(s) <= maxQuote {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuote], "") + "…"
}
