package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/internal/keyed"
)

// Node is what users of a hypervisor hold: a [Driver] with its abilities asked
// for once, a deadline on each call, and calls that change the same guest one
// after the other. Its methods are those of Driver and of all optional
// interfaces; an ability that the driver lacks gives an error that wraps
// errors.ErrUnsupported. It panics when called inside a database transaction.
//
// A Node is safe for concurrent use.
type Node struct {
	driver    Driver
	opts      NodeOptions
	abilities []string // sorted
	mutations keyed.Locks
	snapshots keyed.Locks
	intercept driver.Intercept // nil: nobody asks
}

// NodeOptions tune a [Node]. The zero value is ready to use.
type NodeOptions struct {
	// Deadline bounds a call that asks or flips a switch; 30 seconds if zero.
	Deadline time.Duration
	// EnsureDeadline bounds Ensure, Start, Destroy, Reboot, Suspend, Resume,
	// ResizeDisk, Rescue, Unrescue and the calls of a live migration, which may
	// write disks; 5 minutes if zero. A Stop gets its grace on top.
	EnsureDeadline time.Duration
	// SnapshotDeadline bounds Snapshot, ImportDisk and EnsureImage, which copy a
	// disk; 1 hour if zero. The stream of ExportDisk has its caller's bound only.
	SnapshotDeadline time.Duration
	// Log gets a line for each failed call; nil discards.
	Log *slog.Logger
	// Clock measures calls; nil means the wall clock.
	Clock nephos.Clock
	// Observe, if set, is told of each call when it has ended: its name, how
	// long it took and how it ended. It must not block.
	Observe func(call string, took time.Duration, err error)
}

// NewNode asks the driver for its abilities and returns the node. It does not
// take possession of the driver when it fails.
func NewNode(ctx context.Context, d Driver, opts NodeOptions) (*Node, error) {
	nephos.OutsideTx(ctx, "hypervisor.NewNode")
	if d == nil {
		return nil, fmt.Errorf("make hypervisor node: no driver: %w", nephos.ErrInvalid)
	}
	if opts.Deadline <= 0 {
		opts.Deadline = 30 * time.Second
	}
	if opts.EnsureDeadline <= 0 {
		opts.EnsureDeadline = 5 * time.Minute
	}
	if opts.SnapshotDeadline <= 0 {
		opts.SnapshotDeadline = time.Hour
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Clock == nil {
		opts.Clock = nephos.WallClock{}
	}
	ctx, cancel := context.WithTimeout(ctx, opts.Deadline)
	defer cancel()
	has, err := AbilitiesOf(ctx, d)
	if err != nil {
		return nil, err
	}
	return &Node{driver: d, opts: opts, abilities: has}, nil
}

// Can reports whether the driver offers the ability, such as [CanPause].
func (n *Node) Can(ability string) bool { return slices.Contains(n.abilities, ability) }

// Abilities returns the names of the offered abilities, sorted.
func (n *Node) Abilities() []string { return slices.Clone(n.abilities) }

// Close closes the driver. Guests go on running.
func (n *Node) Close() error { return n.driver.Close() }

// call runs one call of the driver under a deadline, if there is one, and logs
// its failure.
func (n *Node) call(ctx context.Context, name, id string, limit time.Duration, f func(context.Context) error) (err error) {
	calls := driver.Calls{
		Kind: "hypervisor", Type: "Node", Timeout: limit, Clock: n.opts.Clock,
		Log: slog.New(slog.DiscardHandler), Observe: n.opts.Observe, Intercept: n.intercept,
	}
	ctx, end := calls.Begin(ctx, name, limit > 0, id)
	if err = ctx.Err(); err == nil {
		err = f(ctx)
	}
	end(&err)
	if err != nil && !errors.Is(err, nephos.ErrNotFound) {
		n.opts.Log.LogAttrs(ctx, slog.LevelWarn, "hypervisor call failed",
			slog.String("call", name), slog.String("guest", id), slog.String("error", err.Error()))
	}
	return err
}

// Intercept has f asked about every call from now on. It is for whoever composes
// the node, before it is used.
func (n *Node) Intercept(f driver.Intercept) { n.intercept = f }

// change is call for what changes a guest: one at a time for each ID. The
// deadline starts when it is the call's turn.
func (n *Node) change(ctx context.Context, name, id string, limit time.Duration, f func(context.Context) error) error {
	nephos.OutsideTx(ctx, "hypervisor."+name)
	if err := CheckID(id); err != nil {
		return err
	}
	unlock, err := n.mutations.Lock(ctx, id)
	if err != nil {
		return fmt.Errorf("%s of guest %s: wait for an earlier call: %w", name, id, err)
	}
	defer unlock()
	return n.call(ctx, name, id, limit, f)
}

// able returns the driver as an optional interface, or why it is not to be had.
func able[T any](n *Node, ability, attempt, id string) (T, error) {
	d, ok := n.driver.(T)
	if !ok || !n.Can(ability) {
		var none T
		return none, fmt.Errorf("%s guest %s: the hypervisor driver is no %s: %w", attempt, id, ability, errors.ErrUnsupported)
	}
	return d, nil
}
