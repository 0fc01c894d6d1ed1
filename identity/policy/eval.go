package policy

import "github.com/nephos-cloud/nephos"

// eval decides the check. It is one function over a closed set of operations,
// not an interface, so that the caller stays on the stack.
func (c *Check) eval(who *nephos.Caller, target Target) bool {
	switch c.op {
	case opTrue:
		return true
	case opNot:
		return !c.kids[0].eval(who, target)
	case opAnd:
		for _, k := range c.kids {
			if !k.eval(who, target) {
				return false
			}
		}
		return true
	case opOr:
		for _, k := range c.kids {
			if k.eval(who, target) {
				return true
			}
		}
		return false
	case opRule:
		return c.link != nil && c.link.check.eval(who, target)
	case opRole:
		role, ok := c.tmpl.fill(target)
		return ok && holds(who, role)
	case opAttribute:
		return c.attr.equals(who, c.tmpl, target)
	case opLiteral:
		return c.tmpl.equals(c.lit, target)
	case opField:
		return c.fld.matches(target)
	}
	return false
}
