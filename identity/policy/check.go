package policy

import "strings"

// Check is a parsed rule: the tree of an expression. It is immutable and safe
// for concurrent use.
type Check struct {
	op   op
	kids []*Check // opAnd, opOr, opNot

	kind, match string // as written, for every other op but opTrue and opFalse

	tmpl template   // opRole, opAttribute, opLiteral
	attr attribute  // opAttribute
	lit  text       // opLiteral
	fld  fieldMatch // opField
	link *entry     // opRule, once linked; nil means there is no such rule
}

type op uint8

const (
	opFalse op = iota
	opTrue
	opNot
	opAnd
	opOr
	opRule
	opRole
	opAttribute
	opLiteral
	opField
)

// String returns the check in the rule language, with parentheses around every
// "and" and "or". For a check that came from [Parse], parsing the result gives
// an equal check.
func (c *Check) String() string {
	var b strings.Builder
	c.write(&b)
	return b.String()
}

func (c *Check) write(b *strings.Builder) {
	switch c.op {
	case opFalse:
		b.WriteByte('!')
	case opTrue:
		b.WriteByte('@')
	case opNot:
		b.WriteString("not ")
		c.kids[0].write(b)
	case opAnd, opOr:
		word := " and "
		if c.op == opOr {
			word = " or "
		}
		b.WriteByte('(')
		for i, k := range c.kids {
			if i > 0 {
				b.WriteString(word)
			}
			k.write(b)
		}
		b.WriteByte(')')
	default:
		b.WriteString(c.kind)
		b.WriteByte(':')
		b.WriteString(c.match)
	}
}

// Equal reports whether two checks are the same expression.
func (c *Check) Equal(d *Check) bool {
	if c.op != d.op || c.kind != d.kind || c.match != d.match || len(c.kids) != len(d.kids) {
		return false
	}
	for i := range c.kids {
		if !c.kids[i].Equal(d.kids[i]) {
			return false
		}
	}
	return true
}

// clone copies the tree, so that linking one set of rules leaves another alone.
func (c *Check) clone() *Check {
	d := *c
	if len(c.kids) > 0 {
		d.kids = make([]*Check, len(c.kids))
		for i, k := range c.kids {
			d.kids[i] = k.clone()
		}
	}
	return &d
}

// walk calls f for the check and all below it.
func (c *Check) walk(f func(*Check)) {
	f(c)
	for _, k := range c.kids {
		k.walk(f)
	}
}
