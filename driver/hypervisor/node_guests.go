package hypervisor

import (
	"context"
	"fmt"
)

// Info is [Driver.Info].
func (n *Node) Info(ctx context.Context) (Host, error) {
	var h Host
	err := n.call(ctx, "Info", "", n.opts.Deadline, func(ctx context.Context) (err error) {
		if h, err = n.driver.Info(ctx); err != nil {
			return err
		}
		if err = h.Validate(); err != nil {
			return fmt.Errorf("describe host: the driver tells what cannot be: %w", err)
		}
		return nil
	})
	return h, err
}

// Ensure is [Driver.Ensure], after a check of the spec.
func (n *Node) Ensure(ctx context.Context, id string, spec Spec) error {
	if err := n.checkSpec(spec); err != nil {
		return fmt.Errorf("ensure guest %s: %w", id, err)
	}
	return n.change(ctx, "Ensure", id, n.opts.EnsureDeadline, func(ctx context.Context) error {
		return n.driver.Ensure(ctx, id, spec)
	})
}

// Start is [Driver.Start].
func (n *Node) Start(ctx context.Context, id string) error {
	return n.change(ctx, "Start", id, n.opts.EnsureDeadline, func(ctx context.Context) error {
		return n.driver.Start(ctx, id)
	})
}

// Stop is [Driver.Stop].
func (n *Node) Stop(ctx context.Context, id string, opts StopOptions) error {
	return n.change(ctx, "Stop", id, n.opts.Deadline+max(0, opts.Grace), func(ctx context.Context) error {
		return n.driver.Stop(ctx, id, opts)
	})
}

// Destroy is [Driver.Destroy]. A running Snapshot of the guest fails.
func (n *Node) Destroy(ctx context.Context, id string) error {
	return n.change(ctx, "Destroy", id, n.opts.EnsureDeadline, func(ctx context.Context) error {
		return n.driver.Destroy(ctx, id)
	})
}

// Get is [Driver.Get].
func (n *Node) Get(ctx context.Context, id string) (Guest, error) {
	var g Guest
	err := n.call(ctx, "Get", id, n.opts.Deadline, func(ctx context.Context) (err error) {
		g, err = n.driver.Get(ctx, id)
		return err
	})
	return g, err
}

// List is [Driver.List].
func (n *Node) List(ctx context.Context) ([]Guest, error) {
	var gs []Guest
	err := n.call(ctx, "List", "", n.opts.Deadline, func(ctx context.Context) (err error) {
		gs, err = n.driver.List(ctx)
		return err
	})
	return gs, err
}
