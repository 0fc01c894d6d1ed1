package nova

import (
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// serverSchema is the schema of the body that makes servers, in the request's
// microversion.
func serverSchema(r *httpapi.Request) *schema.Schema {
	array := func(items schema.Schema) schema.Schema { return schema.Schema{Types: []string{"array"}, Items: &items} }
	nic := strictObject(nil,
		prop("fixed_ip", schema.Schema{Types: []string{"string"}, OneOf: anyAddress}),
		prop("port", schema.Schema{OneOf: []schema.Schema{uuidText(), {Types: []string{"null"}}}}),
		prop("uuid", schema.Schema{Types: []string{"string"}}))
	networks := array(nic)
	if atLeast(r, 32) && !atLeast(r, 37) || atLeast(r, 42) { // tags were lost for some versions
		nic.Props = append(nic.Props, prop("tag", tagText()))
		networks = array(nic)
	}
	if atLeast(r, 37) {
		nic.Props[2].Schema = uuidText()
		networks = schema.Schema{OneOf: []schema.Schema{array(nic), oneOfNames("none", "auto")}}
	}
	s := strictObject([]string{"name", "flavorRef"},
		prop("name", name255()),
		prop("imageRef", schema.Schema{OneOf: []schema.Schema{uuidText(), {Types: []string{"string"}, Enum: []any{""}}}}),
		prop("flavorRef", schema.Schema{Types: []string{"string", "integer"}, MinLength: 1}),
		prop("adminPass", schema.Schema{Types: []string{"string"}}),
		prop("metadata", metadata("string")),
		prop("networks", networks),
		prop("OS-DCF:diskConfig", oneOfNames("AUTO", "MANUAL")),
		prop("accessIPv4", schema.Schema{Types: []string{"string"}, Format: isIPv4}),
		prop("accessIPv6", schema.Schema{Types: []string{"string"}, Format: isIPv6}))
	if !atLeast(r, 57) {
		s.Props = append(s.Props, prop("personality", array(strictObject(nil,
			prop("path", schema.Schema{Types: []string{"string"}}), prop("contents", schema.Schema{Types: []string{"string"}, Format: isBase64})))))
	}
	s.Props = append(s.Props,
		prop("availability_zone", name255()),
		prop("block_device_mapping", array(strictObject(nil, oldDisk()...))),
		prop("block_device_mapping_v2", array(strictObject(nil, newDisk(r)...))),
		prop("config_drive", boolean()),
		prop("key_name", name255()),
		prop("min_count", positiveInteger()),
		prop("max_count", positiveInteger()),
		prop("return_reservation_id", boolean()),
		prop("security_groups", array(strictObject(nil, prop("name", name255())))),
		prop("user_data", schema.Schema{Types: []string{"string"}, MaxLength: 65535, Format: isBase64}))
	for _, p := range []struct {
		since int
		schema.Prop
	}{
		{19, prop("description", description(255))},
		{52, prop("tags", tagsBody().Props[0].Schema)},
		{63, prop("trusted_image_certificates", certificates())},
		{74, prop("host", hostName())},
		{74, prop("hypervisor_hostname", hostName())},
		{90, prop("hostname", guestName(r))},
	} {
		if atLeast(r, p.since) {
			s.Props = append(s.Props, p.Prop)
		}
	}
	if atLeast(r, 37) {
		s.Required = append(s.Required, "networks")
	}
	return &schema.Schema{Types: []string{"object"}, Required: []string{"server"}, Props: []schema.Prop{
		prop("server", s), prop("os:scheduler_hints", hintsSchema()), prop("OS-SCH-HNT:scheduler_hints", hintsSchema()),
	}}
}

// serverChangeSchema is the schema of the body that changes a server.
func serverChangeSchema(r *httpapi.Request) *schema.Schema {
	s := strictObject(nil, prop("name", name255()), prop("OS-DCF:diskConfig", oneOfNames("AUTO", "MANUAL")),
		prop("accessIPv4", schema.Schema{Types: []string{"string"}, Format: isIPv4}),
		prop("accessIPv6", schema.Schema{Types: []string{"string"}, Format: isIPv6}))
	if atLeast(r, 19) {
		s.Props = append(s.Props, prop("description", description(255)))
	}
	if atLeast(r, 90) {
		s.Props = append(s.Props, prop("hostname", guestName(r)))
	}
	return only("server", s)
}

var (
	hostnamePattern = schema.Match(`^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$`)
	fqdnPattern     = schema.Match(`^[a-zA-Z0-9]+[a-zA-Z0-9-.]*[a-zA-Z0-9]+$`)
	diskPattern     = schema.Match(`^[a-zA-Z0-9._-r/]*$`)
	sourcePattern   = schema.Match(`^[a-zA-Z0-9._-]*$`)
)

func hintsSchema() schema.Schema {
	id := uuidText()
	ids := schema.Schema{Types: []string{"array"}, Items: &id}
	return schema.Schema{Types: []string{"object"}, Open: true, Props: []schema.Prop{
		prop("group", uuidText()),
		prop("different_host", schema.Schema{OneOf: []schema.Schema{uuidText(), ids}}),
		prop("same_host", schema.Schema{Types: []string{"string", "array"}, Items: &id}),
	}}
}

func certificates() schema.Schema {
	id := schema.Schema{Types: []string{"string"}, MinLength: 1}
	return schema.Schema{Types: []string{"array", "null"}, Items: &id, MinItems: 1, MaxItems: 50, Unique: true}
}

func guestName(r *httpapi.Request) schema.Schema {
	if atLeast(r, 94) {
		return schema.Schema{Types: []string{"string"}, MinLength: 2, MaxLength: 255, Pattern: fqdnPattern}
	}
	return schema.Schema{Types: []string{"string"}, MinLength: 2, MaxLength: 63, Pattern: hostnamePattern}
}

func oldDisk() []schema.Prop {
	return []schema.Prop{
		prop("virtual_name", text(0, 255)),
		prop("volume_id", uuidText()),
		prop("snapshot_id", uuidText()),
		prop("volume_size", schema.Schema{Types: []string{"integer", "string"}, Pattern: somenum, Minimum: schema.Bound(1), Maximum: schema.Bound(maxInt)}),
		prop("device_name", schema.Schema{Types: []string{"string"}, MinLength: 1, MaxLength: 255, Pattern: diskPattern}),
		prop("delete_on_termination", boolean()),
		prop("no_device", schema.Schema{}),
		prop("connection_info", text(0, 16777215)),
	}
}

func newDisk(r *httpapi.Request) []schema.Prop {
	props := append(oldDisk(),
		prop("source_type", oneOfNames("volume", "image", "snapshot", "blank")),
		prop("uuid", schema.Schema{Types: []string{"string"}, MinLength: 1, MaxLength: 255, Pattern: sourcePattern}),
		prop("image_id", uuidText()),
		prop("destination_type", oneOfNames("local", "volume")),
		prop("guest_format", text(0, 255)),
		prop("device_type", text(0, 255)),
		prop("disk_bus", text(0, 255)),
		prop("boot_index", schema.Schema{Types: []string{"integer", "string", "null"}, Pattern: signed}))
	if atLeast(r, 32) && !atLeast(r, 33) || atLeast(r, 42) {
		props = append(props, prop("tag", tagText()))
	}
	if atLeast(r, 67) {
		props = append(props, prop("volume_type", schema.Schema{Types: []string{"string", "null"}, MaxLength: 255}))
	}
	return props
}
