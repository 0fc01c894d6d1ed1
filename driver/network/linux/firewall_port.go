//go:build linux

package linux

import (
	"encoding/binary"
	"encoding/json"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	mdnetlink "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos/driver/network"
)

var (
	bigEndian     = binary.BigEndian
	servicePrefix = netip.PrefixFrom(serviceAddress, 32)
)

// fingerprint tells specs apart.
func fingerprint(v ...any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "" // never equal to what is applied
	}
	return short(string(b), 32)
}

// ensurePort applies a port's chains: s- checks what the tap sends, t- marks
// what it gets, e- and i- hold its groups.
func (f *firewall) ensurePort(id string, t *tap) error {
	wanted := fingerprint(t.spec, t.index)
	if wanted != "" && f.applied["port "+id] == wanted {
		return nil
	}
	conn, err := f.open()
	if err != nil {
		return err
	}
	stale, err := portElements(conn, id)
	if err != nil {
		return err
	}
	if !t.spec.PortSecurity {
		if err := f.deletePort(id); err != nil {
			return err
		}
		err = f.change(func(b *batch) { b.add(openSet, nftables.SetElement{Key: ifnameKey(tapName(id))}) })
	} else {
		err = f.change(func(b *batch) {
			for s, elements := range stale {
				b.remove(s, elements...)
			}
			f.securedPort(b, id, t)
		})
	}
	if err != nil {
		return err
	}
	f.applied["port "+id] = wanted
	return nil
}

func (f *firewall) securedPort(b *batch, id string, t *tap) {
	mark := uint32(t.index) //nolint:gosec // an interface's index
	var fromRules, toRules [][]expr.Any
	if q := t.spec.QoS; q != nil {
		fromRules, toRules = limitRules(q.Egress), limitRules(q.Ingress)
	}
	b.chain(bridgeTable, "s-"+id, append(fromRules, senderRules(t.spec, mark)...)...)
	for _, e := range []uint16{etherIPv4, etherARP, etherIPv6} {
		toRules = append(toRules, match(etherType(e), setMark(mark), accept))
	}
	b.chain(bridgeTable, "t-"+id, append(toRules, drop)...)
	b.add(fromMap, nftables.SetElement{Key: ifnameKey(tapName(id)), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: "s-" + id}})
	b.add(toMap, nftables.SetElement{Key: ifnameKey(tapName(id)), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: "t-" + id}})

	out := append(trackedRules(sentBit, receivedBit),
		match(nfproto(false), l4proto(unix.IPPROTO_UDP), sport(68), dport(67), accept),
		match(nfproto(false), dest(servicePrefix), l4proto(unix.IPPROTO_TCP), dport(80), goTo("pass-sent")))
	out = append(out, discoveryRules(131, 132, 133, 135, 136, 143)...)
	in := append(trackedRules(receivedBit, sentBit),
		match(nfproto(false), source(servicePrefix), l4proto(unix.IPPROTO_UDP), sport(67), dport(68), accept))
	in = append(in, discoveryRules(130, 131, 132, 134, 135, 136)...)
	for _, g := range t.spec.SecurityGroups {
		b.AddChain(&nftables.Chain{Table: inetTable, Name: "o-" + g})
		b.AddChain(&nftables.Chain{Table: inetTable, Name: "n-" + g})
		out, in = append(out, jump("o-"+g)), append(in, jump("n-"+g))
	}
	b.chain(inetTable, "e-"+id, append(out, drop)...)
	b.chain(inetTable, "i-"+id, append(in, drop)...)
	key := binaryutil.NativeEndian.PutUint32(mark)
	b.add(egressMap, nftables.SetElement{Key: key, VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: "e-" + id}})
	b.add(ingressMap, nftables.SetElement{Key: key, VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: "i-" + id}})
}

// trackedRules let through what belongs to a connection that stateful rules
// let through: as they see it, in its first direction and in its answers.
func trackedRules(original, reply uint32) [][]expr.Any {
	known := ctState(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return [][]expr.Any{
		match(known, ctReply(false), ctMark(original), accept),
		match(known, ctReply(true), ctMark(reply), accept),
		match(ctState(expr.CtStateBitINVALID), drop),
	}
}

// discoveryRules let through ICMPv6 types without which IPv6 does not work.
func discoveryRules(types ...byte) (rules [][]expr.Any) {
	for _, t := range types {
		rules = append(rules, match(nfproto(true), l4proto(unix.IPPROTO_ICMPV6), field(expr.PayloadBaseTransportHeader, 0, []byte{t}), accept))
	}
	return rules
}

// sender is a pair of addresses that a port may send from.
type sender struct {
	mac    net.HardwareAddr
	prefix netip.Prefix
}

// senders are the port's own addresses, its allowed pairs, and the link-local
// address of each card.
func senders(p network.Port) (all []sender) {
	own, _ := net.ParseMAC(p.MAC)
	macs := map[string]net.HardwareAddr{own.String(): own}
	for _, a := range p.Addresses {
		all = append(all, sender{own, netip.PrefixFrom(a.IP, a.IP.BitLen())})
	}
	for _, a := range p.AllowedPairs {
		mac := own
		if hw, err := net.ParseMAC(a.MAC); err == nil {
			mac = hw
		}
		macs[mac.String()] = mac
		all = append(all, sender{mac, a.IP.Masked()})
	}
	for _, m := range macs {
		ll := netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
		all = append(all, sender{m, netip.PrefixFrom(ll, 128)})
	}
	return all
}

// senderRules accept, with the mark, what comes from an address of the port's.
// It serves neither DHCP nor routes of IPv6.
func senderRules(p network.Port, mark uint32) [][]expr.Any {
	ok := match(setMark(mark), accept)
	icmp6 := func(t byte) []expr.Any {
		return match(etherType(etherIPv6), l4proto(unix.IPPROTO_ICMPV6), field(expr.PayloadBaseTransportHeader, 0, []byte{t}))
	}
	rules := [][]expr.Any{
		match(etherType(etherIPv4), l4proto(unix.IPPROTO_UDP), sport(67), dport(68), drop),
		match(etherType(etherIPv6), l4proto(unix.IPPROTO_UDP), sport(547), dport(546), drop),
		match(icmp6(134), drop),
		match(icmp6(137), drop),
	}
	all := senders(p)
	own, _ := net.ParseMAC(p.MAC)
	none4 := netip.PrefixFrom(netip.IPv4Unspecified(), 32)
	none6 := netip.PrefixFrom(netip.IPv6Unspecified(), 128)
	rules = append(rules, match(etherType(etherIPv4), etherSource(own), source(none4), l4proto(unix.IPPROTO_UDP), sport(68), dport(67), ok))
	for _, s := range all {
		if s.prefix.Addr().Is6() {
			// An advertisement is of an address of the port's.
			rules = append(rules, match(icmp6(136), etherSource(s.mac), source(s.prefix), prefixAt(expr.PayloadBaseTransportHeader, 8, s.prefix), ok))
		}
	}
	rules = append(rules, match(icmp6(136), drop))
	for _, s := range all {
		if s.prefix.Addr().Is6() {
			rules = append(rules, match(etherType(etherIPv6), etherSource(s.mac), source(s.prefix), ok))
			continue
		}
		arp := match(etherType(etherARP), etherSource(s.mac), field(expr.PayloadBaseNetworkHeader, 8, s.mac))
		rules = append(rules,
			match(etherType(etherIPv4), etherSource(s.mac), source(s.prefix), ok),
			match(arp, prefixAt(expr.PayloadBaseNetworkHeader, 14, s.prefix), ok),
			// A probe (RFC 5227) claims nothing.
			match(arp, prefixAt(expr.PayloadBaseNetworkHeader, 14, none4), ok))
	}
	for _, t := range []byte{135, 143} { // duplicate address detection, and joining its group
		rules = append(rules, match(icmp6(t), etherSource(own), source(none6), ok))
	}
	return append(rules, drop)
}

// portElements finds the elements that lead to the port's chains, and its name
// in the set of open taps.
func portElements(conn *nftables.Conn, id string) (map[*nftables.Set][]nftables.SetElement, error) {
	found := map[*nftables.Set][]nftables.SetElement{}
	for s, chain := range map[*nftables.Set]string{fromMap: "s-" + id, toMap: "t-" + id, egressMap: "e-" + id, ingressMap: "i-" + id, openSet: ""} {
		elements, err := conn.GetSetElements(s)
		if err != nil {
			return nil, err
		}
		for _, e := range elements {
			if s != openSet && verdictChain(e.Val) == chain || s == openSet && string(e.Key) == string(ifnameKey(tapName(id))) {
				found[s] = append(found[s], nftables.SetElement{Key: e.Key})
			}
		}
	}
	return found, nil
}

// verdictChain reads the chain out of a verdict, which the library hands over
// as the kernel's attributes.
func verdictChain(data []byte) string {
	ad, err := mdnetlink.NewAttributeDecoder(data)
	if err != nil {
		return ""
	}
	for ad.Next() {
		if ad.Type() == unix.NFTA_VERDICT_CHAIN {
			return ad.String()
		}
	}
	return ""
}

// deletePort removes whatever is there of a port.
func (f *firewall) deletePort(id string) error {
	delete(f.applied, "port "+id)
	conn, err := f.open()
	if err != nil {
		return err
	}
	elements, err := portElements(conn, id)
	if err != nil {
		return err
	}
	return f.change(func(b *batch) {
		for s, e := range elements {
			b.remove(s, e...)
		}
		b.dropChain(bridgeTable, "s-"+id)
		b.dropChain(bridgeTable, "t-"+id)
		b.dropChain(inetTable, "e-"+id)
		b.dropChain(inetTable, "i-"+id)
	})
}
