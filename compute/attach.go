package compute

import (
	"context"

	"github.com/nephos-cloud/nephos/network"
)

// Interfaces is what the Compute API's server interfaces need.
type Interfaces interface {
	ListInterfaces(ctx context.Context, serverID string) ([]NIC, error)
	Interface(ctx context.Context, serverID, portID string) (NIC, error)
	// AttachInterface plugs a card in: its port is there when it returns, the
	// guest gets it soon after.
	AttachInterface(ctx context.Context, serverID string, req network.PortRequest) (NIC, error)
	DetachInterface(ctx context.Context, serverID, portID string) error
}

// VolumeAttachments is what the Compute API's volume attachments need.
type VolumeAttachments interface {
	ListVolumeAttachments(ctx context.Context, serverID string) ([]Disk, error)
	VolumeAttachment(ctx context.Context, serverID, volumeID string) (Disk, error)
	// AttachVolume reserves a volume for a server; the guest gets it soon after.
	AttachVolume(ctx context.Context, serverID string, req AttachRequest) (Disk, error)
	// UpdateVolumeAttachment says whether the volume goes with the server.
	UpdateVolumeAttachment(ctx context.Context, serverID, volumeID string, deleteOnTermination bool) error
	DetachVolume(ctx context.Context, serverID, volumeID string) error
}

var (
	_ Interfaces        = (*Service)(nil)
	_ VolumeAttachments = (*Service)(nil)
)

// AttachRequest asks for a volume to be attached.
type AttachRequest struct {
	VolumeID            string
	Device              string // empty: chosen
	Tag                 string
	DeleteOnTermination bool
	// SharedToo says that the caller knows of volumes that other servers may have
	// as well; without it they are refused.
	SharedToo bool
}

const (
	interfacesRule  = "os_compute_api:os-attach-interfaces:"
	attachmentsRule = "os_compute_api:os-volumes-attachments:"
)

// maxNICs bounds the cards of a server.
const maxNICs = 26

// attachable refuses servers that nothing can be attached to now.
func (row *serverRow) attachable(operation string, vmStates ...string) error {
	if err := row.demand(operation, vmStates...); err != nil {
		return err
	}
	if row.Phase != phaseLive {
		return refusal(operation, row.ID, "vm_state", row.VMState)
	}
	return nil
}
