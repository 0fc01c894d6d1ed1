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
	Groups      []SecurityGroup // its security groups, without their rules
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
	var send []placedRow
	id := s.cfg.IDs.New()
	ensure := func() error {
		return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
			p, send, err = s.ensurePort(ctx, tx, id, ownerKey, spec)
			return err
		})
	}
	err := s.retry(ensure)
	if store.UniqueViolation(err) {
		err = s.retry(ensure) // two with one key: the other was first
	}
	if err == nil {
		s.send(ctx, send)
	}
	return p, err
}

// ensurePort returns, with the port, what is to be sent to its host.
func (s *Service) ensurePort(ctx context.Context, tx *store.Tx, id, ownerKey string, spec PortSpec) (Port, []placedRow, error) {
	p, ok, err := portOfOwner(ctx, tx, ownerKey)
	if err != nil {
		return p, nil, err
	}
	if ok {
		if p.Host == spec.Host && p.DeviceID == spec.DeviceID && p.Hostname == spec.Hostname {
			return p, nil, nil
		}
		return p, nil, s.take(ctx, tx, &p, ownerKey, spec)
	}
	if spec.PortID != "" {
		p, err = s.takeNamed(ctx, tx, ownerKey, spec)
		return p, nil, err
	}
	var n networkRow
	ok, err = one(ctx, tx.NewSelect().Model(&n).Where("net.id = ?", spec.NetworkID))
	if err != nil {
		return p, nil, err
	}
	if !ok {
		return p, nil, networkNotFound(spec.NetworkID)
	}
	if err := s.quota(ctx, tx, spec.ProjectID, "port", 1); err != nil {
		return p, nil, err
	}
	if p, err = s.writePort(ctx, tx, id, spec, n.Network); err != nil {
		return p, nil, err
	}
	p.OwnerKey, p.MadeForOwner = &ownerKey, true
	if _, err = tx.NewUpdate().Model(&portRow{Port: p}).Column("owner_key", "made_for_owner").WherePK().Exec(ctx); err != nil {
		return p, nil, err
	}
	send, err := s.placePort(ctx, tx, p)
	return p, send, err
}

// takeNamed plugs the port that the spec names.
func (s *Service) takeNamed(ctx context.Context, tx *store.Tx, ownerKey string, spec PortSpec) (p Port, err error) {
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
	var groupIDs []string
	for _, p := range ports {
		groupIDs = append(groupIDs, p.SecurityGroups...)
	}
	var groups []groupRow
	if len(groupIDs) > 0 {
		if err := db.NewSelect().Model(&groups).Where("sg.id IN (?)", bun.List(groupIDs)).OrderExpr("sg.name, sg.id").Scan(ctx); err != nil {
			return nil, err
		}
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
		for _, g := range groups {
			if slices.Contains(p.SecurityGroups, g.ID) {
				v.Groups = append(v.Groups, g.SecurityGroup)
			}
		}
		views[i] = v
	}
	return views, nil
}
