package network

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/store"
)

// maxPairs bounds a port's allowed address pairs, as Neutron's default does.
const maxPairs = 10

// placedSpec describes a port on a network.
type placedSpec struct {
	PortSpec
	on Network
}

// CreatePorts implements [Ports].
func (s *Service) CreatePorts(ctx context.Context, specs []PortSpec) ([]Port, error) {
	placed := make([]placedSpec, len(specs))
	for i := range specs {
		owner, err := s.ownerOf(ctx, specs[i].ProjectID)
		if err != nil {
			return nil, err
		}
		specs[i].ProjectID, specs[i].PortID = owner, ""
		n, err := s.visibleNetwork(ctx, s.cfg.Store.Reader(), specs[i].NetworkID)
		if err != nil {
			return nil, s.hideNetwork(ctx, err)
		}
		target := onNetwork(owner, n)
		target["device_owner"] = specs[i].DeviceOwner
		if err := s.allow(ctx, target, "create_port", createPortRules(specs[i], n)...); err != nil {
			return nil, err
		}
		// An external network that is not shared is for routers and floating IPs.
		if n.ProjectID != owner && !n.Shared && !s.everywhere(ctx) {
			return nil, networkNotFound(specs[i].NetworkID)
		}
		placed[i] = placedSpec{specs[i], n}
	}
	return create(ctx, s.ports(), placed, func(ctx context.Context, tx *store.Tx, id string, p placedSpec) (Port, error) {
		return s.insertPort(ctx, tx, id, p.PortSpec, p.on)
	})
}

// createPortRules names the attributes that have rules of their own.
func createPortRules(spec PortSpec, n Network) []string {
	var names []string
	add := func(name string, given bool) {
		if given {
			names = append(names, name)
		}
	}
	add("device_owner", spec.DeviceOwner != "")
	add("mac_address", spec.MAC != "")
	if spec.FixedIPs != nil {
		add("fixed_ips", true)
		add("fixed_ips:ip_address", slices.ContainsFunc(*spec.FixedIPs, func(f FixedIP) bool { return f.IP.IsValid() }))
		add("fixed_ips:subnet_id", slices.ContainsFunc(*spec.FixedIPs, func(f FixedIP) bool { return f.SubnetID != "" }))
	}
	add("port_security_enabled", spec.PortSecurity != nil && *spec.PortSecurity != n.PortSecurity)
	add("binding:host_id", spec.Host != "")
	add("binding:profile", spec.Profile != nil)
	add("binding:vnic_type", spec.VNICType != "" && spec.VNICType != "normal")
	add("allowed_address_pairs", len(spec.AllowedPairs) > 0)
	return names
}

func (s *Service) randomMAC() string {
	h := s.cfg.IDs.Hex()
	return "fa:16:3e:" + h[0:2] + ":" + h[2:4] + ":" + h[4:6]
}

// insertPort writes a port with its addresses and groups, and has the hosts
// told.
func (s *Service) insertPort(ctx context.Context, tx *store.Tx, id string, spec PortSpec, n Network) (Port, error) {
	p, err := s.writePort(ctx, tx, id, spec, n)
	if err != nil {
		return p, err
	}
	return p, s.portChanged(ctx, tx, p, p.SecurityGroups)
}

// writePort writes a port with its addresses and groups.
func (s *Service) writePort(ctx context.Context, tx *store.Tx, id string, spec PortSpec, n Network) (Port, error) {
	p := Port{
		Meta: s.newMeta(id, spec.ProjectID), Name: spec.Name, Description: spec.Description, NetworkID: spec.NetworkID,
		MAC: spec.MAC, AdminUp: or(spec.AdminUp, true), Status: StatusDown, DeviceID: spec.DeviceID, DeviceOwner: spec.DeviceOwner,
		PortSecurity: or(spec.PortSecurity, n.PortSecurity), AllowedPairs: nonNil(spec.AllowedPairs), DHCPOptions: mergeDHCP(nil, spec.DHCPOptions),
		Hostname: spec.Hostname, VNICType: spec.VNICType, Profile: spec.Profile, FixedIPs: []FixedIP{}, SecurityGroups: []string{},
	}
	p.Revision, p.Tags = 1, nonNil(spec.Tags)
	if p.VNICType == "" {
		p.VNICType = "normal"
	}
	if p.Profile == nil {
		p.Profile = map[string]any{}
	}
	if strings.HasPrefix(p.DeviceOwner, "network:") {
		p.PortSecurity = false
	}
	s.bind(&p, spec.Host)
	if p.MAC == "" {
		p.MAC = s.randomMAC()
	} else if err := checkMAC(p.MAC); err != nil {
		return p, err
	}
	p.MAC = strings.ToLower(p.MAC)
	if err := checkPairs(p); err != nil {
		return p, err
	}
	groups, err := s.groupsFor(ctx, tx, &p, spec.SecurityGroups)
	if err != nil {
		return p, err
	}
	subnets, err := subnetsOf(ctx, tx, spec.NetworkID)
	if err != nil {
		return p, err
	}
	if len(subnets) == 0 {
		// The network may have gone since it was looked at.
		if n, err := tx.NewSelect().Table("network_networks").Where("id = ?", spec.NetworkID).Count(ctx); err != nil || n == 0 {
			if err == nil {
				err = networkNotFound(spec.NetworkID)
			}
			return p, err
		}
	}
	if err := s.allocate(ctx, tx, &p, subnets, spec.FixedIPs); err != nil {
		return p, err
	}
	if _, err := tx.NewInsert().Model(&portRow{Port: p}).Exec(ctx); err != nil {
		if store.UniqueViolation(err) {
			if spec.MAC == "" {
				return p, errAgain
			}
			return p, conflict("MacAddressInUse", "Unable to complete operation for network %s. The mac address %s is in use.", p.NetworkID, p.MAC)
		}
		return p, err
	}
	if err := setGroups(ctx, tx, &p, groups); err != nil {
		return p, err
	}
	return p, emit(ctx, tx, "port.create", p.Meta, portEvent(p))
}

// bind puts the port on a host, or on none.
func (s *Service) bind(p *Port, host string) {
	p.Host, p.Reason = host, ""
	switch {
	case host == "":
		p.VIFType, p.Status = "unbound", StatusDown
	case s.cfg.Fleet == nil:
		// Nobody will report it: it is as up as it will be.
		p.VIFType, p.Status = "bridge", StatusActive
	default:
		p.VIFType, p.Status = "bridge", StatusDown
	}
}

func checkMAC(mac string) error {
	m, err := net.ParseMAC(mac)
	if err != nil || len(m) != 6 || m[0]&1 != 0 || strings.ContainsAny(mac, ".-") || mac == "00:00:00:00:00:00" {
		return badAttribute("mac_address", "'%s' is not a valid MAC address", mac)
	}
	return nil
}

// checkPairs checks allowed address pairs.
func checkPairs(p Port) error {
	if len(p.AllowedPairs) > maxPairs {
		return invalid("AllowedAddressPairExhausted", "The number of allowed address pair exceeds the maximum %d.", maxPairs)
	}
	if len(p.AllowedPairs) > 0 && !p.PortSecurity {
		return conflict("AddressPairAndPortSecurityRequired", "Port Security must be enabled in order to have allowed address pairs on a port.")
	}
	for i, a := range p.AllowedPairs {
		if a.MAC != "" {
			if err := checkMAC(a.MAC); err != nil {
				return err
			}
		}
		if slices.Contains(p.AllowedPairs[:i], a) {
			return invalid("DuplicateAddressPairInRequest", "Request contains duplicate address pair: mac_address %s ip_address %s.", cmp.Or(a.MAC, "None"), pairText(a.IP))
		}
	}
	return nil
}

func pairText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// groupsFor decides which security groups a port has: those named, which must be
// of its project, or the project's default group. That one is made in any case.
func (s *Service) groupsFor(ctx context.Context, tx *store.Tx, p *Port, named *[]string) ([]string, error) {
	ours := ""
	if p.ProjectID != "" {
		var err error
		if ours, err = s.defaultGroup(ctx, tx, p.ProjectID); err != nil {
			return nil, err
		}
	}
	if !p.PortSecurity {
		if named != nil && len(*named) > 0 {
			return nil, invalid("PortSecurityAndIPRequiredForSecurityGroups", "Port security must be enabled and port must have an IP address in order to use security groups.")
		}
		return nil, nil
	}
	if named == nil {
		if ours == "" {
			return nil, nil
		}
		return []string{ours}, nil
	}
	if len(*named) == 0 {
		return nil, nil
	}
	ids := slices.Clone(*named)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	var known []string
	q := tx.NewSelect().Table("network_security_groups").Column("id").Where("id IN (?)", bun.List(ids))
	if !s.everywhere(ctx) {
		q = q.Where("project_id = ?", p.ProjectID)
	}
	if err := q.Scan(ctx, &known); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if !slices.Contains(known, id) {
			return nil, groupNotFound(id)
		}
	}
	return ids, nil
}

// setGroups writes the port's groups.
func setGroups(ctx context.Context, tx *store.Tx, p *Port, groups []string) error {
	p.SecurityGroups = nonNil(groups)
	if len(groups) == 0 {
		return nil
	}
	rows := make([]portGroupRow, len(groups))
	for i, g := range groups {
		rows[i] = portGroupRow{PortID: p.ID, GroupID: g}
	}
	_, err := tx.NewInsert().Model(&rows).Exec(ctx)
	return err
}
