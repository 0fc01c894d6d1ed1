package glance

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/image"
)

// filterOf reads the conditions in the query of a list. What is no attribute
// of an image is a property.
func filterOf(r *httpapi.Request) (image.Filter, error) {
	hidden := false
	f := image.Filter{MemberStatus: image.Accepted, Hidden: &hidden, Properties: map[string]string{}}
	for name, values := range r.Query() {
		if name != "tag" {
			values = values[len(values)-1:] // the last one counts
		}
		for _, v := range values {
			if err := addFilter(&f, name, v); err != nil {
				return image.Filter{}, err
			}
		}
	}
	return f, nil
}

func addFilter(f *image.Filter, name, v string) (err error) {
	if text := name + v; strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
		return invalid("A filter must be UTF-8 text without NUL.")
	}
	switch name {
	case "limit", "marker", "sort", "sort_key", "sort_dir", "deleted":
	case "tag":
		f.Tags = append(f.Tags, strings.TrimSpace(v))
	case "member_status":
		if !slices.Contains([]string{image.Pending, image.Accepted, image.Rejected, "all"}, v) {
			return invalid("Invalid status: %s", clip(v)).WithField(name)
		}
		f.MemberStatus = v
	case "visibility":
		if v != "" && !slices.Contains([]string{image.Community, image.Public, image.Private, image.Shared, "all"}, v) {
			return invalid("Invalid visibility value: %s", clip(v)).WithField(name)
		}
		f.Visibility = v
	case "changes-since":
		if v != "" {
			return invalid(`The "changes-since" filter is no longer available on v2.`).WithField(name)
		}
	case "os_hidden":
		f.Hidden, err = truth(name, strings.ToLower(v))
	case "protected":
		f.Protected, err = truth(name, v)
	case "id":
		f.ID, err = anyOf(v)
	case "name":
		f.Name, err = anyOf(v)
	case "status":
		f.Status, err = anyOf(v)
	case "disk_format":
		f.DiskFormat, err = anyOf(v)
	case "container_format":
		f.ContainerFormat, err = anyOf(v)
	case "owner":
		f.Owner = &v
	case "checksum":
		f.Checksum = &v
	case "os_hash_value":
		f.HashValue = &v
	case "created_at", "updated_at":
		var t image.TimeMatch
		t, err = timeMatch(name, v)
		f.Times = append(f.Times, t)
	default:
		return addNumber(f, name, v)
	}
	return err
}

// addNumber adds a condition on a number, or else on a property.
func addNumber(f *image.Filter, name, v string) error {
	m := image.NumberMatch{Field: name, Op: "eq"}
	if s, ok := strings.CutSuffix(name, "_min"); ok {
		m.Field, m.Op = s, "gte"
	} else if s, ok := strings.CutSuffix(name, "_max"); ok {
		m.Field, m.Op = s, "lte"
	}
	if !slices.Contains([]string{"size", "virtual_size", "min_disk", "min_ram"}, m.Field) {
		f.Properties[name] = v
		return nil
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	if err != nil && m.Op == "eq" {
		n, err = -1, nil // no image has it
	}
	if err != nil {
		return invalid("Unable to filter on a range with a non-numeric value.").WithField(name)
	}
	m.Value = n
	f.Numbers = append(f.Numbers, m)
	return nil
}

func truth(name, v string) (*bool, error) {
	if v != "true" && v != "false" {
		return nil, invalid("Invalid value '%s' for '%s' filter. Valid values are 'true' or 'false'.", clip(v), name).WithField(name)
	}
	b := v == "true"
	return &b, nil
}

// anyOf reads a value, or after "in:" several, separated by commas and perhaps
// quoted.
func anyOf(v string) ([]string, error) {
	op, rest, ok := strings.Cut(v, ":")
	if !ok {
		return []string{v}, nil
	}
	switch op {
	case "eq":
		return []string{rest}, nil
	case "in":
		return splitList(rest)
	}
	return nil, invalid("Unable to filter by unknown operator '%s'.", clip(op))
}

// splitList splits at commas outside of double quotes, which a backslash
// escapes.
func splitList(v string) ([]string, error) {
	list := []string{}
	var item strings.Builder
	quoted, closed := false, false
	flush := func() {
		if item.Len() > 0 {
			list = append(list, item.String())
		}
		item.Reset()
		closed = false
	}
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch {
		case c == '\\' && quoted && i+1 < len(v):
			i++
			item.WriteByte(v[i])
		case c == '"' && quoted:
			quoted, closed = false, true
		case c == '"' && item.Len() > 0:
			return nil, invalid("Invalid filter value %s. There is no comma before opening quotation mark.", clip(v))
		case c == '"':
			quoted = true
		case c == ',' && !quoted:
			flush()
		case closed:
			return nil, invalid("Invalid filter value %s. There is no comma after closing quotation mark.", clip(v))
		default:
			item.WriteByte(c)
		}
	}
	if quoted {
		return nil, invalid("Invalid filter value %s. The quote is not closed.", clip(v))
	}
	flush()
	return list, nil
}

// layouts are the forms of ISO 8601 that clients send.
var layouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999",
	"2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02", "20060102T150405Z", "20060102",
}

func parseTime(v string) (time.Time, bool) {
	for _, l := range layouts {
		if t, err := time.Parse(l, v); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

func timeMatch(name, v string) (image.TimeMatch, error) {
	if t, ok := parseTime(v); ok {
		return image.TimeMatch{Field: name, Op: "eq", Value: t}, nil
	}
	op, rest, _ := strings.Cut(v, ":")
	t, ok := parseTime(rest)
	if !ok {
		return image.TimeMatch{}, invalid("Bad \"%s\" query filter format. Use ISO 8601 DateTime notation.", name).WithField(name)
	}
	if !slices.Contains([]string{"gt", "gte", "lt", "lte", "eq", "neq"}, op) {
		return image.TimeMatch{}, invalid("Unable to filter on a unknown operator.").WithField(name)
	}
	return image.TimeMatch{Field: name, Op: op, Value: t}, nil
}
