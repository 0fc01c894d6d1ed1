package network

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// The types of network.
const (
	TypeLocal = "local"
	TypeFlat  = "flat"
	TypeVLAN  = "vlan"
	TypeVXLAN = "vxlan"
)

// Network is a network: a broadcast domain that ports are on.
type Network struct {
	Meta
	Name, Description string
	AdminUp           bool
	Shared            bool // every project may put ports on it
	External          bool // routers may have gateways on it, and floating IPs come from it
	IsDefault         bool // the external network for those who name none
	PortSecurity      bool // what new ports get
	MTU               int
	NetworkType       string
	PhysicalNetwork   string
	SegmentationID    int64
	ZoneHints         []string

	// SubnetIDs are its subnets', oldest first. Read only.
	SubnetIDs []string `bun:"-"`
	// Zones are the availability zones it is in. Read only.
	Zones []string `bun:"-"`
}

// Status returns ACTIVE: a network is there once it is written down.
func (Network) Status() string { return "ACTIVE" }

// Provider asks for a network on a given physical network or segment. Zero
// fields are chosen.
type Provider struct {
	Type, PhysicalNetwork string
	SegmentationID        *int64
}

// NetworkSpec describes a network to create. Nil is the default.
type NetworkSpec struct {
	ProjectID, Name, Description string
	AdminUp                      *bool // true
	Shared, External, IsDefault  *bool // false
	PortSecurity                 *bool // true
	MTU                          *int  // what the segment carries
	Provider                     *Provider
	ZoneHints                    []string
}

// NetworkUpdate changes a network; what is nil stays.
type NetworkUpdate struct {
	Name, Description           *string
	AdminUp                     *bool
	Shared, External, IsDefault *bool
	PortSecurity                *bool
	MTU                         *int
	Provider                    *Provider
}

// Networks is what the Networking API's networks need.
type Networks interface {
	// CreateNetworks makes all of the networks, or none.
	CreateNetworks(ctx context.Context, specs []NetworkSpec) ([]Network, error)
	Network(ctx context.Context, id string) (Network, error)
	// ListNetworks returns the networks that the caller may see, and whether more
	// follow.
	ListNetworks(ctx context.Context, f Filter, p nephos.Page) ([]Network, bool, error)
	UpdateNetwork(ctx context.Context, id string, u NetworkUpdate) (Network, error)
	// DeleteNetwork deletes a network and its subnets; ErrConflict while ports are
	// on it.
	DeleteNetwork(ctx context.Context, id string) error
}

var _ Networks = (*Service)(nil)

type networkRow struct {
	bun.BaseModel `bun:"table:network_networks,alias:net"`
	Network
}

var networkList = &listing{
	table: "network_networks", alias: "net", missing: networkNotFound,
	fields: metaFields("net", map[string]field{
		"name":                      {column: "net.name"},
		"admin_state_up":            {column: "net.admin_up", kind: boolean},
		"shared":                    {column: "net.shared", kind: boolean, unsorted: true},
		"router:external":           {column: "net.external", kind: boolean, unsorted: true},
		"is_default":                {column: "net.is_default", kind: boolean, unsorted: true},
		"mtu":                       {column: "net.mtu", kind: integer},
		"port_security_enabled":     {column: "net.port_security", kind: boolean, unsorted: true},
		"provider:network_type":     {column: "net.network_type", unsorted: true},
		"provider:physical_network": {column: "net.physical_network", unsorted: true},
		"provider:segmentation_id":  {column: "net.segmentation_id", kind: integer, unsorted: true},
		"status":                    {column: "CASE WHEN net.id = '' THEN '' ELSE 'ACTIVE' END"}, // what PostgreSQL takes for a constant
	}),
}

// CreateNetworks implements [Networks].
func (s *Service) CreateNetworks(ctx context.Context, specs []NetworkSpec) ([]Network, error) {
	for i := range specs {
		if err := s.checkNetworkSpec(ctx, &specs[i]); err != nil {
			return nil, err
		}
	}
	return create(ctx, s.networks(), specs, s.insertNetwork)
}

// checkNetworkSpec checks policy and what can be checked without the database.
func (s *Service) checkNetworkSpec(ctx context.Context, spec *NetworkSpec) error {
	owner, err := s.ownerOf(ctx, spec.ProjectID)
	if err != nil {
		return err
	}
	spec.ProjectID = owner
	var attributes []string
	for name, given := range map[string]bool{
		"shared": or(spec.Shared, false), "router:external": or(spec.External, false), "is_default": or(spec.IsDefault, false),
		"port_security_enabled": !or(spec.PortSecurity, true),
	} {
		if given {
			attributes = append(attributes, name)
		}
	}
	attributes = append(inOrder(attributes, "shared", "router:external", "is_default", "port_security_enabled"), providerRules(spec.Provider)...)
	if err := s.allow(ctx, owned(owner), "create_network", attributes...); err != nil {
		return err
	}
	return s.checkZoneHints(spec.ZoneHints)
}

// insertNetwork writes one network with its segment.
func (s *Service) insertNetwork(ctx context.Context, tx *store.Tx, id string, spec NetworkSpec) (Network, error) {
	n := Network{
		Meta: s.newMeta(id, spec.ProjectID), Name: spec.Name, Description: spec.Description,
		AdminUp: or(spec.AdminUp, true), Shared: or(spec.Shared, false), External: or(spec.External, false),
		IsDefault: or(spec.IsDefault, false), PortSecurity: or(spec.PortSecurity, true),
		ZoneHints: nonNil(spec.ZoneHints), SubnetIDs: []string{}, Zones: []string{},
	}
	n.Revision = 1
	if err := s.takeSegment(ctx, tx, &n, spec.Provider); err != nil {
		return n, err
	}
	n.MTU = s.segmentMTU(n.NetworkType)
	if spec.MTU != nil && *spec.MTU != 0 {
		if *spec.MTU > n.MTU {
			return n, invalidInput("mtu", "Requested MTU is too big, maximum is %d", n.MTU)
		}
		n.MTU = *spec.MTU
	}
	if n.IsDefault {
		if err := s.onlyDefault(ctx, tx, n); err != nil {
			return n, err
		}
	}
	if _, err := tx.NewInsert().Model(&networkRow{Network: n}).Exec(ctx); err != nil {
		return n, err
	}
	return n, emit(ctx, tx, "network.create", n.Meta, nil)
}

// onlyDefault refuses a second default external network.
func (s *Service) onlyDefault(ctx context.Context, tx *store.Tx, n Network) error {
	var others []string
	err := tx.NewSelect().Table("network_networks").Column("id").Where("is_default = TRUE AND external = TRUE AND id <> ?", n.ID).Limit(1).Scan(ctx, &others)
	if err != nil || len(others) == 0 {
		return err
	}
	return conflict("DefaultExternalNetworkExists", "A default external network already exists: %s.", others[0])
}

// Network implements [Networks].
func (s *Service) Network(ctx context.Context, id string) (Network, error) {
	return s.networks().shown(ctx, id)
}

// signedIn refuses a context without a caller.
func (s *Service) signedIn(ctx context.Context) error {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return nephos.Errorf(nephos.ErrUnauthenticated, "The request you have made requires authentication.")
	}
	return nil
}

// ListNetworks implements [Networks].
func (s *Service) ListNetworks(ctx context.Context, f Filter, p nephos.Page) ([]Network, bool, error) {
	if err := s.signedIn(ctx); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []networkRow
	q := db.NewSelect().Model(&rows)
	all := s.everywhere(ctx)
	if !all {
		q = q.Where("(net.project_id = ? OR net.shared = TRUE OR net.external = TRUE)", caller(ctx).ProjectID)
	}
	more, err := find(ctx, db, networkList, q, &rows, f, p)
	if err != nil {
		return nil, false, err
	}
	nets := make([]Network, 0, len(rows))
	for i := range rows {
		if all || s.cfg.Policy.Allowed(ctx, "get_network", rows[i].Network.target()) {
			nets = append(nets, rows[i].Network)
		}
	}
	return nets, more, s.fillNetworks(ctx, db, nets)
}

// loadNetworks returns those networks that exist, complete. It checks no policy.
func (s *Service) loadNetworks(ctx context.Context, db bun.IDB, ids ...string) ([]Network, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []networkRow
	if err := db.NewSelect().Model(&rows).Where("net.id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, err
	}
	nets := make([]Network, len(rows))
	for i := range rows {
		nets[i] = rows[i].Network
	}
	return nets, s.fillNetworks(ctx, db, nets)
}

// fillNetworks adds subnets and zones, in one query.
func (s *Service) fillNetworks(ctx context.Context, db bun.IDB, nets []Network) error {
	if len(nets) == 0 {
		return nil
	}
	at := make(map[string]int, len(nets))
	ids := make([]string, len(nets))
	for i := range nets {
		nets[i].SubnetIDs, nets[i].Zones = []string{}, []string{}
		if s.cfg.Fleet != nil {
			nets[i].Zones = []string{s.cfg.Zone}
		}
		nets[i].ZoneHints, nets[i].Tags = nonNil(nets[i].ZoneHints), nonNil(nets[i].Tags)
		at[nets[i].ID], ids[i] = i, nets[i].ID
	}
	var rows []struct{ ID, NetworkID string }
	err := db.NewSelect().Table("network_subnets").Column("id", "network_id").Where("network_id IN (?)", bun.List(ids)).
		OrderExpr("created_at, id").Scan(ctx, &rows)
	for _, r := range rows {
		n := &nets[at[r.NetworkID]]
		n.SubnetIDs = append(n.SubnetIDs, r.ID)
	}
	return err
}

// visibleNetwork loads the network without its subnets if the caller may see it.
func (s *Service) visibleNetwork(ctx context.Context, db bun.IDB, id string) (Network, error) {
	var row networkRow
	ok, err := one(ctx, db.NewSelect().Model(&row).Where("net.id = ?", id))
	if err != nil {
		return Network{}, err
	}
	if !ok || !s.cfg.Policy.Allowed(ctx, "get_network", row.Network.target()) && !s.everywhere(ctx) {
		return Network{}, networkNotFound(id)
	}
	return row.Network, nil
}

func nonNil[T any](in []T) []T {
	if in == nil {
		return []T{}
	}
	return in
}

// inOrder returns those of the wanted names that are given, in the wanted order.
func inOrder(given []string, want ...string) []string {
	var out []string
	for _, w := range want {
		for _, g := range given {
			if g == w {
				out = append(out, w)
			}
		}
	}
	return out
}

func countBy[T any](in []T, key func(T) string) map[string]int {
	out := map[string]int{}
	for _, v := range in {
		out[key(v)]++
	}
	return out
}

func providerRules(p *Provider) []string {
	if p == nil {
		return nil
	}
	var names []string
	if p.Type != "" {
		names = append(names, "provider:network_type")
	}
	if p.PhysicalNetwork != "" {
		names = append(names, "provider:physical_network")
	}
	if p.SegmentationID != nil {
		names = append(names, "provider:segmentation_id")
	}
	return names
}
