package identity

import (
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
)

// maxName bounds names, in characters.
const maxName = 255

// checkName refuses what cannot be a resource's name.
func checkName(resource, name string) error {
	switch n := utf8.RuneCountInString(name); {
	case strings.TrimSpace(name) == "":
		return nephos.Errorf(nephos.ErrInvalid, "The name of a %s must not be empty.", resource).WithField("name")
	case n > maxName:
		return nephos.Errorf(nephos.ErrInvalid, "The name of a %s must have at most %d characters.", resource, maxName).WithField("name")
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return nephos.Errorf(nephos.ErrInvalid, "The name of a %s must be UTF-8 text without NUL.", resource).WithField("name")
	}
	return nil
}

// mergeExtra returns the attributes with the changes applied.
func mergeExtra(old, changes map[string]any) map[string]any {
	merged := make(map[string]any, len(old)+len(changes))
	maps.Copy(merged, old)
	maps.Copy(merged, changes)
	return merged
}

// mergeOptions returns the options with the changes applied; nil removes one.
func mergeOptions(old, changes map[string]any) map[string]any {
	merged := mergeExtra(old, changes)
	maps.DeleteFunc(merged, func(_ string, v any) bool { return v == nil })
	return merged
}

func isImmutable(options map[string]any) bool {
	immutable, _ := options["immutable"].(bool)
	return immutable
}

// checkImmutable refuses to change a resource whose option immutable is set,
// unless the change is to take that option away and nothing else.
func checkImmutable(resource, id string, options, changes map[string]any, others bool) error {
	if !isImmutable(options) {
		return nil
	}
	v, named := changes["immutable"]
	if named && !others && len(changes) == 1 && (v == nil || v == false) {
		return nil
	}
	return nephos.Errorf(nephos.ErrForbidden, "Unable to update immutable %s resource: `%s. Set resource option \"immutable\" to false first.", resource, id)
}

func checkImmutableDelete(resource, id string, options map[string]any) error {
	if isImmutable(options) {
		return nephos.Errorf(nephos.ErrForbidden, "Unable to delete immutable %s resource: `%s. Set resource option \"immutable\" to false first.", resource, id)
	}
	return nil
}

func trimmed(s *string) *string {
	t := strings.TrimSpace(*s)
	return &t
}

// set stores the value if there is one.
func set[T any](at, value *T) {
	if value != nil {
		*at = *value
	}
}

// target makes a policy target of names and values. What is empty is left out: a
// caller without a domain must not match a resource without one.
func target(pairs ...string) policy.Target {
	t := policy.Target{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			t[pairs[i]] = pairs[i+1]
		}
	}
	return t
}
