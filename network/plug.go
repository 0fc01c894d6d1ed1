package network

import (
	"context"
	"net/netip"
	"slices"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// PortRequest is one entry of the networks that a user asks a server to have.
// With neither PortID nor NetworkID it asks for the one network that the
// project can use.
type PortRequest struct {
	PortID    string
	NetworkID string
	FixedIP   netip.Addr // invalid: any
	Tag       string
	// SecurityGroups are names or IDs, for the ports that will be made; none
	// means the default group.
	SecurityGroups []string
}

// PortPlan is a request with everything found out.
type PortPlan struct {
	PortID           string // the existing port to use; empty: one is to be made
	NetworkID        string
	NetworkName      string
	MTU              int
	PhysicalNetwork  string // for flat and vlan networks
	FixedIP          netip.Addr
	Tag              string
	SecurityGroups   *[]string // IDs for [PortSpec]; nil: the default group
	SecurityGroupIDs []string  // the same, for display
}

// PortView is a port as compute shows it.
type PortView struct {
	Port
	Network     Network
	Subnets     []Subnet // those of its addresses
	FloatingIPs []FloatingIP
}

// CheckPorts looks, as the user, at what a server shall be plugged into, and
// returns it resolved, one plan a request. No requests at all mean the one
// network that the project can use; it is no error if there is none. The errors
// are those of the Compute API: an unknown network, port or group is ErrInvalid,
// a port in use or several possible networks ErrConflict, an external network
// that is not the user's to use ErrForbidden.
func (s *Service) CheckPorts(ctx context.Context, requests []PortRequest) ([]PortPlan, error) {
	if err := s.allow(ctx, owned(caller(ctx).ProjectID), "create_port"); err != nil {
		return nil, err
	}
	if len(requests) == 0 {
		requests = []PortRequest{{}}
	}
	db := s.cfg.Store.Reader()
	var plans []PortPlan
	var seen []string
	for _, r := range requests {
		plan := PortPlan{PortID: r.PortID, NetworkID: r.NetworkID, FixedIP: r.FixedIP, Tag: r.Tag}
		var err error
		if plan.SecurityGroups, plan.SecurityGroupIDs, err = s.groupsByName(ctx, db, r.SecurityGroups); err != nil {
			return nil, err
		}
		switch {
		case r.PortID != "":
			if slices.Contains(seen, r.PortID) {
				return nil, invalid("PortsDuplicated", "Port ID %s was given twice.", r.PortID)
			}
			seen = append(seen, r.PortID)
			p, n, err := s.checkPort(ctx, r.PortID)
			if err != nil {
				return nil, err
			}
			plan.describe(n)
			plan.SecurityGroups, plan.SecurityGroupIDs = nil, p.SecurityGroups
		case r.NetworkID != "":
			n, err := s.visibleNetwork(ctx, db, r.NetworkID)
			if err != nil {
				return nil, invalid("NetworkNotFound", "Network %s could not be found.", r.NetworkID)
			}
			if err := s.attachable(ctx, db, n, r.FixedIP); err != nil {
				return nil, err
			}
			plan.describe(n)
		default:
			n, ok, err := s.onlyNetwork(ctx, db)
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
			plan.describe(n)
		}
		plans = append(plans, plan)
	}
	return plans, nil
}

func (p *PortPlan) describe(n Network) {
	p.NetworkID, p.NetworkName, p.MTU, p.PhysicalNetwork = n.ID, n.Name, n.MTU, n.PhysicalNetwork
}

// groupsByName finds the caller's security groups.
func (s *Service) groupsByName(ctx context.Context, db bun.IDB, names []string) (*[]string, []string, error) {
	if len(names) == 0 {
		return nil, nil, nil
	}
	var rows []groupRow
	err := db.NewSelect().Model(&rows).Where("sg.project_id = ? AND (sg.id IN (?) OR sg.name IN (?))",
		caller(ctx).ProjectID, bun.List(names), bun.List(names)).Scan(ctx)
	if err != nil {
		return nil, nil, err
	}
	ids := make([]string, 0, len(names))
	for _, name := range names {
		var found []string
		for _, r := range rows {
			if r.ID == name {
				found = []string{r.ID}
				break
			}
			if r.Name == name {
				found = append(found, r.ID)
			}
		}
		switch {
		case len(found) > 1:
			return nil, nil, conflict("NoUniqueMatch", "Multiple security groups found matching '%s'. Use an ID to be more specific.", name)
		case len(found) == 1:
			ids = append(ids, found[0])
		case name == defaultGroupName && len(names) == 1:
			return nil, nil, nil // it will be made with the first port
		case name == defaultGroupName:
			if err := s.haveDefaultGroup(ctx); err != nil {
				return nil, nil, err
			}
			return s.groupsByName(ctx, db, names)
		default:
			return nil, nil, invalid("SecurityGroupNotFound", "Security group %s not found.", name)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return &ids, ids, nil
}

// checkPort looks at an existing port that a server shall use.
func (s *Service) checkPort(ctx context.Context, id string) (Port, Network, error) {
	p, n, err := s.portAndNetwork(ctx, id)
	if err != nil {
		return p, n, invalid("PortNotFound", "Port id %s could not be found.", id)
	}
	if p.ProjectID != caller(ctx).ProjectID && !s.everywhere(ctx) {
		return p, n, invalid("PortNotFound", "Port id %s could not be found.", id)
	}
	if p.DeviceID != "" {
		return p, n, conflict("PortInUse", "Port %s is still in use.", id)
	}
	return p, n, nil
}

// attachable refuses networks that a server of the caller cannot be on.
func (s *Service) attachable(ctx context.Context, db bun.IDB, n Network, fixed netip.Addr) error {
	if n.External && !n.Shared && !s.cfg.Policy.Allowed(ctx, "context_is_admin", nil) {
		return nephos.Errorf(nephos.ErrForbidden, "It is not allowed to create an interface on external network %s", n.ID).WithReason("ExternalNetworkAttachForbidden")
	}
	subnets, err := subnetsOf(ctx, db, n.ID)
	if err != nil {
		return err
	}
	if len(subnets) == 0 {
		return invalid("NetworkRequiresSubnet", "Network %s requires a subnet in order to boot instances on.", n.ID)
	}
	if !fixed.IsValid() {
		return nil
	}
	if !slices.ContainsFunc(subnets, func(sub Subnet) bool { return usable(sub, fixed) }) {
		return invalid("InvalidIpForNetwork", "Fixed IP %s is not a valid ip address for network %s.", fixed, n.ID)
	}
	var ports []Port
	var rows []portRow
	err = db.NewSelect().Model(&rows).Where("port.id IN (SELECT a.port_id FROM network_allocations a WHERE a.network_id = ? AND a.ip = ?)", n.ID, fixed.String()).Scan(ctx)
	if err != nil {
		return err
	}
	if ports, err = wholePorts(ctx, db, rows); err != nil || len(ports) == 0 {
		return err
	}
	return invalid("FixedIpAlreadyInUse", "Fixed IP address %s is already in use on instance %s.", fixed, ports[0].DeviceID)
}

// onlyNetwork finds the one network that a server gets when none is named.
func (s *Service) onlyNetwork(ctx context.Context, db bun.IDB) (Network, bool, error) {
	var rows []networkRow
	err := db.NewSelect().Model(&rows).Where("(net.project_id = ? AND net.external = FALSE) OR net.shared = TRUE", caller(ctx).ProjectID).Limit(2).Scan(ctx)
	if err != nil || len(rows) == 0 {
		return Network{}, false, err
	}
	if len(rows) > 1 {
		return Network{}, false, conflict("NetworkAmbiguous", "Multiple possible networks found, use a Network ID to be more specific.")
	}
	return rows[0].Network, true, s.attachable(ctx, db, rows[0].Network, netip.Addr{})
}

// EnsurePort makes a port for the owner, or takes the existing one that the spec
// names, and binds it to the spec's host. Another call with the same key finds
// the port that the first made, and moves it if the host is another. The port's
// project is the spec's, and so is the quota. A port that some other device has
// is ErrConflict.
//
// It returns once the port is written down; it is then on its way to the host,
// and its status becomes ACTIVE, with an event port.update, when the host has
// reported it.
func (s *Service) EnsurePort(ctx context.Context, ownerKey string, spec PortSpec) (Port, error) {
	if err := s.allow(ctx, owned(spec.ProjectID), "ensure_port"); err != nil {
		return Port{}, err
	}
	if ownerKey == "" {
		return Port{}, nephos.Errorf(nephos.ErrInvalid, "ensuring a port: no owner key given")
	}
	var p Port
	id := s.cfg.IDs.New()
	ensure := func() error {
		return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
			var err error
			p, err = s.ensurePort(ctx, tx, id, ownerKey, spec)
			return err
		})
	}
	err := s.retryMAC(ensure)
	if store.UniqueViolation(err) {
		err = s.retryMAC(ensure) // two with one key: the other was first
	}
	return p, err
}

func (s *Service) ensurePort(ctx context.Context, tx *store.Tx, id, ownerKey string, spec PortSpec) (Port, error) {
	p, ok, err := portOfOwner(ctx, tx, ownerKey)
	if err != nil {
		return p, err
	}
	if ok {
		if p.Host == spec.Host && p.DeviceID == spec.DeviceID && p.Hostname == spec.Hostname {
			return p, nil
		}
		return p, s.take(ctx, tx, &p, ownerKey, spec)
	}
	if spec.PortID != "" {
		ports, err := loadPorts(ctx, tx, spec.PortID)
		if err != nil {
			return p, err
		}
		if len(ports) == 0 || spec.ProjectID != "" && ports[0].ProjectID != spec.ProjectID && ports[0].DeviceID != spec.DeviceID {
			return p, portNotFound(spec.PortID)
		}
		p = ports[0]
		if p.OwnerKey != nil || p.DeviceID != "" && p.DeviceID != spec.DeviceID {
			return p, conflict("PortInUse", "Unable to complete operation on port %s for network %s. Port already has an attached device %s.", p.ID, p.NetworkID, p.DeviceID)
		}
		return p, s.take(ctx, tx, &p, ownerKey, spec)
	}
	var n networkRow
	ok, err = one(ctx, tx.NewSelect().Model(&n).Where("net.id = ?", spec.NetworkID))
	if err != nil {
		return p, err
	}
	if !ok {
		return p, networkNotFound(spec.NetworkID)
	}
	if err := s.quota(ctx, tx, spec.ProjectID, "port", 1); err != nil {
		return p, err
	}
	if p, err = s.insertPort(ctx, tx, id, spec, n.Network); err != nil {
		return p, err
	}
	p.OwnerKey, p.MadeForOwner = &ownerKey, true
	_, err = tx.NewUpdate().Model(&portRow{Port: p}).Column("owner_key", "made_for_owner").WherePK().Exec(ctx)
	return p, err
}

// take plugs a port that exists into the owner's device.
func (s *Service) take(ctx context.Context, tx *store.Tx, p *Port, ownerKey string, spec PortSpec) error {
	p.OwnerKey, p.DeviceID, p.DeviceOwner, p.Hostname = &ownerKey, spec.DeviceID, spec.DeviceOwner, spec.Hostname
	if spec.Profile != nil {
		p.Profile = spec.Profile
	}
	if p.Host != spec.Host {
		s.bind(p, spec.Host)
	}
	return s.replug(ctx, tx, p)
}

// replug writes a port whose binding has changed.
func (s *Service) replug(ctx context.Context, tx *store.Tx, p *Port) error {
	p.touch(tx.Now())
	if _, err := tx.NewUpdate().Model(&portRow{Port: *p}).WherePK().Exec(ctx); err != nil {
		return err
	}
	if err := emit(ctx, tx, "port.update", p.Meta, portEvent(*p)); err != nil {
		return err
	}
	return s.portChanged(ctx, tx, *p, p.SecurityGroups)
}

func portOfOwner(ctx context.Context, tx *store.Tx, ownerKey string) (Port, bool, error) {
	var ids []string
	if err := tx.NewSelect().Table("network_ports").Column("id").Where("owner_key = ?", ownerKey).Scan(ctx, &ids); err != nil || len(ids) == 0 {
		return Port{}, false, err
	}
	ports, err := loadPorts(ctx, tx, ids[0])
	if err != nil || len(ports) == 0 {
		return Port{}, false, err
	}
	return ports[0], true, nil
}

// ReleasePort lets go of what EnsurePort gave: a port made for the owner is
// deleted, another is unbound and free again. Releasing twice is no error.
func (s *Service) ReleasePort(ctx context.Context, ownerKey string) error {
	if err := s.allow(ctx, owned(""), "release_port"); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		p, ok, err := portOfOwner(ctx, tx, ownerKey)
		if err != nil || !ok {
			return err
		}
		if p.MadeForOwner {
			return s.removePort(ctx, tx, p)
		}
		p.OwnerKey, p.DeviceID, p.DeviceOwner, p.Hostname, p.Profile = nil, "", "", "", map[string]any{}
		s.bind(&p, "")
		return s.replug(ctx, tx, &p)
	})
}

// PortsOf returns the ports of devices, oldest first, with what is needed to
// show a server's addresses, in a constant number of queries. Callers who do not
// see everything get their own project's.
func (s *Service) PortsOf(ctx context.Context, deviceIDs ...string) ([]PortView, error) {
	if err := s.allow(ctx, owned(caller(ctx).ProjectID), "get_ports_of_devices"); err != nil || len(deviceIDs) == 0 {
		return nil, err
	}
	db := s.cfg.Store.Reader()
	var rows []portRow
	q := db.NewSelect().Model(&rows).Where("port.device_id IN (?)", bun.List(deviceIDs)).OrderExpr("port.created_at, port.id")
	if !s.everywhere(ctx) {
		q = q.Where("port.project_id = ?", caller(ctx).ProjectID)
	}
	if err := q.Scan(ctx); err != nil || len(rows) == 0 {
		return nil, err
	}
	ports, err := wholePorts(ctx, db, rows)
	if err != nil {
		return nil, err
	}
	var ids, netIDs, subIDs []string
	for _, p := range ports {
		ids, netIDs = append(ids, p.ID), append(netIDs, p.NetworkID)
		for _, a := range p.FixedIPs {
			subIDs = append(subIDs, a.SubnetID)
		}
	}
	var nets []networkRow
	if err := db.NewSelect().Model(&nets).Where("net.id IN (?)", bun.List(netIDs)).Scan(ctx); err != nil {
		return nil, err
	}
	subnets, err := loadSubnets(ctx, db, subIDs...)
	if err != nil {
		return nil, err
	}
	var fips []floatingIPRow
	if err := db.NewSelect().Model(&fips).Where("fip.port_id IN (?)", bun.List(ids)).OrderExpr("fip.created_at, fip.id").Scan(ctx); err != nil {
		return nil, err
	}
	views := make([]PortView, len(ports))
	for i, p := range ports {
		v := PortView{Port: p}
		for _, n := range nets {
			if n.ID == p.NetworkID {
				v.Network = n.Network
			}
		}
		for _, sub := range subnets {
			if slices.ContainsFunc(p.FixedIPs, func(a FixedIP) bool { return a.SubnetID == sub.ID }) {
				v.Subnets = append(v.Subnets, sub)
			}
		}
		for _, f := range fips {
			if f.PortID == p.ID {
				v.FloatingIPs = append(v.FloatingIPs, f.FloatingIP)
			}
		}
		views[i] = v
	}
	return views, nil
}
