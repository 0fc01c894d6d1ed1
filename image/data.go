package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/image/inspect"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// Data is what the Image API's bytes need.
type Data interface {
	// Upload streams the body into a queued image, which is then active. size is
	// what the sender announces, or -1. Formats that are not set are ErrInvalid,
	// an image that is not queued ErrConflict, content that is not what
	// disk_format says ErrInvalid with a reason of package inspect, and an image
	// deleted meanwhile ErrGone. After a failure the image is queued again.
	Upload(ctx context.Context, id string, body io.Reader, size int64) error
	// UploadTo is Upload into the store of that name; one that there is not is
	// ErrInvalid.
	UploadTo(ctx context.Context, id, store string, body io.Reader, size int64) error
	// Download opens an image's bytes, all or what pick says. An image without
	// bytes is returned with a nil reader; a deactivated one is ErrForbidden for
	// all but admins. Where the bytes are a file on this host the reader is a
	// [*blob.File].
	Download(ctx context.Context, id string, pick Pick) (Image, io.ReadCloser, error)
}

// Pick says which part of an image of size bytes is wanted: length bytes from
// offset on, or from there to the end when length is negative. Its error is the
// download's. Nil picks all.
type Pick func(size int64) (offset, length int64, err error)

// Rejected content has one of the reasons of package inspect; see
// [inspect.Policy.Check]. RejectedContent tells such an error from others.
func RejectedContent(err error) bool {
	var e *nephos.Error
	return errors.As(err, &e) && e.Field == "disk_format" && e.Reason != ""
}

// Upload implements [Data].
func (s *Service) Upload(ctx context.Context, id string, body io.Reader, size int64) error {
	return s.UploadTo(ctx, id, "", body, size)
}

// UploadTo implements [Data].
func (s *Service) UploadTo(ctx context.Context, id, store string, body io.Reader, size int64) error {
	if store != "" && !s.blobs.Has(store) {
		return nephos.Errorf(nephos.ErrInvalid, "Store for identifier %.64s not found", store).WithField("X-Image-Meta-Store")
	}
	img, _, err := s.load(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return s.unlessUnknown(ctx, err)
	}
	if err := s.enforceOn(ctx, "upload_image", img); err != nil {
		return err
	}
	return s.upload(ctx, upload{image: img.ID, store: store, status: Saving, body: body, size: size})
}

// Download implements [Data].
func (s *Service) Download(ctx context.Context, id string, pick Pick) (Image, io.ReadCloser, error) {
	img, row, err := s.load(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return Image{}, nil, s.unlessUnknown(ctx, err)
	}
	if img.Status == Deactivated && !s.seesAll(ctx) {
		if err := s.enforceOn(ctx, "get_image", img); err != nil {
			return Image{}, nil, err
		}
		return Image{}, nil, nephos.Errorf(nephos.ErrForbidden, "The requested image has been deactivated. Image data download is forbidden.")
	}
	if err := s.enforceOn(ctx, "download_image", img); err != nil {
		return Image{}, nil, err
	}
	r, err := s.open(ctx, row, pick)
	return img, r, err
}

// Open returns an image and all its bytes, for the cloud's other services. An
// image that is not active is ErrConflict.
func (s *Service) Open(ctx context.Context, id string) (Image, io.ReadCloser, error) {
	img, r, err := s.Download(ctx, id, nil)
	if err == nil && r == nil {
		err = nephos.Errorf(nephos.ErrConflict, "Image %s is not active.", img.ID)
	}
	return img, r, err
}

// open opens the object of a complete image; nil where there is none.
func (s *Service) open(ctx context.Context, row imageRow, pick Pick) (io.ReadCloser, error) {
	if row.BlobID == nil || row.Size == nil || row.Status != Active && row.Status != Deactivated {
		return nil, nil
	}
	offset, length := int64(0), int64(-1)
	if pick != nil {
		var err error
		if offset, length, err = pick(*row.Size); err != nil {
			return nil, err
		}
	}
	store, err := s.blobs.Of(row.Store)
	if err != nil {
		return nil, err
	}
	r, err := store.Get(ctx, *row.BlobID, offset, length)
	switch {
	case err == nil:
		return r, nil
	case errors.Is(err, nephos.ErrNotFound):
		// Deleted since the row was read; or lost, which the store's log tells.
		return nil, nephos.Errorf(nephos.ErrNotFound, "Image %s has no data.", row.ID)
	}
	return nil, fmt.Errorf("opening the bytes of image %s: %w", row.ID, err)
}

// upload is what somebody sends: the bytes of an image, which is saving or
// uploading meanwhile.
type upload struct {
	image, store, status string
	body                 io.Reader
	size                 int64 // as announced, or -1
}

// attempt is one upload on its way.
type attempt struct {
	image  imageRow
	blobID string
}

// upload does the whole of an upload that the caller may make.
func (s *Service) upload(ctx context.Context, up upload) error {
	at, err := s.beginUpload(ctx, up)
	if err != nil {
		return err
	}
	s.cfg.Crash.Here("upload begun")
	check := s.judge(at.image)
	if at.staged() {
		check = func(inspect.Info) error { return nil } // judged when it is imported
	}
	g := s.newIngest(up.body, up.size, check)
	defer g.stop()
	if err := s.put(ctx, at, g, up.size); err != nil {
		return s.failUpload(ctx, at, err)
	}
	s.cfg.Crash.Here("upload stored")
	if err := s.endUpload(ctx, at, g); err != nil {
		return s.failUpload(ctx, at, err)
	}
	return nil
}

// staged reports whether the bytes wait for an import.
func (at attempt) staged() bool { return at.image.Status == Uploading }

// judge returns how an image's content is judged; nil for a container whose
// content is no disk.
func (s *Service) judge(row imageRow) func(inspect.Info) error {
	format := inspect.Format(deref(row.DiskFormat))
	if !slices.Contains([]string{"bare", "ami", "ari", "aki"}, deref(row.ContainerFormat)) {
		return nil
	}
	return func(info inspect.Info) error { return s.cfg.Inspect.Check(info, format) }
}

// beginUpload moves the image to saving or uploading, and has the attempt looked
// after.
func (s *Service) beginUpload(ctx context.Context, up upload) (attempt, error) {
	id, size := up.image, up.size
	at := attempt{blobID: id + "." + s.cfg.IDs.Hex()}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var rows []imageRow
		if err := tx.NewSelect().Model(&rows).Where("image.id = ?", id).Scan(ctx); err != nil {
			return err
		}
		if len(rows) == 0 {
			return notFound(id)
		}
		row := rows[0]
		if row.Status != Queued {
			return nephos.Errorf(nephos.ErrConflict, "Image status transition from %s to %s is not allowed", row.Status, up.status)
		}
		if err := needFormats(row); err != nil && up.status == Saving {
			return err
		}
		if size > s.cfg.Limits.ImageSize {
			return nephos.Errorf(nephos.ErrTooLarge, "The incoming image is too large: The provided image is too large.")
		}
		if err := s.cfg.Limits.checkUpload(ctx, tx, deref(row.Owner)); err != nil {
			return err
		}
		now := tx.Now()
		row.Status, row.BlobID, row.Store, row.UpdatedAt = up.status, &at.blobID, up.store, now
		if _, err := tx.NewUpdate().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		alive := uploadRow{BlobID: at.blobID, ImageID: row.ID, BeatAt: now}
		if _, err := tx.NewInsert().Model(&alive).Exec(ctx); err != nil {
			return err
		}
		if err := reconcile.Enqueue(ctx, tx, KindBlob, at.blobID, now.Add(s.cfg.UploadLease)); err != nil {
			return err
		}
		at.image = row
		return s.emit(ctx, tx, "image.upload", row, nil)
	})
	return at, err
}

func needFormats(row imageRow) error {
	var missing []string
	if row.DiskFormat == nil {
		missing = append(missing, "disk_format")
	}
	if row.ContainerFormat == nil {
		missing = append(missing, "container_format")
	}
	switch len(missing) {
	case 0:
		return nil
	case 1:
		return nephos.Errorf(nephos.ErrInvalid, "Property %s must be set prior to saving data.", missing[0]).WithField(missing[0]).WithReason("")
	}
	return nephos.Errorf(nephos.ErrInvalid, "Properties %s must be set prior to saving data.", strings.Join(missing, ", "))
}

// put writes the body into the attempt's object while the heartbeat goes on.
func (s *Service) put(ctx context.Context, at attempt, g *ingest, size int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	beaten := make(chan struct{})
	go func() {
		defer close(beaten)
		for {
			select {
			case <-done:
				return
			case <-s.cfg.Clock.After(s.cfg.UploadLease / 3):
			}
			if err := s.beat(ctx, at); err != nil {
				cancel(err)
				return
			}
		}
	}()
	defer func() { close(done); cancel(nil); <-beaten }()
	store, err := s.blobs.Of(at.image.Store)
	if err == nil {
		_, err = store.Put(ctx, at.blobID, g, size)
	}
	if err != nil && context.Cause(ctx) != nil {
		err = context.Cause(ctx)
	}
	return err
}

// errTakenOver ends an attempt that was given up for dead.
var errTakenOver = errors.New("the upload was given up for dead")

// beat shows that the attempt is alive. A database that is out of reach for a
// while does not end it.
func (s *Service) beat(ctx context.Context, at attempt) error {
	lost := false
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		res, err := tx.NewRaw("UPDATE image_uploads SET beat_at = ? WHERE blob_id = ?", tx.Now(), at.blobID).Exec(ctx)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		lost = n == 0
		return err
	})
	if err != nil {
		s.cfg.Log.Warn("an upload's heartbeat was not written", "image", at.image.ID, "error", err)
		return nil
	}
	if lost {
		return errTakenOver
	}
	return nil
}

// endUpload makes the image active, or keeps what was staged.
func (s *Service) endUpload(ctx context.Context, at attempt, g *ingest) error {
	sum, value := g.sums()
	// The bytes are stored: who sent them may hang up now.
	ctx = context.WithoutCancel(ctx)
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row, ok, err := ownRow(ctx, tx, at)
		if err != nil {
			return err
		}
		if !ok {
			return errTakenOver
		}
		if _, err := tx.NewRaw("DELETE FROM image_uploads WHERE blob_id = ?", at.blobID).Exec(ctx); err != nil {
			return err
		}
		size := g.size
		row.Size = &size
		if !at.staged() {
			return s.activate(ctx, tx, row, g.info, sum, value)
		}
		row.UpdatedAt = tx.Now()
		if _, err := tx.NewUpdate().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		if err := stage(ctx, tx, row, g, sum, value); err != nil {
			return err
		}
		return s.emit(ctx, tx, "image.stage", row, map[string]any{"size": size})
	})
}

// activate makes an image whose bytes are stored active.
func (s *Service) activate(ctx context.Context, tx *store.Tx, row imageRow, info inspect.Info, checksum, value string) error {
	algo := "sha512"
	row.Status, row.UpdatedAt = Active, tx.Now()
	row.Checksum, row.HashAlgo, row.HashValue = &checksum, &algo, &value
	row.VirtualSize = nil
	if v := info.VirtualSize; v > 0 && deref(row.ContainerFormat) == "bare" {
		row.VirtualSize = &v
	}
	if _, err := tx.NewUpdate().Model(&row).WherePK().Exec(ctx); err != nil {
		return err
	}
	return s.emit(ctx, tx, "image.activate", row, map[string]any{"size": *row.Size, "checksum": checksum})
}

// ownRow returns the attempt's image; false when it is gone or another's.
func ownRow(ctx context.Context, tx *store.Tx, at attempt) (imageRow, bool, error) {
	var rows []imageRow
	err := tx.NewSelect().Model(&rows).Where("image.blob_id = ? AND image.status = ?", at.blobID, at.image.Status).Scan(ctx)
	if err != nil || len(rows) == 0 {
		return imageRow{}, false, err
	}
	return rows[0], true, nil
}

// failUpload puts the image back to queued and the object away, and returns what
// the caller is told. Where even that fails the attempt's work does it later.
func (s *Service) failUpload(ctx context.Context, at attempt, cause error) error {
	clean := context.WithoutCancel(ctx)
	gone := false
	err := s.cfg.Store.Tx(clean, func(ctx context.Context, tx *store.Tx) error {
		row, ok, err := ownRow(ctx, tx, at)
		if err != nil {
			return err
		}
		gone = !ok
		if ok {
			if err := s.requeue(ctx, tx, row); err != nil {
				return err
			}
		}
		return reconcile.Enqueue(ctx, tx, KindBlob, at.blobID, tx.Now())
	})
	if err != nil {
		s.cfg.Log.Error("an image is left saving after a failed upload until its lease ends", "image", at.image.ID, "error", err)
	}
	var e *nephos.Error
	switch {
	case gone || errors.Is(cause, errTakenOver):
		return nephos.Errorf(nephos.ErrGone, "Image %s could not be found after upload. The image may have been deleted during the upload, "+
			"cleaning up the chunks uploaded.", at.image.ID)
	case errors.As(cause, &e) || ctx.Err() != nil:
		return cause
	case errors.Is(cause, nephos.ErrNoCapacity):
		return &nephos.Error{Kind: nephos.ErrTooLarge, Message: "Image storage media is full: There is not enough disk space on the image storage media.", Cause: cause}
	case errors.Is(cause, io.ErrUnexpectedEOF):
		return &nephos.Error{Kind: nephos.ErrInvalid, Message: "The image data ended before its announced length.", Cause: cause}
	}
	return fmt.Errorf("uploading image %s: %w", at.image.ID, cause)
}

// requeue puts an image whose upload ended without success back to queued.
func (s *Service) requeue(ctx context.Context, tx *store.Tx, row imageRow) error {
	if _, err := tx.NewRaw("DELETE FROM image_uploads WHERE blob_id = ?", deref(row.BlobID)).Exec(ctx); err != nil {
		return err
	}
	if _, err := tx.NewRaw("DELETE FROM image_staged WHERE image_id = ?", row.ID).Exec(ctx); err != nil {
		return err
	}
	row.Status, row.BlobID, row.Size, row.VirtualSize, row.UpdatedAt = Queued, nil, nil, nil, tx.Now()
	if _, err := tx.NewUpdate().Model(&row).WherePK().Exec(ctx); err != nil {
		return err
	}
	return s.emit(ctx, tx, "image.queue", row, nil)
}
