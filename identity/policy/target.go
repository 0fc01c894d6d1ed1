package policy

import (
	"fmt"
	"regexp"
	"strings"
)

// Target is the attributes of the resource acted upon, by the names the rules
// use: "project_id", "user_id", "target.user.domain_id". A dotted name is looked
// up as it stands first, then as a path through nested maps (Target,
// map[string]any, map[string]string). Values are text, numbers and booleans, and
// nil for what the resource does not have. Enforcing never writes to it.
type Target map[string]any

// lookup finds the value at a path; segs is the path split at its dots.
func (t Target) lookup(path string, segs []string) (any, bool) {
	if v, ok := t[path]; ok {
		return v, true
	}
	if len(segs) < 2 {
		return nil, false
	}
	var at any = t
	for _, s := range segs {
		var ok bool
		switch m := at.(type) {
		case Target:
			at, ok = m[s]
		case map[string]any:
			at, ok = m[s]
		case map[string]string:
			at, ok = m[s]
		}
		if !ok {
			return nil, false
		}
	}
	return at, true
}

// template is the right side of a check: text with %(name)s in it.
type template []part

// part is literal text, or, where name is set, the target's value of that name.
type part struct {
	text string
	name string
	segs []string
}

func parseTemplate(s string) (template, error) {
	var t template
	for s != "" {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			return append(t, part{text: s}), nil
		}
		if i > 0 {
			t = append(t, part{text: s[:i]})
		}
		s = s[i+1:]
		switch {
		case strings.HasPrefix(s, "%"):
			t, s = append(t, part{text: "%"}), s[1:]
		case strings.HasPrefix(s, "("):
			end := closing(s)
			if end < 0 || !strings.HasPrefix(s[end+1:], "s") {
				return nil, fmt.Errorf("%q is no %%(name)s", abridge("%"+s))
			}
			name := s[1:end]
			if name == "" {
				return nil, fmt.Errorf("%%()s names nothing")
			}
			t, s = append(t, part{name: name, segs: strings.Split(name, ".")}), s[end+2:]
		default:
			return nil, fmt.Errorf("%q is neither %%(name)s nor %%%%", abridge("%"+s))
		}
	}
	return t, nil
}

// closing is the index of the parenthesis that closes the one s begins with.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// equals reports whether the template, filled from the target, is the wanted
// text. A name that the target lacks makes it false.
func (t template) equals(want text, target Target) bool {
	rest := want.s
	for i := range t {
		p := &t[i]
		s := p.text
		if p.name != "" {
			v, ok := target.lookup(p.name, p.segs)
			if !ok {
				return false
			}
			got, ok := textOf(v)
			if !ok || want.none && !got.none {
				return false
			}
			s = got.s
		}
		if !strings.HasPrefix(rest, s) {
			return false
		}
		rest = rest[len(s):]
	}
	return rest == ""
}

// fill returns the template filled from the target; false if a name is missing.
func (t template) fill(target Target) (string, bool) {
	if len(t) == 1 && t[0].name == "" {
		return t[0].text, true
	}
	var b strings.Builder
	for i := range t {
		p := &t[i]
		if p.name == "" {
			b.WriteString(p.text)
			continue
		}
		v, ok := target.lookup(p.name, p.segs)
		if !ok {
			return "", false
		}
		got, ok := textOf(v)
		if !ok {
			return "", false
		}
		b.WriteString(got.s)
	}
	return b.String(), true
}

// fieldMatch is Neutron's "field:resource:name=value" or "...=~pattern".
type fieldMatch struct {
	name, value string
	segs        []string
	pattern     *regexp.Regexp
}

func parseField(s string) (fieldMatch, error) {
	_, rest, ok := strings.Cut(s, ":")
	name, value, ok2 := strings.Cut(rest, "=")
	if !ok || !ok2 || name == "" {
		return fieldMatch{}, fmt.Errorf("want field:resource:name=value")
	}
	f := fieldMatch{name: name, value: value, segs: strings.Split(name, ".")}
	if p, ok := strings.CutPrefix(value, "~"); ok {
		re, err := regexp.Compile("^(?:" + p + ")")
		if err != nil {
			return fieldMatch{}, fmt.Errorf("the pattern: %w", err)
		}
		f.pattern = re
	}
	return f, nil
}

func (f *fieldMatch) matches(target Target) bool {
	v, ok := target.lookup(f.name, f.segs)
	if !ok {
		return false
	}
	got, ok := textOf(v)
	switch {
	case !ok || got.none:
		return false
	case f.pattern != nil:
		return f.pattern.MatchString(got.s)
	}
	return got.s == f.value
}
