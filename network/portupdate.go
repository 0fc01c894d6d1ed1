package network

import (
	"context"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos/store"
)

// UpdatePort implements [Ports].
func (s *Service) UpdatePort(ctx context.Context, id string, u PortUpdate) (Port, error) {
	p, n, err := s.portAndNetwork(ctx, id)
	if err != nil {
		return p, err
	}
	target := portTarget(p, n)
	if u.DeviceOwner != nil {
		target["device_owner"] = *u.DeviceOwner
	}
	if err := s.allow(ctx, target, "update_port", updatePortRules(u)...); err != nil {
		return p, err
	}
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if p, err = s.ports().current(ctx, tx, id); err != nil {
			return err
		}
		return s.applyPort(ctx, tx, &p, u)
	})
	return p, err
}

func updatePortRules(u PortUpdate) []string {
	var names []string
	add := func(name string, given bool) {
		if given {
			names = append(names, name)
		}
	}
	add("device_owner", u.DeviceOwner != nil)
	add("mac_address", u.MAC != nil)
	if u.FixedIPs != nil {
		add("fixed_ips", true)
		add("fixed_ips:ip_address", slices.ContainsFunc(*u.FixedIPs, func(f FixedIP) bool { return f.IP.IsValid() }))
		add("fixed_ips:subnet_id", slices.ContainsFunc(*u.FixedIPs, func(f FixedIP) bool { return f.SubnetID != "" }))
	}
	add("port_security_enabled", u.PortSecurity != nil)
	add("binding:host_id", u.Host != nil)
	add("binding:profile", u.Profile != nil)
	add("binding:vnic_type", u.VNICType != nil)
	add("allowed_address_pairs", u.AllowedPairs != nil)
	return names
}

// applyPort writes an update of a port.
func (s *Service) applyPort(ctx context.Context, tx *store.Tx, p *Port, u PortUpdate) error {
	old, device := slices.Clone(p.SecurityGroups), p.DeviceID
	set(&p.Name, u.Name)
	set(&p.Description, u.Description)
	set(&p.AdminUp, u.AdminUp)
	set(&p.DeviceID, u.DeviceID)
	set(&p.DeviceOwner, u.DeviceOwner)
	set(&p.PortSecurity, u.PortSecurity)
	set(&p.AllowedPairs, u.AllowedPairs)
	set(&p.VNICType, u.VNICType)
	if u.Profile != nil {
		p.Profile = *u.Profile
		if p.Profile == nil {
			p.Profile = map[string]any{}
		}
	}
	p.DHCPOptions = mergeDHCP(p.DHCPOptions, u.DHCPOptions)
	if u.MAC != nil && !strings.EqualFold(*u.MAC, p.MAC) {
		if err := checkMAC(*u.MAC); err != nil {
			return err
		}
		if p.Host != "" {
			return conflict("PortBound", "Unable to complete operation on port %s, port is already bound, port type: %s, old_mac %s, new_mac %s.", p.ID, p.VIFType, p.MAC, *u.MAC)
		}
		p.MAC = strings.ToLower(*u.MAC)
	}
	if u.Host != nil && *u.Host != p.Host {
		s.bind(p, *u.Host)
	}
	if err := checkPairs(*p); err != nil {
		return err
	}
	if !p.PortSecurity && u.SecurityGroups == nil && len(p.SecurityGroups) > 0 {
		return conflict("PortSecurityPortHasSecurityGroup", "Port has security group associated. Cannot disable port security or IP address until security group is removed.")
	}
	if u.SecurityGroups != nil {
		groups, err := s.groupsFor(ctx, tx, p, u.SecurityGroups)
		if err != nil {
			return err
		}
		if !slices.Equal(groups, p.SecurityGroups) {
			if _, err := tx.NewRaw("DELETE FROM network_port_groups WHERE port_id = ?", p.ID).Exec(ctx); err != nil {
				return err
			}
			if err := setGroups(ctx, tx, p, groups); err != nil {
				return err
			}
		}
	}
	if u.FixedIPs != nil {
		subnets, err := subnetsOf(ctx, tx, p.NetworkID)
		if err != nil {
			return err
		}
		if err := s.readdress(ctx, tx, p, subnets, *u.FixedIPs); err != nil {
			return err
		}
	}
	p.touch(tx.Now())
	if _, err := tx.NewUpdate().Model(&portRow{Port: *p}).WherePK().Exec(ctx); err != nil {
		if store.UniqueViolation(err) {
			return conflict("MacAddressInUse", "Unable to complete operation for network %s. The mac address %s is in use.", p.NetworkID, p.MAC)
		}
		return err
	}
	event := portEvent(*p)
	if device != p.DeviceID && device != "" {
		// The device that has lost the port hears of it, too.
		event["device_ids"], event["device_owner"] = []string{device}, ""
	}
	if err := emit(ctx, tx, "port.update", p.Meta, event); err != nil {
		return err
	}
	return s.portChanged(ctx, tx, *p, append(old, p.SecurityGroups...))
}

// mergeDHCP replaces options by name; an empty value removes one.
func mergeDHCP(have, change []DHCPOption) []DHCPOption {
	out := slices.Clone(have)
	for _, c := range change {
		out = slices.DeleteFunc(out, func(o DHCPOption) bool { return o.Name == c.Name && o.IPVersion == c.IPVersion })
		if c.Value != "" {
			out = append(out, c)
		}
	}
	return nonNil(out)
}
