package nova

import (
	"encoding/json"
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// This file checks requests as Nova's JSON schemas do, with their sentences.

func invalid(format string, args ...any) *nephos.Error {
	return nephos.Errorf(nephos.ErrInvalid, format, args...)
}

// badField is what Nova says of a field's value.
func badField(field, value, why string) error {
	return invalid("Invalid input for field/attribute %s. Value: %s. %s", field, clip(value), why).WithField(field)
}

// maxQuote lets messages quote whole what is a little too long for a field.
const maxQuote = 1024

// clip bounds what a message quotes of a request.
func clip(s string) string {
	if len(s) > maxQuote {
		return strings.ToValidUTF8(s[:maxQuote], "") + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func quote(s string) string { return "'" + clip(s) + "'" }

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$`)

// checkUUID checks an id in a field.
func checkUUID(field, v string) error {
	if !uuidForm.MatchString(v) {
		return badField(field, v, quote(v)+" is not a 'uuid'")
	}
	return nil
}

// checkLength checks the number of characters of a text.
func checkLength(field, v string, least, most int) error {
	switch n := utf8.RuneCountInString(v); {
	case n < least:
		return badField(field, v, quote(v)+" is too short")
	case n > most:
		return badField(field, v, quote(v)+" is too long")
	}
	return nil
}

// checkEnum checks a text against the values it may have.
func checkEnum(field, v string, allowed ...string) error {
	if !slices.Contains(allowed, v) {
		return badField(field, v, quote(v)+" is not one of ['"+strings.Join(allowed, "', '")+"']")
	}
	return nil
}

// checkIP checks an address of one version, or of any (0).
func checkIP(field, v string, version int) error {
	a, err := netip.ParseAddr(v)
	switch {
	case version == 4 && (err != nil || !a.Is4()):
		return badField(field, v, quote(v)+" is not a 'ipv4'")
	case version == 6 && (err != nil || !a.Is6()):
		return badField(field, v, quote(v)+" is not a 'ipv6'")
	case err != nil:
		return badField(field, v, quote(v)+" is not valid under any of the given schemas")
	}
	return nil
}

// maxTagLength bounds a tag's characters.
const maxTagLength = 60

// member decodes the one member of a body that has to have it.
func member[T any](r *httpapi.Request, name string, also ...string) (v T, tree map[string]json.RawMessage, err error) {
	body, err := r.Tree()
	if err != nil {
		return v, nil, err
	}
	raw, ok := body[name]
	if !ok {
		return v, nil, invalid("%s is a required property", quote(name)).WithField(name)
	}
	for _, k := range sortedKeys(body) {
		if k != name && !slices.Contains(also, k) {
			return v, nil, invalid("Additional properties are not allowed (%s was unexpected)", quote(k)).WithField(clip(k))
		}
	}
	if err := r.DecodeValue(raw, name, &v); err != nil {
		return v, nil, err
	}
	return v, body, nil
}

// required refuses an object that lacks a field.
func required(field string, raw json.RawMessage, names ...string) error {
	var have map[string]json.RawMessage
	if json.Unmarshal(raw, &have) != nil {
		return nil
	}
	for _, n := range names {
		if _, ok := have[n]; !ok {
			return badField(field, pyRaw(raw), quote(n)+" is a required property")
		}
	}
	return nil
}

// pyRaw writes JSON as the services' messages do.
func pyRaw(raw json.RawMessage) string {
	v, err := schema.Parse(raw, maxDepth)
	if err != nil {
		return ""
	}
	return quoting.Str(v)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// atLeast reports whether the request speaks the microversion 2.minor or newer.
func atLeast(r *httpapi.Request, minor int) bool { return r.Version.AtLeast(httpapi.V(2, minor)) }

// reasonOf returns the short word of an error's reason.
func reasonOf(err error) string {
	var e *nephos.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// unsupported is the error for what Nova does and this does not.
func unsupported(format string, args ...any) error {
	return nephos.Errorf(errors.ErrUnsupported, format, args...)
}
