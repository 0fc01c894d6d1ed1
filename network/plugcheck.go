package network

import (
	"context"
	"net/netip"
	"slices"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
)

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
			return nil, nil, invalid("SecurityGroupNotFound", "Unable to find security_group with name or id '%s'", name)
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
