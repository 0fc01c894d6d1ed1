package nova

import (
	"encoding/base64"
	"strings"
	"unicode"

	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// isName demands printable characters without blanks around them.
func isName(t string) error {
	if t != strings.TrimFunc(t, unicode.IsSpace) || strings.ContainsFunc(t, unprintable) {
		return badName("printable characters. Can not start or end with whitespace.")
	}
	return nil
}

// isZoneName is isName without colons.
func isZoneName(t string) error {
	if isName(t) != nil || strings.Contains(t, ":") {
		return badName("printable characters except :.Can not start or end with whitespace.")
	}
	return nil
}

// isLooseName demands printable characters, one of them no blank.
func isLooseName(t string) error {
	if strings.TrimFunc(t, unicode.IsSpace) == "" || strings.ContainsFunc(t, unprintable) {
		return badName("printable characters with at least one non space character")
	}
	return nil
}

// isKeyName is isName of the given characters only.
func isKeyName(safe string) func(t string) error {
	return func(t string) error {
		if err := isName(t); err != nil {
			return err
		}
		if strings.ContainsFunc(t, func(r rune) bool { return !strings.ContainsRune(safe, r) }) {
			return badName("Only expected characters: [" + safe + "]")
		}
		return nil
	}
}

func badName(reason string) error {
	return schema.Alone("An invalid 'name' value was provided. The name must be: " + reason)
}

func unprintable(r rune) bool {
	return r > maxPrintable || !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r)
}

// maxPrintable is the last character that Nova's patterns know: of those beyond
// the basic plane, such as most emoji, it takes none.
const maxPrintable = 0xFFFE

// isUUID demands a UUID, with dashes or without.
func isUUID(t string) error {
	if !uuidForm.MatchString(t) {
		return schema.NotA("uuid")
	}
	return nil
}

func isIPv4(t string) error {
	if checkIP("", t, 4) != nil {
		return schema.NotA("ipv4")
	}
	return nil
}

func isIPv6(t string) error {
	if checkIP("", t, 6) != nil {
		return schema.NotA("ipv6")
	}
	return nil
}

func isBase64(t string) error {
	if _, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\n", "", "\r", "").Replace(t)); err != nil {
		return schema.NotA("base64")
	}
	return nil
}
