package nova

import "github.com/nephos-cloud/nephos/httpapi/schema"

// The parameter types that the Compute API's resources share.

const maxInt = 1<<31 - 1

var (
	digits  = schema.Match(`^[0-9]*$`)
	somenum = schema.Match(`^[0-9]+$`)

	printable  = schema.MatchAs(`^[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]*$`, "^[ -~ -…]*$")
	hostText   = schema.Match(`^[a-zA-Z0-9-._]*$`)
	keyPattern = schema.Match(`^[a-zA-Z0-9-_:. ]{1,255}$`)
)

func prop(name string, s schema.Schema) schema.Prop { return schema.Named(name, s) }

// only is the schema of a body with one property.
func only(name string, inner schema.Schema) *schema.Schema {
	return &schema.Schema{Types: []string{"object"}, Props: []schema.Prop{prop(name, inner)}, Required: []string{name}}
}

func name255() schema.Schema {
	return schema.Schema{Types: []string{"string"}, MinLength: 1, MaxLength: 255, Format: isName}
}

func zoneName() schema.Schema {
	return schema.Schema{OneOf: []schema.Schema{{Types: []string{"string"}, MinLength: 1, MaxLength: 255, Format: isZoneName}, {Types: []string{"null"}}}}
}

func text(lo, hi int) schema.Schema {
	return schema.Schema{Types: []string{"string"}, MinLength: lo, MaxLength: hi}
}

func oneOfNames(names ...string) schema.Schema {
	return schema.Schema{Types: []string{"string"}, Enum: anys(names)}
}

func anys(names []string) []any {
	out := make([]any, len(names))
	for i, n := range names {
		out[i] = n
	}
	return out
}

// wholeNumber takes an integer, or its digits, from lo to 2^31-1.
func wholeNumber(lo float64) schema.Schema {
	return schema.Schema{Types: []string{"integer", "string"}, Pattern: somenum, Minimum: schema.Bound(lo), Maximum: schema.Bound(maxInt)}
}

// positiveInteger takes an integer, or its digits, of at least one.
func positiveInteger() schema.Schema {
	return schema.Schema{Types: []string{"integer", "string"}, Pattern: digits, Minimum: schema.Bound(1), MinLength: 1}
}

var truths = []any{
	true, "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes",
	false, "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no",
}

func boolean() schema.Schema {
	return schema.Schema{Types: []string{"boolean", "string"}, Enum: truths}
}

// hostName is a host's name: of a service, not of a server.
func hostName() schema.Schema {
	return schema.Schema{Types: []string{"string"}, MinLength: 1, MaxLength: 255, Pattern: hostText}
}

// description takes printable text of at most so many characters, or null.
func description(most int) schema.Schema {
	return schema.Schema{Types: []string{"string", "null"}, MaxLength: most, Pattern: printable}
}

// metadata takes short texts by key; null too where values may be taken away.
func metadata(types ...string) schema.Schema {
	return schema.Schema{Types: []string{"object"}, Patterns: []schema.PatternProp{{
		Pattern: keyPattern, Value: schema.Schema{Types: types, MaxLength: 255},
	}}}
}
