//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos/driver/network"
)

// routerState is what the driver knows of a router that it was told of.
type routerState struct {
	fw *firewall // its generation and fingerprint; its namespace is set anew each call
}

// EnsureRouter implements [network.RouterDriver].
func (d *Driver) EnsureRouter(ctx context.Context, id string, r network.Router) error {
	if err := errors.Join(network.CheckID(id), r.Validate()); err != nil {
		return err
	}
	return d.locked(ctx, true, func() error {
		feet := r.Interfaces
		if r.Gateway != nil {
			feet = append(slices.Clip(feet), r.Gateway.RouterInterface)
		}
		bridges := make([]*bridge, len(feet))
		for i, f := range feet {
			b, err := d.bridgeOf(f.NetworkID)
			if err != nil {
				return err
			}
			bridges[i] = b
		}
		if err := d.plugRouter(id, r, feet, bridges); err != nil {
			return err
		}
		return nil
	})
}

func (d *Driver) plugRouter(id string, r network.Router, feet []network.RouterInterface, bridges []*bridge) error {
	ns, err := openNamespace(d.cfg.Dir, d.routerName(id))
	if errors.Is(err, fs.ErrNotExist) {
		ns, err = createNamespace(d.cfg.Dir, d.routerName(id))
		delete(d.routers, id)
	}
	if err != nil {
		return err
	}
	defer ns.close()
	if err := ns.do(func() error {
		return setSysctls(map[string]string{
			"net/ipv4/ip_forward":                        "1",
			"net/ipv6/conf/all/forwarding":               "1",
			"net/ipv4/conf/all/rp_filter":                "0",
			"net/ipv4/conf/default/rp_filter":            "0",
			"net/ipv4/conf/all/arp_ignore":               "1", // answer only for the addresses of that side
			"net/ipv4/conf/all/arp_announce":             "2",
			"net/ipv4/conf/all/send_redirects":           "0",
			"net/ipv4/conf/default/send_redirects":       "0",
			"net/ipv4/conf/all/accept_redirects":         "0",
			"net/ipv6/conf/all/accept_ra":                "0",
			"net/ipv6/conf/default/accept_ra":            "0",
			"net/netfilter/nf_conntrack_tcp_be_liberal?": "1",
		})
	}); err != nil {
		return err
	}
	// NAT first: nothing leaves untranslated.
	st := d.routers[id]
	if st == nil {
		st = &routerState{fw: newFirewall(ns)}
		d.routers[id] = st
	}
	st.fw.ns = ns
	if err := st.fw.ensureNAT(r); err != nil {
		return fmt.Errorf("translate addresses: %w", err)
	}
	if err := d.pullFeet(id, feet); err != nil {
		return err
	}
	for i, f := range feet {
		if err := d.plugFoot(id, r, ns, f, bridges[i], i == len(r.Interfaces)); err != nil {
			return err
		}
	}
	if !r.AdminUp {
		return nil // its links are down, and no route can be
	}
	return ensureRoutes(ns, r)
}

// pullFeet removes the feet that the router is not to have; feet nil is all.
func (d *Driver) pullFeet(id string, feet []network.RouterInterface) error {
	links, err := d.sw.nl.LinkList()
	if err != nil {
		return fmt.Errorf("list links of the switch: %w", err)
	}
	for _, l := range links {
		if !strings.HasPrefix(l.Attrs().Alias, "router "+id+" ") {
			continue
		}
		if slices.ContainsFunc(feet, func(f network.RouterInterface) bool { return routerVeth(f.PortID) == l.Attrs().Name }) {
			continue
		}
		if err := d.sw.nl.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("remove %s: %w", l.Attrs().Name, err)
		}
	}
	return nil
}

// plugFoot converges one interface or the gateway.
func (d *Driver) plugFoot(id string, r network.Router, ns *namespace, f network.RouterInterface, b *bridge, gateway bool) error {
	leg, err := ensureVeth(d.sw, veth{
		name: routerVeth(f.PortID), alias: "router " + id + " " + f.PortID, mtu: b.mtu(), master: b.index,
		far: ns, leg: routerLeg(f.PortID), mac: f.MAC, up: r.AdminUp,
	})
	if err != nil {
		return err
	}
	want := slices.Clone(f.Addresses)
	if gateway {
		for _, x := range r.FloatingIPs {
			if !slices.ContainsFunc(want, func(p netip.Prefix) bool { return p.Addr() == x.External }) {
				want = append(want, netip.PrefixFrom(x.External, x.External.BitLen()))
			}
		}
	}
	added, err := ensureAddresses(ns, leg, want)
	if err != nil {
		return err
	}
	if r.AdminUp {
		for _, p := range added {
			if p.Addr().Is4() {
				// Best effort: neighbours that miss it ask when their entry expires.
				if err := announce(ns, leg, p.Addr()); err != nil {
					d.cfg.Log.Debug("announce a router's address", "address", p.Addr(), "error", err)
				}
			}
		}
	}
	if gateway || !r.AdminUp {
		return nil
	}
	return metadataRoute(ns, leg)
}

// metadataRoute sends what guests of a network send to the metadata address
// by way of the router back into the same network, where the service is.
func metadataRoute(ns *namespace, leg netlink.Link) error {
	table := 1000 + leg.Attrs().Index
	err := ns.nl.RouteReplace(&netlink.Route{
		LinkIndex: leg.Attrs().Index, Dst: ipNet(servicePrefix), Scope: netlink.SCOPE_LINK, Table: table,
	})
	if err != nil {
		return fmt.Errorf("route metadata: %w", err)
	}
	rules, err := ns.nl.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list routing rules: %w", err)
	}
	if slices.ContainsFunc(rules, func(r netlink.Rule) bool { return r.IifName == leg.Attrs().Name && r.Table == table }) {
		return nil
	}
	rule := netlink.NewRule()
	rule.Family, rule.IifName, rule.Table, rule.Dst = netlink.FAMILY_V4, leg.Attrs().Name, table, ipNet(servicePrefix)
	if err := ns.nl.RuleAdd(rule); err != nil {
		return fmt.Errorf("route metadata: %w", err)
	}
	return nil
}

// ensureRoutes gives the router its default and static routes, and no others.
func ensureRoutes(ns *namespace, r network.Router) error {
	want := map[netip.Prefix]netlink.Route{}
	if r.Gateway != nil {
		leg, err := ns.nl.LinkByName(routerLeg(r.Gateway.PortID))
		if err != nil {
			return err
		}
		for _, hop := range slices.Backward(r.Gateway.NextHops) {
			any4 := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
			if hop.Is6() {
				any4 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
			}
			want[any4] = netlink.Route{LinkIndex: leg.Attrs().Index, Dst: ipNet(any4), Gw: hop.AsSlice(), Flags: int(netlink.FLAG_ONLINK)}
		}
	}
	for _, x := range r.Routes {
		p := x.Destination.Masked()
		want[p] = netlink.Route{Dst: ipNet(p), Gw: x.NextHop.AsSlice()}
	}
	have, err := ns.nl.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, h := range have {
		if h.Gw == nil || h.Dst == nil {
			continue // of an address of its own
		}
		if w, ok := want[prefixOf(h.Dst)]; ok && w.Gw.Equal(h.Gw) {
			delete(want, prefixOf(h.Dst))
		} else if !ok {
			if err := ns.nl.RouteDel(&h); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("remove route %s: %w", h.Dst, err)
			}
		}
	}
	var errs []error
	for p, w := range want {
		if err := ns.nl.RouteReplace(&w); err != nil {
			errs = append(errs, fmt.Errorf("add route %s via %s: %w", p, w.Gw, err))
		}
	}
	return errors.Join(errs...)
}

// DeleteRouter implements [network.RouterDriver].
func (d *Driver) DeleteRouter(ctx context.Context, id string) error {
	return d.about(ctx, id, func() error {
		if d.sw == nil {
			return nil
		}
		if err := d.pullFeet(id, nil); err != nil {
			return err
		}
		delete(d.routers, id)
		if err := deleteNamespace(d.cfg.Dir, d.routerName(id)); err != nil {
			return err
		}
		return d.dropSwitch()
	})
}
