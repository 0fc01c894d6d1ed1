package hypervisor

import (
	"context"
	"io"
	"time"

	"github.com/nephos-cloud/nephos/driver"
)

// ImageCacher keeps base images where the hypervisor needs them, for
// hypervisors whose storage is not this host's file system (where it is, the
// agent's own cache serves, and a driver needs none of this). Who uses such a
// driver puts the answer of EnsureImage into Disk.Base.
type ImageCacher interface {
	// EnsureImage makes the image present and returns how Disk.Base names it. An
	// image of that digest that is there already is success, and nothing of the
	// body is read. A body that does not have the digest is ErrInvalid, one that
	// fails its own error; neither leaves anything.
	EnsureImage(ctx context.Context, image ImageSpec, body io.Reader) (driver.Image, error)
	// ListImages returns what is there.
	ListImages(ctx context.Context) ([]CachedImage, error)
	// EvictImage removes an image by its digest. One that a guest's disk is made
	// from is ErrConflict, an unknown one success.
	EvictImage(ctx context.Context, digest string) error
}

// ImageSpec describes a base image to be cached.
type ImageSpec struct {
	Digest string // sha512 in hex; names the image
	Format string // raw or qcow2, inspected
	Size   int64  // bytes; -1 is not known
}

// CachedImage is an image that a driver keeps.
type CachedImage struct {
	Image    driver.Image // as EnsureImage returned it
	Bytes    int64        // that it occupies
	Guests   int          // whose disks are made from it
	LastUsed time.Time    // zero: not known
}
