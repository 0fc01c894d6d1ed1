package neutron

import (
	"context"
	"net/netip"

	"github.com/nephos-cloud/nephos/network"
)

// floatingIP is the resource floating IPs.
func (a *api) floatingIP() resource[network.FloatingIP] {
	s := a.cfg.Service
	return resource[network.FloatingIP]{
		singular: "floatingip", plural: "floatingips", path: "floatingips",
		attributes: standard(map[string]attribute{
			"floating_network_id": needed(uuid), "subnet_id": onPost(uuidOrNone), "floating_ip_address": onPost(addressOrNone),
			"port_id": both(uuidOrNone), "fixed_ip_address": both(addressOrNone),
			"router_id": readOnly(), "status": readOnly(), "port_details": readOnly(),
		}),
		list: s.ListFloatingIPs, show: s.FloatingIP, remove: s.DeleteFloatingIP,
		create: func(ctx context.Context, items []values) ([]network.FloatingIP, error) {
			specs := make([]network.FloatingIPSpec, len(items))
			for i, v := range items {
				specs[i] = network.FloatingIPSpec{
					ProjectID: v.project(), Description: plain[string](v, "description"), NetworkID: plain[string](v, "floating_network_id"),
					SubnetID: plain[string](v, "subnet_id"), Address: plain[netip.Addr](v, "floating_ip_address"),
					PortID: plain[string](v, "port_id"), FixedAddress: plain[netip.Addr](v, "fixed_ip_address"),
				}
			}
			return s.CreateFloatingIPs(ctx, specs)
		},
		update: func(ctx context.Context, id string, v values) (network.FloatingIP, error) {
			return s.UpdateFloatingIP(ctx, id, network.FloatingIPUpdate{
				Description: get[string](v, "description"), PortID: get[string](v, "port_id"), FixedAddress: get[netip.Addr](v, "fixed_ip_address"),
			})
		},
		render: renderFloatingIP,
	}
}

func renderFloatingIP(_ context.Context, f network.FloatingIP) map[string]any {
	m := renderMeta(f.Meta, map[string]any{
		"description": f.Description, "floating_network_id": f.NetworkID, "floating_ip_address": f.Address.String(),
		"port_id": orNull(f.PortID), "fixed_ip_address": orNoAddress(f.FixedAddress), "router_id": orNull(f.RouterID),
		"status": f.Status, "port_details": nil,
	})
	if d := f.PortDetails; d != nil {
		m["port_details"] = map[string]any{
			"name": d.Name, "network_id": d.NetworkID, "mac_address": d.MAC, "admin_state_up": d.AdminUp, "status": d.Status,
			"device_id": d.DeviceID, "device_owner": d.DeviceOwner,
		}
	}
	return m
}
