package nova

import (
	"bytes"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

// The schemas of the bodies of a server's parts and actions.

// obey checks a body whose values are then decoded by its handler.
func obey(r *httpapi.Request, s *schema) error {
	_, err := parse(r, s)
	return err
}

func strictObject(required []string, props ...prop) schema {
	return schema{types: []string{"object"}, props: props, required: required}
}

// metadataBody is the schema of a server's metadata; one counts its items if it
// must have exactly one.
func metadataBody(name string, one bool) *schema {
	m := metadata("string")
	if one {
		m.minProps, m.maxProps = 1, 1
	}
	return only(name, m)
}

func tagText() schema {
	return schema{types: []string{"string"}, minLen: 1, maxLen: maxTagLength, pattern: tagPattern}
}

func tagsBody() *schema {
	tag := tagText()
	return only("tags", schema{types: []string{"array"}, items: &tag, maxItems: maxTags})
}

var (
	tagPattern    = match(`^[^,/]*$`)
	devicePattern = &pattern{deviceForm, deviceForm.String()}
	signed        = match(`^-?[0-9]+$`)
)

// maxTags bounds a server's tags.
const maxTags = 50

func uuidText() schema { return schema{types: []string{"string"}, format: isUUID} }

func interfaceSchema(r *httpapi.Request) *schema {
	address := strictObject(nil, prop{"ip_address", schema{types: []string{"string"}, format: isAddress}})
	s := strictObject(nil, prop{"net_id", uuidText()}, prop{"port_id", uuidText()},
		prop{"fixed_ips", schema{types: []string{"array"}, items: &address, minItems: 1, maxItems: 1}})
	if atLeast(r, 49) {
		s.props = append(s.props, prop{"tag", tagText()})
	}
	return &schema{types: []string{"object"}, props: []prop{{"interfaceAttachment", s}}}
}

func isAddress(v any) *failure {
	t, ok := v.(string)
	if ok && checkIP("", t, 0) != nil {
		return fail(v, "%s is not valid under any of the given schemas", repr(v))
	}
	return nil
}

func deviceText() schema {
	return schema{types: []string{"string", "null"}, pattern: devicePattern}
}

// attachSchema is the schema of a volume's attachment, new or changed.
func attachSchema(r *httpapi.Request, change bool) *schema {
	s := strictObject([]string{"volumeId"}, prop{"volumeId", uuidText()})
	newer := 79
	if !change || atLeast(r, 85) {
		s.props = append(s.props, prop{"device", deviceText()})
	}
	if change {
		newer = 85
	}
	if atLeast(r, newer) {
		s.props = append(s.props, prop{"delete_on_termination", boolean()})
	}
	if change && atLeast(r, 85) {
		s.props = append(s.props, prop{"serverId", uuidText()}, prop{"id", uuidText()}, prop{"tag", tagText()})
	}
	if !change && atLeast(r, 49) {
		s.props = append(s.props, prop{"tag", tagText()})
	}
	return only("volumeAttachment", s)
}

func consoleLogSchema() *schema {
	return only("os-getConsoleOutput", strictObject(nil,
		prop{"length", schema{types: []string{"integer", "string", "null"}, pattern: signed, min: bound(-1)}}))
}

func createImageSchema() *schema {
	return only("createImage", strictObject([]string{"name"}, prop{"name", name255()}, prop{"metadata", metadata("string")}))
}

// noBody refuses a request that says something where there is nothing to say.
func noBody(r *httpapi.Request) error {
	raw, err := r.Raw()
	if err != nil || len(bytes.TrimSpace(raw)) == 0 {
		return err
	}
	v, err := parseJSON(raw)
	if err != nil {
		return invalid("Malformed request body")
	}
	if v != nil {
		return nephos.Errorf(nephos.ErrInvalid, "%s is not of type 'null'", repr(v))
	}
	return nil
}

// pageNumbers checks the numbers by which a list is cut, as a schema does.
func pageNumbers(r *httpapi.Request) error {
	for _, name := range []string{"limit", "offset"} {
		if v, ok := r.Param(name); ok && !digits.MatchString(v) {
			return invalid("Invalid input for query parameters %s. Value: %s. %s does not match '%s'", name, clip(v), quote(v), digits.text).WithField(name)
		}
	}
	return nil
}
