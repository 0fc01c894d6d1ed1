package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// memoryFile holds a suspended guest's memory. It is there, whole, from the
// moment a guest counts as suspended until just before its processors run again.
const memoryFile = "memory"

func (g *guest) memory() string { return filepath.Join(g.dir, memoryFile) }

func (g *guest) suspended() bool {
	_, err := os.Stat(g.memory())
	return err == nil
}

// dropMemory forgets what was suspended.
func (g *guest) dropMemory() error {
	if err := os.Remove(g.memory()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Suspend implements hypervisor.Suspender: QEMU writes the guest's memory into a
// file and ends.
func (d *Driver) Suspend(ctx context.Context, id string) error {
	return d.change(ctx, "suspend", id, func(g *guest) error {
		d.mu.Lock()
		v, state := g.vm, g.state()
		d.mu.Unlock()
		switch {
		case v == nil && g.suspended():
			return nil
		case v == nil || state != hypervisor.Running && state != hypervisor.Paused:
			return fmt.Errorf("it is %s: %w", state, nephos.ErrConflict)
		}
		if err := v.writeMemory(ctx); err != nil {
			if state == hypervisor.Running {
				err = errors.Join(err, v.execute(context.WithoutCancel(ctx), "cont", nil, nil))
			}
			return err
		}
		return v.cut(ctx)
	})
}

// Resume implements hypervisor.Suspender. Start resumes too.
func (d *Driver) Resume(ctx context.Context, id string) error {
	return d.change(ctx, "resume", id, func(g *guest) error {
		if v, _ := d.now(g); v == nil && !g.suspended() {
			return fmt.Errorf("it is not suspended: %w", nephos.ErrConflict)
		}
		return d.start(ctx, g)
	})
}

// writeMemory stops the processors and writes the memory to the guest's file.
func (v *vm) writeMemory(ctx context.Context) error {
	made := v.g.memory() + ".new"
	f, err := os.OpenFile(made, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	defer os.Remove(made)
	if err := v.execute(ctx, "stop", nil, nil); err != nil {
		return err
	}
	if err := v.migrate(ctx, "migrate", f); err != nil {
		return fmt.Errorf("write the memory: %w", err)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(made, v.g.memory()); err != nil {
		return err
	}
	return syncDir(v.g.dir)
}

// restore launches QEMU with the memory of a suspended guest, its processors
// still.
func (d *Driver) restore(ctx context.Context, g *guest) (*vm, error) {
	f, err := os.Open(g.memory())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v, err := d.launch(ctx, g, true)
	if err != nil {
		return nil, err
	}
	if err := v.migrate(ctx, "migrate-incoming", f); err != nil {
		return nil, errors.Join(fmt.Errorf("read the memory: %w", err), v.cut(context.WithoutCancel(ctx)))
	}
	return v, v.refresh(ctx)
}

// migrate writes or reads the memory and waits for the end.
func (v *vm) migrate(ctx context.Context, command string, f *os.File) error {
	if err := v.execute(ctx, "migrate-set-capabilities", map[string]any{
		"capabilities": []map[string]any{{"capability": "events", "state": true}},
	}, nil); err != nil {
		return err
	}
	if err := v.execute(ctx, "migrate-set-parameters", map[string]any{"max-bandwidth": int64(8 << 30)}, nil); err != nil {
		return err
	}
	c, err := v.client()
	if err != nil {
		return err
	}
	if err := c.ExecuteFile(ctx, "getfd", map[string]any{"fdname": "memory"}, nil, f); err != nil {
		return err
	}
	moved := make(chan string, 1)
	v.d.mu.Lock()
	v.moved = moved
	v.d.mu.Unlock()
	defer func() {
		v.d.mu.Lock()
		v.moved = nil
		v.d.mu.Unlock()
	}()
	if err := v.execute(ctx, command, map[string]any{"uri": "fd:memory"}, nil); err != nil {
		return err
	}
	select {
	case how := <-moved:
		if how != "completed" {
			return fmt.Errorf("QEMU says %s: %w", how, nephos.ErrUnavailable)
		}
		return nil
	case <-v.gone:
		return fmt.Errorf("its QEMU ended: %w", nephos.ErrUnavailable)
	case <-c.Done():
		return fmt.Errorf("the connection to QEMU was lost: %w", nephos.ErrUnavailable)
	case <-ctx.Done():
		_ = v.execute(context.WithoutCancel(ctx), "migrate_cancel", nil, nil)
		return ctx.Err()
	}
}

// sameDevices reports whether two specs have the same disks and cards, as a
// guest must when its memory is read back.
func sameDevices(a, b hypervisor.Spec) bool {
	return slices.EqualFunc(a.Disks, b.Disks, func(x, y driver.Disk) bool {
		return x.ID == y.ID && x.Bus == y.Bus && sameBase(x.Base, y.Base)
	}) && slices.EqualFunc(a.NICs, b.NICs, func(x, y driver.NIC) bool { return x.ID == y.ID && x.Model == y.Model })
}
