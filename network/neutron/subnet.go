package neutron

import (
	"context"
	"net/netip"
	"reflect"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/network"
)

var (
	pool = pair("start", "end", map[string]converter{"start": address, "end": address}, func(_ string, v values) (any, error) {
		return network.Pool{Start: plain[netip.Addr](v, "start"), End: plain[netip.Addr](v, "end")}, nil
	})
	route = pair("destination", "nexthop", map[string]converter{"destination": destination, "nexthop": address}, func(_ string, v values) (any, error) {
		return network.Route{Destination: plain[netip.Prefix](v, "destination"), NextHop: plain[netip.Addr](v, "nexthop")}, nil
	})
	ipv6Mode = optional(oneOf("dhcpv6-stateful", "dhcpv6-stateless", "slaac"))
)

// routeList takes routes; null is none.
func routeList(name string, v any) (any, error) {
	if v == nil {
		return []network.Route{}, nil
	}
	list, _ := v.([]any)
	for i, e := range list {
		for _, other := range list[:i] {
			if reflect.DeepEqual(e, other) {
				return nil, invalidValue(name, "Duplicate hostroute '%s'", show(e))
			}
		}
	}
	return listFor[network.Route]("hostroute", route)(name, v)
}

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
		if _, err := uuid(name, v); err != nil {
			return nil, err
		}
		return nil, nephos.Errorf(nephos.ErrNotFound, "Subnet pool %s could not be found.", show(v)).WithReason("SubnetPoolNotFound")
	}
	if name == "use_default_subnetpool" {
		if use, err := boolean(name, v); err != nil || use == false {
			return nil, err
		}
		return nil, nephos.Errorf(nephos.ErrInvalid, "Bad subnets request: No default subnetpool found.").WithReason("BadRequest")
	}
	return integer(0, 128)(name, v) // prefixlen, which says how much to take from a pool
}

// noServiceTypes takes the empty list: a subnet is for ports of every kind.
func noServiceTypes(name string, v any) (any, error) {
	if list, ok := v.([]any); ok && len(list) == 0 || v == nil {
		return nil, nil
	}
	return nil, invalidInput(name, "Subnets are for ports of every kind")
}

// subnet is the resource subnets.
func (a *api) subnet() resource[network.Subnet] {
	s := a.cfg.Service
	return resource[network.Subnet]{
		singular: "subnet", plural: "subnets", path: "subnets",
		attributes: standard(map[string]attribute{
			"name": both(text(255)), "network_id": needed(uuid), "ip_version": needed(integer(4, 6)), "cidr": onPost(optional(cidr)),
			"gateway_ip": both(addressOrNone), "enable_dhcp": both(boolean), "allocation_pools": both(listFor[network.Pool]("IP pool", pool)),
			"dns_nameservers": both(listOf[netip.Addr](nameserver)), "host_routes": both(routeList),
			"ipv6_ra_mode": onPost(ipv6Mode), "ipv6_address_mode": onPost(ipv6Mode),
			"subnetpool_id": onPost(noPool), "prefixlen": onPost(noPool), "use_default_subnetpool": onPost(noPool), "service_types": both(noServiceTypes), "shared": readOnly(),
		}),
		list: s.ListSubnets, show: s.Subnet, remove: s.DeleteSubnet,
		create: func(ctx context.Context, items []values) ([]network.Subnet, error) {
			specs := make([]network.SubnetSpec, len(items))
			for i, v := range items {
				if get[int64](v, "prefixlen") != nil && get[netip.Prefix](v, "cidr") != nil {
					return nil, nephos.Errorf(nephos.ErrInvalid, "Bad subnets request: cidr and prefixlen must not be supplied together.").WithReason("BadRequest")
				}
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
		"service_types": []string{},
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
