// Package linux carries the packets of one host with the means of the Linux
// kernel alone: bridges, veth pairs, taps, network namespaces and nftables,
// driven by netlink. It runs no other program.
//
// # Layout
//
// Everything is in network namespaces of the driver's own, named after a hash
// of the cloud's ID; the host's firewall and sysctls are not touched.
//
//	np-<hash>           the switch: a bridge per network, and the guests' taps
//	np-<hash>-n-<id>    a network's service: DHCP and metadata on 169.254.169.254
//	np-<hash>-r-<id>    a router: addresses, routes, NAT
//
// A network on a physical network gets a veth pair between its bridge and the
// namespace in which the driver was opened, with [External].HostAddress at the
// host's end; that is how the host reaches floating IPs, and the next hop that
// routers can use. What lies behind the host (forwarding, masquerading) is the
// operator's.
//
// Interfaces carry the full ID in their alias, security groups in the names of
// their nftables chains, routers in the names of their namespaces: this is all
// that [Driver.List] reads, so it is right after a kill at any moment.
//
// # Filtering
//
// The switch filters twice. Its table of the bridge family checks who sends
// (Ethernet and IP source of each tap) and marks each packet with the number of
// the tap that it comes from or goes to, which that family alone can see. Its
// table of the inet family, which bridge netfilter hands the bridged packets,
// applies the security groups by that mark, with connection tracking in a zone
// per network, so that networks with equal addresses do not meet.
//
// # Limits
//
// VLAN segments are local to the host, and so are VXLAN segments without an
// [Underlay]. Guests that know no classless routes (option 121) reach their
// metadata only by a router on their own host. IPv6 addresses are filtered,
// routed and given to router legs, but nothing advertises them to guests.
// A tap keeps the owner that it was made with.
package linux
