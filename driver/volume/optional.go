package volume

import (
	"context"
	"io"

	"github.com/nephos-cloud/nephos/driver"
)

// More optional abilities. Each is offered by implementing it. All are
// idempotent by the ID of what they make.
type (
	// Retyper changes what a volume's type asks for (extra specs, limits,
	// encryption) where the volume is.
	Retyper interface {
		// Retype makes the volume what the spec says, whose size is the volume's
		// own. What would need the bytes to be written elsewhere, or anew, gives an
		// error that wraps errors.ErrUnsupported and changes nothing: the caller
		// then migrates. A connected volume that cannot be changed so is
		// ErrConflict.
		Retype(ctx context.Context, id string, spec Spec) error
	}
	// Migrator takes volumes over from other pools that its storage can reach, so
	// that their bytes do not travel through Nephos. See [Pool.MigrateFrom], which
	// copies them where it cannot.
	Migrator interface {
		// Location names the volume, as plain data, for another pool's MigrateIn.
		// ErrConflict if the volume is connected.
		Location(ctx context.Context, id string) (Location, error)
		// MigrateIn makes a volume with the content at the location and of the
		// spec's size, not smaller. A location that it cannot reach, or read, gives
		// an error that wraps errors.ErrUnsupported. The source stays as it is; the
		// caller deletes it afterwards. A failed call leaves no volume.
		MigrateIn(ctx context.Context, id string, spec Spec, from Location) error
	}
	// Grouper keeps one point in time of several volumes.
	Grouper interface {
		// CreateGroupSnapshot makes all snapshots as of one instant, in use or not:
		// what a guest wrote to one volume after it wrote to another is in a
		// snapshot only if the other is too. It makes all or none; made again it
		// succeeds. DeleteSnapshot deletes them one by one. An unknown volume is
		// ErrNotFound.
		CreateGroupSnapshot(ctx context.Context, groupID string, members []GroupMember) error
	}
	// Adopter takes in volumes that lie in the pool but that Nephos did not make,
	// and lets go of ones that it should know no longer.
	Adopter interface {
		// ListAdoptable tells what is in the pool: also what is a volume already,
		// with its ID, and what cannot be adopted, with the reason.
		ListAdoptable(ctx context.Context) ([]Adoptable, error)
		// Adopt makes the thing of that reference, from ListAdoptable, the volume of
		// the ID. Its size is rounded up to whole GiB, growing it if need be. An
		// unknown reference is ErrNotFound (again with the ID that it was adopted
		// as: success), one that cannot be adopted ErrConflict, and a reference that
		// points out of the pool ErrInvalid.
		Adopt(ctx context.Context, id, reference string) (Volume, error)
		// Release forgets the volume, whose bytes stay in the pool under the
		// reference returned, by which they can be adopted again. A connected volume,
		// or one with snapshots, is ErrConflict.
		Release(ctx context.Context, id string) (reference string, err error)
	}
	// MultiAttacher tells that Connect gives a volume to several attachments at
	// once. Without it a second one may be ErrConflict.
	MultiAttacher interface {
		// MultiAttach tells to how many hosts at once: 1 is several guests of one
		// host, negative is any number, 0 is one attachment only, as if the ability
		// were not there. Guests share raw bytes: such a volume's format is raw.
		MultiAttach() (hosts int)
	}
	// Limiter honours [Spec.Limits]: by enforcing them itself, or by putting them
	// into the connections that it makes.
	Limiter interface {
		// SetLimits replaces a volume's limits; the zero value lifts them. Where the
		// connections carry them, ones made before keep their own until they are
		// asked for again.
		SetLimits(ctx context.Context, id string, limits driver.Limits) error
	}
	// Encrypter honours [Spec.Encryption].
	Encrypter interface {
		// EncryptionFormats are the formats it takes, such as "luks". The bytes it
		// stores are encrypted, its connections tell how, and Create lays the format
		// out with the passphrase of Spec.Secrets.
		EncryptionFormats() []string
	}
	// ImageCloner makes volumes of images that lie on the pool's own storage,
	// without copying their bytes.
	ImageCloner interface {
		// CloneImage makes a volume that shares the image's bytes until one is
		// written to, grown to the spec's size. A location that it cannot clone from
		// gives an error that wraps errors.ErrUnsupported: the caller then streams
		// the image with ImageWriter. The volume stays whole when the image is
		// deleted afterwards. A failed call leaves no volume.
		CloneImage(ctx context.Context, id string, spec Spec, image ImageLocation) error
	}
	// DiffExporter tells what changed between two snapshots, for incremental
	// backups.
	DiffExporter interface {
		// ExportDiff streams, as a [DiffReader] reads it, what must be written to
		// content as of snapshot from to make it that of snapshot to. An empty from
		// is an empty volume. An unknown volume or snapshot is ErrNotFound, a from
		// that is not older than to ErrInvalid. Cancelling ctx ends the stream.
		ExportDiff(ctx context.Context, volumeID, from, to string) (io.ReadCloser, error)
	}
	// DiffImporter applies what a DiffExporter told, of any driver.
	DiffImporter interface {
		// ImportDiff writes the difference into a volume that is not connected
		// (ErrConflict), and is large enough (ErrInvalid). After an error the
		// volume's content is undefined until a whole ImportDiff, or Revert.
		ImportDiff(ctx context.Context, volumeID string, diff io.Reader) error
	}
	// Attacher is the host half, for pools whose connections a hypervisor does not
	// understand by itself: it runs on the guest's host, in a driver opened there,
	// and makes of a connection that Connect gave, anywhere, one to something on
	// this host. A driver opened for that alone gives ErrUnsupported to the calls
	// of a pool.
	Attacher interface {
		// Attach makes the connection usable on this host and returns the
		// connection for the hypervisor: a file, block device or unix socket here, or
		// c itself where nothing is to be done. Attached again it returns the same.
		// A storage that does not answer is ErrUnavailable.
		Attach(ctx context.Context, attachmentID string, c driver.Connection) (driver.Connection, error)
		// Detach undoes Attach, once no guest uses it (ErrConflict if one does). An
		// unknown attachment succeeds.
		Detach(ctx context.Context, attachmentID string) error
		// Attached lists the attachments on this host, from the host itself: after a
		// restart of the process too.
		Attached(ctx context.Context) ([]string, error)
	}
)

// Location says where a volume's bytes are, for another pool's driver.
type Location struct {
	Type    string            // of the storage, as the driver calls it: file, rbd
	Name    string            // of the volume there
	Format  string            // raw or qcow2
	SizeGiB int               //
	Options map[string]string // whatever else is needed to get there
	Secrets map[string]string // never logged
}

// GroupMember is one snapshot of a group.
type GroupMember struct{ VolumeID, SnapshotID string }

// Adoptable is something that lies in a pool.
type Adoptable struct {
	Reference string // names it in the pool; not secret
	SizeBytes int64  //
	VolumeID  string // of the volume that it is already; empty: of none
	Reason    string // why it cannot be adopted; empty: it can
}

// ImageLocation is where an image's bytes are, as its store's blob.Locator told.
type ImageLocation struct {
	Location    string // a URI, such as file:///images/1 or rbd://FSID/POOL/IMAGE/SNAPSHOT
	Format      string // raw or qcow2, inspected
	VirtualSize int64  // bytes
}
