package httpapi

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// lenient is a type that takes more JSON than its Go type, and can say so
// before it is decoded, so that an error names the field.
type lenient interface {
	accepts(tree any) bool
	wants() string
}

// Bool is a truth value in a request that clients may also send as one of the
// strings of [ParseBool] or as the numbers 0 and 1, which the Compute and
// Networking APIs accept.
type Bool bool

// UnmarshalJSON implements [json.Unmarshaler].
func (b *Bool) UnmarshalJSON(raw []byte) error {
	v, ok := ParseBool(unquote(raw))
	if !ok {
		return fmt.Errorf("%s is not a boolean", clip(string(raw), 64))
	}
	*b = Bool(v)
	return nil
}

func (Bool) wants() string { return "boolean" }

func (Bool) accepts(tree any) bool {
	switch v := tree.(type) {
	case bool:
		return true
	case string:
		_, ok := ParseBool(v)
		return ok
	case json.Number:
		return v == "0" || v == "1"
	}
	return false
}

// Int is an integer in a request that clients may also send as a string of
// decimal digits, which the Compute, Block Storage and Networking APIs accept.
type Int int64

// UnmarshalJSON implements [json.Unmarshaler].
func (n *Int) UnmarshalJSON(raw []byte) error {
	v, err := strconv.ParseInt(unquote(raw), 10, 64)
	if err != nil {
		return fmt.Errorf("%s is not an integer", clip(string(raw), 64))
	}
	*n = Int(v)
	return nil
}

func (Int) wants() string { return "integer" }

func (Int) accepts(tree any) bool {
	var s string
	switch v := tree.(type) {
	case string:
		s = v
	case json.Number:
		s = string(v)
	default:
		return false
	}
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

func unquote(raw []byte) string {
	if len(raw) > 0 && raw[0] == '"' {
		var s string
		if json.Unmarshal(raw, &s) == nil {
			return s
		}
	}
	return string(raw)
}
