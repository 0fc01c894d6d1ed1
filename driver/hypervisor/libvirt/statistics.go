//go:build libvirt

package libvirt

import (
	"context"
	"fmt"
	"time"

	virt "libvirt.org/go/libvirt"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// stats asks for all counters of a domain at once.
func (w *work) stats() (virt.DomainStats, error) {
	types := virt.DOMAIN_STATS_STATE | virt.DOMAIN_STATS_CPU_TOTAL | virt.DOMAIN_STATS_BALLOON | virt.DOMAIN_STATS_VCPU |
		virt.DOMAIN_STATS_INTERFACE | virt.DOMAIN_STATS_BLOCK
	all, err := w.conn.GetAllDomainStats([]*virt.Domain{w.dom}, types, 0)
	if is(err, virt.ERR_NO_SUPPORT) { // what every driver knows
		info, err := w.dom.GetInfo()
		if err != nil {
			return virt.DomainStats{}, err
		}
		return virt.DomainStats{
			Cpu:     &virt.DomainStatsCPU{TimeSet: true, Time: info.CpuTime},
			Balloon: &virt.DomainStatsBalloon{MaximumSet: true, Maximum: info.MaxMem},
		}, nil
	}
	if err != nil {
		return virt.DomainStats{}, err
	}
	for _, one := range all {
		_ = one.Domain.Free()
	}
	if len(all) != 1 {
		return virt.DomainStats{}, errNotHere
	}
	return all[0], nil
}

// on returns the state of a guest that must be on.
func (w *work) on() (hypervisor.State, error) {
	_, state, err := w.now()
	if err == nil && state != hypervisor.Running && state != hypervisor.Paused {
		err = fmt.Errorf("it is %s: %w", state, nephos.ErrConflict)
	}
	return state, err
}

// known is a counter, or -1.
func known(set bool, value uint64) int64 {
	if !set {
		return -1
	}
	return int64(value)
}

// Statistics implements hypervisor.Statistician.
func (d *Driver) Statistics(ctx context.Context, id string) (hypervisor.Statistics, error) {
	return look(ctx, d, "count what is used by", id, func(w *work) (hypervisor.Statistics, error) {
		state, err := w.on()
		if err != nil {
			return hypervisor.Statistics{}, err
		}
		raw, err := w.stats()
		if err != nil {
			return hypervisor.Statistics{}, err
		}
		now := d.clock.Now()
		s := hypervisor.Statistics{
			State: state, At: now, Uptime: now.Sub(w.run.Started), CPUTime: -1,
			Memory: hypervisor.MemoryStatistics{
				Total: int64(w.rec.Spec.MemoryMiB) << 20, Used: -1, Resident: -1, SwapIn: -1, SwapOut: -1, MajorFlts: -1,
			},
			CPUs: []hypervisor.CPUStatistics{}, Disks: w.diskStatistics(raw), NICs: w.nicStatistics(raw),
		}
		if raw.Cpu != nil && raw.Cpu.TimeSet {
			s.CPUTime = time.Duration(raw.Cpu.Time)
		}
		for i := range max(len(raw.Vcpu), w.rec.Spec.VCPUs) {
			one := hypervisor.CPUStatistics{ID: i, Time: -1}
			if i < len(raw.Vcpu) {
				one.Time = time.Duration(known(raw.Vcpu[i].TimeSet, raw.Vcpu[i].Time))
			}
			s.CPUs = append(s.CPUs, one)
		}
		if b := raw.Balloon; b != nil {
			kib := func(set bool, value uint64) int64 { return known(set, value<<10) }
			if b.MaximumSet {
				s.Memory.Total = int64(b.Maximum) << 10
			}
			s.Memory.Resident = kib(b.RssSet, b.Rss)
			s.Memory.SwapIn, s.Memory.SwapOut = kib(b.SwapInSet, b.SwapIn), kib(b.SwapOutSet, b.SwapOut)
			s.Memory.MajorFlts = known(b.MajorFaultSet, b.MajorFault)
			if b.AvailableSet && b.UnusedSet && b.Available >= b.Unused {
				s.Memory.Used = int64(b.Available-b.Unused) << 10
			}
		}
		return s, nil
	})
}

// diskStatistics tells of the guest's disks in their order.
func (w *work) diskStatistics(raw virt.DomainStats) []hypervisor.DiskStatistics {
	all := []hypervisor.DiskStatistics{}
	for _, disk := range w.rec.Active().Disks {
		s := hypervisor.DiskStatistics{
			ID: disk.ID, ReadBytes: -1, WriteBytes: -1, ReadRequests: -1, WriteRequests: -1, FlushRequests: -1,
			Errors: -1, ReadTime: -1, WriteTime: -1, VirtualBytes: -1, AllocatedBytes: -1,
		}
		for _, b := range raw.Block {
			if !b.NameSet || b.Name != w.target(disk.ID) || b.BackingIndexSet && b.BackingIndex != 0 && s.ReadBytes >= 0 {
				continue
			}
			s.ReadBytes, s.WriteBytes = known(b.RdBytesSet, b.RdBytes), known(b.WrBytesSet, b.WrBytes)
			s.ReadRequests, s.WriteRequests = known(b.RdReqsSet, b.RdReqs), known(b.WrReqsSet, b.WrReqs)
			s.FlushRequests, s.Errors = known(b.FlReqsSet, b.FlReqs), known(b.ErrorsSet, b.Errors)
			s.ReadTime, s.WriteTime = time.Duration(known(b.RdTimesSet, b.RdTimes)), time.Duration(known(b.WrTimesSet, b.WrTimes))
			s.VirtualBytes, s.AllocatedBytes = known(b.CapacitySet, b.Capacity), known(b.AllocationSet, b.Allocation)
			break
		}
		all = append(all, s)
	}
	return all
}

// nicStatistics tells of the guest's cards in their order. libvirt counts on the
// tap, for managed and unmanaged ones alike from the guest's side.
func (w *work) nicStatistics(raw virt.DomainStats) []hypervisor.NICStatistics {
	all := []hypervisor.NICStatistics{}
	for _, nic := range w.rec.Active().NICs {
		s := hypervisor.NICStatistics{
			ID: nic.ID, MAC: nic.MAC, RxBytes: -1, TxBytes: -1, RxPackets: -1, TxPackets: -1,
			RxDropped: -1, TxDropped: -1, RxErrors: -1, TxErrors: -1,
		}
		for _, n := range raw.Net {
			if !n.NameSet || n.Name != nic.Device {
				continue
			}
			s.RxBytes, s.TxBytes = known(n.RxBytesSet, n.RxBytes), known(n.TxBytesSet, n.TxBytes)
			s.RxPackets, s.TxPackets = known(n.RxPktsSet, n.RxPkts), known(n.TxPktsSet, n.TxPkts)
			s.RxDropped, s.TxDropped = known(n.RxDropSet, n.RxDrop), known(n.TxDropSet, n.TxDrop)
			s.RxErrors, s.TxErrors = known(n.RxErrsSet, n.RxErrs), known(n.TxErrsSet, n.TxErrs)
			break
		}
		all = append(all, s)
	}
	return all
}

// Diagnostics implements hypervisor.Diagnoser, with the names of the Compute
// API from microversion 2.48.
func (d *Driver) Diagnostics(ctx context.Context, id string) (map[string]any, error) {
	return look(ctx, d, "diagnose", id, func(w *work) (map[string]any, error) {
		state, err := w.on()
		if err != nil {
			return nil, err
		}
		raw, err := w.stats()
		if err != nil {
			return nil, err
		}
		spec := w.rec.Active()
		_, noConfig := findDisk(spec.Disks, "config")
		cpus := []map[string]any{}
		for i, c := range raw.Vcpu {
			one := map[string]any{"id": i, "time": nil, "utilisation": nil}
			if c.TimeSet {
				one["time"] = int64(c.Time)
			}
			cpus = append(cpus, one)
		}
		if len(cpus) == 0 {
			for i := range spec.VCPUs {
				cpus = append(cpus, map[string]any{"id": i, "time": nil, "utilisation": nil})
			}
		}
		null := func(n int64) any {
			if n < 0 {
				return nil
			}
			return n
		}
		disks := []map[string]any{}
		for _, s := range w.diskStatistics(raw) {
			disks = append(disks, map[string]any{
				"read_bytes": null(s.ReadBytes), "read_requests": null(s.ReadRequests),
				"write_bytes": null(s.WriteBytes), "write_requests": null(s.WriteRequests), "errors_count": null(s.Errors),
			})
		}
		nics := []map[string]any{}
		for _, s := range w.nicStatistics(raw) {
			nics = append(nics, map[string]any{
				"mac_address": s.MAC,
				"rx_octets":   null(s.RxBytes), "rx_packets": null(s.RxPackets), "rx_drop": null(s.RxDropped), "rx_errors": null(s.RxErrors), "rx_rate": nil,
				"tx_octets": null(s.TxBytes), "tx_packets": null(s.TxPackets), "tx_drop": null(s.TxDropped), "tx_errors": null(s.TxErrors), "tx_rate": nil,
			})
		}
		memory := map[string]any{"maximum": spec.MemoryMiB, "used": nil}
		if b := raw.Balloon; b != nil && b.AvailableSet && b.UnusedSet && b.Available >= b.Unused {
			memory["used"] = int64(b.Available-b.Unused) >> 10
		}
		return map[string]any{
			"state": string(state), "driver": "libvirt", "hypervisor": w.p.Type, "hypervisor_os": "linux",
			"uptime":       int64(d.clock.Now().Sub(w.run.Started) / time.Second),
			"config_drive": noConfig == nil,
			"num_cpus":     len(cpus), "num_disks": len(spec.Disks), "num_nics": len(spec.NICs),
			"cpu_details": cpus, "disk_details": disks, "nic_details": nics, "memory_details": memory,
		}, nil
	})
}
