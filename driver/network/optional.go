package network

import (
	"context"
	"net/netip"
)

// More optional abilities of a [Driver]. Each is offered by implementing it.
type (
	// QoSDriver honours [Port.QoS]: EnsurePort sets, changes and, when it is nil,
	// lifts what it asks for, without touching the traffic otherwise. It survives
	// the driver.
	QoSDriver interface {
		// QoSRules are the kinds of rule honoured, as the Networking API calls them:
		// bandwidth_limit, dscp_marking, minimum_bandwidth, packet_rate_limit. A port
		// that asks for another one gets ErrUnsupported.
		QoSRules() []string
	}
	// TrunkDriver honours [Port.Parent]: a port that is reached through the device
	// of another port, by a tag. Its binding names its parent's device. A
	// sub-port has addresses, security groups and anti-spoofing as any port.
	//
	// EnsurePort of a sub-port whose parent is not there yet gives ErrConflict, and
	// so do a tag that another sub-port of the parent has, and DeletePort of a
	// parent that has sub-ports.
	TrunkDriver interface {
		// Segmentation are the kinds of tag honoured: vlan.
		Segmentation() []string
	}
	// NameServer answers DNS inside a network: at the addresses where the
	// network's DHCP is served, which it hands out when a subnet names no DNS
	// servers of its own.
	NameServer interface {
		// EnsureZone replaces what the network's server knows. The network must be
		// there (ErrConflict). A zone goes with its network.
		EnsureZone(ctx context.Context, networkID string, z Zone) error
		// DeleteZone stops the server; an unknown zone succeeds.
		DeleteZone(ctx context.Context, networkID string) error
	}
)

// QoS is what a port's traffic is promised and denied. Directions are the
// guest's: egress leaves it.
type QoS struct {
	Egress, Ingress Bandwidth
	DSCP            *int `json:",omitempty"` // mark of packets that leave the guest, 0 to 63
}

// Bandwidth bounds one direction. Zero fields are without bound.
type Bandwidth struct {
	MaxKbps      int `json:",omitempty"` // kilobits (1000 bits) a second
	MaxBurstKb   int `json:",omitempty"` // kilobits above it for a moment; zero: the driver's choice
	MinKbps      int `json:",omitempty"`
	MaxKpps      int `json:",omitempty"` // kilopackets a second
	MaxBurstKpps int `json:",omitempty"`
}

// IsZero tells whether nothing is bounded.
func (b Bandwidth) IsZero() bool { return b == Bandwidth{} }

// Rules are the kinds of rule that the port asks for, as [QoSDriver] names them.
func (q *QoS) Rules() []string {
	if q == nil {
		return nil
	}
	var kinds []string
	if q.Egress.MaxKbps > 0 || q.Ingress.MaxKbps > 0 {
		kinds = append(kinds, "bandwidth_limit")
	}
	if q.DSCP != nil {
		kinds = append(kinds, "dscp_marking")
	}
	if q.Egress.MinKbps > 0 || q.Ingress.MinKbps > 0 {
		kinds = append(kinds, "minimum_bandwidth")
	}
	if q.Egress.MaxKpps > 0 || q.Ingress.MaxKpps > 0 {
		kinds = append(kinds, "packet_rate_limit")
	}
	return kinds
}

// Parent says through which port another one is reached.
type Parent struct {
	PortID       string
	Segmentation string // vlan
	ID           int    // VLAN id, 1 to 4094
}

// Zone is what a network's name server knows. The names of the network's ports
// on all hosts are in it.
type Zone struct {
	Revision int64
	Domain   string // that names without a dot belong to; may be empty
	Records  []Record
	// Forward are servers asked for what is not in the zone; none: such names get
	// the answer NXDOMAIN.
	Forward []netip.Addr
}

// Record gives a name its addresses. Questions for an address get the name.
type Record struct {
	Name      string // with or without the zone's domain
	Addresses []netip.Addr
}
