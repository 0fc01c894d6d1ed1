package blob

import (
	"context"
	"io"
)

// The bounds of parts.
const (
	MaxParts    = 10_000  // of one object
	MinPartSize = 5 << 20 // bytes of every part but the last
)

// Multiparter takes an object in parts: several at once, in any order, each
// again if it failed. An object has at most one upload of this kind at a time,
// and is what it was before until CompleteParts returns.
//
// Parts whose PutPart returned survive the driver. An upload that nobody ends
// stays until AbortParts; ListUploads finds it.
type Multiparter interface {
	// BeginParts begins an upload for the object. One that is under way is
	// success, and keeps its parts.
	BeginParts(ctx context.Context, id string) error
	// PutPart streams the body into the part, counted from 1 to MaxParts, and
	// makes it durable before it returns its description; a part that is there
	// is replaced, once the new one is whole. size is a hint and may be -1.
	// Without an upload it is ErrNotFound, a number out of bounds ErrInvalid.
	PutPart(ctx context.Context, id string, number int, body io.Reader, size int64) (Part, error)
	// ListParts returns the parts that are there, by number, to go on with an
	// upload after a crash. Without an upload it is ErrNotFound.
	ListParts(ctx context.Context, id string) ([]Part, error)
	// CompleteParts makes the object of the parts, in the order of their numbers,
	// which need not follow one another, and returns its size; parts that are
	// not named are dropped. One that is not there as described, or is too small
	// and not the last, is ErrInvalid, and the upload goes on; so is an empty
	// list. Without an upload it is ErrNotFound: whoever lost the answer asks
	// Stat.
	CompleteParts(ctx context.Context, id string, parts []Part) (int64, error)
	// AbortParts drops the upload and its parts; the object stays as it was. An
	// unknown upload succeeds.
	AbortParts(ctx context.Context, id string) error
	// ListUploads returns the IDs of the objects that have an upload.
	ListUploads(ctx context.Context) ([]string, error)
}

// Part describes one part of an upload.
type Part struct {
	Number int    // 1 to MaxParts
	Size   int64  // bytes
	ETag   string // of its content, as the driver calls it; CompleteParts wants the same
}
