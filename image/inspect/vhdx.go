package inspect

import (
	"bytes"
	"encoding/binary"
	"math"
	"unicode/utf16"
)

// VHDX is little-endian; see Microsoft's [MS-VHDX]. Two region tables, at 192
// and 256 KiB, say where the metadata lie.
const (
	vhdxHeader1   = 64 << 10
	vhdxHeader2   = 128 << 10
	vhdxTables    = 192 << 10
	vhdxTableSize = 64 << 10
	vhdxEntries   = 2047
	vhdxItemMax   = 64 << 10
	vhdxFirst     = 1 << 20 // no region begins before
)

func parseVHDX(v *view, found *finding) error {
	ident, err := v.upTo(0, 8)
	if err != nil || string(ident) != "vhdxfile" {
		return err
	}
	found.match = true
	found.subformat = "dynamic"
	// Both wishes go out before either is waited for.
	headers, err1 := v.at(vhdxHeader1, vhdxHeader2-vhdxHeader1+4096)
	tables, err2 := v.at(vhdxTables, 2*vhdxTableSize)
	if err1 != nil {
		return err1
	}
	if err2 != nil {
		return err2
	}
	vhdxLog(headers, found)
	meta, ok := vhdxRegion(tables, found)
	if !ok {
		return nil
	}
	return vhdxMetadata(v, meta, found)
}

// vhdxLog reports a log that is yet to be replayed: it may rewrite anything,
// so what the tables say now means nothing.
func vhdxLog(headers []byte, found *finding) {
	le := binary.LittleEndian
	var newest []byte
	for _, h := range [][]byte{headers[:4096], headers[vhdxHeader2-vhdxHeader1:]} {
		if string(h[:4]) == "head" && (newest == nil || le.Uint64(h[8:]) > le.Uint64(newest[8:])) {
			newest = h
		}
	}
	if newest == nil {
		found.problem(Malformed, "no header")
		return
	}
	if !bytes.Equal(newest[48:64], make([]byte, 16)) {
		found.problem(Unsupported, "the image was not closed cleanly: its log is yet to be replayed")
	}
}

// vhdxRegion finds the metadata region's offset.
func vhdxRegion(tables []byte, found *finding) (int64, bool) {
	le := binary.LittleEndian
	t := tables[:vhdxTableSize]
	if string(t[:4]) != "regi" {
		found.problem(Malformed, "no region table")
		return 0, false
	}
	count := le.Uint32(t[8:])
	if count > vhdxEntries {
		found.problem(Malformed, "the region table has %d entries", count)
		return 0, false
	}
	if used := 16 + 32*int(count); !bytes.Equal(t[16:used], tables[vhdxTableSize+16:vhdxTableSize+used]) {
		found.problem(Malformed, "the two region tables differ")
		return 0, false
	}
	bat, metadata := vhdxGUID(0x2dc27766, 0xf623, 0x4200, 0x9d64115e9bfd4a08), vhdxGUID(0x8b7ca206, 0x4790, 0x4b9a, 0xb8fe575f050f886e)
	at := int64(-1)
	for i := range int(count) {
		e := t[16+32*i:][:32]
		switch off := le.Uint64(e[16:]); {
		case bytes.Equal(e[:16], metadata[:]):
			if at >= 0 || off < vhdxFirst || off > math.MaxInt64-1<<32 {
				found.problem(Malformed, "metadata region at %d", off)
				return 0, false
			}
			at = int64(off)
		case bytes.Equal(e[:16], bat[:]):
		case le.Uint32(e[28:])&1 != 0:
			found.problem(UnknownFeature, "unknown required region %x", e[:16])
		}
	}
	if at < 0 {
		found.problem(Malformed, "no metadata region")
	}
	return at, at >= 0
}

func vhdxMetadata(v *view, region int64, found *finding) error {
	t, err := v.at(region, vhdxTableSize)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	count := int(le.Uint16(t[10:]))
	if string(t[:8]) != "metadata" || count > vhdxEntries {
		found.problem(Malformed, "no metadata table at %d", region)
		return nil
	}
	var (
		params  = vhdxGUID(0xcaa16737, 0xfa36, 0x4d43, 0xb3b633f0aa44e76b)
		size    = vhdxGUID(0x2fa54224, 0xcd1b, 0x4876, 0xb2115dbed83bf4b8)
		page83  = vhdxGUID(0xbeca12ab, 0xb2e6, 0x4523, 0x93efc309e000c746)
		logical = vhdxGUID(0x8141bf1d, 0xa96f, 0x4709, 0xba47f233a8faab5f)
		phys    = vhdxGUID(0xcda348c7, 0x445d, 0x4471, 0x9cc9e9885251c556)
		parent  = vhdxGUID(0xa8d35f2d, 0xb30b, 0x454d, 0xabf7d3d84834ab0c)
	)
	var waits error
	var seen [3]bool
	item := func(e []byte, n int) []byte {
		off := le.Uint32(e[16:])
		if off < vhdxTableSize {
			found.problem(Malformed, "metadata item at %d, inside the table", off)
			return nil
		}
		b, err := v.at(region+int64(off), n)
		if err != nil {
			waits = err
		}
		return b
	}
	once := func(i int, what string) {
		if seen[i] {
			found.problem(Malformed, "two items for %s", what)
		}
		seen[i] = true
	}
	for i := range count {
		e := t[32+32*i:][:32]
		switch id := [16]byte(e); id {
		case params:
			once(0, "file parameters")
			if b := item(e, 8); b != nil {
				bits := le.Uint32(b[4:])
				if bits&1 != 0 {
					found.subformat = "fixed"
				}
				if bits&2 != 0 {
					found.subformat = "differencing"
					found.problem(OutsideReference, "a differencing VHDX needs a parent file")
				}
			}
		case size:
			once(1, "the virtual disk size")
			if b := item(e, 8); b != nil {
				found.setSize(le.Uint64(b), 1)
			}
		case parent:
			once(2, "the parent locator")
			found.problem(OutsideReference, "the image has a parent locator")
			if n := le.Uint32(e[20:]); n <= vhdxItemMax {
				if b := item(e, int(n)); b != nil {
					found.backingFile = vhdxParent(b)
				}
			}
		case page83, logical, phys:
		default:
			if le.Uint32(e[24:])&4 != 0 {
				found.problem(UnknownFeature, "unknown required metadata item %x", e[:16])
			}
		}
		if len(found.problems) > 16 {
			break
		}
	}
	if waits != nil {
		return waits
	}
	if !seen[0] || !seen[1] {
		found.problem(Malformed, "the metadata lack file parameters or the virtual disk size")
	}
	return nil
}

// vhdxParent finds the parent's path in a parent locator.
func vhdxParent(b []byte) string {
	if len(b) < 20 {
		return ""
	}
	le := binary.LittleEndian
	slice := func(off uint32, n uint16) string {
		if uint64(off)+uint64(n) > uint64(len(b)) {
			return ""
		}
		return utf16Text(b[off:][:n], le)
	}
	paths := map[string]string{}
	for i := range int(le.Uint16(b[18:])) {
		if 20+12*(i+1) > len(b) {
			break
		}
		e := b[20+12*i:]
		paths[slice(le.Uint32(e), le.Uint16(e[8:]))] = slice(le.Uint32(e[4:]), le.Uint16(e[10:]))
	}
	for _, key := range []string{"absolute_win32_path", "relative_path", "volume_path"} {
		if p := paths[key]; p != "" {
			return p
		}
	}
	return ""
}

// vhdxGUID gives a GUID in Microsoft's mixed byte order.
func vhdxGUID(a uint32, b, c uint16, d uint64) (id [16]byte) {
	binary.LittleEndian.PutUint32(id[:], a)
	binary.LittleEndian.PutUint16(id[4:], b)
	binary.LittleEndian.PutUint16(id[6:], c)
	binary.BigEndian.PutUint64(id[8:], d)
	return id
}

// utf16Text decodes UTF-16 up to the first NUL.
func utf16Text(b []byte, order binary.ByteOrder) string {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		u := order.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}
