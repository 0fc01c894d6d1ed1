//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
)

// tap is what the driver knows of a port that it was told of.
type tap struct {
	spec  network.Port
	index int // of the interface; the port's mark
	zone  uint16
}

// EnsurePort implements [network.Driver].
func (d *Driver) EnsurePort(ctx context.Context, id string, p network.Port) (network.Binding, error) {
	if err := errors.Join(network.CheckID(id), p.Validate(), checkQoS(p)); err != nil {
		return network.Binding{}, err
	}
	if p.Parent != nil {
		return network.Binding{}, fmt.Errorf("sub-port: %w", errors.ErrUnsupported)
	}
	for _, g := range p.SecurityGroups {
		if err := network.CheckID(g); err != nil {
			return network.Binding{}, fmt.Errorf("security group: %w", err)
		}
	}
	var b network.Binding
	err := d.locked(ctx, false, func() error {
		if d.sw == nil {
			return nephos.Errorf(nephos.ErrConflict, "network %s is not here", p.NetworkID)
		}
		n, err := d.bridgeOf(p.NetworkID)
		if err != nil {
			return err
		}
		if err := d.plugPort(id, p, n); err != nil {
			return err
		}
		b = network.Binding{Device: tapName(id), Namespace: d.sw.path, VIFType: "bridge"}
		return nil
	})
	return b, err
}

// plugPort makes the tap, applies its rules, and only then connects it.
func (d *Driver) plugPort(id string, p network.Port, n *bridge) error {
	l, err := d.ensureTap(id)
	if err != nil {
		return err
	}
	t := &tap{spec: p, index: l.Attrs().Index, zone: n.zone}
	old := d.ports[id]
	if err := d.fw.ensurePort(id, t); err != nil {
		return err
	}
	if err := settle(d.sw, l, "port "+id+" network "+p.NetworkID, n.mtu(), n.index, p.AdminUp); err != nil {
		return err
	}
	if old != nil {
		if old.spec.NetworkID != p.NetworkID {
			if b := d.networks[old.spec.NetworkID]; b != nil {
				b.service.unset(id)
			}
		}
		if fewer(old.spec, p) {
			d.cut(old)
			if err := d.fw.sweep(); err != nil {
				return err
			}
		}
	}
	n.service.set(id, p)
	d.ports[id] = t
	return nil
}

// fewer reports whether the change may have taken rights from the port.
func fewer(old, p network.Port) bool {
	if !old.PortSecurity && p.PortSecurity {
		return true
	}
	return slices.ContainsFunc(old.SecurityGroups, func(g string) bool { return !slices.Contains(p.SecurityGroups, g) }) ||
		slices.ContainsFunc(old.Addresses, func(a network.Address) bool { return !slices.Contains(p.Addresses, a) })
}

// ensureTap makes or finds the port's tap: persistent, and owned by whoever
// runs the guests.
func (d *Driver) ensureTap(id string) (netlink.Link, error) {
	name := tapName(id)
	l, err := linkByName(d.sw.nl, name)
	if err != nil || l != nil {
		return l, err
	}
	err = d.sw.do(func() error {
		fd, err := unix.Open("/dev/net/tun", os.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		defer unix.Close(fd)
		req, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			return fmt.Errorf("make tap %s: %w", name, err)
		}
		return errors.Join(
			unix.IoctlSetInt(fd, unix.TUNSETOWNER, d.cfg.TapUID),
			unix.IoctlSetInt(fd, unix.TUNSETGROUP, d.cfg.TapGID),
			unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1))
	})
	if err != nil {
		return nil, err
	}
	return d.sw.nl.LinkByName(name)
}

// DeletePort implements [network.Driver].
func (d *Driver) DeletePort(ctx context.Context, id string) error {
	return d.about(ctx, id, func() error {
		if d.sw == nil {
			return nil
		}
		if t := d.ports[id]; t != nil {
			if b := d.networks[t.spec.NetworkID]; b != nil {
				b.service.unset(id)
			}
			d.cut(t)
			delete(d.ports, id)
		}
		// The tap first: without its chains it would be open, were it not that
		// the maps refuse taps that they do not know. Its label goes last.
		if err := d.fw.deletePort(id); err != nil {
			return err
		}
		if err := d.fw.sweep(); err != nil {
			return err
		}
		if err := deleteLink(d.sw, tapName(id)); err != nil {
			return err
		}
		return nil
	})
}

// cut ends the connections of a port's addresses, so that rules that are gone
// hold for those too. What is still allowed is let through anew.
func (d *Driver) cut(t *tap) {
	for _, a := range t.spec.Addresses {
		family := netlink.InetFamily(unix.AF_INET)
		if a.IP.Is6() {
			family = unix.AF_INET6
		}
		var filters []netlink.CustomConntrackFilter
		for _, kind := range []netlink.ConntrackFilterType{netlink.ConntrackOrigSrcIP, netlink.ConntrackOrigDstIP} {
			f := &netlink.ConntrackFilter{}
			if errors.Join(f.AddIP(kind, a.IP.AsSlice()), f.AddZone(t.zone)) == nil {
				filters = append(filters, f)
			}
		}
		if _, err := d.sw.nl.ConntrackDeleteFilters(netlink.ConntrackTable, family, filters...); err != nil {
			d.cfg.Log.Warn("end connections of a port", "address", a.IP, "error", err)
		}
	}
}

// PortStatistics implements [network.Statistician].
func (d *Driver) PortStatistics(ctx context.Context, id string) (network.Statistics, error) {
	var s network.Statistics
	err := d.about(ctx, id, func() error {
		if d.sw == nil {
			return nephos.NotFound("Port", id)
		}
		l, err := linkByName(d.sw.nl, tapName(id))
		if err != nil {
			return err
		}
		if l == nil || !strings.HasPrefix(l.Attrs().Alias, "port ") {
			return nephos.NotFound("Port", id)
		}
		// What the host sends into a tap is what the guest receives.
		if c := l.Attrs().Statistics; c != nil {
			s = network.Statistics{
				RxBytes: c.TxBytes, RxPackets: c.TxPackets, RxDropped: c.TxDropped,
				TxBytes: c.RxBytes, TxPackets: c.RxPackets, TxDropped: c.RxDropped,
			}
		}
		return nil
	})
	return s, err
}
