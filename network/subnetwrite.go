package network

import (
	"context"
	"net/netip"

	"github.com/nephos-cloud/nephos/store"
)

// UpdateSubnet implements [Subnets].
func (s *Service) UpdateSubnet(ctx context.Context, id string, u SubnetUpdate) (Subnet, error) {
	sub, n, err := s.subnetAndNetwork(ctx, id)
	if err != nil {
		return sub, err
	}
	if err := s.allow(ctx, onNetwork(sub.ProjectID, n), "update_subnet"); err != nil {
		return sub, err
	}
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if sub, err = s.subnets().current(ctx, tx, id); err != nil {
			return err
		}
		old := sub.Gateway
		set(&sub.Name, u.Name)
		set(&sub.Description, u.Description)
		set(&sub.Gateway, u.Gateway)
		set(&sub.DHCP, u.DHCP)
		set(&sub.DNS, u.DNS)
		set(&sub.Routes, u.Routes)
		set(&sub.Pools, u.Pools)
		if err := checkSubnet(&sub, u.Pools != nil, u.DHCP != nil); err != nil {
			return err
		}
		if u.Gateway != nil && old != sub.Gateway && old.IsValid() {
			if err := gatewayUnused(ctx, tx, id, old); err != nil {
				return err
			}
		}
		sub.touch(tx.Now())
		if _, err := tx.NewUpdate().Model(&subnetRow{Subnet: sub}).WherePK().Exec(ctx); err != nil {
			return err
		}
		if u.Pools != nil && !sub.auto() {
			if err := resetFree(ctx, tx, id, sub.Pools); err != nil {
				return err
			}
		}
		if err := emit(ctx, tx, "subnet.update", sub.Meta, map[string]string{"network_id": sub.NetworkID}); err != nil {
			return err
		}
		if err := networkTouched(ctx, tx, sub.NetworkID); err != nil {
			return err
		}
		return s.republishNetwork(ctx, tx, sub.NetworkID)
	})
	return sub, err
}

// networkTouched raises a network's revision: its subnets are part of it.
func networkTouched(ctx context.Context, tx *store.Tx, id string) error {
	_, err := tx.NewRaw("UPDATE network_networks SET revision = revision + 1, updated_at = ? WHERE id = ?", tx.Now(), id).Exec(ctx)
	return err
}

// gatewayUnused refuses to move a gateway that a router has.
func gatewayUnused(ctx context.Context, tx *store.Tx, subnetID string, gateway netip.Addr) error {
	var ports []string
	err := tx.NewRaw(`SELECT a.port_id FROM network_allocations a JOIN network_ports p ON p.id = a.port_id
		WHERE a.subnet_id = ? AND a.addr = ? AND p.device_owner = ?`, subnetID, addrKey(gateway), OwnerRouterInterface).Scan(ctx, &ports)
	if err != nil || len(ports) == 0 {
		return err
	}
	return conflict("GatewayIpInUse", "Current gateway ip %s already in use by port %s. Unable to update.", gateway, ports[0])
}

// DeleteSubnet implements [Subnets].
func (s *Service) DeleteSubnet(ctx context.Context, id string) error {
	sub, n, err := s.subnetAndNetwork(ctx, id)
	if err != nil {
		return err
	}
	if err := s.allow(ctx, onNetwork(sub.ProjectID, n), "delete_subnet"); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		now, err := s.subnets().current(ctx, tx, id)
		if err != nil {
			return err
		}
		if now.auto() {
			// Addresses that ports make themselves go with the prefix.
			_, err := tx.NewRaw("DELETE FROM network_allocations WHERE subnet_id = ? AND port_id NOT IN (SELECT id FROM network_ports WHERE network_id = ? AND device_owner = ?)",
				id, sub.NetworkID, OwnerRouterInterface).Exec(ctx)
			if err != nil {
				return err
			}
		}
		used, err := tx.NewSelect().Table("network_allocations").Where("subnet_id = ?", id).Count(ctx)
		if err != nil {
			return err
		}
		if used > 0 {
			return conflict("SubnetInUse", "Unable to complete operation on subnet %s: One or more ports have an IP allocation from this subnet.", id)
		}
		if err := s.removeSubnet(ctx, tx, now); err != nil {
			return err
		}
		if err := networkTouched(ctx, tx, sub.NetworkID); err != nil {
			return err
		}
		return s.republishNetwork(ctx, tx, sub.NetworkID)
	})
}

// removeSubnet deletes the rows of a subnet that nobody uses.
func (s *Service) removeSubnet(ctx context.Context, tx *store.Tx, sub Subnet) error {
	for _, q := range []string{"DELETE FROM network_free WHERE subnet_id = ?", "DELETE FROM network_subnets WHERE id = ?"} {
		if _, err := tx.NewRaw(q, sub.ID).Exec(ctx); err != nil {
			return err
		}
	}
	return emit(ctx, tx, "subnet.delete", sub.Meta, map[string]string{"network_id": sub.NetworkID})
}
