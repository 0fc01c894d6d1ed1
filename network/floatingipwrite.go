package network

import (
	"context"
	"net/netip"
	"slices"

	"github.com/nephos-cloud/nephos/store"
)

// UpdateFloatingIP implements [FloatingIPs].
func (s *Service) UpdateFloatingIP(ctx context.Context, id string, u FloatingIPUpdate) (FloatingIP, error) {
	f, err := s.FloatingIP(ctx, id)
	if err != nil {
		return f, err
	}
	if err := s.allow(ctx, owned(f.ProjectID), "update_floatingip"); err != nil {
		return f, err
	}
	if u.PortID != nil {
		if err := s.checkTarget(ctx, f.ProjectID, *u.PortID); err != nil {
			return f, err
		}
	}
	if u == (FloatingIPUpdate{}) {
		u.PortID = new(string) // as the reference has it: leaving all out unmaps
	}
	if u.FixedAddress != nil && u.FixedAddress.IsValid() && (u.PortID == nil || *u.PortID == "") {
		return f, badRequest("floatingip", "fixed_ip_address cannot be specified without a port_id")
	}
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if f, err = s.floatingIPs().current(ctx, tx, id); err != nil {
			return err
		}
		oldPort, oldRouter := f.PortID, f.RouterID
		set(&f.Description, u.Description)
		port := or(u.PortID, f.PortID)
		switch {
		case u.PortID == nil && u.FixedAddress == nil:
		case port == "":
			f.unmap()
		default:
			if err := s.mapFloatingIP(ctx, tx, &f, port, or(u.FixedAddress, netip.Addr{})); err != nil {
				return err
			}
		}
		f.touch(tx.Now())
		if err := s.writeFloatingIP(ctx, tx, f, oldPort); err != nil {
			return err
		}
		return s.toldRouters(ctx, tx, oldRouter, f.RouterID)
	})
	if err != nil {
		return f, err
	}
	fips := []FloatingIP{f}
	err = s.fillFloatingIPs(ctx, s.cfg.Store.Reader(), fips)
	return fips[0], err
}

// unmap takes a floating IP off its port.
func (f *FloatingIP) unmap() {
	f.PortID, f.FixedAddress, f.RouterID, f.Mapping, f.Status = "", netip.Addr{}, "", nil, StatusDown
}

// writeFloatingIP writes a change, and tells of it to those of the port it was
// mapped to and of the port it is mapped to.
func (s *Service) writeFloatingIP(ctx context.Context, tx *store.Tx, f FloatingIP, oldPort string) error {
	if _, err := tx.NewUpdate().Model(&floatingIPRow{FloatingIP: f}).WherePK().Exec(ctx); err != nil {
		if store.UniqueViolation(err) {
			return alreadyMapped(f)
		}
		return err
	}
	if oldPort != "" && oldPort != f.PortID {
		if err := s.emitFloatingIP(ctx, tx, "floatingip.update", f, oldPort); err != nil {
			return err
		}
	}
	return s.emitFloatingIP(ctx, tx, "floatingip.update", f, f.PortID)
}

// emitFloatingIP records a change, with the device of the port concerned.
func (s *Service) emitFloatingIP(ctx context.Context, tx *store.Tx, kind string, f FloatingIP, portID string) error {
	device := ""
	if portID != "" {
		var ids []string
		if err := tx.NewSelect().Table("network_ports").Column("device_id").Where("id = ?", portID).Scan(ctx, &ids); err != nil {
			return err
		}
		if len(ids) == 1 {
			device = ids[0]
		}
	}
	return emit(ctx, tx, kind, f.Meta, map[string]any{
		"device_id": device, "port_id": portID, "mapped": f.PortID != "" && f.PortID == portID,
		"floating_ip_address": f.Address.String(), "status": f.Status,
	})
}

// DeleteFloatingIP implements [FloatingIPs].
func (s *Service) DeleteFloatingIP(ctx context.Context, id string) error {
	f, err := s.FloatingIP(ctx, id)
	if err != nil {
		return err
	}
	if err := s.allow(ctx, owned(f.ProjectID), "delete_floatingip"); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		f, err := s.floatingIPs().current(ctx, tx, id)
		if err != nil {
			return err
		}
		if _, err := tx.NewRaw("DELETE FROM network_floatingips WHERE id = ?", id).Exec(ctx); err != nil {
			return err
		}
		ports, err := loadPorts(ctx, tx, f.OwnPortID)
		if err != nil {
			return err
		}
		for _, p := range ports {
			if err := s.removePort(ctx, tx, p); err != nil {
				return err
			}
		}
		port := f.PortID
		f.Status = StatusDown
		if port != "" {
			gone := f
			gone.unmap()
			if err := s.emitFloatingIP(ctx, tx, "floatingip.update", gone, port); err != nil {
				return err
			}
		}
		if err := s.emitFloatingIP(ctx, tx, "floatingip.delete", f, port); err != nil {
			return err
		}
		return s.toldRouters(ctx, tx, f.RouterID)
	})
}

// detachFloatingIPs unmaps the floating IPs of a port, or of some of its
// addresses.
func (s *Service) detachFloatingIPs(ctx context.Context, tx *store.Tx, portID string, addresses []FixedIP) error {
	var rows []floatingIPRow
	if err := tx.NewSelect().Model(&rows).Where("fip.port_id = ?", portID).Scan(ctx); err != nil {
		return err
	}
	for _, r := range rows {
		if addresses != nil && !slices.ContainsFunc(addresses, func(a FixedIP) bool { return a.IP == r.FixedAddress }) {
			continue
		}
		f, router := r.FloatingIP, r.RouterID
		f.unmap()
		f.touch(tx.Now())
		if err := s.writeFloatingIP(ctx, tx, f, portID); err != nil {
			return err
		}
		if err := s.toldRouters(ctx, tx, router); err != nil {
			return err
		}
	}
	return nil
}
