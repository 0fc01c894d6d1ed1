package compute

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos/network"
)

func newNIC(key string, p network.PortPlan) NIC {
	return NIC{Key: key, Plan: &p, Tag: p.Tag, NetworkID: p.NetworkID, Network: p.NetworkName, MTU: p.MTU, Addresses: []Address{}}
}

// connectNIC makes or takes the card's port, bound to the server's host.
func (s *Service) connectNIC(ctx context.Context, row *serverRow, n *NIC) error {
	spec := network.PortSpec{
		ProjectID: row.ProjectID, NetworkID: n.NetworkID, DeviceID: row.ID,
		DeviceOwner: "compute:" + row.Zone, Host: row.Host, Hostname: row.Hostname,
	}
	if n.Plan != nil {
		spec.PortID, spec.SecurityGroups = n.Plan.PortID, n.Plan.SecurityGroups
		if n.Plan.FixedIP.IsValid() {
			spec.FixedIPs = &[]network.FixedIP{{IP: n.Plan.FixedIP}}
		}
	}
	port, err := s.cfg.Ports.EnsurePort(ctx, nicKey(row.ID, n), spec)
	if err != nil {
		return err
	}
	n.PortID, n.MAC, n.NetworkID = port.ID, port.MAC, port.NetworkID
	n.groups = append([]string{}, port.SecurityGroups...)
	if len(n.Addresses) == 0 {
		for _, f := range port.FixedIPs {
			n.Addresses = append(n.Addresses, Address{IP: f.IP.String(), Subnet: Subnet{ID: f.SubnetID}})
		}
	}
	return nil
}

// subnetsGood is how long what is known of a subnet, or of a security group's
// name, is good for a boot: many servers are booted on few of them.
const subnetsGood = 5 * time.Second

// subnetCache remembers subnets and the names of security groups for a moment.
type subnetCache struct {
	mu    sync.Mutex
	by    map[string]seenSubnet
	names map[string]seenName // of security groups
}

type seenName struct {
	name string
	at   time.Time
}

type seenSubnet struct {
	Subnet
	at time.Time
}

// describe fills in the subnets of addresses and the names of groups; false when
// it knows one of them no more.
func (c *subnetCache) describe(now time.Time, nics []NIC) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range nics {
		if nics[i].Plan == nil || nics[i].Plan.PortID != "" {
			return false // somebody else's port may have floating addresses
		}
		for j := range nics[i].Addresses {
			a := &nics[i].Addresses[j]
			known, ok := c.by[a.Subnet.ID]
			if !ok || now.Sub(known.at) > subnetsGood {
				return false
			}
			a.Subnet = known.Subnet
		}
		if nics[i].groups == nil {
			return false
		}
		nics[i].Groups = nil
		for _, id := range nics[i].groups {
			known, ok := c.names[id]
			if !ok || now.Sub(known.at) > subnetsGood {
				return false
			}
			nics[i].Groups = append(nics[i].Groups, known.name)
		}
		slices.Sort(nics[i].Groups) // as the network service tells them
	}
	return true
}

func (c *subnetCache) remember(now time.Time, nics []NIC, views []network.PortView) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil || len(c.by) > 1000 {
		c.by = map[string]seenSubnet{}
	}
	if c.names == nil || len(c.names) > 1000 {
		c.names = map[string]seenName{}
	}
	for _, v := range views {
		for _, g := range v.Groups {
			c.names[g.ID] = seenName{g.Name, now}
		}
	}
	for _, n := range nics {
		for _, a := range n.Addresses {
			c.by[a.Subnet.ID] = seenSubnet{a.Subnet, now}
		}
	}
}

// describe fills in what the network service knows of a server's cards.
func (s *Service) describe(ctx context.Context, row *serverRow) error {
	if len(row.NICs) == 0 {
		return nil
	}
	now := s.cfg.Clock.Now()
	if s.subnets.describe(now, row.NICs) {
		return nil
	}
	views, err := s.cfg.Ports.PortsOf(ctx, row.ID)
	if err != nil {
		return err
	}
	describeNICs(row.NICs, views)
	s.subnets.remember(now, row.NICs, views)
	return nil
}

func nicKey(serverID string, n *NIC) string { return ownerKey(serverID, "nic", n.Key) }

// describeNICs fills in what the network service knows of the cards' ports:
// names, subnets and floating addresses. It reports whether a port that the
// server had is gone.
func describeNICs(nics []NIC, views []network.PortView) (gone bool) {
	byPort := make(map[string]*network.PortView, len(views))
	for i := range views {
		byPort[views[i].ID] = &views[i]
	}
	for i := range nics {
		n := &nics[i]
		if n.PortID == "" {
			continue
		}
		v := byPort[n.PortID]
		if v == nil {
			gone = true
			continue
		}
		n.MAC, n.MTU, n.NetworkID, n.Network = v.MAC, v.Network.MTU, v.NetworkID, v.Network.Name
		n.Groups = nil
		for _, g := range v.Groups {
			n.Groups = append(n.Groups, g.Name)
		}
		n.Addresses = make([]Address, 0, len(v.FixedIPs))
		for _, f := range v.FixedIPs {
			a := Address{IP: f.IP.String(), Subnet: Subnet{ID: f.SubnetID}}
			for _, sub := range v.Subnets {
				if sub.ID == f.SubnetID {
					a.Subnet = subnetOf(sub)
				}
			}
			for _, fip := range v.FloatingIPs {
				if fip.FixedAddress == f.IP || !fip.FixedAddress.IsValid() && f.IP == v.FixedIPs[0].IP {
					a.Floating = append(a.Floating, fip.Address.String())
				}
			}
			n.Addresses = append(n.Addresses, a)
		}
	}
	return gone
}

func subnetOf(s network.Subnet) Subnet {
	out := Subnet{ID: s.ID, CIDR: s.CIDR.String(), DHCP: s.DHCP, IPv6Mode: s.AddressMode}
	if s.Gateway.IsValid() {
		out.Gateway = s.Gateway.String()
	}
	for _, d := range s.DNS {
		out.DNS = append(out.DNS, d.String())
	}
	for _, r := range s.Routes {
		out.Routes = append(out.Routes, route{Destination: r.Destination.String(), NextHop: r.NextHop.String()})
	}
	return out
}
