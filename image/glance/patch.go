package glance

import (
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/image"
)

// The media types of a patch, after drafts 4 and 10 of JSON Patch:
//
//	[{"replace": "/name", "value": "x"}]
//	[{"op": "replace", "path": "/name", "value": "x"}]
const (
	patchDraft4  = "application/openstack-images-v2.0-json-patch"
	patchDraft10 = "application/openstack-images-v2.1-json-patch"
)

var operations = []string{"add", "remove", "replace"}

// maxChanges bounds a patch.
const maxChanges = 1000

// changesOf reads the steps that a patch asks for.
func changesOf(r *httpapi.Request) ([]image.Change, error) {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media != patchDraft4 && media != patchDraft10 {
		r.Writer.Header().Set("Accept-Patch", patchDraft4+", "+patchDraft10)
		return nil, httpapi.WithStatus(http.StatusUnsupportedMediaType, &nephos.Error{Kind: nephos.ErrInvalid, Field: "Content-Type"})
	}
	v, err := body(r)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, invalid("Request body must be a JSON array of operation objects.")
	}
	if len(list) > maxChanges {
		return nil, invalid("A patch holds at most %d operations.", maxChanges)
	}
	changes := make([]image.Change, len(list))
	for i, e := range list {
		raw, ok := e.(map[string]any)
		if !ok {
			return nil, invalid("Operations must be JSON objects.")
		}
		if changes[i], err = changeOf(raw, media == patchDraft4); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

// changeOf reads one step.
func changeOf(raw map[string]any, draft4 bool) (image.Change, error) {
	op, pointer, err := operation(raw, draft4)
	if err != nil {
		return image.Change{}, err
	}
	path, err := decodePointer(pointer)
	if err != nil {
		return image.Change{}, err
	}
	depth := 1
	if path[0] == "locations" && op != "replace" {
		depth = 2
	}
	if len(path) != depth {
		return image.Change{}, invalid("Invalid JSON pointer for this resource: '/%s'", clip(strings.Join(path, "/"))).WithField("path")
	}
	ch := image.Change{Name: path[0]}
	switch {
	case op == "remove":
		ch.Op = image.Remove
	case op == "replace":
		ch.Op = image.Replace
	case draft4:
		ch.Op = image.AddNew
	}
	value, given := raw["value"]
	if op != "remove" && !given {
		return image.Change{}, invalid("Operation \"%s\" requires a member named \"value\".", op).WithField("value")
	}
	switch name := ch.Name; {
	case slices.Contains(readOnly, name), slices.Contains(disallowed, name) && name != "stores", name == "id":
		return image.Change{}, forbidden("Attribute '%s' is read-only.", name).WithField(name)
	case slices.Contains(reserved, name) && name != "locations", strings.HasPrefix(name, reservedPrefix):
		return image.Change{}, forbidden("Attribute '%s' is reserved.", clip(name)).WithField(clip(name))
	}
	if op == "remove" {
		return ch, nil
	}
	attrs := map[string]any{ch.Name: value}
	if depth == 2 {
		attrs[ch.Name] = []any{value}
	}
	if err := validate(attrs); err != nil {
		return image.Change{}, err
	}
	if ch.Value = native(attrs[ch.Name]); ch.Value == nil && nullable(ch.Name) {
		ch.Value = ""
	}
	return ch, nil
}

// operation returns a step's operation and the pointer to what it changes.
func operation(raw map[string]any, draft4 bool) (op string, pointer any, err error) {
	if draft4 {
		for _, o := range operations {
			p, ok := raw[o]
			if !ok {
				continue
			}
			if op != "" {
				return "", nil, invalid(`Operation objects must contain only one member named "add", "remove", or "replace".`)
			}
			op, pointer = o, p
		}
		if op == "" {
			return "", nil, invalid(`Operation objects must contain exactly one member named "add", "remove", or "replace".`)
		}
		return op, pointer, nil
	}
	v, ok := raw["op"]
	if !ok || v == nil {
		return "", nil, invalid("Unable to find `op` in JSON Schema change. It must be one of the following: %s.", strings.Join(operations, ", ")).WithField("op")
	}
	op, _ = v.(string)
	if !slices.Contains(operations, op) {
		return "", nil, invalid("Invalid operation: `%s`. It must be one of the following: %s.", strings.Trim(repr(v), "'"), strings.Join(operations, ", ")).WithField("op")
	}
	pointer, ok = raw["path"]
	if !ok {
		return "", nil, invalid("Unable to find 'path' in JSON Schema change").WithField("path")
	}
	return op, pointer, nil
}

var adjacent = regexp.MustCompile(`/\s*/`)

// decodePointer splits a JSON pointer into its names, of which there is at least
// one.
func decodePointer(v any) ([]string, error) {
	p, ok := v.(string)
	bad := func(format string) ([]string, error) { return nil, invalid(format, clip(p)).WithField("path") }
	switch {
	case !ok:
		return nil, invalid("A JSON pointer must be a string, not %s.", repr(v)).WithField("path")
	case !strings.HasPrefix(p, "/"):
		return bad("Pointer `%s` does not start with \"/\".")
	case adjacent.MatchString(p[1:]):
		return bad("Pointer `%s` contains adjacent \"/\".")
	case len(p) > 1 && strings.HasSuffix(p, "/"):
		return bad("Pointer `%s` end with \"/\".")
	case strings.TrimSpace(p[1:]) == "/":
		return bad("Pointer `%s` does not contains valid token.")
	}
	for i := 0; i < len(p); i++ {
		if p[i] == '~' && (i+1 == len(p) || p[i+1] != '0' && p[i+1] != '1') {
			return bad("Pointer `%s` contains \"~\" not part of a recognized escape sequence.")
		}
	}
	parts := strings.Split(strings.TrimLeft(p, "/"), "/")
	for i, s := range parts {
		parts[i] = strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(s, "~1", "/"), "~0", "~"))
	}
	return parts, nil
}
