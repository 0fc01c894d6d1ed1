package nova

import (
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/pyrepr"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// maxDepth bounds how deep a body may nest.
const maxDepth = 32

// quoting is how messages quote what a request says.
var quoting = pyrepr.Style{Most: maxQuote, AsSent: true}

// dialect is how Nova goes about its schemas, which are of draft 4. The first
// failure is reported.
var dialect = schema.Dialect{
	Quote: quoting, BareNumbers: true,
	Order: []schema.Keyword{
		schema.Enum, schema.MinLength, schema.MaxLength, schema.PatternOf, schema.Minimum, schema.Maximum,
		schema.Items, schema.Unique, schema.MinItems, schema.MaxItems,
		schema.Members, schema.Required, schema.Unknown, schema.AnyOf, schema.MinProps, schema.MaxProps, schema.Format,
	},
}

// checkBody checks a request's body, checkQuery its query, in which values are
// lists by name.
func checkBody(s *schema.Schema, v any) error {
	return refusal(dialect.Check(s, v), "field/attribute", func(path []string) string { return path[len(path)-1] })
}

func checkQuery(s *schema.Schema, v any) error {
	return refusal(dialect.Check(s, v), "query parameters", func(path []string) string { return path[0] })
}

func refusal(f *schema.Failure, what string, name func(path []string) string) error {
	if f == nil {
		return nil
	}
	if !f.Whole && len(f.Path) > 0 {
		f.Message = "Invalid input for " + what + " " + name(f.Path) + ". Value: " + quoting.Str(f.Value) + ". " + f.Message
	}
	return invalid("%s", f.Message).WithField(strings.Join(f.Path, "."))
}

// parse reads the request's body, an object, and checks it.
func parse(r *httpapi.Request, s *schema.Schema) (object, error) {
	_, badTree := r.Tree() // type, size, syntax
	raw, err := r.Raw()
	if err != nil {
		return object{}, err
	}
	v, err := schema.Parse(raw, maxDepth)
	o, ok := v.(schema.Object)
	switch {
	case err == nil && !ok && isMalformed(badTree):
		return object{}, checkBody(s, v)
	case badTree != nil:
		return object{}, badTree
	case err != nil:
		return object{}, malformed()
	}
	if err := checkBody(s, o); err != nil {
		return object{}, err
	}
	if !(schema.Limits{Depth: maxDepth}).Keepable(o) || !schema.Finite(o) {
		return object{}, malformed()
	}
	return object{o}, nil
}

func malformed() error { return nephos.Errorf(nephos.ErrInvalid, "Malformed request body") }

// isMalformed reports that a body was no object.
func isMalformed(err error) bool { return err != nil && err.Error() == malformed().Error() }
