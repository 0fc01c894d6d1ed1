package network

import (
	"net/netip"
	"slices"
)

// The bounds of Neutron's default configuration.
const (
	maxDNS        = 5
	maxHostRoutes = 20
)

// checkSubnetSpec checks a subnet to create and fills in the defaults.
func checkSubnetSpec(spec *SubnetSpec) error {
	if !spec.CIDR.IsValid() {
		return badRequest("subnets", "a subnetpool must be specified in the absence of a cidr")
	}
	spec.CIDR = spec.CIDR.Masked()
	if spec.IPVersion != 4 && spec.IPVersion != 6 {
		return badAttribute("ip_version", "'%d' is not in [4, 6]", spec.IPVersion)
	}
	if spec.CIDR.Bits() == 0 {
		return invalidInput("cidr", "0 is not allowed as CIDR prefix length")
	}
	if spec.Gateway == nil {
		gw := spec.CIDR.Addr() // of IPv6 the router anycast address, as Neutron has it
		if next := gw.Next(); gw.Is4() && spec.CIDR.Contains(next) {
			gw = next
		}
		spec.Gateway = &gw
	}
	given := len(spec.Pools) > 0
	if !given && spec.CIDR.IsValid() {
		spec.Pools = defaultPools(spec.CIDR, *spec.Gateway)
	}
	sub := Subnet{
		IPVersion: spec.IPVersion, CIDR: spec.CIDR, Gateway: *spec.Gateway, DHCP: or(spec.DHCP, true),
		Pools: spec.Pools, DNS: spec.DNS, Routes: spec.Routes, RAMode: spec.RAMode, AddressMode: spec.AddressMode,
	}
	if err := checkSubnet(&sub, given, true); err != nil {
		return err
	}
	spec.Pools = sub.Pools
	return nil
}

// defaultPools is every address of the block but those of network, broadcast and
// gateway.
func defaultPools(cidr netip.Prefix, gateway netip.Addr) []Pool {
	first, last := cidr.Addr(), lastAddr(cidr)
	if first == last {
		if first == gateway {
			return nil
		}
		return []Pool{{first, last}}
	}
	first = first.Next()
	if cidr.Addr().Is4() {
		last = last.Prev()
	}
	if last.Less(first) {
		return nil
	}
	all := Pool{first, last}
	if !gateway.IsValid() || !all.contains(gateway) {
		return []Pool{all}
	}
	var pools []Pool
	if gateway != first {
		pools = append(pools, Pool{first, gateway.Prev()})
	}
	if gateway != last {
		pools = append(pools, Pool{gateway.Next(), last})
	}
	return pools
}

// lastAddr is the highest address of a block.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// checkSubnet checks what a create or an update leads to.
func checkSubnet(s *Subnet, pools, dhcp bool) error {
	if err := sameVersion(s, s.CIDR.Addr(), "cidr", s.CIDR.String()); err != nil {
		return err
	}
	if s.DHCP && dhcp {
		if err := checkDHCP(s); err != nil {
			return err
		}
	}
	if s.Gateway.IsValid() {
		if err := sameVersion(s, s.Gateway, "gateway_ip", s.Gateway.String()); err != nil {
			return err
		}
		if s.Gateway.Is4() && s.CIDR.Bits() < 31 && (s.Gateway == s.CIDR.Addr() || s.Gateway == lastAddr(s.CIDR)) {
			return invalidInput("gateway_ip", "Gateway is not valid on subnet")
		}
	}
	if len(s.DNS) > maxDNS {
		return invalid("DNSNameServersExhausted", "Unable to complete operation for %s. The number of DNS nameservers exceeds the limit %d.", idOrNew(s), maxDNS)
	}
	for i, d := range s.DNS {
		if slices.Contains(s.DNS[:i], d) {
			return badAttribute("dns_nameservers", "Duplicate nameserver '%s'", d)
		}
		if err := sameVersion(s, d, "dns_nameserver", d.String()); err != nil {
			return err
		}
	}
	if len(s.Routes) > maxHostRoutes {
		return invalid("HostRoutesExhausted", "Unable to complete operation for %s. The number of host routes exceeds the limit %d.", idOrNew(s), maxHostRoutes)
	}
	for i, r := range s.Routes {
		if slices.Contains(s.Routes[:i], r) {
			return badAttribute("host_routes", "Duplicate hostroute '{'destination': '%s', 'nexthop': '%s'}'", r.Destination, r.NextHop)
		}
		if err := sameVersion(s, r.NextHop, "nexthop", r.NextHop.String()); err != nil {
			return err
		}
		if r.Destination.Addr().Is4() != r.NextHop.Is4() || r.NextHop.Is4() != (s.IPVersion == 4) {
			return invalidInput("host_routes", "Invalid route: {'destination': '%s', 'nexthop': '%s'}", r.Destination, r.NextHop)
		}
	}
	if err := checkIPv6(s); err != nil {
		return err
	}
	if pools {
		return checkPools(s)
	}
	return clearOfGateway(s)
}

func idOrNew(s *Subnet) string {
	if s.ID == "" {
		return "new subnet"
	}
	return s.ID
}

func sameVersion(s *Subnet, a netip.Addr, name, value string) error {
	if a.Is4() == (s.IPVersion == 4) && a.Zone() == "" && !a.Is4In6() {
		return nil
	}
	return invalidInput(name, "%s '%s' does not match the ip_version '%d'", name, value, s.IPVersion)
}

func checkDHCP(s *Subnet) error {
	bits := s.CIDR.Bits()
	switch a := s.CIDR.Addr(); {
	case s.IPVersion == 4 && bits > 30, s.IPVersion == 6 && bits > 126:
		return invalidInput("cidr", "Subnet has a prefix length that is incompatible with DHCP service enabled")
	case a.IsMulticast():
		return invalidInput("cidr", "Multicast IP subnet is not supported if enable_dhcp is True")
	case a.IsLoopback():
		return invalidInput("cidr", "Loopback IP subnet is not supported if enable_dhcp is True")
	case a.Is4() && a.IsUnspecified():
		return invalidInput("cidr", "First IP '0.0.0.0' of network is not supported if enable_dhcp is True.")
	}
	return nil
}

var ipv6Modes = []string{"", "dhcpv6-stateful", "dhcpv6-stateless", "slaac"}

func checkIPv6(s *Subnet) error {
	if s.IPVersion == 4 {
		if s.RAMode != "" {
			return invalidInput("ipv6_ra_mode", "ipv6_ra_mode is not valid when ip_version is 4")
		}
		if s.AddressMode != "" {
			return invalidInput("ipv6_address_mode", "ipv6_address_mode is not valid when ip_version is 4")
		}
		return nil
	}
	for name, mode := range map[string]string{"ipv6_ra_mode": s.RAMode, "ipv6_address_mode": s.AddressMode} {
		if !slices.Contains(ipv6Modes, mode) {
			return badAttribute(name, "'%s' is not in ['dhcpv6-stateful', 'dhcpv6-stateless', 'slaac']", mode)
		}
	}
	if s.RAMode == "" && s.AddressMode == "" {
		return nil
	}
	if !s.DHCP {
		if s.ID != "" {
			return invalidInput("enable_dhcp", "Cannot disable enable_dhcp with ipv6 attributes set")
		}
		return invalidInput("enable_dhcp", "ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
	}
	if s.RAMode != "" && s.AddressMode != "" && s.RAMode != s.AddressMode {
		return invalidInput("ipv6_ra_mode", "ipv6_ra_mode set to '%s' with ipv6_address_mode set to '%s' is not valid. If both attributes are set, they must be the same value",
			s.RAMode, s.AddressMode)
	}
	if s.auto() && s.CIDR.Bits() != 64 {
		return invalidInput("cidr", "Invalid CIDR %s for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the prefix to be /64", s.CIDR)
	}
	return nil
}

// maxPools bounds how many ranges a subnet may be cut into.
const maxPools = 256

// checkPools checks pools that a client gave and sorts them.
func checkPools(s *Subnet) error {
	if len(s.Pools) > maxPools {
		return badAttribute("allocation_pools", "at most %d pools are accepted", maxPools)
	}
	for _, p := range s.Pools {
		if p.Start.Is4() != p.End.Is4() || p.Start.Is4() != s.CIDR.Addr().Is4() || p.End.Less(p.Start) || p.Start.Zone()+p.End.Zone() != "" {
			return invalid("InvalidAllocationPool", "The allocation pool {'start': '%s', 'end': '%s'} is not valid.", p.Start, p.End)
		}
		first, last := s.CIDR.Addr(), lastAddr(s.CIDR)
		if s.CIDR.Addr().Is4() && s.CIDR.Bits() < 31 {
			first, last = first.Next(), last.Prev()
		}
		if p.Start.Less(first) || last.Less(p.End) {
			return invalid("OutOfBoundsAllocationPool", "The allocation pool %s spans beyond the subnet cidr %s.", p, s.CIDR)
		}
	}
	slices.SortFunc(s.Pools, func(a, b Pool) int { return a.Start.Compare(b.Start) })
	for i := 1; i < len(s.Pools); i++ {
		if a, b := s.Pools[i-1], s.Pools[i]; !a.End.Less(b.Start) {
			return conflict("OverlappingAllocationPools", "Found overlapping allocation pools: %s %s for subnet %s.", a, b, s.CIDR)
		}
	}
	return clearOfGateway(s)
}

func clearOfGateway(s *Subnet) error {
	for _, p := range s.Pools {
		if s.Gateway.IsValid() && p.contains(s.Gateway) {
			return conflict("GatewayConflictWithAllocationPools", "Gateway ip %s conflicts with allocation pool %s.", s.Gateway, p)
		}
	}
	return nil
}
