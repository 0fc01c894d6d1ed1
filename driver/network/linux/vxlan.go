//go:build linux

package linux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	nephos "github.com/nephos-cloud/nephos"
)

// Underlay is how the hosts of a cloud reach each other for VXLAN (RFC 7348).
type Underlay struct {
	// Address is this host's, from which it sends and on which it receives.
	Address netip.Addr
	// Peers are the other hosts'. What is for everybody, or for a card not yet
	// seen, goes to each of them.
	Peers []netip.Addr
	// Port is UDP's; zero means 4789.
	Port int
}

// plugVXLAN gives a network of that segment its tunnel. The device's far side
// stays in the host's namespace, the near one is on the network's bridge.
func (d *Driver) plugVXLAN(b *bridge) error {
	name := tunnelName(b.id)
	l, err := linkByName(d.sw.nl, name)
	if err != nil {
		return err
	}
	u := d.cfg.Underlay
	wanted := u != nil && b.spec.Segment.Type == "vxlan"
	if l != nil {
		v, ok := l.(*netlink.Vxlan)
		if !wanted || !ok || v.VxlanId != b.spec.Segment.ID || !v.SrcAddr.Equal(u.Address.AsSlice()) || v.Port != u.port() {
			if err := deleteLink(d.sw, name); err != nil {
				return err
			}
			l = nil
		}
	}
	if !wanted {
		return nil
	}
	if l == nil {
		v := &netlink.Vxlan{
			LinkAttrs: netlink.LinkAttrs{Name: name, MTU: b.mtu(), Namespace: netlink.NsFd(d.sw.fd)},
			VxlanId:   b.spec.Segment.ID, SrcAddr: u.Address.AsSlice(), Port: u.port(), Learning: true,
		}
		if err := d.host.nl.LinkAdd(v); err != nil {
			if errors.Is(err, unix.EEXIST) {
				return nephos.Errorf(nephos.ErrConflict, "VXLAN %d is taken on this host: %w", v.VxlanId, err)
			}
			return fmt.Errorf("add VXLAN %d: %w", v.VxlanId, err)
		}
		if l, err = d.sw.nl.LinkByName(name); err != nil {
			return err
		}
	}
	if err := d.ensurePeers(l, u.Peers); err != nil {
		return err
	}
	return settle(d.sw, l, "tunnel "+b.id, b.mtu(), b.index, true)
}

func (u *Underlay) port() int {
	if u.Port == 0 {
		return 4789
	}
	return u.Port
}

// ensurePeers sends what is for everybody to exactly these hosts.
func (d *Driver) ensurePeers(l netlink.Link, peers []netip.Addr) error {
	have, err := d.sw.nl.NeighList(l.Attrs().Index, unix.AF_BRIDGE)
	if err != nil {
		return fmt.Errorf("list peers of %s: %w", l.Attrs().Name, err)
	}
	everybody := make(net.HardwareAddr, 6)
	var there []netip.Addr
	for _, n := range have {
		a, ok := netip.AddrFromSlice(n.IP)
		if !ok || n.HardwareAddr.String() != everybody.String() {
			continue // learned
		}
		if a = a.Unmap(); slices.Contains(peers, a) {
			there = append(there, a)
		} else if err := d.sw.nl.NeighDel(&n); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove peer %s: %w", a, err)
		}
	}
	for _, p := range peers {
		if slices.Contains(there, p) {
			continue
		}
		err := d.sw.nl.NeighAppend(&netlink.Neigh{
			LinkIndex: l.Attrs().Index, Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT | netlink.NUD_NOARP,
			Flags: netlink.NTF_SELF, IP: p.AsSlice(), HardwareAddr: everybody,
		})
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add peer %s: %w", p, err)
		}
	}
	return nil
}
