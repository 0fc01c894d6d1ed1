package network

import (
	"context"
	"errors"
	"time"

	"github.com/nephos-cloud/nephos"
)

// DefaultTimeout bounds one call of a driver when [NodeOptions] does not.
const DefaultTimeout = time.Minute

// Node is the network of one host, as its users hold it: a [Driver] whose
// abilities were asked for once, whose calls end by a deadline, and whose
// specs are checked before the driver sees them. It is safe for concurrent use.
type Node struct {
	base
	driver Driver
}

// NewNode wraps the driver and asks it for its abilities. The Node owns the
// driver from here on.
func NewNode(ctx context.Context, d Driver, o NodeOptions) (*Node, error) {
	if d == nil {
		return nil, nephos.Errorf(nephos.ErrInvalid, "open network node: no driver")
	}
	n := &Node{driver: d}
	if err := n.open(ctx, "Node", d, o); err != nil {
		return nil, err
	}
	return n, nil
}

// EnsureNetwork implements [Driver].
func (n *Node) EnsureNetwork(ctx context.Context, id string, spec Network) error {
	return n.do(ctx, "EnsureNetwork", "ensure network "+id, func(ctx context.Context) error {
		if err := errors.Join(CheckID(id), spec.Validate()); err != nil {
			return err
		}
		return n.driver.EnsureNetwork(ctx, id, spec)
	})
}

// DeleteNetwork implements [Driver].
func (n *Node) DeleteNetwork(ctx context.Context, id string) error {
	return n.do(ctx, "DeleteNetwork", "delete network "+id, func(ctx context.Context) error {
		return n.driver.DeleteNetwork(ctx, id)
	})
}

// EnsurePort implements [Driver].
func (n *Node) EnsurePort(ctx context.Context, id string, p Port) (Binding, error) {
	var b Binding
	err := n.do(ctx, "EnsurePort", "ensure port "+id, func(ctx context.Context) (err error) {
		if err := errors.Join(CheckID(id), p.Validate()); err != nil {
			return err
		}
		if err := n.honours(p); err != nil {
			return err
		}
		b, err = n.driver.EnsurePort(ctx, id, p)
		return err
	})
	return b, err
}

// DeletePort implements [Driver].
func (n *Node) DeletePort(ctx context.Context, id string) error {
	return n.do(ctx, "DeletePort", "delete port "+id, func(ctx context.Context) error {
		return n.driver.DeletePort(ctx, id)
	})
}

// EnsureSecurityGroup implements [Driver].
func (n *Node) EnsureSecurityGroup(ctx context.Context, id string, g SecurityGroup) error {
	return n.do(ctx, "EnsureSecurityGroup", "ensure security group "+id, func(ctx context.Context) error {
		if err := errors.Join(CheckID(id), g.Validate()); err != nil {
			return err
		}
		return n.driver.EnsureSecurityGroup(ctx, id, g)
	})
}

// DeleteSecurityGroup implements [Driver].
func (n *Node) DeleteSecurityGroup(ctx context.Context, id string) error {
	return n.do(ctx, "DeleteSecurityGroup", "delete security group "+id, func(ctx context.Context) error {
		return n.driver.DeleteSecurityGroup(ctx, id)
	})
}

// List implements [Driver].
func (n *Node) List(ctx context.Context) (Inventory, error) {
	var inv Inventory
	err := n.do(ctx, "List", "list networks of the host", func(ctx context.Context) (err error) {
		inv, err = n.driver.List(ctx)
		return err
	})
	return inv, err
}

// Close closes the driver.
func (n *Node) Close() error { return n.driver.Close() }

// ServeMetadata implements [MetadataServer].
func (n *Node) ServeMetadata(ctx context.Context, socket string) error {
	return n.do(ctx, "ServeMetadata", "serve metadata", func(ctx context.Context) error {
		d, err := able[MetadataServer](&n.base, AbilityMetadata)
		if err != nil {
			return err
		}
		return d.ServeMetadata(ctx, socket)
	})
}

// PortStatistics implements [Statistician].
func (n *Node) PortStatistics(ctx context.Context, id string) (Statistics, error) {
	var s Statistics
	err := n.do(ctx, "PortStatistics", "count traffic of port "+id, func(ctx context.Context) (err error) {
		d, err := able[Statistician](&n.base, AbilityStatistics)
		if err != nil {
			return err
		}
		s, err = d.PortStatistics(ctx, id)
		return err
	})
	return s, err
}
