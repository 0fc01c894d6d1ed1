//go:build linux

package linux

import (
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"

	"github.com/nephos-cloud/nephos/driver/network"
)

// serveDHCP answers until the socket is closed.
func (s *service) serveDHCP(conn *net.UDPConn, raw *packet.Conn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		req, err := dhcpv4.FromBytes(buf[:n])
		if err != nil {
			continue // not DHCP; guests may send anything
		}
		s.mu.RLock()
		id := s.byMAC[req.ClientHWAddr.String()]
		port, spec := s.ports[id], s.spec
		s.mu.RUnlock()
		if id == "" {
			continue
		}
		reply, ip := answerDHCP(req, spec, port, s.driver.cfg.LeaseTime)
		if reply == nil {
			continue
		}
		if err := sendDHCP(conn, raw, from, req, reply); err != nil {
			s.driver.cfg.Log.Warn("answer DHCP", slog.String("port", id), slog.Any("error", err))
			continue
		}
		if reply.MessageType() == dhcpv4.MessageTypeAck && req.MessageType() == dhcpv4.MessageTypeRequest {
			s.driver.feed.send(network.Event{Kind: "dhcp", PortID: id, IP: ip, At: s.driver.cfg.Clock.Now()})
		}
	}
}

// answerDHCP returns the answer to a client's message, or nil when it gets
// none, and the address that the port has. It follows RFC 2131, section 4.3,
// with a fixed address for each client.
func answerDHCP(req *dhcpv4.DHCPv4, n network.Network, p network.Port, lease time.Duration) (*dhcpv4.DHCPv4, netip.Addr) {
	if req.OpCode != dhcpv4.OpcodeBootRequest || len(req.ClientHWAddr) != 6 {
		return nil, netip.Addr{}
	}
	sub, ip, ok := leaseOf(n, p)
	if !ok {
		return nil, netip.Addr{}
	}
	if id := req.ServerIdentifier(); id != nil && !id.Equal(serviceAddress.AsSlice()) {
		return nil, netip.Addr{} // meant for another server
	}
	var kind dhcpv4.MessageType
	switch req.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeInform:
		kind = dhcpv4.MessageTypeAck
	case dhcpv4.MessageTypeRequest:
		kind = dhcpv4.MessageTypeAck
		want := req.RequestedIPAddress()
		if want == nil {
			want = req.ClientIPAddr
		}
		if !want.Equal(ip.AsSlice()) {
			kind = dhcpv4.MessageTypeNak
		}
	default:
		return nil, netip.Addr{}
	}
	reply, err := dhcpv4.NewReplyFromRequest(req,
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(serviceAddress.AsSlice())))
	if err != nil {
		return nil, netip.Addr{}
	}
	if kind == dhcpv4.MessageTypeNak {
		return reply, ip
	}
	if req.MessageType() != dhcpv4.MessageTypeInform {
		reply.YourIPAddr = ip.AsSlice()
		reply.UpdateOption(dhcpv4.OptIPAddressLeaseTime(lease))
	}
	for _, o := range optionsOf(n, sub, p) {
		reply.UpdateOption(o)
	}
	return reply, ip
}

// leaseOf is the port's address that DHCP gives out, and its subnet.
func leaseOf(n network.Network, p network.Port) (network.Subnet, netip.Addr, bool) {
	if !p.AdminUp {
		return network.Subnet{}, netip.Addr{}, false
	}
	for _, a := range p.Addresses {
		for _, sub := range n.Subnets {
			if sub.DHCP && a.IP.Is4() && sub.CIDR.Contains(a.IP) && (a.SubnetID == sub.ID || a.SubnetID == "") {
				return sub, a.IP, true
			}
		}
	}
	return network.Subnet{}, netip.Addr{}, false
}

// sendDHCP sends the answer as RFC 2131, section 4.1 asks: a client without an
// address is reached by its Ethernet address, or by broadcast if it asks so.
func sendDHCP(conn *net.UDPConn, raw *packet.Conn, from netip.AddrPort, req, reply *dhcpv4.DHCPv4) error {
	nak := reply.MessageType() == dhcpv4.MessageTypeNak
	if ciaddr, _ := netip.AddrFromSlice(req.ClientIPAddr.To4()); !nak && ciaddr.IsValid() && !ciaddr.IsUnspecified() && from.Addr().Unmap() == ciaddr {
		_, err := conn.WriteToUDPAddrPort(reply.ToBytes(), netip.AddrPortFrom(ciaddr, 68))
		return err
	}
	dst, mac := netip.AddrFrom4([4]byte{255, 255, 255, 255}), net.HardwareAddr{255, 255, 255, 255, 255, 255}
	if !nak && !req.IsBroadcast() {
		dst, _ = netip.AddrFromSlice(reply.YourIPAddr.To4())
		mac = req.ClientHWAddr
	}
	ifi := raw.LocalAddr().(*packet.Addr)
	_, err := raw.WriteTo(udpFrame(ifi.HardwareAddr, mac, netip.AddrPortFrom(serviceAddress, 67), netip.AddrPortFrom(dst, 68), reply.ToBytes()),
		&packet.Addr{HardwareAddr: mac})
	return err
}

// udpFrame builds an Ethernet frame with a UDP datagram over IPv4.
func udpFrame(srcMAC, dstMAC net.HardwareAddr, src, dst netip.AddrPort, payload []byte) []byte {
	udpLen := 8 + len(payload)
	f := make([]byte, 0, 14+20+udpLen)
	f = append(f, dstMAC...)
	f = append(f, srcMAC...)
	f = append(f, 0x08, 0x00)
	ip := []byte{0x45, 0xc0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0}
	binary.BigEndian.PutUint16(ip[2:], uint16(20+udpLen)) //nolint:gosec // a DHCP message is small
	ip = append(append(ip, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
	binary.BigEndian.PutUint16(ip[10:], ^sum(uint32(0), ip))
	udp := make([]byte, 8, udpLen)
	binary.BigEndian.PutUint16(udp, src.Port())
	binary.BigEndian.PutUint16(udp[2:], dst.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(udpLen)) //nolint:gosec // as above
	udp = append(udp, payload...)
	check := ^sum(sum(uint32(17+udpLen), ip[12:20]), udp) //nolint:gosec // as above
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], check)
	return append(append(f, ip...), udp...)
}

// sum adds to the Internet checksum of RFC 1071.
func sum[T uint16 | uint32](start T, b []byte) uint16 {
	n := uint32(start)
	for ; len(b) > 1; b = b[2:] {
		n += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		n += uint32(b[0]) << 8
	}
	for n>>16 != 0 {
		n = n&0xffff + n>>16
	}
	return uint16(n) //nolint:gosec // folded
}
