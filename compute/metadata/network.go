package metadata

import (
	"fmt"
	"net"
	"net/netip"
)

type networkJSON struct {
	Links    []linkEntry    `json:"links"`
	Networks []networkEntry `json:"networks"`
	Services []service      `json:"services"`
}

type linkEntry struct {
	ID   string `json:"id"`
	VIF  string `json:"vif_id"`
	Type string `json:"type"`
	MTU  *int   `json:"mtu"`
	MAC  string `json:"ethernet_mac_address"`
}

type networkEntry struct {
	ID        string       `json:"id"`
	Type      string       `json:"type"`
	Link      string       `json:"link"`
	IP        string       `json:"ip_address,omitempty"`
	Netmask   string       `json:"netmask,omitempty"`
	Routes    []routeEntry `json:"routes,omitempty"`
	NetworkID string       `json:"network_id"`
	Services  []service    `json:"services,omitempty"`
}

type routeEntry struct {
	Network string `json:"network"`
	Netmask string `json:"netmask"`
	Gateway string `json:"gateway"`
}

type service struct {
	Type    string `json:"type"`
	Address string `json:"address"`
}

// networkData is the content of network_data.json.
func networkData(cards []Card) networkJSON {
	out := networkJSON{Links: []linkEntry{}, Networks: []networkEntry{}, Services: []service{}}
	for _, c := range cards {
		if len(c.Addresses) == 0 {
			continue
		}
		link := "tap" + c.ID[:min(11, len(c.ID))]
		l := linkEntry{ID: link, VIF: c.ID, Type: "phy", MAC: c.MAC}
		if c.MTU > 0 {
			l.MTU = &c.MTU
		}
		out.Links = append(out.Links, l)
		for _, a := range c.Addresses {
			ip, err := netip.ParseAddr(a.IP)
			if err != nil {
				continue
			}
			out.Networks = append(out.Networks, networkOf(len(out.Networks), link, c, ip, a.Subnet))
			for _, d := range a.Subnet.DNS {
				out.addService(service{"dns", d})
			}
		}
	}
	return out
}

func (n *networkJSON) addService(s service) {
	for _, have := range n.Services {
		if have == s {
			return
		}
	}
	n.Services = append(n.Services, s)
}

func networkOf(i int, link string, c Card, ip netip.Addr, sub Subnet) networkEntry {
	version := 4
	if ip.Is6() {
		version = 6
	}
	e := networkEntry{ID: fmt.Sprint("network", i), Type: fmt.Sprint("ipv", version), Link: link, NetworkID: c.NetworkID}
	switch {
	case version == 6 && sub.IPv6Mode != "":
		e.Type += "_" + sub.IPv6Mode
	case sub.DHCP:
		e.Type += "_dhcp"
		return e
	}
	e.IP = ip.String()
	if p, err := netip.ParsePrefix(sub.CIDR); err == nil {
		e.Netmask = mask(p)
	}
	if sub.Gateway != "" {
		any := map[int][2]string{4: {"0.0.0.0", "0.0.0.0"}, 6: {"::", "::"}}[version]
		e.Routes = append(e.Routes, routeEntry{any[0], any[1], sub.Gateway})
	}
	for _, r := range sub.Routes {
		if p, err := netip.ParsePrefix(r.Destination); err == nil {
			e.Routes = append(e.Routes, routeEntry{p.Addr().String(), mask(p), r.NextHop})
		}
	}
	for _, d := range sub.DNS {
		e.Services = append(e.Services, service{"dns", d})
	}
	return e
}

// mask writes a prefix's length as a netmask.
func mask(p netip.Prefix) string {
	return net.IP(net.CIDRMask(p.Bits(), p.Addr().BitLen())).String()
}
