package network

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// DefaultTimeout bounds one call of a driver when [NodeOptions] does not.
const DefaultTimeout = time.Minute

// NodeOptions configures a [Node].
type NodeOptions struct {
	// Timeout bounds each call; zero means [DefaultTimeout].
	Timeout time.Duration
}

// Node is the network of one host, as its users hold it: a [Driver] whose
// abilities were asked for once, whose calls end by a deadline, and whose
// specs are checked before the driver sees them. It is safe for concurrent use.
type Node struct {
	driver    Driver
	abilities []string
	timeout   time.Duration

	router   RouterDriver
	metadata MetadataServer
	eventer  Eventer
	stats    Statistician
}

// NewNode wraps the driver and asks it for its abilities. The Node owns the
// driver from here on.
func NewNode(ctx context.Context, d Driver, o NodeOptions) (*Node, error) {
	if d == nil {
		return nil, nephos.Errorf(nephos.ErrInvalid, "open network node: no driver")
	}
	n := &Node{driver: d, timeout: o.Timeout}
	if n.timeout <= 0 {
		n.timeout = DefaultTimeout
	}
	offered := func(string) bool { return true }
	if a, ok := d.(Abilitier); ok {
		ctx, cancel := context.WithTimeout(ctx, n.timeout)
		defer cancel()
		names, err := a.Abilities(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask network driver for its abilities: %w", err)
		}
		offered = func(name string) bool { return slices.Contains(names, name) }
	}
	n.router = ability[RouterDriver](n, d, AbilityRouter, offered)
	n.metadata = ability[MetadataServer](n, d, AbilityMetadata, offered)
	n.eventer = ability[Eventer](n, d, AbilityEvents, offered)
	n.stats = ability[Statistician](n, d, AbilityStatistics, offered)
	return n, nil
}

// The names of the optional abilities, for [Node.Can] and [Abilitier].
const (
	AbilityRouter     = "RouterDriver"
	AbilityMetadata   = "MetadataServer"
	AbilityEvents     = "Eventer"
	AbilityStatistics = "Statistician"
)

// ability returns the driver as a T, or the nil T when it does not offer it.
func ability[T any](n *Node, d Driver, name string, offered func(string) bool) T {
	t, ok := d.(T)
	if !ok || !offered(name) {
		var none T
		return none
	}
	n.abilities = append(n.abilities, name)
	return t
}

// Can reports whether the driver offers the ability, named as its interface.
func (n *Node) Can(name string) bool { return slices.Contains(n.abilities, name) }

// Abilities lists what the driver offers beyond [Driver].
func (n *Node) Abilities() []string { return slices.Clone(n.abilities) }

// EnsureNetwork implements [Driver].
func (n *Node) EnsureNetwork(ctx context.Context, id string, spec Network) error {
	return n.do(ctx, "ensure network "+id, func(ctx context.Context) error {
		if err := errors.Join(CheckID(id), spec.Validate()); err != nil {
			return err
		}
		return n.driver.EnsureNetwork(ctx, id, spec)
	})
}

// DeleteNetwork implements [Driver].
func (n *Node) DeleteNetwork(ctx context.Context, id string) error {
	return n.do(ctx, "delete network "+id, func(ctx context.Context) error {
		return n.driver.DeleteNetwork(ctx, id)
	})
}

// EnsurePort implements [Driver].
func (n *Node) EnsurePort(ctx context.Context, id string, p Port) (Binding, error) {
	var b Binding
	err := n.do(ctx, "ensure port "+id, func(ctx context.Context) (err error) {
		if err := errors.Join(CheckID(id), p.Validate()); err != nil {
			return err
		}
		b, err = n.driver.EnsurePort(ctx, id, p)
		return err
	})
	return b, err
}

// DeletePort implements [Driver].
func (n *Node) DeletePort(ctx context.Context, id string) error {
	return n.do(ctx, "delete port "+id, func(ctx context.Context) error {
		return n.driver.DeletePort(ctx, id)
	})
}

// EnsureSecurityGroup implements [Driver].
func (n *Node) EnsureSecurityGroup(ctx context.Context, id string, g SecurityGroup) error {
	return n.do(ctx, "ensure security group "+id, func(ctx context.Context) error {
		if err := errors.Join(CheckID(id), g.Validate()); err != nil {
			return err
		}
		return n.driver.EnsureSecurityGroup(ctx, id, g)
	})
}

// DeleteSecurityGroup implements [Driver].
func (n *Node) DeleteSecurityGroup(ctx context.Context, id string) error {
	return n.do(ctx, "delete security group "+id, func(ctx context.Context) error {
		return n.driver.DeleteSecurityGroup(ctx, id)
	})
}

// List implements [Driver].
func (n *Node) List(ctx context.Context) (Inventory, error) {
	var inv Inventory
	err := n.do(ctx, "list networks of the host", func(ctx context.Context) (err error) {
		inv, err = n.driver.List(ctx)
		return err
	})
	return inv, err
}

// Close closes the driver.
func (n *Node) Close() error { return n.driver.Close() }

// EnsureRouter implements [RouterDriver].
func (n *Node) EnsureRouter(ctx context.Context, id string, r Router) error {
	return n.do(ctx, "ensure router "+id, func(ctx context.Context) error {
		if n.router == nil {
			return errors.ErrUnsupported
		}
		if err := errors.Join(CheckID(id), r.Validate()); err != nil {
			return err
		}
		return n.router.EnsureRouter(ctx, id, r)
	})
}

// DeleteRouter implements [RouterDriver].
func (n *Node) DeleteRouter(ctx context.Context, id string) error {
	return n.do(ctx, "delete router "+id, func(ctx context.Context) error {
		if n.router == nil {
			return errors.ErrUnsupported
		}
		return n.router.DeleteRouter(ctx, id)
	})
}

// ServeMetadata implements [MetadataServer].
func (n *Node) ServeMetadata(ctx context.Context, socket string) error {
	return n.do(ctx, "serve metadata", func(ctx context.Context) error {
		if n.metadata == nil {
			return errors.ErrUnsupported
		}
		return n.metadata.ServeMetadata(ctx, socket)
	})
}

// Events implements [Eventer]; the channel has no deadline but ctx's.
func (n *Node) Events(ctx context.Context) (<-chan Event, error) {
	nephos.OutsideTx(ctx, "network driver: events")
	if n.eventer == nil {
		return nil, fmt.Errorf("watch network events: %w", errors.ErrUnsupported)
	}
	return n.eventer.Events(ctx)
}

// PortStatistics implements [Statistician].
func (n *Node) PortStatistics(ctx context.Context, id string) (Statistics, error) {
	var s Statistics
	err := n.do(ctx, "count traffic of port "+id, func(ctx context.Context) (err error) {
		if n.stats == nil {
			return errors.ErrUnsupported
		}
		s, err = n.stats.PortStatistics(ctx, id)
		return err
	})
	return s, err
}

// do runs one call with the Node's deadline. A call that our deadline, not the
// caller's, cut short is worth retrying: its error wraps ErrUnavailable.
func (n *Node) do(ctx context.Context, what string, call func(context.Context) error) error {
	nephos.OutsideTx(ctx, "network driver: "+what)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	inner, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	inner, end := driver.Span(inner, "network: "+what)
	err := call(inner)
	end(err)
	switch {
	case err == nil:
		return nil
	case inner.Err() != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: no answer within %s: %w: %w", what, n.timeout, nephos.ErrUnavailable, err)
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
}
