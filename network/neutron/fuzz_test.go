package neutron_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/network/neutron"
)

// FuzzBodies sends whatever bodies and queries: nothing may go wrong inside.
func FuzzBodies(f *testing.F) {
	c := newCloud(f)
	h := neutron.New(neutron.Config{Service: c.service, HTTP: httpapi.Config{Verifier: people}})
	net := c.made("red", "/v2.0/networks", `{"network": {"name": "n"}}`)
	sub := c.made("red", "/v2.0/subnets", `{"subnet": {"network_id": "`+net+`", "ip_version": 4, "cidr": "10.0.0.0/24"}}`)
	port := c.made("red", "/v2.0/ports", `{"port": {"network_id": "`+net+`"}}`)
	paths := []string{
		"networks", "subnets", "ports", "security-groups", "security-group-rules", "routers", "floatingips",
		"networks/" + net, "subnets/" + sub, "ports/" + port, "networks/" + net + "/tags", "quotas/red",
	}
	for i, body := range []string{
		`{"network": {"name": "x", "mtu": 1400, "provider:segmentation_id": 5, "provider:network_type": "vxlan", "availability_zone_hints": ["nova"]}}`,
		`{"subnet": {"network_id": "` + net + `", "ip_version": 6, "cidr": "fd00::/64", "gateway_ip": null, "allocation_pools": [{"start": "fd00::2", "end": "fd00::9"}], "ipv6_ra_mode": "slaac"}}`,
		`{"port": {"network_id": "` + net + `", "fixed_ips": [{"subnet_id": "` + sub + `", "ip_address": "10.0.0.9"}], "allowed_address_pairs": [{"ip_address": "1.2.3.4/8"}], "extra_dhcp_opts": [{"opt_name": "a", "opt_value": "b"}]}}`,
		`{"security_groups": [{"name": "g"}]}`,
		`{"security_group_rule": {"security_group_id": "` + net + `", "direction": "egress", "protocol": 6, "port_range_min": "1"}}`,
		`{"router": {"name": "r", "external_gateway_info": {"network_id": "` + net + `", "external_fixed_ips": [{}]}}}`,
		`{"floatingip": {"floating_network_id": "` + net + `", "floating_ip_address": "10.0.0.1"}}`,
		`{"network": {"shared": true}}`,
		`{"subnet": {"allocation_pools": [{"start": "10.0.0.3", "end": "10.0.0.7"}], "host_routes": [{"destination": "0.0.0.0/0", "nexthop": "10.0.0.1"}]}}`,
		`{"port": {"fixed_ips": [{"subnet_id": "` + sub + `"}, {"ip_address": "10.0.0.77"}], "mac_address": "fa:16:3e:00:00:01"}}`,
		`{"tags": ["a", "b"]}`, `{"quota": {"port": "7", "force": true}}`,
	} {
		f.Add(uint8(i), body, "name=x&sort_key=name&sort_dir=asc&limit=2")
	}
	f.Fuzz(func(t *testing.T, path uint8, body, query string) {
		p := "/v2.0/" + paths[int(path)%len(paths)]
		method := "POST"
		if strings.Count(p, "/") > 2 {
			method = "PUT"
		}
		for _, m := range []string{method, "GET"} {
			req := httptest.NewRequest(m, p, strings.NewReader(body))
			if m == "GET" {
				req.URL.RawQuery = query
			}
			req.Header.Set("X-Auth-Token", "admin")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			require.Less(t, w.Code, 500, "%s %s: %s", m, p, w.Body)
		}
	})
}
