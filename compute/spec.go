package compute

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nephos-cloud/nephos/compute/metadata"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// imageURLSlack is how much longer than a boot may take the URL of its image is
// good.
const imageURLSlack = 10 * time.Minute

// object makes what the server's host is sent: all of it.
func (s *Service) object(ctx context.Context, row *serverRow, disks []diskRow) (driver.Object, error) {
	spec, err := s.spec(ctx, row, disks)
	if err != nil {
		return driver.Object{}, err
	}
	b, err := json.Marshal(spec)
	if err != nil {
		return driver.Object{}, fmt.Errorf("describing server %s for its host: %w", row.ID, err)
	}
	return driver.Object{Kind: driver.KindServer, ID: row.ID, Revision: row.Revision, Spec: b}, nil
}

// spec describes the server as its host shall have it.
func (s *Service) spec(ctx context.Context, row *serverRow, disks []diskRow) (hypervisor.Server, error) {
	props := row.Image.Properties
	out := hypervisor.Server{
		Spec: hypervisor.Spec{
			Name: row.Name, Revision: row.Revision, VCPUs: row.Flavor.VCPUs, MemoryMiB: row.Flavor.MemoryMiB,
			Machine: props["hw_machine_type"],
		},
		Power: hypervisor.Power(row.Power), Generation: row.Generation, Reboot: row.Reboot, Grace: s.cfg.Grace,
		ConfigDrive: row.ConfigDrive != "",
	}
	if props["hw_firmware_type"] == "uefi" {
		out.Spec.Firmware = "uefi"
	}
	if err := s.addPlace(ctx, row, &out.Spec); err != nil {
		return out, err
	}
	if err := s.addDisks(ctx, row, disks, &out); err != nil {
		return out, err
	}
	for _, n := range row.NICs {
		if n.PortID != "" && n.State != nicDetaching {
			out.Ports = append(out.Ports, hypervisor.PortRef{ID: n.PortID, MAC: n.MAC, MTU: n.MTU})
		}
	}
	out.Files = s.files(row, disks)
	out.Aliases = metadata.Aliases()
	return out, nil
}

func (s *Service) addDisks(ctx context.Context, row *serverRow, disks []diskRow, out *hypervisor.Server) error {
	bus := busOf(row.Image.Properties["hw_disk_bus"])
	add := func(d driver.Disk) { out.Spec.Disks = append(out.Spec.Disks, d) }
	ephemerals := 0
	blank := func(id string, bytes int64, device string) {
		add(driver.Disk{ID: id, Source: driver.Connection{Type: "local"}, Format: "qcow2", SizeBytes: bytes, Bus: bus, BootIndex: -1, Device: device})
	}
	for i := range disks {
		d := &disks[i]
		index := -1
		if d.BootIndex != nil && *d.BootIndex >= 0 {
			index = *d.BootIndex
		}
		b := bus
		if d.Bus != "" {
			b = busOf(d.Bus)
		}
		switch {
		case d.Destination == "volume":
			if d.Connection.Type == "" || d.State == diskDetaching {
				continue
			}
			format := d.Format
			if format == "" {
				format = "raw"
			}
			add(driver.Disk{
				ID: d.VolumeID, Source: d.Connection.Connection, Format: format, Bus: b, CDROM: d.DeviceType == "cdrom",
				BootIndex: index, Serial: serial(d.VolumeID), Device: d.Device,
			})
		case d.Source == "image":
			bytes := int64(row.Flavor.DiskGiB) << 30
			root := driver.Disk{
				ID: "root", Source: driver.Connection{Type: "local"}, Format: "qcow2", SizeBytes: bytes, Bus: b, BootIndex: index, Device: d.Device,
			}
			url, err := s.cfg.Images.SignedURL(ctx, d.SourceID, s.cfg.BootDeadline+imageURLSlack)
			if err != nil {
				return fmt.Errorf("making the URL of image %s: %w", d.SourceID, err)
			}
			out.Image = &hypervisor.ImageSource{ID: d.SourceID, URL: url, Format: row.Image.Format, Digest: row.Image.Digest, Size: row.Image.Size}
			add(root)
		case d.DeviceType == "swap":
			blank("swap", int64(max(d.SizeGiB<<10, row.Flavor.SwapMiB))<<20, d.Device)
		default:
			blank(fmt.Sprint("ephemeral", ephemerals), int64(d.SizeGiB)<<30, d.Device)
			ephemerals++
		}
	}
	// What the flavor gives and nobody asked for otherwise.
	if ephemerals == 0 && row.Flavor.EphemeralGB > 0 {
		blank("ephemeral0", int64(row.Flavor.EphemeralGB)<<30, "")
	}
	if row.Flavor.SwapMiB > 0 && !hasDisk(out.Spec.Disks, "swap") {
		blank("swap", int64(row.Flavor.SwapMiB)<<20, "")
	}
	return nil
}

func hasDisk(disks []driver.Disk, id string) bool {
	for _, d := range disks {
		if d.ID == id {
			return true
		}
	}
	return false
}

// busOf returns the bus by the name that drivers know it by; empty is their
// default.
func busOf(name string) string {
	switch name {
	case "scsi", "ide", "sata":
		return name
	}
	return ""
}

// serial is what a guest sees of a volume's id: udev's virtio-<serial>.
func serial(id string) string {
	if len(id) > 20 {
		return id[:20]
	}
	return id
}

// files are what the guest is told of itself.
func (s *Service) files(row *serverRow, disks []diskRow) map[string][]byte {
	in := metadata.Server{
		ID: row.ID, Name: row.Name, Hostname: row.Hostname, ProjectID: row.ProjectID, Zone: row.Zone, LaunchIndex: row.LaunchIndex,
		ReservationID: row.ReservationID, FlavorName: row.Flavor.Name, ImageID: row.ImageID, Metadata: row.Metadata,
		KeyName: row.KeyName, KeyData: row.KeyData, UserData: row.UserData, RootDevice: row.RootDevice, Password: row.Password,
		Seed: row.Wanted.Seed, SecurityGroups: row.SecurityGroups,
	}
	for _, n := range row.NICs {
		if n.State == nicDetaching || n.PortID == "" {
			continue
		}
		c := metadata.Card{ID: n.PortID, MAC: n.MAC, MTU: n.MTU, NetworkID: n.NetworkID, Tag: n.Tag}
		for _, a := range n.Addresses {
			c.Addresses = append(c.Addresses, metadata.Address{IP: a.IP, Floating: a.Floating, Subnet: metadata.Subnet(a.Subnet)})
		}
		in.Cards = append(in.Cards, c)
	}
	for _, d := range disks {
		if d.Destination == "volume" && d.State != diskDetaching {
			in.Disks = append(in.Disks, metadata.Disk{Tag: d.Tag, Serial: serial(d.VolumeID), Device: d.Device, Bus: d.Bus})
		}
	}
	for _, f := range row.Wanted.Files {
		in.Files = append(in.Files, metadata.File{Path: f.Path, Data: f.Data})
	}
	return metadata.Render(in)
}
