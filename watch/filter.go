package watch

import (
	"strings"

	"github.com/nephos-cloud/nephos"
)

// Types selects events by their type. The empty value selects all.
type Types []string

const (
	maxTypes  = 64
	maxLength = 128
)

// ParseTypes reads a comma-separated list of types. Each is a type such as
// compute.server.update, or its beginning up to a dot: compute, compute.server.
// The service may be left out: server.update, server. A last ".*" is allowed
// and changes nothing; "*" is every type.
func ParseTypes(lists ...string) (Types, error) {
	var types Types
	for _, list := range lists {
		for text := range strings.SplitSeq(list, ",") {
			text = strings.TrimSpace(text)
			if text == "" {
				continue
			}
			prefix := strings.TrimSuffix(text, ".*")
			if text == "*" {
				prefix = ""
			} else if !wellFormed(prefix) {
				return nil, nephos.Errorf(nephos.ErrInvalid,
					"Invalid event type '%.64s': use a type such as compute.server.update, or its beginning such as compute.server.*.", text).WithField("types")
			}
			if len(types) == maxTypes {
				return nil, nephos.Errorf(nephos.ErrInvalid, "More than %d event types were given.", maxTypes).WithField("types")
			}
			types = append(types, prefix)
		}
	}
	return types, nil
}

func wellFormed(prefix string) bool {
	if prefix == "" || len(prefix) > maxLength {
		return false
	}
	for part := range strings.SplitSeq(prefix, ".") {
		if part == "" {
			return false
		}
		for i := range len(part) {
			c := part[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
				return false
			}
		}
	}
	return true
}

// Match reports whether the type of the service is selected.
func (t Types) Match(service, short string) bool {
	if len(t) == 0 {
		return true
	}
	full := service + "." + short
	for _, prefix := range t {
		if prefix == "" || begins(full, prefix) || begins(short, prefix) {
			return true
		}
	}
	return false
}

func begins(name, prefix string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	return ok && (rest == "" || rest[0] == '.')
}

// concern reports whether events of the resource could be selected.
func (t Types) concern(service, resource string) bool {
	if len(t) == 0 {
		return true
	}
	full := service + "." + resource
	for _, prefix := range t {
		if prefix == "" || begins(full, prefix) || begins(resource, prefix) || begins(prefix, full) || begins(prefix, resource) {
			return true
		}
	}
	return false
}
