//go:build linux

package linux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ensureBridge makes or finds a bridge of the switch, and labels it.
func ensureBridge(ns *namespace, name, alias string, mtu int) (netlink.Link, error) {
	l, err := linkByName(ns.nl, name)
	if err != nil {
		return nil, err
	}
	if l != nil && l.Type() != "bridge" {
		return nil, fmt.Errorf("interface %s is a %s, not a bridge", name, l.Type())
	}
	if l == nil {
		snooping := false
		b := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, Alias: alias, MTU: mtu}, MulticastSnooping: &snooping}
		if err := ns.nl.LinkAdd(b); err != nil {
			return nil, fmt.Errorf("add bridge %s: %w", name, err)
		}
		if l, err = ns.nl.LinkByName(name); err != nil {
			return nil, err
		}
	}
	return l, settle(ns, l, alias, mtu, 0, true)
}

// settle brings a link's alias, MTU, bridge and state to what is wanted; a
// master of 0 is left as it is.
func settle(ns *namespace, l netlink.Link, alias string, mtu, master int, up bool) error {
	a := l.Attrs()
	if a.Alias != alias {
		if err := ns.nl.LinkSetAlias(l, alias); err != nil {
			return fmt.Errorf("label %s: %w", a.Name, err)
		}
	}
	if a.MTU != mtu {
		if err := ns.nl.LinkSetMTU(l, mtu); err != nil {
			return fmt.Errorf("set MTU %d of %s: %w", mtu, a.Name, err)
		}
	}
	if master != 0 && a.MasterIndex != master {
		if err := ns.nl.LinkSetMasterByIndex(l, master); err != nil {
			return fmt.Errorf("plug %s into its bridge: %w", a.Name, err)
		}
	}
	var err error
	switch isUp := a.Flags&net.FlagUp != 0; {
	case up && !isUp:
		err = ns.nl.LinkSetUp(l)
	case !up && isUp:
		err = ns.nl.LinkSetDown(l)
	}
	if err != nil {
		return fmt.Errorf("set state of %s: %w", a.Name, err)
	}
	return nil
}

// veth describes a pair: one end in the switch, the other elsewhere.
type veth struct {
	name   string // in the switch
	alias  string
	mtu    int
	master int // bridge in the switch
	far    *namespace
	leg    string // name at the far end
	mac    string // of the far end; empty: whatever the kernel chose
	up     bool
}

// ensureVeth makes or finds the pair and returns its far end. A pair that lost
// an end is made anew.
func ensureVeth(sw *namespace, v veth) (netlink.Link, error) {
	near, err := linkByName(sw.nl, v.name)
	if err != nil {
		return nil, err
	}
	far, err := linkByName(v.far.nl, v.leg)
	if err != nil {
		return nil, err
	}
	whole := near != nil && far != nil && near.Attrs().ParentIndex == far.Attrs().Index && far.Attrs().ParentIndex == near.Attrs().Index
	if !whole {
		for _, end := range []struct {
			ns *namespace
			l  netlink.Link
		}{{sw, near}, {v.far, far}} {
			if end.l == nil {
				continue
			}
			if end.l.Type() != "veth" {
				return nil, fmt.Errorf("interface %s is in the way", end.l.Attrs().Name)
			}
			if err := end.ns.nl.LinkDel(end.l); err != nil && !errors.Is(err, unix.ENODEV) {
				return nil, fmt.Errorf("remove half of %s: %w", v.name, err)
			}
		}
		pair := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: v.name, Alias: v.alias, MTU: v.mtu},
			PeerName:  v.leg, PeerNamespace: netlink.NsFd(v.far.fd),
		}
		if v.mac != "" {
			if pair.PeerHardwareAddr, err = net.ParseMAC(v.mac); err != nil {
				return nil, err
			}
		}
		if err := sw.nl.LinkAdd(pair); err != nil {
			return nil, fmt.Errorf("add veth %s: %w", v.name, err)
		}
		if near, err = sw.nl.LinkByName(v.name); err != nil {
			return nil, err
		}
		if far, err = v.far.nl.LinkByName(v.leg); err != nil {
			return nil, err
		}
	}
	if err := settle(sw, near, v.alias, v.mtu, v.master, v.up); err != nil {
		return nil, err
	}
	if v.mac != "" && !strings.EqualFold(far.Attrs().HardwareAddr.String(), v.mac) {
		hw, err := net.ParseMAC(v.mac)
		if err != nil {
			return nil, err
		}
		if err := v.far.nl.LinkSetHardwareAddr(far, hw); err != nil {
			return nil, fmt.Errorf("set address of %s: %w", v.leg, err)
		}
	}
	return far, settle(v.far, far, v.alias, v.mtu, 0, v.up)
}

// deleteLink removes the named link, if it is there.
func deleteLink(ns *namespace, name string) error {
	l, err := linkByName(ns.nl, name)
	if err != nil || l == nil {
		return err
	}
	if err := ns.nl.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// ensureAddresses gives the link exactly these addresses, but for link-local
// IPv6 ones, and returns those that are new.
func ensureAddresses(ns *namespace, l netlink.Link, want []netip.Prefix) (added []netip.Prefix, err error) {
	have, err := ns.nl.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses of %s: %w", l.Attrs().Name, err)
	}
	there := map[netip.Prefix]bool{}
	for _, a := range have {
		p := prefixOf(a.IPNet)
		if p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			continue
		}
		if slices.Contains(want, p) {
			there[p] = true
			continue
		}
		if err := ns.nl.AddrDel(l, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return nil, fmt.Errorf("remove %s from %s: %w", p, l.Attrs().Name, err)
		}
	}
	for _, p := range want {
		if there[p] {
			continue
		}
		a := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		// Removing a first address takes its secondaries along, so an address
		// that seemed there may have to be added again: replace does both.
		if err := ns.nl.AddrReplace(l, a); err != nil {
			return nil, fmt.Errorf("add %s to %s: %w", p, l.Attrs().Name, err)
		}
		added = append(added, p)
	}
	return added, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefixOf(n *net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits)
}
