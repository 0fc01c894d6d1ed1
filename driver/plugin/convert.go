package plugin

import (
	"time"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	pb "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/hypervisor/v1"
)

func toSpec(s hypervisor.Spec) *pb.Spec {
	out := &pb.Spec{
		CloudId: s.CloudID, Name: s.Name, Revision: s.Revision, Vcpus: int64(s.VCPUs), MemoryMib: int64(s.MemoryMiB),
		Firmware: s.Firmware, Machine: s.Machine, Labels: s.Labels,
	}
	for _, d := range s.Disks {
		out.Disks = append(out.Disks, toDisk(d))
	}
	for _, n := range s.NICs {
		out.Nics = append(out.Nics, &pb.NIC{Id: n.ID, Mac: n.MAC, Mtu: int64(n.MTU), Device: n.Device, Namespace: n.Namespace, Model: n.Model})
	}
	return out
}

func fromSpec(s *pb.Spec) hypervisor.Spec {
	out := hypervisor.Spec{
		CloudID: s.GetCloudId(), Name: s.GetName(), Revision: s.GetRevision(), VCPUs: int(s.GetVcpus()), MemoryMiB: int(s.GetMemoryMib()),
		Firmware: s.GetFirmware(), Machine: s.GetMachine(), Labels: s.GetLabels(),
	}
	for _, d := range s.GetDisks() {
		out.Disks = append(out.Disks, fromDisk(d))
	}
	for _, n := range s.GetNics() {
		out.NICs = append(out.NICs, driver.NIC{
			ID: n.GetId(), MAC: n.GetMac(), MTU: int(n.GetMtu()), Device: n.GetDevice(), Namespace: n.GetNamespace(), Model: n.GetModel(),
		})
	}
	return out
}

func toDisk(d driver.Disk) *pb.Disk {
	out := &pb.Disk{
		Id:     d.ID,
		Source: &pb.Connection{Type: d.Source.Type, Path: d.Source.Path, Options: d.Source.Options, Secrets: d.Source.Secrets},
		Format: d.Format, SizeBytes: d.SizeBytes, ReadOnly: d.ReadOnly, Bus: d.Bus, Cdrom: d.CDROM, BootIndex: int64(d.BootIndex),
		Serial: d.Serial, Device: d.Device,
	}
	if d.Base != nil {
		out.Base = &pb.Image{Path: d.Base.Path, Format: d.Base.Format, Digest: d.Base.Digest}
	}
	return out
}

func fromDisk(d *pb.Disk) driver.Disk {
	src := d.GetSource()
	out := driver.Disk{
		ID:     d.GetId(),
		Source: driver.Connection{Type: src.GetType(), Path: src.GetPath(), Options: src.GetOptions(), Secrets: src.GetSecrets()},
		Format: d.GetFormat(), SizeBytes: d.GetSizeBytes(), ReadOnly: d.GetReadOnly(), Bus: d.GetBus(), CDROM: d.GetCdrom(),
		BootIndex: int(d.GetBootIndex()), Serial: d.GetSerial(), Device: d.GetDevice(),
	}
	if b := d.GetBase(); b != nil {
		out.Base = &driver.Image{Path: b.GetPath(), Format: b.GetFormat(), Digest: b.GetDigest()}
	}
	return out
}

func toGuest(g hypervisor.Guest) *pb.Guest {
	return &pb.Guest{
		Id: g.ID, CloudId: g.CloudID, Name: g.Name, Revision: g.Revision, State: string(g.State), Labels: g.Labels,
		Disks: g.Disks, Nics: g.NICs, Started: toTime(g.Started),
	}
}

func fromGuest(g *pb.Guest) hypervisor.Guest {
	return hypervisor.Guest{
		ID: g.GetId(), CloudID: g.GetCloudId(), Name: g.GetName(), Revision: g.GetRevision(), State: hypervisor.State(g.GetState()),
		Labels: g.GetLabels(), Disks: g.GetDisks(), NICs: g.GetNics(), Started: fromTime(g.GetStarted()),
	}
}

func toInfo(h hypervisor.Host) *pb.InfoResponse {
	return &pb.InfoResponse{
		Type: h.Type, Version: int64(h.Version), Arch: h.Arch, CpuModel: h.CPUModel, Accelerator: h.Accelerator, Vcpus: int64(h.VCPUs),
		MemoryMib: int64(h.MemoryMiB), DiskGib: int64(h.DiskGiB), FreeDiskGib: int64(h.FreeDiskGiB), RunningVms: int64(h.RunningVMs),
		BootId: h.BootID, HostIp: h.HostIP, Formats: h.Formats,
	}
}

func fromInfo(h *pb.InfoResponse) hypervisor.Host {
	return hypervisor.Host{
		Type: h.GetType(), Version: int(h.GetVersion()), Arch: h.GetArch(), CPUModel: h.GetCpuModel(), Accelerator: h.GetAccelerator(),
		VCPUs: int(h.GetVcpus()), MemoryMiB: int(h.GetMemoryMib()), DiskGiB: int(h.GetDiskGib()), FreeDiskGiB: int(h.GetFreeDiskGib()),
		RunningVMs: int(h.GetRunningVms()), BootID: h.GetBootId(), HostIP: h.GetHostIp(), Formats: h.GetFormats(),
	}
}

func toTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromTime(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
