package hypervisor

import (
	"context"
	"fmt"
	"io"

	"github.com/nephos-cloud/nephos"
)

// HotPlug says what Ensure can change on a running guest: nothing when the
// driver is no [HotPlugger].
func (n *Node) HotPlug() (disks, nics bool) {
	d, err := able[HotPlugger](n, CanHotPlug, "", "")
	if err != nil {
		return false, false
	}
	return d.HotPlug()
}

// Reboot is [Rebooter]'s.
func (n *Node) Reboot(ctx context.Context, id string, hard bool) error {
	d, err := able[Rebooter](n, CanReboot, "reboot", id)
	if err != nil {
		return err
	}
	return n.change(ctx, "Reboot", id, n.opts.EnsureDeadline, func(ctx context.Context) error {
		return d.Reboot(ctx, id, hard)
	})
}

// Pause is [Pauser]'s.
func (n *Node) Pause(ctx context.Context, id string) error {
	d, err := able[Pauser](n, CanPause, "pause", id)
	if err != nil {
		return err
	}
	return n.change(ctx, "Pause", id, n.opts.Deadline, func(ctx context.Context) error {
		return d.Pause(ctx, id)
	})
}

// Unpause is [Pauser]'s.
func (n *Node) Unpause(ctx context.Context, id string) error {
	d, err := able[Pauser](n, CanPause, "unpause", id)
	if err != nil {
		return err
	}
	return n.change(ctx, "Unpause", id, n.opts.Deadline, func(ctx context.Context) error {
		return d.Unpause(ctx, id)
	})
}

// Suspend is [Suspender]'s.
func (n *Node) Suspend(ctx context.Context, id string) error {
	d, err := able[Suspender](n, CanSuspend, "suspend", id)
	if err != nil {
		return err
	}
	return n.change(ctx, "Suspend", id, n.opts.EnsureDeadline, func(ctx context.Context) error {
		return d.Suspend(ctx, id)
	})
}

// Resume is [Suspender]'s.
func (n *Node) Resume(ctx context.Context, id string) error {
	d, err := able[Suspender](n, CanSuspend, "resume", id)
	if err != nil {
		return err
	}
	return n.change(ctx, "Resume", id, n.opts.EnsureDeadline, func(ctx context.Context) error {
		return d.Resume(ctx, id)
	})
}

// Snapshot is [Snapshotter]'s. Snapshots of one guest follow one another; a
// snapshot does not keep the guest from being stopped or destroyed meanwhile,
// which may make it fail.
func (n *Node) Snapshot(ctx context.Context, id, diskID, path string) error {
	d, err := able[Snapshotter](n, CanSnapshot, "snapshot", id)
	if err != nil {
		return err
	}
	nephos.OutsideTx(ctx, "hypervisor.Snapshot")
	unlock, err := n.snapshots.Lock(ctx, id)
	if err != nil {
		return fmt.Errorf("snapshot guest %s: wait for an earlier snapshot: %w", id, err)
	}
	defer unlock()
	return n.call(ctx, "Snapshot", id, n.opts.SnapshotDeadline, func(ctx context.Context) error {
		return d.Snapshot(ctx, id, diskID, path)
	})
}

// ConsoleLog is [ConsoleLogger]'s.
func (n *Node) ConsoleLog(ctx context.Context, id string, max int64) ([]byte, error) {
	d, err := able[ConsoleLogger](n, CanConsoleLog, "read the console log of", id)
	if err != nil {
		return nil, err
	}
	var log []byte
	err = n.call(ctx, "ConsoleLog", id, n.opts.Deadline, func(ctx context.Context) (err error) {
		log, err = d.ConsoleLog(ctx, id, max)
		return err
	})
	return log, err
}

// Console is [Consoler]'s. The context and the deadline bound the opening, not
// the stream, which lives until it is closed or the guest stops.
func (n *Node) Console(ctx context.Context, id string, kind ConsoleKind) (io.ReadWriteCloser, error) {
	d, err := able[Consoler](n, CanConsole, "open a console of", id)
	if err != nil {
		return nil, err
	}
	var stream io.ReadWriteCloser
	err = n.call(ctx, "Console", id, n.opts.Deadline, func(ctx context.Context) (err error) {
		stream, err = d.Console(ctx, id, kind)
		return err
	})
	return stream, err
}

// Events is [Eventer]'s. The channel lives as long as ctx: no deadline applies.
func (n *Node) Events(ctx context.Context) (<-chan Event, error) {
	nephos.OutsideTx(ctx, "hypervisor.Events")
	d, err := able[Eventer](n, CanEvents, "watch", "states")
	if err != nil {
		return nil, err
	}
	return d.Events(ctx)
}

// Diagnostics is [Diagnoser]'s.
func (n *Node) Diagnostics(ctx context.Context, id string) (map[string]any, error) {
	d, err := able[Diagnoser](n, CanDiagnose, "diagnose", id)
	if err != nil {
		return nil, err
	}
	var values map[string]any
	err = n.call(ctx, "Diagnostics", id, n.opts.Deadline, func(ctx context.Context) (err error) {
		values, err = d.Diagnostics(ctx, id)
		return err
	})
	return values, err
}
