package network

import (
	"context"
	"net/netip"
	"slices"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/store"
)

func gatewayRules(g *GatewaySpec) []string {
	if g == nil {
		return nil
	}
	names := []string{"external_gateway_info"}
	if g.NetworkID != "" {
		names = append(names, "external_gateway_info:network_id")
	}
	if g.SNAT != nil {
		names = append(names, "external_gateway_info:enable_snat")
	}
	if g.FixedIPs != nil {
		names = append(names, "external_gateway_info:external_fixed_ips")
	}
	return names
}

// checkGateway looks whether the caller may use the external network.
func (s *Service) checkGateway(ctx context.Context, g *GatewaySpec) error {
	if g == nil || g.NetworkID == "" {
		return nil
	}
	n, err := s.visibleNetwork(ctx, s.cfg.Store.Reader(), g.NetworkID)
	if err != nil {
		return err
	}
	if !n.External {
		return badRequest("router", "Network %s is not an external network", g.NetworkID)
	}
	return nil
}

// openGateway gives the router a foot in an external network.
func (s *Service) openGateway(ctx context.Context, tx *store.Tx, r *Router, g GatewaySpec) error {
	var n networkRow
	ok, err := one(ctx, tx.NewSelect().Model(&n).Where("net.id = ?", g.NetworkID))
	if err != nil {
		return err
	}
	if !ok || !n.External {
		return badRequest("router", "Network %s is not an external network", g.NetworkID)
	}
	subnets, err := subnetsOf(ctx, tx, g.NetworkID)
	if err != nil {
		return err
	}
	for _, sub := range subnets {
		if err := s.noOverlap(ctx, tx, r.ID, sub, g.NetworkID); err != nil {
			return err
		}
	}
	if g.FixedIPs != nil {
		if err := notTheirGateway(subnets, *g.FixedIPs); err != nil {
			return err
		}
	}
	p, err := s.insertPort(ctx, tx, s.cfg.IDs.New(), PortSpec{
		NetworkID: g.NetworkID, DeviceID: r.ID, DeviceOwner: OwnerRouterGateway, FixedIPs: g.FixedIPs, Host: r.Host,
	}, n.Network)
	if err != nil {
		return err
	}
	r.GatewayNetworkID, r.GatewayPortID, r.GatewayIPs, r.SNAT = g.NetworkID, p.ID, p.FixedIPs, or(g.SNAT, true)
	return nil
}

// notTheirGateway refuses the address of the router beyond the external network.
func notTheirGateway(subnets []Subnet, want []FixedIP) error {
	for _, f := range want {
		if slices.ContainsFunc(subnets, func(sub Subnet) bool { return f.IP.IsValid() && sub.Gateway == f.IP }) {
			return badRequest("router", "External IP %s is the same as the gateway IP", f.IP)
		}
	}
	return nil
}

// closeGateway takes the foot away again.
func (s *Service) closeGateway(ctx context.Context, tx *store.Tx, r *Router) error {
	if r.GatewayPortID == "" {
		return nil
	}
	n, err := tx.NewSelect().Table("network_floatingips").Where("router_id = ?", r.ID).Count(ctx)
	if err != nil {
		return err
	}
	if n > 0 {
		return conflict("RouterExternalGatewayInUseByFloatingIp", "Gateway cannot be updated for router %s, since a gateway to external network %s is required by one or more floating IPs.", r.ID, r.GatewayNetworkID)
	}
	for _, route := range r.Routes {
		if s.onlyVia(ctx, tx, r, route.NextHop) {
			return conflict("RouterInterfaceInUseByRoute", "Router interface for subnet %s on router %s cannot be deleted, as it is required by one or more routes.", r.GatewayIPs[0].SubnetID, r.ID)
		}
	}
	ports, err := loadPorts(ctx, tx, r.GatewayPortID)
	if err != nil {
		return err
	}
	for _, p := range ports {
		if err := s.removePort(ctx, tx, p); err != nil {
			return err
		}
	}
	r.GatewayNetworkID, r.GatewayPortID, r.GatewayIPs, r.SNAT = "", "", []FixedIP{}, true
	return nil
}

// onlyVia reports whether the next hop lies beyond the router's gateway.
func (s *Service) onlyVia(ctx context.Context, tx *store.Tx, r *Router, hop netip.Addr) bool {
	var ids []string
	for _, a := range r.GatewayIPs {
		ids = append(ids, a.SubnetID)
	}
	subnets, err := loadSubnets(ctx, tx, ids...)
	return err == nil && slices.ContainsFunc(subnets, func(sub Subnet) bool { return sub.CIDR.Contains(hop) })
}

// moveGateway converges the gateway to what an update asks for.
func (s *Service) moveGateway(ctx context.Context, tx *store.Tx, r *Router, g GatewaySpec) error {
	if g.NetworkID == "" {
		return s.closeGateway(ctx, tx, r)
	}
	if g.NetworkID != r.GatewayNetworkID {
		if err := s.closeGateway(ctx, tx, r); err != nil {
			return err
		}
		return s.openGateway(ctx, tx, r, g)
	}
	r.SNAT = or(g.SNAT, true)
	if g.FixedIPs == nil {
		return nil
	}
	ports, err := loadPorts(ctx, tx, r.GatewayPortID)
	if err != nil || len(ports) == 0 {
		return err
	}
	subnets, err := subnetsOf(ctx, tx, g.NetworkID)
	if err != nil {
		return err
	}
	if err := notTheirGateway(subnets, *g.FixedIPs); err != nil {
		return err
	}
	if err := s.readdress(ctx, tx, &ports[0], subnets, *g.FixedIPs); err != nil {
		return err
	}
	r.GatewayIPs = ports[0].FixedIPs
	return nil
}

// feet returns all of a router's addresses.
func feet(ctx context.Context, db bun.IDB, routerID string) ([]routerFoot, error) {
	var rows []routerFoot
	err := db.NewRaw(`SELECT a.port_id, a.subnet_id, a.network_id, p.device_owner, s.cidr, a.ip FROM network_ports p
		JOIN network_allocations a ON a.port_id = p.id JOIN network_subnets s ON s.id = a.subnet_id
		WHERE p.device_id = ? AND p.device_owner IN (?, ?) ORDER BY p.created_at, p.id, a.ordinal`,
		routerID, OwnerRouterInterface, OwnerRouterGateway).Scan(ctx, &rows)
	return rows, err
}

// noOverlap refuses to connect a router to a subnet that overlaps with one that
// it is connected to.
func (s *Service) noOverlap(ctx context.Context, tx *store.Tx, routerID string, sub Subnet, networkID string) error {
	have, err := feet(ctx, tx, routerID)
	if err != nil {
		return err
	}
	for _, f := range have {
		switch {
		case f.SubnetID == sub.ID:
			return badRequest("router", "Router already has a port on subnet %s", sub.ID)
		case f.NetworkID != networkID && f.CIDR.Overlaps(sub.CIDR):
			return badRequest("router", "Cidr %s of subnet %s overlaps with cidr %s of subnet %s", sub.CIDR, sub.ID, f.CIDR, f.SubnetID)
		}
	}
	return nil
}
