package hypervisor

import (
	"context"

	"github.com/nephos-cloud/nephos/driver"
)

// Rescuer boots a guest from another disk, so that its owner can mend it.
//
// A rescued guest has the rescue disk in front of its own: the guest's root is
// its second disk. It keeps its cards, and can be started, stopped and rebooted
// as ever, always into the rescue disk, also after the driver was opened anew,
// until Unrescue. [Guest.Disks] lists the rescue disk while it is there; that is
// how one tells. Ensure on a rescued guest changes what it will be afterwards
// and leaves the rescue disk alone.
type Rescuer interface {
	// Rescue powers the guest off, without grace, and boots it from the disk: a
	// local one, made from its Base, whose ID must be none of the guest's
	// (ErrInvalid). The same disk ID again on a guest rescued so leaves it
	// running, or starts it; another one is ErrConflict.
	Rescue(ctx context.Context, id string, disk driver.Disk) error
	// Unrescue powers the guest off, removes the rescue disk and leaves the guest
	// stopped. A guest that is not rescued is left as it is.
	Unrescue(ctx context.Context, id string) error
}

// RescueDiskID is the ID that Nephos gives to rescue disks.
const RescueDiskID = "rescue"
