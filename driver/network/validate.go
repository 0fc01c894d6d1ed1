package network

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	nephos "github.com/nephos-cloud/nephos"
)

// CheckID refuses identifiers that could not safely become part of a device's,
// a file's or a table's name.
func CheckID(id string) error {
	if id == "" || len(id) > 64 {
		return nephos.Errorf(nephos.ErrInvalid, "id must have 1 to 64 characters").WithField("id")
	}
	for _, c := range id {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return nephos.Errorf(nephos.ErrInvalid, "id %q has a character that is not a letter, digit, - or _", id).WithField("id")
		}
	}
	return nil
}

func invalid(field, format string, args ...any) error {
	return nephos.Errorf(nephos.ErrInvalid, field+": "+format, args...).WithField(field)
}

// Validate reports the first field that can never work, as ErrInvalid.
func (n Network) Validate() error {
	if n.MTU != 0 && (n.MTU < 68 || n.MTU > 65521) {
		return invalid("MTU", "%d is not between 68 and 65521", n.MTU)
	}
	switch s := n.Segment; s.Type {
	case "", "local":
	case "flat":
		if s.Physical == "" {
			return invalid("Segment.Physical", "a flat segment needs a physical network")
		}
	case "vlan":
		if s.Physical == "" {
			return invalid("Segment.Physical", "a VLAN needs a physical network")
		}
		if s.ID < 1 || s.ID > 4094 {
			return invalid("Segment.ID", "VLAN id %d is not between 1 and 4094", s.ID)
		}
	case "vxlan":
		if s.ID < 1 || s.ID > 1<<24-1 {
			return invalid("Segment.ID", "VXLAN identifier %d is not between 1 and 16777215", s.ID)
		}
	default:
		return invalid("Segment.Type", "%q is unknown", s.Type)
	}
	for i, s := range n.Subnets {
		f := "Subnets[" + strconv.Itoa(i) + "]."
		if !s.CIDR.IsValid() {
			return invalid(f+"CIDR", "is missing")
		}
		if s.Gateway.IsValid() && s.Gateway.Is4() != s.CIDR.Addr().Is4() {
			return invalid(f+"Gateway", "%s is not of the family of %s", s.Gateway, s.CIDR)
		}
		if err := checkRoutes(f+"Routes", s.Routes); err != nil {
			return err
		}
	}
	return nil
}

// Validate reports the first field that can never work, as ErrInvalid.
func (p Port) Validate() error {
	if err := CheckID(p.NetworkID); err != nil {
		return invalid("NetworkID", "%w", err)
	}
	if err := checkMAC("MAC", p.MAC); err != nil {
		return err
	}
	for i, a := range p.Addresses {
		if !a.IP.IsValid() {
			return invalid("Addresses["+strconv.Itoa(i)+"].IP", "is missing")
		}
	}
	for i, a := range p.AllowedPairs {
		f := "AllowedPairs[" + strconv.Itoa(i) + "]."
		if !a.IP.IsValid() {
			return invalid(f+"IP", "is missing")
		}
		if a.MAC != "" {
			if err := checkMAC(f+"MAC", a.MAC); err != nil {
				return err
			}
		}
	}
	if len(p.Hostname) > 253 {
		return invalid("Hostname", "is longer than 253 bytes")
	}
	if p.QoS != nil {
		if err := p.QoS.validate(); err != nil {
			return err
		}
	}
	if t := p.Parent; t != nil {
		if err := CheckID(t.PortID); err != nil {
			return invalid("Parent.PortID", "%w", err)
		}
		if t.Segmentation != "vlan" {
			return invalid("Parent.Segmentation", "%q is not vlan", t.Segmentation)
		}
		if t.ID < 1 || t.ID > 4094 {
			return invalid("Parent.ID", "VLAN id %d is not between 1 and 4094", t.ID)
		}
	}
	return nil
}

func (q *QoS) validate() error {
	for field, b := range map[string]Bandwidth{"QoS.Egress": q.Egress, "QoS.Ingress": q.Ingress} {
		if min(b.MaxKbps, b.MaxBurstKb, b.MinKbps, b.MaxKpps, b.MaxBurstKpps) < 0 {
			return invalid(field, "has a negative bound")
		}
		if b.MaxKbps > 0 && b.MinKbps > b.MaxKbps {
			return invalid(field, "promises %d kbit/s and allows %d", b.MinKbps, b.MaxKbps)
		}
	}
	if q.DSCP != nil && (*q.DSCP < 0 || *q.DSCP > 63) {
		return invalid("QoS.DSCP", "%d is not between 0 and 63", *q.DSCP)
	}
	return nil
}

// Validate reports the first field that can never work, as ErrInvalid.
func (z Zone) Validate() error {
	if z.Domain != "" && !dnsName(z.Domain) {
		return invalid("Domain", "%.80q is no DNS name", z.Domain)
	}
	for i, r := range z.Records {
		f := "Records[" + strconv.Itoa(i) + "]."
		if !dnsName(r.Name) {
			return invalid(f+"Name", "%.80q is no DNS name", r.Name)
		}
		for _, a := range r.Addresses {
			if !a.IsValid() {
				return invalid(f+"Addresses", "has one that is missing")
			}
		}
	}
	for i, a := range z.Forward {
		if !a.IsValid() {
			return invalid("Forward["+strconv.Itoa(i)+"]", "is missing")
		}
	}
	return nil
}

// dnsName tells whether s is a name of labels of letters, digits, dashes and
// underscores, with or without the dot at the end.
func dnsName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range label {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
		}
	}
	return true
}

// Validate reports the first field that can never work, as ErrInvalid.
func (g SecurityGroup) Validate() error {
	for i, r := range g.Rules {
		f := "Rules[" + strconv.Itoa(i) + "]."
		if r.Direction != "ingress" && r.Direction != "egress" {
			return invalid(f+"Direction", "%q is neither ingress nor egress", r.Direction)
		}
		if _, err := ProtocolNumber(r.Protocol, r.IPv6); err != nil {
			return invalid(f+"Protocol", "%w", err)
		}
		if r.RemotePrefix.IsValid() && r.RemotePrefix.Addr().Is4() == r.IPv6 {
			return invalid(f+"RemotePrefix", "%s is not of the rule's family", r.RemotePrefix)
		}
		for _, p := range []*int{r.PortMin, r.PortMax} {
			if p != nil && (*p < 0 || *p > 65535) {
				return invalid(f+"PortMin", "%d is not between 0 and 65535", *p)
			}
		}
	}
	return nil
}

// Validate reports the first field that can never work, as ErrInvalid.
func (r Router) Validate() error {
	for i, f := range r.Interfaces {
		if err := f.validate("Interfaces[" + strconv.Itoa(i) + "]."); err != nil {
			return err
		}
	}
	if r.Gateway != nil {
		if err := r.Gateway.validate("Gateway."); err != nil {
			return err
		}
	}
	for i, f := range r.FloatingIPs {
		if !f.External.IsValid() || !f.Fixed.IsValid() || f.External.Is4() != f.Fixed.Is4() {
			return invalid("FloatingIPs["+strconv.Itoa(i)+"]", "needs an external and a fixed address of one family")
		}
		if r.Gateway == nil {
			return invalid("FloatingIPs["+strconv.Itoa(i)+"]", "needs a gateway")
		}
	}
	return checkRoutes("Routes", r.Routes)
}

func (i RouterInterface) validate(f string) error {
	if err := CheckID(i.NetworkID); err != nil {
		return invalid(f+"NetworkID", "%w", err)
	}
	if err := CheckID(i.PortID); err != nil {
		return invalid(f+"PortID", "%w", err)
	}
	for _, a := range i.Addresses {
		if !a.IsValid() {
			return invalid(f+"Addresses", "has an address without prefix")
		}
	}
	return checkMAC(f+"MAC", i.MAC)
}

func checkMAC(field, mac string) error {
	hw, err := net.ParseMAC(mac)
	if err != nil || len(hw) != 6 {
		return invalid(field, "%q is not an Ethernet address", mac)
	}
	if hw[0]&1 != 0 {
		return invalid(field, "%q is a multicast address", mac)
	}
	return nil
}

func checkRoutes(field string, routes []Route) error {
	for i, r := range routes {
		if !r.Destination.IsValid() || !r.NextHop.IsValid() {
			return invalid(field+"["+strconv.Itoa(i)+"]", "needs a destination and a next hop")
		}
		if r.Destination.Addr().Is4() != r.NextHop.Is4() {
			return invalid(field+"["+strconv.Itoa(i)+"]", "mixes address families")
		}
	}
	return nil
}

// protocols are the names that the Networking API v2.0 takes for a rule's
// protocol, with IANA's numbers.
var protocols = map[string]uint8{
	"ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "icmp": 1, "icmpv6": 58, "igmp": 2,
	"ipip": 4, "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60,
	"ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17,
	"udplite": 136, "vrrp": 112,
}

// ProtocolNumber returns IANA's number of a rule's protocol, which is a name or
// a number; -1 stands for any. ICMP of an IPv6 rule means ICMPv6.
func ProtocolNumber(name string, ipv6 bool) (int, error) {
	switch {
	case name == "" || name == "any":
		return -1, nil
	case ipv6 && name == "icmp":
		return 58, nil
	}
	if n, ok := protocols[name]; ok {
		return int(n), nil
	}
	n, err := strconv.ParseUint(name, 10, 8)
	if err != nil {
		return 0, invalid("Protocol", "%q is no protocol", name)
	}
	if ipv6 && n == 1 {
		return 58, nil
	}
	return int(n), nil
}

// Permits reports whether the rule lets a packet of its direction through:
// protocol as its IANA number, port as the destination port or as ICMP's type.
// Members tells the addresses of a remote group.
func (r Rule) Permits(remote netip.Addr, protocol, port int, members func(group string) []netip.Addr) bool {
	if r.IPv6 != remote.Is6() {
		return false
	}
	want, err := ProtocolNumber(r.Protocol, r.IPv6)
	if err != nil || want >= 0 && want != protocol {
		return false
	}
	icmp := want == 1 || want == 58
	switch {
	case icmp && r.PortMin != nil && port != *r.PortMin:
		return false
	case !icmp && (r.PortMin != nil && port < *r.PortMin || r.PortMax != nil && port > *r.PortMax):
		return false
	case r.RemotePrefix.IsValid() && !r.RemotePrefix.Contains(remote):
		return false
	case r.RemoteGroup == "":
		return true
	}
	for _, m := range members(r.RemoteGroup) {
		if m == remote {
			return true
		}
	}
	return false
}
