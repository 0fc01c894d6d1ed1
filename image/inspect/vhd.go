package inspect

import (
	"bytes"
	"encoding/binary"
	"math"
)

// A VHD ends in a footer of 512 bytes; a dynamic or differencing one starts
// with a copy of it. All big-endian; see Microsoft's "Virtual Hard Disk Image
// Format Specification".
const (
	vhdFixed        = 2
	vhdDynamic      = 3
	vhdDifferencing = 4
)

func parseVHD(v *view, found *finding) error {
	const cookie = "conectix"
	front, err := v.upTo(0, 8)
	if err != nil {
		return err
	}
	atFront := string(front) == cookie
	found.match = atFront
	end, err := v.last(512)
	if err != nil && err != errShort {
		return err
	}
	// Writers before 2004 left off the footer's last, reserved byte.
	atEnd := false
	if len(end) == 512 {
		switch {
		case string(end[:8]) == cookie:
			atEnd = true
		case string(end[1:9]) == cookie:
			atEnd, end = true, append(bytes.Clone(end[1:]), 0)
		}
	}
	found.match = atFront || atEnd
	if !found.match {
		return nil
	}
	footer := end
	if atFront {
		if footer, err = v.at(0, 512); err != nil {
			return err
		}
	}
	be := binary.BigEndian
	kind := be.Uint32(footer[60:])
	found.setSize(be.Uint64(footer[48:]), 1)
	if !vhdChecksum(footer, 64) {
		found.problem(Note, "the footer's checksum is wrong")
	}
	if atFront && !atEnd {
		found.problem(Note, "the footer at the end is missing")
	}
	if atFront && atEnd && be.Uint32(end[60:]) != kind {
		found.problem(Malformed, "the footer is of type %d, its copy of type %d", be.Uint32(end[60:]), kind)
	}
	switch {
	case kind == vhdFixed && atFront && !atEnd:
		found.subformat = "fixed"
		found.problem(Malformed, "a fixed VHD without its footer")
	case kind == vhdFixed:
		found.subformat = "fixed"
	case kind == vhdDynamic && atFront:
		found.subformat = "dynamic"
		return vhdDynamicHeader(v, be.Uint64(footer[16:]), found)
	case kind == vhdDynamic:
		found.subformat = "dynamic"
		found.problem(Malformed, "a dynamic VHD without a copy of its footer at the start")
	case kind == vhdDifferencing:
		found.subformat = "differencing"
		found.problem(OutsideReference, "a differencing VHD needs a parent file")
		if atFront {
			return vhdDynamicHeader(v, be.Uint64(footer[16:]), found)
		}
	default:
		found.problem(Unsupported, "VHD type %d is not supported", kind)
	}
	return nil
}

// vhdDynamicHeader looks for a parent in the header of a dynamic disk.
func vhdDynamicHeader(v *view, off uint64, found *finding) error {
	// The header follows the footer's copy in every file there is. Elsewhere it
	// may have streamed by before this parser knew to keep it.
	if off > headSize-1024 {
		found.problem(Malformed, "the dynamic disk header is at %d", min(off, math.MaxInt64))
		return nil
	}
	h, err := v.at(int64(off), 1024)
	if err != nil {
		return err
	}
	if string(h[:8]) != "cxsparse" {
		found.problem(Malformed, "no dynamic disk header at %d", off)
		return nil
	}
	zero := make([]byte, 512)
	parentID, parentName := h[40:56], h[64:576]
	named := !bytes.Equal(parentID, zero[:16]) || !bytes.Equal(parentName, zero)
	for i := range 8 {
		if binary.BigEndian.Uint32(h[576+24*i:]) != 0 {
			named = true
		}
	}
	if named {
		found.backingFile = utf16Text(parentName, binary.BigEndian)
		found.problem(OutsideReference, "the image names a parent file %s", quote(found.backingFile))
	}
	return nil
}

// vhdChecksum reports whether the footer's ones' complement sum, kept at the
// given place, is right.
func vhdChecksum(footer []byte, at int) bool {
	var sum uint32
	for i, c := range footer {
		if i < at || i >= at+4 {
			sum += uint32(c)
		}
	}
	return ^sum == binary.BigEndian.Uint32(footer[at:])
}
