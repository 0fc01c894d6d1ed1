package compute_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/network"
)

func TestWireSecurityGroupsOfAServer(t *testing.T) {
	w := newWire(t, 1, nil)
	id := w.bootWire("2.90", "")
	w.settle()
	_, err := w.network.CreateSecurityGroups(w.user(), []network.SecurityGroupSpec{{Name: "web"}})
	require.NoError(t, err)
	names := func() (out []string) {
		groups, _ := w.call("user", "2.90", "GET", "/v2.1/servers/"+id, "").body["server"].(map[string]any)["security_groups"].([]any)
		for _, g := range groups {
			out = append(out, g.(map[string]any)["name"].(string))
		}
		return out
	}
	act := func(body string) answer { return w.call("user", "", "POST", "/v2.1/servers/"+id+"/action", body) }
	require.Equal(t, []string{"default"}, names())
	require.Equal(t, 202, act(`{"addSecurityGroup": {"name": "web"}}`).Status)
	require.Equal(t, []string{"default", "web"}, names())
	w.settle()
	require.Equal(t, []string{"default", "web"}, names())
	again := act(`{"addSecurityGroup": {"name": "web"}}`)
	require.Equal(t, 400, again.Status)
	require.Contains(t, again.Body, "Duplicate items in the list")

	groups := w.call("user", "", "GET", "/v2.1/servers/"+id+"/os-security-groups", "").body["security_groups"].([]any)
	require.Len(t, groups, 2)
	for _, g := range groups {
		g := g.(map[string]any)
		rules := g["rules"].([]any)
		if g["name"] == "web" {
			require.Empty(t, rules) // those for what goes out are not shown
			continue
		}
		require.Len(t, rules, 2)
		rule := rules[0].(map[string]any)
		require.Equal(t, "default", rule["group"].(map[string]any)["name"])
		require.Equal(t, map[string]any{}, rule["ip_range"])
		require.Nil(t, rule["ip_protocol"])
	}

	require.Equal(t, 202, act(`{"removeSecurityGroup": {"name": "web"}}`).Status)
	w.settle()
	require.Equal(t, []string{"default"}, names())
	for body, want := range map[string]string{
		`{"removeSecurityGroup": {"name": "web"}}`: "Security group web not associated with the instance " + id,
		`{"addSecurityGroup": {"name": "nosuch"}}`: "Security group nosuch is not found for project",
		`{"addSecurityGroup": null}`:               "Missing parameter dict",
		`{"addSecurityGroup": {}}`:                 "Security group not specified",
		`{"removeSecurityGroup": {"name": " "}}`:   "Security group name cannot be empty",
	} {
		a := act(body)
		require.Contains(t, []int{400, 404}, a.Status, body)
		require.Contains(t, a.Body, want, body)
	}
	require.ErrorContains(t, w.service.AddServerSecurityGroup(w.stranger(), id, "web"), "could not be found")
}

func TestWireAnImageOfAServer(t *testing.T) {
	w := newWire(t, 1, nil)
	id := w.bootWire("2.90", "")
	w.settle()
	act := func(version, body string) answer {
		return w.call("user", version, "POST", "/v2.1/servers/"+id+"/action", body)
	}
	a := act("2.45", `{"createImage": {"name": "copy", "metadata": {"a": "b"}}}`)
	require.Equal(t, 202, a.Status, a.Body)
	require.NotEmpty(t, a.body["image_id"])
	require.Equal(t, 409, act("2.45", `{"createImage": {"name": "again"}}`).Status)
	w.settle()
	a = act("", `{"createImage": {"name": "copy"}}`)
	require.Equal(t, 202, a.Status)
	require.Contains(t, a.Header.Get("Location"), "/images/")
	w.settle()
	for _, body := range []string{`{"createImage": {}}`, `{"createImage": {"name": ""}}`, `{"createImage": {"name": "x", "metadata": {"a": 1}}}`, `{"createImage": {"name": "x", "size": 1}}`, `{"createImage": null}`} {
		require.Equal(t, 400, act("", body).Status, body)
	}
}

// Old clients look security groups up by the Compute API.
func TestWireSecurityGroupsOfOldClients(t *testing.T) {
	w := newWire(t, 1, nil)
	const base = "/v2.1/os-security-groups"
	require.Equal(t, 404, w.call("user", "2.36", "GET", base, "").Status)
	made := w.call("user", "", "POST", base, `{"security_group": {"name": "web", "description": "d"}}`)
	require.Equal(t, 200, made.Status, made.Body)
	web := made.body["security_group"].(map[string]any)
	require.Equal(t, []any{}, web["rules"])
	id := web["id"].(string)
	var names []string
	for _, g := range w.call("user", "", "GET", base, "").body["security_groups"].([]any) {
		names = append(names, g.(map[string]any)["name"].(string))
	}
	require.Equal(t, []string{"default", "web"}, names)

	rule := w.call("user", "", "POST", "/v2.1/os-security-group-rules",
		`{"security_group_rule": {"parent_group_id": "`+id+`", "ip_protocol": "TCP", "from_port": "22", "to_port": 22, "cidr": "10.0.0.0/8"}}`)
	require.Equal(t, 200, rule.Status, rule.Body)
	got := rule.body["security_group_rule"].(map[string]any)
	ruleID := got["id"].(string)
	require.Equal(t, map[string]any{
		"id": ruleID, "parent_group_id": id, "ip_protocol": "tcp", "from_port": 22.0, "to_port": 22.0,
		"ip_range": map[string]any{"cidr": "10.0.0.0/8"}, "group": map[string]any{},
	}, got)
	shown := w.call("user", "", "GET", base+"/"+id, "").body["security_group"].(map[string]any)
	require.Len(t, shown["rules"], 1)
	for body, want := range map[string]string{
		`{}`: "Missing parameter security_group_rule",
		`{"security_group_rule": {"parent_group_id": "x"}}`:                                                                           "Security group id should be uuid",
		`{"security_group_rule": {"parent_group_id": "` + id + `"}}`:                                                                  "Not enough parameters to build a valid rule.",
		`{"security_group_rule": {"parent_group_id": "` + id + `", "ip_protocol": "tcp", "from_port": 9, "to_port": 8}}`:              "Former value cannot be greater than the later",
		`{"security_group_rule": {"parent_group_id": "` + id + `", "ip_protocol": "tcp", "from_port": 0, "to_port": 8}}`:              "should be between 1-65535",
		`{"security_group_rule": {"parent_group_id": "` + id + `", "ip_protocol": "tcp", "from_port": "a", "to_port": 8}}`:            "must be integers",
		`{"security_group_rule": {"parent_group_id": "` + id + `", "ip_protocol": "x", "from_port": 1, "to_port": 8}}`:                "Invalid IP protocol x.",
		`{"security_group_rule": {"parent_group_id": "` + id + `", "ip_protocol": "tcp", "from_port": 1, "to_port": 8, "cidr": "a"}}`: "Invalid cidr a.",
	} {
		a := w.call("user", "", "POST", "/v2.1/os-security-group-rules", body)
		require.Equal(t, 400, a.Status, body)
		require.Contains(t, a.Body, want, body)
	}
	require.Equal(t, 202, w.call("user", "", "DELETE", "/v2.1/os-security-group-rules/"+ruleID, "").Status)
	renamed := w.call("user", "", "PUT", base+"/"+id, `{"security_group": {"name": "www", "description": ""}}`)
	require.Equal(t, "www", renamed.body["security_group"].(map[string]any)["name"])
	require.Equal(t, 400, w.call("user", "", "GET", base+"/www", "").Status)
	require.Equal(t, 400, w.call("user", "", "POST", base, `{"security_group": {"name": "x"}}`).Status)
	require.Equal(t, 202, w.call("user", "", "DELETE", base+"/"+id, "").Status)
	require.Equal(t, 404, w.call("user", "", "GET", base+"/"+id, "").Status)
}
