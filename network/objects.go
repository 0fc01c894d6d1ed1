package network

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/driver"
	host "github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/store"
)

// wanted is what an object should look like, by host. exists is false when the
// object is gone for good.
type wanted struct {
	exists bool
	on     map[string]json.RawMessage
}

// want computes which hosts should know an object, and as what. Revisions are
// zero here: they are given when what is wanted differs from what was sent.
func (s *Service) want(ctx context.Context, tx *store.Tx, kind driver.Kind, id string) (wanted, error) {
	switch kind {
	case driver.KindNetwork:
		return s.wantNetwork(ctx, tx, id)
	case driver.KindPort:
		return s.wantPort(ctx, tx, id)
	case driver.KindSecurityGroup:
		return s.wantGroup(ctx, tx, id)
	default:
		return s.wantRouter(ctx, tx, id)
	}
}

// everyHost is the same object on several hosts.
func everyHost(hosts []string, spec any) (wanted, error) {
	w := wanted{exists: true, on: map[string]json.RawMessage{}}
	b, err := json.Marshal(spec)
	for _, h := range hosts {
		w.on[h] = b
	}
	return w, err
}

// wantNetwork puts a network on the hosts that have ports on it; those of
// routers are bound to the router's host.
func (s *Service) wantNetwork(ctx context.Context, tx *store.Tx, id string) (wanted, error) {
	nets, err := s.loadNetworks(ctx, tx, id)
	if err != nil || len(nets) == 0 {
		return wanted{}, err
	}
	var hosts []string
	if err := tx.NewSelect().Table("network_ports").ColumnExpr("DISTINCT host").Where("network_id = ? AND host <> ''", id).Scan(ctx, &hosts); err != nil {
		return wanted{}, err
	}
	subnets, err := subnetsOf(ctx, tx, id)
	if err != nil {
		return wanted{}, err
	}
	n := nets[0]
	spec := host.Network{
		Name: n.Name, MTU: n.MTU, External: n.External,
		Segment: host.Segment{Type: n.NetworkType, ID: int(n.SegmentationID), Physical: n.PhysicalNetwork},
	}
	for _, sub := range subnets {
		mode := sub.AddressMode
		if mode == "" {
			mode = sub.RAMode
		}
		spec.Subnets = append(spec.Subnets, host.Subnet{
			ID: sub.ID, CIDR: sub.CIDR, Gateway: sub.Gateway, DHCP: sub.DHCP, DNS: sub.DNS, Routes: hostRoutes(sub.Routes), IPv6Mode: mode,
		})
	}
	return everyHost(hosts, spec)
}

func hostRoutes(in []Route) []host.Route {
	out := make([]host.Route, len(in))
	for i, r := range in {
		out[i] = host.Route(r)
	}
	return out
}

// wantPort puts a port on the host that it is bound to.
func (s *Service) wantPort(ctx context.Context, tx *store.Tx, id string) (wanted, error) {
	ports, err := loadPorts(ctx, tx, id)
	if err != nil || len(ports) == 0 {
		return wanted{}, err
	}
	p := ports[0]
	if p.Host == "" || strings.HasPrefix(p.DeviceOwner, "network:") {
		return wanted{exists: true}, nil
	}
	spec := host.Port{
		NetworkID: p.NetworkID, MAC: p.MAC, Hostname: p.Hostname, AdminUp: p.AdminUp, PortSecurity: p.PortSecurity,
		SecurityGroups: p.SecurityGroups,
	}
	for _, a := range p.FixedIPs {
		spec.Addresses = append(spec.Addresses, host.Address{SubnetID: a.SubnetID, IP: a.IP})
	}
	for _, a := range p.AllowedPairs {
		spec.AllowedPairs = append(spec.AllowedPairs, host.AllowedPair{IP: a.IP, MAC: a.MAC})
	}
	for _, o := range p.DHCPOptions {
		spec.DHCPOptions = append(spec.DHCPOptions, host.DHCPOption{Name: o.Name, Value: o.Value, IPVersion: o.IPVersion})
	}
	return everyHost([]string{p.Host}, spec)
}

// wantGroup puts a group on the hosts that have ports in it, or in groups whose
// rules name it.
func (s *Service) wantGroup(ctx context.Context, tx *store.Tx, id string) (wanted, error) {
	groups, err := loadGroups(ctx, tx, id)
	if err != nil || len(groups) == 0 {
		return wanted{}, err
	}
	var referring []string
	err = tx.NewSelect().Table("network_security_rules").ColumnExpr("DISTINCT group_id").Where("remote_group = ?", id).Scan(ctx, &referring)
	if err != nil {
		return wanted{}, err
	}
	var hosts []string
	err = tx.NewRaw(`SELECT DISTINCT p.host FROM network_port_groups pg JOIN network_ports p ON p.id = pg.port_id
		WHERE pg.group_id IN (?) AND p.host <> ''`, bun.List(append(referring, id))).Scan(ctx, &hosts)
	if err != nil {
		return wanted{}, err
	}
	spec := host.SecurityGroup{Stateful: groups[0].Stateful}
	for _, r := range groups[0].Rules {
		prefix, _ := netip.ParsePrefix(r.RemotePrefix)
		if prefix.IsValid() {
			prefix = prefix.Masked()
		}
		spec.Rules = append(spec.Rules, host.Rule{
			ID: r.ID, Direction: r.Direction, IPv6: r.Ethertype == "IPv6", Protocol: r.Protocol,
			PortMin: r.PortMin, PortMax: r.PortMax, RemotePrefix: prefix, RemoteGroup: r.RemoteGroup,
		})
	}
	// Who is in a group matters only where a rule lets it in.
	if len(referring) > 0 && len(hosts) > 0 {
		var members []allocationRow
		err := tx.NewSelect().Model(&members).Column("alloc.ip").
			Where("alloc.port_id IN (SELECT pg.port_id FROM network_port_groups pg WHERE pg.group_id = ?)", id).
			OrderExpr("alloc.addr, alloc.subnet_id").Scan(ctx)
		if err != nil {
			return wanted{}, err
		}
		for i, m := range members {
			if i == 0 || members[i-1].IP != m.IP {
				spec.Members = append(spec.Members, m.IP)
			}
		}
	}
	return everyHost(hosts, spec)
}

// stamp writes the revision into an object's spec.
func stamp(spec json.RawMessage, revision int64) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(spec, &fields); err != nil {
		return nil, err
	}
	b, err := json.Marshal(revision)
	if err != nil {
		return nil, err
	}
	fields["Revision"] = b
	return json.Marshal(fields)
}
