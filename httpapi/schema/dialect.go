package schema

import (
	"math"
	"slices"
	"strconv"

	"github.com/nephos-cloud/nephos/httpapi/pyrepr"
)

// Dialect is how a service checks and what it then says. Services differ in the
// version of their library and in the order in which their schemas are written.
type Dialect struct {
	Quote pyrepr.Style
	// Order has the keywords, which are looked at one after the other once the
	// value's type is right. Those that are not in it are not looked at. Members
	// comes before Unknown.
	Order []Keyword
	// Nearest reports, of all that is wrong, what is nearest to the root, and at
	// the same depth a wrong type before the rest; otherwise the first that is
	// found is reported. It also tells why a value fails that one schema of OneOf
	// that has its type.
	Nearest bool
	// SortMembers goes through an object's members by their names, and not
	// through the schema's properties; SortUnknown only tells of unknown members in
	// the order of their names, and not as they were sent.
	SortMembers, SortUnknown bool
	// OneByOne goes through an object's members and a list's items once, and says
	// of each in turn that it is wrong, unknown, or there twice. It takes
	// SortMembers.
	OneByOne bool
	// WholeFloats takes 1.0 for an integer, as JSON Schema does since its draft 6.
	WholeFloats bool
	// BareNumbers quotes the number in a text, out of its bounds, without quotes.
	BareNumbers bool
}

// Keyword is a part of a [Schema] that is looked at for itself.
type Keyword int

// The keywords, by the kinds of values that they are about: any, texts, numbers,
// lists, objects. Unknown are the properties that a closed object does not have.
const (
	Enum Keyword = iota
	MinLength
	MaxLength
	PatternOf
	Format
	Minimum
	Maximum
	Items
	Unique
	MinItems
	MaxItems
	Members
	Required
	Unknown
	AnyOf
	MinProps
	MaxProps
)

// Failure is what is wrong with a value.
type Failure struct {
	// Path are the names of members and the numbers of items that lead to the
	// value; at the root there are none.
	Path    []string
	Value   any
	Message string
	// Whole says that the message stands alone: it comes from a [Schema.Format].
	Whole bool

	depth          int
	weak, mistyped bool
}

// before says whether f is nearer than g, or as near and worse.
func (f *Failure) before(g *Failure) bool {
	switch {
	case f.depth != g.depth:
		return f.depth < g.depth
	case f.weak != g.weak:
		return g.weak
	}
	return f.mistyped && !g.mistyped
}

// Check returns what to report of a value, nil if it is as the schema says.
func (d *Dialect) Check(s *Schema, v any) *Failure {
	c := checking{d: d}
	c.value(s, v, 0)
	if c.found != nil {
		slices.Reverse(c.found.Path)
	}
	return c.found
}

// checking is one check of a value.
type checking struct {
	d     *Dialect
	quiet bool // what exactly is wrong does not matter: what is found is failed
	// found is what will be reported. Its path grows from the end while the check
	// returns to the root.
	found *Failure
}

// done says that there is no need to look further.
func (c *checking) done() bool { return c.found != nil && !c.d.Nearest }

// fail reports a value. What is told of it follows its quotation.
func (c *checking) fail(v any, depth int, told string) {
	c.report(Failure{Value: v, Message: told, depth: depth}, true)
}

// report reports a failure, unless a worse one is known.
func (c *checking) report(f Failure, quote bool) {
	switch {
	case c.quiet:
		c.found = failed
		return
	case c.found != nil && (c.done() || !f.before(c.found)):
		return
	}
	if quote {
		f.Message = c.d.Quote.Repr(f.Value) + f.Message
	}
	found := f
	c.found = &found
}

var failed = &Failure{}

// within notes the name of what led to a failure, unless it was known before.
func (c *checking) within(name string, known *Failure) {
	if c.found != known && !c.quiet {
		c.found.Path = append(c.found.Path, name)
	}
}

// bound writes a bound as Python does: integers up to 2⁵³ without a point.
func bound(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'e', -1, 64)
}
