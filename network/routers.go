package network

import (
	"context"
	"net/netip"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Router connects networks.
type Router struct {
	Meta
	Name, Description string
	AdminUp           bool
	Status            string
	GatewayNetworkID  string // empty: no gateway
	GatewayPortID     string
	SNAT              bool `bun:"snat"`
	Routes            []Route
	ZoneHints         []string
	Host              string // which host carries it; empty: none yet

	GatewayIPs []FixedIP `bun:"-"`
	Zones      []string  `bun:"-"`
}

// GatewaySpec describes a router's foot in an external network.
type GatewaySpec struct {
	NetworkID string
	SNAT      *bool      // true
	FixedIPs  *[]FixedIP // nil: chosen
}

// RouterSpec describes a router to create.
type RouterSpec struct {
	ProjectID, Name, Description string
	AdminUp                      *bool // true
	Gateway                      *GatewaySpec
	ZoneHints                    []string
}

// RouterUpdate changes a router; what is nil stays. A Gateway without a network
// takes the gateway away.
type RouterUpdate struct {
	Name, Description *string
	AdminUp           *bool
	Gateway           *GatewaySpec
	Routes            *[]Route
}

// InterfaceRequest names what a router is to be connected to: a subnet, or a
// port.
type InterfaceRequest struct{ SubnetID, PortID string }

// RouterInterface is what was connected or disconnected.
type RouterInterface struct {
	Router    Router
	PortID    string
	NetworkID string
	SubnetIDs []string
}

// Routers is what the Networking API's routers need.
type Routers interface {
	// CreateRouters makes all of the routers, or none.
	CreateRouters(ctx context.Context, specs []RouterSpec) ([]Router, error)
	Router(ctx context.Context, id string) (Router, error)
	ListRouters(ctx context.Context, f Filter, p nephos.Page) ([]Router, bool, error)
	UpdateRouter(ctx context.Context, id string, u RouterUpdate) (Router, error)
	// DeleteRouter deletes a router without interfaces.
	DeleteRouter(ctx context.Context, id string) error
	AddRouterInterface(ctx context.Context, id string, r InterfaceRequest) (RouterInterface, error)
	// RemoveRouterInterface also deletes the interface's port.
	RemoveRouterInterface(ctx context.Context, id string, r InterfaceRequest) (RouterInterface, error)
	// AddRoutes and RemoveRoutes change the static routes one by one; what is
	// there already, or gone already, is no error.
	AddRoutes(ctx context.Context, id string, routes []Route) (Router, error)
	RemoveRoutes(ctx context.Context, id string, routes []Route) (Router, error)
}

var _ Routers = (*Service)(nil)

type routerRow struct {
	bun.BaseModel `bun:"table:network_routers,alias:router"`
	Router
}

var routerList = &listing{
	table: "network_routers", alias: "router", missing: routerNotFound,
	fields: metaFields("router", map[string]field{
		"name":           {column: "router.name"},
		"admin_state_up": {column: "router.admin_up", kind: boolean},
		"status":         {column: "router.status"},
		"external_gateway_info": {where: func(q *bun.SelectQuery, values []string) (*bun.SelectQuery, error) {
			return nil, invalidInput("external_gateway_info", "routers cannot be filtered by external_gateway_info")
		}},
		"enable_snat": {column: "router.snat", kind: boolean, unsorted: true},
	}),
}

// CreateRouters implements [Routers].
func (s *Service) CreateRouters(ctx context.Context, specs []RouterSpec) ([]Router, error) {
	for i := range specs {
		owner, err := s.ownerOf(ctx, specs[i].ProjectID)
		if err != nil {
			return nil, err
		}
		specs[i].ProjectID = owner
		if err := s.allow(ctx, owned(owner), "create_router", gatewayRules(specs[i].Gateway)...); err != nil {
			return nil, err
		}
		if err := s.checkZoneHints(specs[i].ZoneHints); err != nil {
			return nil, err
		}
		if err := s.checkGateway(ctx, specs[i].Gateway); err != nil {
			return nil, err
		}
	}
	return create(ctx, s.routers(), specs, s.insertRouter)
}

func (s *Service) insertRouter(ctx context.Context, tx *store.Tx, id string, spec RouterSpec) (Router, error) {
	r := Router{
		Meta: s.newMeta(id, spec.ProjectID), Name: spec.Name, Description: spec.Description, AdminUp: or(spec.AdminUp, true),
		Status: StatusActive, SNAT: true, Routes: []Route{}, ZoneHints: nonNil(spec.ZoneHints), GatewayIPs: []FixedIP{}, Zones: s.zones(),
	}
	r.Revision = 1
	if spec.Gateway != nil && spec.Gateway.NetworkID != "" {
		if err := s.openGateway(ctx, tx, &r, *spec.Gateway); err != nil {
			return r, err
		}
	}
	if _, err := tx.NewInsert().Model(&routerRow{Router: r}).Exec(ctx); err != nil {
		return r, err
	}
	if err := emit(ctx, tx, "router.create", r.Meta, nil); err != nil {
		return r, err
	}
	return r, s.routerChanged(ctx, tx, r)
}

// routerChanged has the router's host told, if there is anything to tell.
func (s *Service) routerChanged(ctx context.Context, tx *store.Tx, r Router) error {
	if r.Host == "" && r.GatewayPortID == "" {
		n, err := tx.NewSelect().Table("network_ports").Where("device_id = ? AND device_owner = ?", r.ID, OwnerRouterInterface).Count(ctx)
		if err != nil || n == 0 {
			return err
		}
	}
	return s.enqueue(ctx, tx, kindRouter, r.ID)
}

// Router implements [Routers].
func (s *Service) Router(ctx context.Context, id string) (Router, error) {
	return s.routers().shown(ctx, id)
}

// ListRouters implements [Routers].
func (s *Service) ListRouters(ctx context.Context, f Filter, p nephos.Page) ([]Router, bool, error) {
	if err := s.signedIn(ctx); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []routerRow
	q, ok := s.ownOnly(ctx, db.NewSelect().Model(&rows), "router", "get_router")
	if !ok {
		return nil, false, nil
	}
	more, err := find(ctx, db, routerList, q, &rows, f, p)
	if err != nil {
		return nil, false, err
	}
	routers, err := s.wholeRouters(ctx, db, rows)
	return routers, more, err
}

// UpdateRouter implements [Routers].
func (s *Service) UpdateRouter(ctx context.Context, id string, u RouterUpdate) (Router, error) {
	r, err := s.Router(ctx, id)
	if err != nil {
		return r, err
	}
	if err := s.allow(ctx, owned(r.ProjectID), "update_router", gatewayRules(u.Gateway)...); err != nil {
		return r, err
	}
	if err := s.checkGateway(ctx, u.Gateway); err != nil {
		return r, err
	}
	if u == (RouterUpdate{}) {
		return r, checkRevision(ctx, r.Meta)
	}
	err = s.retry(func() error {
		return s.withRouter(ctx, id, func(ctx context.Context, tx *store.Tx, now *Router) error {
			set(&now.Name, u.Name)
			set(&now.Description, u.Description)
			set(&now.AdminUp, u.AdminUp)
			if u.Gateway != nil {
				if err := s.moveGateway(ctx, tx, now, *u.Gateway); err != nil {
					return err
				}
			}
			if u.Routes != nil {
				if err := checkRoutes(ctx, tx, *now, *u.Routes); err != nil {
					return err
				}
				now.Routes = nonNil(*u.Routes)
			}
			r = *now
			return nil
		}, &r)
	})
	return r, err
}

// withRouter changes a router in a transaction and writes it.
func (s *Service) withRouter(ctx context.Context, id string, f func(ctx context.Context, tx *store.Tx, r *Router) error, out *Router) error {
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		r, err := s.routers().current(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := f(ctx, tx, &r); err != nil {
			return err
		}
		r.touch(tx.Now())
		if _, err := tx.NewUpdate().Model(&routerRow{Router: r}).WherePK().Exec(ctx); err != nil {
			return err
		}
		*out = r
		if err := emit(ctx, tx, "router.update", r.Meta, nil); err != nil {
			return err
		}
		return s.routerChanged(ctx, tx, r)
	})
}

// DeleteRouter implements [Routers].
func (s *Service) DeleteRouter(ctx context.Context, id string) error {
	r, err := s.Router(ctx, id)
	if err != nil {
		return err
	}
	if err := s.allow(ctx, owned(r.ProjectID), "delete_router"); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		r, err := s.routers().current(ctx, tx, id)
		if err != nil {
			return err
		}
		var ports []string
		err = tx.NewSelect().Table("network_ports").Column("id").Where("device_id = ? AND device_owner = ?", id, OwnerRouterInterface).OrderExpr("id").Limit(100).Scan(ctx, &ports)
		if err != nil {
			return err
		}
		if len(ports) > 0 {
			return conflict("RouterInUse", "Router %s has ports still attached: %s", id, strings.Join(ports, ", "))
		}
		if err := s.closeGateway(ctx, tx, &r); err != nil {
			return err
		}
		if _, err := tx.NewRaw("DELETE FROM network_routers WHERE id = ?", id).Exec(ctx); err != nil {
			return err
		}
		if err := emit(ctx, tx, "router.delete", r.Meta, nil); err != nil {
			return err
		}
		return s.enqueue(ctx, tx, kindRouter, id)
	})
}

// loadRouters returns those routers that exist, complete. It checks no policy.
func (s *Service) loadRouters(ctx context.Context, db bun.IDB, ids ...string) ([]Router, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []routerRow
	if err := db.NewSelect().Model(&rows).Where("router.id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, err
	}
	return s.wholeRouters(ctx, db, rows)
}

// wholeRouters adds the gateways' addresses, in one query.
func (s *Service) wholeRouters(ctx context.Context, db bun.IDB, rows []routerRow) ([]Router, error) {
	routers := make([]Router, len(rows))
	at := map[string]int{}
	var ids []string
	for i := range rows {
		r := rows[i].Router
		r.Tags, r.Routes, r.ZoneHints, r.GatewayIPs, r.Zones = nonNil(r.Tags), nonNil(r.Routes), nonNil(r.ZoneHints), []FixedIP{}, s.zones()
		routers[i] = r
		if r.GatewayPortID != "" {
			at[r.GatewayPortID], ids = i, append(ids, r.GatewayPortID)
		}
	}
	if len(ids) == 0 {
		return routers, nil
	}
	var addresses []allocationRow
	if err := db.NewSelect().Model(&addresses).Where("alloc.port_id IN (?)", bun.List(ids)).OrderExpr("alloc.port_id, alloc.ordinal").Scan(ctx); err != nil {
		return nil, err
	}
	for _, a := range addresses {
		r := &routers[at[a.PortID]]
		r.GatewayIPs = append(r.GatewayIPs, FixedIP{a.SubnetID, a.IP})
	}
	return routers, nil
}

// routerFoot is a router's address on a subnet.
type routerFoot struct {
	PortID, SubnetID, NetworkID, DeviceOwner string
	CIDR                                     netip.Prefix `bun:"cidr"`
	IP                                       netip.Addr
}
