package qemu

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// Info implements hypervisor.Driver, from /proc and the file system of
// Config.Dir.
func (d *Driver) Info(ctx context.Context) (hypervisor.Host, error) {
	fail := func(err error) (hypervisor.Host, error) {
		return hypervisor.Host{}, fmt.Errorf("describe host: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	h := hypervisor.Host{
		Type: "QEMU", Version: d.version, Arch: "x86_64", Accelerator: d.accel,
		VCPUs: runtime.NumCPU(), BootID: bootID(), HostIP: d.cfg.HostIP, Formats: []string{"raw", "qcow2"},
	}
	mem, err := procField("/proc/meminfo", "MemTotal")
	if err != nil {
		return fail(err)
	}
	kib, err := strconv.Atoi(strings.TrimSuffix(mem, " kB"))
	if err != nil {
		return fail(fmt.Errorf("parse MemTotal %q: %w", mem, err))
	}
	h.MemoryMiB = kib / 1024
	var fs unix.Statfs_t
	if err := unix.Statfs(d.cfg.Dir, &fs); err != nil {
		return fail(err)
	}
	h.DiskGiB = int(fs.Blocks * uint64(fs.Bsize) >> 30)
	h.FreeDiskGiB = int(fs.Bavail * uint64(fs.Bsize) >> 30)
	if err := d.describeProcessors(&h, os.DirFS("/")); err != nil {
		return fail(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fail(fmt.Errorf("the driver is closed: %w", nephos.ErrUnavailable))
	}
	for _, g := range d.guests {
		if s := g.state(); s == hypervisor.Running || s == hypervisor.Paused {
			h.RunningVMs++
		}
	}
	return h, nil
}

// procField returns the first value of a field in a file of "name : value"
// lines.
func procField(path, name string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 1<<20))
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("read %s: no %s", path, name)
}

// Diagnostics implements hypervisor.Diagnoser, with the names of the Compute
// API from microversion 2.48.
func (d *Driver) Diagnostics(ctx context.Context, id string) (map[string]any, error) {
	fail := func(err error) (map[string]any, error) {
		return nil, fmt.Errorf("diagnose guest %s: %w", id, err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	g, err := d.lookup(id)
	if err != nil {
		return fail(err)
	}
	d.mu.Lock()
	v, state, spec, run := g.vm, g.state(), g.rec.Spec, g.run
	d.mu.Unlock()
	if v == nil || state == hypervisor.Stopped {
		return fail(fmt.Errorf("it is %s: %w", state, nephos.ErrConflict))
	}
	var cpus []struct {
		Index int `json:"cpu-index"`
	}
	if err := v.execute(ctx, "query-cpus-fast", nil, &cpus); err != nil {
		return fail(err)
	}
	disks, err := v.diskDetails(ctx, spec)
	if err != nil {
		return fail(err)
	}
	cpuDetails := make([]map[string]any, len(cpus))
	for i, c := range cpus {
		cpuDetails[i] = map[string]any{"id": c.Index, "time": nil, "utilisation": nil}
	}
	nics := make([]map[string]any, len(spec.NICs))
	for i, n := range spec.NICs {
		nics[i] = map[string]any{"mac_address": n.MAC}
	}
	_, noConfig := findDisk(spec.Disks, "config")
	return map[string]any{
		"state": string(state), "driver": "qemu", "hypervisor": d.accel, "hypervisor_os": "linux",
		"uptime":       int64(d.clock.Now().Sub(run.Started) / time.Second),
		"config_drive": noConfig == nil,
		"num_cpus":     len(cpus), "num_disks": len(spec.Disks), "num_nics": len(spec.NICs),
		"cpu_details": cpuDetails, "disk_details": disks, "nic_details": nics,
		"memory_details": map[string]any{"maximum": run.MemoryMiB, "used": nil},
	}, nil
}

func (v *vm) diskDetails(ctx context.Context, spec hypervisor.Spec) ([]map[string]any, error) {
	var stats []struct {
		Node  string `json:"node-name"`
		Stats struct {
			ReadBytes  int64 `json:"rd_bytes"`
			Reads      int64 `json:"rd_operations"`
			WriteBytes int64 `json:"wr_bytes"`
			Writes     int64 `json:"wr_operations"`
			Failed     int64 `json:"failed_wr_operations"`
			FailedRead int64 `json:"failed_rd_operations"`
		} `json:"stats"`
	}
	if err := v.execute(ctx, "query-blockstats", nil, &stats); err != nil {
		return nil, err
	}
	details := make([]map[string]any, 0, len(spec.Disks))
	for _, disk := range spec.Disks {
		for _, s := range stats {
			if s.Node == diskNode(disk.ID) {
				details = append(details, map[string]any{
					"read_bytes": s.Stats.ReadBytes, "read_requests": s.Stats.Reads,
					"write_bytes": s.Stats.WriteBytes, "write_requests": s.Stats.Writes,
					"errors_count": s.Stats.Failed + s.Stats.FailedRead,
				})
			}
		}
	}
	return details, nil
}
