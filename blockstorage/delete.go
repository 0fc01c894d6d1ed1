package blockstorage

import (
	"context"
	"slices"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// DeleteVolume has a volume deleted that has neither attachments nor snapshots;
// see [Service.PurgeVolume].
func (s *Service) DeleteVolume(ctx context.Context, id string) error {
	return s.PurgeVolume(ctx, id, DeleteOptions{})
}

// PurgeVolume implements [Volumes].
func (s *Service) PurgeVolume(ctx context.Context, id string, o DeleteOptions) error {
	_, err := s.changeVolume(ctx, id, "volume:delete", "delete", func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error) {
		if o.Force {
			if err := s.enforce(ctx, "volume:force_delete", row.target()); err != nil {
				return false, err
			}
		}
		if row.Status == Deleting {
			return false, nil
		}
		return true, s.beginDelete(ctx, tx, row, o)
	})
	return err
}

// beginDelete moves a volume to deleting, if it may go.
func (s *Service) beginDelete(ctx context.Context, tx *store.Tx, row *volumeRow, o DeleteOptions) error {
	attached, err := attachmentsOf(ctx, tx, row.ID)
	if err != nil {
		return err
	}
	var snapshots []snapshotRow
	if err := tx.NewSelect().Model(&snapshots).Where("snap.volume_id = ?", row.ID).Scan(ctx); err != nil {
		return err
	}
	refuse := func() error { return refuseDelete(o.Force) }
	isAttached := slices.ContainsFunc(attached[row.ID], func(a attachmentRow) bool { return a.Status == Attached })
	deletable := slices.Contains([]string{Available, Errored, ErrorExtending, ErrorDeleting, "error_restoring", ErrorManaging}, row.Status)
	switch {
	case isAttached, !o.Force && !deletable, row.moving():
		return refuse()
	case !o.Force && len(attached[row.ID]) > 0:
		return refuse()
	case len(snapshots) > 0 && !o.Cascade:
		return refuse()
	}
	for i := range snapshots {
		snap := &snapshots[i]
		free := snap.Status == Available || snap.Status == Errored || snap.Status == ErrorDeleting || snap.Status == Deleting
		if !free && !o.Force || snap.ProjectID != row.ProjectID && !s.seesAll(ctx) {
			return refuse()
		}
		if err := s.beginDeleteSnapshot(ctx, tx, snap); err != nil {
			return err
		}
	}
	row.Status, row.Reason = Deleting, ""
	return s.enqueueVolume(ctx, tx, row.ID)
}

// refuseDelete is the error for a volume that may not go.
func refuseDelete(force bool) error {
	status := "status must be available or error or error_restoring or error_extending or error_managing and"
	if force {
		status = ""
	}
	return invalidVolume("Volume %s must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, "+
		"or be disassociated from snapshots after volume transfer.", status)
}

// beginDeleteSnapshot moves a snapshot to deleting.
func (s *Service) beginDeleteSnapshot(ctx context.Context, tx *store.Tx, snap *snapshotRow) error {
	if snap.Status == Deleting {
		return nil
	}
	now := tx.Now()
	snap.Status, snap.Reason, snap.UpdatedAt = Deleting, "", &now
	if err := save(ctx, tx, snap); err != nil {
		return err
	}
	if err := s.enqueueSnapshot(ctx, tx, snap.ID); err != nil {
		return err
	}
	return s.emitSnapshot(ctx, tx, "delete", *snap)
}

// dependants counts what is being made of a volume or snapshot right now.
func dependants(ctx context.Context, db bun.IDB, column, id string) (int, error) {
	n, err := db.NewSelect().Model((*volumeRow)(nil)).Where("? = ? AND vol.status = ?", bun.Safe("vol."+column), id, Creating).Count(ctx)
	return int(n), err
}

// forget removes the rows of a volume that is gone.
func forget(ctx context.Context, tx *store.Tx, id string) error {
	for _, q := range []string{
		"DELETE FROM blockstorage_attachments WHERE volume_id = ?",
		"DELETE FROM blockstorage_transfers WHERE volume_id = ?",
		"DELETE FROM blockstorage_volumes WHERE id = ?",
	} {
		if _, err := tx.NewRaw(q, id).Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

var errBusy = nephos.Errorf(nephos.ErrConflict, "another worker is at it")
