package neutron_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRevisions(t *testing.T) {
	c := newCloud(t)
	revision := func(path, name string) float64 {
		status, out := c.do("red", "GET", path, "")
		require.Equal(t, 200, status)
		return out[name].(map[string]any)["revision_number"].(float64)
	}
	net := c.made("red", "/v2.0/networks", `{"network": {}}`)
	router := c.made("red", "/v2.0/routers", `{"router": {}}`)
	group := c.made("red", "/v2.0/security-groups", `{"security_group": {"name": "g"}}`)
	for _, x := range []struct{ path, name string }{
		{"/v2.0/networks/" + net, "network"}, {"/v2.0/routers/" + router, "router"}, {"/v2.0/security-groups/" + group, "security_group"},
	} {
		status, _ := c.do("red", "PUT", x.path, `{"`+x.name+`": {}}`)
		require.Equal(t, 200, status)
		require.EqualValues(t, 1, revision(x.path, x.name), "an update of nothing changes nothing")
		status, _ = c.do("red", "PUT", x.path, `{"`+x.name+`": {"description": "d"}}`)
		require.Equal(t, 200, status)
		require.EqualValues(t, 2, revision(x.path, x.name))
	}
	// A network's subnets are part of it.
	subnet := c.made("red", "/v2.0/subnets", `{"subnet": {"network_id": "`+net+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`)
	require.EqualValues(t, 3, revision("/v2.0/networks/"+net, "network"))
	status, _ := c.do("red", "PUT", "/v2.0/subnets/"+subnet, `{"subnet": {"name": "s"}}`)
	require.Equal(t, 200, status)
	require.EqualValues(t, 4, revision("/v2.0/networks/"+net, "network"))
	status, _ = c.do("red", "DELETE", "/v2.0/subnets/"+subnet, "")
	require.Equal(t, 204, status)
	require.EqualValues(t, 5, revision("/v2.0/networks/"+net, "network"))
}

func TestWhatPersonsAndFiltersDoNotFind(t *testing.T) {
	c := newCloud(t)
	net := c.made("red", "/v2.0/networks", `{"network": {}}`)
	fault := func(project, method, path, body string, status int) map[string]any {
		got, out := c.do(project, method, path, body)
		require.Equal(t, status, got, path)
		e, _ := out["NeutronError"].(map[string]any)
		return e
	}
	require.Equal(t, "['nope'] is invalid attribute for filtering", fault("red", "GET", "/v2.0/networks/"+net+"?nope=1", "", 400)["message"])
	require.Equal(t, "['nope'] is invalid attribute for filtering", fault("admin", "GET", "/v2.0/agents?nope=1", "", 400)["message"])
	fault("red", "GET", "/v2.0/networks/"+net+"?fields=id&name=x", "", 200)
	e := fault("red", "GET", "/v2.0/quotas/blue/details", "", 403)
	require.Equal(t, "AdminRequired", e["type"])
	require.Equal(t, "User does not have admin privileges: Only admin is authorized to access quotas for another project.", e["message"])

	// Addresses in use are the operator's: others see none.
	status, out := c.do("red", "GET", "/v2.0/network-ip-availabilities", "")
	require.Equal(t, 200, status)
	require.Empty(t, out["network_ip_availabilities"])
	require.Equal(t, "NetworkNotFound", fault("red", "GET", "/v2.0/network-ip-availabilities/"+net, "", 404)["type"])
	require.Empty(t, fault("admin", "GET", "/v2.0/network-ip-availabilities/"+net, "", 200))

	e = fault("red", "POST", "/v2.0/ports", `{"port": {"network_id": "`+net+`", "binding:profile": {}}}`, 403)
	require.Equal(t, "(rule:create_port and rule:create_port:binding:profile) is disallowed by policy", e["message"])
	status, out = c.do("red", "POST", "/v2.0/ports", `{"port": {"network_id": "`+net+`", "extra_dhcp_opts": [{"opt_name": "a", "opt_value": null}]}}`)
	require.Equal(t, 201, status)
	require.Empty(t, out["port"].(map[string]any)["extra_dhcp_opts"])
}

func TestUpdatesOfFloatingIPs(t *testing.T) {
	c := newCloud(t)
	outside := c.made("admin", "/v2.0/networks", `{"network": {"router:external": true}}`)
	c.made("admin", "/v2.0/subnets", `{"subnet": {"network_id": "`+outside+`", "ip_version": 4, "cidr": "203.0.113.0/24"}}`)
	inside := c.made("red", "/v2.0/networks", `{"network": {}}`)
	subnet := c.made("red", "/v2.0/subnets", `{"subnet": {"network_id": "`+inside+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`)
	port := c.made("red", "/v2.0/ports", `{"port": {"network_id": "`+inside+`", "fixed_ips": [{"ip_address": "10.0.0.9"}]}}`)
	router := c.made("red", "/v2.0/routers", `{"router": {"external_gateway_info": {"network_id": "`+outside+`"}}}`)
	status, _ := c.do("red", "PUT", "/v2.0/routers/"+router+"/add_router_interface", `{"subnet_id": "`+subnet+`"}`)
	require.Equal(t, 200, status)
	fip := c.made("red", "/v2.0/floatingips", `{"floatingip": {"floating_network_id": "`+outside+`", "port_id": "`+port+`"}}`)
	update := func(body string, want int) any {
		status, out := c.do("red", "PUT", "/v2.0/floatingips/"+fip, `{"floatingip": `+body+`}`)
		require.Equal(t, want, status, body)
		if want != 200 {
			return out["NeutronError"].(map[string]any)["message"]
		}
		return out["floatingip"].(map[string]any)["port_id"]
	}
	require.Equal(t, port, update(`{"description": "d"}`, 200))
	require.Equal(t, "Bad floatingip request: fixed_ip_address cannot be specified without a port_id.", update(`{"fixed_ip_address": "10.0.0.9"}`, 400))
	require.Nil(t, update(`{}`, 200)) // what leaves all out unmaps
	require.Equal(t, port, update(`{"port_id": "`+port+`"}`, 200))
}
