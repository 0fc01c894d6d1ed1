package fake

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// Snapshot implements hypervisor.Snapshotter. The file is a valid qcow2 image
// of the disk's size whose first cluster tells which guest and disk it came
// from.
func (d *Driver) Snapshot(ctx context.Context, id, diskID, path string) error {
	var image content
	err := d.with(ctx, "Snapshot", id, func(g *guest, _ time.Time) error {
		disk := findDisk(g.spec.Disks, diskID)
		if disk == nil {
			return fmt.Errorf("snapshot guest %s: disk %s: %w", id, diskID, nephos.ErrNotFound)
		}
		image = g.content(*disk)
		return nil
	})
	if err != nil {
		return err
	}
	if image.image.Format == "raw" {
		image.bytes = qcow2(max(image.image.VirtualSize, 1<<20), image.bytes)
	}
	if err := os.WriteFile(path, image.bytes, 0o600); err != nil {
		return fmt.Errorf("snapshot guest %s: %w", id, err)
	}
	return nil
}

var _ hypervisor.Snapshotter = (*Driver)(nil)

// qcow2 returns a version 3 image of the given virtual size with one data
// cluster at its start: header, refcount table, refcount block, data, L2 table,
// L1 table, a cluster of 64 KiB each but for the L1 table, which may have more.
func qcow2(size int64, data []byte) []byte {
	const cluster = 1 << 16
	const perL2 = cluster / 8 * cluster // bytes mapped by one L1 entry
	l1 := (size + perL2 - 1) / perL2
	clusters := 5 + int((l1*8+cluster-1)/cluster)
	b := make([]byte, clusters*cluster)
	be := binary.BigEndian
	copy(b, "QFI\xfb")
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], 16) // cluster bits
	be.PutUint64(b[24:], uint64(size))
	be.PutUint32(b[36:], uint32(l1))
	be.PutUint64(b[40:], 5*cluster) // L1 table
	be.PutUint64(b[48:], cluster)   // refcount table
	be.PutUint32(b[56:], 1)
	be.PutUint32(b[96:], 4)    // refcount order: 16 bits
	be.PutUint32(b[100:], 104) // header length
	be.PutUint64(b[cluster:], 2*cluster)
	for i := range clusters {
		be.PutUint16(b[2*cluster+2*i:], 1)
	}
	copy(b[3*cluster:4*cluster], data)
	const copied = 1 << 63
	be.PutUint64(b[4*cluster:], copied|3*cluster)
	be.PutUint64(b[5*cluster:], copied|4*cluster)
	return b
}
