package blockstorage

import (
	"context"
	"errors"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// LegacyAttachments is what the older volume actions need. They drive the same
// state machine, by the volume's ID.
type LegacyAttachments interface {
	// MarkReserved and UnmarkReserved move between available and attaching.
	MarkReserved(ctx context.Context, volumeID string) error
	UnmarkReserved(ctx context.Context, volumeID string) error
	// MarkDetaching and UnmarkDetaching move between in-use and detaching.
	MarkDetaching(ctx context.Context, volumeID string) error
	UnmarkDetaching(ctx context.Context, volumeID string) error
	// InitializeConnection connects a volume to the connector's host.
	InitializeConnection(ctx context.Context, volumeID string, connector map[string]any) (Attachment, error)
	// TerminateConnection disconnects it.
	TerminateConnection(ctx context.Context, volumeID string, connector map[string]any) error
	// RecordAttach says that a server or host has the volume.
	RecordAttach(ctx context.Context, volumeID string, r AttachRecord) error
	// RecordDetach says that it no longer has. An empty attachment ID means the
	// only one there is.
	RecordDetach(ctx context.Context, volumeID, attachmentID string) error
	// ForceDetach disconnects and forgets an attachment whatever its state.
	ForceDetach(ctx context.Context, volumeID, attachmentID string) error
}

// AttachRecord says who has a volume.
type AttachRecord struct{ ServerID, Host, Mountpoint, Mode string }

// MarkReserved implements [LegacyAttachments].
func (s *Service) MarkReserved(ctx context.Context, id string) error {
	_, err := s.changeVolume(ctx, id, "volume_extension:volume_actions:reserve", "update", func(_ context.Context, _ *store.Tx, row *volumeRow) (bool, error) {
		if row.Status != Available {
			return false, invalidVolume("Volume status must be available to reserve, but the status is %s.", row.Status)
		}
		if err := refuseMoving(row); err != nil {
			return false, err
		}
		row.Status = Attaching
		return true, nil
	})
	return err
}

// UnmarkReserved implements [LegacyAttachments].
func (s *Service) UnmarkReserved(ctx context.Context, id string) error {
	_, err := s.changeVolume(ctx, id, "volume_extension:volume_actions:unreserve", "update", func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error) {
		return s.restatus(ctx, tx, row, Attaching)
	})
	return err
}

// restatus gives a volume the status its attachments say, if it has another.
func (s *Service) restatus(ctx context.Context, tx *store.Tx, row *volumeRow, from string) (bool, error) {
	if row.Status != from {
		return false, nil
	}
	by, err := attachmentsOf(ctx, tx, row.ID)
	if err != nil {
		return false, err
	}
	row.Status, _ = statusBy(by[row.ID])
	return true, nil
}

// MarkDetaching implements [LegacyAttachments].
func (s *Service) MarkDetaching(ctx context.Context, id string) error {
	_, err := s.changeVolume(ctx, id, "volume_extension:volume_actions:begin_detaching", "update", func(_ context.Context, _ *store.Tx, row *volumeRow) (bool, error) {
		if row.Status != InUse {
			return false, invalidVolume("Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach.")
		}
		row.Status = Detaching
		return true, nil
	})
	return err
}

// UnmarkDetaching implements [LegacyAttachments].
func (s *Service) UnmarkDetaching(ctx context.Context, id string) error {
	_, err := s.changeVolume(ctx, id, "volume_extension:volume_actions:roll_detaching", "update", func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error) {
		return s.restatus(ctx, tx, row, Detaching)
	})
	return err
}

// InitializeConnection implements [LegacyAttachments].
func (s *Service) InitializeConnection(ctx context.Context, id string, connector map[string]any) (Attachment, error) {
	to, err := connectorOf(connector)
	if err != nil {
		return Attachment{}, err
	}
	a := attachmentRow{Attachment: Attachment{ID: s.cfg.IDs.New(), Mode: "null", Status: initialized}}
	_, err = s.changeVolume(ctx, id, "volume_extension:volume_actions:initialize_connection", "update",
		func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error) {
			by, err := attachmentsOf(ctx, tx, row.ID)
			if err != nil {
				return false, err
			}
			for _, o := range by[row.ID] {
				if o.Host == to.Host {
					a = o
					return false, nil
				}
			}
			if err := refuseMoving(row); err != nil {
				return false, err
			}
			if status, _ := statusBy(by[row.ID]); status != Available && !(row.MultiAttach && status == InUse) {
				return false, invalidVolume("Volume %s is attached already.", row.ID)
			}
			a.VolumeID, a.ProjectID, a.Connector, a.CreatedAt = row.ID, row.ProjectID, to.Connector, tx.Now()
			return false, insert(ctx, tx, &a)
		})
	if err != nil {
		return Attachment{}, err
	}
	return s.connect(ctx, a.ID, to)
}

// TerminateConnection implements [LegacyAttachments].
func (s *Service) TerminateConnection(ctx context.Context, id string, connector map[string]any) error {
	host, _ := connector["host"].(string)
	var found []attachmentRow
	_, err := s.changeVolume(ctx, id, "volume_extension:volume_actions:terminate_connection", "update",
		func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error) {
			by, err := attachmentsOf(ctx, tx, row.ID)
			if err != nil {
				return false, err
			}
			found = nil
			for _, a := range by[row.ID] {
				if host != "" && a.Host != host {
					continue
				}
				if a.OwnerKey != nil && !isService(ctx) {
					return false, usedByCompute(a.ServerID)
				}
				found = append(found, a)
			}
			return s.restatus(ctx, tx, row, Attaching)
		})
	if err != nil {
		return err
	}
	for _, a := range found {
		if a.Status == initialized {
			err = errors.Join(err, s.detach(ctx, a.ID))
			continue
		}
		if e := s.disconnect(ctx, &a); e != nil {
			err = errors.Join(err, e)
			continue
		}
		err = errors.Join(err, s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
			now, err := s.loadAttachment(ctx, tx, a.ID)
			if err != nil || now.Host != a.Host {
				return err
			}
			now.ConnectionText = ""
			return save(ctx, tx, &now)
		}))
	}
	return err
}

// RecordAttach implements [LegacyAttachments].
func (s *Service) RecordAttach(ctx context.Context, id string, r AttachRecord) error {
	_, err := s.changeVolume(ctx, id, "volume_extension:volume_actions:attach", "attach", func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error) {
		if row.ReadOnly != nil && *row.ReadOnly && r.Mode != "ro" {
			return false, nephos.Errorf(nephos.ErrInvalid, "Invalid attaching mode '%s' for volume %s.", r.Mode, row.ID).WithField("mode")
		}
		if row.Status != Available && row.Status != Attaching && !(row.MultiAttach && row.Status == InUse) {
			return false, badRequest("Error attaching volume - InvalidVolume: Invalid volume: volume is already attached")
		}
		if err := refuseMoving(row); err != nil {
			return false, err
		}
		by, err := attachmentsOf(ctx, tx, row.ID)
		if err != nil {
			return false, err
		}
		now := tx.Now()
		a := attachmentRow{Attachment: Attachment{
			ID: s.cfg.IDs.New(), VolumeID: row.ID, ProjectID: row.ProjectID, Connector: map[string]any{}, CreatedAt: now,
		}}
		fresh := true
		for _, o := range by[row.ID] {
			if o.Status == initialized {
				a, fresh = o, false
			} else if !row.MultiAttach {
				return false, badRequest("Error attaching volume - InvalidVolume: Invalid volume: volume is already attached")
			}
		}
		a.ServerID, a.Mountpoint, a.Mode, a.Status, a.AttachedAt = r.ServerID, r.Mountpoint, r.Mode, Attached, &now
		if a.Host == "" {
			a.Host = r.Host
		}
		row.Status = InUse
		if fresh {
			return true, insert(ctx, tx, &a)
		}
		return true, save(ctx, tx, &a)
	})
	return err
}

// RecordDetach implements [LegacyAttachments].
func (s *Service) RecordDetach(ctx context.Context, id, attachmentID string) error {
	return s.recordDetach(ctx, id, attachmentID, "volume_extension:volume_actions:detach", false)
}

// ForceDetach implements [LegacyAttachments].
func (s *Service) ForceDetach(ctx context.Context, id, attachmentID string) error {
	return s.recordDetach(ctx, id, attachmentID, "volume_extension:volume_admin_actions:force_detach", true)
}

func (s *Service) recordDetach(ctx context.Context, id, attachmentID, rule string, force bool) error {
	found := ""
	_, err := s.changeVolume(ctx, id, rule, "update", func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error) {
		found = ""
		by, err := attachmentsOf(ctx, tx, row.ID)
		if err != nil {
			return false, err
		}
		for _, a := range by[row.ID] {
			if attachmentID != "" && a.ID != attachmentID {
				continue
			}
			if a.OwnerKey != nil && a.Host != "" && !force && !isService(ctx) {
				return false, usedByCompute(a.ServerID)
			}
			if found != "" {
				return false, invalidVolume("Detach volume failed: More than one attachment, but no attachment_id provided.")
			}
			found = a.ID
		}
		if attachmentID != "" && found == "" && !isService(ctx) {
			return false, usedByCompute("") // as Cinder says of attachments that it does not know
		}
		if attachmentID != "" && found == "" {
			return false, badRequest("Error detaching volume - VolumeAttachmentNotFound: "+
				"Volume attachment could not be found with filter: attachment_id = %s.", clip(attachmentID))
		}
		if found == "" && (row.Status == Detaching || row.Status == Attaching) {
			row.Status = Available // it was marked by hand
			return true, nil
		}
		return false, nil
	})
	if err != nil || found == "" {
		return err
	}
	return s.detach(ctx, found)
}
