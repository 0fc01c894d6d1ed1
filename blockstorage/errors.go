package blockstorage

import (
	"fmt"

	"github.com/nephos-cloud/nephos"
)

// invalidInput is the error for a request that cannot be right, in the Block
// Storage API's words.
func invalidInput(field, format string, args ...any) error {
	return nephos.Errorf(nephos.ErrInvalid, "Invalid input received: %s", fmt.Sprintf(format, args...)).WithField(field)
}

// invalidVolume is the error for a volume whose state forbids the operation.
func invalidVolume(format string, args ...any) error {
	return nephos.Errorf(nephos.ErrInvalid, "Invalid volume: %s", fmt.Sprintf(format, args...)).WithReason("InvalidVolume")
}

// invalidSnapshot is the error for a snapshot whose state forbids the operation.
func invalidSnapshot(format string, args ...any) error {
	return nephos.Errorf(nephos.ErrInvalid, "Invalid snapshot: %s", fmt.Sprintf(format, args...)).WithReason("InvalidSnapshot")
}

func badRequest(format string, args ...any) error {
	return nephos.Errorf(nephos.ErrInvalid, "%s", fmt.Sprintf(format, args...))
}

func volumeNotFound(id string) error   { return nephos.NotFound("Volume", clip(id)) }
func snapshotNotFound(id string) error { return nephos.NotFound("Snapshot", clip(id)) }
func typeNotFound(id string) error     { return nephos.NotFound("Volume type", clip(id)) }

func attachmentNotFound(id string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Volume attachment could not be found with filter: attachment_id = %s.", clip(id))
}

// clip bounds text from outside that goes into a message.
func clip(s string) string {
	if len(s) > 255 {
		return s[:255]
	}
	return s
}
