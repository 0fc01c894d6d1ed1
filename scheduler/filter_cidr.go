package scheduler

import (
	"net/netip"
	"strings"
)

// SimpleCIDRAffinityFilter lets only hosts pass whose address (attribute
// host_ip) lies in the network that the scheduler hints name:
// build_near_host_ip, an address, and cidr, the length of the prefix as "/24" or
// "24", which is what it is without the hint. A host without an address is
// turned away. A hint that cannot be read turns every host away.
type SimpleCIDRAffinityFilter struct{}

// Name implements [Filter].
func (SimpleCIDRAffinityFilter) Name() string { return "SimpleCIDRAffinityFilter" }

// Prepare implements [Filter].
func (SimpleCIDRAffinityFilter) Prepare(req *Request) Check {
	first := func(hint string) string {
		if v := req.Hints[hint]; len(v) > 0 {
			return strings.TrimSpace(v[0])
		}
		return ""
	}
	near, length := first("build_near_host_ip"), strings.TrimPrefix(first("cidr"), "/")
	if near == "" {
		return Check{}
	}
	if length == "" {
		length = "24"
	}
	network, err := netip.ParsePrefix(near + "/" + length)
	if err != nil {
		return turnAll("not comparable with the hints build_near_host_ip and cidr, which are no network", err.Error())
	}
	network = network.Masked()
	return Check{Host: func(h HostView) Verdict {
		text, _ := h.Attribute("host_ip")
		ip, err := netip.ParseAddr(text)
		if err == nil && network.Contains(ip.Unmap()) {
			return Verdict{}
		}
		return Verdict{Reason: "outside the network asked for", Want: network.String(), Saw: clip(text)}
	}}
}
