package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/internal/qemuimg"
	"github.com/nephos-cloud/nephos/driver/internal/tailfile"
)

// Snapshot implements hypervisor.Snapshotter, for any disk of the guest. A
// guest that is off is copied by a QEMU without a machine, in the same sandbox.
func (d *Driver) Snapshot(ctx context.Context, id, diskID, path string) error {
	err := ctx.Err()
	if err == nil {
		err = d.snapshot(ctx, id, diskID, path)
	}
	if err != nil {
		return fmt.Errorf("snapshot guest %s: %w", id, err)
	}
	return nil
}

func (d *Driver) snapshot(ctx context.Context, id, diskID, path string) error {
	g, err := d.lookup(id)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(path) {
		return fmt.Errorf("path %q is not absolute: %w", path, nephos.ErrInvalid)
	}
	d.mu.Lock()
	v := g.vm
	disk, err := findDisk(g.rec.disks(), diskID)
	d.mu.Unlock()
	if err != nil {
		return err
	}
	if v != nil && !isDone(v.off) {
		return v.backup(ctx, disk, path)
	}
	return d.alone(ctx, g, func(g *guest) error {
		v, _ := d.now(g)
		if v != nil && isDone(v.off) {
			if err := v.awaitGone(ctx); err != nil {
				return err
			}
			v = nil
		}
		if v != nil { // it was started meanwhile
			return v.backup(ctx, disk, path)
		}
		return d.copyOff(ctx, g, disk, path)
	})
}

func isDone(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func findDisk(disks []driver.Disk, id string) (driver.Disk, error) {
	for _, disk := range disks {
		if disk.ID == id {
			return disk, nil
		}
	}
	return driver.Disk{}, fmt.Errorf("it has no disk %s: %w", id, nephos.ErrNotFound)
}

// backup copies a disk as it is now into a new image while the guest runs on.
func (v *vm) backup(ctx context.Context, disk driver.Disk, path string) (err error) {
	node := diskNode(disk.ID)
	size, err := v.nodeSize(ctx, node)
	if err != nil {
		return err
	}
	job := "snap-" + digest(disk.ID)
	ended := make(chan jobEnd, 1)
	v.d.mu.Lock()
	busy := v.jobs[job] != nil
	if !busy {
		v.jobs[job] = ended
	}
	v.d.mu.Unlock()
	if busy {
		return fmt.Errorf("another snapshot of disk %s is being taken: %w", disk.ID, nephos.ErrConflict)
	}
	defer func() {
		v.d.mu.Lock()
		delete(v.jobs, job)
		v.d.mu.Unlock()
	}()
	target := "t" + digest(disk.ID)
	// A driver before this one may have left a job.
	if v.execute(ctx, "block-job-cancel", map[string]any{"device": job, "force": true}, nil) == nil {
		<-ended
		v.d.mu.Lock()
		v.jobs[job] = ended
		v.d.mu.Unlock()
	}
	_ = v.dropNode(ctx, target)
	if err := v.d.img().Create(ctx, path, size, qemuimg.Base{}); err != nil {
		return err
	}
	f, _, err := openRegular(path, true)
	if err != nil {
		return err
	}
	defer f.Close()
	file, remove, err := v.fdset(ctx, f)
	if err != nil {
		return err
	}
	defer remove()
	after := context.WithoutCancel(ctx)
	if err := v.execute(ctx, "blockdev-add", blockNode(target, "qcow2", false, source{path: file}, nil, ""), nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.dropUnlessGone(after, target)) }()
	if err := v.execute(ctx, "blockdev-backup", map[string]any{
		"job-id": job, "device": node, "target": target, "sync": "full",
	}, nil); err != nil {
		return err
	}
	select {
	case end := <-ended:
		if end.Error != "" || end.Type == "BLOCK_JOB_CANCELLED" {
			return fmt.Errorf("copy disk %s: %s %s: %w", disk.ID, end.Type, end.Error, nephos.ErrUnavailable)
		}
	case <-ctx.Done():
		_ = v.execute(after, "block-job-cancel", map[string]any{"device": job, "force": true}, nil)
		<-ended
		return errors.Join(ctx.Err(), os.Remove(path))
	}
	return nil
}

// dropUnlessGone drops a node of a process that may have ended with it.
func (v *vm) dropUnlessGone(ctx context.Context, node string) error {
	if _, err := v.client(); err != nil {
		return nil
	}
	return v.dropNode(ctx, node)
}

func (v *vm) nodeSize(ctx context.Context, node string) (int64, error) {
	var nodes []struct {
		Name  string `json:"node-name"`
		Image struct {
			Size int64 `json:"virtual-size"`
		} `json:"image"`
	}
	if err := v.execute(ctx, "query-named-block-nodes", map[string]any{"flat": true}, &nodes); err != nil {
		return 0, err
	}
	for _, n := range nodes {
		if n.Name == node {
			return n.Image.Size, nil
		}
	}
	return 0, fmt.Errorf("it has no block node %s: %w", node, nephos.ErrNotFound)
}

// copyDir is the pattern of the directories that copies of disks of guests that
// are off are made in, and copyName is what such a process is known by.
const copyDir = "copy-*"

func copyName(id string) string { return id + "-copy" }

// copyOff copies a disk of a guest that is off. The caller has its turn.
func (d *Driver) copyOff(ctx context.Context, g *guest, disk driver.Disk, path string) error {
	dir, err := os.MkdirTemp(g.dir, copyDir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var c command
	defer func() { c.close() }()
	c.add("-name", d.nameOf(copyName(g.id)), "-machine", "none", "-nodefaults", "-no-user-config", "-sandbox", sandbox, "-S", "-display", "none")
	socket, err := listen(dir, "vm.qmp")
	if err != nil {
		return err
	}
	c.monitor(socket)
	if err := c.disk(d, g.dir, disk); err != nil {
		return err
	}
	says, err := os.Create(filepath.Join(dir, "qemu.log"))
	if err != nil {
		return err
	}
	defer says.Close()
	p, err := d.spawn(c, says, 1024)
	if err != nil {
		return err
	}
	c.close()
	c.files = nil
	helper := &guest{id: g.id, dir: dir, rec: record{}}
	v := d.newVM(helper, p)
	defer func() {
		_ = p.kill()
		_ = p.wait(context.WithoutCancel(ctx))
		p.close()
	}()
	if err := v.connect(ctx); err != nil {
		text, _ := tailfile.Last(says.Name(), 500)
		return fmt.Errorf("start a QEMU for the copy: %w: %s", err, text)
	}
	monitor, _ := v.client()
	defer monitor.Close()
	ended := make(chan struct{})
	defer close(ended)
	d.tasks.Go(func() { // a helper that dies, or a driver that closes, ends the job
		select {
		case <-monitor.Done():
		case <-d.stop:
			_ = monitor.Close()
		case <-ended:
			return
		}
		v.failJobs("its QEMU ended")
	})
	return v.backup(ctx, disk, path)
}
