package fake

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/nephos-cloud/nephos/driver/network"
)

// Reachable tells whether a packet that the port's guest sends would arrive:
// protocol is a name or number as in a rule, port its destination port (or
// ICMP's type). From "" it comes from outside the cloud, through an external
// network. It looks at all hosts. When the answer is no, why says what stops it;
// when yes, where it arrives.
func (s *State) Reachable(from string, to netip.Addr, protocol string, port int) (ok bool, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	proto, err := network.ProtocolNumber(protocol, to.Is6())
	if err != nil {
		return false, err.Error()
	}
	w := walk{State: s, to: to, proto: proto, port: port}
	if from == "" {
		return w.outside()
	}
	return w.start(from)
}

// Reachable is [State.Reachable].
func (d *Driver) Reachable(from string, to netip.Addr, protocol string, port int) (ok bool, why string) {
	return d.state.Reachable(from, to, protocol, port)
}

// walk is a packet on its way; NAT changes its addresses.
type walk struct {
	*State
	src, to     netip.Addr
	proto, port int
	hops        int
}

func (w *walk) start(from string) (bool, string) {
	h, p, ok := w.State.port(from)
	if !ok {
		return false, "port " + from + " is not there"
	}
	n, there := h.networks[p.NetworkID]
	switch {
	case !there:
		return false, "network " + p.NetworkID + " is not there"
	case !p.AdminUp:
		return false, "port " + from + " is down"
	}
	for _, a := range p.Addresses {
		if a.IP.Is4() == w.to.Is4() {
			w.src = a.IP
			break
		}
	}
	if !w.src.IsValid() {
		return false, "port " + from + " has no address of that family"
	}
	if !h.permits(p, "egress", w.to, w.proto, w.port) {
		return false, "no egress rule of port " + from + " lets it out"
	}
	for _, sub := range n.Subnets {
		if sub.CIDR.Contains(w.to) {
			return w.deliver(p.NetworkID)
		}
	}
	hop := nextHop(n, w.src, w.to)
	if !hop.IsValid() {
		return false, "the guest has no route to " + w.to.String()
	}
	return w.via(p.NetworkID, hop)
}

// nextHop is where the guest's DHCP options send the packet.
func nextHop(n network.Network, src, to netip.Addr) (hop netip.Addr) {
	best := -1
	for _, sub := range n.Subnets {
		if !sub.CIDR.Contains(src) {
			continue
		}
		if best < 0 && sub.Gateway.IsValid() {
			hop, best = sub.Gateway, 0
		}
		for _, r := range sub.Routes {
			if r.Destination.Contains(to) && r.Destination.Bits() > best {
				hop, best = r.NextHop, r.Destination.Bits()
			}
		}
	}
	return hop
}

// via hands the packet to the router that has the address on the network.
func (w *walk) via(networkID string, hop netip.Addr) (bool, string) {
	for _, h := range w.hosts {
		for id, r := range h.routers {
			for _, f := range feet(r) {
				if f.NetworkID == networkID && slices.ContainsFunc(f.Addresses, func(p netip.Prefix) bool { return p.Addr() == hop }) {
					return w.route(id, r)
				}
			}
		}
	}
	return false, "nobody routes at " + hop.String()
}

// route takes the packet through a router.
func (w *walk) route(id string, r network.Router) (bool, string) {
	if w.hops++; w.hops > 16 {
		return false, "routing loop"
	}
	if !r.AdminUp {
		return false, "router " + id + " is down"
	}
	translated := false
	for _, f := range r.FloatingIPs {
		if f.External == w.to {
			w.to, translated = f.Fixed, true
		}
	}
	for _, f := range feet(r) {
		for _, a := range f.Addresses {
			if a.Addr() == w.to {
				return w.proto == 1 || w.proto == 58, "router " + id
			}
		}
	}
	leave := func(networkID string, hop netip.Addr) (bool, string) {
		if r.Gateway != nil && r.Gateway.NetworkID == networkID {
			w.translate(r)
		} else if translated {
			w.floating(r) // hairpin: the answer must come back this way
		}
		if hop.IsValid() {
			return w.via(networkID, hop)
		}
		return w.deliver(networkID)
	}
	for _, f := range feet(r) {
		for _, a := range f.Addresses {
			if a.Contains(w.to) {
				return leave(f.NetworkID, netip.Addr{})
			}
		}
	}
	var best *network.Route
	for _, x := range r.Routes {
		if x.Destination.Contains(w.to) && (best == nil || x.Destination.Bits() > best.Destination.Bits()) {
			best = &x
		}
	}
	if best != nil {
		for _, f := range feet(r) {
			for _, a := range f.Addresses {
				if a.Contains(best.NextHop) {
					return leave(f.NetworkID, best.NextHop)
				}
			}
		}
		return false, fmt.Sprintf("router %s cannot reach next hop %s", id, best.NextHop)
	}
	if r.Gateway == nil {
		return false, "router " + id + " has no route to " + w.to.String()
	}
	for _, hop := range r.Gateway.NextHops {
		if hop.Is4() == w.to.Is4() {
			w.translate(r)
			return true, "the world outside"
		}
	}
	return false, "router " + id + " has no next hop outside"
}

// floating changes the source to its floating IP, if it has one.
func (w *walk) floating(r network.Router) bool {
	for _, f := range r.FloatingIPs {
		if f.Fixed == w.src {
			w.src = f.External
			return true
		}
	}
	return false
}

// translate changes the source as it leaves through the gateway.
func (w *walk) translate(r network.Router) {
	if w.floating(r) || !r.Gateway.SNAT {
		return
	}
	for _, a := range r.Gateway.Addresses {
		if a.Addr().Is4() && w.src.Is4() {
			w.src = a.Addr()
			return
		}
	}
}

// deliver hands the packet to whoever has the address on the network.
func (w *walk) deliver(networkID string) (bool, string) {
	for _, h := range w.hosts {
		for id, p := range h.ports {
			if p.NetworkID != networkID || !slices.ContainsFunc(p.Addresses, func(a network.Address) bool { return a.IP == w.to }) {
				continue
			}
			switch {
			case !p.AdminUp:
				return false, "port " + id + " is down"
			case !h.permits(p, "ingress", w.src, w.proto, w.port):
				return false, "no ingress rule of port " + id + " lets it in"
			}
			return true, "port " + id
		}
		for id, r := range h.routers {
			for _, f := range feet(r) {
				if f.NetworkID == networkID && slices.ContainsFunc(f.Addresses, func(a netip.Prefix) bool { return a.Addr() == w.to }) {
					return w.route(id, r)
				}
			}
			if r.Gateway != nil && r.Gateway.NetworkID == networkID {
				for _, f := range r.FloatingIPs {
					if f.External == w.to {
						return w.route(id, r)
					}
				}
			}
		}
	}
	return false, "nobody has the address " + w.to.String()
}

// outside lets the packet in through the external network of its address.
func (w *walk) outside() (bool, string) {
	w.src = netip.IPv4Unspecified()
	if w.to.Is6() {
		w.src = netip.IPv6Unspecified()
	}
	for _, h := range w.hosts {
		for id, n := range h.networks {
			for _, sub := range n.Subnets {
				if n.External && sub.CIDR.Contains(w.to) {
					return w.deliver(id)
				}
			}
		}
	}
	return false, "no external network has the address " + w.to.String()
}

// permits asks the port's security groups, as its host knows them.
func (h *host) permits(p network.Port, direction string, remote netip.Addr, proto, port int) bool {
	if !p.PortSecurity {
		return true
	}
	members := func(group string) []netip.Addr { return h.groups[group].Members }
	for _, g := range p.SecurityGroups {
		for _, r := range h.groups[g].Rules {
			if r.Direction == direction && r.Permits(remote, proto, port, members) {
				return true
			}
		}
	}
	return false
}
