package neutron

import (
	"net/http"

	"github.com/nephos-cloud/nephos/httpapi"
)

// versions answers at the root.
func (a *api) versions(r *httpapi.Request) (*httpapi.Response, error) {
	return httpapi.OK(map[string]any{"versions": []map[string]any{{
		"id": "v2.0", "status": "CURRENT", "links": []httpapi.Link{{Rel: "self", Href: r.Link("/v2.0/", nil)}},
	}}}), nil
}

// collections are what /v2.0 lists: the name of one, of many, and the path.
var collections = [][3]string{
	{"network", "networks", "networks"},
	{"subnet", "subnets", "subnets"},
	{"port", "ports", "ports"},
	{"router", "routers", "routers"},
	{"floatingip", "floatingips", "floatingips"},
	{"security_group", "security_groups", "security-groups"},
	{"security_group_rule", "security_group_rules", "security-group-rules"},
	{"quota", "quotas", "quotas"},
	{"agent", "agents", "agents"},
	{"availability_zone", "availability_zones", "availability_zones"},
	{"network_ip_availability", "network_ip_availabilities", "network-ip-availabilities"},
	{"extension", "extensions", "extensions"},
}

func (a *api) resources(r *httpapi.Request) (*httpapi.Response, error) {
	out := make([]map[string]any, len(collections))
	for i, c := range collections {
		out[i] = map[string]any{"name": c[0], "collection": c[1], "links": []httpapi.Link{{Rel: "self", Href: r.Link("/v2.0/"+c[2], nil)}}}
	}
	return httpapi.OK(map[string]any{"resources": out}), nil
}

// extensions are what is built beyond the core: alias, name, description.
var extensions = [][3]string{
	{"agent", "agent", "The agents of hosts."},
	{"allowed-address-pairs", "Allowed Address Pairs", "Further addresses that a port may send from."},
	{"availability_zone", "Availability Zone", "The zones that resources are in."},
	{"binding", "Port Binding", "Where a port is bound."},
	{"empty-string-filtering", "Empty String Filtering Extension", "Lists can be filtered by the empty text."},
	{"ext-gw-mode", "Neutron L3 Configurable external gateway mode", "Source NAT can be turned off."},
	{"external-net", "Neutron external network", "Networks outside the cloud."},
	{"extra_dhcp_opt", "Neutron Extra DHCP options", "DHCP options of single ports."},
	{"extraroute", "Neutron Extra Route", "Static routes of routers."},
	{"extraroute-atomic", "Atomically add/remove extra routes", "Static routes one by one."},
	{"filter-validation", "Filter parameters validation", "Unknown filters are refused."},
	{"fip-port-details", "Floating IP Port Details Extension", "Floating IPs tell of their port."},
	{"ip-substring-filtering", "IP address substring filtering", "Ports can be found by part of an address."},
	{"net-mtu", "Network MTU", "Networks tell their MTU."},
	{"net-mtu-writable", "Network MTU (writable)", "The MTU can be set."},
	{"network-ip-availability", "Network IP Availability", "How many addresses are used."},
	{"network_availability_zone", "Network Availability Zone", "The zones of networks."},
	{"pagination", "Pagination support", "Lists in pages."},
	{"port-security", "Port Security", "Ports without filters."},
	{"project-id", "project_id field enabled", "Resources have a project_id."},
	{"provider", "Provider Network", "Networks on given segments."},
	{"quota_details", "Quota details management support", "What of a quota is used."},
	{"quotas", "Quota management support", "Limits of projects."},
	{"revision-if-match", "If-Match constraints based on revision_number", "Changes only to a known revision."},
	{"router", "Neutron L3 Router", "Routers and floating IPs."},
	{"router_availability_zone", "Router Availability Zone", "The zones of routers."},
	{"security-group", "security-group", "Filters that ports share."},
	{"security-groups-normalized-cidr", "Normalized CIDR field for security group rules", "Rules tell the prefix that counts."},
	{"security-groups-port-filtering", "Port filtering on security groups", "Ports can be found by group."},
	{"sort-key-validation", "Sort key validation", "Unknown sort keys are refused."},
	{"sorting", "Sorting support", "Lists in order."},
	{"standard-attr-description", "standard-attr-description", "Resources have a description."},
	{"standard-attr-revisions", "Resource revision numbers", "Resources have a revision number."},
	{"standard-attr-tag", "Tag support for resources with standard attribute: floatingip, network, port, router, security_group, subnet", "Resources have tags."},
	{"standard-attr-timestamp", "Resource timestamps", "Resources tell when they were made and changed."},
	{"stateful-security-group", "Stateful security group", "Groups without connection tracking."},
	{"tag-ports-during-bulk-creation", "Tag Ports During Bulk Creation", "New ports can have tags."},
}

func renderExtension(e [3]string) map[string]any {
	return map[string]any{"alias": e[0], "name": e[1], "description": e[2], "updated": "2026-01-01T00:00:00-00:00", "links": []any{}}
}

func (a *api) listExtensions(*httpapi.Request) (*httpapi.Response, error) {
	out := make([]map[string]any, len(extensions))
	for i, e := range extensions {
		out[i] = renderExtension(e)
	}
	return httpapi.OK(map[string]any{"extensions": out}), nil
}

func (a *api) showExtension(r *httpapi.Request) (*httpapi.Response, error) {
	for _, e := range extensions {
		if e[0] == r.PathValue("alias") {
			return httpapi.OK(map[string]any{"extension": renderExtension(e)}), nil
		}
	}
	// The layer above Neutron answers here, in a layout of its own.
	return httpapi.Status(http.StatusNotFound, map[string]string{
		"code": "404 Not Found", "title": "Not Found",
		"message": "The resource could not be found.<br /><br />\nExtension with alias " + clip(r.PathValue("alias"), 64) + " does not exist\n\n",
	}), nil
}
