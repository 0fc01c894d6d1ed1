package blockstorage

import (
	"context"
	"time"

	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

func (s *Service) snapshotRow(ctx context.Context, id string) (*snapshotRow, error) {
	var rows []snapshotRow
	if err := s.cfg.Store.Reader().NewSelect().Model(&rows).Where("snap.id = ?", id).Scan(ctx); err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// stepSnapshot takes a snapshot one step on.
func (s *Service) stepSnapshot(ctx context.Context, it *reconcile.Item) (reconcile.Next, error) {
	row, err := s.snapshotRow(ctx, it.ID)
	if err != nil || row == nil {
		return reconcile.Done(), err
	}
	pool, err := s.poolOf(ctx, row.VolumeID)
	if err != nil {
		return reconcile.Next{}, err
	}
	var call func(ctx context.Context) error
	switch row.Status {
	case Creating:
		call = func(ctx context.Context) error { return pool.CreateSnapshot(ctx, row.VolumeID, row.ID) }
	case Deleting:
		n, err := dependants(ctx, s.cfg.Store.Reader(), "snapshot_id", row.ID)
		if err != nil {
			return reconcile.Next{}, err
		}
		if n > 0 {
			return reconcile.Again(s.cfg.Clock.Now().Add(time.Second)), nil
		}
		call = func(ctx context.Context) error { return pool.DeleteSnapshot(ctx, row.VolumeID, row.ID) }
	default:
		return reconcile.Done(), nil
	}
	mark := func(ctx context.Context, tx *store.Tx, b busy) error {
		_, err := tx.NewRaw("UPDATE blockstorage_snapshots SET busy_by = ?, busy_until = ? WHERE id = ?", b.by, b.until, row.ID).Exec(ctx)
		return err
	}
	finished, next, err := s.pooled(ctx, it, row.Status, busy{row.BusyBy, row.BusyUntil}, mark, call)
	switch {
	case !finished:
		return next, err
	case err != nil && hopeless(err):
		return s.giveUpSnapshot(ctx, it, err)
	case err != nil:
		return next, err
	}
	return s.endSnapshot(ctx, it, row.Status, func(ctx context.Context, tx *store.Tx, now *snapshotRow) (string, error) {
		if now.Status == Deleting {
			if _, err := tx.NewDelete().Model(now).WherePK().Exec(ctx); err != nil {
				return "", err
			}
			return "deleted", s.wakeDeleting(ctx, tx, now.VolumeID)
		}
		now.Status, now.Progress, now.Reason = Available, "100%", ""
		return "available", nil
	})
}

// wakeDeleting has a worker look at a volume that waits for its snapshots.
func (s *Service) wakeDeleting(ctx context.Context, tx *store.Tx, volumeID string) error {
	deleting, err := tx.NewSelect().Model((*volumeRow)(nil)).Where("vol.id = ? AND vol.status = ?", volumeID, Deleting).Exists(ctx)
	if err != nil || !deleting {
		return err
	}
	return s.enqueueVolume(ctx, tx, volumeID)
}

// endSnapshot writes the end of a snapshot's step, unless the status is another
// by now.
func (s *Service) endSnapshot(ctx context.Context, it *reconcile.Item, status string,
	f func(ctx context.Context, tx *store.Tx, row *snapshotRow) (verb string, err error),
) (reconcile.Next, error) {
	return reconcile.Done(), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var rows []snapshotRow
		if err := tx.NewSelect().Model(&rows).Where("snap.id = ?", it.ID).Scan(ctx); err != nil {
			return err
		}
		if len(rows) == 0 || rows[0].Status != status {
			return it.Settle(ctx, tx, reconcile.Again(time.Time{}))
		}
		row := &rows[0]
		verb, err := f(ctx, tx, row)
		if err != nil {
			return err
		}
		now := tx.Now()
		row.UpdatedAt, row.BusyBy, row.BusyUntil = &now, "", nil
		if err := save(ctx, tx, row); err != nil {
			return err
		}
		if err := s.emitSnapshot(ctx, tx, verb, *row); err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Done())
	})
}

// giveUpSnapshot ends a snapshot in error, with the reason.
func (s *Service) giveUpSnapshot(ctx context.Context, it *reconcile.Item, cause error) (reconcile.Next, error) {
	row, err := s.snapshotRow(ctx, it.ID)
	if err != nil || row == nil {
		return reconcile.Done(), err
	}
	if row.Status == Creating {
		pool, err := s.poolOf(ctx, row.VolumeID)
		if err == nil {
			err = pool.DeleteSnapshot(ctx, row.VolumeID, row.ID)
		}
		if err != nil {
			s.cfg.Log.Warn("giving back a snapshot that could not be made", "snapshot", row.ID, "error", err)
		}
	}
	return s.endSnapshot(ctx, it, row.Status, func(ctx context.Context, tx *store.Tx, now *snapshotRow) (string, error) {
		switch now.Status {
		case Creating:
			now.Status = Errored
		case Deleting:
			now.Status = ErrorDeleting
			if err := s.wakeDeleting(ctx, tx, now.VolumeID); err != nil {
				return "", err
			}
		}
		now.Reason = clip(cause.Error())
		return "error", nil
	})
}
