package neutron

import (
	"context"
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi/schema"
	"github.com/nephos-cloud/nephos/network"
)

var (
	fixedIP = object("fixed IP", map[string]converter{"subnet_id": uuid, "ip_address": address}, func(name string, v values) (any, error) {
		return network.FixedIP{SubnetID: plain[string](v, "subnet_id"), IP: plain[netip.Addr](v, "ip_address")}, nil
	})
	addressPair = object("address pair", map[string]converter{"ip_address": addressOrPrefix, "mac_address": optional(pairMAC)}, func(name string, v values) (any, error) {
		p := network.AddressPair{IP: plain[netip.Prefix](v, "ip_address"), MAC: plain[string](v, "mac_address")}
		if !p.IP.IsValid() {
			return nil, nephos.Errorf(nephos.ErrInvalid, "AllowedAddressPair must contain ip_address").WithReason("AllowedAddressPairsMissingIP").WithField(name)
		}
		return p, nil
	})
)

// dhcpOption takes one option; its value may be null, which takes it away.
func dhcpOption(name string, v any) (any, error) {
	no := invalidInput(name, "No valid key specs matched for: %s", show(v))
	m, ok := v.(map[string]any)
	if !ok {
		return nil, no
	}
	o := network.DHCPOption{IPVersion: 4}
	value, given := m["opt_value"]
	if o.Name, ok = m["opt_name"].(string); !ok || o.Name == "" || len(o.Name) > 64 || !given {
		return nil, no
	}
	if o.Value, ok = value.(string); value != nil && (!ok || len(o.Value) > 255) {
		return nil, no
	}
	known := 2
	if version, ok := m["ip_version"]; ok {
		known++
		n, err := integer(4, 6)(name, version)
		if err != nil || n == int64(5) {
			return nil, no
		}
		o.IPVersion = int(n.(int64))
	}
	if len(m) != known {
		return nil, no
	}
	return o, nil
}

// dhcpOptions takes options, none twice.
func dhcpOptions(name string, v any) (any, error) {
	list, ok := v.([]any)
	if !ok && v != nil {
		return nil, invalidInput(name, "'%s' is not a list", show(v))
	}
	for i, e := range list {
		for _, other := range list[:i] {
			if reflect.DeepEqual(e, other) {
				return nil, invalidInput(name, "Duplicate items in the list: '%s'", show(e))
			}
		}
	}
	return listOf[network.DHCPOption](dhcpOption)(name, v)
}

// groups takes ids of security groups, none twice.
func groups(name string, v any) (any, error) {
	list, _ := v.([]any)
	for i, e := range list {
		if slices.Contains(list[:i], e) {
			return nil, invalidValue(name, "Duplicate items in the list: '%s'", show(e))
		}
	}
	return listOf[string](uuid)(name, v)
}

// addressPairs takes further addresses that a port may send from.
func addressPairs(name string, v any) (any, error) {
	list, ok := v.([]any)
	if !ok && v != nil {
		return nil, badRequest("Allowed address pairs must be a list.")
	}
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return nil, invalidValue(name, "'%s' is not a dictionary", show(e))
		}
		for _, k := range sorted(m) {
			if k != "ip_address" && k != "mac_address" {
				return nil, badRequest("Unrecognized attribute(s) '%s'", clip(k, 64))
			}
		}
	}
	return listOf[network.AddressPair](addressPair)(name, v)
}

func addressOrPrefix(name string, v any) (any, error) {
	s, _ := v.(string)
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return nil, badRequest("'%s' is not a valid IP address", show(v))
	}
	return p, nil
}

// pairMAC takes the Ethernet address of an address pair.
func pairMAC(name string, v any) (any, error) {
	m, err := mac(name, v)
	if err != nil {
		err = badRequest("'%s' is not a valid MAC address", show(v))
	}
	return m, err
}

// profile takes any object of moderate size.
func profile(name string, v any) (any, error) {
	if v == nil {
		return map[string]any{}, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, invalidValue(name, "'%s' is not a dictionary", show(v))
	}
	if b, err := json.Marshal(v); err != nil || len(b) > 4095 || !(schema.Limits{Depth: 64}).Keepable(m) || !schema.Finite(m) {
		return nil, invalidInput(name, "binding:profile value is not an object of at most 4095 bytes")
	}
	return m, nil
}

var vnicTypes = []string{"normal", "direct", "macvtap", "baremetal", "direct-physical", "virtio-forwarder", "smart-nic", "vdpa", "accelerator-direct", "accelerator-direct-physical", "remote-managed"}

// port is the resource ports.
func (a *api) port() resource[network.Port] {
	s := a.cfg.Service
	return resource[network.Port]{
		singular: "port", plural: "ports", path: "ports",
		attributes: standard(map[string]attribute{
			"name": both(text(255)), "network_id": needed(uuid), "mac_address": both(optional(mac)), "admin_state_up": both(boolean),
			"fixed_ips": both(listFor[network.FixedIP]("fixed IP", fixedIP)), "device_id": both(text(255)), "device_owner": both(text(255)),
			"security_groups": both(groups), "port_security_enabled": both(boolean),
			"allowed_address_pairs": both(addressPairs), "extra_dhcp_opts": both(dhcpOptions),
			"binding:host_id": both(textOrNone(255)), "binding:vnic_type": both(oneOf(vnicTypes...)), "binding:profile": both(profile),
			"binding:vif_type": readOnly(), "binding:vif_details": readOnly(), "status": readOnly(),
			"tags": onPost(listOf[string](text(255))),
		}),
		list: s.ListPorts, show: s.Port, remove: s.DeletePort,
		create: func(ctx context.Context, items []values) ([]network.Port, error) {
			specs := make([]network.PortSpec, len(items))
			for i, v := range items {
				specs[i] = network.PortSpec{
					ProjectID: v.project(), NetworkID: plain[string](v, "network_id"), Name: plain[string](v, "name"),
					Description: plain[string](v, "description"), MAC: plain[string](v, "mac_address"), AdminUp: get[bool](v, "admin_state_up"),
					DeviceID: plain[string](v, "device_id"), DeviceOwner: plain[string](v, "device_owner"), FixedIPs: get[[]network.FixedIP](v, "fixed_ips"),
					SecurityGroups: get[[]string](v, "security_groups"), PortSecurity: get[bool](v, "port_security_enabled"),
					AllowedPairs: plain[[]network.AddressPair](v, "allowed_address_pairs"), DHCPOptions: plain[[]network.DHCPOption](v, "extra_dhcp_opts"),
					Host: plain[string](v, "binding:host_id"), VNICType: plain[string](v, "binding:vnic_type"),
					Profile: plain[map[string]any](v, "binding:profile"), Tags: plain[[]string](v, "tags"),
				}
			}
			return s.CreatePorts(ctx, specs)
		},
		update: func(ctx context.Context, id string, v values) (network.Port, error) {
			return s.UpdatePort(ctx, id, network.PortUpdate{
				Name: get[string](v, "name"), Description: get[string](v, "description"), MAC: get[string](v, "mac_address"),
				AdminUp: get[bool](v, "admin_state_up"), DeviceID: get[string](v, "device_id"), DeviceOwner: get[string](v, "device_owner"),
				FixedIPs: get[[]network.FixedIP](v, "fixed_ips"), SecurityGroups: get[[]string](v, "security_groups"),
				PortSecurity: get[bool](v, "port_security_enabled"), AllowedPairs: get[[]network.AddressPair](v, "allowed_address_pairs"),
				DHCPOptions: plain[[]network.DHCPOption](v, "extra_dhcp_opts"), Host: get[string](v, "binding:host_id"),
				VNICType: get[string](v, "binding:vnic_type"), Profile: get[map[string]any](v, "binding:profile"),
			})
		},
		render: a.renderPort,
	}
}

func (a *api) renderPort(ctx context.Context, p network.Port) map[string]any {
	pairs := make([]map[string]string, len(p.AllowedPairs))
	for i, x := range p.AllowedPairs {
		ip := x.IP.String()
		if x.IP.IsSingleIP() {
			ip = x.IP.Addr().String()
		}
		m := x.MAC
		if m == "" {
			m = p.MAC
		}
		pairs[i] = map[string]string{"ip_address": ip, "mac_address": m}
	}
	options := make([]map[string]any, len(p.DHCPOptions))
	for i, o := range p.DHCPOptions {
		options[i] = map[string]any{"opt_name": o.Name, "opt_value": o.Value, "ip_version": o.IPVersion}
	}
	details := map[string]any{}
	if p.Host != "" {
		details = map[string]any{"port_filter": p.PortSecurity, "connectivity": "l2"}
	}
	m := renderMeta(p.Meta, map[string]any{
		"name": p.Name, "description": p.Description, "network_id": p.NetworkID, "mac_address": p.MAC, "admin_state_up": p.AdminUp,
		"status": p.Status, "device_id": p.DeviceID, "device_owner": p.DeviceOwner, "fixed_ips": renderFixedIPs(p.FixedIPs),
		"security_groups": emptyList(p.SecurityGroups), "port_security_enabled": p.PortSecurity, "allowed_address_pairs": pairs,
		"extra_dhcp_opts": options, "binding:host_id": p.Host, "binding:vnic_type": p.VNICType, "binding:vif_type": p.VIFType,
		"binding:vif_details": details, "binding:profile": p.Profile,
	})
	if p.DeviceOwner == network.OwnerFloatingIP {
		m["status"] = "N/A"
	}
	a.hide(ctx, "port", p.ProjectID, m,
		"binding:vif_type", "binding:vif_details", "binding:host_id", "binding:profile")
	return m
}

func renderFixedIPs(in []network.FixedIP) []map[string]string {
	out := make([]map[string]string, len(in))
	for i, f := range in {
		out[i] = map[string]string{"subnet_id": f.SubnetID, "ip_address": f.IP.String()}
	}
	return out
}
