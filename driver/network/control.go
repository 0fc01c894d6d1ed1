package network

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nephos-cloud/nephos"
)

// Control is a [Controller] as its users hold it: its abilities were asked for
// once, its calls end by a deadline, and specs are checked before it sees them.
// It is safe for concurrent use.
type Control struct {
	base
	driver Controller
}

// NewControl wraps the controller and asks it for its abilities. The Control
// owns it from here on.
func NewControl(ctx context.Context, c Controller, o NodeOptions) (*Control, error) {
	if c == nil {
		return nil, nephos.Errorf(nephos.ErrInvalid, "open network control: no controller")
	}
	k := &Control{driver: c}
	if err := k.open(ctx, "Control", c, o); err != nil {
		return nil, err
	}
	return k, nil
}

// Close closes the controller.
func (k *Control) Close() error { return k.driver.Close() }

// EnsureNetwork implements [Controller].
func (k *Control) EnsureNetwork(ctx context.Context, id string, n Network) error {
	return k.do(ctx, "EnsureNetwork", "ensure network "+id, func(ctx context.Context) error {
		if err := errors.Join(CheckID(id), n.Validate()); err != nil {
			return err
		}
		return k.driver.EnsureNetwork(ctx, id, n)
	})
}

// DeleteNetwork implements [Controller].
func (k *Control) DeleteNetwork(ctx context.Context, id string) error {
	return k.do(ctx, "DeleteNetwork", "delete network "+id, func(ctx context.Context) error {
		return k.driver.DeleteNetwork(ctx, id)
	})
}

// EnsurePort implements [Controller].
func (k *Control) EnsurePort(ctx context.Context, id string, p Port) error {
	return k.do(ctx, "EnsurePort", "ensure port "+id, func(ctx context.Context) error {
		if err := errors.Join(CheckID(id), p.Validate()); err != nil {
			return err
		}
		if err := k.honours(p); err != nil {
			return err
		}
		return k.driver.EnsurePort(ctx, id, p)
	})
}

// DeletePort implements [Controller].
func (k *Control) DeletePort(ctx context.Context, id string) error {
	return k.do(ctx, "DeletePort", "delete port "+id, func(ctx context.Context) error {
		return k.driver.DeletePort(ctx, id)
	})
}

// EnsureSecurityGroup implements [Controller].
func (k *Control) EnsureSecurityGroup(ctx context.Context, id string, g SecurityGroup) error {
	return k.do(ctx, "EnsureSecurityGroup", "ensure security group "+id, func(ctx context.Context) error {
		if err := errors.Join(CheckID(id), g.Validate()); err != nil {
			return err
		}
		return k.driver.EnsureSecurityGroup(ctx, id, g)
	})
}

// DeleteSecurityGroup implements [Controller].
func (k *Control) DeleteSecurityGroup(ctx context.Context, id string) error {
	return k.do(ctx, "DeleteSecurityGroup", "delete security group "+id, func(ctx context.Context) error {
		return k.driver.DeleteSecurityGroup(ctx, id)
	})
}

// Bind implements [Controller].
func (k *Control) Bind(ctx context.Context, portID, host string, opts BindOptions) (Binding, error) {
	var b Binding
	err := k.do(ctx, "Bind", "bind port "+portID+" to host "+host, func(ctx context.Context) (err error) {
		if err := CheckID(portID); err != nil {
			return err
		}
		if host == "" {
			return invalid("host", "is missing")
		}
		b, err = k.driver.Bind(ctx, portID, host, opts)
		return err
	})
	return b, err
}

// Unbind implements [Controller].
func (k *Control) Unbind(ctx context.Context, portID string) error {
	return k.do(ctx, "Unbind", "unbind port "+portID, func(ctx context.Context) error {
		return k.driver.Unbind(ctx, portID)
	})
}

// Bound implements [Controller].
func (k *Control) Bound(ctx context.Context) (map[string]string, error) {
	var hosts map[string]string
	err := k.do(ctx, "Bound", "list bound ports", func(ctx context.Context) (err error) {
		hosts, err = k.driver.Bound(ctx)
		return err
	})
	return hosts, err
}

// List implements [Controller].
func (k *Control) List(ctx context.Context) (Inventory, error) {
	var inv Inventory
	err := k.do(ctx, "List", "list networks of the controller", func(ctx context.Context) (err error) {
		inv, err = k.driver.List(ctx)
		return err
	})
	return inv, err
}

// honours refuses a port that asks for what the driver does not do.
func (c *base) honours(p Port) error {
	for _, kind := range p.QoS.Rules() {
		if !slices.Contains(c.QoSRules(), kind) {
			return fmt.Errorf("QoS: rule %s: %w", kind, errors.ErrUnsupported)
		}
	}
	if p.Parent != nil && !slices.Contains(c.Segmentation(), p.Parent.Segmentation) {
		return fmt.Errorf("Parent: segmentation %s: %w", p.Parent.Segmentation, errors.ErrUnsupported)
	}
	return nil
}
