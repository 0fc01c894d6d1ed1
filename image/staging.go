package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/image/inspect"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// Staging is what the Image API's import of an image's bytes in two steps needs:
// they are staged first, and imported when whoever staged them says so.
type Staging interface {
	// Stage streams the body into a queued image, which is uploading from then on.
	// size is what the sender announces, or -1. After a failure the image is queued
	// again.
	Stage(ctx context.Context, id string, body io.Reader, size int64) error
	// ImportStaged judges the bytes that were staged, as an upload is judged, and
	// makes the image active. What is refused is forgotten: the image is queued
	// again. store names where the bytes shall be; empty: where they are.
	ImportStaged(ctx context.Context, id, store string) error
}

var _ Staging = (*Service)(nil)

// stagedRow is what is known of bytes that are staged.
type stagedRow struct {
	bun.BaseModel `bun:"table:image_staged,alias:staged"`

	ImageID   string `bun:"image_id,pk"`
	Checksum  string
	HashValue string
	Info      string // JSON of an inspect.Info
}

// Stage implements [Staging].
func (s *Service) Stage(ctx context.Context, id string, body io.Reader, size int64) error {
	img, _, err := s.load(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return s.unlessUnknown(ctx, err)
	}
	if err := s.enforceOn(ctx, "modify_image", img); err != nil {
		return err
	}
	return s.upload(ctx, upload{image: img.ID, status: Uploading, body: body, size: size})
}

// stage keeps what is known of an attempt's bytes, which are stored.
func stage(ctx context.Context, tx *store.Tx, row imageRow, g *ingest, checksum, value string) error {
	info, err := json.Marshal(g.info)
	if err != nil {
		return err
	}
	staged := stagedRow{ImageID: row.ID, Checksum: checksum, HashValue: value, Info: string(info)}
	_, err = tx.NewInsert().Model(&staged).Exec(ctx)
	return err
}

// ImportStaged implements [Staging].
func (s *Service) ImportStaged(ctx context.Context, id, name string) error {
	var refused error
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		refused = nil
		img, row, err := s.load(ctx, tx, id)
		if err != nil {
			return s.unlessUnknown(ctx, err)
		}
		var staged []stagedRow
		if err := tx.NewSelect().Model(&staged).Where("staged.image_id = ?", row.ID).Scan(ctx); err != nil {
			return err
		}
		if err := importable(img, len(staged) == 1); err != nil {
			return err
		}
		if err := s.enforceOn(ctx, "modify_image", img); err != nil {
			return err
		}
		if err := s.importTo(row, name); err != nil {
			return err
		}
		u, err := usageOf(ctx, tx, img.Owner)
		if err != nil {
			return err
		}
		if err := s.cfg.Limits.checkSize(img.Owner, u); err != nil {
			return err
		}
		var info inspect.Info
		if err := json.Unmarshal([]byte(staged[0].Info), &info); err != nil {
			return fmt.Errorf("reading what image %s was found to be: %w", row.ID, err)
		}
		if check := s.judge(row); check != nil {
			if refused = check(info); refused != nil {
				if err := reconcile.Enqueue(ctx, tx, KindBlob, deref(row.BlobID), tx.Now()); err != nil {
					return err
				}
				return s.requeue(ctx, tx, row)
			}
		}
		if _, err := tx.NewDelete().Model(&staged[0]).WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.activate(ctx, tx, row, info, staged[0].Checksum, staged[0].HashValue)
	})
	return errors.Join(err, refused)
}

// importable says what speaks against importing an image now.
func importable(img Image, staged bool) error {
	switch {
	case img.Status == Active:
		return nephos.Errorf(nephos.ErrConflict, "Image with status active cannot be target for import")
	case img.Status != Uploading || !staged:
		return nephos.Errorf(nephos.ErrConflict, "Image needs to be staged before 'glance-direct' method can be used")
	case img.ContainerFormat == "":
		return nephos.Errorf(nephos.ErrConflict, "'container_format' needs to be set before import").WithField("container_format").WithReason("")
	case img.DiskFormat == "":
		return nephos.Errorf(nephos.ErrConflict, "'disk_format' needs to be set before import").WithField("disk_format").WithReason("")
	}
	return nil
}

// importTo refuses a store that is not there, or not the one that has the bytes.
func (s *Service) importTo(row imageRow, name string) error {
	if name == "" {
		return nil
	}
	if !s.blobs.Has(name) {
		return nephos.Errorf(nephos.ErrConflict, "Store for identifier %.64s not found", name).WithField("stores")
	}
	if has, err := s.blobs.Of(row.Store); err != nil || s.blobs.NameOf(has) != name {
		return errors.Join(err, &nephos.Error{Kind: errors.ErrUnsupported, Field: "stores", Message: "Importing into another store than the default one is not implemented."})
	}
	return nil
}
