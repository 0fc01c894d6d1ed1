// Package network defines the contract between Nephos and whatever carries
// packets on one host: bridges and namespaces of Linux, OVN, or a fake.
//
// An author implements [Driver] and those of the optional interfaces that fit,
// and runs networktest.Run. Users hold a [Node].
package network

import (
	"context"
	"net/netip"
	"time"
)

// Driver carries the networks and ports of one host. See package driver for
// the duties that all calls share. Objects may arrive in any order: a port
// whose network is not there yet gets ErrConflict and is tried again; a port's
// security groups that are not there yet let nothing through until they come.
type Driver interface {
	// EnsureNetwork converges a network: its segment, its DHCP service for the
	// ports known, its metadata listener.
	EnsureNetwork(ctx context.Context, id string, n Network) error
	// DeleteNetwork removes the network and everything made for it. A network
	// that still has ports or a router here gives ErrConflict.
	DeleteNetwork(ctx context.Context, id string) error
	// EnsurePort plugs the port and returns where a guest's card connects to.
	// Anti-spoofing and security groups hold before it returns.
	EnsurePort(ctx context.Context, id string, p Port) (Binding, error)
	DeletePort(ctx context.Context, id string) error
	// EnsureSecurityGroup replaces the rules and members of a group, for all
	// ports that name it.
	EnsureSecurityGroup(ctx context.Context, id string, g SecurityGroup) error
	DeleteSecurityGroup(ctx context.Context, id string) error
	// List returns what is there, by the labels found on the host itself.
	List(ctx context.Context) (Inventory, error)
	// Close lets go of the host. Packets go on flowing; DHCP and metadata pause
	// until the next driver opens.
	Close() error
}

// The optional abilities. Each is offered by implementing it. Further ones are
// [QoSDriver], [TrunkDriver] and [NameServer].
type (
	// Abilitier narrows what a driver offers to the listed interfaces' names.
	Abilitier interface {
		Abilities(ctx context.Context) ([]string, error)
	}
	// RouterDriver routes between networks, translates addresses and carries
	// floating IPs.
	RouterDriver interface {
		EnsureRouter(ctx context.Context, id string, r Router) error
		DeleteRouter(ctx context.Context, id string) error
	}
	// MetadataServer answers http://169.254.169.254 inside every network by
	// handing the request to the unix socket, with the headers X-Nephos-Network,
	// X-Nephos-Source and X-Nephos-MAC set from what the driver knows and any of
	// the client's of that name removed. ServeMetadata returns at once; serving
	// goes on until Close, and another call changes the socket. Ports without
	// port security get no answer.
	MetadataServer interface {
		ServeMetadata(ctx context.Context, socket string) error
	}
	// Eventer reports what happens on the network: DHCP leases, and ports that
	// come up and go down. The channel is closed when ctx is done or the driver is
	// closed.
	Eventer interface {
		Events(ctx context.Context) (<-chan Event, error)
	}
	// Statistician counts a port's traffic, from the guest's side.
	Statistician interface {
		PortStatistics(ctx context.Context, id string) (Statistics, error)
	}
)

// Network is a network as a host needs to know it.
type Network struct {
	Revision  int64
	Name      string
	MTU       int
	Segment   Segment
	External  bool
	Subnets   []Subnet
	DNSDomain string `json:",omitempty"`
}

// Segment is the physical side of a network.
type Segment struct {
	Type     string // local, flat, vlan, vxlan
	ID       int    // VLAN id or VXLAN network identifier
	Physical string // the physical network's name, for flat and vlan
}

// Subnet is a block of addresses on a network.
type Subnet struct {
	ID       string
	CIDR     netip.Prefix
	Gateway  netip.Addr // invalid: none
	DHCP     bool
	DNS      []netip.Addr
	Routes   []Route
	IPv6Mode string // slaac, dhcpv6-stateful, dhcpv6-stateless or empty
}

// Route is a static route.
type Route struct {
	Destination netip.Prefix
	NextHop     netip.Addr
}

// Address is a fixed address of a port.
type Address struct {
	SubnetID string
	IP       netip.Addr
}

// Port is a port as its host needs to know it.
type Port struct {
	Revision     int64
	NetworkID    string
	MAC          string
	Addresses    []Address
	Hostname     string // offered by DHCP
	AdminUp      bool
	PortSecurity bool // false: no filter, no anti-spoofing, no metadata
	// SecurityGroups are IDs; with PortSecurity and none, nothing passes but
	// DHCP and metadata.
	SecurityGroups []string
	AllowedPairs   []AllowedPair
	DHCPOptions    []DHCPOption
	// QoS bounds the port's traffic, if the driver is a [QoSDriver].
	QoS *QoS `json:",omitempty"`
	// Parent makes this a sub-port of a trunk, if the driver is a [TrunkDriver].
	Parent *Parent `json:",omitempty"`
}

// AllowedPair is a further source a port may send from.
type AllowedPair struct {
	IP  netip.Prefix
	MAC string // empty: the port's own
}

// DHCPOption overrides an option by name or number for a port.
type DHCPOption struct {
	Name, Value string
	IPVersion   int
}

// SecurityGroup is a group with its rules.
type SecurityGroup struct {
	Revision int64
	Stateful bool
	Rules    []Rule
	// Members are the addresses of all ports in the group, on any host, by
	// which other rules know it as a remote group.
	Members []netip.Addr
}

// Rule lets matching packets through; what no rule matches is dropped.
type Rule struct {
	ID        string
	Direction string // ingress or egress, from the guest's side
	IPv6      bool
	Protocol  string // empty: any; tcp, udp, icmp, ipv6-icmp … or a number
	// PortMin and PortMax bound the destination port, or are ICMP's type and
	// code; nil is any.
	PortMin, PortMax *int
	RemotePrefix     netip.Prefix // invalid: any
	RemoteGroup      string       // ID, or empty
}

// Router connects networks.
type Router struct {
	Revision    int64
	Name        string
	AdminUp     bool
	Interfaces  []RouterInterface
	Gateway     *RouterGateway
	FloatingIPs []FloatingIP
	Routes      []Route
}

// RouterInterface is a router's foot in a network.
type RouterInterface struct {
	PortID    string
	NetworkID string
	MAC       string
	Addresses []netip.Prefix // address with the length of its subnet's prefix
}

// RouterGateway is a router's foot in an external network.
type RouterGateway struct {
	RouterInterface
	NextHops []netip.Addr
	SNAT     bool
}

// FloatingIP maps an external address to a fixed one, both ways.
type FloatingIP struct {
	ID       string
	External netip.Addr
	Fixed    netip.Addr
}

// Binding is where a guest's card connects to.
type Binding struct {
	Device    string // a tap
	Namespace string // path of the network namespace that holds it; empty: the host's
	VIFType   string // binding:vif_type: bridge, ovs, tap
}

// Inventory is what a driver finds on its host.
type Inventory struct {
	Networks, Ports, Routers, SecurityGroups []string
}

// Event says that something happened on a network.
type Event struct {
	Kind   string // dhcp, up, down
	PortID string
	IP     netip.Addr // of a dhcp event
	At     time.Time
}

// Statistics counts a port's traffic.
type Statistics struct {
	RxBytes, TxBytes, RxPackets, TxPackets, RxDropped, TxDropped uint64
}
