package keystone

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi/pyrepr"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// quoting is how messages quote what a request says.
var quoting = pyrepr.Style{Most: 1024, AsSent: true}

// dialect is how Keystone goes about its schemas: the first failure is reported.
var dialect = schema.Dialect{
	Quote: quoting, SortMembers: true, OneByOne: true, WholeFloats: true,
	Order: []schema.Keyword{
		schema.MinLength, schema.MaxLength, schema.PatternOf, schema.Enum,
		schema.Required, schema.MinProps, schema.Members, schema.MinItems, schema.MaxItems, schema.Items,
	},
}

var (
	typeString  = []string{"string"}
	typeBoolean = []string{"boolean"}
	typeObject  = []string{"object"}

	pName      = schema.Schema{Types: typeString, MinLength: 1, MaxLength: 255, Pattern: schema.Match(`[\S]+`)}
	pText      = schema.Schema{Types: typeString}
	pNullText  = schema.Schema{Types: []string{"string", "null"}}
	pBool      = schema.Schema{Types: typeBoolean}
	pNullBool  = schema.Schema{Types: []string{"boolean", "null"}}
	pID        = schema.Schema{Types: typeString, MinLength: 1, MaxLength: 64, Pattern: schema.Match(`^[a-zA-Z0-9-]+$`)}
	pNullID    = schema.Schema{Types: []string{"string", "null"}, MinLength: 1, MaxLength: 64, Pattern: pID.Pattern}
	pImmutable = closed(map[string]schema.Schema{"immutable": pNullBool})
)

// open is an object that may have other properties besides, which are kept as
// they are.
func open(props map[string]schema.Schema, required ...string) schema.Schema {
	s := closed(props, required...)
	s.Open = true
	return s
}

// closed is an object with just these properties.
func closed(props map[string]schema.Schema, required ...string) schema.Schema {
	s := schema.Schema{Types: typeObject, Required: required}
	for name, of := range props {
		s.Props = append(s.Props, schema.Named(name, of))
	}
	return s
}

// changed is what an update of a resource says: something, of what a create says.
func changed(s schema.Schema) schema.Schema {
	s.Required, s.MinProps = nil, 1
	return s
}

func listOf(item schema.Schema) schema.Schema {
	return schema.Schema{Types: []string{"array"}, Items: &item}
}

// orText is the schema of an object, or any text in its place.
func orText(s schema.Schema) schema.Schema {
	s.Types = []string{"object", "string"}
	return s
}

// check holds a value against its schema.
func check(s *schema.Schema, v any) error {
	f := dialect.Check(s, v)
	switch {
	case f == nil && !schema.Finite(v):
		return errNoJSON() // it could not be read back
	case f == nil:
		return nil
	}
	return invalid(strings.Join(f.Path, "/"), "%s", f.Message)
}

// below is the path of a part of a value.
func below(path, name string) string { return path + "/" + name }

// invalid is the error for a value at a path; at "" it is the whole body.
func invalid(path, format string, args ...any) error {
	if path == "" {
		return nephos.Errorf(nephos.ErrInvalid, format, args...)
	}
	return nephos.Errorf(nephos.ErrInvalid, "Invalid input for field '%s': %s", path, fmt.Sprintf(format, args...)).WithField(path)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
