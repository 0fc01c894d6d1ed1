package network

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// The owners of the network's own ports.
const (
	OwnerRouterInterface = "network:router_interface"
	OwnerRouterGateway   = "network:router_gateway"
	OwnerFloatingIP      = "network:floatingip"
)

// The statuses of ports, routers and floating IPs.
const (
	StatusActive = "ACTIVE"
	StatusDown   = "DOWN"
	StatusError  = "ERROR"
)

// Port is a place on a network for one card of a server or router.
type Port struct {
	Meta
	Name, Description     string
	NetworkID             string
	MAC                   string `bun:"mac"`
	AdminUp               bool
	Status                string
	Reason                string // why the status is ERROR
	DeviceID, DeviceOwner string
	PortSecurity          bool
	AllowedPairs          []AddressPair
	DHCPOptions           []DHCPOption `bun:"dhcp_options"`
	Host                  string       // where it is bound; empty: nowhere
	Hostname              string       // offered by DHCP
	VNICType              string       `bun:"vnic_type"`
	VIFType               string       `bun:"vif_type"`
	Profile               map[string]any
	OwnerKey              *string // of EnsurePort
	MadeForOwner          bool    // it goes with its owner

	FixedIPs       []FixedIP `bun:"-"`
	SecurityGroups []string  `bun:"-"` // IDs, sorted
}

// FixedIP is an address of a port.
type FixedIP struct {
	SubnetID string
	IP       netip.Addr
}

// AddressPair is a further source that a port may send from.
type AddressPair struct {
	IP  netip.Prefix
	MAC string // empty: the port's own
}

// DHCPOption overrides a DHCP option, by name or number, for one port.
type DHCPOption struct {
	Name, Value string
	IPVersion   int
}

// PortSpec describes a port to create. Nil is the default.
type PortSpec struct {
	// PortID is for [Service.EnsurePort] alone: the port that exists and shall be
	// used. Only Host, Hostname, DeviceID, DeviceOwner and Profile count then.
	PortID string

	ProjectID, NetworkID  string
	Name, Description     string
	MAC                   string // empty: chosen
	AdminUp               *bool  // true
	DeviceID, DeviceOwner string
	FixedIPs              *[]FixedIP // nil: one address a family; an entry may lack its subnet or its address
	SecurityGroups        *[]string  // IDs; nil: the project's default group
	PortSecurity          *bool      // what the network says
	AllowedPairs          []AddressPair
	DHCPOptions           []DHCPOption
	Host                  string
	Hostname              string
	VNICType              string // empty: normal
	Profile               map[string]any
	Tags                  []string
}

// PortUpdate changes a port; what is nil stays.
type PortUpdate struct {
	Name, Description     *string
	MAC                   *string
	AdminUp               *bool
	DeviceID, DeviceOwner *string
	FixedIPs              *[]FixedIP
	SecurityGroups        *[]string
	PortSecurity          *bool
	AllowedPairs          *[]AddressPair
	DHCPOptions           []DHCPOption // merged by name; an empty value removes the option
	Host                  *string
	VNICType              *string
	Profile               *map[string]any
}

// Ports is what the Networking API's ports need.
type Ports interface {
	// CreatePorts makes all of the ports, or none.
	CreatePorts(ctx context.Context, specs []PortSpec) ([]Port, error)
	Port(ctx context.Context, id string) (Port, error)
	ListPorts(ctx context.Context, f Filter, p nephos.Page) ([]Port, bool, error)
	UpdatePort(ctx context.Context, id string, u PortUpdate) (Port, error)
	// DeletePort deletes a port and frees its addresses at once. The ports of
	// routers and floating IPs are ErrConflict: they go with those.
	DeletePort(ctx context.Context, id string) error
}

var _ Ports = (*Service)(nil)

type portRow struct {
	bun.BaseModel `bun:"table:network_ports,alias:port"`
	Port
}

type portGroupRow struct {
	bun.BaseModel `bun:"table:network_port_groups,alias:pg"`

	PortID  string `bun:",pk"`
	GroupID string `bun:",pk"`
}

var portList = &listing{
	table: "network_ports", alias: "port", missing: portNotFound,
	fields: metaFields("port", map[string]field{
		"name":                  {column: "port.name"},
		"network_id":            {column: "port.network_id"},
		"mac_address":           {column: "port.mac", where: filterMAC},
		"admin_state_up":        {column: "port.admin_up", kind: boolean},
		"status":                {column: "port.status"},
		"device_id":             {column: "port.device_id"},
		"device_owner":          {column: "port.device_owner"},
		"port_security_enabled": {column: "port.port_security", kind: boolean, unsorted: true},
		"binding:host_id":       {column: "port.host", unsorted: true},
		"binding:vnic_type":     {column: "port.vnic_type", unsorted: true},
		"binding:vif_type":      {column: "port.vif_type", unsorted: true},
		"fixed_ips":             {where: filterFixedIPs},
		"security_groups": {where: func(q *bun.SelectQuery, values []string) (*bun.SelectQuery, error) {
			return q.Where("port.id IN (SELECT pg.port_id FROM network_port_groups pg WHERE pg.group_id IN (?))", bun.List(values)), nil
		}},
		"security_group_ids": {where: func(q *bun.SelectQuery, values []string) (*bun.SelectQuery, error) {
			return q.Where("port.id IN (SELECT pg.port_id FROM network_port_groups pg WHERE pg.group_id IN (?))", bun.List(values)), nil
		}},
	}),
}

// filterMAC compares MAC addresses however they are written.
func filterMAC(q *bun.SelectQuery, values []string) (*bun.SelectQuery, error) {
	macs := make([]string, len(values))
	for i, v := range values {
		macs[i] = strings.ToLower(strings.ReplaceAll(v, "-", ":"))
	}
	return q.Where("port.mac IN (?)", bun.List(macs)), nil
}

// filterFixedIPs takes the API's fixed_ips=ip_address=…, subnet_id=… and
// ip_address_substr=…: an address must have one of the values of each.
func filterFixedIPs(q *bun.SelectQuery, values []string) (*bun.SelectQuery, error) {
	by := map[string][]string{}
	for _, v := range values {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			return nil, invalidInput("fixed_ips", "'%s' is not of the form <key>=[value]", v)
		}
		switch name {
		case "ip_address":
			if a, err := netip.ParseAddr(value); err == nil {
				value = a.String()
			}
		case "subnet_id", "subnet", "ip_address_substr":
		default:
			return nil, invalidInput("fixed_ips", "'%s' is not an attribute of fixed_ips", name)
		}
		by[name] = append(by[name], value)
	}
	where, args := "", []any{}
	if in := append(by["subnet_id"], by["subnet"]...); len(in) > 0 {
		where, args = where+" AND a.subnet_id IN (?)", append(args, bun.List(in))
	}
	if in := by["ip_address"]; len(in) > 0 {
		where, args = where+" AND a.ip IN (?)", append(args, bun.List(in))
	}
	for _, part := range by["ip_address_substr"] {
		where, args = where+" AND REPLACE(a.ip, ?, '') <> a.ip", append(args, part)
	}
	return q.Where("EXISTS (SELECT 1 FROM network_allocations a WHERE a.port_id = port.id"+where+")", args...), nil
}

// Port implements [Ports].
func (s *Service) Port(ctx context.Context, id string) (Port, error) {
	p, _, err := s.portAndNetwork(ctx, id)
	return p, err
}

// portAndNetwork loads a port that the caller may see.
func (s *Service) portAndNetwork(ctx context.Context, id string) (Port, Network, error) {
	if err := s.signedIn(ctx); err != nil {
		return Port{}, Network{}, err
	}
	db := s.cfg.Store.Reader()
	p, err := s.ports().one(ctx, db, id)
	if err != nil {
		return Port{}, Network{}, err
	}
	var n networkRow
	if _, err := one(ctx, db.NewSelect().Model(&n).Where("net.id = ?", p.NetworkID)); err != nil {
		return Port{}, Network{}, err
	}
	if !s.everywhere(ctx) && s.allow(ctx, portTarget(p, n.Network), "get_port") != nil {
		return Port{}, Network{}, portNotFound(id)
	}
	return p, n.Network, nil
}

func portTarget(p Port, n Network) policy.Target {
	t := onNetwork(p.ProjectID, n)
	t["device_owner"] = p.DeviceOwner
	return t
}

// ListPorts implements [Ports].
func (s *Service) ListPorts(ctx context.Context, f Filter, p nephos.Page) ([]Port, bool, error) {
	if err := s.signedIn(ctx); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []portRow
	q := db.NewSelect().Model(&rows)
	if !s.everywhere(ctx) {
		project := caller(ctx).ProjectID
		if !s.cfg.Policy.Allowed(ctx, "get_port", owned(project)) {
			return nil, false, nil
		}
		q = q.Where("(port.project_id = ? OR port.network_id IN (SELECT id FROM network_networks WHERE project_id = ?))", project, project)
	}
	more, err := find(ctx, db, portList, q, &rows, f, p)
	if err != nil {
		return nil, false, err
	}
	ports, err := wholePorts(ctx, db, rows)
	return ports, more, err
}

// loadPorts returns those ports that exist, complete. It checks no policy.
func loadPorts(ctx context.Context, db bun.IDB, ids ...string) ([]Port, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []portRow
	if err := db.NewSelect().Model(&rows).Where("port.id IN (?)", bun.List(ids)).OrderExpr("port.created_at, port.id").Scan(ctx); err != nil {
		return nil, err
	}
	return wholePorts(ctx, db, rows)
}

// wholePorts adds addresses and groups, in two queries.
func wholePorts(ctx context.Context, db bun.IDB, rows []portRow) ([]Port, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	ports := make([]Port, len(rows))
	at := make(map[string]int, len(rows))
	ids := make([]string, len(rows))
	for i := range rows {
		p := rows[i].Port
		p.Tags, p.AllowedPairs, p.DHCPOptions = nonNil(p.Tags), nonNil(p.AllowedPairs), nonNil(p.DHCPOptions)
		p.FixedIPs, p.SecurityGroups = []FixedIP{}, []string{}
		if p.Profile == nil {
			p.Profile = map[string]any{}
		}
		ports[i], at[p.ID], ids[i] = p, i, p.ID
	}
	var addresses []allocationRow
	if err := db.NewSelect().Model(&addresses).Where("alloc.port_id IN (?)", bun.List(ids)).OrderExpr("alloc.port_id, alloc.ordinal").Scan(ctx); err != nil {
		return nil, err
	}
	for _, a := range addresses {
		p := &ports[at[a.PortID]]
		p.FixedIPs = append(p.FixedIPs, FixedIP{a.SubnetID, a.IP})
	}
	var groups []portGroupRow
	if err := db.NewSelect().Model(&groups).Where("pg.port_id IN (?)", bun.List(ids)).OrderExpr("pg.port_id, pg.group_id").Scan(ctx); err != nil {
		return nil, err
	}
	for _, g := range groups {
		p := &ports[at[g.PortID]]
		p.SecurityGroups = append(p.SecurityGroups, g.GroupID)
	}
	return ports, nil
}

// DeletePort implements [Ports].
func (s *Service) DeletePort(ctx context.Context, id string) error {
	p, n, err := s.portAndNetwork(ctx, id)
	if err != nil {
		return err
	}
	if err := s.allow(ctx, portTarget(p, n), "delete_port"); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		p, err := s.ports().current(ctx, tx, id)
		if err != nil {
			return err
		}
		if slices.Contains([]string{OwnerRouterInterface, OwnerRouterGateway, OwnerFloatingIP}, p.DeviceOwner) {
			return conflict("ServicePortInUse", "Port %s cannot be deleted directly via the port API: has device owner %s.", id, p.DeviceOwner)
		}
		return s.removePort(ctx, tx, p)
	})
}

// removePort deletes a port, frees its addresses, and lets go of its floating
// IPs. Its host hears of it by a tombstone.
func (s *Service) removePort(ctx context.Context, tx *store.Tx, p Port) error {
	if err := s.detachFloatingIPs(ctx, tx, p.ID, nil); err != nil {
		return err
	}
	if err := s.release(ctx, tx, p.FixedIPs); err != nil {
		return err
	}
	for _, q := range []string{"DELETE FROM network_port_groups WHERE port_id = ?", "DELETE FROM network_ports WHERE id = ?"} {
		if _, err := tx.NewRaw(q, p.ID).Exec(ctx); err != nil {
			return err
		}
	}
	if err := emit(ctx, tx, "port.delete", p.Meta, portEvent(p)); err != nil {
		return err
	}
	return s.portChanged(ctx, tx, p, p.SecurityGroups)
}

// portEvent is what an event says of a port, so that compute knows which
// server's addresses have changed.
func portEvent(p Port) map[string]any {
	return map[string]any{
		"device_id": p.DeviceID, "device_owner": p.DeviceOwner, "network_id": p.NetworkID,
		"host": p.Host, "status": p.Status, "reason": p.Reason, "owner_key": p.OwnerKey,
	}
}
