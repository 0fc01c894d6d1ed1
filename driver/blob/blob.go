// Package blob defines the contract between Nephos and a store of objects such
// as image bytes: files in a directory, S3, Ceph, or memory.
//
// An author implements [Driver] and those of the optional interfaces that fit,
// and runs blobtest.Run. Users hold a [Store].
package blob

import (
	"context"
	"io"
	"time"
)

// Driver keeps objects. See package driver for the duties that all calls share.
type Driver interface {
	// Put streams the whole body into the object and makes it durable before it
	// returns its size. No reader ever sees a part: until Put returns nil the
	// object is what it was before. A body error or a cancelled ctx leaves
	// nothing. size is a hint and may be -1.
	Put(ctx context.Context, id string, body io.Reader, size int64) (int64, error)
	// Get opens the object from offset on, length bytes or, when length is
	// negative, to the end. A range outside the object gives ErrRange; an empty
	// one at the object's end does not. Where the bytes are a file on this host
	// the reader is a [*File], which a server sends without copying.
	Get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error)
	// Stat returns one object, or ErrNotFound.
	Stat(ctx context.Context, id string) (Object, error)
	// Delete removes the object; readers that have it open read on. Unknown IDs
	// succeed.
	Delete(ctx context.Context, id string) error
	// List calls yield for each object until it returns false.
	List(ctx context.Context, yield func(Object) bool) error
	Close() error
}

// Object describes a stored object.
type Object struct {
	ID      string
	Size    int64
	Created time.Time
}

// The optional abilities. Each is offered by implementing it. A further one is
// [Multiparter].
type (
	// Abilitier narrows what a driver offers to the listed interfaces' names.
	Abilitier interface {
		Abilities(ctx context.Context) ([]string, error)
	}
	// Copier copies an object inside the store, without its bytes travelling
	// through Nephos.
	Copier interface {
		// Copy makes dst an independent object with the content of src, whole or not
		// at all, in place of one that is there. Onto itself it changes nothing. An
		// unknown src is ErrNotFound.
		Copy(ctx context.Context, dst, src string) error
	}
	// Locator names an object's place, for a volume or disk driver on the same
	// cluster that can clone it without copying (volume.ImageCloner).
	Locator interface {
		// Location returns a URI whose scheme tells the kind of place, such as
		// file:///images/1 or rbd://FSID/POOL/IMAGE/SNAPSHOT. It is the same each
		// time, and good until the object is deleted or replaced. It holds no secret.
		Location(ctx context.Context, id string) (string, error)
	}
)
