package network

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/driver"
	host "github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// placeRouter gives a router that has none a host that can route, binds its
// ports there, and returns what must be sent there before the router.
func (s *Service) placeRouter(ctx context.Context, tx *store.Tx, id string) ([]placedRow, error) {
	routers, err := s.loadRouters(ctx, tx, id)
	if err != nil || len(routers) == 0 {
		return nil, err
	}
	r := routers[0]
	have, err := feet(ctx, tx, id)
	if err != nil || len(have) == 0 {
		return nil, err
	}
	if r.Host == "" {
		var hosts []string
		err := tx.NewSelect().Table("network_hosts").Column("host").Where("routes = TRUE AND admin_up = TRUE AND beat_at >= ?", tx.Now().Add(-s.cfg.HostTimeout)).
			OrderExpr("host").Limit(1).Scan(ctx, &hosts)
		if err != nil || len(hosts) == 0 {
			return nil, err // the first heartbeat of one that can wakes this up
		}
		r.Host = hosts[0]
		if _, err := tx.NewRaw("UPDATE network_routers SET host = ? WHERE id = ?", r.Host, id).Exec(ctx); err != nil {
			return nil, err
		}
	}
	var out []placedRow
	var networks []string
	for _, f := range have {
		if slices.Contains(networks, f.NetworkID) {
			continue
		}
		networks = append(networks, f.NetworkID)
	}
	_, err = tx.NewRaw("UPDATE network_ports SET host = ?, vif_type = 'bridge' WHERE device_id = ? AND device_owner IN (?, ?) AND host <> ?",
		r.Host, id, OwnerRouterInterface, OwnerRouterGateway, r.Host).Exec(ctx)
	if err != nil {
		return nil, err
	}
	var there []string
	err = tx.NewSelect().Table("network_placed").Column("id").Where("host = ? AND kind = ? AND deleted = FALSE AND id IN (?)", r.Host, driver.KindNetwork, bun.List(networks)).Scan(ctx, &there)
	if err != nil {
		return nil, err
	}
	for _, n := range networks {
		if slices.Contains(there, n) {
			continue
		}
		rows, err := s.converge(ctx, tx, driver.KindNetwork, n)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if row.pending() {
				out = append(out, row)
			}
		}
		if err := reconcile.Enqueue(ctx, tx, kindNetwork, n, tx.Now().Add(s.cfg.Resend)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// placeWaitingRouters looks again for hosts for the routers that have none.
func (s *Service) placeWaitingRouters(ctx context.Context, tx *store.Tx) error {
	var ids []string
	if err := tx.NewSelect().Table("network_routers").Column("id").Where("host = ''").OrderExpr("id").Scan(ctx, &ids); err != nil {
		return err
	}
	return s.enqueue(ctx, tx, kindRouter, ids...)
}

// wantRouter puts a router that connects anything on its host.
func (s *Service) wantRouter(ctx context.Context, tx *store.Tx, id string) (wanted, error) {
	routers, err := s.loadRouters(ctx, tx, id)
	if err != nil || len(routers) == 0 {
		return wanted{}, err
	}
	r := routers[0]
	have, err := feet(ctx, tx, id)
	if err != nil || len(have) == 0 || r.Host == "" {
		return wanted{exists: true}, err
	}
	spec := host.Router{Name: r.Name, AdminUp: r.AdminUp, Routes: hostRoutes(r.Routes)}
	var ids []string
	for _, f := range have {
		ids = append(ids, f.PortID)
	}
	ports, err := loadPorts(ctx, tx, ids...)
	if err != nil {
		return wanted{}, err
	}
	for _, p := range ports {
		foot := host.RouterInterface{PortID: p.ID, NetworkID: p.NetworkID, MAC: p.MAC}
		for _, f := range have {
			if f.PortID == p.ID {
				foot.Addresses = append(foot.Addresses, netip.PrefixFrom(f.IP, f.CIDR.Bits()))
			}
		}
		if p.ID != r.GatewayPortID {
			spec.Interfaces = append(spec.Interfaces, foot)
			continue
		}
		gateway := &host.RouterGateway{RouterInterface: foot, SNAT: r.SNAT}
		subnets, err := loadSubnets(ctx, tx, subnetIDs(p)...)
		if err != nil {
			return wanted{}, err
		}
		for _, sub := range subnets {
			if sub.Gateway.IsValid() {
				gateway.NextHops = append(gateway.NextHops, sub.Gateway)
			}
		}
		spec.Gateway = gateway
	}
	var fips []floatingIPRow
	if err := tx.NewSelect().Model(&fips).Where("fip.router_id = ?", id).OrderExpr("fip.id").Scan(ctx); err != nil {
		return wanted{}, err
	}
	for _, f := range fips {
		spec.FloatingIPs = append(spec.FloatingIPs, host.FloatingIP{ID: f.ID, External: f.Address, Fixed: f.FixedAddress})
	}
	return everyHost([]string{r.Host}, spec)
}

// routerUp notes that a host carries a router as it was sent.
func (s *Service) routerUp(ctx context.Context, tx *store.Tx, row placedRow) error {
	var spec host.Router
	if err := json.Unmarshal([]byte(row.Spec), &spec); err != nil {
		return err
	}
	feet := spec.Interfaces
	if spec.Gateway != nil {
		feet = append(feet, spec.Gateway.RouterInterface)
	}
	for _, f := range feet {
		if err := s.portStatus(ctx, tx, f.PortID, row.Host, StatusActive, ""); err != nil {
			return err
		}
	}
	var ids []string
	for _, f := range spec.FloatingIPs {
		ids = append(ids, f.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	var fips []floatingIPRow
	if err := tx.NewSelect().Model(&fips).Where("fip.id IN (?) AND fip.router_id = ? AND fip.status <> ?", bun.List(ids), row.ID, StatusActive).Scan(ctx); err != nil {
		return err
	}
	for _, f := range fips {
		f.Status = StatusActive
		f.touch(tx.Now())
		if err := s.writeFloatingIP(ctx, tx, f.FloatingIP, f.PortID); err != nil {
			return err
		}
	}
	return nil
}
