package blockstorage

import (
	"context"
	"slices"

	"github.com/nephos-cloud/nephos/identity/policy"
)

// multiattach reports whether volumes of the type take several attachments.
func (t Type) multiattach() bool { return t.ExtraSpecs["multiattach"] == "<is> True" }

// enforceMultiAttach lets those who may have a volume of a type that takes
// several attachments.
func (s *Service) enforceMultiAttach(ctx context.Context, t Type, target policy.Target) error {
	if !t.multiattach() {
		return nil
	}
	return s.enforce(ctx, "volume:multiattach", target)
}

// checkRetypeMultiAttach refuses to change, under the guests that have a volume,
// whether others may have it too.
func (s *Service) checkRetypeMultiAttach(ctx context.Context, row *volumeRow, t Type) error {
	if row.MultiAttach == t.multiattach() {
		return nil
	}
	if row.Status != Available {
		return invalidInput("new_type", "Invalid volume_type passed, retypes affecting multiattach are only allowed on available volumes, "+
			"the specified volume however currently has a status of: %s.", row.Status)
	}
	return s.enforceMultiAttach(ctx, t, row.target())
}

// reservable refuses to give a volume to one more attachment.
func (s *Service) reservable(ctx context.Context, vol *volumeRow, a *attachmentRow, others []attachmentRow) error {
	// The server that has it may take hold of it once more, on its way to another
	// host.
	again := a.ServerID != "" && (vol.Status == InUse || vol.Status == Reserved) &&
		slices.ContainsFunc(others, func(o attachmentRow) bool { return o.ServerID == a.ServerID })
	if vol.MultiAttach && vol.Bootable && vol.Status == InUse {
		if err := s.enforce(ctx, "volume:multiattach_bootable_volume", vol.target()); err != nil {
			return err
		}
	}
	switch {
	case vol.Status == Available || again:
		return nil
	case !vol.MultiAttach:
		return invalidVolume("Volume %s status must be available or downloading to reserve, but the current status is %s.", vol.ID, vol.Status)
	case vol.Status != InUse:
		return invalidVolume("Volume %s status must be available, in-use or downloading to reserve, but the current status is %s.", vol.ID, vol.Status)
	}
	return nil
}

// shared reports whether guests beside the attachment's have the volume.
func shared(all []attachmentRow, a *attachmentRow) bool {
	return slices.ContainsFunc(all, func(o attachmentRow) bool { return o.ID != a.ID && o.Status == Attached })
}
