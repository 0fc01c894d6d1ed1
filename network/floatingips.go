package network

import (
	"context"
	"net/netip"
	"slices"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// FloatingIP is an external address that can be mapped to a port's.
type FloatingIP struct {
	Meta
	Description  string
	NetworkID    string     // the external network
	Address      netip.Addr // on it
	OwnPortID    string     // the port that holds the address
	PortID       string     // the port that it is mapped to; empty: none
	FixedAddress netip.Addr `bun:"-"` // that port's
	RouterID     string     // which router maps it
	Status       string
	Mapping      *string // unique: one floating IP of a network for each fixed address

	PortDetails *PortDetails `bun:"-"`
}

// PortDetails is what a floating IP tells of the port that it is mapped to.
type PortDetails struct {
	Name, NetworkID, MAC, Status, DeviceID, DeviceOwner string
	AdminUp                                             bool
}

// FloatingIPSpec describes a floating IP to create.
type FloatingIPSpec struct {
	ProjectID, Description string
	NetworkID              string
	SubnetID               string     // empty: any
	Address                netip.Addr // invalid: chosen
	PortID                 string     // empty: mapped to nothing
	FixedAddress           netip.Addr // invalid: the port's only one
}

// FloatingIPUpdate changes a floating IP; what is nil stays.
type FloatingIPUpdate struct {
	Description  *string
	PortID       *string // empty: mapped to nothing
	FixedAddress *netip.Addr
}

// FloatingIPs is what the Networking API's floating IPs need.
type FloatingIPs interface {
	// CreateFloatingIPs makes all of the floating IPs, or none.
	CreateFloatingIPs(ctx context.Context, specs []FloatingIPSpec) ([]FloatingIP, error)
	FloatingIP(ctx context.Context, id string) (FloatingIP, error)
	ListFloatingIPs(ctx context.Context, f Filter, p nephos.Page) ([]FloatingIP, bool, error)
	// UpdateFloatingIP maps, moves or unmaps; an update of nothing unmaps, too. A port that no router connects with
	// the external network is ErrNotFound.
	UpdateFloatingIP(ctx context.Context, id string, u FloatingIPUpdate) (FloatingIP, error)
	DeleteFloatingIP(ctx context.Context, id string) error
}

var _ FloatingIPs = (*Service)(nil)

type floatingIPRow struct {
	bun.BaseModel `bun:"table:network_floatingips,alias:fip"`
	FloatingIP
	FixedText string `bun:"fixed_address"`
}

// BeforeAppendModel writes the fixed address as text, which none leaves empty.
func (r *floatingIPRow) BeforeAppendModel(context.Context, bun.Query) error {
	r.FixedText = addrText(r.FixedAddress)
	return nil
}

// AfterScanRow reads it again.
func (r *floatingIPRow) AfterScanRow(context.Context) (err error) {
	r.FixedAddress, err = textAddr(r.FixedText)
	return err
}

var (
	_ bun.BeforeAppendModelHook = (*floatingIPRow)(nil)
	_ bun.AfterScanRowHook      = (*floatingIPRow)(nil)
)

var floatingIPList = &listing{
	table: "network_floatingips", alias: "fip", missing: floatingIPNotFound,
	fields: metaFields("fip", map[string]field{
		"floating_network_id": {column: "fip.network_id"},
		"floating_ip_address": {column: "fip.address"},
		"port_id":             {column: "fip.port_id"},
		"fixed_ip_address":    {column: "fip.fixed_address"},
		"router_id":           {column: "fip.router_id"},
		"status":              {column: "fip.status"},
	}),
}

// CreateFloatingIPs implements [FloatingIPs].
func (s *Service) CreateFloatingIPs(ctx context.Context, specs []FloatingIPSpec) ([]FloatingIP, error) {
	for i := range specs {
		owner, err := s.ownerOf(ctx, specs[i].ProjectID)
		if err != nil {
			return nil, err
		}
		specs[i].ProjectID = owner
		var attributes []string
		if specs[i].Address.IsValid() {
			attributes = []string{"floating_ip_address"}
		}
		if err := s.allow(ctx, owned(owner), "create_floatingip", attributes...); err != nil {
			return nil, err
		}
		n, err := s.visibleNetwork(ctx, s.cfg.Store.Reader(), specs[i].NetworkID)
		if err != nil {
			return nil, err
		}
		if !n.External {
			return nil, badRequest("floatingip", "Network %s is not a valid external network", n.ID)
		}
		if specs[i].PortID == "" && specs[i].FixedAddress.IsValid() {
			return nil, badRequest("floatingip", "fixed_ip_address cannot be specified without a port_id")
		}
		if err := s.checkTarget(ctx, owner, specs[i].PortID); err != nil {
			return nil, err
		}
	}
	fips, err := create(ctx, s.floatingIPs(), specs, s.insertFloatingIP)
	if err != nil {
		return nil, err
	}
	return fips, s.fillFloatingIPs(ctx, s.cfg.Store.Reader(), fips)
}

// checkTarget looks, as the user, at a port that a floating IP shall be mapped to.
func (s *Service) checkTarget(ctx context.Context, owner, portID string) error {
	if portID == "" {
		return nil
	}
	p, _, err := s.portAndNetwork(ctx, portID)
	if err != nil {
		return err
	}
	if p.ProjectID != owner && !s.everywhere(ctx) {
		return badRequest("floatingip", "Cannot process floating IP association with Port %s, since that port is owned by a different tenant", portID)
	}
	return nil
}

func (s *Service) insertFloatingIP(ctx context.Context, tx *store.Tx, id string, spec FloatingIPSpec) (FloatingIP, error) {
	f := FloatingIP{Meta: s.newMeta(id, spec.ProjectID), Description: spec.Description, NetworkID: spec.NetworkID, Status: StatusDown}
	var n networkRow
	ok, err := one(ctx, tx.NewSelect().Model(&n).Where("net.id = ?", spec.NetworkID))
	if err != nil {
		return f, err
	}
	if !ok {
		return f, networkNotFound(spec.NetworkID)
	}
	subnets, err := subnetsOf(ctx, tx, spec.NetworkID)
	if err != nil {
		return f, err
	}
	subnets = slices.DeleteFunc(subnets, func(sub Subnet) bool { return sub.IPVersion != 4 })
	if len(subnets) == 0 {
		return f, badRequest("floatingip", "Network %s does not contain any IPv4 subnet", spec.NetworkID)
	}
	want := []FixedIP{{SubnetID: spec.SubnetID, IP: spec.Address}}
	if !spec.Address.IsValid() && spec.SubnetID == "" {
		if want, err = freeSubnet(ctx, tx, subnets, spec.NetworkID); err != nil {
			return f, err
		}
	}
	p, err := s.insertPort(ctx, tx, s.cfg.IDs.New(), PortSpec{
		NetworkID: spec.NetworkID, DeviceID: id, DeviceOwner: OwnerFloatingIP, FixedIPs: &want,
	}, n.Network)
	if err != nil {
		return f, err
	}
	f.OwnPortID, f.Address = p.ID, p.FixedIPs[0].IP
	if spec.PortID != "" {
		if err := s.mapFloatingIP(ctx, tx, &f, spec.PortID, spec.FixedAddress); err != nil {
			return f, err
		}
	}
	if _, err := tx.NewInsert().Model(&floatingIPRow{FloatingIP: f}).Exec(ctx); err != nil {
		if store.UniqueViolation(err) {
			return f, alreadyMapped(f)
		}
		return f, err
	}
	if err := s.emitFloatingIP(ctx, tx, "floatingip.create", f, f.PortID); err != nil {
		return f, err
	}
	return f, s.toldRouters(ctx, tx, f.RouterID)
}

// freeSubnet returns the first subnet that has a free address.
func freeSubnet(ctx context.Context, tx *store.Tx, subnets []Subnet, networkID string) ([]FixedIP, error) {
	for _, sub := range subnets {
		n, err := tx.NewSelect().Table("network_free").Where("subnet_id = ?", sub.ID).Limit(1).Count(ctx)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			return []FixedIP{{SubnetID: sub.ID}}, nil
		}
	}
	return nil, noMoreAddresses(networkID)
}

func alreadyMapped(f FloatingIP) error {
	return conflict("FloatingIPPortAlreadyAssociated", "Cannot associate floating IP %s (%s) with port %s using fixed IP %s, as that fixed IP already has a floating IP on external network %s.",
		f.Address, f.ID, f.PortID, f.FixedAddress, f.NetworkID)
}

func (s *Service) toldRouters(ctx context.Context, tx *store.Tx, ids ...string) error {
	for _, id := range ids {
		if id == "" {
			continue
		}
		if err := s.enqueue(ctx, tx, kindRouter, id); err != nil {
			return err
		}
	}
	return nil
}

// mapFloatingIP points a floating IP at a port's address and finds the router
// that maps it.
func (s *Service) mapFloatingIP(ctx context.Context, tx *store.Tx, f *FloatingIP, portID string, fixed netip.Addr) error {
	p, err := s.ports().one(ctx, tx, portID)
	if err != nil {
		return err
	}
	if p.DeviceOwner == OwnerFloatingIP || p.DeviceOwner == OwnerRouterGateway {
		return badRequest("floatingip", "Port %s is unable to be assigned a floating IP", portID)
	}
	a, err := fixedOf(p, fixed)
	if err != nil {
		return err
	}
	routers, err := reaching(ctx, tx, a.SubnetID, f.NetworkID)
	if err != nil {
		return err
	}
	if len(routers) == 0 {
		return notFoundOn("ExternalGatewayForFloatingIPNotFound", "External network %s is not reachable from subnet %s.  Therefore, cannot associate Port %s with a Floating IP.", f.NetworkID, a.SubnetID, portID)
	}
	mapping := portID + "/" + a.IP.String() + "/" + f.NetworkID[:min(8, len(f.NetworkID))]
	f.PortID, f.FixedAddress, f.RouterID, f.Mapping, f.Status = portID, a.IP, routers[0], &mapping, StatusDown
	if s.cfg.Fleet == nil {
		f.Status = StatusActive
	}
	n, err := tx.NewSelect().Table("network_floatingips").Where("mapping = ? AND id <> ?", mapping, f.ID).Count(ctx)
	if err == nil && n > 0 {
		err = alreadyMapped(*f)
	}
	return err
}

// fixedOf is the port's address that is meant.
func fixedOf(p Port, fixed netip.Addr) (FixedIP, error) {
	if fixed.IsValid() {
		if !fixed.Is4() {
			return FixedIP{}, badRequest("floatingip", "Cannot process floating IP association with %s, since that is not an IPv4 address", fixed)
		}
		for _, a := range p.FixedIPs {
			if a.IP == fixed {
				return a, nil
			}
		}
		return FixedIP{}, badRequest("floatingip", "Port %s does not have fixed ip %s", p.ID, fixed)
	}
	var v4 []FixedIP
	for _, a := range p.FixedIPs {
		if a.IP.Is4() {
			v4 = append(v4, a)
		}
	}
	switch len(v4) {
	case 0:
		return FixedIP{}, badRequest("floatingip", "Cannot add floating IP to port %s that has no fixed IPv4 addresses", p.ID)
	case 1:
		return v4[0], nil
	}
	return FixedIP{}, badRequest("floatingip", "Port %s has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when assigning a floating IP", p.ID)
}

// reaching returns the routers between a subnet and an external network, the one
// that is the subnet's gateway first.
func reaching(ctx context.Context, tx *store.Tx, subnetID, networkID string) ([]string, error) {
	var ids []string
	err := tx.NewRaw(`SELECT r.id FROM network_routers r JOIN network_ports p ON p.device_id = r.id AND p.device_owner = ?
		JOIN network_allocations a ON a.port_id = p.id JOIN network_subnets s ON s.id = a.subnet_id
		WHERE a.subnet_id = ? AND r.gateway_network_id = ?
		ORDER BY CASE WHEN a.ip = s.gateway THEN 0 ELSE 1 END, r.created_at, r.id`, OwnerRouterInterface, subnetID, networkID).Scan(ctx, &ids)
	return ids, err
}

// FloatingIP implements [FloatingIPs].
func (s *Service) FloatingIP(ctx context.Context, id string) (FloatingIP, error) {
	f, err := s.floatingIPs().shown(ctx, id)
	if err != nil {
		return f, err
	}
	fips := []FloatingIP{f}
	err = s.fillFloatingIPs(ctx, s.cfg.Store.Reader(), fips)
	return fips[0], err
}

// ListFloatingIPs implements [FloatingIPs].
func (s *Service) ListFloatingIPs(ctx context.Context, f Filter, p nephos.Page) ([]FloatingIP, bool, error) {
	if err := s.signedIn(ctx); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []floatingIPRow
	q, ok := s.ownOnly(ctx, db.NewSelect().Model(&rows), "fip", "get_floatingip")
	if !ok {
		return nil, false, nil
	}
	more, err := find(ctx, db, floatingIPList, q, &rows, f, p)
	if err != nil {
		return nil, false, err
	}
	fips := make([]FloatingIP, len(rows))
	for i := range rows {
		fips[i] = rows[i].FloatingIP
		fips[i].Tags = nonNil(fips[i].Tags)
	}
	return fips, more, s.fillFloatingIPs(ctx, db, fips)
}

// loadFloatingIPs returns those floating IPs that exist. It checks no policy.
func loadFloatingIPs(ctx context.Context, db bun.IDB, ids ...string) ([]FloatingIP, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []floatingIPRow
	if err := db.NewSelect().Model(&rows).Where("fip.id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, err
	}
	fips := make([]FloatingIP, len(rows))
	for i := range rows {
		fips[i] = rows[i].FloatingIP
		fips[i].Tags = nonNil(fips[i].Tags)
	}
	return fips, nil
}

// fillFloatingIPs adds the details of ports, in one query.
func (s *Service) fillFloatingIPs(ctx context.Context, db bun.IDB, fips []FloatingIP) error {
	var ids []string
	for _, f := range fips {
		if f.PortID != "" {
			ids = append(ids, f.PortID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var rows []portRow
	if err := db.NewSelect().Model(&rows).Where("port.id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return err
	}
	for i := range fips {
		for _, p := range rows {
			if p.ID == fips[i].PortID {
				fips[i].PortDetails = &PortDetails{
					Name: p.Name, NetworkID: p.NetworkID, MAC: p.MAC, Status: p.Status, DeviceID: p.DeviceID,
					DeviceOwner: p.DeviceOwner, AdminUp: p.AdminUp,
				}
			}
		}
	}
	return nil
}
