package blockstorage

import (
	"context"
	"time"

	"github.com/nephos-cloud/nephos"
)

// The states of a volume.
const (
	Creating       = "creating"
	Available      = "available"
	Reserved       = "reserved"
	Attaching      = "attaching"
	InUse          = "in-use"
	Detaching      = "detaching"
	Extending      = "extending"
	Reverting      = "reverting"
	Uploading      = "uploading"
	Managing       = "managing"
	ErrorManaging  = "error_managing"
	Unmanaging     = "unmanaging"
	Retyping       = "retyping"
	Maintenance    = "maintenance" // an operator has it
	Deleting       = "deleting"
	Errored        = "error"
	ErrorExtending = "error_extending"
	ErrorDeleting  = "error_deleting"
)

// Volume is a disk that outlives servers.
type Volume struct {
	ID              string `bun:",pk"`
	ProjectID       string
	UserID          string
	Name            *string
	Description     *string
	SizeGiB         int `bun:"size_gib"`
	Status          string
	MigrationStatus string
	Zone            string
	Pool            string // where it lives; empty until one was chosen
	TypeID          string
	TypeName        string `bun:",scanonly"`
	SnapshotID      string // what it was made of, if so
	SourceVolumeID  string
	ImageID         string
	Bootable        bool
	MultiAttach     bool  `bun:"multiattach"` // it takes several attachments at once
	ReadOnly        *bool // nil: nobody said
	Metadata        map[string]string
	ImageMetadata   map[string]string // of the image it was made of
	Format          string            // of the content: raw or qcow2, recorded and never probed
	Reason          string            // why the last thing done to it failed
	CreatedAt       time.Time
	UpdatedAt       *time.Time
	Attachments     []Attachment `bun:"-"`
}

// VolumeSpec describes a volume to create. At most one of SnapshotID,
// SourceVolumeID and ImageID says what it is made of.
type VolumeSpec struct {
	Name, Description *string
	SizeGiB           int    // 0: the source's
	Zone              string // empty: the source's, or the service's
	Type              string // ID or name; empty: the source's, the project's default or the service's
	SnapshotID        string
	SourceVolumeID    string
	ImageID           string
	Metadata          map[string]string
	// Hints say where it should live: same_host and different_host name volumes.
	Hints map[string][]string
}

// VolumeUpdate changes a volume; what is nil stays.
type VolumeUpdate struct {
	Name, Description **string
	Metadata          *map[string]string
	Bootable          *bool
}

// VolumeFilter narrows a list of volumes.
type VolumeFilter struct {
	AllProjects bool // for admins; others see their own project anyway
	Offset      int
	// Match holds attributes by the names of the API and the value each must
	// have; a name with a tilde behind it asks for a part of the text. An
	// attribute that volumes do not have makes the list empty.
	Match map[string]string
	// Metadata and ImageMetadata must all be there.
	Metadata, ImageMetadata map[string]string
	Times                   []TimeMatch
}

// TimeMatch is a condition on created_at or updated_at.
type TimeMatch struct {
	Field string
	Op    string // eq, neq, gt, gte, lt, lte
	Value time.Time
}

// VolumeSummary is how much there is of volumes.
type VolumeSummary struct {
	Count    int
	SizeGiB  int
	Metadata map[string][]string // every value of each key
}

// DeleteOptions say how a volume is deleted.
type DeleteOptions struct {
	Cascade bool // its snapshots, too
	Force   bool // whatever its state
}

// Volumes is what the Block Storage API's volumes need.
type Volumes interface {
	// CreateVolume makes a record, creating; a worker makes the disk. Beyond a
	// quota it is ErrQuota.
	CreateVolume(ctx context.Context, spec VolumeSpec) (Volume, error)
	// Volume returns a volume with its attachments; ErrNotFound when it does not
	// exist for the caller.
	Volume(ctx context.Context, id string) (Volume, error)
	// ListVolumes returns volumes with their attachments, newest first unless the
	// page says otherwise, and whether more follow. An unknown marker is
	// ErrNotFound.
	ListVolumes(ctx context.Context, f VolumeFilter, p nephos.Page) ([]Volume, bool, error)
	// CountVolumes counts what ListVolumes returns on all pages.
	CountVolumes(ctx context.Context, f VolumeFilter) (int, error)
	// SummarizeVolumes adds up the project's volumes.
	SummarizeVolumes(ctx context.Context, f VolumeFilter) (VolumeSummary, error)
	// UpdateVolume changes a volume.
	UpdateVolume(ctx context.Context, id string, u VolumeUpdate) (Volume, error)
	// PurgeVolume has a volume deleted. One that is deleting already is success.
	PurgeVolume(ctx context.Context, id string, o DeleteOptions) error
}

// VolumeActions is what the Block Storage API's volume actions need.
type VolumeActions interface {
	// ExtendVolume has a volume grown; one in use only if attached is set.
	ExtendVolume(ctx context.Context, id string, sizeGiB int, attached bool) error
	// RevertVolume has a volume taken back to its newest snapshot.
	RevertVolume(ctx context.Context, id, snapshotID string) error
	// SetReadOnly makes an available volume read-only for whoever attaches it.
	SetReadOnly(ctx context.Context, id string, readOnly bool) error
	// ResetVolume sets states by hand.
	ResetVolume(ctx context.Context, id string, r VolumeReset) error
	// UploadVolume makes an image of a volume.
	UploadVolume(ctx context.Context, id string, spec UploadSpec) (Upload, error)
}

// VolumeReset sets states by hand; what is empty stays.
type VolumeReset struct {
	Status, AttachStatus, MigrationStatus string
}

// Metadata is what the metadata resources of volumes and snapshots need.
type Metadata interface {
	VolumeMetadata(ctx context.Context, id string) (map[string]string, error)
	// SetVolumeMetadata merges, or with replace replaces, and returns what holds.
	SetVolumeMetadata(ctx context.Context, id string, m map[string]string, replace bool) (map[string]string, error)
	// UnsetVolumeMetadata removes a key; ErrNotFound when it is not there.
	UnsetVolumeMetadata(ctx context.Context, id, key string) error
	// SetImageMetadata merges into the metadata of the volume's image.
	SetImageMetadata(ctx context.Context, id string, m map[string]string) (map[string]string, error)
	UnsetImageMetadata(ctx context.Context, id, key string) error
	SnapshotMetadata(ctx context.Context, id string) (map[string]string, error)
	SetSnapshotMetadata(ctx context.Context, id string, m map[string]string, replace bool) (map[string]string, error)
	UnsetSnapshotMetadata(ctx context.Context, id, key string) error
}

var (
	_ Volumes           = (*Service)(nil)
	_ VolumeActions     = (*Service)(nil)
	_ LegacyAttachments = (*Service)(nil)
	_ Metadata          = (*Service)(nil)
	_ Snapshots         = (*Service)(nil)
	_ Attachments       = (*Service)(nil)
	_ Types             = (*Service)(nil)
	_ Quotas            = (*Service)(nil)
	_ Backends          = (*Service)(nil)
)
