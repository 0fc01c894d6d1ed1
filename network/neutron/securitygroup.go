package neutron

import (
	"context"
	"encoding/json"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/network"
)

// securityGroup is the resource security groups.
func (a *api) securityGroup() resource[network.SecurityGroup] {
	s := a.cfg.Service
	return resource[network.SecurityGroup]{
		singular: "security_group", plural: "security_groups", path: "security-groups",
		attributes: standard(map[string]attribute{
			"name": both(text(255)), "stateful": both(boolean), "security_group_rules": readOnly(), "shared": readOnly(),
		}),
		list: s.ListSecurityGroups, show: s.SecurityGroup, remove: s.DeleteSecurityGroup,
		create: func(ctx context.Context, items []values) ([]network.SecurityGroup, error) {
			specs := make([]network.SecurityGroupSpec, len(items))
			for i, v := range items {
				specs[i] = network.SecurityGroupSpec{
					ProjectID: v.project(), Name: plain[string](v, "name"), Description: plain[string](v, "description"), Stateful: get[bool](v, "stateful"),
				}
			}
			return s.CreateSecurityGroups(ctx, specs)
		},
		update: func(ctx context.Context, id string, v values) (network.SecurityGroup, error) {
			return s.UpdateSecurityGroup(ctx, id, network.SecurityGroupUpdate{
				Name: get[string](v, "name"), Description: get[string](v, "description"), Stateful: get[bool](v, "stateful"),
			})
		},
		render: func(ctx context.Context, g network.SecurityGroup) map[string]any {
			rules := make([]map[string]any, len(g.Rules))
			for i, r := range g.Rules {
				rules[i] = renderRule(ctx, r)
			}
			return renderMeta(g.Meta, map[string]any{
				"name": g.Name, "description": g.Description, "stateful": g.Stateful, "shared": false, "security_group_rules": rules,
			})
		},
	}
}

// protocol takes the name of a protocol or its number.
func protocol(name string, v any) (any, error) {
	switch x := v.(type) {
	case nil:
		return "", nil
	case string:
		return x, nil
	case json.Number:
		return x.String(), nil
	}
	return nil, invalidInput(name, "IP protocol '%s' is not supported. Only protocol names and their integer representation (0 to 255) are supported", show(v))
}

// portNumber takes a port, or an ICMP type or code.
func portNumber(name string, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	n, err := integer(-1<<31, 1<<31-1)(name, v)
	if err != nil || n == int64(-1) {
		return nil, nephos.Errorf(nephos.ErrInvalid, "Invalid value for port %s", show(v)).WithReason("SecurityGroupInvalidPortValue").WithField(name)
	}
	return n, nil
}

// groupID takes the id of a security group. What is none is one that there is not.
func groupID(_ string, v any) (any, error) {
	s, ok := v.(string)
	if !ok || !uuidForm.MatchString(s) {
		return nil, nephos.Errorf(nephos.ErrNotFound, "Security group %s does not exist", show(v)).WithReason("SecurityGroupNotFound")
	}
	return s, nil
}

func remoteGroup(name string, v any) (any, error) {
	if v == nil {
		return "", nil
	}
	return groupID(name, v)
}

// noAddressGroup refuses address groups, which this cloud does not have.
func noAddressGroup(_ string, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	return nil, nephos.Errorf(nephos.ErrNotFound, "Address group %s could not be found.", show(v)).WithReason("AddressGroupNotFound")
}

func ethertype(name string, v any) (any, error) {
	s, ok := v.(string)
	if !ok {
		return nil, nephos.Errorf(nephos.ErrInvalid, "Security group rule for ethertype '%s' not supported. Allowed values are ['IPv4', 'IPv6'].", show(v)).
			WithReason("SecurityGroupRuleInvalidEtherType").WithField(name)
	}
	return clip(s, 40), nil
}

// prefix takes an address or a block of them; null is none.
func prefix(name string, v any) (any, error) {
	if v == nil {
		return "", nil
	}
	s, ok := v.(string)
	if !ok {
		return nil, nephos.Errorf(nephos.ErrInvalid, "Invalid CIDR %s given as IP prefix.", show(v)).WithReason("InvalidCIDR").WithField(name)
	}
	return clip(s, 255), nil
}

// securityGroupRule is the resource security group rules.
func (a *api) securityGroupRule() resource[network.SecurityGroupRule] {
	s := a.cfg.Service
	return resource[network.SecurityGroupRule]{
		singular: "security_group_rule", plural: "security_group_rules", path: "security-group-rules",
		attributes: standard(map[string]attribute{
			"security_group_id": needed(groupID), "direction": needed(oneOf("ingress", "egress")), "ethertype": onPost(ethertype),
			"protocol": onPost(protocol), "port_range_min": onPost(portNumber), "port_range_max": onPost(portNumber),
			"remote_ip_prefix": onPost(prefix), "remote_group_id": onPost(remoteGroup), "remote_address_group_id": onPost(noAddressGroup), "normalized_cidr": readOnly(),
		}),
		list: s.ListSecurityGroupRules, show: s.SecurityGroupRule, remove: s.DeleteSecurityGroupRule,
		create: func(ctx context.Context, items []values) ([]network.SecurityGroupRule, error) {
			specs := make([]network.RuleSpec, len(items))
			for i, v := range items {
				specs[i] = network.RuleSpec{
					ProjectID: v.project(), GroupID: plain[string](v, "security_group_id"), Description: plain[string](v, "description"),
					Direction: plain[string](v, "direction"), Ethertype: plain[string](v, "ethertype"), Protocol: plain[string](v, "protocol"),
					PortMin: int64To(get[int64](v, "port_range_min")), PortMax: int64To(get[int64](v, "port_range_max")),
					RemotePrefix: plain[string](v, "remote_ip_prefix"), RemoteGroup: plain[string](v, "remote_group_id"),
				}
			}
			return s.CreateSecurityGroupRules(ctx, specs)
		},
		render: renderRule,
	}
}

func renderRule(_ context.Context, r network.SecurityGroupRule) map[string]any {
	return renderMeta(r.Meta, map[string]any{
		"security_group_id": r.GroupID, "description": r.Description, "direction": r.Direction, "ethertype": r.Ethertype,
		"protocol": orNull(r.Protocol), "port_range_min": r.PortMin, "port_range_max": r.PortMax,
		"remote_ip_prefix": orNull(r.RemotePrefix), "remote_group_id": orNull(r.RemoteGroup),
		"remote_address_group_id": nil, "normalized_cidr": orNull(r.Normalized()),
	})
}
