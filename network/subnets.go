package network

import (
	"context"
	"net/netip"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Subnet is a block of addresses on a network.
type Subnet struct {
	Meta
	Name, Description string
	NetworkID         string
	IPVersion         int
	CIDR              netip.Prefix `bun:"cidr"`
	Gateway           netip.Addr   `bun:"-"` // invalid: none
	DHCP              bool         `bun:"dhcp"`
	Pools             []Pool
	DNS               []netip.Addr `bun:"dns"`
	Routes            []Route
	RAMode            string `bun:"ra_mode"` // slaac, dhcpv6-stateful, dhcpv6-stateless or empty
	AddressMode       string // the same
}

// Route is a static route.
type Route struct {
	Destination netip.Prefix
	NextHop     netip.Addr
}

// auto reports whether ports compute their own addresses on the subnet.
func (s Subnet) auto() bool {
	return s.AddressMode == "slaac" || s.AddressMode == "dhcpv6-stateless"
}

// SubnetSpec describes a subnet to create. Nil is the default.
type SubnetSpec struct {
	ProjectID, NetworkID, Name, Description string
	IPVersion                               int
	CIDR                                    netip.Prefix
	Gateway                                 *netip.Addr // nil: the first address; invalid: none
	DHCP                                    *bool       // true
	Pools                                   []Pool      // nil: all but the gateway
	DNS                                     []netip.Addr
	Routes                                  []Route
	RAMode, AddressMode                     string
}

// SubnetUpdate changes a subnet; what is nil stays.
type SubnetUpdate struct {
	Name, Description *string
	Gateway           *netip.Addr // invalid: none
	DHCP              *bool
	Pools             *[]Pool
	DNS               *[]netip.Addr
	Routes            *[]Route
}

// Subnets is what the Networking API's subnets need.
type Subnets interface {
	// CreateSubnets makes all of the subnets, or none.
	CreateSubnets(ctx context.Context, specs []SubnetSpec) ([]Subnet, error)
	Subnet(ctx context.Context, id string) (Subnet, error)
	ListSubnets(ctx context.Context, f Filter, p nephos.Page) ([]Subnet, bool, error)
	UpdateSubnet(ctx context.Context, id string, u SubnetUpdate) (Subnet, error)
	// DeleteSubnet deletes a subnet; ErrConflict while ports have addresses of it.
	DeleteSubnet(ctx context.Context, id string) error
}

var _ Subnets = (*Service)(nil)

type subnetRow struct {
	bun.BaseModel `bun:"table:network_subnets,alias:subnet"`
	Subnet
	GatewayText string `bun:"gateway"`
}

// BeforeAppendModel writes the gateway as text, which no gateway leaves empty.
func (r *subnetRow) BeforeAppendModel(context.Context, bun.Query) error {
	r.GatewayText = addrText(r.Gateway)
	return nil
}

// AfterScanRow reads it again.
func (r *subnetRow) AfterScanRow(context.Context) (err error) {
	r.Gateway, err = textAddr(r.GatewayText)
	return err
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func textAddr(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	return netip.ParseAddr(s)
}

var (
	_ bun.BeforeAppendModelHook = (*subnetRow)(nil)
	_ bun.AfterScanRowHook      = (*subnetRow)(nil)
)

var subnetList = &listing{
	table: "network_subnets", alias: "subnet", missing: subnetNotFound,
	fields: metaFields("subnet", map[string]field{
		"name":              {column: "subnet.name"},
		"network_id":        {column: "subnet.network_id"},
		"ip_version":        {column: "subnet.ip_version", kind: integer},
		"cidr":              {column: "subnet.cidr"},
		"gateway_ip":        {column: "subnet.gateway"},
		"enable_dhcp":       {column: "subnet.dhcp", kind: boolean},
		"ipv6_ra_mode":      {column: "subnet.ra_mode"},
		"ipv6_address_mode": {column: "subnet.address_mode"},
		"subnetpool_id":     {column: "CASE WHEN subnet.id = '' THEN 'x' ELSE '' END"}, // none is of a pool
		"shared": {where: func(q *bun.SelectQuery, values []string) (*bun.SelectQuery, error) {
			for _, v := range values {
				b, err := parseBool(v)
				if err != nil {
					return nil, err
				}
				q = q.Where("EXISTS (SELECT 1 FROM network_networks n WHERE n.id = subnet.network_id AND n.shared = ?)", b)
			}
			return q, nil
		}},
	}),
}

// CreateSubnets implements [Subnets].
func (s *Service) CreateSubnets(ctx context.Context, specs []SubnetSpec) ([]Subnet, error) {
	for i := range specs {
		owner, err := s.ownerOf(ctx, specs[i].ProjectID)
		if err != nil {
			return nil, err
		}
		specs[i].ProjectID = owner
		n, err := s.visibleNetwork(ctx, s.cfg.Store.Reader(), specs[i].NetworkID)
		if err != nil {
			return nil, s.hideNetwork(ctx, err)
		}
		if err := s.allow(ctx, onNetwork(owner, n), "create_subnet"); err != nil {
			return nil, err
		}
		// A member may make networks of their own, but subnets on others' no more
		// than anything else there.
		if n.ProjectID != owner && !s.everywhere(ctx) {
			return nil, &nephos.Error{Kind: nephos.ErrForbidden, Message: "rule:create_subnet is disallowed by policy", Reason: "PolicyNotAuthorized"}
		}
		if err := checkSubnetSpec(&specs[i]); err != nil {
			return nil, err
		}
	}
	return create(ctx, s.subnets(), specs, s.insertSubnet)
}

// hideNetwork says who is not signed in so before saying what is not there.
func (s *Service) hideNetwork(ctx context.Context, err error) error {
	if e := s.signedIn(ctx); e != nil {
		return e
	}
	return err
}

func (s *Service) insertSubnet(ctx context.Context, tx *store.Tx, id string, spec SubnetSpec) (Subnet, error) {
	sub := Subnet{
		Meta: s.newMeta(id, spec.ProjectID), Name: spec.Name, Description: spec.Description,
		NetworkID: spec.NetworkID, IPVersion: spec.IPVersion, CIDR: spec.CIDR, Gateway: *spec.Gateway,
		DHCP: or(spec.DHCP, true), Pools: nonNil(spec.Pools), DNS: nonNil(spec.DNS), Routes: nonNil(spec.Routes),
		RAMode: spec.RAMode, AddressMode: spec.AddressMode,
	}
	var others []Subnet
	var rows []subnetRow
	if err := tx.NewSelect().Model(&rows).Where("subnet.network_id = ?", spec.NetworkID).OrderExpr("subnet.created_at, subnet.id").Scan(ctx); err != nil {
		return sub, err
	}
	for _, r := range rows {
		others = append(others, r.Subnet)
		// Two of one instant keep the order in which they were asked for.
		if !r.CreatedAt.Before(sub.CreatedAt) {
			sub.CreatedAt = r.CreatedAt.Add(time.Microsecond)
		}
	}
	for _, o := range others {
		if o.CIDR.Overlaps(sub.CIDR) {
			return sub, invalidInput("cidr", "Requested subnet with cidr: %s for network: %s overlaps with another subnet", sub.CIDR, sub.NetworkID)
		}
	}
	// The network may have gone since it was looked at.
	n, err := tx.NewSelect().Table("network_networks").Where("id = ?", spec.NetworkID).Count(ctx)
	if err != nil {
		return sub, err
	}
	if n == 0 {
		return sub, networkNotFound(spec.NetworkID)
	}
	if _, err := tx.NewInsert().Model(&subnetRow{Subnet: sub}).Exec(ctx); err != nil {
		return sub, err
	}
	if !sub.auto() {
		if err := resetFree(ctx, tx, sub.ID, sub.Pools); err != nil {
			return sub, err
		}
	}
	if err := emit(ctx, tx, "subnet.create", sub.Meta, map[string]string{"network_id": sub.NetworkID}); err != nil {
		return sub, err
	}
	if err := networkTouched(ctx, tx, sub.NetworkID); err != nil {
		return sub, err
	}
	return sub, s.republishNetwork(ctx, tx, sub.NetworkID)
}

// Subnet implements [Subnets].
func (s *Service) Subnet(ctx context.Context, id string) (Subnet, error) {
	sub, _, err := s.subnetAndNetwork(ctx, id)
	return sub, err
}

// subnetAndNetwork loads a subnet that the caller may see.
func (s *Service) subnetAndNetwork(ctx context.Context, id string) (Subnet, Network, error) {
	if err := s.signedIn(ctx); err != nil {
		return Subnet{}, Network{}, err
	}
	db := s.cfg.Store.Reader()
	sub, err := s.subnets().one(ctx, db, id)
	if err != nil {
		return Subnet{}, Network{}, err
	}
	var n networkRow
	if _, err := one(ctx, db.NewSelect().Model(&n).Where("net.id = ?", sub.NetworkID)); err != nil {
		return Subnet{}, Network{}, err
	}
	if s.allow(ctx, onNetwork(sub.ProjectID, n.Network), "get_subnet") != nil && !s.everywhere(ctx) {
		return Subnet{}, Network{}, subnetNotFound(id)
	}
	return sub, n.Network, nil
}

// ListSubnets implements [Subnets].
func (s *Service) ListSubnets(ctx context.Context, f Filter, p nephos.Page) ([]Subnet, bool, error) {
	if err := s.signedIn(ctx); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []subnetRow
	q := db.NewSelect().Model(&rows)
	if !s.everywhere(ctx) {
		project := caller(ctx).ProjectID
		q = q.Where(`(subnet.project_id = ? OR subnet.network_id IN (SELECT id FROM network_networks WHERE shared = TRUE OR project_id = ?))`, project, project)
		if !s.cfg.Policy.Allowed(ctx, "get_subnet", owned(project)) {
			return nil, false, nil
		}
	}
	more, err := find(ctx, db, subnetList, q, &rows, f, p)
	subnets := make([]Subnet, len(rows))
	for i := range rows {
		subnets[i] = rows[i].whole()
	}
	return subnets, more, err
}

func (r *subnetRow) whole() Subnet {
	s := r.Subnet
	s.Tags, s.Pools, s.DNS, s.Routes = nonNil(s.Tags), nonNil(s.Pools), nonNil(s.DNS), nonNil(s.Routes)
	return s
}

// loadSubnets returns those subnets that exist. It checks no policy.
func loadSubnets(ctx context.Context, db bun.IDB, ids ...string) ([]Subnet, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return scanSubnets(ctx, db.NewSelect().Where("subnet.id IN (?)", bun.List(ids)))
}

// subnetsOf returns the subnets of networks, oldest first.
func subnetsOf(ctx context.Context, db bun.IDB, networkIDs ...string) ([]Subnet, error) {
	if len(networkIDs) == 0 {
		return nil, nil
	}
	return scanSubnets(ctx, db.NewSelect().Where("subnet.network_id IN (?)", bun.List(networkIDs)))
}

func scanSubnets(ctx context.Context, q *bun.SelectQuery) ([]Subnet, error) {
	var rows []subnetRow
	if err := q.Model(&rows).OrderExpr("subnet.created_at, subnet.id").Scan(ctx); err != nil {
		return nil, err
	}
	subnets := make([]Subnet, len(rows))
	for i := range rows {
		subnets[i] = rows[i].whole()
	}
	return subnets, nil
}
