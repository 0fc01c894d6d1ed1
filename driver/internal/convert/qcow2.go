package convert

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/nephos-cloud/nephos"
)

// Header is what of a qcow2 file's header decides whether it may be opened.
type Header struct {
	Size int64 // of the disk inside, bytes
}

// ReadHeader reads the header of a file whose format is known to be qcow2, and
// refuses, with ErrInvalid, one that leads out of the file: qemu-img would follow.
func ReadHeader(path string) (Header, error) {
	f, err := os.Open(path)
	if err != nil {
		return Header{}, err
	}
	defer f.Close()
	buf := make([]byte, 112)
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return Header{}, err
	}
	return ParseHeader(buf[:n])
}

// ParseHeader follows the header of "The QCOW2 image format" (QEMU's
// docs/interop/qcow2), versions 2 and 3.
func ParseHeader(b []byte) (Header, error) {
	refuse := func(format string, args ...any) (Header, error) {
		return Header{}, nephos.Errorf(nephos.ErrInvalid, "qcow2 image: %s", fmt.Sprintf(format, args...)).WithField("disk_format")
	}
	if len(b) < 72 {
		return refuse("header of %d bytes is cut short", len(b))
	}
	be := binary.BigEndian
	if be.Uint32(b) != 0x514649fb {
		return refuse("it does not begin as one")
	}
	version := be.Uint32(b[4:])
	if version != 2 && version != 3 {
		return refuse("version %d is not known", version)
	}
	if be.Uint64(b[8:]) != 0 {
		return refuse("it has a backing file")
	}
	if bits := be.Uint32(b[20:]); bits < 9 || bits > 21 {
		return refuse("clusters of 2^%d bytes are out of bounds", bits)
	}
	if be.Uint32(b[32:]) != 0 {
		return refuse("it is encrypted")
	}
	size := be.Uint64(b[24:])
	if size > 1<<62 {
		return refuse("size of %d bytes is out of bounds", size)
	}
	if version == 3 {
		if len(b) < 104 {
			return refuse("header of %d bytes is cut short", len(b))
		}
		// Bit 0 (dirty), 3 (compression type) and 4 (extended L2 entries) stay in
		// the file; bit 1 is corrupt, bit 2 an external data file.
		if features := be.Uint64(b[72:]); features&^0b11001 != 0 {
			return refuse("incompatible features %#x are refused", features)
		}
	}
	return Header{Size: int64(size)}, nil
}
