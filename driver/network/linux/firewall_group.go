//go:build linux

package linux

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos/driver/network"
)

// notThere reports whether the kernel said that an object does not exist.
func notThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOENT)
}

// memberSet holds the addresses of a group's members of one family.
func memberSet(id string, v6 bool) *nftables.Set {
	if v6 {
		return &nftables.Set{Table: inetTable, Name: "m6-" + id, KeyType: nftables.TypeIP6Addr}
	}
	return &nftables.Set{Table: inetTable, Name: "m4-" + id, KeyType: nftables.TypeIPAddr}
}

// ensureGroup applies a group: the chains o- and n- with its egress and ingress
// rules, the sets m4- and m6- of its members, and the empty chain have-, which
// tells it from one that is only named by others.
func (f *firewall) ensureGroup(id string, g network.SecurityGroup) error {
	wanted := fingerprint(g.Rules, g.Members, g.Stateful)
	if wanted != "" && f.applied["group "+id] == wanted {
		return nil
	}
	err := f.change(func(b *batch) {
		var in, out [][]expr.Any
		for _, v6 := range []bool{false, true} {
			s := memberSet(id, v6)
			b.set(s)
			b.FlushSet(s)
			b.add(s, memberElements(g.Members, v6)...)
		}
		for _, r := range g.Rules {
			if r.RemoteGroup != "" {
				b.set(memberSet(r.RemoteGroup, r.IPv6))
			}
			if r.Direction == "egress" {
				out = append(out, ruleExprs(r, g.Stateful))
			} else {
				in = append(in, ruleExprs(r, g.Stateful))
			}
		}
		b.chain(inetTable, "o-"+id, out...)
		b.chain(inetTable, "n-"+id, in...)
		b.chain(inetTable, "have-"+id)
	})
	if err != nil {
		return err
	}
	f.applied["group "+id] = wanted
	return nil
}

func memberElements(members []netip.Addr, v6 bool) (elements []nftables.SetElement) {
	seen := map[netip.Addr]bool{}
	for _, m := range members {
		m = m.Unmap().WithZone("")
		if m.IsValid() && m.Is6() == v6 && !seen[m] {
			seen[m] = true
			elements = append(elements, nftables.SetElement{Key: m.AsSlice()})
		}
	}
	return elements
}

// ruleExprs is a rule of a group as the kernel has it.
func ruleExprs(r network.Rule, stateful bool) []expr.Any {
	ingress := r.Direction == "ingress"
	e := nfproto(r.IPv6)
	proto, _ := network.ProtocolNumber(r.Protocol, r.IPv6) // validated
	if proto >= 0 {
		e = match(e, l4proto(proto))
	}
	switch proto {
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		for i, v := range []*int{r.PortMin, r.PortMax} {
			if v != nil {
				e = match(e, field(expr.PayloadBaseTransportHeader, uint32(i), []byte{byte(*v)})) //nolint:gosec // type and code
			}
		}
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP, unix.IPPROTO_DCCP, unix.IPPROTO_UDPLITE:
		if r.PortMin != nil || r.PortMax != nil {
			lo, hi := 0, 65535
			if r.PortMin != nil {
				lo = *r.PortMin
			}
			if r.PortMax != nil {
				hi = *r.PortMax
			}
			e = match(e, dportRange(uint16(lo), uint16(hi))) //nolint:gosec // validated
		}
	}
	offset := destOffset(r.IPv6)
	if ingress {
		offset = sourceOffset(r.IPv6)
	}
	if r.RemotePrefix.IsValid() {
		e = match(e, prefixAt(expr.PayloadBaseNetworkHeader, offset, r.RemotePrefix))
	}
	if r.RemoteGroup != "" {
		length := uint32(4)
		if r.IPv6 {
			length = 16
		}
		e = match(e, []expr.Any{payload(expr.PayloadBaseNetworkHeader, offset, length)}, lookup(memberSet(r.RemoteGroup, r.IPv6).Name))
	}
	switch {
	case !stateful:
		return match(e, accept)
	case ingress:
		return match(e, goTo("pass-delivered"))
	default:
		return match(e, goTo("pass-sent"))
	}
}

// groups lists the groups that are applied.
func (f *firewall) groups() ([]string, error) {
	ids, _, err := f.groupChains()
	return ids, err
}

// groupChains returns the IDs of groups that are applied, and of those that
// have any chain.
func (f *firewall) groupChains() (have, named []string, err error) {
	conn, err := f.open()
	if err != nil {
		return nil, nil, err
	}
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil && !notThere(err) {
		return nil, nil, err
	}
	for _, c := range chains {
		if c.Table.Name != inetTable.Name {
			continue
		}
		if id, ok := strings.CutPrefix(c.Name, "have-"); ok {
			have = append(have, id)
		} else if id, ok := strings.CutPrefix(c.Name, "o-"); ok {
			named = append(named, id)
		}
	}
	slices.Sort(have)
	return have, named, nil
}

// deleteGroup empties a group, and removes it unless something names it.
func (f *firewall) deleteGroup(id string) error {
	delete(f.applied, "group "+id)
	have, named, err := f.groupChains()
	if err != nil {
		return err
	}
	if slices.Contains(have, id) {
		err := f.change(func(b *batch) {
			b.chain(inetTable, "o-"+id)
			b.chain(inetTable, "n-"+id)
			for _, v6 := range []bool{false, true} {
				b.set(memberSet(id, v6))
				b.FlushSet(memberSet(id, v6))
			}
			b.DelChain(&nftables.Chain{Table: inetTable, Name: "have-" + id})
		})
		if err != nil {
			return err
		}
	}
	return f.collect(append(named, id), without(have, id))
}

// sweep removes the groups that are neither applied nor named by a port.
func (f *firewall) sweep() error {
	have, named, err := f.groupChains()
	if err != nil {
		return err
	}
	return f.collect(named, have)
}

// collect tries to remove the groups that are not among those to keep. The
// kernel refuses where something still refers to them.
func (f *firewall) collect(ids, keep []string) error {
	for _, id := range ids {
		if slices.Contains(keep, id) {
			continue
		}
		for _, remove := range []func(*batch){
			func(b *batch) { b.DelChain(&nftables.Chain{Table: inetTable, Name: "o-" + id}) },
			func(b *batch) { b.DelChain(&nftables.Chain{Table: inetTable, Name: "n-" + id}) },
			func(b *batch) { b.DelSet(memberSet(id, false)) },
			func(b *batch) { b.DelSet(memberSet(id, true)) },
		} {
			before := f.generation
			if err := f.change(remove); err != nil {
				if !notThere(err) && !errors.Is(err, unix.EBUSY) {
					return err
				}
				f.generation = before // a refused batch changes nothing
			}
		}
	}
	return nil
}

func without(list []string, x string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == x })
}

// ensureZone gives a network's bridge its zone of connection tracking.
func (f *firewall) ensureZone(b *bridge) error {
	wanted := fingerprint(b.zone)
	if f.applied["zone "+b.id] == wanted {
		return nil
	}
	err := f.change(func(c *batch) {
		c.chain(inetTable, "z-"+b.id, []expr.Any{
			&expr.Immediate{Register: 1, Data: binary.NativeEndian.AppendUint16(nil, b.zone)},
			&expr.Ct{Key: expr.CtKeyZONE, Register: 1, SourceRegister: true},
		})
		c.add(zoneMap, nftables.SetElement{Key: ifnameKey(bridgeName(b.id)), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: "z-" + b.id}})
	})
	if err != nil {
		return err
	}
	f.applied["zone "+b.id] = wanted
	return nil
}

// deleteZone removes what ensureZone made.
func (f *firewall) deleteZone(id string) error {
	delete(f.applied, "zone "+id)
	conn, err := f.open()
	if err != nil {
		return err
	}
	elements, err := conn.GetSetElements(zoneMap)
	if err != nil {
		return err
	}
	return f.change(func(b *batch) {
		for _, e := range elements {
			if string(e.Key) == string(ifnameKey(bridgeName(id))) {
				b.remove(zoneMap, nftables.SetElement{Key: e.Key})
			}
		}
		b.dropChain(inetTable, "z-"+id)
	})
}
