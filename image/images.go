package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// CreateImage implements [Images].
func (s *Service) CreateImage(ctx context.Context, spec Spec) (Image, error) {
	img, err := s.newImage(ctx, spec)
	if err != nil {
		return Image{}, err
	}
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		id, first, err := tx.Once(ctx, "image.create_image", img.ID)
		if err != nil {
			return err
		}
		if !first {
			img, _, err = s.load(ctx, tx, id)
			return err
		}
		return s.insert(ctx, tx, img, nil)
	})
	if err != nil {
		return Image{}, taken(err, img.ID)
	}
	return img, nil
}

// newImage checks that the caller may create the image, and makes it.
func (s *Service) newImage(ctx context.Context, spec Spec) (Image, error) {
	c, _ := nephos.CallerFrom(ctx)
	owner := c.ProjectID
	if spec.Owner != nil {
		owner = *spec.Owner
	}
	visibility := cmp.Or(spec.Visibility, Shared)
	target := policy.Target{"project_id": orNil(owner), "owner": orNil(owner), "visibility": visibility}
	if err := s.enforce(ctx, "add_image", target); err != nil {
		if errors.Is(err, nephos.ErrForbidden) && owner != c.ProjectID {
			return Image{}, nephos.Errorf(nephos.ErrForbidden, "You are not permitted to create images owned by '%s'", clip(cmp.Or(owner, "None"))).
				WithReason("PolicyNotAuthorized").WithField("owner")
		}
		return Image{}, err
	}
	if err := s.enforceVisibility(ctx, visibility, target); err != nil {
		return Image{}, err
	}
	now := s.cfg.Clock.Now()
	img := Image{
		ID: cmp.Or(spec.ID, s.cfg.IDs.New()), Name: spec.Name, Status: Queued, Visibility: visibility, Owner: owner,
		DiskFormat: spec.DiskFormat, ContainerFormat: spec.ContainerFormat, MinDisk: spec.MinDisk, MinRAM: spec.MinRAM,
		Protected: spec.Protected, Hidden: spec.Hidden, Tags: sortedSet(spec.Tags), Properties: maps.Clone(spec.Properties),
		CreatedAt: now, UpdatedAt: now,
	}
	if img.Properties == nil {
		img.Properties = map[string]string{}
	}
	if img.Tags == nil {
		img.Tags = []string{}
	}
	return img, s.cfg.Limits.check(img)
}

// enforceVisibility checks the rule that guards becoming visible to others.
func (s *Service) enforceVisibility(ctx context.Context, visibility string, target policy.Target) error {
	switch visibility {
	case Public:
		return s.enforce(ctx, "publicize_image", target)
	case Community:
		return s.enforce(ctx, "communitize_image", target)
	}
	return nil
}

func (s *Service) insert(ctx context.Context, tx *store.Tx, img Image, ownerKey *string) error {
	if err := s.cfg.Limits.checkCreate(ctx, tx, img.Owner); err != nil {
		return err
	}
	var gone []string
	if err := tx.NewRaw("SELECT id FROM image_deleted WHERE id = ?", img.ID).Scan(ctx, &gone); err != nil {
		return err
	}
	if len(gone) > 0 {
		return duplicate(img.ID)
	}
	row := rowOf(img, imageRow{OwnerKey: ownerKey})
	if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
		return err
	}
	if err := saveChildren(ctx, tx, Image{}, img); err != nil {
		return err
	}
	return s.emit(ctx, tx, "image.create", row, nil)
}

func duplicate(id string) error {
	return nephos.Errorf(nephos.ErrConflict, "Image ID %s already exists!", id).WithField("id")
}

func taken(err error, id string) error {
	if store.UniqueViolation(err) {
		return duplicate(id)
	}
	return err
}

// Image implements [Images].
func (s *Service) Image(ctx context.Context, id string) (Image, error) {
	img, _, err := s.load(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return Image{}, s.unlessUnknown(ctx, err)
	}
	if err := s.enforceOn(ctx, "get_image", img); err != nil {
		return Image{}, err
	}
	return img, nil
}

// unlessUnknown tells nobody anything who is not known.
func (s *Service) unlessUnknown(ctx context.Context, err error) error {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return nephos.Errorf(nephos.ErrUnauthenticated, "The request you have made requires authentication.")
	}
	return err
}

// change loads an image, lets f change it once the rule allows it, and saves it.
func (s *Service) change(ctx context.Context, id, rule string, f func(ctx context.Context, img *Image) error) (Image, error) {
	var img Image
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		old, row, err := s.load(ctx, tx, id)
		if err != nil {
			return s.unlessUnknown(ctx, err)
		}
		if err := s.enforceOn(ctx, rule, old); err != nil {
			return err
		}
		img = old
		img.Properties = maps.Clone(old.Properties)
		if err := f(ctx, &img); err != nil {
			return err
		}
		return s.save(ctx, tx, old, &img, row, "image.update")
	})
	return img, err
}

// save writes a changed image and its event.
func (s *Service) save(ctx context.Context, tx *store.Tx, old Image, img *Image, row imageRow, event string) error {
	img.UpdatedAt = tx.Now()
	next := rowOf(*img, row)
	if _, err := tx.NewUpdate().Model(&next).WherePK().Exec(ctx); err != nil {
		return err
	}
	if err := saveChildren(ctx, tx, old, *img); err != nil {
		return err
	}
	return s.emit(ctx, tx, event, next, nil)
}

// DeleteImage implements [Images].
func (s *Service) DeleteImage(ctx context.Context, id string) error {
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		img, row, err := s.load(ctx, tx, id)
		if err != nil {
			return s.unlessUnknown(ctx, err)
		}
		if err := s.enforceOn(ctx, "delete_image", img); err != nil {
			return err
		}
		if img.Protected {
			return nephos.Errorf(nephos.ErrForbidden, "Image %s is protected and cannot be deleted.", img.ID)
		}
		return s.remove(ctx, tx, row)
	})
}

// remove deletes an image's rows, and has its bytes deleted.
func (s *Service) remove(ctx context.Context, tx *store.Tx, row imageRow) error {
	for _, q := range []string{
		"DELETE FROM image_properties WHERE image_id = ?",
		"DELETE FROM image_tags WHERE image_id = ?",
		"DELETE FROM image_members WHERE image_id = ?",
		"DELETE FROM image_uploads WHERE image_id = ?",
		"DELETE FROM image_staged WHERE image_id = ?",
		"DELETE FROM image_images WHERE id = ?",
	} {
		if _, err := tx.NewRaw(q, row.ID).Exec(ctx); err != nil {
			return fmt.Errorf("deleting image %s: %w", row.ID, err)
		}
	}
	if _, err := tx.NewRaw("INSERT INTO image_deleted (id, owner_key, deleted_at) VALUES (?, ?, ?)", row.ID, row.OwnerKey, tx.Now()).Exec(ctx); err != nil {
		return err
	}
	if row.BlobID != nil {
		if err := reconcile.Enqueue(ctx, tx, KindBlob, *row.BlobID, tx.Now()); err != nil {
			return err
		}
	}
	return s.emit(ctx, tx, "image.delete", row, nil)
}
