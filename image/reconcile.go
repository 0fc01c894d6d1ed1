package image

import (
	"context"
	"time"

	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// KindBlob is the work that looks after one object. Its item's ID is the
// object's.
const KindBlob = "image.blob"

// Kinds returns the service's work, to be added to a queue.
func (s *Service) Kinds() []reconcile.Kind {
	return []reconcile.Kind{{Name: KindBlob, Handle: s.lookAfterBlob, Backoff: time.Second}}
}

// lookAfterBlob keeps the object of an image, waits for an upload that is alive,
// puts the image of a dead one back to queued, and deletes what no image has.
func (s *Service) lookAfterBlob(ctx context.Context, it *reconcile.Item) (reconcile.Next, error) {
	var next *reconcile.Next
	err := it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		next = nil
		var rows []imageRow
		if err := tx.NewSelect().Model(&rows).Where("image.blob_id = ?", it.ID).Scan(ctx); err != nil || len(rows) == 0 {
			return err
		}
		row := rows[0]
		kept := row.Status != Saving
		if row.Status == Uploading {
			var err error
			if kept, err = tx.NewSelect().Model((*stagedRow)(nil)).Where("staged.image_id = ?", row.ID).Exists(ctx); err != nil {
				return err
			}
		}
		if kept {
			n := reconcile.Done()
			next = &n
			return nil
		}
		var ups []uploadRow
		if err := tx.NewSelect().Model(&ups).Where("upload.blob_id = ?", it.ID).Scan(ctx); err != nil {
			return err
		}
		if len(ups) > 0 {
			if until := ups[0].BeatAt.UTC().Add(s.cfg.UploadLease); until.After(tx.Now()) {
				n := reconcile.Again(until)
				next = &n
				return nil
			}
		}
		s.cfg.Log.Warn("an upload died; its image is queued again", "image", row.ID)
		return s.requeue(ctx, tx, row)
	})
	if err != nil {
		return reconcile.Next{}, err
	}
	if next != nil {
		return *next, nil
	}
	if err := s.blobs.forget(ctx, it.ID, s.cfg.Log); err != nil {
		return reconcile.Next{}, err
	}
	s.cfg.Crash.Here("blob deleted")
	return reconcile.Done(), nil
}
