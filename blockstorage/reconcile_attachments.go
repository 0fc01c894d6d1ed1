package blockstorage

import (
	"context"
	"time"

	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// stepAttachment carries a detaching to its end, and sweeps up after it.
func (s *Service) stepAttachment(ctx context.Context, it *reconcile.Item) (reconcile.Next, error) {
	var rows []attachmentRow
	if err := s.cfg.Store.Reader().NewSelect().Model(&rows).Where("att.id = ?", it.ID).Scan(ctx); err != nil || len(rows) == 0 {
		return reconcile.Done(), err
	}
	a := rows[0]
	switch {
	case a.DetachedAt != nil:
		if due := a.DetachedAt.Add(sweepAfter); s.cfg.Clock.Now().Before(due) {
			return reconcile.Again(due), nil
		}
		if err := s.disconnect(ctx, &a); err != nil {
			return reconcile.Next{}, err
		}
		return reconcile.Done(), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.NewDelete().Model(&a).WherePK().Exec(ctx); err != nil {
				return err
			}
			return it.Settle(ctx, tx, reconcile.Done())
		})
	case a.Status == Detaching:
		if err := s.finishDetach(ctx, a, it.Tx); err != nil {
			return reconcile.Next{}, err
		}
		// A tombstone may be left to sweep.
		return reconcile.Again(s.cfg.Clock.Now().Add(time.Second)), nil
	}
	return reconcile.Done(), nil
}
