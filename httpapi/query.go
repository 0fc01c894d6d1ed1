package httpapi

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// Query returns the parsed query string. It is parsed once; the values must not
// be changed. Malformed pairs are left out.
func (r *Request) Query() url.Values {
	if r.query == nil {
		if r.URL.RawQuery == "" {
			r.query = url.Values{}
		} else {
			r.query = r.URL.Query()
		}
	}
	return r.query
}

// Param returns the first value of a query parameter, and whether it was given.
func (r *Request) Param(name string) (string, bool) {
	v, ok := r.Query()[name]
	if !ok || len(v) == 0 {
		return "", false
	}
	return v[0], true
}

// Fields returns the names in all "fields" parameters of the query, which are
// repeated or comma-separated; nil when there are none.
func (r *Request) Fields() []string {
	var out []string
	for _, v := range r.Query()["fields"] {
		for f := range strings.SplitSeq(v, ",") {
			if f = strings.TrimSpace(f); f != "" {
				out = append(out, f)
			}
		}
	}
	return out
}

// ParseBool reads a truth value as OpenStack's services do: 1, t, true, on, y and
// yes, or 0, f, false, off, n and no, in any capitals. Not ok is anything else.
func ParseBool(s string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "1", "t", "true", "on", "y", "yes":
		return true, true
	case "0", "f", "false", "off", "n", "no":
		return false, true
	}
	return false, false
}

// Bool returns a truth value from the query, def when it is not given, and an
// error that names the parameter when it is not one (see [ParseBool]).
func (r *Request) Bool(name string, def bool) (bool, error) {
	s, ok := r.Param(name)
	if !ok {
		return def, nil
	}
	v, ok := ParseBool(s)
	if !ok {
		return def, nephos.Errorf(nephos.ErrInvalid,
			"Invalid value '%s' for %s: it must be a boolean such as true or false.", clip(s, 64), name).WithField(name)
	}
	return v, nil
}

// Int returns an integer from the query that lies in [lo, hi], def when it is not
// given, and an error that names the parameter otherwise.
func (r *Request) Int(name string, def, lo, hi int) (int, error) {
	s, ok := r.Param(name)
	if !ok {
		return def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < lo || n > hi {
		return def, nephos.Errorf(nephos.ErrInvalid,
			"Invalid value '%s' for %s: it must be an integer from %d to %d.", clip(s, 64), name, lo, hi).WithField(name)
	}
	return n, nil
}
