// Package volume defines the contract between Nephos and a pool of block
// storage: files in a directory, Ceph, or a fake.
//
// An author implements [Driver] and those of the optional interfaces that fit,
// and runs volumetest.Run. Users hold a [Pool].
package volume

import (
	"context"
	"io"

	"github.com/nephos-cloud/nephos/driver"
)

// Driver keeps volumes. See package driver for the duties that all calls share.
type Driver interface {
	// Create makes a blank volume that reads as zeros. One of the same ID and
	// size that is there already is success; of another size, ErrConflict.
	Create(ctx context.Context, id string, spec Spec) error
	// Delete removes the volume. Unknown IDs succeed; a connected volume, or one
	// with snapshots that need it, gives ErrConflict.
	Delete(ctx context.Context, id string) error
	// Get returns one volume, or ErrNotFound.
	Get(ctx context.Context, id string) (Volume, error)
	// List returns all volumes of this cloud in the pool.
	List(ctx context.Context) ([]Volume, error)
	// Connect makes the volume reachable from a host and says how. The same
	// attachment asked again gets the same answer. Whether a volume takes more
	// than one attachment at once is said at [MultiAttacher].
	Connect(ctx context.Context, id string, c Connector) (driver.Connection, error)
	// Disconnect undoes Connect; an unknown attachment succeeds.
	Disconnect(ctx context.Context, id string, c Connector) error
	// Stats tells the pool's capacity.
	Stats(ctx context.Context) (Stats, error)
	Close() error
}

// Spec describes a volume to create.
type Spec struct {
	SizeGiB    int
	Name       string
	ExtraSpecs map[string]string // of the volume type
	// Limits bound the volume's traffic, if the driver is a [Limiter].
	Limits *driver.Limits `json:",omitempty"`
	// Encryption has the volume's bytes encrypted, with the passphrase
	// Secrets["passphrase"], if the driver is an [Encrypter].
	Encryption *driver.Encryption `json:",omitempty"`
	Secrets    map[string]string  `json:",omitempty"` // never logged
}

// Volume is a volume as the pool knows it.
type Volume struct {
	ID        string
	SizeGiB   int
	Format    string // raw or qcow2
	Snapshots []string
}

// Connector identifies one attachment of a volume to a host.
type Connector struct {
	AttachmentID string
	Host         string
	ReadOnly     bool
}

// Stats is a pool's capacity; negative is unknown or infinite.
type Stats struct {
	TotalGiB, FreeGiB, AllocatedGiB float64
	Backend                         string // volume_backend_name
	Protocol                        string // storage_protocol: file, ceph
	Thin                            bool
	// Placement is how the backend wants volumes chosen for it, which operators
	// overrule by [PoolOptions].
	Placement
}

// Placement says which volumes a pool takes, to schedulers that heed it. Zero
// fields say nothing.
type Placement struct {
	// Filter is an expression that must hold for a volume, and Goodness one that
	// says from 0 to 100 how well the pool is for it: filter_function and
	// goodness_function of Cinder, in the language of package scheduler/cel.
	Filter, Goodness string
	// ReservedPercentage of the capacity is kept free.
	ReservedPercentage int
	// MaxOverSubscription is how many times its capacity a thin pool promises; at
	// least 1.
	MaxOverSubscription float64
}

// The optional abilities. Each is offered by implementing it. All are
// idempotent by the ID of what they make. Further ones are [Retyper],
// [Migrator], [Grouper], [Adopter], [MultiAttacher], [Limiter], [Encrypter],
// [ImageCloner], [DiffExporter], [DiffImporter] and [Attacher].
type (
	// Abilitier narrows what a driver offers to the listed interfaces' names.
	Abilitier interface {
		Abilities(ctx context.Context) ([]string, error)
	}
	// Snapshotter keeps points in time of a volume, also while it is in use.
	Snapshotter interface {
		CreateSnapshot(ctx context.Context, volumeID, snapshotID string) error
		DeleteSnapshot(ctx context.Context, volumeID, snapshotID string) error
		// CreateFromSnapshot makes an independent volume of the spec's size, not
		// smaller than the snapshot.
		CreateFromSnapshot(ctx context.Context, id string, spec Spec, volumeID, snapshotID string) error
	}
	// Cloner makes an independent copy of a volume.
	Cloner interface {
		Clone(ctx context.Context, id string, spec Spec, sourceID string) error
	}
	// ImageWriter makes a volume whose content is the image's, grown to the
	// spec's size. A cancelled or failed call leaves no volume.
	ImageWriter interface {
		CreateFromImage(ctx context.Context, id string, spec Spec, image Image) error
	}
	// ImageReader streams a volume's content as raw bytes.
	ImageReader interface {
		Read(ctx context.Context, id string) (io.ReadCloser, error)
	}
	// Extender grows a volume.
	Extender interface {
		Extend(ctx context.Context, id string, sizeGiB int, opts ExtendOptions) error
	}
	// Reverter takes a volume back to its newest snapshot.
	Reverter interface {
		Revert(ctx context.Context, volumeID, snapshotID string) error
	}
)

// ExtendOptions says more of an extension.
type ExtendOptions struct {
	InUse bool // a guest has it connected
}

// Image is an image's bytes on their way into a volume.
type Image struct {
	Body        io.Reader
	Format      string // raw or qcow2, inspected
	Size        int64
	VirtualSize int64
}
