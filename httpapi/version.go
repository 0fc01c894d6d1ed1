package httpapi

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// Version is a microversion, such as 2.96. Its zero value is no version.
type Version struct{ Major, Minor int }

// V returns the version major.minor.
func V(major, minor int) Version { return Version{major, minor} }

// Compare returns -1, 0 or 1 as v is older than, equal to or newer than w.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Major, w.Major), cmp.Compare(v.Minor, w.Minor))
}

// Less reports whether v is older than w.
func (v Version) Less(w Version) bool { return v.Compare(w) < 0 }

// AtLeast reports whether v is w or newer.
func (v Version) AtLeast(w Version) bool { return v.Compare(w) >= 0 }

// IsZero reports whether v is no version.
func (v Version) IsZero() bool { return v == Version{} }

// String returns "major.minor".
func (v Version) String() string {
	return strconv.Itoa(v.Major) + "." + strconv.Itoa(v.Minor)
}

// ParseVersion parses "2.96": two decimal numbers without sign or leading
// zeros, the first not zero.
func ParseVersion(s string) (Version, error) {
	major, minor, ok := strings.Cut(s, ".")
	if !ok || !decimal(major) || !decimal(minor) || major == "0" {
		return Version{}, nephos.Errorf(nephos.ErrInvalid,
			"API Version String %s is of invalid format. Must be of format MajorNum.MinorNum.", clip(s, 64))
	}
	a, _ := strconv.Atoi(major)
	b, _ := strconv.Atoi(minor)
	return Version{a, b}, nil
}

// MustVersion is [ParseVersion] for constants: it panics on an error.
func MustVersion(s string) Version {
	v, err := ParseVersion(s)
	if err != nil {
		panic("httpapi: " + err.Error())
	}
	return v
}

// decimal reports whether s is a canonical decimal of at most nine digits.
func decimal(s string) bool {
	if s == "" || len(s) > 9 || len(s) > 1 && s[0] == '0' {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// VersionRange is the microversions an API speaks, both ends included. A client
// that names none gets Min.
type VersionRange struct{ Min, Max Version }

// Contains reports whether the range holds v.
func (r VersionRange) Contains(v Version) bool { return v.AtLeast(r.Min) && r.Max.AtLeast(v) }

// String returns "2.1 to 2.96".
func (r VersionRange) String() string { return fmt.Sprintf("%s to %s", r.Min, r.Max) }

// Edit takes back, in a message of the newest microversion, what one
// microversion introduced.
type Edit[T any] struct {
	Version Version // the microversion that introduced the difference
	Apply   func(*T) error
}

// Edits is the history of a message, in any order.
type Edits[T any] []Edit[T]

// Down turns a message of the newest microversion into one of v: it applies,
// newest first, each edit whose version is newer than v. Edits of one version
// are applied in the order of the list. The zero version changes nothing.
func (e Edits[T]) Down(v Version, t *T) error { return e.Since(v).Apply(t) }

// Since is what [Edits.Down] applies for v, in its order: for somebody with many
// messages to turn. The zero version has none.
func (e Edits[T]) Since(v Version) Edits[T] {
	if v.IsZero() {
		return nil
	}
	newer := slices.DeleteFunc(slices.Clone(e), func(x Edit[T]) bool { return !v.Less(x.Version) })
	slices.SortStableFunc(newer, func(x, y Edit[T]) int { return y.Version.Compare(x.Version) })
	return newer
}

// Apply applies the edits in their order.
func (e Edits[T]) Apply(t *T) error {
	for _, x := range e {
		if err := x.Apply(t); err != nil {
			return fmt.Errorf("taking back what microversion %s introduced: %w", x.Version, err)
		}
	}
	return nil
}
