package nova

import (
	"strings"
	"unicode"
)

// isName demands printable characters without blanks around them.
func isName(v any) *failure {
	t, ok := v.(string)
	if ok && (t != strings.TrimFunc(t, unicode.IsSpace) || strings.ContainsFunc(t, unprintable)) {
		return badName("printable characters. Can not start or end with whitespace.")
	}
	return nil
}

// isZoneName is isName without colons.
func isZoneName(v any) *failure {
	if t, ok := v.(string); ok && (isName(t) != nil || strings.Contains(t, ":")) {
		return badName("printable characters except :.Can not start or end with whitespace.")
	}
	return nil
}

// isLooseName demands printable characters, one of them no blank.
func isLooseName(v any) *failure {
	t, ok := v.(string)
	if ok && (strings.TrimFunc(t, unicode.IsSpace) == "" || strings.ContainsFunc(t, unprintable)) {
		return badName("printable characters with at least one non space character")
	}
	return nil
}

// isKeyName is isName of the given characters only.
func isKeyName(safe string) func(v any) *failure {
	return func(v any) *failure {
		if f := isName(v); f != nil {
			return f
		}
		t, _ := v.(string)
		if strings.ContainsFunc(t, func(r rune) bool { return !strings.ContainsRune(safe, r) }) {
			return badName("Only expected characters: [" + safe + "]")
		}
		return nil
	}
}

// isUUID demands a UUID, with dashes or without.
func isUUID(v any) *failure {
	if t, ok := v.(string); ok && !uuidForm.MatchString(t) {
		return fail(v, "%s is not a 'uuid'", repr(v))
	}
	return nil
}

func badName(reason string) *failure {
	return &failure{message: "An invalid 'name' value was provided. The name must be: " + reason, whole: true}
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) }
