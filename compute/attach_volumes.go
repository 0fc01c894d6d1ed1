package compute

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// attachments loads a server and its volumes for one of the operations on them.
func (s *Service) attachments(ctx context.Context, serverID, rule string) (*serverRow, []Disk, error) {
	row, err := s.find(ctx, serverID, false)
	if err != nil {
		return nil, nil, err
	}
	if err := s.cfg.Policy.Enforce(ctx, attachmentsRule+rule, row.target()); err != nil {
		return nil, nil, err
	}
	list := []Server{row.Server}
	err = addDisks(ctx, s.cfg.Store.Reader(), list)
	return row, list[0].Disks, err
}

// ListVolumeAttachments implements [VolumeAttachments].
func (s *Service) ListVolumeAttachments(ctx context.Context, serverID string) ([]Disk, error) {
	_, disks, err := s.attachments(ctx, serverID, "index")
	return disks, err
}

// VolumeAttachment implements [VolumeAttachments].
func (s *Service) VolumeAttachment(ctx context.Context, serverID, volumeID string) (Disk, error) {
	_, disks, err := s.attachments(ctx, serverID, "show")
	if err != nil {
		return Disk{}, err
	}
	i := slices.IndexFunc(disks, func(d Disk) bool { return d.VolumeID == volumeID })
	if i < 0 {
		return Disk{}, notAttached(serverID, volumeID)
	}
	return disks[i], nil
}

func notAttached(serverID, volumeID string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Instance %s is not attached to volume %.64s", serverID, volumeID)
}

// AttachVolume implements [VolumeAttachments].
func (s *Service) AttachVolume(ctx context.Context, serverID string, req AttachRequest) (Disk, error) {
	row, err := s.find(ctx, serverID, false)
	if err != nil {
		return Disk{}, err
	}
	if err := s.cfg.Policy.Enforce(ctx, attachmentsRule+"create", row.target()); err != nil {
		return Disk{}, err
	}
	if err := s.unlocked(ctx, row); err != nil {
		return Disk{}, err
	}
	if err := row.attachable("attach_volume", Active, Paused, Stopped); err != nil {
		return Disk{}, err
	}
	if s.cfg.Volumes == nil {
		return Disk{}, invalid("There is no volume service.")
	}
	if id, ok, err := s.cfg.Store.Made(ctx, onceVolume); ok || err != nil {
		if err != nil {
			return Disk{}, err
		}
		return s.diskMadeBefore(ctx, serverID, id)
	}
	v, err := s.cfg.Volumes.Volume(ctx, req.VolumeID)
	if err != nil {
		return Disk{}, err
	}
	if err := s.attachedAlready(ctx, v); err != nil {
		return Disk{}, err
	}
	if err := checkShared(v, req.SharedToo); err != nil {
		return Disk{}, err
	}
	if err := s.cfg.Volumes.CheckAttach(ctx, req.VolumeID); err != nil {
		return Disk{}, invalid("Invalid volume: %w", err)
	}
	var d diskRow
	id, before := s.cfg.IDs.New(), ""
	row, err = s.change(ctx, serverID, attachmentsRule+"create", false, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		before = ""
		if old, first, err := tx.Once(ctx, onceVolume, id); err != nil || !first {
			before = old
			return err
		}
		if err := row.attachable("attach_volume", Active, Paused, Stopped); err != nil {
			return err
		}
		disks, err := loadDisks(ctx, tx, row.ID)
		if err != nil {
			return err
		}
		d, err = s.newDisk(disks, row, req, v.SizeGiB)
		if err != nil {
			return err
		}
		d.ID, d.CreatedAt = id, tx.Now()
		if _, err := tx.NewInsert().Model(&d).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		if err := row.begin(ctx, tx, "attach_volume"); err != nil {
			return err
		}
		if err := row.save(ctx, tx, "action"); err != nil {
			return err
		}
		return reconcile.Enqueue(ctx, tx, kindServer, row.ID, tx.Now().Add(s.cfg.Resend))
	})
	if err != nil {
		return Disk{}, err
	}
	if before != "" {
		return s.diskMadeBefore(ctx, serverID, before)
	}
	s.cfg.Crash.Here("compute recorded disk")
	a, err := s.cfg.Volumes.ReserveVolume(row.served(ctx), diskKey(&d), d.VolumeID, row.ID)
	if err != nil {
		return Disk{}, s.dropDisk(ctx, &d, err)
	}
	d.AttachmentID = a.ID
	s.cfg.Crash.Here("compute reserved volume")
	return d.Disk, s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.NewUpdate().Model(&d).Column("attachment_id").WherePK().Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		return reconcile.Enqueue(ctx, tx, kindServer, serverID, tx.Now())
	})
}

// diskMadeBefore returns the attachment of a request that is sent again.
func (s *Service) diskMadeBefore(ctx context.Context, serverID, id string) (Disk, error) {
	disks, err := loadDisks(ctx, s.cfg.Store.Reader(), serverID)
	if err != nil {
		return Disk{}, err
	}
	i := slices.IndexFunc(disks, func(d diskRow) bool { return d.ID == id })
	if i < 0 {
		return Disk{}, nephos.Errorf(nephos.ErrNotFound, "The volume that was attached with this Idempotency-Key is detached.")
	}
	return disks[i].Disk, nil
}

// checkShared refuses volumes that several servers may have to who does not know
// of such.
func checkShared(v blockstorage.Volume, known bool) error {
	if v.MultiAttach && !known {
		return invalid("Multiattach volumes are only supported starting with compute API version 2.60.")
	}
	return nil
}

// attachedAlready refuses a volume that other servers have and that is for one.
func (s *Service) attachedAlready(ctx context.Context, v blockstorage.Volume) error {
	if v.MultiAttach {
		return nil
	}
	var servers []string
	err := s.cfg.Store.Reader().NewSelect().Table("compute_disks").Column("server_id").
		Where("volume_id = ?", v.ID).Order("server_id").Scan(ctx, &servers)
	if err != nil || len(servers) == 0 {
		return err
	}
	return invalid("Invalid volume: volume %s is already attached to instances: %s", v.ID, strings.Join(servers, ", "))
}

// newDisk makes the record of a volume's place in a server.
func (s *Service) newDisk(disks []diskRow, row *serverRow, req AttachRequest, size int) (diskRow, error) {
	if len(disks) >= maxDisks {
		return diskRow{}, nephos.Errorf(nephos.ErrForbidden, "The maximum allowed number of disk devices (%d) to attach to a single instance has been exceeded.", maxDisks)
	}
	var taken []string
	position := 0
	for _, d := range disks {
		taken = append(taken, d.Device)
		position = max(position, d.Position+1)
		if d.VolumeID == req.VolumeID {
			return diskRow{}, invalid("volume %s already attached", req.VolumeID)
		}
	}
	device := devicePath(req.Device)
	switch {
	case device == "":
		device = freeDevice(taken)
	case slices.ContainsFunc(taken, func(t string) bool { return sameDevice(t, device) }):
		return diskRow{}, nephos.Errorf(nephos.ErrConflict, "The supplied device path (%.64s) is in use.", device)
	}
	return diskRow{Disk: Disk{
		ServerID: row.ID, Position: position, Source: "volume", SourceID: req.VolumeID, Destination: "volume",
		VolumeID: req.VolumeID, SizeGiB: size, Device: device, Tag: req.Tag, DeleteOnTermination: req.DeleteOnTermination, State: diskAttaching,
	}}, nil
}

// dropDisk takes back a disk whose volume cannot be had, and returns why.
func (s *Service) dropDisk(ctx context.Context, d *diskRow, cause error) error {
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := deleteDisks(ctx, tx, []string{d.ID}); err != nil {
			return err
		}
		row, err := loadServer(ctx, tx, d.ServerID)
		if err != nil {
			return err
		}
		if err := row.finish(ctx, tx, cause.Error(), "", nil); err != nil {
			return err
		}
		if err := tx.Forget(ctx, onceVolume); err != nil {
			return err
		}
		return row.save(ctx, tx, "action")
	})
	if err != nil {
		s.cfg.Log.Error("taking a volume's attachment back", "server", d.ServerID, "error", err)
	}
	return cause
}

// UpdateVolumeAttachment implements [VolumeAttachments].
func (s *Service) UpdateVolumeAttachment(ctx context.Context, serverID, volumeID string, deleteOnTermination bool) error {
	_, err := s.change(ctx, serverID, attachmentsRule+"update", true, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		disks, err := loadDisks(ctx, tx, serverID)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(disks, func(d diskRow) bool { return d.VolumeID == volumeID })
		if i < 0 {
			return notAttached(serverID, volumeID)
		}
		disks[i].DeleteOnTermination = deleteOnTermination
		_, err = tx.NewUpdate().Model(&disks[i]).Column("delete_on_termination").WherePK().Returning("NULL").Exec(ctx)
		return err
	})
	return err
}

// DetachVolume implements [VolumeAttachments].
func (s *Service) DetachVolume(ctx context.Context, serverID, volumeID string) error {
	var key string
	stranger := false
	row, err := s.change(ctx, serverID, attachmentsRule+"delete", false, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		if err := row.attachable("detach_volume", Active, Paused, Stopped); err != nil {
			return err
		}
		disks, err := loadDisks(ctx, tx, serverID)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(disks, func(d diskRow) bool { return d.VolumeID == volumeID })
		if i < 0 || disks[i].Destination != "volume" {
			stranger = true
			return notAttached(serverID, volumeID)
		}
		d := &disks[i]
		if d.BootIndex != nil && *d.BootIndex == 0 {
			return invalid("Cannot detach a root device volume")
		}
		if key = diskKey(d); d.State == diskDetaching {
			return nil
		}
		d.State = diskDetaching
		if err := saveDisks(ctx, tx, []diskRow{*d}); err != nil {
			return err
		}
		if err := row.begin(ctx, tx, "detach_volume"); err != nil {
			return err
		}
		if err := s.wish(ctx, tx, row); err != nil {
			return err
		}
		return row.save(ctx, tx, append([]string{"action"}, wishColumns...)...)
	})
	if err != nil {
		if stranger && s.cfg.Volumes != nil { // is there such a volume at all?
			if _, missing := s.cfg.Volumes.Volume(ctx, volumeID); errors.Is(missing, nephos.ErrNotFound) {
				return missing
			}
		}
		return err
	}
	if err := s.cfg.Volumes.BeginDetach(row.served(ctx), key); err != nil {
		// The work does it anyway; only the status in between is missed.
		s.cfg.Log.Warn("marking a volume as detaching", "volume", volumeID, "error", err)
	}
	return nil
}
