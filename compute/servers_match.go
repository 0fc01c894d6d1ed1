package compute

import (
	"regexp"
	"strings"
)

var meta = regexp.MustCompile(`[\\.+*?()|\[\]{}^$]`)

// plain reports whether a pattern is no more than a piece of text.
func plain(pattern string) bool { return !meta.MatchString(pattern) }

// maxPattern bounds the patterns that users match names and addresses with.
const maxPattern = 255

// matcher returns what is left to match of the filter; nil when nothing is.
func (f ServerFilter) matcher() (func(*Server) bool, error) {
	var checks []func(*Server) bool
	compile := func(field, pattern string) (*regexp.Regexp, error) {
		if len(pattern) > maxPattern {
			return nil, invalid("Invalid filter field: %s.", field).WithField(field)
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, invalid("Invalid input for query parameters %s. Value: %s. '%s' is not a 'regex'", field, pattern, pattern).WithField(field)
		}
		return re, nil
	}
	if f.Name != "" && !plain(f.Name) {
		re, err := compile("name", f.Name)
		if err != nil {
			return nil, err
		}
		checks = append(checks, func(s *Server) bool { return re.MatchString(s.Name) })
	}
	for field, pattern := range map[string]string{"ip": f.IP, "ip6": f.IP6} {
		if pattern == "" {
			continue
		}
		re, err := compile(field, pattern)
		if err != nil {
			return nil, err
		}
		checks = append(checks, func(s *Server) bool {
			for _, n := range s.NICs {
				for _, a := range n.Addresses {
					if strings.Contains(a.IP, ":") == (field == "ip6") && startsWith(re, a.IP) {
						return true
					}
				}
			}
			return false
		})
	}
	if len(checks) == 0 {
		return nil, nil
	}
	return func(s *Server) bool {
		for _, c := range checks {
			if !c(s) {
				return false
			}
		}
		return true
	}, nil
}

// startsWith reports whether the pattern matches at the beginning, as Nova
// matches addresses.
func startsWith(re *regexp.Regexp, s string) bool {
	at := re.FindStringIndex(s)
	return at != nil && at[0] == 0
}
