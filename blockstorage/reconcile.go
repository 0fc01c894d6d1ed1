package blockstorage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

const (
	kindVolume     = "blockstorage.volume"
	kindSnapshot   = "blockstorage.snapshot"
	kindAttachment = "blockstorage.attachment"
)

// Kinds returns the kinds of work that a queue must run for the service.
func (s *Service) Kinds() []reconcile.Kind {
	return []reconcile.Kind{
		{Name: kindVolume, Handle: s.stepVolume, GiveUp: s.giveUpVolume, Deadline: s.cfg.Deadline},
		{Name: kindSnapshot, Handle: s.stepSnapshot, GiveUp: s.giveUpSnapshot, Deadline: s.cfg.Deadline},
		// A volume that cannot be disconnected is tried for ever: nobody else may
		// have it.
		{Name: kindAttachment, Handle: s.stepAttachment},
	}
}

// hopeless reports whether trying again cannot help.
func hopeless(err error) bool {
	for _, kind := range []error{
		nephos.ErrInvalid, errors.ErrUnsupported, nephos.ErrNoCapacity, nephos.ErrNotFound, nephos.ErrForbidden, nephos.ErrTooLarge, nephos.ErrGone,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

func (s *Service) volumeRow(ctx context.Context, id string) (*volumeRow, error) {
	var rows []volumeRow
	if err := selectVolumes(s.cfg.Store.Reader(), &rows).Where("vol.id = ?", id).Scan(ctx); err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// stepVolume takes a volume one step on.
func (s *Service) stepVolume(ctx context.Context, it *reconcile.Item) (reconcile.Next, error) {
	row, err := s.volumeRow(ctx, it.ID)
	if err != nil || row == nil {
		return reconcile.Done(), err
	}
	if row.Status == Creating && row.Pool == "" {
		switch err := s.place(ctx, it, row); {
		case err != nil && hopeless(err):
			return s.giveUpVolume(ctx, it, err)
		case err != nil:
			return reconcile.Next{}, err
		}
		s.cfg.Crash.Here("pool chosen")
	}
	pool, err := s.pools.Of(row.Pool)
	if err != nil {
		return reconcile.Next{}, err
	}
	switch {
	case row.Stray == "" || row.Status == Deleting:
	case !row.moving():
		return s.tidy(ctx, it, row)
	case row.Status == Available || row.Status == Maintenance || row.Status == Retyping:
		return s.stepMove(ctx, it, pool, row)
	}
	var call func(ctx context.Context) error
	switch row.Status {
	case Creating:
		call = func(ctx context.Context) error { return s.makeVolume(ctx, pool, row) }
	case Deleting:
		return s.stepDelete(ctx, it, pool, row)
	case Managing:
		return s.stepManage(ctx, it, pool, row)
	case Unmanaging:
		return s.stepUnmanage(ctx, it, pool, row)
	case Retyping:
		return s.stepRetype(ctx, it, pool, row)
	case Extending:
		inUse, err := s.inUse(ctx, row.ID)
		if err != nil {
			return reconcile.Next{}, err
		}
		call = func(ctx context.Context) error {
			return pool.Extend(ctx, row.ID, row.NewSize, volume.ExtendOptions{InUse: inUse})
		}
	case Reverting:
		call = func(ctx context.Context) error { return pool.Revert(ctx, row.ID, row.TargetID) }
	case Uploading:
		if row.TargetID == "" {
			return s.abandonUpload(ctx, it, row)
		}
		call = func(ctx context.Context) error { return s.upload(ctx, pool, row) }
	default:
		return reconcile.Done(), nil
	}
	finished, next, err := s.pooled(ctx, it, row.Status, busy{row.BusyBy, row.BusyUntil}, s.markVolume(row.ID), call)
	switch {
	case !finished:
		return next, err
	case errors.Is(err, nephos.ErrNoCapacity) && s.canMove(row):
		return s.elsewhere(ctx, it, pool, row)
	case err != nil && hopeless(err):
		return s.giveUpVolume(ctx, it, err)
	case err != nil:
		return next, err
	}
	return s.volumeDone(ctx, it, pool, row)
}

// markVolume writes a claim.
func (s *Service) markVolume(id string) func(ctx context.Context, tx *store.Tx, b busy) error {
	return func(ctx context.Context, tx *store.Tx, b busy) error {
		_, err := tx.NewRaw("UPDATE blockstorage_volumes SET busy_by = ?, busy_until = ? WHERE id = ?", b.by, b.until, id).Exec(ctx)
		return err
	}
}

// makeVolume has the pool make a volume.
func (s *Service) makeVolume(ctx context.Context, pool *volume.Pool, row *volumeRow) error {
	t, err := loadType(ctx, s.cfg.Store.Reader(), row.TypeID)
	if err != nil {
		return err
	}
	spec, err := s.volumeSpec(ctx, row, t)
	if err != nil {
		return err
	}
	switch {
	case row.ImageID != "":
		return s.fromImage(ctx, pool, row, spec)
	case row.SourceVolumeID != "":
		return pool.Clone(ctx, row.ID, spec, row.SourceVolumeID)
	case row.SnapshotID != "":
		var snaps []snapshotRow
		if err := s.cfg.Store.Reader().NewSelect().Model(&snaps).Where("snap.id = ?", row.SnapshotID).Scan(ctx); err != nil {
			return err
		}
		if len(snaps) == 0 {
			return snapshotNotFound(row.SnapshotID)
		}
		return pool.CreateFromSnapshot(ctx, row.ID, spec, snaps[0].VolumeID, row.SnapshotID)
	}
	return pool.Create(ctx, row.ID, spec)
}

// volumeSpec is what a pool is told of a volume of the type.
func (s *Service) volumeSpec(ctx context.Context, row *volumeRow, t Type) (volume.Spec, error) {
	spec := volume.Spec{SizeGiB: row.SizeGiB, ExtraSpecs: t.ExtraSpecs}
	if row.Name != nil {
		spec.Name = *row.Name
	}
	limits, err := limitsFor(ctx, s.cfg.Store.Reader(), t, row.SizeGiB)
	if err == nil && !limits.IsZero() {
		spec.Limits = &limits
	}
	return spec, err
}

func (s *Service) fromImage(ctx context.Context, pool *volume.Pool, row *volumeRow, spec volume.Spec) error {
	if s.cfg.Images == nil {
		return notBuilt("creating a volume of an image")
	}
	if done, err := s.cloneImage(ctx, pool, row, spec); done || err != nil {
		return err
	}
	img, body, err := s.cfg.Images.Open(ctx, row.ImageID)
	if err != nil {
		return fmt.Errorf("opening image %s: %w", row.ImageID, err)
	}
	defer body.Close()
	in := volume.Image{Body: body, Format: img.DiskFormat}
	if img.Size != nil {
		in.Size = *img.Size
	}
	if img.VirtualSize != nil {
		in.VirtualSize = *img.VirtualSize
	}
	return pool.CreateFromImage(ctx, row.ID, spec, in)
}

// cloneImage makes a volume that shares the image's bytes, where both lie on the
// same storage; not done where they do not.
func (s *Service) cloneImage(ctx context.Context, pool *volume.Pool, row *volumeRow, spec volume.Spec) (done bool, err error) {
	locator, ok := s.cfg.Images.(ImageLocator)
	if !ok || !pool.Can(volume.AbilityImageCloner) {
		return false, nil
	}
	img, err := s.cfg.Images.Image(ctx, row.ImageID)
	if err != nil || img.VirtualSize == nil {
		return false, err
	}
	from := volume.ImageLocation{Format: img.DiskFormat, VirtualSize: *img.VirtualSize}
	if from.Location, err = locator.Locate(ctx, img.ID); err != nil || from.Location == "" {
		return false, err
	}
	switch err := pool.CloneImage(ctx, row.ID, spec, from); {
	case err == nil:
		return true, nil
	case errors.Is(err, errors.ErrUnsupported): // another storage: its bytes are streamed
		return false, nil
	default:
		return false, err
	}
}

// abandonUpload frees a volume whose upload never got an image: the request
// that began it died.
func (s *Service) abandonUpload(ctx context.Context, it *reconcile.Item, row *volumeRow) (reconcile.Next, error) {
	if row.UpdatedAt != nil {
		if due := row.UpdatedAt.Add(uploadGrace); s.cfg.Clock.Now().Before(due) {
			return reconcile.Again(due), nil
		}
	}
	return reconcile.Done(), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := s.settle(ctx, tx, row.ID, Uploading); err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Done())
	})
}

// upload streams a volume into its image. An image that is complete already
// was finished by an earlier try.
func (s *Service) upload(ctx context.Context, pool *volume.Pool, row *volumeRow) error {
	if s.cfg.Sink == nil {
		return notBuilt("making images of volumes")
	}
	img, err := s.cfg.Sink.Image(ctx, row.TargetID)
	if err != nil {
		return err
	}
	if img.Status == image.Active {
		return nil
	}
	body, err := pool.Read(ctx, row.ID)
	if err != nil {
		return err
	}
	defer body.Close()
	return s.cfg.Sink.Upload(ctx, img.ID, body, -1)
}

// inUse tells whether anybody has a volume, or may have it by now.
func (s *Service) inUse(ctx context.Context, id string) (bool, error) {
	by, err := attachmentsOf(ctx, s.cfg.Store.Reader(), id)
	status, _ := statusBy(by[id])
	return status == InUse || status == Detaching || status == Attaching, err
}

// volumeDone records that the pool did what the status asked for.
func (s *Service) volumeDone(ctx context.Context, it *reconcile.Item, pool *volume.Pool, was *volumeRow) (reconcile.Next, error) {
	format := was.Format
	if was.Status == Creating || was.Status == Managing {
		v, err := pool.Get(ctx, was.ID)
		if err != nil {
			return reconcile.Next{}, err
		}
		format = v.Format
	}
	return reconcile.Done(), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var rows []volumeRow
		if err := selectVolumes(tx, &rows).Where("vol.id = ?", was.ID).Scan(ctx); err != nil {
			return err
		}
		if len(rows) == 0 || rows[0].Status != was.Status || rows[0].NewSize != was.NewSize || rows[0].TargetID != was.TargetID ||
			rows[0].ToType != was.ToType {
			// It was told something else meanwhile: look again.
			return it.Settle(ctx, tx, reconcile.Again(time.Time{}))
		}
		row := rows[0]
		by, err := attachmentsOf(ctx, tx, row.ID)
		if err != nil {
			return err
		}
		status, servers := statusBy(by[row.ID])
		verb := "update"
		switch row.Status {
		case Creating:
			row.Format, verb = format, "available"
		case Managing:
			row.Format, verb = format, "managed"
		case Extending:
			row.SizeGiB, row.NewSize, verb = row.NewSize, 0, "extend"
		case Retyping:
			t, err := loadType(ctx, tx, row.ToType)
			if err != nil {
				return err
			}
			s.become(&row, t)
			verb = "retype"
		case Reverting:
			_, err := tx.NewRaw("UPDATE blockstorage_snapshots SET status = ? WHERE id = ? AND status = ?", Available, row.TargetID, Restoring).Exec(ctx)
			if err != nil {
				return err
			}
		}
		row.Status, row.TargetID, row.Reason, row.BusyBy, row.BusyUntil = status, "", "", "", nil
		row.touch(tx.Now())
		if err := save(ctx, tx, &row); err != nil {
			return err
		}
		if err := s.emitVolume(ctx, tx, verb, row, servers...); err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Done())
	})
}

// stepDelete takes a volume away: its snapshots first, then its attachments,
// then itself.
func (s *Service) stepDelete(ctx context.Context, it *reconcile.Item, pool *volume.Pool, row *volumeRow) (reconcile.Next, error) {
	db := s.cfg.Store.Reader()
	waiting, err := dependants(ctx, db, "source_volume_id", row.ID)
	if err != nil {
		return reconcile.Next{}, err
	}
	n, err := db.NewSelect().Model((*snapshotRow)(nil)).Where("snap.volume_id = ? AND snap.status = ?", row.ID, Deleting).Count(ctx)
	if err != nil {
		return reconcile.Next{}, err
	}
	if waiting+int(n) > 0 {
		return reconcile.Again(s.cfg.Clock.Now().Add(time.Second)), nil
	}
	var attached []attachmentRow
	if err := db.NewSelect().Model(&attached).Where("att.volume_id = ?", row.ID).Scan(ctx); err != nil {
		return reconcile.Next{}, err
	}
	finished, next, err := s.pooled(ctx, it, row.Status, busy{row.BusyBy, row.BusyUntil}, s.markVolume(row.ID), func(ctx context.Context) error {
		for _, a := range attached {
			if a.Host == "" {
				continue
			}
			if err := pool.Disconnect(ctx, a.VolumeID, a.connector()); err != nil {
				return err
			}
		}
		if row.Stray != "" {
			stray, err := s.pools.Of(row.Stray)
			if err != nil {
				return err
			}
			if err := stray.Delete(ctx, row.ID); err != nil {
				return err
			}
		}
		return pool.Delete(ctx, row.ID)
	})
	if !finished || err != nil {
		return next, err
	}
	return reconcile.Done(), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := forget(ctx, tx, row.ID); err != nil {
			return err
		}
		if err := s.emitVolume(ctx, tx, "deleted", *row); err != nil {
			return err
		}
		return it.Settle(ctx, tx, reconcile.Done())
	})
}

// giveUpVolume ends what cannot be done in a state that says so, with the
// reason. What was half made is given back as far as the pool lets go of it;
// the rest goes when the volume is deleted.
func (s *Service) giveUpVolume(ctx context.Context, it *reconcile.Item, cause error) (reconcile.Next, error) {
	row, err := s.volumeRow(ctx, it.ID)
	if err != nil || row == nil {
		return reconcile.Done(), err
	}
	if row.Stray != "" && !row.moving() && row.Status != Deleting {
		return s.tidy(ctx, it, row) // for ever, if need be
	}
	if row.Status == Creating || row.Status == Managing {
		s.mu.Lock()
		running := s.tasks[it.Kind+" "+it.ID]
		s.mu.Unlock()
		if running != nil {
			select {
			case <-running.done:
			default:
				return reconcile.Again(s.cfg.Clock.Now().Add(patience)), nil // its end first
			}
		}
		if row.Status == Managing {
			if err := s.giveBack(ctx, row); err != nil {
				return reconcile.Next{}, err // whose bytes are not ours to delete
			}
		}
		pool, err := s.pools.Of(row.Pool)
		if err == nil && row.Pool != "" && row.Status == Creating {
			err = pool.Delete(ctx, row.ID)
		}
		if err != nil {
			s.cfg.Log.Warn("giving back a volume that could not be made", "volume", row.ID, "error", err)
		}
	}
	s.cfg.Log.Warn("giving up on a volume", "volume", row.ID, "status", row.Status, "error", cause)
	return reconcile.Done(), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var rows []volumeRow
		if err := selectVolumes(tx, &rows).Where("vol.id = ?", row.ID).Scan(ctx); err != nil {
			return err
		}
		if len(rows) == 0 || rows[0].Status != row.Status || rows[0].moving() != row.moving() {
			return it.Settle(ctx, tx, reconcile.Again(time.Time{}))
		}
		row := rows[0]
		row.Reason = clip(cause.Error())
		end := reconcile.Done()
		if row.moving() {
			row.MigrationStatus, end = moveError, reconcile.Again(time.Time{}) // what was copied goes
			if row.Status == Available {
				row.Status = Maintenance
			}
		}
		switch row.Status {
		case Creating:
			row.Status = Errored
		case Managing:
			row.Status, row.SizeGiB = ErrorManaging, 0
		case Deleting, Unmanaging:
			row.Status = ErrorDeleting
		case Extending:
			row.Status, row.NewSize = ErrorExtending, 0
		case Reverting:
			row.Status = Errored
			_, err := tx.NewRaw("UPDATE blockstorage_snapshots SET status = ? WHERE id = ? AND status = ?", Available, row.TargetID, Restoring).Exec(ctx)
			if err != nil {
				return err
			}
		case Uploading, Retyping, Maintenance:
			by, err := attachmentsOf(ctx, tx, row.ID)
			if err != nil {
				return err
			}
			row.Status, _ = statusBy(by[row.ID]) // the volume itself is whole
			row.ToType, row.MayMove = "", false
		default:
			return it.Settle(ctx, tx, reconcile.Done())
		}
		row.TargetID, row.BusyBy, row.BusyUntil = "", "", nil
		row.touch(tx.Now())
		if err := save(ctx, tx, &row); err != nil {
			return err
		}
		if err := s.emitVolume(ctx, tx, "error", row); err != nil {
			return err
		}
		return it.Settle(ctx, tx, end)
	})
}
