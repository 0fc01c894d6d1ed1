package compute_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWireBodiesOfCreatesAreCheckedAsBySchemas(t *testing.T) {
	w := newWire(t, 1, nil)
	with := func(more string) string {
		return `{"server": {"name": "s", "flavorRef": "1", "imageRef": "11111111-1111-4111-8111-111111111111"` + more + `}}`
	}
	long := strings.Repeat("x", 256)
	for _, c := range []struct{ version, body, text string }{
		{"", `[]`, "[] is not of type 'object'"},
		{"", `{"server": {"name": "` + long + `", "flavorRef": "1"}}`, "field/attribute name. Value: " + long + ". '" + long + "' is too long"},
		{"", `{"server": {"name": "s", "flavorRef": "1", "imageRef": null}}`, "field/attribute imageRef. Value: None. None is not valid under any of the given schemas"},
		{"", with(`, "networks": "x"`), "field/attribute networks. Value: x. 'x' is not of type 'array'"},
		{"", with(`, "networks": [{"port": "x"}]`), "field/attribute port. Value: x. 'x' is not valid under any of the given schemas"},
		{"", with(`, "config_drive": "x"`), "'x' is not one of [True, 'True'"},
		{"", with(`, "min_count": "x"`), "field/attribute min_count. Value: x. 'x' does not match '^[0-9]*$'"},
		{"", with(`, "min_count": 0`), "field/attribute min_count. Value: 0. 0 is less than the minimum of 1"},
		{"", with(`, "block_device_mapping_v2": [{"boot_index": "x"}]`), "field/attribute boot_index. Value: x. 'x' does not match '^-?[0-9]+$'"},
		{"", with(`, "block_device_mapping_v2": [{"volume_size": "x"}]`), "field/attribute volume_size. Value: x. 'x' does not match '^[0-9]+$'"},
		{"", with(`, "x": 1`), "Additional properties are not allowed ('x' was unexpected)"},
		{"2.19", with(`, "description": 7`), "field/attribute description. Value: 7. 7 is not of type 'string', 'null'"},
		{"2.37", with(``), "'networks' is a required property"},
		{"2.37", with(`, "networks": [{"uuid": "x", "tag": "a"}]`), "is not valid under any of the given schemas"},
		{"2.52", with(`, "networks": "none", "tags": ["a,b"]`), "field/attribute 0. Value: a,b. 'a,b' does not match '^[^,/]*$'"},
		{"2.57", with(`, "networks": "none", "personality": []`), "Additional properties are not allowed ('personality' was unexpected)"},
		{"2.90", with(`, "networks": "none", "hostname": "-a"`), "field/attribute hostname. Value: -a. '-a' does not match"},
		{"", `{"server": {"name": "s", "flavorRef": "1"}, "os:scheduler_hints": {"group": "x"}}`, "field/attribute group. Value: x. 'x' is not a 'uuid'"},
		{"", `{"server": {"name": "s"}}`, "field/attribute server. Value: {'name': 's'}. 'flavorRef' is a required property"},
	} {
		a := w.call("user", c.version, "POST", "/v2.1/servers", c.body)
		require.Equal(t, 400, a.Status, c.body)
		require.Contains(t, a.Body, c.text, c.body)
	}
}

func TestWireBootsOnNetworksThatDoNotServe(t *testing.T) {
	w := newWire(t, 1, nil)
	flavor := w.flavor(1, 512, 1)
	with := func(more string) string {
		return `{"server": {"name": "s", "flavorRef": "` + flavor + `", "imageRef": "` + w.images.id + `", ` + more + `}}`
	}
	const port = "22222222-2222-4222-8222-222222222222"
	for _, c := range []struct{ who, version, body, text string }{
		{"other", "2.37", with(`"networks": "auto"`), "Unable to automatically allocate a network for project other"},
		{"user", "", with(`"networks": [{}]`), "Bad network format: missing 'uuid'"},
		{"user", "", with(`"networks": [{"port": "` + port + `"}, {"port": "` + port + `"}]`), "Port ID '" + port + "' was specified twice: you cannot attach a port multiple times."},
		{"user", "", with(`"networks": [{"port": "` + port + `"}], "min_count": 2`), "Unable to launch multiple instances with a single configured port ID."},
		{"user", "", with(`"security_groups": [{"name": "nosuch"}]`), "Unable to find security_group with name or id 'nosuch'"},
		{"user", "", with(`"block_device_mapping_v2": [{"boot_index": 0, "source_type": "volume", "destination_type": "volume", "uuid": "` + port + `"}]`), "Volume " + port + " could not be found."},
		{"user", "2.67", with(`"networks": "none", "block_device_mapping_v2": [{"boot_index": 0, "source_type": "image", "destination_type": "volume", "volume_size": 1, "volume_type": "nosuch", "uuid": "` + w.images.id + `"}]`), "Volume type nosuch could not be found."},
	} {
		a := w.call(c.who, c.version, "POST", "/v2.1/servers", c.body)
		require.Equal(t, 400, a.Status, c.body)
		require.Contains(t, a.Body, c.text, c.body)
	}
	a := w.call("admin", "2.81", "POST", "/v2.1/os-aggregates/1/images", `{"cache": [{"id": "`+port+`"}]}`)
	require.Equal(t, 501, a.Status, a.Body)
	require.Equal(t, 400, w.call("admin", "2.81", "POST", "/v2.1/os-aggregates/1/images", `{"cache": []}`).Status)
	require.Equal(t, 403, w.call("user", "", "GET", "/v2.1/os-hypervisors/x", "").Status)
	require.Equal(t, 403, w.call("user", "", "GET", "/v2.1/os-simple-tenant-usage?start=x", "").Status)
}
