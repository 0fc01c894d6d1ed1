package compute

import (
	"context"
	"errors"
	"slices"

	"github.com/nephos-cloud/nephos"
)

// DiskRequest is one entry of a boot's block devices.
type DiskRequest struct {
	Source              string // image, volume, snapshot, blank
	SourceID            string // unless blank
	Destination         string // local, volume; empty: local for images and blanks
	BootIndex           *int   // nil or negative: not for booting
	SizeGiB             int    // 0: the source's
	VolumeType          string
	GuestFormat         string // swap: a local blank disk is swap
	Device              string
	Bus                 string
	DeviceType          string
	Tag                 string
	DeleteOnTermination bool
}

// maxDisks bounds the disks of a server.
const maxDisks = 26

var (
	diskBuses   = []string{"fdc", "ide", "sata", "scsi", "usb", "virtio", "xen", "lxc", "uml"}
	errSequence = "Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is not valid."
)

// checkDisks reads what the servers boot from and what else they get.
func (b *boot) checkDisks(ctx context.Context) error {
	req := &b.req
	if len(req.Disks) == 0 {
		if req.ImageID == "" {
			return invalid("Missing imageRef attribute").WithField("imageRef")
		}
		zero := 0
		req.Disks = []DiskRequest{{Source: "image", SourceID: req.ImageID, Destination: "local", BootIndex: &zero, DeleteOnTermination: true}}
	} else if err := b.s.cfg.Policy.Enforce(ctx, serversRule("create:attach_volume"), b.target); err != nil {
		return err
	}
	b.row.ImageID = req.ImageID
	if len(req.Disks) > maxDisks {
		return invalid("The maximum allowed number of disk devices (%d) to attach to a single instance has been exceeded.", maxDisks)
	}
	var indexes []int
	for i := range req.Disks {
		d := &req.Disks[i]
		if err := b.checkShape(d); err != nil {
			return err
		}
		if d.BootIndex != nil && *d.BootIndex >= 0 {
			indexes = append(indexes, *d.BootIndex)
		}
	}
	slices.Sort(indexes)
	for i, n := range indexes {
		if i != n {
			return invalid("%s", errSequence)
		}
	}
	if len(indexes) == 0 {
		return invalid("%s", errSequence)
	}
	ephemeral, swaps := 0, 0
	for _, d := range req.Disks {
		if err := b.checkSource(ctx, &d); err != nil {
			return err
		}
		if d.Source == "blank" && d.Destination == "local" {
			if d.GuestFormat == "swap" {
				swaps++
				if d.SizeGiB<<10 > b.row.Flavor.SwapMiB {
					return invalid("Swap drive requested is larger than instance type allows.")
				}
			} else {
				if d.SizeGiB == 0 {
					d.SizeGiB = b.row.Flavor.EphemeralGB
				}
				ephemeral += d.SizeGiB
			}
		}
		b.add(d)
	}
	switch {
	case swaps > 1:
		return invalid("Block Device Mapping is Invalid: More than one swap drive requested.")
	case ephemeral > b.row.Flavor.EphemeralGB:
		return invalid("Ephemeral disks requested are larger than the instance type allows. " +
			"If no size is given in one block device mapping, flavor ephemeral size will be used.")
	}
	return b.nameDevices()
}

// checkShape checks one entry by itself.
func (b *boot) checkShape(d *DiskRequest) error {
	bad := func(details string) error { return invalid("Block Device Mapping is Invalid: %s", details) }
	if d.Destination == "" {
		d.Destination = "local"
		if d.Source == "volume" || d.Source == "snapshot" {
			d.Destination = "volume"
		}
	}
	root := d.BootIndex != nil && *d.BootIndex == 0
	switch {
	case d.Source == "blank" && d.SourceID != "":
		return bad("Invalid device UUID.")
	case d.Source != "blank" && d.SourceID == "":
		return bad("Missing device UUID.")
	case d.Source == "image" && d.Destination == "local" && !(b.req.ImageID != "" && root):
		return bad("Mapping image to local is not supported.")
	case d.Destination == "local" && d.VolumeType != "":
		return bad("Specifying a volume_type with destination_type=local is not supported.")
	case d.Source == "volume" && d.VolumeType != "":
		return bad("Specifying volume type to existing volume is not supported.")
	case (d.Source == "volume" || d.Source == "snapshot") && d.Destination == "local":
		return bad("a " + d.Source + " cannot be mapped to a local disk.")
	case d.Bus != "" && !slices.Contains(diskBuses, d.Bus):
		return invalid("Block Device Mapping is Invalid.")
	}
	return nil
}

// checkSource checks what the entry is made of.
func (b *boot) checkSource(ctx context.Context, d *DiskRequest) error {
	if d.Destination == "volume" && b.s.cfg.Volumes == nil {
		return invalid("Block Device Mapping is Invalid: there is no volume service.")
	}
	if d.VolumeType != "" {
		t, err := b.s.cfg.Volumes.TypeNamed(ctx, d.VolumeType)
		if errors.Is(err, nephos.ErrNotFound) {
			return invalid("Volume type %.255s could not be found.", d.VolumeType).WithField("volume_type")
		}
		if err != nil {
			return err
		}
		d.VolumeType = t.Name
	}
	switch d.Source {
	case "image":
		img, err := b.checkImage(ctx, d.SourceID, d.Destination == "local")
		if err != nil {
			if errors.Is(err, nephos.ErrInvalid) && d.SourceID != b.req.ImageID {
				return invalid("Block Device Mapping is Invalid: failed to get image %.255s.", d.SourceID)
			}
			return err
		}
		if d.Destination == "volume" {
			if d.SizeGiB == 0 {
				return invalid("Images with destination_type 'volume' need to have a non-zero size specified")
			}
			if d.BootIndex != nil && *d.BootIndex == 0 {
				b.row.Image.Properties = img.Properties
			}
		}
	case "volume":
		if b.req.MaxCount > 1 {
			return invalid("Cannot attach one or more volumes to multiple instances")
		}
		v, err := b.s.cfg.Volumes.Volume(ctx, d.SourceID)
		if err != nil {
			switch missing := errors.Is(err, nephos.ErrNotFound); {
			case missing && b.req.ImageID != "":
				return invalid("Volume %.255s could not be found.", d.SourceID)
			case missing:
				return invalid("Block Device Mapping is Invalid: failed to get volume %.255s.", d.SourceID)
			}
			return err
		}
		if err := checkShared(v, b.req.SharedToo); err != nil {
			return err
		}
		if err := b.s.cfg.Volumes.CheckAttach(ctx, d.SourceID); err != nil {
			return invalid("Invalid volume: %w", err)
		}
		d.SizeGiB = v.SizeGiB
		if d.BootIndex != nil && *d.BootIndex == 0 {
			if !v.Bootable {
				return invalid("Block Device %s is not bootable.", d.SourceID)
			}
			b.row.Image.Properties = v.ImageMetadata
		}
	case "blank":
		if d.Destination == "volume" && d.SizeGiB == 0 {
			return invalid("Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size")
		}
	}
	return nil
}

// add keeps a disk. The flavor's own local disks are made when the host is told.
func (b *boot) add(d DiskRequest) {
	row := diskRow{Disk: Disk{
		Source: d.Source, SourceID: d.SourceID, Destination: d.Destination, BootIndex: d.BootIndex, VolumeType: d.VolumeType,
		SizeGiB: d.SizeGiB, Device: devicePath(d.Device), Bus: d.Bus, DeviceType: d.DeviceType, Tag: d.Tag,
		DeleteOnTermination: d.DeleteOnTermination, State: diskBooting,
	}}
	if d.Source == "blank" && d.Destination == "local" {
		if row.DeviceType = "disk"; d.GuestFormat == "swap" {
			row.DeviceType = "swap"
		}
	}
	if d.Source == "volume" {
		row.VolumeID = d.SourceID
	}
	b.row.Wanted.Volumes = b.row.Wanted.Volumes || d.Destination == "volume"
	b.disks = append(b.disks, row)
}

// nameDevices gives each disk a name that none other has, the root disk the
// first.
func (b *boot) nameDevices() error {
	slices.SortStableFunc(b.disks, func(x, y diskRow) int { return bootRank(x) - bootRank(y) })
	taken := []string{}
	for _, d := range b.disks {
		if d.Device == "" {
			continue
		}
		if slices.Contains(taken, d.Device) {
			return invalid("Block Device Mapping is Invalid: the device name %.255s is used twice.", d.Device)
		}
		taken = append(taken, d.Device)
	}
	for i := range b.disks {
		if b.disks[i].Device == "" {
			b.disks[i].Device = freeDevice(taken)
			taken = append(taken, b.disks[i].Device)
		}
	}
	b.row.RootDevice = b.disks[0].Device
	return nil
}

func bootRank(d diskRow) int {
	if d.BootIndex != nil && *d.BootIndex >= 0 {
		return *d.BootIndex
	}
	return maxDisks
}

// freeDevice returns the first name of a disk that is not taken.
func freeDevice(taken []string) string {
	for c := 'a'; c <= 'z'; c++ {
		name := "/dev/vd" + string(c)
		if !slices.ContainsFunc(taken, func(t string) bool { return sameDevice(t, name) }) {
			return name
		}
	}
	return ""
}

// sameDevice compares names of devices by their letters: sdb and vdb are the
// same place.
func sameDevice(a, b string) bool {
	letters := func(s string) string {
		if len(s) > 7 && s[:5] == "/dev/" {
			return s[7:]
		}
		return s
	}
	return letters(a) == letters(b)
}

func devicePath(name string) string {
	if name == "" || len(name) > 5 && name[:5] == "/dev/" {
		return name
	}
	return "/dev/" + name
}
