//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
)

// bridge is what the driver knows of a network that it was told of.
type bridge struct {
	id      string
	spec    network.Network
	index   int    // of the bridge in the switch
	zone    uint16 // of connection tracking
	service *service
}

func (b *bridge) mtu() int {
	if b.spec.MTU == 0 {
		return 1500
	}
	return b.spec.MTU
}

// EnsureNetwork implements [network.Driver].
func (d *Driver) EnsureNetwork(ctx context.Context, id string, n network.Network) error {
	if err := errors.Join(network.CheckID(id), n.Validate()); err != nil {
		return err
	}
	var host netip.Prefix
	if t := n.Segment.Type; t == "flat" || t == "vlan" {
		x, ok := d.cfg.Physical[n.Segment.Physical]
		if !ok {
			return nephos.Errorf(nephos.ErrInvalid, "physical network %q is not on this host", n.Segment.Physical)
		}
		if t == "flat" {
			host = x.HostAddress
		}
	}
	return d.locked(ctx, true, func() error {
		for other, b := range d.networks {
			if other != id && host.IsValid() && b.spec.Segment == n.Segment {
				return nephos.Errorf(nephos.ErrConflict, "physical network %q carries network %s", n.Segment.Physical, other)
			}
		}
		b := d.networks[id]
		if b == nil {
			b = &bridge{id: id, service: newService(d, id)}
		}
		b.spec = n
		if err := d.plugNetwork(b, host); err != nil {
			return err
		}
		d.networks[id] = b
		return nil
	})
}

// plugNetwork converges bridge, zone, host's side and service.
func (d *Driver) plugNetwork(b *bridge, host netip.Prefix) error {
	zone, err := d.zone(b.id)
	if err != nil {
		return err
	}
	b.zone = zone
	l, err := ensureBridge(d.sw, bridgeName(b.id), "network "+b.id+" zone "+strconv.Itoa(int(zone)), b.mtu())
	if err != nil {
		return err
	}
	b.index = l.Attrs().Index
	if err := d.fw.ensureZone(b); err != nil {
		return fmt.Errorf("set up connection tracking: %w", err)
	}
	if host.IsValid() {
		err = d.plugHost(b, host)
	} else {
		err = deleteLink(d.sw, uplinkVeth(b.id))
	}
	if err != nil {
		return err
	}
	if err := d.plugVXLAN(b); err != nil {
		return err
	}
	serve := !b.spec.External
	for _, s := range b.spec.Subnets {
		serve = serve || s.DHCP
	}
	if !serve {
		b.service.stop()
		return errors.Join(deleteLink(d.sw, serviceVeth(b.id)), deleteNamespace(d.cfg.Dir, d.serviceName(b.id)))
	}
	return b.service.ensure(b)
}

// plugHost gives the host its foot in the network.
func (d *Driver) plugHost(b *bridge, host netip.Prefix) error {
	if err := d.checkSubnet(b, host); err != nil {
		return err
	}
	l, err := ensureVeth(d.sw, veth{
		name: uplinkVeth(b.id), alias: "uplink " + b.id, mtu: b.mtu(), master: b.index,
		far: d.host, leg: d.hostVeth(b.id), up: true,
	})
	if err != nil {
		return err
	}
	_, err = ensureAddresses(d.host, l, []netip.Prefix{host})
	return err
}

// checkSubnet fails if another interface of the host is on the subnet: packets
// for this network would leave by that one, or not, as the kernel likes.
func (d *Driver) checkSubnet(b *bridge, host netip.Prefix) error {
	addresses, err := d.host.nl.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list addresses of the host: %w", err)
	}
	for _, a := range addresses {
		if a.IPNet == nil || !prefixOf(a.IPNet).Overlaps(host) {
			continue
		}
		l, err := d.host.nl.LinkByIndex(a.LinkIndex)
		if err != nil || l.Attrs().Name == d.hostVeth(b.id) {
			continue // it went meanwhile, or is ours
		}
		return nephos.Errorf(nephos.ErrConflict, "interface %s of this host has %s, which is in the network's subnet %s (of another cloud?)",
			l.Attrs().Name, prefixOf(a.IPNet), host.Masked())
	}
	return nil
}

// zone returns the network's zone: the one in its bridge's label, or a free one.
func (d *Driver) zone(id string) (uint16, error) {
	links, err := d.sw.nl.LinkList()
	if err != nil {
		return 0, fmt.Errorf("list links of the switch: %w", err)
	}
	used := map[uint64]bool{0: true}
	for _, l := range links {
		f := strings.Fields(l.Attrs().Alias)
		if len(f) != 4 || f[0] != "network" {
			continue
		}
		z, err := strconv.ParseUint(f[3], 10, 16)
		if err != nil {
			continue
		}
		if f[1] == id && z != 0 {
			return uint16(z), nil
		}
		used[z] = true
	}
	for z := uint64(1); z < 1<<16; z++ {
		if !used[z] {
			return uint16(z), nil
		}
	}
	return 0, nephos.Errorf(nephos.ErrNoCapacity, "more than 65535 networks on the host")
}

// bridgeOf returns the network, also when it is known from the host only.
func (d *Driver) bridgeOf(id string) (*bridge, error) {
	if b := d.networks[id]; b != nil {
		l, err := linkByName(d.sw.nl, bridgeName(id))
		if err != nil {
			return nil, err
		}
		if l != nil {
			b.index = l.Attrs().Index
			return b, nil
		}
	}
	return nil, nephos.Errorf(nephos.ErrConflict, "network %s is not here", id)
}

// DeleteNetwork implements [network.Driver].
func (d *Driver) DeleteNetwork(ctx context.Context, id string) error {
	return d.about(ctx, id, func() error {
		if d.sw == nil {
			return nil
		}
		l, err := linkByName(d.sw.nl, bridgeName(id))
		if err != nil {
			return err
		}
		if l != nil {
			if n, err := d.guestsOn(l); err != nil {
				return err
			} else if n > 0 {
				return nephos.Errorf(nephos.ErrConflict, "%d ports are on it", n)
			}
		}
		if err := d.unplugNetwork(id); err != nil {
			return err
		}
		return d.dropSwitch()
	})
}

// guestsOn counts the taps and routers on a bridge.
func (d *Driver) guestsOn(bridge netlink.Link) (int, error) {
	links, err := d.sw.nl.LinkList()
	if err != nil {
		return 0, fmt.Errorf("list links of the switch: %w", err)
	}
	n := 0
	for _, l := range links {
		kind, _, _ := strings.Cut(l.Attrs().Alias, " ")
		if l.Attrs().MasterIndex == bridge.Attrs().Index && (kind == "port" || kind == "router") {
			n++
		}
	}
	return n, nil
}

// unplugNetwork removes the label, which is the bridge's, last.
func (d *Driver) unplugNetwork(id string) error {
	if b := d.networks[id]; b != nil {
		b.service.stop()
	}
	for _, name := range []string{serviceVeth(id), uplinkVeth(id), tunnelName(id)} {
		if err := deleteLink(d.sw, name); err != nil {
			return err
		}
	}
	if err := deleteNamespace(d.cfg.Dir, d.serviceName(id)); err != nil {
		return err
	}
	if err := d.fw.deleteZone(id); err != nil {
		return fmt.Errorf("remove connection tracking: %w", err)
	}
	if err := deleteLink(d.sw, bridgeName(id)); err != nil {
		return err
	}
	delete(d.networks, id)
	return nil
}
