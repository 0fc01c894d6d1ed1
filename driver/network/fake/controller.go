package fake

import (
	"context"
	"maps"
	"slices"

	nephos "github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/network"
)

// ControllerOptions configures [OpenController].
type ControllerOptions struct {
	Hosts []string // that a port can be bound to; nil: any
}

// Controller is a central back end without packets. It implements
// [network.Controller], and routers, names, QoS, trunks and events.
type Controller struct {
	*Driver // its books are those of one host, which is everywhere
	hosts   []string
}

var (
	_ network.Controller = (*Controller)(nil)
	_ network.Abilitier  = (*Controller)(nil)
)

// OpenController opens a controller on a State, of which it should be the only
// driver. The state keeps what earlier controllers were told.
func OpenController(s *State, o ControllerOptions) *Controller {
	return &Controller{Driver: Open(s, Options{}), hosts: o.Hosts}
}

// Abilities implements [network.Abilitier].
func (c *Controller) Abilities(context.Context) ([]string, error) {
	return []string{network.AbilityRouter, network.AbilityEvents, network.AbilityQoS, network.AbilityTrunk, network.AbilityDNS}, nil
}

// EnsurePort implements [network.Controller].
func (c *Controller) EnsurePort(ctx context.Context, id string, p network.Port) error {
	_, err := c.Driver.EnsurePort(ctx, id, p)
	return err
}

// Bind implements [network.Controller]. A port that comes up is an event.
func (c *Controller) Bind(ctx context.Context, portID, on string, _ network.BindOptions) (b network.Binding, err error) {
	err = c.call(ctx, "Bind", portID, func(h *host) error {
		p, ok := h.ports[portID]
		switch {
		case !ok:
			return nephos.NotFound("Port", portID)
		case c.hosts != nil && !slices.Contains(c.hosts, on):
			return nephos.Errorf(nephos.ErrConflict, "host %s is unknown", on)
		}
		if h.bound[portID] != on {
			h.bound[portID] = on
			c.tell(h, "up", portID)
		}
		b = network.Binding{Device: device(portID, p), VIFType: "ovs"}
		return nil
	})
	return b, err
}

// tell sends an event; the mutex is held.
func (c *Controller) tell(h *host, kind, portID string) {
	for w := range h.watchers {
		select {
		case w <- network.Event{Kind: kind, PortID: portID, At: c.state.clock.Now()}:
		default:
		}
	}
}

// Unbind implements [network.Controller].
func (c *Controller) Unbind(ctx context.Context, portID string) error {
	return c.call(ctx, "Unbind", portID, func(h *host) error {
		if _, ok := h.bound[portID]; ok {
			delete(h.bound, portID)
			c.tell(h, "down", portID)
		}
		return nil
	})
}

// Bound implements [network.Controller].
func (c *Controller) Bound(ctx context.Context) (hosts map[string]string, err error) {
	err = c.look(ctx, "Bound", func(h *host) error {
		hosts = maps.Clone(h.bound)
		return nil
	})
	return hosts, err
}
