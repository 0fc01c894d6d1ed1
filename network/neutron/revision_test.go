package neutron_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRevisions(t *testing.T) {
	c := newCloud(t)
	revision := func(path, name string) float64 {
		out := c.Do("red", "GET", path, "").Want(200)
		return out.Get(name, "revision_number").(float64)
	}
	net := c.made("red", "/v2.0/networks", `{"network": {}}`)
	router := c.made("red", "/v2.0/routers", `{"router": {}}`)
	group := c.made("red", "/v2.0/security-groups", `{"security_group": {"name": "g"}}`)
	for _, x := range []struct{ path, name string }{
		{"/v2.0/networks/" + net, "network"}, {"/v2.0/routers/" + router, "router"}, {"/v2.0/security-groups/" + group, "security_group"},
	} {
		c.Do("red", "PUT", x.path, `{"`+x.name+`": {}}`).Want(200)
		require.EqualValues(t, 1, revision(x.path, x.name), "an update of nothing changes nothing")
		c.Do("red", "PUT", x.path, `{"`+x.name+`": {"description": "d"}}`).Want(200)
		require.EqualValues(t, 2, revision(x.path, x.name))
	}
	// A network's subnets are part of it.
	subnet := c.made("red", "/v2.0/subnets", `{"subnet": {"network_id": "`+net+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`)
	require.EqualValues(t, 3, revision("/v2.0/networks/"+net, "network"))
	c.Do("red", "PUT", "/v2.0/subnets/"+subnet, `{"subnet": {"name": "s"}}`).Want(200)
	require.EqualValues(t, 4, revision("/v2.0/networks/"+net, "network"))
	c.Do("red", "DELETE", "/v2.0/subnets/"+subnet, "").Want(204)
	require.EqualValues(t, 5, revision("/v2.0/networks/"+net, "network"))
}

func TestWhatPersonsAndFiltersDoNotFind(t *testing.T) {
	c := newCloud(t)
	net := c.made("red", "/v2.0/networks", `{"network": {}}`)
	c.Do("red", "GET", "/v2.0/networks/"+net+"?nope=1", "").Fault(400, "['nope'] is invalid attribute for filtering")
	c.Do("admin", "GET", "/v2.0/agents?nope=1", "").Fault(400, "['nope'] is invalid attribute for filtering")
	c.Do("red", "GET", "/v2.0/networks/"+net+"?fields=id&name=x", "").Want(200)
	details := c.Do("red", "GET", "/v2.0/quotas/blue/details", "")
	details.Fault(403, "User does not have admin privileges: Only admin is authorized to access quotas for another project.")
	require.Equal(t, "AdminRequired", details.Get("NeutronError", "type"))

	// Addresses in use are the operator's: others see none.
	out := c.Do("red", "GET", "/v2.0/network-ip-availabilities", "").Want(200)
	require.Empty(t, out.Get("network_ip_availabilities"))
	require.Equal(t, "NetworkNotFound", c.Do("red", "GET", "/v2.0/network-ip-availabilities/"+net, "").Want(404).Get("NeutronError", "type"))
	require.Nil(t, c.Do("admin", "GET", "/v2.0/network-ip-availabilities/"+net, "").Want(200).Get("NeutronError"))

	c.Do("red", "POST", "/v2.0/ports", `{"port": {"network_id": "`+net+`", "binding:profile": {}}}`).
		Fault(403, "(rule:create_port and rule:create_port:binding:profile) is disallowed by policy")
	out = c.Do("red", "POST", "/v2.0/ports", `{"port": {"network_id": "`+net+`", "extra_dhcp_opts": [{"opt_name": "a", "opt_value": null}]}}`).Want(201)
	require.Empty(t, out.Get("port", "extra_dhcp_opts"))
}

func TestUpdatesOfFloatingIPs(t *testing.T) {
	c := newCloud(t)
	outside := c.made("admin", "/v2.0/networks", `{"network": {"router:external": true}}`)
	c.made("admin", "/v2.0/subnets", `{"subnet": {"network_id": "`+outside+`", "ip_version": 4, "cidr": "203.0.113.0/24"}}`)
	inside := c.made("red", "/v2.0/networks", `{"network": {}}`)
	subnet := c.made("red", "/v2.0/subnets", `{"subnet": {"network_id": "`+inside+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`)
	port := c.made("red", "/v2.0/ports", `{"port": {"network_id": "`+inside+`", "fixed_ips": [{"ip_address": "10.0.0.9"}]}}`)
	router := c.made("red", "/v2.0/routers", `{"router": {"external_gateway_info": {"network_id": "`+outside+`"}}}`)
	c.Do("red", "PUT", "/v2.0/routers/"+router+"/add_router_interface", `{"subnet_id": "`+subnet+`"}`).Want(200)
	fip := c.made("red", "/v2.0/floatingips", `{"floatingip": {"floating_network_id": "`+outside+`", "port_id": "`+port+`"}}`)
	update := func(body string, want int) any {
		out := c.Do("red", "PUT", "/v2.0/floatingips/"+fip, `{"floatingip": `+body+`}`).Want(want)
		if want != 200 {
			return out.Message()
		}
		return out.Get("floatingip", "port_id")
	}
	require.Equal(t, port, update(`{"description": "d"}`, 200))
	require.Equal(t, "Bad floatingip request: fixed_ip_address cannot be specified without a port_id.", update(`{"fixed_ip_address": "10.0.0.9"}`, 400))
	require.Nil(t, update(`{}`, 200)) // what leaves all out unmaps
	require.Equal(t, port, update(`{"port_id": "`+port+`"}`, 200))
}
