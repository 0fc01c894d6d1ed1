package network

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos/store"
)

// AddRouterInterface implements [Routers].
func (s *Service) AddRouterInterface(ctx context.Context, id string, req InterfaceRequest) (RouterInterface, error) {
	out := RouterInterface{}
	r, err := s.Router(ctx, id)
	if err != nil {
		return out, err
	}
	if err := s.allow(ctx, owned(r.ProjectID), "add_router_interface"); err != nil {
		return out, err
	}
	if (req.SubnetID == "") == (req.PortID == "") {
		if req.PortID != "" {
			return out, badRequest("router", "Cannot specify both subnet-id and port-id")
		}
		return out, badRequest("router", "Either subnet_id or port_id must be specified")
	}
	var sub Subnet
	var n Network
	if req.SubnetID != "" {
		if sub, n, err = s.subnetAndNetwork(ctx, req.SubnetID); err != nil {
			return out, err
		}
		if !sub.Gateway.IsValid() {
			return out, badRequest("router", "Subnet for router interface must have a gateway IP")
		}
		if sub.ProjectID != caller(ctx).ProjectID && !s.everywhere(ctx) {
			return out, badRequest("router", "Cannot add interface to router because subnet %s is not owned by project making the request", sub.ID)
		}
		if sub.RAMode == "" && sub.AddressMode != "" {
			return out, badRequest("router", "IPv6 subnet %s configured to receive RAs from an external router cannot be added to Neutron Router.", sub.ID)
		}
	} else if _, _, err := s.portAndNetwork(ctx, req.PortID); err != nil {
		return out, err
	}
	err = s.retry(func() error {
		return s.withRouter(ctx, id, func(ctx context.Context, tx *store.Tx, now *Router) error {
			var p Port
			var err error
			if req.SubnetID != "" {
				p, err = s.connectSubnet(ctx, tx, *now, sub, n)
			} else {
				p, err = s.connectPort(ctx, tx, *now, req.PortID)
			}
			out.PortID, out.NetworkID, out.SubnetIDs = p.ID, p.NetworkID, subnetIDs(p)
			return err
		}, &out.Router)
	})
	return out, err
}

func subnetIDs(p Port) []string {
	ids := make([]string, len(p.FixedIPs))
	for i, a := range p.FixedIPs {
		ids[i] = a.SubnetID
	}
	return ids
}

// connectSubnet makes a port with the subnet's gateway address.
func (s *Service) connectSubnet(ctx context.Context, tx *store.Tx, r Router, sub Subnet, n Network) (Port, error) {
	if err := s.noOverlap(ctx, tx, r.ID, sub, ""); err != nil {
		return Port{}, err
	}
	if err := s.quota(ctx, tx, r.ProjectID, "port", 1); err != nil {
		return Port{}, err
	}
	return s.insertPort(ctx, tx, s.cfg.IDs.New(), PortSpec{
		ProjectID: r.ProjectID, NetworkID: sub.NetworkID, DeviceID: r.ID, DeviceOwner: OwnerRouterInterface, Host: r.Host,
		FixedIPs: &[]FixedIP{{SubnetID: sub.ID, IP: sub.Gateway}},
	}, n)
}

// connectPort makes an existing port the router's.
func (s *Service) connectPort(ctx context.Context, tx *store.Tx, r Router, id string) (Port, error) {
	p, err := s.ports().one(ctx, tx, id)
	if err != nil {
		return p, err
	}
	if p.DeviceID != "" {
		return p, conflict("PortInUse", "Unable to complete operation on port %s for network %s. Port already has an attached device %s.", p.ID, p.NetworkID, p.DeviceID)
	}
	if len(p.FixedIPs) == 0 {
		return p, badRequest("router", "Router port must have at least one fixed IP")
	}
	subnets, err := loadSubnets(ctx, tx, subnetIDs(p)...)
	if err != nil {
		return p, err
	}
	v4 := 0
	for _, sub := range subnets {
		if sub.IPVersion == 4 {
			v4++
		}
		if err := s.noOverlap(ctx, tx, r.ID, sub, ""); err != nil {
			return p, err
		}
	}
	if v4 > 1 {
		return p, badRequest("router", "Cannot have multiple IPv4 subnets on router port")
	}
	p.DeviceID, p.DeviceOwner = r.ID, OwnerRouterInterface
	s.bind(&p, r.Host)
	return p, s.replug(ctx, tx, &p)
}

// RemoveRouterInterface implements [Routers].
func (s *Service) RemoveRouterInterface(ctx context.Context, id string, req InterfaceRequest) (RouterInterface, error) {
	out := RouterInterface{}
	r, err := s.Router(ctx, id)
	if err != nil {
		return out, err
	}
	if err := s.allow(ctx, owned(r.ProjectID), "remove_router_interface"); err != nil {
		return out, err
	}
	if req.SubnetID == "" && req.PortID == "" {
		return out, badRequest("router", "Either subnet_id or port_id must be specified")
	}
	err = s.withRouter(ctx, id, func(ctx context.Context, tx *store.Tx, now *Router) error {
		have, err := feet(ctx, tx, id)
		if err != nil {
			return err
		}
		have = slices.DeleteFunc(have, func(f routerFoot) bool { return f.DeviceOwner != OwnerRouterInterface })
		portID := req.PortID
		if portID == "" {
			i := slices.IndexFunc(have, func(f routerFoot) bool { return f.SubnetID == req.SubnetID })
			if i < 0 {
				if _, err := s.subnets().one(ctx, tx, req.SubnetID); err != nil {
					return err
				}
				return notFoundOn("RouterInterfaceNotFoundForSubnet", "Router %s has no interface on subnet %s", id, req.SubnetID)
			}
			portID = have[i].PortID
		} else if !slices.ContainsFunc(have, func(f routerFoot) bool { return f.PortID == portID }) {
			return notFoundOn("RouterInterfaceNotFound", "Router %s does not have an interface with id %s", id, portID)
		} else if req.SubnetID != "" && !slices.ContainsFunc(have, func(f routerFoot) bool { return f.PortID == portID && f.SubnetID == req.SubnetID }) {
			return invalid("SubnetMismatchForPort", "Subnet on port %s does not match the requested subnet %s.", portID, req.SubnetID)
		}
		ports, err := loadPorts(ctx, tx, portID)
		if err != nil || len(ports) == 0 {
			return err
		}
		p := ports[0]
		if err := s.interfaceUnused(ctx, tx, *now, have, p); err != nil {
			return err
		}
		out.PortID, out.NetworkID, out.SubnetIDs = p.ID, p.NetworkID, subnetIDs(p)
		if req.SubnetID != "" {
			out.SubnetIDs = []string{req.SubnetID}
		}
		return s.removePort(ctx, tx, p)
	}, &out.Router)
	return out, err
}

// interfaceUnused refuses to take away what floating IPs or routes need.
func (s *Service) interfaceUnused(ctx context.Context, tx *store.Tx, r Router, have []routerFoot, p Port) error {
	for _, a := range p.FixedIPs {
		n, err := tx.NewSelect().Table("network_floatingips").
			Where("router_id = ? AND EXISTS (SELECT 1 FROM network_allocations a WHERE a.port_id = network_floatingips.port_id AND a.subnet_id = ? AND a.ip = network_floatingips.fixed_address)", r.ID, a.SubnetID).Count(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			return conflict("RouterInterfaceInUseByFloatingIP", "Router interface for subnet %s on router %s cannot be deleted, as it is required by one or more floating IPs.", a.SubnetID, r.ID)
		}
	}
	for _, f := range have {
		if f.PortID == p.ID && slices.ContainsFunc(r.Routes, func(route Route) bool { return f.CIDR.Contains(route.NextHop) }) {
			return conflict("RouterInterfaceInUseByRoute", "Router interface for subnet %s on router %s cannot be deleted, as it is required by one or more routes.", f.SubnetID, r.ID)
		}
	}
	return nil
}

// maxRoutes bounds a router's static routes, as Neutron's default does.
const maxRoutes = 30

// checkRoutes refuses routes whose next hop the router cannot reach directly.
func checkRoutes(ctx context.Context, tx *store.Tx, r Router, routes []Route) error {
	if len(routes) > maxRoutes {
		return invalid("RoutesExhausted", "Unable to complete operation for %s. The number of routes exceeds the maximum %d.", r.ID, maxRoutes)
	}
	if len(routes) == 0 {
		return nil
	}
	have, err := feet(ctx, tx, r.ID)
	if err != nil {
		return err
	}
	for i, route := range routes {
		reason := ""
		switch {
		case slices.Contains(routes[:i], route):
			return badAttribute("routes", "Duplicate hostroute '%s'", routeText(routes[i:i+1]))
		case !slices.ContainsFunc(have, func(f routerFoot) bool { return f.CIDR.Contains(route.NextHop) }):
			reason = "the nexthop is not connected with router"
		case slices.ContainsFunc(have, func(f routerFoot) bool { return f.IP == route.NextHop }):
			reason = "the nexthop is used by router"
		}
		if reason != "" {
			return invalid("InvalidRoutes", "Invalid format for routes: %s, %s", routeText(routes), reason)
		}
	}
	return nil
}

func routeText(routes []Route) string {
	parts := make([]string, len(routes))
	for i, r := range routes {
		parts[i] = fmt.Sprintf("{'destination': '%s', 'nexthop': '%s'}", r.Destination, r.NextHop)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// AddRoutes implements [Routers].
func (s *Service) AddRoutes(ctx context.Context, id string, routes []Route) (Router, error) {
	return s.editRoutes(ctx, id, "add_extraroutes", func(have []Route) []Route {
		for _, r := range routes {
			if !slices.Contains(have, r) {
				have = append(have, r)
			}
		}
		return have
	})
}

// RemoveRoutes implements [Routers].
func (s *Service) RemoveRoutes(ctx context.Context, id string, routes []Route) (Router, error) {
	return s.editRoutes(ctx, id, "remove_extraroutes", func(have []Route) []Route {
		return slices.DeleteFunc(have, func(r Route) bool { return slices.Contains(routes, r) })
	})
}

func (s *Service) editRoutes(ctx context.Context, id, rule string, edit func([]Route) []Route) (Router, error) {
	r, err := s.Router(ctx, id)
	if err != nil {
		return r, err
	}
	if err := s.allow(ctx, owned(r.ProjectID), rule); err != nil {
		return r, err
	}
	err = s.withRouter(ctx, id, func(ctx context.Context, tx *store.Tx, now *Router) error {
		routes := edit(slices.Clone(now.Routes))
		if err := checkRoutes(ctx, tx, *now, routes); err != nil {
			return err
		}
		now.Routes = nonNil(routes)
		return nil
	}, &r)
	return r, err
}
