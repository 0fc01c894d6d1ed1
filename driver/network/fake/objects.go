package fake

import (
	"context"
	"errors"
	"slices"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
)

// EnsureNetwork implements [network.Driver].
func (d *Driver) EnsureNetwork(ctx context.Context, id string, n network.Network) error {
	if err := errors.Join(network.CheckID(id), n.Validate()); err != nil {
		return err
	}
	n.Subnets = slices.Clone(n.Subnets)
	for i := range n.Subnets {
		n.Subnets[i].DNS = slices.Clone(n.Subnets[i].DNS)
		n.Subnets[i].Routes = slices.Clone(n.Subnets[i].Routes)
	}
	return d.call(ctx, "EnsureNetwork", id, func(h *host) error {
		h.networks[id] = n
		return nil
	})
}

// DeleteNetwork implements [network.Driver].
func (d *Driver) DeleteNetwork(ctx context.Context, id string) error {
	return d.call(ctx, "DeleteNetwork", id, func(h *host) error {
		if n := h.uses[id]; n > 0 {
			return nephos.Errorf(nephos.ErrConflict, "%d ports are on it", n)
		}
		delete(h.networks, id)
		delete(h.zones, id)
		return nil
	})
}

// EnsurePort implements [network.Driver].
func (d *Driver) EnsurePort(ctx context.Context, id string, p network.Port) (network.Binding, error) {
	if err := errors.Join(network.CheckID(id), p.Validate()); err != nil {
		return network.Binding{}, err
	}
	p.Addresses = slices.Clone(p.Addresses)
	p.SecurityGroups = slices.Clone(p.SecurityGroups)
	p.AllowedPairs = slices.Clone(p.AllowedPairs)
	p.DHCPOptions = slices.Clone(p.DHCPOptions)
	if p.QoS != nil {
		q := *p.QoS
		p.QoS = &q
	}
	if p.Parent != nil {
		parent := *p.Parent
		p.Parent = &parent
	}
	err := d.call(ctx, "EnsurePort", id, func(h *host) error {
		if _, ok := h.networks[p.NetworkID]; !ok {
			return nephos.Errorf(nephos.ErrConflict, "network %s is not here", p.NetworkID)
		}
		if err := h.joins(id, p); err != nil {
			return err
		}
		if old, ok := h.ports[id]; ok {
			h.uses[old.NetworkID]--
		}
		h.uses[p.NetworkID]++
		h.ports[id] = p
		return nil
	})
	if err != nil {
		return network.Binding{}, err
	}
	return network.Binding{Device: device(id, p), VIFType: "bridge"}, nil
}

// DeletePort implements [network.Driver].
func (d *Driver) DeletePort(ctx context.Context, id string) error {
	return d.call(ctx, "DeletePort", id, func(h *host) error {
		if p, ok := h.ports[id]; ok {
			if n := h.children(id); n > 0 {
				return nephos.Errorf(nephos.ErrConflict, "port %s has %d sub-ports", id, n)
			}
			h.uses[p.NetworkID]--
			delete(h.ports, id)
			delete(h.bound, id)
			delete(h.counters, id)
		}
		return nil
	})
}

// EnsureSecurityGroup implements [network.Driver].
func (d *Driver) EnsureSecurityGroup(ctx context.Context, id string, g network.SecurityGroup) error {
	if err := errors.Join(network.CheckID(id), g.Validate()); err != nil {
		return err
	}
	g.Rules, g.Members = slices.Clone(g.Rules), slices.Clone(g.Members)
	return d.call(ctx, "EnsureSecurityGroup", id, func(h *host) error {
		h.groups[id] = g
		return nil
	})
}

// DeleteSecurityGroup implements [network.Driver].
func (d *Driver) DeleteSecurityGroup(ctx context.Context, id string) error {
	return d.call(ctx, "DeleteSecurityGroup", id, func(h *host) error {
		delete(h.groups, id)
		return nil
	})
}

// EnsureRouter implements [network.RouterDriver].
func (d *Driver) EnsureRouter(ctx context.Context, id string, r network.Router) error {
	if err := errors.Join(network.CheckID(id), r.Validate()); err != nil {
		return err
	}
	r.Interfaces = slices.Clone(r.Interfaces)
	r.FloatingIPs = slices.Clone(r.FloatingIPs)
	r.Routes = slices.Clone(r.Routes)
	if r.Gateway != nil {
		g := *r.Gateway
		r.Gateway = &g
	}
	return d.call(ctx, "EnsureRouter", id, func(h *host) error {
		for _, f := range feet(r) {
			if _, ok := h.networks[f.NetworkID]; !ok {
				return nephos.Errorf(nephos.ErrConflict, "network %s is not here", f.NetworkID)
			}
		}
		for _, f := range feet(h.routers[id]) {
			h.uses[f.NetworkID]--
		}
		for _, f := range feet(r) {
			h.uses[f.NetworkID]++
		}
		h.routers[id] = r
		return nil
	})
}

// DeleteRouter implements [network.RouterDriver].
func (d *Driver) DeleteRouter(ctx context.Context, id string) error {
	return d.call(ctx, "DeleteRouter", id, func(h *host) error {
		for _, f := range feet(h.routers[id]) {
			h.uses[f.NetworkID]--
		}
		delete(h.routers, id)
		return nil
	})
}

// feet lists a router's interfaces, its gateway last.
func feet(r network.Router) []network.RouterInterface {
	if r.Gateway == nil {
		return r.Interfaces
	}
	return append(slices.Clip(r.Interfaces), r.Gateway.RouterInterface)
}
