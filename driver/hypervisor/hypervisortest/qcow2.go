package hypervisortest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// beginning returns the first n bytes of the disk inside an image: of a raw one,
// or of a qcow2 one without compression, encryption and backing file, as
// drivers export it.
func beginning(image hypervisor.DiskImage, data []byte, n int) ([]byte, error) {
	if image.Format == "raw" {
		if len(data) < n {
			return nil, fmt.Errorf("raw image of %d bytes: %w", len(data), io.ErrUnexpectedEOF)
		}
		return data[:n], nil
	}
	be := binary.BigEndian
	if len(data) < 104 || string(data[:4]) != "QFI\xfb" {
		return nil, errors.New("no qcow2 image")
	}
	if be.Uint64(data[8:]) != 0 {
		return nil, errors.New("the image has a backing file")
	}
	bits := be.Uint32(data[20:])
	if bits < 9 || bits > 21 {
		return nil, fmt.Errorf("clusters of 2^%d bytes", bits)
	}
	cluster := 1 << bits
	entry := func(table, index uint64) (uint64, error) {
		at := table + 8*index
		if at+8 > uint64(len(data)) {
			return 0, fmt.Errorf("table entry at %d: %w", at, io.ErrUnexpectedEOF)
		}
		return be.Uint64(data[at:]), nil
	}
	const offset = 1<<56 - 1<<9
	out := make([]byte, 0, n)
	for i := uint64(0); len(out) < n; i++ {
		perL2 := uint64(cluster / 8)
		l1, err := entry(be.Uint64(data[40:]), i/perL2)
		if err != nil {
			return nil, err
		}
		var l2 uint64
		if l1&offset != 0 {
			if l2, err = entry(l1&offset, i%perL2); err != nil {
				return nil, err
			}
		}
		switch at := l2 & offset; {
		case l2>>62&1 != 0:
			return nil, errors.New("the image is compressed")
		case at == 0 || l2&1 != 0:
			out = append(out, make([]byte, cluster)...)
		case at+uint64(cluster) > uint64(len(data)):
			return nil, fmt.Errorf("cluster at %d: %w", at, io.ErrUnexpectedEOF)
		default:
			out = append(out, data[at:at+uint64(cluster)]...)
		}
	}
	return out[:n], nil
}
