package inspect

import (
	"encoding/binary"
	"math"
)

// The qcow2 header, all big-endian; see docs/interop/qcow2 of QEMU.
const (
	qcowDirty       = 1 << 0
	qcowCorrupt     = 1 << 1
	qcowDataFile    = 1 << 2
	qcowCompression = 1 << 3
	qcowExtendedL2  = 1 << 4
	qcowKnown       = qcowDirty | qcowCorrupt | qcowDataFile | qcowCompression | qcowExtendedL2

	qcowExtEnd           = 0
	qcowExtBackingFormat = 0xe2792aca
	qcowExtDataFile      = 0x44415441

	qcowNameMax = 1023
	qcowExtMax  = 64 // more header extensions than any writer makes
)

func parseQCOW2(v *view, found *finding) error {
	magic, err := v.upTo(0, 4)
	if err != nil || string(magic) != "QFI\xfb" {
		return err
	}
	found.match = true
	h, err := v.at(0, 72)
	if err != nil {
		return err
	}
	be := binary.BigEndian
	version := be.Uint32(h[4:])
	backingOff, backingLen := be.Uint64(h[8:]), be.Uint32(h[16:])
	clusterBits := be.Uint32(h[20:])
	found.setSize(be.Uint64(h[24:]), 1)

	switch version {
	case 2:
		found.compat = "0.10"
	case 3:
		found.compat = "1.1"
	default:
		found.problem(Unsupported, "qcow version %d is not supported", version)
		return nil
	}
	if clusterBits < 9 || clusterBits > 21 {
		found.problem(Malformed, "cluster_bits is %d, not within 9 and 21", clusterBits)
		return nil
	}
	if method := be.Uint32(h[32:]); method != 0 {
		found.encrypted = true
		found.problem(Encryption, "the image is encrypted (method %d)", method)
	}
	if backingOff != 0 {
		// Reported before the name is looked for: it may not be there to find.
		found.problem(OutsideReference, "the image has a backing file")
	}

	headerLen := uint64(72)
	if version == 3 {
		if h, err = v.at(0, 104); err != nil {
			return err
		}
		qcowFeatures(be.Uint64(h[72:]), found)
		headerLen = uint64(be.Uint32(h[100:]))
		if headerLen < 104 || headerLen%8 != 0 || headerLen > 1<<clusterBits {
			found.problem(Malformed, "header_length is %d", headerLen)
			return nil
		}
	}

	extEnd := uint64(1) << clusterBits
	if backingOff != 0 {
		if backingOff > extEnd || backingLen == 0 || backingLen > qcowNameMax || uint64(backingLen) > extEnd-backingOff {
			found.problem(Malformed, "the backing file's name is %d bytes at %d", backingLen, backingOff)
			return nil
		}
		extEnd = backingOff
	}
	if err := qcowExtensions(v, headerLen, extEnd, found); err != nil {
		return err
	}
	if backingOff != 0 {
		name, err := v.at(int64(backingOff), int(backingLen))
		if err != nil {
			return err
		}
		found.backingFile = text(name)
	}
	return nil
}

func qcowFeatures(bits uint64, found *finding) {
	if unknown := bits &^ qcowKnown; unknown != 0 {
		found.problem(UnknownFeature, "unknown incompatible features %#x", unknown)
	}
	if bits&qcowDataFile != 0 {
		found.problem(OutsideReference, "the image keeps its data in an external data file")
	}
	if bits&qcowCorrupt != 0 {
		found.problem(Malformed, "the image is marked corrupt")
	}
	if bits&qcowDirty != 0 {
		found.problem(Note, "the image is marked dirty")
	}
}

// qcowExtensions walks the header extensions in [off, end) for names of other
// files.
func qcowExtensions(v *view, off, end uint64, found *finding) error {
	for range qcowExtMax {
		if off > end || end-off < 8 {
			return nil
		}
		h, err := v.at(int64(off), 8)
		if err != nil {
			return err
		}
		kind, n := binary.BigEndian.Uint32(h), uint64(binary.BigEndian.Uint32(h[4:]))
		if kind == qcowExtEnd {
			return nil
		}
		off += 8
		if n > end-off {
			found.problem(Malformed, "header extension %#x of %d bytes exceeds the header", kind, n)
			return nil
		}
		if kind == qcowExtBackingFormat || kind == qcowExtDataFile {
			name, err := v.at(int64(off), int(min(n, qcowNameMax)))
			if err != nil {
				return err
			}
			if kind == qcowExtBackingFormat {
				found.backingFormat = text(name)
			} else {
				found.dataFile = text(name)
				found.problem(OutsideReference, "the image names an external data file %s", quote(found.dataFile))
			}
		}
		off += (n + 7) &^ 7
	}
	found.problem(Malformed, "more than %d header extensions", qcowExtMax)
	return nil
}

// QED is little-endian. Nobody runs it any more; QEMU would still open it.
func parseQED(v *view, found *finding) error {
	magic, err := v.upTo(0, 4)
	if err != nil || string(magic) != "QED\x00" {
		return err
	}
	found.match = true
	found.problem(Unsupported, "QED images are not accepted")
	h, err := v.at(0, 64)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	found.setSize(le.Uint64(h[48:]), 1)
	if le.Uint64(h[16:])&1 != 0 {
		found.problem(OutsideReference, "the image has a backing file")
		off, n := le.Uint32(h[56:]), le.Uint32(h[60:])
		if n == 0 || n > qcowNameMax || off > math.MaxInt32 {
			found.problem(Malformed, "the backing file's name is %d bytes at %d", n, off)
			return nil
		}
		name, err := v.at(int64(off), int(n))
		if err != nil {
			return err
		}
		found.backingFile = text(name)
	}
	return nil
}
