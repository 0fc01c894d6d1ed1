package image

import (
	"context"
	"maps"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// OwnedUpdate changes an image that a service made; what is nil stays.
type OwnedUpdate struct {
	DiskFormat      *string // while the image is queued
	ContainerFormat *string // while the image is queued
	MinDisk, MinRAM *int64
	Properties      map[string]string // merged
	Unset           []string          // properties to remove, if there
}

// EnsureImage returns the image of the owner key, such as a snapshot's; it is
// made on the first call, queued, in the project on whose behalf the caller
// works. When somebody else has deleted it meanwhile the answer is ErrGone: it
// is not made again. It is for the cloud's own services and for admins.
func (s *Service) EnsureImage(ctx context.Context, ownerKey string, spec Spec) (Image, error) {
	if err := s.enforceOwned(ctx, ownerKey); err != nil {
		return Image{}, err
	}
	img, err := s.newImage(ctx, spec)
	if err != nil {
		return Image{}, err
	}
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row, ok, err := ownedRow(ctx, tx, ownerKey)
		if err != nil {
			return err
		}
		if ok {
			img, _, err = s.load(ctx, tx, row.ID)
			return err
		}
		var gone []string
		if err := tx.NewRaw("SELECT id FROM image_deleted WHERE owner_key = ?", ownerKey).Scan(ctx, &gone); err != nil {
			return err
		}
		if len(gone) > 0 {
			return nephos.Errorf(nephos.ErrGone, "Image %s was deleted.", gone[0])
		}
		return s.insert(ctx, tx, img, &ownerKey)
	})
	if err != nil {
		return Image{}, taken(err, img.ID)
	}
	return img, nil
}

// UpdateOwned changes the image of the owner key; ErrNotFound when there is
// none.
func (s *Service) UpdateOwned(ctx context.Context, ownerKey string, u OwnedUpdate) (Image, error) {
	if err := s.enforceOwned(ctx, ownerKey); err != nil {
		return Image{}, err
	}
	var img Image
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row, ok, err := ownedRow(ctx, tx, ownerKey)
		if err != nil {
			return err
		}
		if !ok {
			return notFound(ownerKey)
		}
		old, _, err := s.load(ctx, tx, row.ID)
		if err != nil {
			return err
		}
		img = old
		img.Properties = maps.Clone(old.Properties)
		for name, v := range map[string]*string{"disk_format": u.DiskFormat, "container_format": u.ContainerFormat} {
			if v != nil {
				if err := setAttribute(&img, name, *v); err != nil {
					return err
				}
			}
		}
		if u.MinDisk != nil {
			img.MinDisk = *u.MinDisk
		}
		if u.MinRAM != nil {
			img.MinRAM = *u.MinRAM
		}
		maps.Copy(img.Properties, u.Properties)
		for _, k := range u.Unset {
			delete(img.Properties, k)
		}
		if err := s.cfg.Limits.check(img); err != nil {
			return err
		}
		return s.save(ctx, tx, old, &img, row, "image.update")
	})
	return img, err
}

// DeleteOwned deletes the image of the owner key, protected or not; it succeeds
// when there is none.
func (s *Service) DeleteOwned(ctx context.Context, ownerKey string) error {
	if err := s.enforceOwned(ctx, ownerKey); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row, ok, err := ownedRow(ctx, tx, ownerKey)
		if err != nil || !ok {
			return err
		}
		row.OwnerKey = nil // the owner may begin again
		return s.remove(ctx, tx, row)
	})
}

func (s *Service) enforceOwned(ctx context.Context, ownerKey string) error {
	if ownerKey == "" || len(ownerKey) > maxText {
		return nephos.Errorf(nephos.ErrInvalid, "The owner key must have 1 to %d bytes.", maxText)
	}
	if s.cfg.Policy.Allowed(ctx, "context_is_admin", policy.Target{}) {
		return nil
	}
	return s.enforce(ctx, ruleService, policy.Target{})
}

func ownedRow(ctx context.Context, db bun.IDB, ownerKey string) (imageRow, bool, error) {
	var rows []imageRow
	err := db.NewSelect().Model(&rows).Where("image.owner_key = ?", ownerKey).Scan(ctx)
	if err != nil || len(rows) == 0 {
		return imageRow{}, false, err
	}
	return rows[0], true, nil
}
