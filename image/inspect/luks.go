package inspect

import (
	"encoding/binary"
	"strconv"
)

// LUKS has a big-endian header; cryptsetup documents versions 1 and 2.
func parseLUKS(v *view, found *finding) error {
	h, err := v.upTo(0, 8)
	if err != nil || len(h) < 6 || string(h[:6]) != "LUKS\xba\xbe" {
		return err
	}
	found.match, found.encrypted = true, true
	found.problem(Encryption, "the content is a LUKS container")
	if len(h) < 8 {
		return errShort
	}
	version := binary.BigEndian.Uint16(h[6:])
	found.subformat = strconv.Itoa(int(version))
	switch version {
	case 1:
		if h, err = v.at(0, 592); err != nil {
			return err
		}
		if !v.final {
			return errPending // the size is what follows the header
		}
		payload := int64(binary.BigEndian.Uint32(h[104:])) * 512
		if payload > v.ins.pos {
			return errShort
		}
		found.virtualSize = v.ins.pos - payload
	case 2:
		// Sizes are in a JSON area, and may say "the rest".
		_, err = v.at(0, 4096)
	default:
		found.problem(Unsupported, "LUKS version %d is not supported", version)
	}
	return err
}

// Ploop and Parallels share one little-endian header.
func parsePloop(v *view, found *finding) error {
	h, err := v.upTo(0, 64)
	if err != nil || len(h) < 16 {
		return err
	}
	magic := string(h[:16])
	if magic != "WithoutFreeSpace" && magic != "WithouFreSpacExt" {
		return nil
	}
	found.match = true
	if len(h) < 64 {
		return errShort
	}
	sectors := binary.LittleEndian.Uint64(h[36:])
	if magic == "WithoutFreeSpace" {
		sectors &= 0xffffffff // the upper half came with the second version
	}
	found.setSize(sectors, 512)
	return nil
}
