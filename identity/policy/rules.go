package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Rule is one named rule as a service registers it.
type Rule struct {
	// Name is what the service enforces, such as "os_compute_api:servers:show",
	// or what other rules refer to as "rule:" and the name.
	Name string
	// Check is the rule's text; empty allows every authenticated caller.
	Check string
	// Description says in a sentence what the rule guards.
	Description string
	// Operations are the API calls that it guards, as "GET /servers/{server_id}".
	Operations []string
	// ScopeTypes, where set, are the scopes of token that the operation takes:
	// "system", "domain", "project". A caller of another scope is denied
	// whatever the check says.
	ScopeTypes []string
	// Deprecated, where set, is the rule that this one took the place of.
	Deprecated *Deprecated
}

// Deprecated is a rule's former self. When an operator's file overrides the old
// name to something other than the old check, and does not mention the new
// name, the override holds for the new name. The old check itself is no longer
// in force (oslo.policy's enforce_new_defaults).
type Deprecated struct {
	Name, Check   string
	Since, Reason string
}

// DefaultRule is the rule that stands in for every name that is not defined, as
// oslo.policy's policy_default_rule does. Where it is not defined itself, an
// undefined name denies.
const DefaultRule = "default"

// maxCost bounds how many checks one decision may take through references to
// other rules: a few lines of file could otherwise ask for years of work.
const maxCost = 100_000

// entry is a rule in force.
type entry struct {
	rule  Rule
	check *Check

	state visit
	cost  int
}

type visit uint8

const (
	unseen visit = iota
	open
	done
)

// ruleSet is all the rules in force at one time. It never changes once built.
type ruleSet struct {
	byName   map[string]*entry
	fallback *entry // DefaultRule, or nil
	problems []string
}

func (s *ruleSet) find(name string) *entry {
	if e, ok := s.byName[name]; ok {
		return e
	}
	return s.fallback
}

// override is one rule of an operator's file.
type override struct {
	text  string
	check *Check
}

// build makes a set of the defaults and what overrides them.
func build(defaults map[string]*entry, overrides map[string]override) (*ruleSet, error) {
	s := &ruleSet{byName: make(map[string]*entry, len(defaults)+len(overrides))}
	for name, d := range defaults {
		e := &entry{rule: d.rule, check: d.check}
		if o, ok := overrides[name]; ok {
			e.rule.Check, e.check = o.text, o.check
		} else if o, ok := renamed(d.rule, overrides); ok {
			e.rule.Check, e.check = o.text, o.check
			s.problems = append(s.problems, fmt.Sprintf("rule %s is deprecated in favour of %s, which it still overrides", d.rule.Deprecated.Name, name))
		}
		e.check = e.check.clone()
		s.byName[name] = e
	}
	for name, o := range overrides {
		if _, ok := defaults[name]; !ok {
			s.byName[name] = &entry{rule: Rule{Name: name, Check: o.text}, check: o.check.clone()}
		}
	}
	s.fallback = s.byName[DefaultRule]
	names := slices.Sorted(maps.Keys(s.byName))
	for _, name := range names {
		s.link(s.byName[name])
	}
	for _, name := range names {
		if err := s.byName[name].measure(nil); err != nil {
			return nil, err
		}
	}
	if idle := s.idle(defaults, overrides); len(idle) > 0 {
		s.problems = append(s.problems, fmt.Sprintf("nothing here asks for these rules of the file (%d): %s", len(idle), few(idle)))
	}
	slices.Sort(s.problems)
	return s, nil
}

// idle returns what the operator says that nothing asks for: it may be misspelt,
// or be about what is not built.
func (s *ruleSet) idle(defaults map[string]*entry, overrides map[string]override) (names []string) {
	if len(overrides) == 0 {
		return nil
	}
	asked := map[string]bool{DefaultRule: true}
	for _, d := range defaults {
		if d.rule.Deprecated != nil {
			asked[d.rule.Deprecated.Name] = true
		}
	}
	for _, e := range s.byName {
		e.check.walk(func(c *Check) {
			if c.op == opRule {
				asked[c.match] = true
			}
		})
	}
	for name := range overrides {
		if _, known := defaults[name]; !known && !asked[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// few names some of many.
func few(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + " …"
}

// renamed finds what the operator said about the rule under its old name.
func renamed(r Rule, overrides map[string]override) (override, bool) {
	if r.Deprecated == nil || r.Deprecated.Name == r.Name {
		return override{}, false
	}
	o, ok := overrides[r.Deprecated.Name]
	if !ok || o.check.String() == "rule:"+r.Name {
		return override{}, false
	}
	old, err := Parse(r.Deprecated.Check)
	return o, err != nil || !old.Equal(o.check)
}

func (s *ruleSet) link(e *entry) {
	e.check.walk(func(c *Check) {
		switch c.op {
		case opRule:
			c.link = s.find(c.match)
			if _, ok := s.byName[c.match]; !ok {
				s.problems = append(s.problems, fmt.Sprintf("rule %s refers to rule %s, which is not defined", e.rule.Name, c.match))
			}
		case opAttribute:
			if c.attr == attrUnknown {
				s.problems = append(s.problems, fmt.Sprintf("rule %s asks for the caller's %s, which no caller has", e.rule.Name, c.kind))
			}
		}
	})
}

// measure computes the cost of the rule and fails if it leads back to itself.
func (e *entry) measure(path []string) error {
	switch e.state {
	case done:
		return nil
	case open:
		at := slices.Index(path, e.rule.Name)
		return fmt.Errorf("rules refer to each other in a circle: %s", strings.Join(append(path[at:], e.rule.Name), " -> "))
	}
	e.state = open
	path = append(path, e.rule.Name)
	var errs error
	e.check.walk(func(c *Check) {
		e.cost++
		if c.op != opRule || c.link == nil || errs != nil {
			return
		}
		if errs = c.link.measure(path); errs != nil {
			return
		}
		if e.cost += c.link.cost; e.cost > maxCost {
			errs = fmt.Errorf("rule %s takes more than %d checks to decide", e.rule.Name, maxCost)
		}
	})
	if errs != nil {
		return errs
	}
	e.state = done
	return nil
}

// parseDefaults checks the rules that services register.
func parseDefaults(lists [][]Rule) (map[string]*entry, error) {
	defaults := make(map[string]*entry)
	for _, list := range lists {
		for _, r := range list {
			if r.Name == "" {
				return nil, errors.New("a rule has no name")
			}
			if _, ok := defaults[r.Name]; ok {
				return nil, fmt.Errorf("rule %s is registered twice", r.Name)
			}
			for _, scope := range r.ScopeTypes {
				if scope != "system" && scope != "domain" && scope != "project" {
					return nil, fmt.Errorf("rule %s: scope type %q is none of system, domain, project", r.Name, scope)
				}
			}
			c, err := Parse(r.Check)
			if err != nil {
				return nil, fmt.Errorf("rule %s: %w", r.Name, err)
			}
			if r.Deprecated != nil {
				if _, err := Parse(r.Deprecated.Check); err != nil {
					return nil, fmt.Errorf("rule %s: the deprecated check: %w", r.Name, err)
				}
			}
			defaults[r.Name] = &entry{rule: r, check: c}
		}
	}
	return defaults, nil
}
