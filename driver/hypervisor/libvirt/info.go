//go:build libvirt

package libvirt

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
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
		p := d.platform
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
			Type: p.Driver, Version: int(version), Arch: p.Arch, CPUModel: p.Host, VCPUs: int(node.Cpus),
			MemoryMiB: int(node.Memory / 1024), RunningVMs: running, BootID: bootID(), HostIP: d.cfg.HostIP,
			Formats: []string{"raw", "qcow2"},
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

// bootID changes with each boot of the host.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(id))
}
