package network

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// protocolNumber returns the number of a protocol by name or number.
func protocolNumber(p string) (int, bool) {
	if n, ok := protocols[p]; ok {
		return n, true
	}
	n, err := strconv.Atoi(p)
	return n, err == nil && n >= 0 && n <= 255 && strconv.Itoa(n) == p
}

// ruleOf checks a spec.
func ruleOf(spec RuleSpec) (SecurityGroupRule, error) {
	r := SecurityGroupRule{
		Description: spec.Description, GroupID: spec.GroupID, Direction: spec.Direction, Ethertype: spec.Ethertype,
		Protocol: strings.ToLower(spec.Protocol), PortMin: spec.PortMin, PortMax: spec.PortMax, RemoteGroup: spec.RemoteGroup,
	}
	if r.Direction != "ingress" && r.Direction != "egress" {
		return r, badAttribute("direction", "'%s' is not in ['ingress', 'egress']", spec.Direction)
	}
	switch strings.ToLower(r.Ethertype) {
	case "", "ipv4":
		r.Ethertype = "IPv4"
	case "ipv6":
		r.Ethertype = "IPv6"
	default:
		return r, invalid("SecurityGroupRuleInvalidEtherType", "Security group rule for ethertype '%s' not supported. Allowed values are ['IPv4', 'IPv6'].", spec.Ethertype)
	}
	if r.Protocol == "any" || r.Protocol == "0" {
		r.Protocol = ""
	}
	if r.Protocol != "" {
		if _, ok := protocolNumber(r.Protocol); !ok {
			return r, invalid("SecurityGroupRuleInvalidProtocol", "Security group rule protocol %s not supported. Only protocol values %s and integer representations [0 to 255] are supported.",
				spec.Protocol, protocolNames())
		}
	}
	if err := r.settleProtocol(); err != nil {
		return r, err
	}
	if err := r.checkPorts(); err != nil {
		return r, err
	}
	if spec.RemotePrefix != "" {
		if r.RemoteGroup != "" {
			return r, invalid("SecurityGroupMultipleRemoteEntites", "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.")
		}
		p, err := parsePrefix(spec.RemotePrefix)
		if err != nil {
			return r, invalid("InvalidCIDR", "Invalid CIDR %s given as IP prefix.", spec.RemotePrefix)
		}
		if p.Addr().Is4() != (r.Ethertype == "IPv4") {
			return r, invalid("SecurityGroupRuleParameterConflict", "Conflicting value ethertype %s for CIDR %s", r.Ethertype, p)
		}
		r.RemotePrefix = p.String()
	}
	r.Sameness = r.sameness()
	return r, nil
}

// parsePrefix reads a prefix, or an address as a prefix of its full length.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

func protocolNames() string {
	names := make([]string, 0, len(protocols))
	for n := range protocols {
		names = append(names, "'"+n+"'")
	}
	slices.Sort(names)
	return "[None, " + strings.Join(names, ", ") + "]"
}

// settleProtocol holds protocol and ethertype against each other.
func (r *SecurityGroupRule) settleProtocol() error {
	if r.Ethertype == "IPv6" {
		if r.Protocol == "icmp" || r.Protocol == "icmpv6" || r.Protocol == "58" || r.Protocol == "1" {
			r.Protocol = "ipv6-icmp"
		}
		return nil
	}
	if strings.HasPrefix(r.Protocol, "ipv6-") || r.Protocol == "icmpv6" || r.Protocol == "58" {
		return invalid("SecurityGroupEthertypeConflictWithProtocol", "Invalid ethertype %s for protocol %s.", r.Ethertype, r.Protocol)
	}
	return nil
}

// checkPorts checks the port range, or ICMP's type and code.
func (r *SecurityGroupRule) checkPorts() error {
	lo, hi := r.PortMin, r.PortMax
	if lo == nil && hi == nil {
		return nil
	}
	if r.Protocol == "" {
		return invalid("SecurityGroupProtocolRequiredWithPorts", "Must also specify protocol if port range is given.")
	}
	number, _ := protocolNumber(r.Protocol)
	switch number {
	case protocols["icmp"], protocols["ipv6-icmp"]:
		for _, v := range []struct {
			field, attribute string
			value            *int
		}{{"type", "port_range_min", lo}, {"code", "port_range_max", hi}} {
			if v.value != nil && (*v.value < 0 || *v.value > 255) {
				return invalid("SecurityGroupInvalidIcmpValue", "Invalid value for ICMP %s (%s) %d. It must be 0 to 255.", v.field, v.attribute, *v.value)
			}
		}
		if lo == nil {
			return invalid("SecurityGroupMissingIcmpType", "ICMP code (port-range-max) %d is provided but ICMP type (port-range-min) is missing.", *hi)
		}
		return nil
	case protocols["tcp"], protocols["udp"], protocols["sctp"], protocols["dccp"], protocols["udplite"]:
		for _, v := range []*int{lo, hi} {
			if v != nil && (*v < 1 || *v > 65535) {
				return invalid("SecurityGroupInvalidPortValue", "Invalid value for port %d", *v)
			}
		}
		if lo == nil || hi == nil || *lo > *hi {
			return invalid("SecurityGroupInvalidPortRange", "For TCP/UDP protocols, port_range_min must be <= port_range_max")
		}
		if *lo == 1 && *hi == 65535 {
			r.PortMin, r.PortMax = nil, nil // every port there is
		}
		return nil
	}
	return invalid("SecurityGroupInvalidProtocolForPort", "Ports cannot be specified for protocol %s. Ports are only supported for %s.",
		strconv.Itoa(number), "DCCP, SCTP, TCP, UDP, UDPLITE")
}
