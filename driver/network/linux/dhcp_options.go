//go:build linux

package linux

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/nephos-cloud/nephos/driver/network"
)

// optionsOf are the options that a port's client gets, its own last.
func optionsOf(n network.Network, sub network.Subnet, p network.Port) []dhcpv4.Option {
	mtu := n.MTU
	if mtu == 0 {
		mtu = 1500
	}
	opts := []dhcpv4.Option{
		dhcpv4.OptSubnetMask(net.CIDRMask(sub.CIDR.Bits(), 32)),
		dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, binary.BigEndian.AppendUint16(nil, uint16(mtu))), //nolint:gosec // validated
		dhcpv4.OptClasslessStaticRoute(routesOf(sub)...),
	}
	if sub.Gateway.Is4() {
		opts = append(opts, dhcpv4.OptRouter(sub.Gateway.AsSlice()))
	}
	var dns []net.IP
	for _, a := range sub.DNS {
		if a.Is4() {
			dns = append(dns, a.AsSlice())
		}
	}
	if len(dns) > 0 {
		opts = append(opts, dhcpv4.OptDNS(dns...))
	}
	if p.Hostname != "" {
		opts = append(opts, dhcpv4.OptHostName(p.Hostname))
	}
	if domain := strings.TrimSuffix(n.DNSDomain, "."); domain != "" {
		opts = append(opts, dhcpv4.OptDomainName(domain))
	}
	for _, o := range p.DHCPOptions {
		if o.IPVersion == 6 {
			continue
		}
		if opt, ok := parseOption(o.Name, o.Value); ok {
			opts = append(opts, opt)
		}
	}
	return opts
}

// routesOf are the routes of option 121: a client that takes them ignores the
// router option, so the default route is among them (RFC 3442).
func routesOf(sub network.Subnet) []*dhcpv4.Route {
	routes := []*dhcpv4.Route{{Dest: ipNet(netip.PrefixFrom(serviceAddress, 32)), Router: net.IPv4zero}}
	for _, r := range sub.Routes {
		if r.Destination.Addr().Is4() {
			routes = append(routes, &dhcpv4.Route{Dest: ipNet(r.Destination.Masked()), Router: r.NextHop.AsSlice()})
		}
	}
	if sub.Gateway.Is4() {
		routes = append(routes, &dhcpv4.Route{Dest: ipNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0)), Router: sub.Gateway.AsSlice()})
	}
	return routes
}

// optionNumbers are the names that extra DHCP options go by in OpenStack.
var optionNumbers = map[string]uint8{
	"netmask": 1, "router": 3, "dns-server": 6, "hostname": 12, "domain-name": 15, "root-path": 17, "mtu": 26,
	"broadcast": 28, "ntp-server": 42, "vendor-encap": 43, "tftp-server": 66, "bootfile-name": 67,
	"tftp-server-address": 150, "server-ip-address": 150, "path-prefix": 210, "ipxe-encap-opts": 175,
}

// parseOption encodes an extra DHCP option; false when it makes no sense.
func parseOption(name, value string) (dhcpv4.Option, bool) {
	number, known := optionNumbers[name]
	if !known {
		n, err := strconv.ParseUint(strings.TrimPrefix(name, "option:"), 10, 8)
		if err != nil || n == 0 || n == 255 {
			return dhcpv4.Option{}, false
		}
		number = uint8(n)
	}
	switch number {
	case 51, 53, 54, 55, 61: // the conversation's own
		return dhcpv4.Option{}, false
	}
	data := []byte(value)
	switch number {
	case 26:
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil || n < 68 {
			return dhcpv4.Option{}, false
		}
		data = binary.BigEndian.AppendUint16(nil, uint16(n))
	case 1, 3, 6, 28, 42, 150:
		data = nil
		for _, f := range strings.Split(value, ",") {
			a, err := netip.ParseAddr(strings.TrimSpace(f))
			if err != nil || !a.Is4() {
				return dhcpv4.Option{}, false
			}
			data = append(data, a.AsSlice()...)
		}
	}
	if len(data) == 0 || len(data) > 255 {
		return dhcpv4.Option{}, false
	}
	return dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(number), data), true
}
