package qemu

import (
	"io/fs"
	"slices"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/internal/linuxhost"
)

// emulated are the abilities of the processor that guests see where QEMU
// emulates it; see [command.machine].
var emulated = []string{"fpu", "mmx", "sse", "sse2", "pni", "cx16", "lahf_lm", "svm"}

// devices are the traits of what a guest of this driver may be made of.
var devices = []string{
	"COMPUTE_FIRMWARE_BIOS", "COMPUTE_GRAPHICS_MODEL_VGA", "COMPUTE_NET_VIF_MODEL_E1000", "COMPUTE_NET_VIF_MODEL_VIRTIO",
	"COMPUTE_STORAGE_BUS_IDE", "COMPUTE_STORAGE_BUS_SATA", "COMPUTE_STORAGE_BUS_SCSI", "COMPUTE_STORAGE_BUS_VIRTIO",
	"COMPUTE_VOLUME_MULTI_ATTACH",
}

// describeProcessors adds what the kernel tells of the host's processors and of
// the memory near them. There are no PCI devices: the driver cannot give these to a
// guest.
func (d *Driver) describeProcessors(h *hypervisor.Host, root fs.FS) error {
	p, err := linuxhost.ReadProcessor(root)
	if err != nil {
		return err
	}
	h.CPUModel, h.CPUVendor = p.Model, p.Vendor
	if h.CPUFeatures = slices.Clone(emulated); d.accel == "kvm" {
		h.CPUFeatures = p.Features
	}
	h.Traits = slices.Clone(devices)
	if linuxhost.Threads(root) {
		h.Traits = append(h.Traits, "HW_CPU_HYPERTHREADING")
	}
	if h.NUMA, err = d.cells(root); err != nil {
		return err
	}
	now, err := linuxhost.ReadTimes(root)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	h.Metrics = now.Shares(d.times)
	d.times = now
	return nil
}
