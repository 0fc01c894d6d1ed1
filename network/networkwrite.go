package network

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// UpdateNetwork implements [Networks].
func (s *Service) UpdateNetwork(ctx context.Context, id string, u NetworkUpdate) (Network, error) {
	n, err := s.Network(ctx, id)
	if err != nil {
		return n, err
	}
	var attributes []string
	for _, a := range []struct {
		name  string
		given bool
	}{
		{"shared", u.Shared != nil},
		{"router:external", u.External != nil},
		{"is_default", u.IsDefault != nil},
		{"port_security_enabled", u.PortSecurity != nil},
	} {
		if a.given {
			attributes = append(attributes, a.name)
		}
	}
	attributes = append(attributes, providerRules(u.Provider)...)
	if err := s.allow(ctx, n.target(), "update_network", attributes...); err != nil {
		return n, err
	}
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		nets, err := s.loadNetworks(ctx, tx, id)
		if err != nil {
			return err
		}
		if len(nets) == 0 {
			return networkNotFound(id)
		}
		n = nets[0]
		if err := checkRevision(ctx, n.Meta); err != nil || u == (NetworkUpdate{}) {
			return err
		}
		return s.applyNetwork(ctx, tx, &n, u)
	})
	return n, err
}

// applyNetwork writes an update.
func (s *Service) applyNetwork(ctx context.Context, tx *store.Tx, n *Network, u NetworkUpdate) error {
	if u.Shared != nil && !*u.Shared && n.Shared {
		if err := s.usedByOthers(ctx, tx, *n); err != nil {
			return err
		}
	}
	if u.External != nil && !*u.External && n.External {
		if err := s.usedAsExternal(ctx, tx, n.ID); err != nil {
			return err
		}
	}
	set(&n.Name, u.Name)
	set(&n.Description, u.Description)
	set(&n.AdminUp, u.AdminUp)
	set(&n.Shared, u.Shared)
	set(&n.External, u.External)
	set(&n.IsDefault, u.IsDefault)
	set(&n.PortSecurity, u.PortSecurity)
	if u.IsDefault != nil && *u.IsDefault {
		if err := s.onlyDefault(ctx, tx, *n); err != nil {
			return err
		}
	}
	if u.Provider != nil {
		if err := s.moveSegment(ctx, tx, n, *u.Provider); err != nil {
			return err
		}
	}
	if u.MTU != nil {
		limit := s.segmentMTU(n.NetworkType)
		if *u.MTU > limit {
			return invalidInput("mtu", "Requested MTU is too big, maximum is %d", limit)
		}
		if n.MTU = *u.MTU; n.MTU == 0 {
			n.MTU = limit
		}
	}
	n.touch(tx.Now())
	if _, err := tx.NewUpdate().Model(&networkRow{Network: *n}).WherePK().Exec(ctx); err != nil {
		return err
	}
	if err := emit(ctx, tx, "network.update", n.Meta, nil); err != nil {
		return err
	}
	return s.republishNetwork(ctx, tx, n.ID)
}

// usedByOthers refuses to unshare a network that other projects use.
func (s *Service) usedByOthers(ctx context.Context, tx *store.Tx, n Network) error {
	for _, table := range []string{"network_ports", "network_subnets"} {
		count, err := tx.NewSelect().Table(table).Where("network_id = ? AND project_id <> ? AND project_id <> ''", n.ID, n.ProjectID).Count(ctx)
		if err != nil {
			return err
		}
		if count > 0 {
			return conflict("InvalidSharedSetting", "Unable to reconfigure sharing settings for network %s. Multiple tenants are using it.", n.ID)
		}
	}
	return nil
}

// usedAsExternal refuses to turn an external network inward while it is used.
func (s *Service) usedAsExternal(ctx context.Context, tx *store.Tx, id string) error {
	routers, err := tx.NewSelect().Table("network_routers").Where("gateway_network_id = ?", id).Count(ctx)
	if err != nil {
		return err
	}
	fips, err := tx.NewSelect().Table("network_floatingips").Where("network_id = ?", id).Count(ctx)
	if err != nil {
		return err
	}
	if routers+fips > 0 {
		return conflict("ExternalNetworkInUse", "External network %s cannot be updated to be made non-external, since it has existing gateway ports.", id)
	}
	return nil
}

// DeleteNetwork implements [Networks].
func (s *Service) DeleteNetwork(ctx context.Context, id string) error {
	n, err := s.Network(ctx, id)
	if err != nil {
		return err
	}
	if err := s.allow(ctx, n.target(), "delete_network"); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		now, err := s.networks().current(ctx, tx, id)
		if err != nil {
			return err
		}
		var ports []string
		if err := tx.NewSelect().Table("network_ports").Column("id").Where("network_id = ?", id).OrderExpr("id").Limit(20).Scan(ctx, &ports); err != nil {
			return err
		}
		if len(ports) > 0 {
			return networkInUse(id, ports)
		}
		for _, subnet := range now.SubnetIDs {
			if err := s.removeSubnet(ctx, tx, Subnet{Meta: Meta{ID: subnet, ProjectID: n.ProjectID}, NetworkID: id}); err != nil {
				return err
			}
		}
		for _, q := range []string{"DELETE FROM network_segments WHERE network_id = ?", "DELETE FROM network_networks WHERE id = ?"} {
			if _, err := tx.NewRaw(q, id).Exec(ctx); err != nil {
				return err
			}
		}
		if err := emit(ctx, tx, "network.delete", n.Meta, nil); err != nil {
			return err
		}
		return s.republishNetwork(ctx, tx, id)
	})
}

func networkInUse(id string, ports []string) error {
	list := ""
	for i, p := range ports {
		if i > 0 {
			list += ","
		}
		list += p
	}
	return conflict("NetworkInUse", "Unable to complete operation on network %s. There are one or more ports still in use on the network, id for these ports is: %s.", id, list)
}

// republishNetwork has the network sent again to the hosts that know it.
func (s *Service) republishNetwork(ctx context.Context, tx *store.Tx, id string) error {
	return s.enqueueIfPlaced(ctx, tx, kindNetwork, driver.KindNetwork, id)
}

// enqueueIfPlaced enqueues work on an object that some host knows.
func (s *Service) enqueueIfPlaced(ctx context.Context, tx *store.Tx, work string, kind driver.Kind, ids ...string) error {
	if s.cfg.Fleet == nil || len(ids) == 0 {
		return nil
	}
	var placed []string
	err := tx.NewSelect().Table("network_placed").ColumnExpr("DISTINCT id").Where("kind = ? AND id IN (?)", kind, bun.List(ids)).Scan(ctx, &placed)
	if err != nil {
		return err
	}
	return reconcile.EnqueueAll(ctx, tx, work, placed, time.Time{})
}
