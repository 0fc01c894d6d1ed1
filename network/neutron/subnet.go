package neutron

import (
	"context"
	"net/netip"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/network"
)

var (
	pool = object("IP pool", map[string]converter{"start": address, "end": address}, func(name string, v values) (any, error) {
		p := network.Pool{Start: plain[netip.Addr](v, "start"), End: plain[netip.Addr](v, "end")}
		if !p.Start.IsValid() || !p.End.IsValid() {
			return nil, invalidValue(name, "Invalid data format for IP pool: '%s'", show(map[string]any(v)))
		}
		return p, nil
	})
	route = object("hostroute", map[string]converter{"destination": cidr, "nexthop": address}, func(name string, v values) (any, error) {
		r := network.Route{Destination: plain[netip.Prefix](v, "destination"), NextHop: plain[netip.Addr](v, "nexthop")}
		if !r.Destination.IsValid() || !r.NextHop.IsValid() {
			return nil, invalidValue(name, "Invalid data format for hostroute: '%s'", show(map[string]any(v)))
		}
		return r, nil
	})
	ipv6Mode = optional(oneOf("dhcpv6-stateful", "dhcpv6-stateless", "slaac"))
)

// nameserver takes the addresses of name servers.
func nameserver(name string, v any) (any, error) {
	a, err := address(name, v)
	if err != nil {
		return nil, invalidValue(name, "'%s' is not a valid nameserver. '%s' is not a valid IP address", show(v), show(v))
	}
	return a, nil
}

// noPool refuses subnet pools, which this cloud does not have.
func noPool(name string, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	if name == "subnetpool_id" {
		return nil, nephos.Errorf(nephos.ErrNotFound, "Subnet pool %s could not be found.", show(v)).WithReason("SubnetPoolNotFound")
	}
	return nil, badRequest("Unrecognized attribute(s) '%s'", name)
}

// subnet is the resource subnets.
func (a *api) subnet() resource[network.Subnet] {
	s := a.cfg.Service
	return resource[network.Subnet]{
		singular: "subnet", plural: "subnets", path: "subnets",
		attributes: standard(map[string]attribute{
			"name": both(text(255)), "network_id": needed(uuid), "ip_version": needed(integer(4, 6)), "cidr": onPost(optional(cidr)),
			"gateway_ip": both(addressOrNone), "enable_dhcp": both(boolean), "allocation_pools": both(optional(listOf[network.Pool](pool))),
			"dns_nameservers": both(listOf[netip.Addr](nameserver)), "host_routes": both(listOf[network.Route](route)),
			"ipv6_ra_mode": onPost(ipv6Mode), "ipv6_address_mode": onPost(ipv6Mode),
			"subnetpool_id": onPost(noPool), "prefixlen": onPost(noPool), "shared": readOnly(),
		}),
		list: s.ListSubnets, show: s.Subnet, remove: s.DeleteSubnet,
		create: func(ctx context.Context, items []values) ([]network.Subnet, error) {
			specs := make([]network.SubnetSpec, len(items))
			for i, v := range items {
				specs[i] = network.SubnetSpec{
					ProjectID: v.project(), NetworkID: plain[string](v, "network_id"), Name: plain[string](v, "name"),
					Description: plain[string](v, "description"), IPVersion: int(plain[int64](v, "ip_version")), CIDR: plain[netip.Prefix](v, "cidr"),
					Gateway: get[netip.Addr](v, "gateway_ip"), DHCP: get[bool](v, "enable_dhcp"), Pools: plain[[]network.Pool](v, "allocation_pools"),
					DNS: plain[[]netip.Addr](v, "dns_nameservers"), Routes: plain[[]network.Route](v, "host_routes"),
					RAMode: plain[string](v, "ipv6_ra_mode"), AddressMode: plain[string](v, "ipv6_address_mode"),
				}
			}
			return s.CreateSubnets(ctx, specs)
		},
		update: func(ctx context.Context, id string, v values) (network.Subnet, error) {
			return s.UpdateSubnet(ctx, id, network.SubnetUpdate{
				Name: get[string](v, "name"), Description: get[string](v, "description"), Gateway: get[netip.Addr](v, "gateway_ip"),
				DHCP: get[bool](v, "enable_dhcp"), Pools: get[[]network.Pool](v, "allocation_pools"),
				DNS: get[[]netip.Addr](v, "dns_nameservers"), Routes: get[[]network.Route](v, "host_routes"),
			})
		},
		render: renderSubnet,
	}
}

func renderSubnet(_ context.Context, s network.Subnet) map[string]any {
	pools := make([]map[string]string, len(s.Pools))
	for i, p := range s.Pools {
		pools[i] = map[string]string{"start": p.Start.String(), "end": p.End.String()}
	}
	return renderMeta(s.Meta, map[string]any{
		"name": s.Name, "description": s.Description, "network_id": s.NetworkID, "ip_version": s.IPVersion, "cidr": s.CIDR.String(),
		"gateway_ip": orNoAddress(s.Gateway), "enable_dhcp": s.DHCP, "allocation_pools": pools, "dns_nameservers": emptyList(s.DNS),
		"host_routes": renderRoutes(s.Routes), "ipv6_ra_mode": orNull(s.RAMode), "ipv6_address_mode": orNull(s.AddressMode), "subnetpool_id": nil,
	})
}

func renderRoutes(routes []network.Route) []map[string]string {
	out := make([]map[string]string, len(routes))
	for i, r := range routes {
		out[i] = map[string]string{"destination": r.Destination.String(), "nexthop": r.NextHop.String()}
	}
	return out
}

// orNoAddress writes the invalid address as null.
func orNoAddress(a netip.Addr) any {
	if !a.IsValid() {
		return nil
	}
	return a.String()
}
