package fake

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
)

var (
	_ network.QoSDriver   = (*Driver)(nil)
	_ network.TrunkDriver = (*Driver)(nil)
	_ network.NameServer  = (*Driver)(nil)
)

// QoSRules implements [network.QoSDriver]. [State.Port] tells what a port asks
// for.
func (d *Driver) QoSRules() []string {
	return []string{"bandwidth_limit", "dscp_marking", "minimum_bandwidth", "packet_rate_limit"}
}

// Segmentation implements [network.TrunkDriver].
func (d *Driver) Segmentation() []string { return []string{"vlan"} }

// joins checks that a sub-port can be where it wants to.
func (h *host) joins(id string, p network.Port) error {
	if p.Parent == nil {
		return nil
	}
	parent, ok := h.ports[p.Parent.PortID]
	switch {
	case !ok:
		return nephos.Errorf(nephos.ErrConflict, "parent port %s is not here", p.Parent.PortID)
	case parent.Parent != nil:
		return nephos.Errorf(nephos.ErrConflict, "parent port %s is a sub-port itself", p.Parent.PortID)
	case p.Parent.PortID == id:
		return nephos.Errorf(nephos.ErrInvalid, "a port is no parent of its own")
	}
	for other, q := range h.ports {
		if other != id && q.Parent != nil && *q.Parent == *p.Parent {
			return nephos.Errorf(nephos.ErrConflict, "%s %d is port %s's", p.Parent.Segmentation, p.Parent.ID, other)
		}
	}
	return nil
}

// children counts a port's sub-ports.
func (h *host) children(id string) (n int) {
	for _, q := range h.ports {
		if q.Parent != nil && q.Parent.PortID == id {
			n++
		}
	}
	return n
}

func device(id string, p network.Port) string {
	if p.Parent != nil {
		id = p.Parent.PortID
	}
	return "tap" + id[:min(11, len(id))]
}

// EnsureZone implements [network.NameServer].
func (d *Driver) EnsureZone(ctx context.Context, networkID string, z network.Zone) error {
	if err := errors.Join(network.CheckID(networkID), z.Validate()); err != nil {
		return err
	}
	z.Records, z.Forward = slices.Clone(z.Records), slices.Clone(z.Forward)
	for i := range z.Records {
		z.Records[i].Addresses = slices.Clone(z.Records[i].Addresses)
	}
	return d.call(ctx, "EnsureZone", networkID, func(h *host) error {
		if _, ok := h.networks[networkID]; !ok {
			return nephos.Errorf(nephos.ErrConflict, "network %s is not here", networkID)
		}
		h.zones[networkID] = z
		return nil
	})
}

// DeleteZone implements [network.NameServer].
func (d *Driver) DeleteZone(ctx context.Context, networkID string) error {
	return d.call(ctx, "DeleteZone", networkID, func(h *host) error {
		delete(h.zones, networkID)
		return nil
	})
}

// Lookup plays the guest of a port that asks its network's name server for the
// addresses of a name. No server, or no such name, is ErrNotFound.
func (s *State) Lookup(portID, name string) ([]netip.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, p, ok := s.port(portID)
	if !ok {
		return nil, nephos.NotFound("Port", portID)
	}
	z := h.zones[p.NetworkID]
	full := func(n string) string {
		n = strings.ToLower(n)
		if !strings.Contains(n, ".") && z.Domain != "" {
			n += "." + strings.ToLower(z.Domain)
		}
		return strings.TrimSuffix(n, ".")
	}
	for _, r := range z.Records {
		if full(r.Name) == full(name) {
			return slices.Clone(r.Addresses), nil
		}
	}
	return nil, nephos.NotFound("Name", name)
}
