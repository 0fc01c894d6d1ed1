package inspect

import (
	"bytes"
	"encoding/binary"
)

// VDI is VirtualBox's little-endian format: a line of text, then a header.
func parseVDI(v *view, found *finding) error {
	h, err := v.upTo(0, 512)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	if len(h) < 0x44 || le.Uint32(h[0x40:]) != 0xbeda107f {
		return nil
	}
	found.match = true
	if len(h) < 512 {
		return errShort
	}
	if version := le.Uint32(h[0x44:]); version != 0x00010001 {
		found.problem(Unsupported, "VDI version %#x is not supported", version)
		return nil
	}
	found.setSize(le.Uint64(h[0x170:]), 1)
	switch kind := le.Uint32(h[0x4c:]); kind {
	case 1:
		found.subformat = "dynamic"
	case 2:
		found.subformat = "fixed"
	case 3, 4:
		found.subformat = "differencing"
		found.problem(OutsideReference, "a differencing VDI needs a parent file")
	default:
		found.problem(Unsupported, "VDI type %d is not supported", kind)
	}
	zero := make([]byte, 32)
	if !bytes.Equal(h[0x1a8:0x1c8], zero) && found.subformat != "differencing" {
		found.problem(OutsideReference, "the image names a parent by its id")
	}
	return nil
}
