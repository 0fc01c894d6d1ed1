//go:build linux

package linux

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos/driver/network"
)

// natTable is all of a router's ruleset.
var natTable = &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "nephos"}

// ensureNAT applies the router's address translation as a whole:
//
//   - to a floating IP: its fixed address instead;
//   - from a fixed address, out of the gateway: its floating IP instead;
//   - from others, out of the gateway: the gateway's address instead;
//   - from inside to a floating IP, thus back inside: as if it came from
//     outside, so that the answer comes back this way too.
func (f *firewall) ensureNAT(r network.Router) error {
	wanted := fingerprint(r.Gateway, r.FloatingIPs)
	foreign, err := f.foreign()
	if err != nil {
		return err
	}
	if !foreign && wanted != "" && f.applied["nat"] == wanted {
		return nil
	}
	f.generation = 0
	err = f.change(func(b *batch) {
		b.AddTable(natTable)
		b.DelTable(natTable)
		b.AddTable(natTable)
		if r.Gateway != nil {
			natRules(b, r)
		}
	})
	if err != nil {
		return err
	}
	f.applied["nat"] = wanted
	return nil
}

func natRules(b *batch, r network.Router) {
	toFixed := &nftables.Set{Table: natTable, Name: "fixed", IsMap: true, KeyType: nftables.TypeIPAddr, DataType: nftables.TypeIPAddr}
	toFloating := &nftables.Set{Table: natTable, Name: "floating", IsMap: true, KeyType: nftables.TypeIPAddr, DataType: nftables.TypeIPAddr}
	b.set(toFixed)
	b.set(toFloating)
	seen := map[netip.Addr]bool{}
	for _, x := range r.FloatingIPs {
		if !x.External.Is4() || seen[x.External] {
			continue
		}
		seen[x.External] = true
		b.add(toFixed, nftables.SetElement{Key: x.External.AsSlice(), Val: x.Fixed.AsSlice()})
		if !seen[x.Fixed] { // of two floating IPs of one address, the first is its face
			seen[x.Fixed] = true
			b.add(toFloating, nftables.SetElement{Key: x.Fixed.AsSlice(), Val: x.External.AsSlice()})
		}
	}
	gateway := ifnameKey(routerLeg(r.Gateway.PortID))
	translate := func(kind expr.NATType) []expr.Any {
		return []expr.Any{&expr.NAT{Type: kind, Family: unix.NFPROTO_IPV4, RegAddrMin: 1}}
	}
	mapped := func(offset uint32, set string) []expr.Any {
		return []expr.Any{
			payload(expr.PayloadBaseNetworkHeader, offset, 4),
			&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetName: set},
		}
	}
	b.base(natTable, "to-floating", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, -100,
		match(mapped(destOffset(false), "fixed"), translate(expr.NATTypeDestNAT)))

	out := meta(expr.MetaKeyOIFNAME, gateway)
	// Into another side after a floating IP was translated, but not from outside.
	hairpin := match(
		[]expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: gateway}},
		[]expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: gateway}},
		masked(&expr.Ct{Key: expr.CtKeySTATUS, Register: 1}, 1<<5), // IPS_DST_NAT
	)
	rules := [][]expr.Any{
		match(out, mapped(sourceOffset(false), "floating"), translate(expr.NATTypeSourceNAT)),
		match(hairpin, mapped(sourceOffset(false), "floating"), translate(expr.NATTypeSourceNAT)),
	}
	if own, ok := gatewayAddress(r); ok && r.Gateway.SNAT {
		self := []expr.Any{&expr.Immediate{Register: 1, Data: own.AsSlice()}}
		rules = append(rules,
			match(out, self, translate(expr.NATTypeSourceNAT)),
			match(hairpin, self, translate(expr.NATTypeSourceNAT)))
	}
	b.base(natTable, "from-fixed", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, 100, rules...)
}

// gatewayAddress is the IPv4 address that the router is known by outside.
func gatewayAddress(r network.Router) (netip.Addr, bool) {
	for _, p := range r.Gateway.Addresses {
		if p.Addr().Is4() {
			return p.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// announce tells the neighbours of a link that an address is there now, by a
// gratuitous ARP request (RFC 5944, section 4.6).
func announce(ns *namespace, l netlink.Link, a netip.Addr) error {
	mac := l.Attrs().HardwareAddr
	all := net.HardwareAddr{255, 255, 255, 255, 255, 255}
	f := append(append(append([]byte{}, all...), mac...), 0x08, 0x06)
	f = append(f, 0, 1, 8, 0, 6, 4)
	f = binary.BigEndian.AppendUint16(f, 1) // request
	f = append(append(f, mac...), a.AsSlice()...)
	f = append(append(f, make([]byte, 6)...), a.AsSlice()...)
	return ns.do(func() error {
		ifi, err := net.InterfaceByIndex(l.Attrs().Index)
		if err != nil {
			return err
		}
		c, err := packet.Listen(ifi, packet.Raw, 0, nil)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.WriteTo(f, &packet.Addr{HardwareAddr: all}); err != nil {
			return fmt.Errorf("send ARP for %s: %w", a, err)
		}
		return nil
	})
}
