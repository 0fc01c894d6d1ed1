package neutron_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/httpapi/apitest"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/network/neutron"
)

func TestEveryRouteNamesARuleThatExists(t *testing.T) {
	enforcer, err := policy.New(policy.Base(), network.Rules())
	require.NoError(t, err)
	require.Empty(t, enforcer.Problems())
	apitest.RulesExist(t, neutron.Routes(neutron.Config{Service: &network.Service{}}), network.Rules())
}

func TestFieldsOfResources(t *testing.T) {
	c := newCloud(t)
	net := c.made("red", "/v2.0/networks", `{"network": {"name": "n"}}`)
	c.made("red", "/v2.0/subnets", `{"subnet": {"network_id": "`+net+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`)
	port := c.made("red", "/v2.0/ports", `{"port": {"network_id": "`+net+`"}}`)

	keys := func(project, path, name string) []string {
		return c.Do(project, "GET", path, "").Want(200).Keys(name)
	}
	member := []string{
		"admin_state_up", "availability_zone_hints", "availability_zones", "created_at", "description", "id", "ipv4_address_scope", "ipv6_address_scope", "mtu", "name",
		"port_security_enabled", "project_id", "revision_number", "router:external", "shared", "status", "subnets", "tags", "tenant_id", "updated_at",
	}
	require.Equal(t, member, keys("red", "/v2.0/networks/"+net, "network"))
	admin := append(slices.Clone(member), "provider:network_type", "provider:physical_network", "provider:segmentation_id")
	slices.Sort(admin)
	require.Equal(t, admin, keys("admin", "/v2.0/networks/"+net, "network"))
	member = []string{
		"admin_state_up", "allowed_address_pairs", "binding:vnic_type", "created_at", "description", "device_id", "device_owner",
		"extra_dhcp_opts", "fixed_ips", "id", "mac_address", "name", "network_id", "port_security_enabled", "project_id",
		"revision_number", "security_groups", "status", "tags", "tenant_id", "updated_at",
	}
	require.Equal(t, member, keys("red", "/v2.0/ports/"+port, "port"))
	admin = append(slices.Clone(member), "binding:host_id", "binding:profile", "binding:vif_details", "binding:vif_type")
	slices.Sort(admin)
	require.Equal(t, admin, keys("admin", "/v2.0/ports/"+port, "port"))
	require.Equal(t, []string{"id", "name"}, keys("red", "/v2.0/networks/"+net+"?fields=id&fields=name&fields=nope", "network"))
	require.Len(t, keys("red", "/v2.0/networks/"+net+"?fields=", "network"), len(keys("red", "/v2.0/networks/"+net, "network")), "no name is none")

	out := c.Do("red", "GET", "/v2.0/subnets?network_id="+net, "")
	require.Equal(t, []string{
		"allocation_pools", "cidr", "created_at", "description", "dns_nameservers", "enable_dhcp", "gateway_ip", "host_routes", "id", "ip_version",
		"ipv6_address_mode", "ipv6_ra_mode", "name", "network_id", "project_id", "revision_number", "service_types", "subnetpool_id", "tags", "tenant_id", "updated_at",
	}, out.Keys("subnets", 0))
	s := out.Object("subnets", 0)
	require.Equal(t, "2026-05-04T03:02:01Z", s["created_at"])
	require.Equal(t, "10.0.0.1", s["gateway_ip"])
	require.Equal(t, []any{map[string]any{"start": "10.0.0.2", "end": "10.0.0.254"}}, s["allocation_pools"])
}

func TestBadInput(t *testing.T) {
	c := newCloud(t)
	net := c.made("red", "/v2.0/networks", `{"network": {"name": "n"}}`)
	sub := c.made("red", "/v2.0/subnets", `{"subnet": {"network_id": "`+net+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`)
	port := c.made("red", "/v2.0/ports", `{"port": {"network_id": "`+net+`", "fixed_ips": [{"ip_address": "10.0.0.5"}]}}`)
	group := c.made("red", "/v2.0/security-groups", `{"security_group": {"name": "g"}}`)
	no := "11111111-1111-4111-8111-111111111111"
	subnet := func(more string) string {
		return `{"subnet": {"network_id": "` + net + `", "ip_version": 4, ` + more + `}}`
	}
	rule := func(more string) string {
		return `{"security_group_rule": {"security_group_id": "` + group + `", "direction": "ingress", ` + more + `}}`
	}
	for _, x := range []struct {
		method, path, body string
		status             int
		kind, message      string
	}{
		{"POST", "networks", `{`, 400, "HTTPBadRequest", "Body contains invalid data"},
		{"POST", "networks", `{}`, 400, "HTTPBadRequest", "Unable to find 'network' in request body"},
		{"POST", "networks", ``, 400, "HTTPBadRequest", "Unable to find 'network' in request body"},
		{"POST", "networks", `{"networks": {}}`, 400, "HTTPBadRequest", "Resources required"},
		{"POST", "networks", `{"networks": ["x"]}`, 400, "HTTPBadRequest", "Object 'network' contains invalid data"},
		{"POST", "networks", `{"network": {"name": null}}`, 400, "HTTPBadRequest", "Invalid input for name. Reason: 'None' is not a valid string."},
		{"POST", "networks", `{"network": {"name": [{"a": 1}, null]}}`, 400, "HTTPBadRequest", "Invalid input for name. Reason: '[{'a': 1}, None]' is not a valid string."},
		{"POST", "networks", `{"network": {"tenant_id": ""}}`, 400, "HTTPBadRequest", "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin or advsvc privileges"},
		{"POST", "networks", `{"network": {"mtu": -1}}`, 400, "HTTPBadRequest", "Invalid input for mtu. Reason: '-1' should be non-negative."},
		{"POST", "networks", `{"network": {"availability_zone_hints": ["` + strings.Repeat("x", 255) + `"]}}`, 400, "InvalidInput", "Invalid input for operation: Too many availability_zone_hints specified."},
		{"PUT", "networks/" + net, `{"networks": []}`, 400, "HTTPBadRequest", "Bulk operation not supported"},
		{"PUT", "networks/" + net, `{"network": {"project_id": "red"}}`, 400, "HTTPBadRequest", "Cannot update read-only attribute tenant_id"},
		{"GET", "networks?marker=" + no, ``, 200, "", ""},
		{"GET", "networks?marker=" + no + "&limit=1", ``, 404, "NetworkNotFound", ""},
		{"PUT", "networks/" + net + "/tags", `{"tags": ["a", "a"]}`, 400, "InvalidInput", "Invalid input for operation: Duplicate items in the list: 'a'."},
		{"PUT", "networks/" + net + "/tags", `{"tags": null}`, 400, "InvalidInput", "Invalid input for operation: 'None' is not a list."},
		{"PUT", "networks/" + net + "/tags", `{}`, 400, "InvalidInput", "Invalid input for operation: Invalid tags body."},
		{"GET", "networks/" + no + "/tags", ``, 404, "TagResourceNotFound", "Resource networks " + no + " could not be found."},
		{"POST", "networks", `{"port": {}}`, 400, "HTTPBadRequest", "Unable to find 'network' in request body"},
		{"POST", "networks", `{"networks": []}`, 400, "HTTPBadRequest", "Resources required"},
		{"POST", "networks", `{"network": {"nme": "x", "ab": 1}}`, 400, "HTTPBadRequest", "Unrecognized attribute(s) 'ab, nme'"},
		{"POST", "networks", `{"network": {"id": "` + no + `"}}`, 400, "HTTPBadRequest", "Attribute 'id' not allowed in POST"},
		{"POST", "networks", `{"network": {"name": 7}}`, 400, "HTTPBadRequest", "Invalid input for name. Reason: '7' is not a valid string."},
		{"POST", "networks", `{"network": {"admin_state_up": "maybe"}}`, 400, "InvalidInput", "Invalid input for operation: 'maybe' cannot be converted to boolean."},
		{"POST", "networks", `{"network": {"shared": true}}`, 403, "PolicyNotAuthorized", "(rule:create_network and rule:create_network:shared) is disallowed by policy"},
		{"POST", "networks", `{"network": {"tenant_id": "blue"}}`, 400, "HTTPBadRequest", "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin or advsvc privileges"},
		{"POST", "networks", `{"network": {"mtu": 9000}}`, 400, "InvalidInput", "Invalid input for operation: Requested MTU is too big, maximum is 1450."},
		{"POST", "networks", `{"network": {"availability_zone_hints": ["mars"]}}`, 404, "AvailabilityZoneNotFound", "AvailabilityZone mars could not be found."},
		{"PUT", "networks/" + net, `{"network": {"status": "x"}}`, 400, "HTTPBadRequest", "Cannot update read-only attribute status"},
		{"GET", "networks/" + no, ``, 404, "NetworkNotFound", "Network " + no + " could not be found."},
		{"DELETE", "networks/" + net, ``, 409, "NetworkInUse", "Unable to complete operation on network " + net + ". There are one or more ports still in use on the network, id for these ports is: " + port + "."},
		{"GET", "networks?nope=1", ``, 400, "HTTPBadRequest", "['nope'] is invalid attribute for filtering"},
		{"GET", "networks?sort_key=name", ``, 400, "", "The number of sort_keys and sort_dirs must be same"},
		{"GET", "networks?limit=-1", ``, 400, "", "Bad limit request: Limit must be an integer 0 or greater and not '-1'."},
		{"GET", "networks?admin_state_up=x", ``, 400, "InvalidInput", "Invalid input for operation: 'x' cannot be converted to boolean."},

		{"POST", "subnets", `{"subnet": {"cidr": "10.0.0.0/24"}}`, 400, "HTTPBadRequest", "Failed to parse request. Required attribute 'ip_version' not specified"},
		{"POST", "subnets", subnet(`"cidr": "10.0.0.0/33"`), 400, "InvalidInput", "Invalid input for operation: 10.0.0.0/33 is not in a CIDR format."},
		{"POST", "subnets", subnet(`"cidr": "10.0.0.128/25"`), 400, "InvalidInput", "Invalid input for operation: Requested subnet with cidr: 10.0.0.128/25 for network: " + net + " overlaps with another subnet."},
		{"POST", "subnets", subnet(`"cidr": "fd00::/64"`), 400, "InvalidInput", "Invalid input for operation: cidr 'fd00::/64' does not match the ip_version '4'."},
		{"POST", "subnets", subnet(`"cidr": "10.1.0.0/24", "gateway_ip": "10.1.0.255"`), 400, "InvalidInput", "Invalid input for operation: Gateway is not valid on subnet."},
		{"POST", "subnets", subnet(`"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.9", "end": "10.1.0.5"}]`), 400, "InvalidAllocationPool", "The allocation pool {'start': '10.1.0.9', 'end': '10.1.0.5'} is not valid."},
		{"POST", "subnets", subnet(`"cidr": "10.1.0.0/24", "allocation_pools": "x"`), 400, "HTTPBadRequest", "Invalid input for allocation_pools. Reason: Invalid data format for IP pool: 'x'."},
		{"POST", "subnets", subnet(`"cidr": "10.1.0.0/24", "allocation_pools": ["x"]`), 400, "HTTPBadRequest", "Invalid input for allocation_pools. Reason: Invalid input. 'x' must be a dictionary with keys: ['start', 'end']."},
		{"POST", "subnets", subnet(`"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.5"}]`), 400, "HTTPBadRequest", "Invalid input for allocation_pools. Reason: Validation of dictionary's keys failed. Expected keys: {'start', 'end'} Provided keys: {'start'}."},
		{"POST", "subnets", subnet(`"cidr": "10.1.0.0/24", "gateway_ip": ""`), 400, "HTTPBadRequest", "Invalid input for gateway_ip. Reason: '' is not a valid IP address."},
		{"POST", "subnets", subnet(`"cidr": "10.1.0.0/24", "host_routes": [{"destination": "1.0.0.5/8", "nexthop": "10.1.0.3"}]`), 400, "HTTPBadRequest", "Invalid input for host_routes. Reason: '1.0.0.5/8' is not a recognized CIDR, '1.0.0.0/8' is recommended."},
		{"POST", "subnets", subnet(`"cidr": "10.1.0.0/24", "host_routes": [{"destination": "1.0.0.0/8", "nexthop": "fd00::1"}]`), 400, "InvalidInput", "Invalid input for operation: nexthop 'fd00::1' does not match the ip_version '4'."},
		{"POST", "subnets", subnet(`"cidr": "10.1.0.0/24", "prefixlen": 24`), 400, "BadRequest", "Bad subnets request: cidr and prefixlen must not be supplied together."},
		{"POST", "subnets", subnet(`"prefixlen": 24`), 400, "BadRequest", "Bad subnets request: a subnetpool must be specified in the absence of a cidr."},
		{"POST", "subnets", subnet(`"prefixlen": "x"`), 400, "InvalidInput", "Invalid input for operation: 'x' is not an integer."},
		{"POST", "subnets", subnet(`"subnetpool_id": "x"`), 400, "HTTPBadRequest", "Invalid input for subnetpool_id. Reason: 'x' is not a valid UUID."},
		{"POST", "subnets", subnet(`"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.9", "end": "10.2.0.5"}]`), 400, "OutOfBoundsAllocationPool", "The allocation pool 10.1.0.9-10.2.0.5 spans beyond the subnet cidr 10.1.0.0/24."},
		{"POST", "subnets", subnet(`"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.1", "end": "10.1.0.5"}]`), 409, "GatewayConflictWithAllocationPools", "Gateway ip 10.1.0.1 conflicts with allocation pool 10.1.0.1-10.1.0.5."},
		{"POST", "subnets", subnet(`"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.1.0.2", "end": "10.1.0.5"}, {"start": "10.1.0.5", "end": "10.1.0.6"}]`), 409, "OverlappingAllocationPools", "Found overlapping allocation pools: 10.1.0.2-10.1.0.5 10.1.0.5-10.1.0.6 for subnet 10.1.0.0/24."},
		{"POST", "subnets", subnet(`"cidr": "10.1.0.0/31"`), 400, "InvalidInput", "Invalid input for operation: Subnet has a prefix length that is incompatible with DHCP service enabled."},
		{"POST", "subnets", subnet(`"cidr": "10.1.0.0/24", "ipv6_ra_mode": "slaac"`), 400, "InvalidInput", "Invalid input for operation: ipv6_ra_mode is not valid when ip_version is 4."},
		{"POST", "subnets", subnet(`"subnetpool_id": "` + no + `"`), 404, "SubnetPoolNotFound", "Subnet pool " + no + " could not be found."},
		{"DELETE", "subnets/" + sub, ``, 409, "SubnetInUse", "Unable to complete operation on subnet " + sub + ": One or more ports have an IP allocation from this subnet."},

		{"POST", "ports", `{"port": {"network_id": "` + no + `"}}`, 404, "NetworkNotFound", "Network " + no + " could not be found."},
		{"POST", "ports", `{"port": {"network_id": "x"}}`, 400, "HTTPBadRequest", "Invalid input for network_id. Reason: 'x' is not a valid UUID."},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "fixed_ips": null}}`, 400, "HTTPBadRequest", "Invalid input for fixed_ips. Reason: Invalid data format for fixed IP: 'None'."},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "fixed_ips": [{"subnet_id": "` + no + `"}]}}`, 404, "SubnetNotFound", "Subnet " + no + " could not be found."},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "security_groups": ["` + no + `", "` + no + `"]}}`, 400, "HTTPBadRequest", "Invalid input for security_groups. Reason: Duplicate items in the list: '" + no + "'."},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "allowed_address_pairs": "x"}}`, 400, "HTTPBadRequest", "Allowed address pairs must be a list."},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "allowed_address_pairs": ["x"]}}`, 400, "HTTPBadRequest", "Invalid input for allowed_address_pairs. Reason: 'x' is not a dictionary."},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "allowed_address_pairs": [{"mac_address": "00:11:22:33:44:55"}]}}`, 400, "AllowedAddressPairsMissingIP", "AllowedAddressPair must contain ip_address"},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "allowed_address_pairs": [{"ip_address": "x"}]}}`, 400, "HTTPBadRequest", "'x' is not a valid IP address"},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "allowed_address_pairs": [{"ip_address": "1.2.3.4"}, {"ip_address": "1.2.3.4"}]}}`, 400, "DuplicateAddressPairInRequest", "Request contains duplicate address pair: mac_address None ip_address 1.2.3.4."},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "extra_dhcp_opts": [{"opt_name": "a"}]}}`, 400, "InvalidInput", "Invalid input for operation: No valid key specs matched for: {'opt_name': 'a'}."},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "extra_dhcp_opts": [{"opt_name": "a", "opt_value": "b", "ip_version": 5}]}}`, 400, "InvalidInput", "Invalid input for operation: No valid key specs matched for: {'ip_version': 5, 'opt_name': 'a', 'opt_value': 'b'}."},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "mac_address": "zz"}}`, 400, "HTTPBadRequest", "Invalid input for mac_address. Reason: 'zz' is not a valid MAC address."},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "fixed_ips": [{"ip_address": "10.0.0.5"}]}}`, 409, "IpAddressAlreadyAllocated", "IP address 10.0.0.5 already allocated in subnet " + sub},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "fixed_ips": [{"ip_address": "10.3.0.5"}]}}`, 400, "InvalidIpForNetwork", "IP address 10.3.0.5 is not a valid IP for any of the subnets on the specified network."},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "security_groups": ["` + no + `"]}}`, 404, "SecurityGroupNotFound", "Security group " + no + " does not exist"},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "binding:host_id": "h"}}`, 403, "PolicyNotAuthorized", "(rule:create_port and rule:create_port:binding:host_id) is disallowed by policy"},
		{"POST", "ports", `{"port": {"network_id": "` + net + `", "port_security_enabled": false, "allowed_address_pairs": [{"ip_address": "1.2.3.4"}]}}`, 409, "AddressPairAndPortSecurityRequired", "Port Security must be enabled in order to have allowed address pairs on a port."},
		{"PUT", "ports/" + port, `{"port": {"port_security_enabled": false}}`, 409, "PortSecurityPortHasSecurityGroup", "Port has security group associated. Cannot disable port security or IP address until security group is removed."},

		{"POST", "security-groups", `{"security_group": {"name": "default"}}`, 409, "SecurityGroupDefaultAlreadyExists", "Default security group already exists."},
		{"POST", "security-group-rules", rule(`"protocol": "tcp", "port_range_min": 9, "port_range_max": 8`), 400, "SecurityGroupInvalidPortRange", "For TCP/UDP protocols, port_range_min must be <= port_range_max"},
		{"POST", "security-group-rules", rule(`"port_range_min": 9, "port_range_max": 9`), 400, "SecurityGroupProtocolRequiredWithPorts", "Must also specify protocol if port range is given."},
		{"POST", "security-group-rules", rule(`"protocol": "icmp", "port_range_max": 9`), 400, "SecurityGroupMissingIcmpType", "ICMP code (port-range-max) 9 is provided but ICMP type (port-range-min) is missing."},
		{"POST", "security-group-rules", rule(`"protocol": "ipv6-icmp"`), 400, "SecurityGroupEthertypeConflictWithProtocol", "Invalid ethertype IPv4 for protocol ipv6-icmp."},
		{"POST", "security-group-rules", rule(`"remote_ip_prefix": "fd00::/64"`), 400, "SecurityGroupRuleParameterConflict", "Conflicting value ethertype IPv4 for CIDR fd00::/64"},
		{"POST", "security-group-rules", rule(`"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": "` + group + `"`), 400, "SecurityGroupMultipleRemoteEntites", "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided."},
		{"POST", "security-group-rules", `{"security_group_rule": {"security_group_id": "` + group + `", "direction": "up"}}`, 400, "HTTPBadRequest", "Invalid input for direction. Reason: up is not in ['ingress', 'egress']."},
		{"POST", "security-group-rules", `{"security_group_rule": {"security_group_id": "x", "direction": "ingress"}}`, 404, "SecurityGroupNotFound", "Security group x does not exist"},
		{"POST", "security-group-rules", rule(`"remote_ip_prefix": "x"`), 400, "InvalidCIDR", "Invalid CIDR x given as IP prefix."},
		{"POST", "security-group-rules", rule(`"protocol": "tcp", "port_range_min": "x", "port_range_max": 1`), 400, "SecurityGroupInvalidPortValue", "Invalid value for port x"},
		{"POST", "security-group-rules", rule(`"protocol": "58"`), 400, "SecurityGroupEthertypeConflictWithProtocol", "Invalid ethertype IPv4 for protocol 58."},
		{"POST", "security-group-rules", rule(`"protocol": "gre", "port_range_min": 1, "port_range_max": 2`), 400, "SecurityGroupInvalidProtocolForPort", "Ports cannot be specified for protocol 47. Ports are only supported for DCCP, SCTP, TCP, UDP, UDPLITE."},
		{"POST", "security-group-rules", rule(`"ethertype": null`), 400, "SecurityGroupRuleInvalidEtherType", "Security group rule for ethertype 'None' not supported. Allowed values are ['IPv4', 'IPv6']."},
		{"PUT", "security-group-rules/" + no, `{"security_group_rule": {}}`, 405, "", ""},

		{"POST", "routers", `{"router": {"external_gateway_info": {"network_id": "` + net + `"}}}`, 400, "BadRequest", "Bad router request: Network " + net + " is not an external network."},
		{"PUT", "routers/" + no + "/add_router_interface", `{"subnet_id": "` + sub + `"}`, 404, "RouterNotFound", "Router " + no + " could not be found"},
		{"POST", "routers", `{"router": {"external_gateway_info": {"enable_snat": true}}}`, 400, "HTTPBadRequest", "Invalid input for external_gateway_info. Reason: Validation of dictionary's keys failed. Expected keys: {'network_id'} Provided keys: {'enable_snat'}."},
		{"POST", "routers", `{"router": {"external_gateway_info": "x"}}`, 400, "HTTPBadRequest", "Invalid input for external_gateway_info. Reason: 'x' is not a dictionary."},
		{"POST", "routers", `{"router": {"external_gateway_info": {"network_id": "` + net + `", "x": 1}}}`, 400, "HTTPBadRequest", "Invalid input for external_gateway_info. Reason: Unexpected keys supplied: x."},
		{"POST", "floatingips", `{"floatingip": {"floating_network_id": "` + net + `"}}`, 400, "BadRequest", "Bad floatingip request: Network " + net + " is not a valid external network."},
		{"PUT", "quotas/red", `{"quota": {"port": 5}}`, 403, "PolicyNotAuthorized", "rule:update_quota is disallowed by policy"},
		{"GET", "quotas/blue", ``, 403, "PolicyNotAuthorized", "rule:get_quota is disallowed by policy"},
		{"GET", "networks?name=a%00b", ``, 400, "HTTPBadRequest", "The filter name is not text"},
		{"GET", "networks/a%00b", ``, 404, "HTTPNotFound", "The resource could not be found."},
		{"GET", "subnetpools", ``, 404, "HTTPNotFound", ""},
		{"GET", "extensions/rbac-policies", ``, 404, "", ""},
	} {
		t.Run(x.method+" "+x.path+" "+x.body, func(t *testing.T) {
			out := c.Do("red", x.method, "/v2.0/"+x.path, x.body).Want(x.status)
			if x.kind != "" {
				require.Equal(t, x.kind, out.Get("NeutronError", "type"), out.Body)
			}
			if x.message != "" {
				require.Equal(t, x.message, out.Message())
			}
		})
	}
	c.Do("bad", "GET", "/v2.0/networks", "").Want(401)
	c.Do("viewer", "POST", "/v2.0/networks", `{"network": {}}`).Want(403)
	c.Do("viewer", "GET", "/v2.0/networks/"+net, "").Want(200)
	c.Do("blue", "GET", "/v2.0/ports/"+port, "").Want(404)
	c.Do("admin", "PUT", "/v2.0/quotas/red", `{"quota": {"port": 1, "nope": 3}}`).Want(400)
	c.Do("admin", "PUT", "/v2.0/quotas/red", `{"quota": {"port": 1}}`).Want(200)
	over := c.Do("red", "POST", "/v2.0/ports", `{"port": {"network_id": "`+net+`"}}`)
	over.Fault(409, "Quota exceeded for resources: ['port'].")
	require.Equal(t, "OverQuota", over.Get("NeutronError", "type"))
}

func TestBulkIsAllOrNothing(t *testing.T) {
	c := newCloud(t)
	out := c.Do("red", "POST", "/v2.0/networks", `{"networks": [{"name": "a"}, {"network": {"name": "b"}}]}`).Want(201)
	require.Len(t, out.Get("networks"), 2)
	net := out.Text("networks", 0, "id")
	c.made("red", "/v2.0/subnets", `{"subnet": {"network_id": "`+net+`", "ip_version": 4, "cidr": "10.0.0.0/29"}}`)
	port := `{"network_id": "` + net + `"}`
	c.Do("red", "POST", "/v2.0/ports", `{"ports": [`+port+`,`+port+`,`+port+`,`+port+`,`+port+`,`+port+`]}`).Want(409)
	out = c.Do("red", "GET", "/v2.0/ports", "")
	require.Empty(t, out.Get("ports"))
	out = c.Do("red", "POST", "/v2.0/ports", `{"ports": [`+port+`,`+port+`,`+port+`,`+port+`,`+port+`]}`).Want(201)
	require.Len(t, out.Get("ports"), 5)
}

func TestListsInOrderAndPages(t *testing.T) {
	c := newCloud(t)
	for _, name := range []string{"b", "a", "c", "d", "e"} {
		c.made("red", "/v2.0/networks", `{"network": {"name": "`+name+`"}}`)
	}
	names := func(path string) (names string, links []any) {
		out := c.Do("red", "GET", path, "").Want(200)
		for _, n := range out.Get("networks").([]any) {
			names += n.(map[string]any)["name"].(string)
		}
		links, _ = out.Get("networks_links").([]any)
		return names, links
	}
	got, links := names("/v2.0/networks?sort_key=name&sort_dir=desc")
	require.Equal(t, "edcba", got)
	require.Nil(t, links)
	got, links = names("/v2.0/networks?sort_key=name&sort_dir=asc&limit=2")
	require.Equal(t, "ab", got)
	require.Equal(t, "next", links[0].(map[string]any)["rel"])
	got, links = names(links[0].(map[string]any)["href"].(string)[len(c.URL):])
	require.Equal(t, "cd", got)
	back := ""
	for _, l := range links {
		if l.(map[string]any)["rel"] == "previous" {
			back = l.(map[string]any)["href"].(string)[len(c.URL):]
		}
	}
	got, _ = names(back)
	require.Equal(t, "ab", got)
	got, _ = names("/v2.0/networks?name=a&name=c&sort_key=name&sort_dir=asc")
	require.Equal(t, "ac", got)
	got, _ = names("/v2.0/networks?shared=true")
	require.Empty(t, got)
	for i, path := range []string{"ports", "subnets", "routers", "floatingips", "security-groups", "security-group-rules"} {
		c.Do("red", "GET", fmt.Sprintf("/v2.0/%s?limit=%d&sort_key=id&sort_dir=desc&page_reverse=True", path, i+1), "").Want(200)
	}
}

func TestIfMatch(t *testing.T) {
	c := newCloud(t)
	net := c.made("red", "/v2.0/networks", `{"network": {"name": "n"}}`)
	out := c.Do("red", "GET", "/v2.0/networks/"+net, "")
	n := out.Get("network", "revision_number").(float64)
	c.Do("red", "PUT", "/v2.0/networks/"+net, `{"network": {"name": "m"}}`, "If-Match", fmt.Sprintf("revision_number=%d", int(n)+1)).Want(http.StatusPreconditionFailed)
	out = c.Do("red", "PUT", "/v2.0/networks/"+net, `{"network": {"name": "m"}}`, "If-Match", fmt.Sprintf("revision_number=%d", int(n))).Want(200)
	require.Equal(t, n+1, out.Get("network", "revision_number"))
	c.Do("red", "DELETE", "/v2.0/networks/"+net, "", "If-Match", fmt.Sprintf("revision_number=%d", int(n))).Want(http.StatusPreconditionFailed)
}

func TestVersionsAndResources(t *testing.T) {
	c := newCloud(t)
	out := c.Do("", "GET", "/", "").Want(200)
	require.Equal(t, "v2.0", out.Get("versions", 0, "id"))
	c.Do("", "GET", "/v2.0/", "").Want(401)
	out = c.Do("red", "GET", "/v2.0/", "").Want(200)
	// What is listed exists.
	for _, r := range out.Get("resources").([]any) {
		href := r.(map[string]any)["links"].([]any)[0].(map[string]any)["href"].(string)
		body := c.Do("admin", "GET", href[len(c.URL):], "").Want(200)
		require.Contains(t, body.Object(), r.(map[string]any)["collection"])
	}
}

func TestIdempotencyKey(t *testing.T) {
	c := newCloud(t)
	var ids []any
	for range 2 {
		out := c.Do("red", "POST", "/v2.0/networks", `{"network": {"name": "n"}}`, "Idempotency-Key", "k").Want(201)
		ids = append(ids, out.Get("network", "id"))
	}
	require.Equal(t, ids[0], ids[1])
}

// The gateway of an IPv6 subnet is the router anycast address, which is its
// router's to take; the gateway beyond an external network is nobody's.
func TestGatewaysOfRouters(t *testing.T) {
	c := newCloud(t)
	net := c.made("red", "/v2.0/networks", `{"network": {}}`)
	sub := c.made("red", "/v2.0/subnets", `{"subnet": {"network_id": "`+net+`", "ip_version": 6, "cidr": "fd00::/64", "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}}`)
	ext := c.made("admin", "/v2.0/networks", `{"network": {"router:external": true}}`)
	c.made("admin", "/v2.0/subnets", `{"subnet": {"network_id": "`+ext+`", "ip_version": 4, "cidr": "172.24.4.0/24"}}`)
	out := c.Do("red", "GET", "/v2.0/subnets/"+sub, "")
	require.Equal(t, "fd00::", out.Get("subnet", "gateway_ip"))

	router := "/v2.0/routers/" + c.made("red", "/v2.0/routers", `{"router": {}}`)
	out = c.Do("red", "PUT", router+"/add_router_interface", `{"subnet_id": "`+sub+`", "more": 1}`).Want(200)
	out = c.Do("red", "GET", "/v2.0/ports/"+out.Text("port_id"), "")
	require.Equal(t, []any{map[string]any{"subnet_id": sub, "ip_address": "fd00::"}}, out.Get("port", "fixed_ips"))

	gateway := func(more string) string {
		return `{"router": {"external_gateway_info": {"network_id": "` + ext + `"` + more + `}}}`
	}
	for range 2 { // opened, then moved
		c.Do("admin", "PUT", router, gateway(`, "external_fixed_ips": [{"ip_address": "172.24.4.1"}]`)).
			Fault(400, "Bad router request: External IP 172.24.4.1 is the same as the gateway IP.")
		c.Do("admin", "PUT", router, gateway(`, "enable_snat": false`)).Want(200)
	}
	out = c.Do("admin", "PUT", router, gateway("")).Want(200)
	require.Equal(t, true, out.Get("router", "external_gateway_info", "enable_snat"))
	for _, body := range []string{``, `{}`, `[]`} {
		c.Do("red", "PUT", router+"/add_router_interface", body).Fault(400, "Bad router request: Either subnet_id or port_id must be specified.")
	}
}

// Resources of extensions read bodies by other code than the core's, which has
// other words for what is wrong with them.
func TestBodiesOfTheCoreAndOfExtensions(t *testing.T) {
	cloud := newCloud(t)
	const nobody = "11111111-1111-4111-8111-111111111111"
	const unreadable, required = "Malformed request body: Cannot understand JSON.", "Resource body required"
	for _, c := range []struct{ method, path, body, kind, message string }{
		{"POST", "/routers", "x", "MalformedRequestBody", unreadable},
		{"PUT", "/routers/" + nobody, `{"router": {}} {}`, "MalformedRequestBody", unreadable},
		{"POST", "/security-groups", "", "HTTPBadRequest", required},
		{"POST", "/security-group-rules", "{}", "HTTPBadRequest", required},
		{"POST", "/floatingips", "[]", "HTTPBadRequest", required},
		{"POST", "/floatingips", "null", "HTTPBadRequest", required},
		{"PUT", "/floatingips/" + nobody, "{}", "HTTPBadRequest", required},
		{"PUT", "/floatingips/" + nobody, "", "BadRequest", "Bad body request: Invalid format: b''."},
		{"PUT", "/security-groups/" + nobody, "null", "BadRequest", "Bad body request: Invalid format: b'null'."},
		{"PUT", "/agents/" + nobody, `"a'é"`, "BadRequest", `Bad body request: Invalid format: b'"a\'\xc3\xa9"'.`},
		{"PUT", "/routers/" + nobody, `{"x": 1}`, "HTTPBadRequest", "Unable to find 'router' in request body"},
		{"POST", "/networks", "x", "HTTPBadRequest", "Body contains invalid data"},
		{"POST", "/networks", "{\"network\": {\"name\": \"\xff\"}}", "HTTPBadRequest", "The server could not comply with the request since it is either malformed or otherwise incorrect."},
		{"POST", "/routers", "{\"router\": {\"name\": \"\xff\"}}", "MalformedRequestBody", unreadable},
		{"PUT", "/routers/" + nobody + "/add_router_interface", "{\"subnet_id\": \"\xff\"}", "MalformedRequestBody", unreadable},
		{"POST", "/networks", "{}", "HTTPBadRequest", "Unable to find 'network' in request body"},
		{"PUT", "/networks/" + nobody, "[]", "HTTPBadRequest", "Body contains invalid data"},
		{"PUT", "/networks/" + nobody, `{"network": {"x": 1}}`, "HTTPBadRequest", "Unrecognized attribute(s) 'x'"},
		{"PUT", "/networks/" + nobody, `{"x": 1}`, "NetworkNotFound", "Network " + nobody + " could not be found."},
		{"PUT", "/subnets/" + nobody, "", "SubnetNotFound", "Subnet " + nobody + " could not be found."},
		{"PUT", "/ports/" + nobody, `{"port": {}}`, "PortNotFound", "Port " + nobody + " could not be found."},
		{"PUT", "/ports/" + nobody, `{"port": null}`, "HTTPBadRequest", "Unable to find 'port' in request body"},
	} {
		t.Run(c.method+c.path+c.body, func(t *testing.T) {
			a := cloud.Do("admin", c.method, "/v2.0"+c.path, c.body)
			require.Equal(t, c.kind, a.Text("NeutronError", "type"), a.Body)
			require.Equal(t, c.message, a.Text("NeutronError", "message"), a.Body)
		})
	}
}

// A number that cannot be read back would make every list of ports fail.
func TestProfilesAreReadBack(t *testing.T) {
	c := newCloud(t)
	net := c.made("admin", "/v2.0/networks", `{"network": {"name": "n"}}`)
	for body, status := range map[string]int{`{"a": 1e400}`: 400, `{"a": [{"b": -1e400}]}`: 400, `{"a": "\u0000"}`: 400, `{"a": 1e300, "b": [1.5, null]}`: 201} {
		c.Do("admin", "POST", "/v2.0/ports", `{"port": {"network_id": "`+net+`", "binding:profile": `+body+`}}`).Want(status)
	}
	require.Len(t, c.Do("admin", "GET", "/v2.0/ports", "").Want(200).Get("ports"), 1)
}
