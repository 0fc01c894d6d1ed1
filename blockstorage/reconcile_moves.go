package blockstorage

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// A volume moves in three steps, of which each is written down before the next
// begins. Stray names the pool that is to have it, and the bytes are copied
// there. In one transaction the two pools change places: now Stray names the one
// that has the old copy. That copy is deleted. Whatever ends in between, Stray
// always names the pool in which something may lie that is not the volume.

// stepRetype has the volume's pool change it, or finds it another pool.
func (s *Service) stepRetype(ctx context.Context, it *reconcile.Item, pool *volume.Pool, row *volumeRow) (reconcile.Next, error) {
	db := s.cfg.Store.Reader()
	was, err := loadType(ctx, db, row.TypeID)
	if err != nil {
		return reconcile.Next{}, err
	}
	t, err := loadType(ctx, db, row.ToType)
	if err != nil {
		return reconcile.Next{}, err
	}
	limits, err := limitsFor(ctx, db, t, row.SizeGiB)
	if err != nil {
		return s.giveUpVolume(ctx, it, err)
	}
	candidates, err := s.candidates(ctx, limiting(limits, movable(pool)))
	if err != nil {
		return reconcile.Next{}, err
	}
	here := s.backend(s.poolName(*row))
	req := scheduler.VolumeRequest{ID: row.ID, ProjectID: row.ProjectID, SizeGB: int64(row.SizeGiB), Zone: row.Zone, ExtraSpecs: t.ExtraSpecs}
	if pool.Can(volume.AbilityRetyper) || sameToPools(was, t) {
		judged, fits := s.fits(candidates, req, here)
		if !fits && !row.MayMove {
			if err := s.keepRefusal(ctx, it, row.ID, judged); err != nil {
				return reconcile.Next{}, err
			}
		}
		if fits {
			finished, next, err := s.pooled(ctx, it, row.Status, busy{row.BusyBy, row.BusyUntil}, s.markVolume(row.ID), func(ctx context.Context) error {
				if !pool.Can(volume.AbilityRetyper) {
					return nil
				}
				spec, err := s.volumeSpec(ctx, row, t)
				if err != nil {
					return err
				}
				return pool.Retype(ctx, row.ID, spec)
			})
			switch {
			case !finished:
				return next, err
			case err == nil:
				return s.volumeDone(ctx, it, pool, row)
			case errors.Is(err, errors.ErrUnsupported): // somewhere else, then
			case hopeless(err) || errors.Is(err, nephos.ErrConflict):
				return s.giveUpVolume(ctx, it, err)
			default:
				return next, err
			}
		}
	}
	if !row.MayMove {
		return s.giveUpVolume(ctx, it, nephos.Errorf(nephos.ErrConflict, "Retype requires migration but is not allowed."))
	}
	if inUse, err := s.inUse(ctx, row.ID); err != nil || inUse {
		if err != nil {
			return reconcile.Next{}, err
		}
		return s.giveUpVolume(ctx, it, errors.New("the volume would have to be moved to another pool, and is attached: detach it first"))
	}
	if n, err := db.NewSelect().Model((*snapshotRow)(nil)).Where("snap.volume_id = ?", row.ID).Count(ctx); err != nil || n > 0 {
		if err != nil {
			return reconcile.Next{}, err
		}
		return s.giveUpVolume(ctx, it, errors.New("the volume would have to be moved to another pool, and must not have snapshots for that"))
	}
	req.Ignore = []string{here}
	chosen, err := s.choose.SelectPool(candidates, req, scheduler.Options{})
	if err != nil {
		return s.noPool(ctx, it, row.ID, chosen, err)
	}
	_, name, _ := strings.Cut(chosen.Choices[0].Host.ID, "#")
	return reconcile.Done(), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := s.keepDecision(ctx, tx, row.ID, chosen.Explanation); err != nil {
			return err
		}
		_, err := tx.NewRaw("UPDATE blockstorage_volumes SET stray = ?, migration_status = ? WHERE id = ? AND status = ? AND to_type = ?",
			name, moveMigrating, row.ID, Retyping, row.ToType).Exec(ctx)
		if err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Again(time.Time{}))
	})
}

// movable is what a pool must offer to take over a volume of the other one.
func movable(from *volume.Pool) func(to *volume.Pool) bool {
	return func(to *volume.Pool) bool {
		return to == from || to.Can(volume.AbilityMigrator) && from.Can(volume.AbilityMigrator) ||
			to.Can(volume.AbilityImageWriter) && from.Can(volume.AbilityImageReader)
	}
}

// sameToPools reports whether two types differ only in what chooses a pool.
func sameToPools(a, b Type) bool {
	plain := func(t Type) map[string]string {
		out := maps.Clone(t.ExtraSpecs)
		maps.DeleteFunc(out, func(k, _ string) bool {
			return k == "volume_backend_name" || k == "multiattach" || strings.HasPrefix(k, "RESKEY:") || strings.HasPrefix(k, "capabilities:")
		})
		return out
	}
	return a.QoSID == b.QoSID && maps.Equal(plain(a), plain(b))
}

// fits reports whether the pool of a volume may have it with what the request
// asks for, and why. It has the room already.
func (s *Service) fits(all []scheduler.Pool, req scheduler.VolumeRequest, backend string) (scheduler.Explanation, bool) {
	for _, p := range all {
		if p.ID == backend {
			p.TotalGB, p.FreeGB = -1, -1
			judged, err := s.choose.SelectPool([]scheduler.Pool{p}, req, scheduler.Options{})
			return judged.Explanation, err == nil
		}
	}
	return scheduler.Explanation{RequestID: req.ID, Kind: "pool", Wanted: 1}, false
}

// noPool ends the way of a volume to another pool where there is none for it,
// and keeps why.
func (s *Service) noPool(ctx context.Context, it *reconcile.Item, id string, d scheduler.Decision, err error) (reconcile.Next, error) {
	if errors.Is(err, nephos.ErrNoCapacity) {
		if err := s.keepRefusal(ctx, it, id, d.Explanation); err != nil {
			return reconcile.Next{}, err
		}
	}
	if hopeless(err) {
		return s.giveUpVolume(ctx, it, err)
	}
	return reconcile.Next{}, err
}

// stepMove copies a volume to the pool Stray.
func (s *Service) stepMove(ctx context.Context, it *reconcile.Item, from *volume.Pool, row *volumeRow) (reconcile.Next, error) {
	db := s.cfg.Store.Reader()
	// What is being made of it reads it where it is.
	if waiting, err := dependants(ctx, db, "source_volume_id", row.ID); err != nil || waiting > 0 {
		return reconcile.Again(s.cfg.Clock.Now().Add(time.Second)), err
	}
	to, err := s.pools.Of(row.Stray)
	if err != nil {
		return reconcile.Next{}, err
	}
	typeID := row.TypeID
	if row.ToType != "" {
		typeID = row.ToType
	}
	t, err := loadType(ctx, db, typeID)
	if err != nil {
		return reconcile.Next{}, err
	}
	if row.MigrationStatus == moveStarting {
		return s.beginMove(ctx, it, from, row, t)
	}
	finished, next, err := s.pooled(ctx, it, "moving to "+row.Stray, busy{row.BusyBy, row.BusyUntil}, s.markVolume(row.ID), func(ctx context.Context) error {
		spec, err := s.volumeSpec(ctx, row, t)
		if err != nil {
			return err
		}
		return to.MigrateFrom(ctx, row.ID, spec, from, row.ID)
	})
	switch {
	case !finished:
		return next, err
	case err != nil && (hopeless(err) || errors.Is(err, nephos.ErrConflict)):
		return s.giveUpVolume(ctx, it, err)
	case err != nil:
		return next, err
	}
	v, err := to.Get(ctx, row.ID)
	if err != nil {
		return reconcile.Next{}, err
	}
	return reconcile.Done(), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var rows []volumeRow
		if err := selectVolumes(tx, &rows).Where("vol.id = ?", row.ID).Scan(ctx); err != nil {
			return err
		}
		if len(rows) == 1 && rows[0].moving() && rows[0].Stray == row.Stray && rows[0].Status == row.Status && rows[0].ToType == row.ToType {
			if err := s.arrive(ctx, tx, &rows[0], v.Format, t); err != nil {
				return err
			}
		}
		return it.Settle(ctx, tx, reconcile.Again(time.Time{}))
	})
}

// beginMove asks the scheduler whether the pool that an operator named may have
// the volume.
func (s *Service) beginMove(ctx context.Context, it *reconcile.Item, from *volume.Pool, row *volumeRow, t Type) (reconcile.Next, error) {
	limits, err := limitsFor(ctx, s.cfg.Store.Reader(), t, row.SizeGiB)
	if err != nil {
		return s.giveUpVolume(ctx, it, err)
	}
	candidates, err := s.candidates(ctx, limiting(limits, movable(from)))
	if err != nil {
		return reconcile.Next{}, err
	}
	req := scheduler.VolumeRequest{ID: row.ID, ProjectID: row.ProjectID, SizeGB: int64(row.SizeGiB), Zone: row.Zone, ExtraSpecs: t.ExtraSpecs}
	for _, c := range candidates {
		if c.ID != s.backend(row.Stray) {
			req.Ignore = append(req.Ignore, c.ID)
		}
	}
	chosen, err := s.choose.SelectPool(candidates, req, scheduler.Options{})
	if err != nil {
		return s.noPool(ctx, it, row.ID, chosen, err)
	}
	return reconcile.Done(), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := s.keepDecision(ctx, tx, row.ID, chosen.Explanation); err != nil {
			return err
		}
		_, err := tx.NewRaw("UPDATE blockstorage_volumes SET migration_status = ? WHERE id = ? AND migration_status = ? AND stray = ?",
			moveMigrating, row.ID, moveStarting, row.Stray).Exec(ctx)
		if err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Again(time.Time{}))
	})
}

// arrive writes down that the volume is what was copied, and that what it was
// is to be deleted.
func (s *Service) arrive(ctx context.Context, tx *store.Tx, row *volumeRow, format string, t Type) error {
	by, err := attachmentsOf(ctx, tx, row.ID)
	if err != nil {
		return err
	}
	status, servers := statusBy(by[row.ID])
	row.Pool, row.Stray = row.Stray, s.poolName(*row)
	row.Format, row.MigrationStatus, row.Status = format, moveCompleting, status
	s.become(row, t)
	row.Reason, row.BusyBy, row.BusyUntil = "", "", nil
	row.touch(tx.Now())
	if err := save(ctx, tx, row); err != nil {
		return err
	}
	return s.emitVolume(ctx, tx, "migrated", *row, servers...)
}

// become gives a volume the type that it was to have.
func (s *Service) become(row *volumeRow, t Type) {
	row.TypeID, row.TypeName, row.MultiAttach, row.ToType, row.MayMove = t.ID, t.Name, t.multiattach(), "", false
	row.Limited = row.Limited || t.QoSID != ""
}

// tidy deletes what lies in the pool Stray, which is not the volume.
func (s *Service) tidy(ctx context.Context, it *reconcile.Item, row *volumeRow) (reconcile.Next, error) {
	pool, err := s.pools.Of(row.Stray)
	if err != nil {
		return reconcile.Next{}, err
	}
	finished, next, err := s.pooled(ctx, it, "tidying "+row.Stray, busy{row.BusyBy, row.BusyUntil}, s.markVolume(row.ID), func(ctx context.Context) error {
		return pool.Delete(ctx, row.ID)
	})
	if !finished || err != nil {
		return next, err
	}
	return reconcile.Done(), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.NewRaw(`UPDATE blockstorage_volumes SET stray = '', busy_by = '', busy_until = NULL,
			migration_status = CASE WHEN migration_status = ? THEN ? ELSE migration_status END WHERE id = ? AND stray = ?`,
			moveCompleting, moveSuccess, row.ID, row.Stray).Exec(ctx)
		if err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Again(time.Time{}))
	})
}
