package neutron

import (
	"context"

	"github.com/nephos-cloud/nephos/network"
)

// network is the resource networks.
func (a *api) network() resource[network.Network] {
	s := a.cfg.Service
	return resource[network.Network]{
		singular: "network", plural: "networks", path: "networks",
		attributes: standard(map[string]attribute{
			"name": both(text(255)), "admin_state_up": both(boolean), "shared": both(boolean), "router:external": both(boolean),
			"is_default": both(boolean), "mtu": both(integer(0, 1<<31-1)), "port_security_enabled": both(boolean),
			"provider:network_type": both(networkType), "provider:physical_network": both(optional(text(64))),
			"provider:segmentation_id": both(optional(integer(-1<<31, 1<<31-1))),
			"availability_zone_hints":  onPost(zoneHints),
			"status":                   readOnly(), "subnets": readOnly(), "availability_zones": readOnly(),
		}),
		list: s.ListNetworks, show: s.Network, remove: s.DeleteNetwork,
		create: func(ctx context.Context, items []values) ([]network.Network, error) {
			specs := make([]network.NetworkSpec, len(items))
			for i, v := range items {
				specs[i] = network.NetworkSpec{
					ProjectID: v.project(), Name: plain[string](v, "name"), Description: plain[string](v, "description"),
					AdminUp: get[bool](v, "admin_state_up"), Shared: get[bool](v, "shared"), External: get[bool](v, "router:external"),
					IsDefault: get[bool](v, "is_default"), PortSecurity: get[bool](v, "port_security_enabled"), MTU: int64To(get[int64](v, "mtu")),
					Provider: provider(v), ZoneHints: plain[[]string](v, "availability_zone_hints"),
				}
			}
			return s.CreateNetworks(ctx, specs)
		},
		update: func(ctx context.Context, id string, v values) (network.Network, error) {
			return s.UpdateNetwork(ctx, id, network.NetworkUpdate{
				Name: get[string](v, "name"), Description: get[string](v, "description"), AdminUp: get[bool](v, "admin_state_up"),
				Shared: get[bool](v, "shared"), External: get[bool](v, "router:external"), IsDefault: get[bool](v, "is_default"),
				PortSecurity: get[bool](v, "port_security_enabled"), MTU: int64To(get[int64](v, "mtu")), Provider: provider(v),
			})
		},
		render: a.renderNetwork,
	}
}

// zoneHints takes names of availability zones.
func zoneHints(name string, v any) (any, error) {
	hints, err := listOf[string](text(1<<16))(name, v)
	if list, ok := v.([]any); err == nil && ok && len(python(list)) > 255 {
		err = invalidInput(name, "Too many availability_zone_hints specified")
	}
	return hints, err
}

// networkType takes the type of a segment; the empty one is none that there is.
func networkType(name string, v any) (any, error) {
	if v == "" {
		return nil, invalidInput(name, "network_type value '' not supported")
	}
	return text(32)(name, v)
}

// provider returns what the request says of the segment, nil if nothing.
func provider(v values) *network.Provider {
	p := network.Provider{
		Type: plain[string](v, "provider:network_type"), PhysicalNetwork: plain[string](v, "provider:physical_network"),
		SegmentationID: get[int64](v, "provider:segmentation_id"),
	}
	if p == (network.Provider{}) {
		return nil
	}
	return &p
}

func (a *api) renderNetwork(ctx context.Context, n network.Network) map[string]any {
	m := renderMeta(n.Meta, map[string]any{
		"name": n.Name, "description": n.Description, "admin_state_up": n.AdminUp, "status": n.Status(), "shared": n.Shared,
		"router:external": n.External, "mtu": n.MTU, "port_security_enabled": n.PortSecurity, "subnets": emptyList(n.SubnetIDs),
		"availability_zone_hints": emptyList(n.ZoneHints), "availability_zones": emptyList(n.Zones),
		"provider:network_type": n.NetworkType, "provider:physical_network": orNull(n.PhysicalNetwork), "provider:segmentation_id": nil,
	})
	if n.SegmentationID != 0 {
		m["provider:segmentation_id"] = n.SegmentationID
	}
	if n.External {
		m["is_default"] = n.IsDefault
	}
	m["ipv4_address_scope"], m["ipv6_address_scope"] = nil, nil
	a.hide(ctx, "network", n.ProjectID, m,
		"provider:network_type", "provider:physical_network", "provider:segmentation_id")
	return m
}
