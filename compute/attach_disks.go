package compute

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/store"
)

func diskKey(d *diskRow) string { return ownerKey(d.ServerID, "disk", d.ID) }

// connectDisk makes or takes the disk's volume and connects it to the server's
// host. It reports false as long as the volume is being made.
func (s *Service) connectDisk(ctx context.Context, row *serverRow, d *diskRow) (bool, error) {
	if d.Destination != "volume" || d.State == diskDetaching {
		return true, nil
	}
	if d.Source != "volume" {
		ok, err := s.makeVolume(ctx, row, d)
		if err != nil || !ok {
			return ok, err
		}
	}
	a, err := s.cfg.Volumes.EnsureAttachment(ctx, diskKey(d), blockstorage.AttachSpec{VolumeID: d.VolumeID, ServerID: row.ID, Host: row.Host, Mountpoint: d.Device})
	if err != nil {
		return false, err
	}
	if a.Connection == nil {
		return false, nephos.Errorf(nephos.ErrUnavailable, "connecting volume %s: it is not connected", d.VolumeID)
	}
	d.AttachmentID, d.Format, d.Connection.Connection = a.ID, a.Format, *a.Connection
	return true, nil
}

// makeVolume makes the volume of a disk that asks for a new one.
func (s *Service) makeVolume(ctx context.Context, row *serverRow, d *diskRow) (bool, error) {
	spec := blockstorage.VolumeSpec{SizeGiB: d.SizeGiB, Type: d.VolumeType}
	switch d.Source {
	case "image":
		spec.ImageID = d.SourceID
	case "snapshot":
		spec.SnapshotID = d.SourceID
	}
	v, err := s.cfg.Volumes.EnsureVolume(ctx, diskKey(d), spec)
	if err != nil {
		return false, err
	}
	d.VolumeID, d.SizeGiB = v.ID, v.SizeGiB
	switch v.Status {
	case blockstorage.Creating, "downloading":
		return false, nil
	case blockstorage.Available, blockstorage.Reserved, blockstorage.Attaching, blockstorage.InUse:
		return true, nil
	}
	return false, invalid("volume %s is in status %s. %s", v.ID, v.Status, v.Reason)
}

// completeDisks tells the volume service which volumes the guest has by now.
func (s *Service) completeDisks(ctx context.Context, disks []diskRow) error {
	for i := range disks {
		d := &disks[i]
		if d.State != diskBooting && d.State != diskAttaching || d.Destination == "volume" && d.Connection.Type == "" {
			continue
		}
		if d.Destination == "volume" {
			if err := s.cfg.Volumes.CompleteAttachment(ctx, diskKey(d)); err != nil {
				return err
			}
		}
		d.State = diskAttached
	}
	return nil
}

// saveDisks writes what has become of disks.
func saveDisks(ctx context.Context, tx *store.Tx, disks []diskRow) error {
	for i := range disks {
		_, err := tx.NewUpdate().Model(&disks[i]).
			Column("volume_id", "attachment_id", "size_gib", "format", "connection", "state").WherePK().Returning("NULL").Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

// releaseDisk lets go of a disk's volume, and deletes it if it goes with the
// server.
func (s *Service) releaseDisk(ctx context.Context, d *diskRow, andVolume bool) error {
	if d.Destination != "volume" || s.cfg.Volumes == nil {
		return nil
	}
	if err := s.cfg.Volumes.ReleaseAttachment(ctx, diskKey(d)); err != nil {
		return err
	}
	switch {
	case !andVolume:
		return nil
	case d.Source != "volume":
		return s.cfg.Volumes.ReleaseVolume(ctx, diskKey(d))
	case d.VolumeID != "":
		err := s.cfg.Volumes.DeleteVolume(ctx, d.VolumeID)
		if err != nil && final(err) { // it has snapshots, say: the server goes all the same
			s.cfg.Log.Warn("a volume that was to go with its server stays", "volume", d.VolumeID, "error", err)
			return nil
		}
		return err
	}
	return nil
}

// deleteDisks forgets disks.
func deleteDisks(ctx context.Context, tx *store.Tx, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.NewRaw("DELETE FROM compute_disks WHERE id IN (?)", bun.List(ids)).Exec(ctx)
	return err
}
