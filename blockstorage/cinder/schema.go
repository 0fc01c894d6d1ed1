package cinder

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi/pyrepr"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// quoting is how messages quote what a request says.
var quoting = pyrepr.Style{Most: maxQuote, AsSent: true}

// dialect is how Cinder goes about its schemas, which are of draft 4: through the
// members first and the object itself then. The first failure is reported.
var dialect = schema.Dialect{
	Quote: quoting, SortMembers: true,
	Order: []schema.Keyword{
		schema.MinLength, schema.MaxLength, schema.PatternOf,
		schema.Members, schema.Required, schema.MinProps, schema.MaxProps, schema.AnyOf, schema.Unknown,
		schema.Enum, schema.Minimum, schema.Maximum, schema.Format,
	},
}

// check holds a value, which the body has under the name, against its schema.
func check(s schema.Schema, name string, v any) error {
	if f := dialect.Check(&s, v); f != nil {
		return refusal(f, name)
	}
	return checkFinite(v)
}

// checkFinite refuses numbers that cannot be read back.
func checkFinite(v any) error {
	if !schema.Finite(v) {
		return malformed(nil)
	}
	return nil
}

// checkSent is check of a value whose text is known. Messages quote objects as
// they were sent, which the value itself forgets.
func checkSent(s schema.Schema, name string, v any, raw []byte) error {
	f := dialect.Check(&s, v)
	if f == nil {
		return checkFinite(v)
	}
	if sent, err := schema.Parse(raw, maxDepth+1); err == nil {
		if told := dialect.Check(&s, sent); told != nil {
			f = told
		}
	}
	return refusal(f, name)
}

// refusal names the last part of the path to what failed.
func refusal(f *schema.Failure, name string) error {
	if f == nil {
		return nil
	}
	if n := len(f.Path); n > 0 {
		name = f.Path[n-1]
	}
	if f.Whole {
		return nephos.Errorf(nephos.ErrInvalid, "%s", f.Message).WithField(name)
	}
	return invalid(name, f.Value, "%s", f.Message)
}

// invalid is the error for a value that a schema does not take.
func invalid(name string, v any, format string, args ...any) error {
	msg := clip(fmt.Sprintf(format, args...))
	if name == "" {
		return nephos.Errorf(nephos.ErrInvalid, "%s", msg).WithField("body")
	}
	name = clip(name)
	return nephos.Errorf(nephos.ErrInvalid, "Invalid input for field/attribute %s. Value: %s. %s", name, quoting.Str(v), msg).WithField(name)
}

func badRequest(format string, args ...any) error {
	return nephos.Errorf(nephos.ErrInvalid, format, args...)
}

// clip bounds what a message quotes.
func clip(s string) string {
	if len(s) <= maxQuote {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuote], "") + "…"
}

var (
	typeText     = []string{"string"}
	typeNullText = []string{"string", "null"}
	typeBool     = []string{"boolean", "string"}
	typeSize     = []string{"integer", "string"}
	typeObject   = []string{"object"}
	typeNullObj  = []string{"object", "null"}

	digits  = schema.Match(`^[0-9]+$`)
	keyForm = schema.Match(`^[a-zA-Z0-9-_:. /]{1,255}$`)
	specKey = schema.Match(`^[a-zA-Z0-9-_:.]{1,255}$`)
	anyKey  = schema.Match(``)

	uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$`)
)

const maxInt = math.MaxInt32

// isUUID is the format of IDs.
func isUUID(s string) error {
	if !uuidForm.MatchString(s) {
		return schema.NotA("uuid")
	}
	return nil
}

// isName is the format of names that must be there.
func isName(s string) error {
	if strings.TrimSpace(s) != "" {
		return nil
	}
	what := "empty"
	if s == "" {
		what = "None"
	}
	return schema.Alone("An invalid 'name' value was provided. The 'name' can not be " + what + ".")
}

// trimmedLength is the format of names and descriptions whose outer spaces do
// not count.
func trimmedLength(name string) func(s string) error {
	return func(s string) error {
		if n := utf8.RuneCountInString(strings.TrimSpace(s)); n > 255 {
			return schema.Alone(fmt.Sprintf("Invalid input received: %s has %d characters, more than 255.", name, n))
		}
		return nil
	}
}

var (
	pUUID     = schema.Schema{Types: typeText, Format: isUUID}
	pNullUUID = orNullOf(pUUID)
	pText     = schema.Schema{Types: typeText}
	pNullText = schema.Schema{Types: typeNullText, MaxLength: 255}
	pAny      = schema.Schema{}
	pBool     = schema.Schema{Types: typeBool, Enum: truths}
	pNullBool = orNullOf(pBool)
	pSize     = schema.Schema{Types: typeSize, Pattern: digits, Minimum: schema.Bound(1), Maximum: schema.Bound(maxInt)}
	pNullSize = schema.Schema{Types: append(typeSize[:2:2], "null"), Pattern: digits, Minimum: schema.Bound(1), Maximum: schema.Bound(maxInt)}
	pValue    = schema.Schema{Types: typeText, MaxLength: 255}
	pNullVal  = schema.Schema{Types: typeNullText, MaxLength: 255}
	pMetadata = schema.Schema{Types: typeObject, Patterns: pairs(keyForm, pValue)}
	pNullMeta = schema.Schema{Types: typeNullObj, Patterns: pairs(keyForm, pValue)}
	pName     = schema.Schema{Types: typeNullText, Format: trimmedLength("name")}
	pDescr    = schema.Schema{Types: typeNullText, Format: trimmedLength("description")}
	pObject   = schema.Schema{Types: typeObject, Open: true}

	truths = []any{
		true, "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes", "y", "t",
		false, "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no", "n", "f",
	}
)

// orNullOf is the schema of what may be null: the API says what is wrong with it
// in another way than where null is among a value's types.
func orNullOf(s schema.Schema) schema.Schema {
	return schema.Schema{OneOf: []schema.Schema{s, {Types: []string{"null"}}}}
}

// pairs are members whose keys match.
func pairs(keys *schema.Pattern, of schema.Schema) []schema.PatternProp {
	return []schema.PatternProp{{Pattern: keys, Value: of}}
}

// props are an object's members; their order is that of their names.
func props(of map[string]schema.Schema) []schema.Prop {
	list := make([]schema.Prop, 0, len(of))
	for name, s := range of {
		list = append(list, schema.Named(name, s))
	}
	return list
}

// body is the schema of a body with one member.
func body(name string, s schema.Schema) schema.Schema {
	return strict(map[string]schema.Schema{name: s}, name)
}

// strict is an object with just these members, of which some are needed.
func strict(of map[string]schema.Schema, required ...string) schema.Schema {
	return schema.Schema{Types: typeObject, Props: props(of), Required: required}
}
