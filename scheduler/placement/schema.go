package placement

import (
	"bytes"
	"encoding/json"
	"math"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// dialect is how Placement goes about its schemas. Of all that is wrong with a
// value the one nearest to its root is reported, at the same depth a wrong type
// before the rest, and then what stands first: in the schema for properties, in
// the request for their values.
var dialect = schema.Dialect{
	Nearest: true, SortUnknown: true, WholeFloats: true,
	Order: []schema.Keyword{
		schema.Members, schema.MinProps, schema.Required, schema.Unknown, schema.MinItems, schema.Items, schema.Unique,
		schema.PatternOf, schema.MinLength, schema.MaxLength, schema.Format, schema.Enum, schema.Maximum, schema.Minimum,
	},
}

// maxDepth bounds how deep a body may nest.
const maxDepth = 64

// decode checks the body against the schema and reads it into v.
func decode(r *httpapi.Request, s schema.Schema, v any) error {
	var raw json.RawMessage
	if err := r.Decode(&raw); err != nil {
		return err
	}
	tree, err := schema.Parse(raw, maxDepth)
	if err != nil {
		return nephos.Errorf(nephos.ErrInvalid, "Malformed JSON: %w", err).WithField("body")
	}
	if bytes.Contains(raw, []byte(`\u0000`)) && !(schema.Limits{Depth: maxDepth}).Keepable(tree) {
		return invalid("body", "a string has a NUL character")
	}
	if f := dialect.Check(&s, tree); f != nil {
		return invalid(fieldOf(f), "%s", bounded(f.Message))
	}
	// This writes integers as integers, and every name once.
	if raw, err = json.Marshal(whole(tree)); err != nil {
		return nephos.Errorf(nephos.ErrInvalid, "Malformed JSON: %w", err).WithField("body")
	}
	return r.DecodeValue(raw, "", v)
}

func fieldOf(f *schema.Failure) string { return clip(strings.Join(f.Path, ".")) }

// whole returns the value with its whole numbers as integers that an int64
// holds.
func whole(v any) any {
	switch v := v.(type) {
	case json.Number:
		if _, err := v.Int64(); err == nil || !schema.IsWhole(v) {
			return v
		}
		f, _ := v.Float64()
		switch {
		case f >= math.MaxInt64:
			return json.Number(strconv.FormatInt(math.MaxInt64, 10))
		case f <= math.MinInt64:
			return json.Number(strconv.FormatInt(math.MinInt64, 10))
		}
		return json.Number(strconv.FormatInt(int64(f), 10))
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	case schema.Object:
		for i := range v {
			v[i].Value = whole(v[i].Value)
		}
	}
	return v
}

// checkQuery checks the query against the schema. Of a parameter that is given
// several times it sees the last.
func checkQuery(r *httpapi.Request, s schema.Schema) error {
	var o schema.Object
	at := map[string]int{}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || pair == "" {
			continue
		}
		if value, err = url.QueryUnescape(value); err != nil {
			continue
		}
		for _, text := range []string{name, value} {
			if i := invalidAt(text); i >= 0 {
				return badQuery("query", "'utf-8' codec can't decode byte %#x in position %d: invalid start byte", text[i], i)
			}
		}
		if strings.ContainsRune(value, 0) { // which no database takes
			return badQuery(clip(name), "%s has a NUL character", bounded(dialect.Quote.Repr(value)))
		}
		if i, ok := at[name]; ok {
			o[i].Value = value
			continue
		}
		at[name] = len(o)
		o = append(o, schema.Member{Name: name, Value: value})
	}
	if f := dialect.Check(&s, o); f != nil {
		return badQuery(fieldOf(f), "%s", bounded(f.Message))
	}
	return nil
}

// invalidAt is the place of the first byte that is no UTF-8; -1 if all is.
func invalidAt(s string) int {
	for i := 0; i < len(s); {
		c, n := utf8.DecodeRuneInString(s[i:])
		if c == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// bounded keeps an answer from being as large as the request it complains of.
func bounded(message string) string {
	const most = 4096
	if len(message) > most {
		return strings.ToValidUTF8(message[:most], "") + "…"
	}
	return message
}
