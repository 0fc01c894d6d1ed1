package hypervisor

import (
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"net"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// Bounds that hold for every driver; a driver may have tighter ones.
const (
	MaxIDLength = 64
	MaxVCPUs    = 4096
	MaxDisks    = 64
	MaxNICs     = 64
)

// CheckID returns an error that wraps ErrInvalid unless the id of a guest, disk
// or card is 1 to 64 letters, digits, dots, dashes and underscores, and starts
// with a letter or digit: safe as a file name and as a word of a command.
func CheckID(id string) error {
	ok := id != "" && len(id) <= MaxIDLength
	for i := 0; ok && i < len(id); i++ {
		c := id[i]
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		ok = alnum || i > 0 && (c == '-' || c == '_' || c == '.')
	}
	if !ok {
		return fmt.Errorf("check id %.80q: want 1 to %d letters, digits, dots, dashes or underscores: %w", id, MaxIDLength, nephos.ErrInvalid)
	}
	return nil
}

// Validate returns an error that wraps ErrInvalid and names the field when no
// driver could ever carry out the spec.
func (s Spec) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), nephos.ErrInvalid)
	}
	switch {
	case s.VCPUs < 1 || s.VCPUs > MaxVCPUs:
		return bad("vcpus is %d, want 1 to %d", s.VCPUs, MaxVCPUs)
	case s.MemoryMiB < 1:
		return bad("memory is %d, want at least 1", s.MemoryMiB)
	case len(s.Disks) > MaxDisks:
		return bad("disks has %d entries, at most %d fit", len(s.Disks), MaxDisks)
	case len(s.NICs) > MaxNICs:
		return bad("nics has %d entries, at most %d fit", len(s.NICs), MaxNICs)
	case s.Firmware != "" && s.Firmware != "bios" && s.Firmware != "uefi":
		return bad("firmware is %.40q, want bios or uefi", s.Firmware)
	}
	seen := make(map[string]bool)
	for i, d := range s.Disks {
		if err := validateDisk(d); err != nil {
			return fmt.Errorf("disks[%d]: %w", i, err)
		}
		if seen[d.ID] {
			return bad("disks[%d].ID %q is there twice", i, d.ID)
		}
		seen[d.ID] = true
	}
	clear(seen)
	for i, c := range s.NICs {
		if err := CheckID(c.ID); err != nil {
			return fmt.Errorf("nics[%d].ID: %w", i, err)
		}
		if mac, err := net.ParseMAC(c.MAC); err != nil || len(mac) != 6 || mac[0]&1 != 0 {
			return bad("nics[%d].MAC %.40q is no unicast Ethernet address", i, c.MAC)
		}
		switch {
		case c.MTU != 0 && (c.MTU < 68 || c.MTU > 65535):
			return bad("nics[%d].MTU is %d, want 68 to 65535", i, c.MTU)
		case c.Model != "" && c.Model != "virtio" && c.Model != "e1000":
			return bad("nics[%d].Model is %.40q, want virtio or e1000", i, c.Model)
		case seen[c.ID]:
			return bad("nics[%d].ID %q is there twice", i, c.ID)
		}
		seen[c.ID] = true
	}
	return s.validatePlace()
}

func validateDisk(d driver.Disk) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), nephos.ErrInvalid)
	}
	if err := CheckID(d.ID); err != nil {
		return fmt.Errorf("ID: %w", err)
	}
	format := func(field, f string) error {
		if f != "raw" && f != "qcow2" {
			return bad("%s is %.40q, want raw or qcow2", field, f)
		}
		return nil
	}
	local := d.Source.Type == "local"
	if d.Format != "" || !local {
		if err := format("Format", d.Format); err != nil {
			return err
		}
	}
	if d.Base != nil {
		if !local {
			return bad("Base is set, but only a local disk has one")
		}
		if err := format("Base.Format", d.Base.Format); err != nil {
			return err
		}
	}
	if d.Source.Limits != nil {
		if err := d.Source.Limits.Validate(); err != nil {
			return fmt.Errorf("Source.Limits: %w", err)
		}
	}
	if d.Source.Shared && (local || d.Format != "raw" && d.Source.Type != "nbd") {
		return bad("Source.Shared is set, but the guests of a %s disk of format %s cannot share it", d.Source.Type, d.Format)
	}
	if e := d.Source.Encryption; e != nil && e.Format == "" {
		return bad("Source.Encryption.Format is empty")
	}
	switch d.Bus {
	case "", "virtio", "scsi", "ide", "sata":
	default:
		return bad("Bus is %.40q, want virtio, scsi, ide or sata", d.Bus)
	}
	switch {
	case d.Source.Type == "":
		return bad("Source.Type is empty")
	case d.SizeBytes < 0:
		return bad("SizeBytes is %d", d.SizeBytes)
	case local && d.Base == nil && d.SizeBytes == 0:
		return bad("SizeBytes is 0, and a local disk without a base needs a size")
	case len(d.Serial) > 20:
		return bad("Serial has %d bytes, at most 20 fit", len(d.Serial))
	}
	for i := range len(d.Serial) {
		if d.Serial[i] < 0x20 || d.Serial[i] > 0x7e {
			return bad("Serial has a byte that is not printable ASCII")
		}
	}
	return nil
}

// Validate returns an error that wraps ErrInvalid and names the field when no
// driver could take the stream.
func (i DiskImage) Validate() error {
	switch {
	case i.Format != "raw" && i.Format != "qcow2":
		return fmt.Errorf("field Format is %.40q, want raw or qcow2: %w", i.Format, nephos.ErrInvalid)
	case i.Size < -1:
		return fmt.Errorf("field Size is %d: %w", i.Size, nephos.ErrInvalid)
	case i.VirtualSize < 0:
		return fmt.Errorf("field VirtualSize is %d: %w", i.VirtualSize, nephos.ErrInvalid)
	}
	return nil
}

// Validate returns an error that wraps ErrInvalid and names the field when no
// driver could cache the image.
func (i ImageSpec) Validate() error {
	if b, err := hex.DecodeString(i.Digest); err != nil || len(b) != sha512.Size || strings.ToLower(i.Digest) != i.Digest {
		return fmt.Errorf("field Digest %.140q is no SHA-512 in lower-case hex: %w", i.Digest, nephos.ErrInvalid)
	}
	if i.Format != "raw" && i.Format != "qcow2" {
		return fmt.Errorf("field Format is %.40q, want raw or qcow2: %w", i.Format, nephos.ErrInvalid)
	}
	if i.Size < -1 {
		return fmt.Errorf("field Size is %d: %w", i.Size, nephos.ErrInvalid)
	}
	return nil
}

// ValidateRescue returns an error that wraps ErrInvalid and names the field
// when no driver could rescue a guest with the disk.
func ValidateRescue(d driver.Disk) error {
	if err := validateDisk(d); err != nil {
		return err
	}
	if d.Source.Type != "local" {
		return fmt.Errorf("Source.Type is %.40q, and a rescue disk is local: %w", d.Source.Type, nephos.ErrInvalid)
	}
	return nil
}
