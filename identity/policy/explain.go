package policy

import (
	"context"
	"fmt"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// Explanation is why a caller may or may not do something.
type Explanation struct {
	Rule    string
	Allowed bool
	// Because is the decision as a tree that holds only what decided: of an
	// "and" that said no the first check that did, of an "or" that said no all
	// of its checks. It is nil when it did not come to the rule's check.
	Because *Reason
	// Note says what decided instead of the check, or that another rule stood in.
	Note string
}

// Reason is one check of a decision.
type Reason struct {
	Check   string
	Allowed bool
	// Saw is the attributes that the check compared; empty for "and", "or", "not".
	Saw     string
	Because []*Reason
}

// Explain decides as Enforce does and says why. It is for people, for logs and
// for tests of rules, and slower than Enforce. The text names ids and roles of
// the caller and attributes of the target: don't send it to the caller.
func (e *Enforcer) Explain(ctx context.Context, rule string, target Target) Explanation {
	x := Explanation{Rule: rule}
	who, ok := nephos.CallerFrom(ctx)
	if !ok {
		x.Note = "nobody is calling"
		return x
	}
	entry := e.current.Load().find(rule)
	if entry == nil {
		x.Note = fmt.Sprintf("there is neither such a rule nor a rule %q", DefaultRule)
		return x
	}
	if entry.rule.Name != rule {
		x.Note = fmt.Sprintf("there is no such rule; the rule %q stands in", DefaultRule)
	}
	if !entry.takesScope(&who) {
		x.Note = fmt.Sprintf("it takes a token of scope %s; the caller's is of scope %s", strings.Join(entry.rule.ScopeTypes, " or "), scopeOf(&who))
		return x
	}
	x.Because = entry.check.explain(&who, target)
	x.Allowed = x.Because.Allowed
	return x
}

// Deciders returns the single checks at the ends of the tree: those that said
// no when the answer is no (or yes, below a "not"), in the order they stand.
func (x Explanation) Deciders() []*Reason {
	var all []*Reason
	var walk func(*Reason)
	walk = func(r *Reason) {
		if len(r.Because) == 0 {
			all = append(all, r)
		}
		for _, b := range r.Because {
			walk(b)
		}
	}
	if x.Because != nil {
		walk(x.Because)
	}
	return all
}

// String returns the explanation on some lines, the tree indented.
func (x Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", x.Rule, verdict(x.Allowed))
	if x.Note != "" {
		fmt.Fprintf(&b, " (%s)", x.Note)
	}
	b.WriteByte('\n')
	if x.Because != nil {
		x.Because.write(&b, 1)
	}
	return b.String()
}

func verdict(allowed bool) string {
	if allowed {
		return "allowed"
	}
	return "denied"
}

func (r *Reason) write(b *strings.Builder, depth int) {
	answer := "no"
	if r.Allowed {
		answer = "yes"
	}
	fmt.Fprintf(b, "%s%s: %s", strings.Repeat("  ", depth), r.Check, answer)
	if r.Saw != "" {
		fmt.Fprintf(b, "; %s", r.Saw)
	}
	b.WriteByte('\n')
	for _, k := range r.Because {
		k.write(b, depth+1)
	}
}

func (c *Check) explain(who *nephos.Caller, target Target) *Reason {
	r := &Reason{Check: c.String()}
	switch c.op {
	case opAnd, opOr:
		// The first check of the deciding answer decides alone; without one, all do.
		deciding := c.op == opOr
		r.Allowed = !deciding
		for _, k := range c.kids {
			why := k.explain(who, target)
			if why.Allowed == deciding {
				r.Allowed, r.Because = deciding, []*Reason{why}
				return r
			}
			r.Because = append(r.Because, why)
		}
	case opNot:
		why := c.kids[0].explain(who, target)
		r.Allowed, r.Because = !why.Allowed, []*Reason{why}
	case opRule:
		if c.link == nil {
			r.Saw = "there is no such rule"
			return r
		}
		if c.link.rule.Name != c.match {
			r.Saw = fmt.Sprintf("there is no such rule; the rule %q stands in", DefaultRule)
		}
		why := c.link.check.explain(who, target)
		r.Allowed, r.Because = why.Allowed, []*Reason{why}
	default:
		r.Allowed, r.Saw = c.eval(who, target), c.saw(who, target)
	}
	return r
}

// saw says what a single check compared.
func (c *Check) saw(who *nephos.Caller, target Target) string {
	var seen []string
	switch {
	case c.op == opRole, c.op == opAttribute && c.attr == attrRoles:
		if len(who.Roles) == 0 {
			seen = append(seen, "the caller has no roles")
		} else {
			seen = append(seen, "the caller's roles are "+strings.Join(who.Roles, ", "))
		}
	case c.op == opAttribute && c.attr == attrServiceRoles:
		seen = append(seen, fmt.Sprintf("the caller's service is %q", who.Service))
	case c.op == opAttribute && c.attr == attrUnknown:
		seen = append(seen, "no caller has a "+c.kind)
	case c.op == opAttribute:
		v, ok := c.attr.value(who)
		if !ok || v.none {
			seen = append(seen, "the caller has no "+c.kind)
		} else {
			seen = append(seen, fmt.Sprintf("the caller's %s is %q", c.kind, v.s))
		}
	case c.op == opField:
		seen = append(seen, sawTarget(target, c.fld.name, c.fld.segs))
	}
	for _, p := range c.tmpl {
		if p.name != "" {
			seen = append(seen, sawTarget(target, p.name, p.segs))
		}
	}
	return strings.Join(seen, ", ")
}

func sawTarget(target Target, name string, segs []string) string {
	v, ok := target.lookup(name, segs)
	if !ok {
		return "the target has no " + name
	}
	t, ok := textOf(v)
	switch {
	case !ok:
		return fmt.Sprintf("the target's %s is a %T, which equals nothing", name, v)
	case t.none:
		return fmt.Sprintf("the target's %s is None", name)
	}
	return fmt.Sprintf("the target's %s is %q", name, t.s)
}
