package nova

import (
	"bytes"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// The schemas of the bodies of a server's parts and actions.

// obey checks a body whose values are then decoded by its handler.
func obey(r *httpapi.Request, s *schema.Schema) error {
	_, err := parse(r, s)
	return err
}

func strictObject(required []string, props ...schema.Prop) schema.Schema {
	return schema.Schema{Types: []string{"object"}, Props: props, Required: required}
}

// metadataBody is the schema of a server's metadata; one counts its items if it
// must have exactly one.
func metadataBody(name string, one bool) *schema.Schema {
	m := metadata("string")
	if one {
		m.MinProps, m.MaxProps = 1, 1
	}
	return only(name, m)
}

func tagText() schema.Schema {
	return schema.Schema{Types: []string{"string"}, MinLength: 1, MaxLength: maxTagLength, Pattern: tagPattern}
}

func tagsBody() *schema.Schema {
	tag := tagText()
	return only("tags", schema.Schema{Types: []string{"array"}, Items: &tag, MaxItems: maxTags})
}

var (
	tagPattern    = schema.Match(`^[^,/]*$`)
	devicePattern = schema.Match(deviceForm.String())
	signed        = schema.Match(`^-?[0-9]+$`)
)

// maxTags bounds a server's tags.
const maxTags = 50

func uuidText() schema.Schema { return schema.Schema{Types: []string{"string"}, Format: isUUID} }

func interfaceSchema(r *httpapi.Request) *schema.Schema {
	address := strictObject(nil, prop("ip_address", schema.Schema{Types: []string{"string"}, OneOf: anyAddress}))
	s := strictObject(nil, prop("net_id", uuidText()), prop("port_id", uuidText()),
		prop("fixed_ips", schema.Schema{Types: []string{"array"}, Items: &address, MinItems: 1, MaxItems: 1}))
	if atLeast(r, 49) {
		s.Props = append(s.Props, prop("tag", tagText()))
	}
	return &schema.Schema{Types: []string{"object"}, Props: []schema.Prop{prop("interfaceAttachment", s)}}
}

// anyAddress are the schemas of addresses of either version.
var anyAddress = []schema.Schema{{Format: isIPv4}, {Format: isIPv6}}

func deviceText() schema.Schema {
	return schema.Schema{Types: []string{"string", "null"}, Pattern: devicePattern}
}

// attachSchema is the schema of a volume's attachment, new or changed.
func attachSchema(r *httpapi.Request, change bool) *schema.Schema {
	s := strictObject([]string{"volumeId"}, prop("volumeId", uuidText()))
	newer := 79
	if !change || atLeast(r, 85) {
		s.Props = append(s.Props, prop("device", deviceText()))
	}
	if change {
		newer = 85
	}
	if atLeast(r, newer) {
		s.Props = append(s.Props, prop("delete_on_termination", boolean()))
	}
	if change && atLeast(r, 85) {
		s.Props = append(s.Props, prop("serverId", uuidText()), prop("id", uuidText()), prop("tag", tagText()))
	}
	if !change && atLeast(r, 49) {
		s.Props = append(s.Props, prop("tag", tagText()))
	}
	return only("volumeAttachment", s)
}

func consoleLogSchema() *schema.Schema {
	return only("os-getConsoleOutput", strictObject(nil,
		prop("length", schema.Schema{Types: []string{"integer", "string", "null"}, Pattern: signed, Minimum: schema.Bound(-1)})))
}

func createImageSchema() *schema.Schema {
	return only("createImage", strictObject([]string{"name"}, prop("name", name255()), prop("metadata", metadata("string"))))
}

// noBody refuses a request that says something where there is nothing to say.
func noBody(r *httpapi.Request) error {
	raw, err := r.Raw()
	if err != nil || len(bytes.TrimSpace(raw)) == 0 {
		return err
	}
	v, err := schema.Parse(raw, maxDepth)
	if err != nil {
		return invalid("Malformed request body")
	}
	if v != nil {
		return nephos.Errorf(nephos.ErrInvalid, "%s is not of type 'null'", quoting.Repr(v))
	}
	return nil
}

// pageNumbers checks the numbers by which a list is cut, as a schema does.
func pageNumbers(r *httpapi.Request) error {
	for _, name := range []string{"limit", "offset"} {
		if v, ok := r.Param(name); ok && !digits.MatchString(v) {
			return invalid("Invalid input for query parameters %s. Value: %s. %s does not match '%s'", name, clip(v), quote(v), digits.String()).WithField(name)
		}
	}
	return nil
}
