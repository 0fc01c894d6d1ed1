package compute

import (
	"context"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

func lower(s string) string { return strings.ToLower(s) }

// sweepBatch bounds what one sweep takes.
const sweepBatch = 500

// sweep wakes the work of servers whose hosts are overdue, notices hosts that
// fell silent, and forgets what is old.
func (s *Service) sweep(ctx context.Context, it *reconcile.Item) (reconcile.Next, error) {
	if !s.published.Load() { // a process that died may have left the scheduler behind
		if err := s.publishHosts(ctx); err != nil {
			return reconcile.Next{}, err
		}
		s.published.Store(true)
	}
	var silent []string
	err := it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		now := tx.Now()
		silent = silent[:0]
		err := tx.NewSelect().Table("compute_hosts").Column("name").Where("up AND seen_at < ?", now.Add(-s.cfg.HostTimeout)).Scan(ctx, &silent)
		if err != nil {
			return err
		}
		if len(silent) > 0 {
			_, err := tx.NewRaw("UPDATE compute_hosts SET up = ?, generation = generation + 1, updated_at = ? WHERE name IN (?)", false, now, bun.List(silent)).Exec(ctx)
			if err != nil {
				return err
			}
			// Who waits for one of them need not wait any longer.
			_, err = tx.NewRaw("UPDATE compute_servers SET check_at = ? WHERE host IN (?) AND NOT deleted AND check_at IS NOT NULL", now, bun.List(silent)).Exec(ctx)
			if err != nil {
				return err
			}
		}
		if err := s.wakeOverdue(ctx, tx, now); err != nil {
			return err
		}
		if err := s.forget(ctx, tx, now); err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Again(now.Add(sweepEvery)))
	})
	if err != nil || len(silent) == 0 {
		return reconcile.Again(s.cfg.Clock.Now().Add(sweepEvery)), err
	}
	s.cfg.Log.Warn("hosts fell silent", "hosts", silent)
	return reconcile.Again(s.cfg.Clock.Now().Add(sweepEvery)), s.publishHosts(ctx, silent...)
}

func (s *Service) wakeOverdue(ctx context.Context, tx *store.Tx, now time.Time) error {
	var ids []string
	err := tx.NewSelect().Table("compute_servers").Column("id").Where("check_at <= ?", now).Order("check_at").Limit(sweepBatch).Scan(ctx, &ids)
	if err != nil || len(ids) == 0 {
		return err
	}
	if _, err := tx.NewRaw("UPDATE compute_servers SET check_at = ? WHERE id IN (?)", now.Add(s.cfg.Resend), bun.List(ids)).Exec(ctx); err != nil {
		return err
	}
	return reconcile.EnqueueAll(ctx, tx, kindServer, ids, time.Time{})
}

// forget removes the records of servers deleted long ago, and old console
// tokens.
func (s *Service) forget(ctx context.Context, tx *store.Tx, now time.Time) error {
	var ids []string
	err := tx.NewSelect().Table("compute_servers").Column("id").
		Where("deleted AND deleted_at < ?", now.Add(-max(s.cfg.KeepDeleted, 0))).Limit(sweepBatch).Scan(ctx, &ids)
	if err != nil {
		return err
	}
	if len(ids) > 0 {
		for _, q := range []string{"DELETE FROM compute_actions WHERE server_id IN (?)", "DELETE FROM compute_servers WHERE id IN (?)"} {
			if _, err := tx.NewRaw(q, bun.List(ids)).Exec(ctx); err != nil {
				return err
			}
		}
	}
	_, err = tx.NewRaw("DELETE FROM compute_consoles WHERE expires_at < ?", now).Exec(ctx)
	return err
}
