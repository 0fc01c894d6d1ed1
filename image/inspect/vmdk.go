package inspect

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
)

// A VMDK is a sparse extent with a descriptor embedded after its header, or a
// descriptor alone, which names files elsewhere. The sparse header is
// little-endian; see VMware's "Virtual Disk Format 5.0".
const (
	vmdkHeaderSize    = 512
	vmdkDescriptorMax = 1 << 20
	// vmdkScan is how much QEMU searches for a parent, whatever size the header
	// gives the descriptor.
	vmdkScan  = 20 * 512
	vmdkAtEnd = math.MaxUint64 // of the grain directory: the footer knows
)

func parseVMDK(v *view, found *finding) error {
	head, err := v.upTo(0, 2048)
	if err != nil {
		return err
	}
	switch {
	case bytes.HasPrefix(head, []byte("KDMV")):
		found.match = true
		return vmdkSparse(v, found)
	case bytes.HasPrefix(head, []byte("COWD")):
		found.match = true
		found.subformat = "vmfssparse"
		found.problem(Unsupported, "a bare ESX sparse extent is not accepted")
		return nil
	}
	probed := vmdkProbe(head)
	if !probed && !printable(head[:min(len(head), 512)]) {
		return nil
	}
	b, err := v.upTo(0, vmdkDescriptorMax)
	if err != nil {
		return err
	}
	desc := string(b)
	if probed || strings.Contains(strings.ToLower(desc), `createtype="`) {
		found.match = true
		found.problem(OutsideReference, "a VMDK descriptor without data: its extents are other files")
		vmdkDescriptor(desc, found)
	}
	return nil
}

// vmdkProbe tells a descriptor by its first lines, as probing programs do: by
// its title, or by a first line, comments apart, that gives a version.
func vmdkProbe(head []byte) bool {
	s := strings.ToLower(string(head))
	if strings.HasPrefix(s, "# disk descriptorfile") {
		return true
	}
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		return line == "version=1" || line == "version=2" || line == "version=3"
	}
	return false
}

func vmdkSparse(v *view, found *finding) error {
	h, err := v.at(0, vmdkHeaderSize)
	if err != nil {
		return err
	}
	header := vmdkHeader(h)
	if header.version < 1 || header.version > 3 {
		found.problem(Unsupported, "VMDK version %d is not supported", header.version)
		return nil
	}
	found.setSize(header.capacity, 512)
	if header.capacity == 0 {
		// QEMU then opens the embedded descriptor as if it stood alone.
		found.problem(Malformed, "the header gives a capacity of 0")
	}
	if header.descSize == 0 {
		found.problem(OutsideReference, "no descriptor: the file is a part of a split image")
		return nil
	}
	if header.descOffset != 1 || header.descSize > vmdkDescriptorMax/512 {
		found.problem(Malformed, "the descriptor is %d sectors at sector %d", header.descSize, header.descOffset)
		return nil
	}
	size := int(header.descSize) * 512
	area, err := v.upTo(vmdkHeaderSize, max(size, vmdkScan))
	if err != nil {
		return err
	}
	if len(area) < size {
		return errShort
	}
	vmdkDescriptor(string(area[:size]), found)
	if found.backingFile == "" && strings.Contains(strings.ToLower(string(area)), "parentfilenamehint") {
		found.problem(OutsideReference, "the image names a parent file")
	}
	if t := found.subformat; t != "monolithicsparse" && t != "streamoptimized" {
		found.problem(Unsupported, "VMDK type %s is not accepted, only monolithicSparse and streamOptimized", quote(t))
	}
	if header.gdOffset != vmdkAtEnd {
		return nil
	}
	end, err := v.last(tailSize)
	if err != nil {
		return err
	}
	vmdkFooter(header, end, found)
	return nil
}

type vmdkHeaderFields struct {
	version                                  uint32
	capacity, descOffset, descSize, gdOffset uint64
}

func vmdkHeader(h []byte) vmdkHeaderFields {
	le := binary.LittleEndian
	return vmdkHeaderFields{
		version: le.Uint32(h[4:]), capacity: le.Uint64(h[12:]),
		descOffset: le.Uint64(h[28:]), descSize: le.Uint64(h[36:]), gdOffset: le.Uint64(h[56:]),
	}
}

// vmdkFooter checks the footer, which readers believe instead of the header.
func vmdkFooter(header vmdkHeaderFields, end []byte, found *finding) {
	const footerMarker = 3
	le := binary.LittleEndian
	marker, h, eos := end[:512], end[512:1024], end[1024:]
	zero := make([]byte, 512)
	if le.Uint32(marker[8:]) != 0 || le.Uint32(marker[12:]) != footerMarker || !bytes.Equal(marker[16:], zero[16:]) {
		found.problem(Malformed, "the footer marker is invalid")
	}
	if !bytes.Equal(eos, zero) {
		found.problem(Malformed, "the end-of-stream marker is invalid")
	}
	footer := vmdkHeader(h)
	switch {
	case string(h[:4]) != "KDMV":
		found.problem(Malformed, "the footer is missing")
	case footer.gdOffset == vmdkAtEnd:
		found.problem(Malformed, "the footer refers to another footer")
	case footer.version != header.version || footer.capacity != header.capacity ||
		footer.descOffset != header.descOffset || footer.descSize != header.descSize:
		found.problem(Malformed, "the footer contradicts the header")
	}
}

// printable reports whether the bytes are ASCII text. No bytes are none.
func printable(b []byte) bool {
	for _, c := range b {
		if (c < 0x20 || c > 0x7e) && (c < '\t' || c > '\r') {
			return false
		}
	}
	return len(b) > 0
}
