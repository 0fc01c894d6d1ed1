package nova

// The parameter types that the Compute API's resources share.

func bound(n int64) *int64 { return &n }

const maxInt = 1<<31 - 1

var (
	digits  = match(`^[0-9]*$`)
	somenum = match(`^[0-9]+$`)

	hostText   = match(`^[a-zA-Z0-9-._]*$`)
	keyPattern = match(`^[a-zA-Z0-9-_:. ]{1,255}$`)
)

// only is the schema of a body with one property.
func only(name string, inner schema) *schema {
	return &schema{types: []string{"object"}, props: []prop{{name, inner}}, required: []string{name}}
}

func name255() schema {
	return schema{types: []string{"string"}, minLen: 1, maxLen: 255, format: isName}
}

func zoneName() schema {
	return schema{oneOf: []schema{{types: []string{"string"}, minLen: 1, maxLen: 255, format: isZoneName}, {types: []string{"null"}}}}
}

func text(lo, hi int) schema { return schema{types: []string{"string"}, minLen: lo, maxLen: hi} }

func oneOfNames(names ...string) schema {
	return schema{types: []string{"string"}, enum: anys(names)}
}

func anys(names []string) []any {
	out := make([]any, len(names))
	for i, n := range names {
		out[i] = n
	}
	return out
}

// wholeNumber takes an integer, or its digits, from lo to 2^31-1.
func wholeNumber(lo int64) schema {
	return schema{types: []string{"integer", "string"}, pattern: somenum, min: bound(lo), max: bound(maxInt)}
}

// positiveInteger takes an integer, or its digits, of at least one.
func positiveInteger() schema {
	return schema{types: []string{"integer", "string"}, pattern: digits, min: bound(1), minLen: 1}
}

func boolean() schema {
	return schema{types: []string{"boolean", "string"}, enum: []any{
		true, "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes",
		false, "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no",
	}}
}

// hostName is a host's name: of a service, not of a server.
func hostName() schema {
	return schema{types: []string{"string"}, minLen: 1, maxLen: 255, pattern: hostText}
}

// description takes printable text of at most so many characters, or null.
func description(most int) schema {
	return schema{types: []string{"string", "null"}, maxLen: most, pattern: matchAs(`^[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]*$`, "^[ -~ -…]*$")}
}

// metadata takes short texts by key; null too where values may be taken away.
func metadata(types ...string) schema {
	return schema{types: []string{"object"}, keys: &keyset{
		pattern: keyPattern, value: schema{types: types, maxLen: 255},
	}}
}
