package cloudtest

import (
	"net/netip"

	"github.com/nephos-cloud/nephos"
	networking "github.com/nephos-cloud/nephos/network"
)

// Reachable tells whether a packet would arrive, by what the hosts were told of
// networks, routers, security groups and floating IPs; why says where it
// arrives, or what stops it. from is a server's or a port's id, or "" for the
// world outside; to is a server's or a port's id, whose first address counts, a
// floating IP's id, or any address. The protocol is a name or a number, as in a
// security group's rule, and port its destination port (or ICMP's type).
func (c *Cloud) Reachable(from, to, protocol string, port int) (ok bool, why string) {
	c.t.Helper()
	if from != "" {
		from = c.portOf(from)
	}
	addr, err := netip.ParseAddr(to)
	if f, e := c.Network.FloatingIP(c.AsAdmin(), to); err != nil && e == nil {
		addr, err = f.Address, nil
	}
	if err != nil {
		id := c.portOf(to)
		p, known := c.Wires.Port(id)
		if !known || len(p.Addresses) == 0 {
			return false, "port " + id + " is not plugged, or has no address"
		}
		addr = p.Addresses[0].IP
	}
	return c.Wires.Reachable(from, addr, protocol, port)
}

// portOf is the first port of a server; another id is a port's own.
func (c *Cloud) portOf(id string) string {
	ports, _, err := c.Network.ListPorts(c.AsAdmin(), networking.Filter{"device_id": {id}}, nephos.Page{Limit: 1000})
	if err != nil {
		c.t.Fatal(err)
	}
	if plugged := c.portsOf(id); len(plugged) > 0 {
		return plugged[0]
	}
	if len(ports) > 0 {
		return ports[0].ID
	}
	return id
}

// FloatingIP makes a floating IP of the project, maps it to the server's first
// port and returns its address.
func (p *Project) FloatingIP(serverID string) string {
	c := p.cloud
	c.t.Helper()
	made, err := c.Network.CreateFloatingIPs(p.As("member", "reader"), []networking.FloatingIPSpec{{NetworkID: p.ExternalID, PortID: c.portOf(serverID)}})
	if err != nil {
		c.t.Fatal(err)
	}
	if c.virtual != nil && c.cancel == nil {
		c.Work()
	}
	return made[0].Address.String()
}
