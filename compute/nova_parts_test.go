package compute_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWirePartsOfAServerAreCheckedAsBySchemas(t *testing.T) {
	w := newWire(t, 1, nil)
	id := w.bootWire("2.90", "")
	w.settle()
	at := "/v2.1/servers/" + id
	long := strings.Repeat("x", 256)
	for _, c := range []struct {
		who, version, method, path, body string
		status                           int
		text                             string
	}{
		{"user", "", "POST", "/metadata", `{"metadata": null}`, 400, "Invalid input for field/attribute metadata. Value: None. None is not of type 'object'"},
		{"user", "", "PUT", "/metadata/y", `{"meta": {}}`, 400, "{} does not have enough properties"},
		{"user", "", "PUT", "/metadata/y", `{"meta": {"y": "4", "x": "5"}}`, 400, "Value: {'y': '4', 'x': '5'}. {'y': '4', 'x': '5'} has too many properties"},
		{"user", "", "POST", "/metadata", `{"metadata": {"k": "` + long + `"}}`, 400, "'" + long + "' is too long"},
		{"user", "2.26", "PUT", "/tags", `{"tags": null}`, 400, "field/attribute tags. Value: None. None is not of type 'array'"},
		{"user", "2.26", "PUT", "/tags", `{"tags": ["a/b"]}`, 400, "field/attribute 0. Value: a/b. 'a/b' does not match '^[^,/]*$'"},
		{"user", "2.26", "PUT", "/tags/a,b", ``, 400, "Validation error message: 'a,b' does not match '^[^,/]*$'"},
		{"user", "2.26", "PUT", "/tags/a", `{}`, 400, "{} is not of type 'null'"},
		{"user", "2.26", "DELETE", "/tags/nope", ``, 404, "Instance " + id + " has no tag 'nope'"},
		{"user", "", "PUT", "", `{"server": {"accessIPv4": null}}`, 400, "field/attribute accessIPv4. Value: None. None is not of type 'string'"},
		{"user", "", "POST", "/os-interface", `{"interfaceAttachment": {"net_id": null}}`, 400, "field/attribute net_id. Value: None"},
		{"user", "", "POST", "/os-interface", `{"interfaceAttachment": {"port_id": "x"}}`, 400, "field/attribute port_id. Value: x. 'x' is not a 'uuid'"},
		{"user", "", "POST", "/os-interface", `{"interfaceAttachment": {"fixed_ips": []}}`, 400, "field/attribute fixed_ips. Value: []. [] is too short"},
		{"user", "", "POST", "/os-interface", `{"interfaceAttachment": {"fixed_ips": [{"ip_address": "x"}]}}`, 400, "field/attribute ip_address. Value: x. 'x' is not valid under any"},
		{"user", "", "POST", "/os-interface", `{"interfaceAttachment": {"tag": "t"}}`, 400, "Additional properties are not allowed ('tag' was unexpected)"},
		{"user", "", "POST", "/os-volume_attachments", `{"volumeAttachment": {"volumeId": null}}`, 400, "field/attribute volumeId. Value: None. None is not of type 'string'"},
		{"user", "", "GET", "/os-volume_attachments?limit=x", ``, 400, "Invalid input for query parameters limit. Value: x. 'x' does not match '^[0-9]*$'"},
		{"user", "2.75", "GET", "/os-volume_attachments?nope=1", ``, 400, "Additional properties are not allowed ('nope' was unexpected)"},
		{"user", "", "DELETE", "/os-volume_attachments/nope", ``, 404, "could not be found"},
		{"user", "2.85", "PUT", "/os-volume_attachments/" + id, `{"volumeAttachment": {"volumeId": "` + id + `"}}`, 404, "No volume Block Device Mapping with id " + id + "."},
		{"user", "2.58", "GET", "/os-instance-actions?changes-before=2020-01-01T00:00:00Z", ``, 400, "('changes-before' was unexpected)"},
		{"user", "2.66", "GET", "/os-instance-actions?limit=0", ``, 200, `"instanceActions":[]`},
		{"user", "", "GET", "/os-instance-actions/req-x", ``, 404, "Action req-x not found"},
		{"user", "2.6", "POST", "/remote-consoles", `{"remote_console": {"protocol": "vnc", "type": "serial"}}`, 400, "Invalid console type serial"},
		{"user", "", "POST", "/action", `{"os-getConsoleOutput": {"length": "x"}}`, 400, "Value: x. 'x' does not match '^-?[0-9]+$'"},
		{"user", "", "POST", "/action", `{"os-getConsoleOutput": {"length": -2}}`, 400, "Value: -2. -2 is less than the minimum of -1"},
		{"user", "", "POST", "/action", `{"createImage": {"name": " "}}`, 400, "An invalid 'name' value was provided."},
		{"user", "", "POST", "/action", `{"createImage": null}`, 400, "None is not of type 'object'"},
		{"user", "", "POST", "/action", `{"os-start": null, "nope": 1}`, 400, "Malformed request body"},
		{"user", "", "POST", "/action", `{"os-getVNCConsole": {}}`, 400, "field/attribute os-getVNCConsole. Value: {}. 'type' is a required property"},
		{"user", "", "POST", "/action", `{"os-getVNCConsole": {"type": "x"}}`, 400, "field/attribute type. Value: x. 'x' is not one of ['novnc', 'xvpvnc']"},
		{"admin", "2.90", "GET", "/migrations", ``, 200, `"migrations":[]`},
		{"admin", "2.90", "GET", "/migrations/7", ``, 404, "In-progress live migration 7 is not found for server " + id + "."},
		{"admin", "2.90", "DELETE", "/migrations/7", ``, 409, "Instance " + id + " is in an invalid state for 'abort live migration'"},
		{"admin", "2.90", "POST", "/migrations/7/action", `{"force_complete": null}`, 409, "Instance " + id + " is in an invalid state for 'force_complete'"},
		{"user", "2.90", "DELETE", "/migrations/7", ``, 403, "os_compute_api:servers:migrations:delete"},
	} {
		a := w.call(c.who, c.version, c.method, at+c.path, c.body)
		require.Equal(t, c.status, a.Status, "%s %s %s: %s", c.method, c.path, c.body, a.Body)
		require.Contains(t, a.Body, c.text, "%s %s %s", c.method, c.path, c.body)
	}
	for _, p := range []string{"?sort_dir=up", "/detail?sort_dir=up"} {
		require.Contains(t, w.call("user", "", "GET", "/v2.1/servers"+p, "").Body, "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'")
	}
	require.Empty(t, w.call("user", "2.83", "GET", "/v2.1/servers?config_drive=x", "").body["servers"])
}

func TestWireAnswersWithoutBodiesHaveNovasType(t *testing.T) {
	w := newWire(t, 1, nil)
	id := w.bootWire("2.90", "")
	w.settle()
	at := "/v2.1/servers/" + id
	for _, c := range []struct {
		method, path, body string
		status             int
		kind               string
	}{
		{"POST", "/action", `{"lock": null}`, http.StatusAccepted, "application/json"},
		{"POST", "/action", `{"unlock": null}`, http.StatusAccepted, "application/json"},
		{"PUT", "/tags/a", ``, http.StatusCreated, "text/html; charset=UTF-8"},
		{"PUT", "/tags/a", ``, http.StatusNoContent, "application/json"},
		{"GET", "/tags/a", ``, http.StatusNoContent, "application/json"},
		{"DELETE", "/tags/a", ``, http.StatusNoContent, "application/json"},
		{"DELETE", "", ``, http.StatusNoContent, "application/json"},
	} {
		a := w.call("user", "2.90", c.method, at+c.path, c.body)
		require.Equal(t, c.status, a.Status, c)
		require.Equal(t, c.kind, a.Header.Get("Content-Type"), c)
		require.Empty(t, a.Body, c)
	}
}

func TestALockAndItsReason(t *testing.T) {
	w := newWire(t, 1, nil)
	id := w.bootWire("2.90", "")
	w.settle()
	at := "/v2.1/servers/" + id
	act := func(who, body string) int { return w.call(who, "2.90", "POST", at+"/action", body).Status }
	reason := func() any {
		return w.call("user", "2.90", "GET", at, "").body["server"].(map[string]any)["locked_reason"]
	}
	require.Equal(t, 202, act("user", `{"lock": {"locked_reason": "first"}}`))
	require.Equal(t, 202, act("user", `{"lock": {"locked_reason": "second"}}`))
	require.Equal(t, "first", reason()) // an owner's second lock changes nothing
	require.Equal(t, 202, act("user", `{"createImage": {"name": "of a locked one"}}`))
	w.settle()
	require.Equal(t, 202, act("admin", `{"lock": {"locked_reason": "third"}}`))
	require.Equal(t, "third", reason())
	require.Equal(t, 403, act("user", `{"unlock": null}`))
	require.Equal(t, 202, act("admin", `{"unlock": null}`))
	require.Equal(t, 202, act("admin", `{"os-resetState": {"state": "active"}}`))

	var names []string
	events := map[string]string{}
	for _, a := range w.call("admin", "2.90", "GET", at+"/os-instance-actions", "").body["instanceActions"].([]any) {
		a := a.(map[string]any)
		names = append(names, a["action"].(string))
		one := w.call("admin", "2.90", "GET", at+"/os-instance-actions/"+a["request_id"].(string), "").body["instanceAction"].(map[string]any)
		for _, e := range one["events"].([]any) {
			events[a["action"].(string)] = e.(map[string]any)["event"].(string)
		}
	}
	require.ElementsMatch(t, []string{"resetState", "unlock", "lock", "createImage", "lock", "create"}, names)
	require.Equal(t, "api_lock", events["lock"])
	require.Equal(t, "api_unlock", events["unlock"])
	require.Equal(t, "compute_snapshot_instance", events["createImage"])
}
