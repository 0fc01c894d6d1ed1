//go:build libvirt

package libvirt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
	virt "libvirt.org/go/libvirt"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/internal/linuxhost"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
)

// Info implements hypervisor.Driver, from what libvirt says of its host and from
// the file system of Config.Dir.
func (d *Driver) Info(ctx context.Context) (hypervisor.Host, error) {
	h, err := within(ctx, func() (hypervisor.Host, error) {
		l, done, err := d.use()
		if err != nil {
			return hypervisor.Host{}, err
		}
		defer done()
		d.mu.Lock()
		p, features := d.platform, d.processor
		d.mu.Unlock()
		node, err := l.conn.GetNodeInfo()
		if err != nil {
			return hypervisor.Host{}, err
		}
		version, err := l.conn.GetVersion()
		if err != nil {
			return hypervisor.Host{}, err
		}
		running, err := l.conn.NumOfDomains()
		if err != nil {
			return hypervisor.Host{}, err
		}
		h := hypervisor.Host{
			Type: p.Driver, Version: int(version), Arch: p.Arch, VCPUs: int(node.Cpus),
			MemoryMiB: int(node.Memory / 1024), RunningVMs: running, BootID: bootID(), HostIP: d.cfg.HostIP,
			Formats: []string{"raw", "qcow2"}, CPUFeatures: slices.Clone(features), Traits: slices.Clone(p.Traits),
		}
		if err := d.describeProcessors(&h, l.conn); err != nil {
			return h, err
		}
		switch p.Type {
		case "kvm":
			h.Accelerator = "kvm"
		case "qemu":
			h.Accelerator = "tcg"
		}
		if h.CPUModel == "" {
			h.CPUModel = node.Model
		}
		var fs unix.Statfs_t
		if err := unix.Statfs(d.cfg.Dir, &fs); err != nil {
			return h, err
		}
		h.DiskGiB = int(fs.Blocks * uint64(fs.Bsize) >> 30)
		h.FreeDiskGiB = int(fs.Bavail * uint64(fs.Bsize) >> 30)
		return h, nil
	})
	if err != nil {
		return hypervisor.Host{}, fmt.Errorf("describe host: %w", err)
	}
	return h, nil
}

// describeProcessors adds what libvirt tells of the host's processors and of the
// memory near them, and what of the host one guest may have for itself.
func (d *Driver) describeProcessors(h *hypervisor.Host, conn *virt.Connect) error {
	caps, err := conn.GetCapabilities()
	if err != nil {
		return err
	}
	about, err := domain.ReadHost(caps)
	if err != nil {
		return err
	}
	h.CPUModel, h.CPUVendor, h.NUMA = about.Model, about.Vendor, about.Cells
	if err := d.give(h, os.DirFS("/")); err != nil {
		return err
	}
	if about.Threads {
		h.Traits = append(h.Traits, "HW_CPU_HYPERTHREADING")
	}
	stats, err := conn.GetCPUStats(int(virt.NODE_CPU_STATS_ALL_CPUS), 0)
	if is(err, virt.ERR_NO_SUPPORT, virt.ERR_OPERATION_UNSUPPORTED) {
		return nil
	}
	if err != nil {
		return err
	}
	now := linuxhost.Times{User: stats.User, Kernel: stats.Kernel, Idle: stats.Idle, IOWait: stats.Iowait}
	d.mu.Lock()
	defer d.mu.Unlock()
	h.Metrics = now.Shares(d.times)
	d.times = now
	return nil
}

// features asks libvirt for all that the guests' processor can do. What cannot
// be told is left out.
func (d *Driver) features(conn *virt.Connect, p domain.Platform, capabilities string) ([]string, error) {
	cpu, err := p.Processor(capabilities)
	if err != nil || cpu == "" {
		return nil, err
	}
	whole, err := conn.BaselineHypervisorCPU(p.Emulator, p.Arch, p.Machine, p.Type, []string{cpu}, virt.CONNECT_BASELINE_CPU_EXPAND_FEATURES)
	if err != nil {
		if err = meant(err); errors.Is(err, nephos.ErrUnavailable) {
			return nil, err
		}
		d.log.Info("libvirt does not tell what the guests' processor can do", "error", err)
		return nil, nil
	}
	return domain.Features(whole)
}

// bootID changes with each boot of the host.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(id))
}
