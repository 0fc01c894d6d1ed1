package qemu

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

var _ hypervisor.Statistician = (*Driver)(nil)

// Statistics implements hypervisor.Statistician: disks as QEMU counts them,
// processors and memory as the kernel does. Cards are counted by the network
// driver, whose taps they are.
func (d *Driver) Statistics(ctx context.Context, id string) (hypervisor.Statistics, error) {
	s, err := d.statistics(ctx, id)
	if err != nil {
		return hypervisor.Statistics{}, fmt.Errorf("count what is used by guest %s: %w", id, err)
	}
	return s, nil
}

func (d *Driver) statistics(ctx context.Context, id string) (s hypervisor.Statistics, err error) {
	if err := ctx.Err(); err != nil {
		return s, err
	}
	g, err := d.lookup(id)
	if err != nil {
		return s, err
	}
	d.mu.Lock()
	v, state, rec, run := g.vm, g.state(), g.rec.running(), g.run
	d.mu.Unlock()
	if v == nil || state != hypervisor.Running && state != hypervisor.Paused {
		return s, fmt.Errorf("it is %s: %w", state, nephos.ErrConflict)
	}
	now := d.clock.Now()
	s = hypervisor.Statistics{State: state, At: now, Uptime: now.Sub(run.Started)}
	var cpus []struct {
		Index  int `json:"cpu-index"`
		Thread int `json:"thread-id"`
	}
	if err := v.execute(ctx, "query-cpus-fast", nil, &cpus); err != nil {
		return s, err
	}
	for _, c := range cpus {
		took := threadTime(v.p.pid, c.Thread)
		s.CPUs = append(s.CPUs, hypervisor.CPUStatistics{ID: c.Index, Time: took})
		s.CPUTime += max(0, took)
	}
	s.Memory = hypervisor.MemoryStatistics{
		Total: int64(run.MemoryMiB) << 20, Resident: resident(v.p.pid), Used: -1, SwapIn: -1, SwapOut: -1, MajorFlts: -1,
	}
	if s.Disks, err = v.diskStatistics(ctx, rec.Spec); err != nil {
		return s, err
	}
	for _, n := range rec.Spec.NICs {
		s.NICs = append(s.NICs, hypervisor.NICStatistics{
			ID: n.ID, MAC: n.MAC, RxBytes: -1, TxBytes: -1, RxPackets: -1, TxPackets: -1,
			RxDropped: -1, TxDropped: -1, RxErrors: -1, TxErrors: -1,
		})
	}
	return s, nil
}

func (v *vm) diskStatistics(ctx context.Context, spec hypervisor.Spec) ([]hypervisor.DiskStatistics, error) {
	var stats []struct {
		Node  string `json:"node-name"`
		Stats struct {
			ReadBytes   int64 `json:"rd_bytes"`
			Reads       int64 `json:"rd_operations"`
			ReadTime    int64 `json:"rd_total_time_ns"`
			WriteBytes  int64 `json:"wr_bytes"`
			Writes      int64 `json:"wr_operations"`
			WriteTime   int64 `json:"wr_total_time_ns"`
			Flushes     int64 `json:"flush_operations"`
			FailedRead  int64 `json:"failed_rd_operations"`
			FailedWrite int64 `json:"failed_wr_operations"`
		} `json:"stats"`
	}
	if err := v.execute(ctx, "query-blockstats", nil, &stats); err != nil {
		return nil, err
	}
	var nodes []struct {
		Name  string `json:"node-name"`
		Image struct {
			Size int64 `json:"virtual-size"`
			Used int64 `json:"actual-size"`
		} `json:"image"`
	}
	if err := v.execute(ctx, "query-named-block-nodes", map[string]any{"flat": true}, &nodes); err != nil {
		return nil, err
	}
	out := make([]hypervisor.DiskStatistics, 0, len(spec.Disks))
	for _, disk := range spec.Disks {
		one := hypervisor.DiskStatistics{ID: disk.ID, VirtualBytes: -1, AllocatedBytes: -1}
		for _, s := range stats {
			if s.Node == diskNode(disk.ID) {
				one.ReadBytes, one.ReadRequests, one.ReadTime = s.Stats.ReadBytes, s.Stats.Reads, time.Duration(s.Stats.ReadTime)
				one.WriteBytes, one.WriteRequests, one.WriteTime = s.Stats.WriteBytes, s.Stats.Writes, time.Duration(s.Stats.WriteTime)
				one.FlushRequests, one.Errors = s.Stats.Flushes, s.Stats.FailedRead+s.Stats.FailedWrite
			}
		}
		for _, n := range nodes {
			if n.Name == diskNode(disk.ID) {
				one.VirtualBytes, one.AllocatedBytes = n.Image.Size, n.Image.Used
			}
		}
		out = append(out, one)
	}
	return out, nil
}

// tick is the kernel's unit of processor time in /proc: 1/100 s on every
// architecture that QEMU runs on.
const tick = 10 * time.Millisecond

// threadTime is how long a thread has had a processor; -1 is not known.
func threadTime(pid, thread int) time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", pid, thread))
	if err != nil {
		return -1
	}
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return -1
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return -1
	}
	return time.Duration(user+system) * tick
}

// resident is how many bytes of memory a process has; -1 is not known.
func resident(pid int) int64 {
	text, err := procField(fmt.Sprintf("/proc/%d/status", pid), "VmRSS")
	if err != nil {
		return -1
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(text, " kB")), 10, 64)
	if err != nil {
		return -1
	}
	return kib << 10
}
