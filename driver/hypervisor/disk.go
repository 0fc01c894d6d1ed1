package hypervisor

import (
	"context"
	"io"

	"github.com/nephos-cloud/nephos/driver"
)

type (
	// DiskResizer grows a disk of a guest, stopped or running, and tells the
	// guest. (More processors or memory come by [Driver.Ensure] on a stopped
	// guest, which every driver takes.)
	DiskResizer interface {
		// ResizeDisk makes the guest's disk at least size bytes. A local disk
		// grows; a disk of another connection was grown by its pool before, and
		// here the hypervisor looks again and announces the size to the guest. The
		// same size again succeeds; a smaller one is ErrInvalid; an unknown guest
		// or disk ErrNotFound. A later Ensure whose spec still has the old size
		// does not shrink it.
		ResizeDisk(ctx context.Context, id, diskID string, size int64) error
	}
	// DiskThrottler bounds the traffic of disks: it honours Connection.Limits in
	// Ensure, and changes them on a guest, running or not.
	DiskThrottler interface {
		// ThrottleDisk replaces the limits of a disk; the zero value lifts them. It
		// holds until the next Ensure or ThrottleDisk, power cycles included.
		ThrottleDisk(ctx context.Context, id, diskID string, limits driver.Limits) error
	}
	// DiskDecrypter opens encrypted disks: Ensure takes disks whose
	// Connection.Encryption names one of the formats, such as "luks", with the
	// passphrase in Connection.Secrets["passphrase"]. A guest sees plain bytes.
	// A wrong passphrase is ErrInvalid, at Start at the latest.
	DiskDecrypter interface {
		EncryptionFormats() []string
	}
	// DiskExporter gives away the content of a stopped guest's local disks: with
	// [DiskImporter] on another host this is a cold migration.
	//
	// The order is: Stop here; for each local disk ExportDisk here into
	// ImportDisk there; Ensure and Start there; Destroy here. Until that Destroy
	// the guest here is whole, and going back is Destroy there and Start here.
	DiskExporter interface {
		// ExportDisk opens the disk's content, whole and without a backing file,
		// in the format that the answer tells. A running or paused guest is
		// ErrConflict, an unknown guest or disk ErrNotFound, and a disk that is not
		// local ErrInvalid. The guest must not be started before the stream is
		// closed. Cancelling ctx ends the stream.
		ExportDisk(ctx context.Context, id, diskID string) (DiskImage, io.ReadCloser, error)
	}
	// DiskImporter takes over a local disk from another host.
	DiskImporter interface {
		// ImportDisk makes a local disk of the guest from the stream, in place of
		// one that is there already. The guest need not exist yet: the disk waits
		// for its first Ensure, which keeps the content instead of making the disk
		// from its base, and List does not tell of it until then. A guest that is
		// not stopped is ErrConflict. A body that fails, or has another size than
		// Size says, leaves what was there before. Destroy removes imported disks,
		// also of a guest that was never ensured.
		ImportDisk(ctx context.Context, id, diskID string, image DiskImage, body io.Reader) error
	}
)

// DiskImage describes the stream of a disk's content.
type DiskImage struct {
	Format      string // raw or qcow2
	Size        int64  // bytes of the stream; -1 is not known
	VirtualSize int64  // bytes of the disk as the guest sees it
}
