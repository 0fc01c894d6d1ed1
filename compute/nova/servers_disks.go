package nova

import (
	"encoding/json"
	"strconv"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
)

type legacyDisk struct {
	VirtualName         *string         `json:"virtual_name"`
	VolumeID            *string         `json:"volume_id"`
	SnapshotID          *string         `json:"snapshot_id"`
	VolumeSize          *httpapi.Int    `json:"volume_size"`
	DeviceName          *string         `json:"device_name"`
	DeleteOnTermination httpapi.Bool    `json:"delete_on_termination"`
	NoDevice            json.RawMessage `json:"no_device"`
	ConnectionInfo      *string         `json:"connection_info"`
}

type diskSpec struct {
	legacyDisk
	SourceType      *string         `json:"source_type"`
	UUID            *string         `json:"uuid"`
	ImageID         *string         `json:"image_id"`
	DestinationType *string         `json:"destination_type"`
	GuestFormat     *string         `json:"guest_format"`
	DeviceType      *string         `json:"device_type"`
	DiskBus         *string         `json:"disk_bus"`
	BootIndex       json.RawMessage `json:"boot_index"`
	Tag             *string         `json:"tag"`
	VolumeType      *string         `json:"volume_type"`
}

func orEmpty(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// readDisks reads the block device mappings of a create.
func readDisks(in *serverSpec, req *compute.BootRequest) error {
	if len(in.Mapping) > 0 && len(in.MappingV2) > 0 {
		return invalid("Using different block_device_mapping syntaxes is not allowed in the same request.").WithField("block_device_mapping")
	}
	for i := range in.MappingV2 {
		d := &in.MappingV2[i]
		if d.NoDevice != nil && string(d.NoDevice) != "null" && string(d.NoDevice) != "false" {
			continue
		}
		one, err := d.read()
		if err != nil {
			return err
		}
		req.Disks = append(req.Disks, one)
	}
	for i := range in.Mapping {
		one, ok, err := in.Mapping[i].read(i)
		if err != nil {
			return err
		}
		if ok {
			req.Disks = append(req.Disks, one)
		}
	}
	if len(in.Mapping) > 0 && req.ImageID != "" {
		zero := 0 // the older syntax names only what comes besides the image
		for i := range req.Disks {
			req.Disks[i].BootIndex = nil
		}
		req.Disks = append([]compute.DiskRequest{{
			Source: "image", SourceID: req.ImageID, Destination: "local", BootIndex: &zero, DeleteOnTermination: true,
		}}, req.Disks...)
	}
	return nil
}

func (d *legacyDisk) common() compute.DiskRequest {
	out := compute.DiskRequest{Device: orEmpty(d.DeviceName), DeleteOnTermination: bool(d.DeleteOnTermination)}
	if d.VolumeSize != nil {
		out.SizeGiB = int(*d.VolumeSize)
	}
	return out
}

// read turns an entry of the older syntax into one of the newer.
func (d *legacyDisk) read(i int) (compute.DiskRequest, bool, error) {
	out := d.common()
	if i == 0 {
		out.BootIndex = ptr(0)
	}
	switch {
	case d.SnapshotID != nil:
		out.Source, out.SourceID = "snapshot", *d.SnapshotID
	case d.VolumeID != nil:
		out.Source, out.SourceID = "volume", *d.VolumeID
	case d.NoDevice != nil:
		return out, false, nil
	default:
		return out, false, invalid("Block Device Mapping is Invalid: Unrecognized legacy format.").WithField("block_device_mapping")
	}
	out.Destination = "volume"
	return out, true, nil
}

func (d *diskSpec) read() (compute.DiskRequest, error) {
	out := d.common()
	out.Source, out.SourceID, out.Destination = orEmpty(d.SourceType), orEmpty(d.UUID), orEmpty(d.DestinationType)
	out.GuestFormat, out.DeviceType, out.Bus, out.VolumeType = orEmpty(d.GuestFormat), orEmpty(d.DeviceType), orEmpty(d.DiskBus), orEmpty(d.VolumeType)
	if d.SourceType == nil { // the id alone says what it is of
		switch {
		case d.VolumeID != nil:
			out.Source, out.SourceID = "volume", *d.VolumeID
		case d.SnapshotID != nil:
			out.Source, out.SourceID = "snapshot", *d.SnapshotID
		case d.ImageID != nil:
			out.Source, out.SourceID = "image", *d.ImageID
		default:
			return out, invalid("Block Device Mapping is Invalid: Missing device UUID.").WithField("block_device_mapping_v2")
		}
	}
	out.Tag = orEmpty(d.Tag)
	var err error
	out.BootIndex, err = bootIndex(d.BootIndex)
	return out, err
}

// bootIndex reads a number, a text of digits, or null.
func bootIndex(raw json.RawMessage) (*int, error) {
	if raw == nil || string(raw) == "null" {
		return nil, nil
	}
	s := string(raw)
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		s = quoted
	}
	n, err := strconv.Atoi(s)
	if err != nil || n > 1<<20 {
		return nil, badField("boot_index", s, quote(s)+" does not match '^-?[0-9]+$'")
	}
	return &n, nil
}
