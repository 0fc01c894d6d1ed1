package image

import (
	"context"
	"time"

	"github.com/nephos-cloud/nephos"
)

// The states of an image.
const (
	Queued      = "queued"      // a record without bytes
	Saving      = "saving"      // bytes are on their way
	Uploading   = "uploading"   // bytes are staged, or on their way to that
	Active      = "active"      // complete; the bytes never change again
	Deactivated = "deactivated" // complete, and nobody but an admin may download it
)

// Who may see an image.
const (
	Public    = "public"    // everybody
	Community = "community" // everybody who knows its ID; not listed by default
	Shared    = "shared"    // the project and the image's members
	Private   = "private"   // the project
)

// DiskFormats and ContainerFormats are the values that an image's formats take.
func DiskFormats() []string {
	return []string{"ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"}
}

// ContainerFormats are the values that an image's container format takes.
func ContainerFormats() []string {
	return []string{"ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"}
}

// Image is what is known of an image.
type Image struct {
	ID              string
	Name            *string
	Status          string
	Visibility      string
	Owner           string // project ID; empty: nobody's
	DiskFormat      string // empty: not told yet
	ContainerFormat string // empty: not told yet
	MinDisk         int64  // GiB
	MinRAM          int64  // MiB
	Protected       bool   // it cannot be deleted
	Hidden          bool   // lists leave it out unless asked
	Size            *int64 // bytes; nil until they are stored
	VirtualSize     *int64 // bytes of the disk that a guest sees; nil: unknown
	Store           string // that has the bytes; empty: the default one, or none yet
	Checksum        string // MD5 of the bytes in hex
	HashAlgo        string // sha512
	HashValue       string // in hex
	Tags            []string
	Properties      map[string]string
	CreatedAt       time.Time
	UpdatedAt       time.Time
}

// Spec describes an image to create.
type Spec struct {
	ID              string // a UUID; empty: one is made
	Name            *string
	Visibility      string  // empty: shared
	Owner           *string // nil: the caller's project
	DiskFormat      string
	ContainerFormat string
	MinDisk, MinRAM int64
	Protected       bool
	Hidden          bool
	Tags            []string
	Properties      map[string]string
}

// Op is what a [Change] does.
type Op int

// The operations of a [Change].
const (
	Add     Op = iota // sets, whether or not it was set
	AddNew            // sets what must not be set yet
	Replace           // sets what must be set already
	Remove            // unsets a property
)

// Change is one step of an update. Steps are taken in order and all or none:
// whether a property may be replaced depends on the steps before.
type Change struct {
	Op Op
	// Name is the attribute by its name in the API (name, visibility, min_disk,
	// tags …) or, when it is none of these, the property.
	Name string
	// Value is nil, a string, an int64, a bool or a []string, as the attribute
	// takes it; a property takes a string.
	Value any
}

// Filter narrows a list of images. Zero fields ask for nothing.
type Filter struct {
	ID, Name, Status, DiskFormat, ContainerFormat []string // any of these; nil: all

	Visibility string // one, or "all", which includes other projects' community images
	// MemberStatus says which images shared with the caller's project are
	// listed: accepted (also ""), pending, rejected or all.
	MemberStatus string
	Owner        *string
	Checksum     *string
	HashValue    *string
	Protected    *bool
	Hidden       *bool             // nil: both
	Tags         []string          // all of these
	Properties   map[string]string // all of these
	Numbers      []NumberMatch
	Times        []TimeMatch
}

// NumberMatch is a condition on size, virtual_size, min_disk or min_ram.
type NumberMatch struct {
	Field string
	Op    string // eq, gte, lte
	Value int64
}

// TimeMatch is a condition on created_at or updated_at, which compare in whole
// seconds.
type TimeMatch struct {
	Field string
	Op    string // eq, neq, gt, gte, lt, lte
	Value time.Time
}

// Images is what the Image API's images need.
type Images interface {
	// CreateImage makes a record, queued. An ID that is or was an image's is
	// ErrConflict.
	CreateImage(ctx context.Context, spec Spec) (Image, error)
	// Image returns an image that the caller may see; ErrNotFound otherwise.
	Image(ctx context.Context, id string) (Image, error)
	// ListImages returns the images that the caller may see and the filter takes,
	// and whether more follow. The keys of the order are name, status,
	// container_format, disk_format, size, id, created_at and updated_at.
	ListImages(ctx context.Context, f Filter, p nephos.Page) ([]Image, bool, error)
	// UpdateImage takes the steps, all or none. A step that finds a property
	// missing, or there, when it must not be is ErrConflict.
	UpdateImage(ctx context.Context, id string, changes []Change) (Image, error)
	// DeleteImage removes an image and its bytes. A protected one is ErrForbidden.
	DeleteImage(ctx context.Context, id string) error
}

// Activation is what the Image API's actions need.
type Activation interface {
	// Deactivate stops downloads of an active image.
	Deactivate(ctx context.Context, id string) error
	// Reactivate takes that back.
	Reactivate(ctx context.Context, id string) error
}

// Tags is what the Image API's tags need.
type Tags interface {
	// AddTag makes sure that the image has the tag.
	AddTag(ctx context.Context, id, tag string) error
	// RemoveTag takes a tag off; ErrNotFound when the image does not have it.
	RemoveTag(ctx context.Context, id, tag string) error
}

var (
	_ Images     = (*Service)(nil)
	_ Activation = (*Service)(nil)
	_ Tags       = (*Service)(nil)
	_ Members    = (*Service)(nil)
	_ Data       = (*Service)(nil)
	_ Signed     = (*Service)(nil)
	_ Quotas     = (*Service)(nil)
)
