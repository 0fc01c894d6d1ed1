package nova

import (
	"encoding/base64"
	"strings"

	"github.com/nephos-cloud/nephos/httpapi"
)

// serverSchema is the schema of the body that makes servers, in the request's
// microversion.
func serverSchema(r *httpapi.Request) *schema {
	array := func(items schema) schema { return schema{types: []string{"array"}, items: &items} }
	nic := strictObject(nil,
		prop{"fixed_ip", schema{types: []string{"string"}, format: isAddress}},
		prop{"port", schema{oneOf: []schema{uuidText(), {types: []string{"null"}}}}},
		prop{"uuid", schema{types: []string{"string"}}})
	networks := array(nic)
	if atLeast(r, 32) && !atLeast(r, 37) || atLeast(r, 42) { // tags were lost for some versions
		nic.props = append(nic.props, prop{"tag", tagText()})
		networks = array(nic)
	}
	if atLeast(r, 37) {
		nic.props[2].schema = uuidText()
		networks = schema{oneOf: []schema{array(nic), oneOfNames("none", "auto")}}
	}
	s := strictObject([]string{"name", "flavorRef"},
		prop{"name", name255()},
		prop{"imageRef", schema{oneOf: []schema{uuidText(), {types: []string{"string"}, enum: []any{""}}}}},
		prop{"flavorRef", schema{types: []string{"string", "integer"}, minLen: 1}},
		prop{"adminPass", schema{types: []string{"string"}}},
		prop{"metadata", metadata("string")},
		prop{"networks", networks},
		prop{"OS-DCF:diskConfig", oneOfNames("AUTO", "MANUAL")},
		prop{"accessIPv4", schema{types: []string{"string"}, format: isVersion(4)}},
		prop{"accessIPv6", schema{types: []string{"string"}, format: isVersion(6)}})
	if !atLeast(r, 57) {
		s.props = append(s.props, prop{"personality", array(strictObject(nil,
			prop{"path", schema{types: []string{"string"}}}, prop{"contents", schema{types: []string{"string"}, format: isBase64}}))})
	}
	s.props = append(s.props,
		prop{"availability_zone", name255()},
		prop{"block_device_mapping", array(strictObject(nil, oldDisk()...))},
		prop{"block_device_mapping_v2", array(strictObject(nil, newDisk(r)...))},
		prop{"config_drive", boolean()},
		prop{"key_name", name255()},
		prop{"min_count", positiveInteger()},
		prop{"max_count", positiveInteger()},
		prop{"return_reservation_id", boolean()},
		prop{"security_groups", array(strictObject(nil, prop{"name", name255()}))},
		prop{"user_data", schema{types: []string{"string"}, maxLen: 65535, format: isBase64}})
	for _, p := range []struct {
		since int
		prop
	}{
		{19, prop{"description", description(255)}},
		{52, prop{"tags", tagsBody().props[0].schema}},
		{63, prop{"trusted_image_certificates", certificates()}},
		{74, prop{"host", hostName()}},
		{74, prop{"hypervisor_hostname", hostName()}},
		{90, prop{"hostname", guestName(r)}},
	} {
		if atLeast(r, p.since) {
			s.props = append(s.props, p.prop)
		}
	}
	if atLeast(r, 37) {
		s.required = append(s.required, "networks")
	}
	return &schema{types: []string{"object"}, required: []string{"server"}, props: []prop{
		{"server", s}, {"os:scheduler_hints", hintsSchema()}, {"OS-SCH-HNT:scheduler_hints", hintsSchema()},
	}}
}

// serverChangeSchema is the schema of the body that changes a server.
func serverChangeSchema(r *httpapi.Request) *schema {
	s := strictObject(nil, prop{"name", name255()}, prop{"OS-DCF:diskConfig", oneOfNames("AUTO", "MANUAL")},
		prop{"accessIPv4", schema{types: []string{"string"}, format: isVersion(4)}},
		prop{"accessIPv6", schema{types: []string{"string"}, format: isVersion(6)}})
	if atLeast(r, 19) {
		s.props = append(s.props, prop{"description", description(255)})
	}
	if atLeast(r, 90) {
		s.props = append(s.props, prop{"hostname", guestName(r)})
	}
	return only("server", s)
}

var (
	hostnamePattern = match(`^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$`)
	fqdnPattern     = match(`^[a-zA-Z0-9]+[a-zA-Z0-9-.]*[a-zA-Z0-9]+$`)
	diskPattern     = match(`^[a-zA-Z0-9._-r/]*$`)
	sourcePattern   = match(`^[a-zA-Z0-9._-]*$`)
)

func hintsSchema() schema {
	id := uuidText()
	ids := schema{types: []string{"array"}, items: &id}
	return schema{types: []string{"object"}, open: true, props: []prop{
		{"group", uuidText()},
		{"different_host", schema{oneOf: []schema{uuidText(), ids}}},
		{"same_host", schema{types: []string{"string", "array"}, items: &id}},
	}}
}

func certificates() schema {
	id := schema{types: []string{"string"}, minLen: 1}
	return schema{types: []string{"array", "null"}, items: &id, minItems: 1, maxItems: 50, unique: true}
}

func guestName(r *httpapi.Request) schema {
	if atLeast(r, 94) {
		return schema{types: []string{"string"}, minLen: 2, maxLen: 255, pattern: fqdnPattern}
	}
	return schema{types: []string{"string"}, minLen: 2, maxLen: 63, pattern: hostnamePattern}
}

func oldDisk() []prop {
	return []prop{
		{"virtual_name", text(0, 255)},
		{"volume_id", uuidText()},
		{"snapshot_id", uuidText()},
		{"volume_size", schema{types: []string{"integer", "string"}, pattern: somenum, min: bound(1), max: bound(maxInt)}},
		{"device_name", schema{types: []string{"string"}, minLen: 1, maxLen: 255, pattern: diskPattern}},
		{"delete_on_termination", boolean()},
		{"no_device", schema{}},
		{"connection_info", text(0, 16777215)},
	}
}

func newDisk(r *httpapi.Request) []prop {
	props := append(oldDisk(),
		prop{"source_type", oneOfNames("volume", "image", "snapshot", "blank")},
		prop{"uuid", schema{types: []string{"string"}, minLen: 1, maxLen: 255, pattern: sourcePattern}},
		prop{"image_id", uuidText()},
		prop{"destination_type", oneOfNames("local", "volume")},
		prop{"guest_format", text(0, 255)},
		prop{"device_type", text(0, 255)},
		prop{"disk_bus", text(0, 255)},
		prop{"boot_index", schema{types: []string{"integer", "string", "null"}, pattern: signed}})
	if atLeast(r, 32) && !atLeast(r, 33) || atLeast(r, 42) {
		props = append(props, prop{"tag", tagText()})
	}
	if atLeast(r, 67) {
		props = append(props, prop{"volume_type", schema{types: []string{"string", "null"}, maxLen: 255}})
	}
	return props
}

func isVersion(n int) func(any) *failure {
	return func(v any) *failure {
		if t, ok := v.(string); ok && checkIP("", t, n) != nil {
			return fail(v, "%s is not a 'ipv%d'", repr(v), n)
		}
		return nil
	}
}

func isBase64(v any) *failure {
	t, ok := v.(string)
	if !ok {
		return nil
	}
	if _, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\n", "", "\r", "").Replace(t)); err != nil {
		return fail(v, "%s is not a 'base64'", repr(v))
	}
	return nil
}
