package network

import (
	"context"
	"errors"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
)

const (
	checkAdmin     = "rule:admin_only"
	checkMember    = "rule:admin_only or role:member and project_id:%(project_id)s"
	checkReader    = "rule:admin_only or role:reader and project_id:%(project_id)s"
	checkNetOwner  = "rule:admin_only or rule:context_is_advsvc or rule:network_owner"
	checkService   = "rule:admin_only or role:service"
	checkNetMember = checkMember + " or role:member and rule:network_owner"
)

// Rules returns the service's rules: the names and default checks of Neutron's,
// and two of our own by which other services plug their ports.
func Rules() []policy.Rule {
	rules := []policy.Rule{
		{Name: "context_is_advsvc", Check: "role:advsvc", Description: "Services that act on everybody's ports."},
		{Name: "network_owner", Check: "tenant_id:%(network:tenant_id)s", Description: "The project that owns the resource's network."},
		{Name: "sg_owner", Check: "tenant_id:%(security_group:tenant_id)s", Description: "The project that owns the rule's security group."},
		{Name: "admin_only", Check: policy.RuleAdmin, Description: "Who runs the cloud."},
		{Name: "shared", Check: "field:networks:shared=True", Description: "Networks that everybody may use."},
		{Name: "external", Check: "field:networks:router:external=True", Description: "Networks outside the cloud."},
		{Name: "network_device", Check: "field:port:device_owner=~^network:", Description: "Ports of the network's own devices."},

		rule("ensure_port", checkService, "Plug a port for a server, on a user's behalf."),
		rule("release_port", checkService, "Unplug a server's port."),
		rule("get_ports_of_devices", checkService+" or role:reader", "See servers' ports and addresses, as compute shows them."),
	}
	crud := func(resource, path, member, reader string) {
		rules = append(rules,
			rule("create_"+resource, member, "Create a "+resource+".", "POST /"+path),
			rule("get_"+resource, reader, "See a "+resource+".", "GET /"+path, "GET /"+path+"/{id}"),
			rule("update_"+resource, member, "Change a "+resource+".", "PUT /"+path+"/{id}"),
			rule("delete_"+resource, member, "Delete a "+resource+".", "DELETE /"+path+"/{id}"))
	}
	// attributes adds the rules of single attributes.
	attributes := func(check string, names ...string) {
		for _, n := range names {
			rules = append(rules, rule(n, check, "Give, change or see the attribute."))
		}
	}
	crud("network", "networks", checkMember, checkReader+" or rule:shared or rule:external or rule:context_is_advsvc")
	attributes(checkAdmin,
		"create_network:shared", "create_network:router:external", "create_network:is_default",
		"create_network:provider:network_type", "create_network:provider:physical_network", "create_network:provider:segmentation_id",
		"get_network:provider:network_type", "get_network:provider:physical_network", "get_network:provider:segmentation_id",
		"update_network:shared", "update_network:router:external", "update_network:is_default",
		"update_network:provider:network_type", "update_network:provider:physical_network", "update_network:provider:segmentation_id")
	attributes(checkMember, "create_network:port_security_enabled", "update_network:port_security_enabled")

	crud("subnet", "subnets", checkNetMember, checkReader+" or rule:shared or rule:network_owner")
	attributes(checkAdmin, "create_subnet:service_types", "update_subnet:service_types")

	crud("port", "ports", checkMember+" or rule:context_is_advsvc", checkReader+" or rule:network_owner or rule:context_is_advsvc")
	attributes("not rule:network_device or "+checkNetOwner, "create_port:device_owner", "update_port:device_owner")
	attributes(checkNetOwner, "create_port:mac_address", "create_port:fixed_ips:ip_address", "create_port:port_security_enabled",
		"update_port:fixed_ips:ip_address", "update_port:fixed_ips", "update_port:port_security_enabled")
	attributes(checkNetOwner+" or rule:shared", "create_port:fixed_ips", "create_port:fixed_ips:subnet_id", "update_port:fixed_ips:subnet_id")
	attributes(checkAdmin+" or rule:context_is_advsvc", "update_port:mac_address")
	attributes(checkService, "create_port:binding:host_id", "create_port:binding:profile", "update_port:binding:host_id", "update_port:binding:profile",
		"get_port:binding:vif_type", "get_port:binding:vif_details", "get_port:binding:host_id", "get_port:binding:profile")
	attributes(checkMember+" or rule:context_is_advsvc", "create_port:binding:vnic_type", "update_port:binding:vnic_type")
	attributes("rule:admin_only or rule:network_owner", "create_port:allowed_address_pairs", "update_port:allowed_address_pairs")

	crud("security_group", "security-groups", checkMember, checkReader)
	crud("security_group_rule", "security-group-rules", checkMember, checkReader+" or rule:sg_owner")
	crud("router", "routers", checkMember, checkReader)
	attributes(checkMember, "create_router:external_gateway_info", "create_router:external_gateway_info:network_id",
		"update_router:external_gateway_info", "update_router:external_gateway_info:network_id")
	attributes(checkAdmin, "create_router:external_gateway_info:enable_snat", "create_router:external_gateway_info:external_fixed_ips",
		"update_router:external_gateway_info:enable_snat", "update_router:external_gateway_info:external_fixed_ips")
	attributes(checkAdmin, "get_router:distributed", "get_router:ha")
	for _, name := range []string{"add_router_interface", "remove_router_interface", "add_extraroutes", "remove_extraroutes"} {
		rules = append(rules, rule(name, checkMember, "Change what a router connects.", "PUT /routers/{id}/"+name))
	}
	crud("floatingip", "floatingips", checkMember, checkReader)
	attributes(checkAdmin, "create_floatingip:floating_ip_address")
	rules = append(rules,
		rule("get_quota", checkAdmin, "See a project's quotas.", "GET /quotas", "GET /quotas/{id}"),
		rule("update_quota", checkAdmin, "Change a project's quotas.", "PUT /quotas/{id}"),
		rule("delete_quota", checkAdmin, "Return a project to the default quotas.", "DELETE /quotas/{id}"),
		rule("get_agent", checkAdmin, "See the agents of hosts.", "GET /agents", "GET /agents/{id}"),
		rule("update_agent", checkAdmin, "Change an agent.", "PUT /agents/{id}"),
		rule("delete_agent", checkAdmin, "Forget an agent.", "DELETE /agents/{id}"),
		rule("get_availability_zone", checkAdmin+" or role:reader", "See availability zones.", "GET /availability_zones"),
		rule("get_network_ip_availability", checkAdmin, "See how many addresses are left.", "GET /network-ip-availabilities"))
	return rules
}

func rule(name, check, description string, operations ...string) policy.Rule {
	for i, o := range operations {
		verb, path := o[:len(o)-len(afterSpace(o))], afterSpace(o)
		operations[i] = verb + "/v2.0" + path
	}
	return policy.Rule{Name: name, Check: check, Description: description, Operations: operations}
}

func afterSpace(s string) string {
	for i := range len(s) {
		if s[i] == ' ' {
			return s[i+1:]
		}
	}
	return s
}

// allow enforces a rule and the rules of the attributes given, and refuses in the
// Networking API's words.
func (s *Service) allow(ctx context.Context, target policy.Target, name string, attributes ...string) error {
	text := "rule:" + name
	err := s.cfg.Policy.Enforce(ctx, name, target)
	if err != nil && !errors.Is(err, nephos.ErrForbidden) {
		return err
	}
	for _, a := range attributes {
		text = "(" + text + " and rule:" + name + ":" + a + ")"
		if err == nil {
			err = s.cfg.Policy.Enforce(ctx, name+":"+a, target)
		}
	}
	if err == nil {
		return nil
	}
	return &nephos.Error{Kind: nephos.ErrForbidden, Message: text + " is disallowed by policy", Reason: "PolicyNotAuthorized", Cause: err}
}

// everywhere reports whether the caller sees all projects' resources.
func (s *Service) everywhere(ctx context.Context) bool {
	return s.cfg.Policy.Allowed(ctx, "context_is_admin", nil) || s.cfg.Policy.Allowed(ctx, "service_api", nil) ||
		s.cfg.Policy.Allowed(ctx, "context_is_advsvc", nil)
}

// ownerOf decides whose a new resource is: the project named, which only those
// who see everything may choose freely, or else the caller's.
func (s *Service) ownerOf(ctx context.Context, named string) (string, error) {
	c := caller(ctx)
	if named == "" || named == c.ProjectID {
		return c.ProjectID, nil
	}
	if !s.everywhere(ctx) {
		return "", &nephos.Error{
			Kind: nephos.ErrInvalid, Reason: "HTTPBadRequest", Field: "project_id",
			Message: "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin or advsvc privileges",
		}
	}
	return named, nil
}

func owned(projectID string) policy.Target {
	return policy.Target{"project_id": projectID, "tenant_id": projectID}
}

func (n Network) target() policy.Target {
	t := owned(n.ProjectID)
	t["shared"], t["router:external"] = n.Shared, n.External
	return t
}

// onNetwork is the target of what lies on a network.
func onNetwork(projectID string, n Network) policy.Target {
	t := owned(projectID)
	t["network:tenant_id"], t["network:project_id"], t["shared"] = n.ProjectID, n.ProjectID, n.Shared
	return t
}

// Visibility decides which attributes of a resource are shown.
type Visibility interface {
	// MaySee reports whether the caller may see an attribute that has a rule of
	// its own, such as a network's provider:segmentation_id, of a resource of the
	// project.
	MaySee(ctx context.Context, resource, attribute, projectID string) bool
}

var _ Visibility = (*Service)(nil)

// MaySee implements [Visibility].
func (s *Service) MaySee(ctx context.Context, resource, attribute, projectID string) bool {
	return s.cfg.Policy.Allowed(ctx, "get_"+resource+":"+attribute, owned(projectID))
}
