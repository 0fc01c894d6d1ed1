package image

import (
	"cmp"
	"context"
	"errors"
	"log/slog"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/blob"
)

// Stores is what the Image API's views of the stores need.
type Stores interface {
	// StoreNames names the stores, the default one first.
	StoreNames() []string
	// StoreOf names the store that has an image's bytes; empty until it has any.
	StoreOf(img Image) string
	// DeleteFromStore deletes an image's bytes from one of the stores that have
	// them. As an image's bytes are in one store only, it is refused: what the error
	// says is what speaks against it first.
	DeleteFromStore(ctx context.Context, store, id string) error
}

var _ Stores = (*Service)(nil)

// blobStores are where bytes live, by name.
type blobStores struct{ driver.Named[*blob.Store] }

func newBlobStores(all []*blob.Store) (blobStores, error) {
	n, err := driver.NewNamed(all, driver.Names{What: "store", Option: "blob.StoreOptions.Name", Default: "default", Without: ",/"})
	return blobStores{n}, err
}

// forget deletes an object from whichever store has it.
func (b blobStores) forget(ctx context.Context, id string, log *slog.Logger) error {
	var errs []error
	for _, store := range b.All() {
		err := store.Delete(ctx, id)
		if errors.Is(err, errors.ErrUnsupported) { // it only reads, so it has none of ours
			log.Debug("a store does not delete", "store", b.NameOf(store), "object", id)
			continue
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Locate tells where an active image's bytes are, as its store names it, for a
// storage pool that can share them; empty where the store does not tell.
func (s *Service) Locate(ctx context.Context, id string) (string, error) {
	img, row, err := s.load(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return "", s.unlessUnknown(ctx, err)
	}
	if err := s.enforceOn(ctx, "download_image", img); err != nil {
		return "", err
	}
	if row.BlobID == nil || row.Status != Active {
		return "", nil
	}
	store, err := s.blobs.Of(row.Store)
	if err != nil || !store.Can(blob.AbilityLocator) {
		return "", err
	}
	return store.Location(ctx, *row.BlobID)
}

// StoreNames implements [Stores].
func (s *Service) StoreNames() []string {
	out := make([]string, len(s.blobs.All()))
	for i, store := range s.blobs.All() {
		out[i] = s.blobs.NameOf(store)
	}
	return out
}

// DeleteFromStore implements [Stores].
func (s *Service) DeleteFromStore(ctx context.Context, store, id string) error {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return s.unlessUnknown(ctx, nil)
	}
	if !s.blobs.Has(store) {
		return nephos.Errorf(nephos.ErrConflict, "The selected store %.64s is not available on this node.", store)
	}
	img, _, err := s.load(ctx, s.cfg.Store.Reader(), id)
	if errors.Is(err, nephos.ErrNotFound) {
		return nephos.Errorf(nephos.ErrNotFound, "Failed to find image %.64s", id)
	}
	if err != nil {
		return err
	}
	for _, rule := range []string{"get_image_location", "delete_image_location"} {
		if err := s.enforceOn(ctx, rule, img); err != nil {
			return err
		}
	}
	if img.Status != Active {
		return nephos.Errorf(nephos.ErrConflict, "It's not allowed to remove image data from store if image status is not 'active'")
	}
	return nephos.Errorf(nephos.ErrForbidden, "Cannot delete image data from the only store containing it. Consider deleting the image instead.")
}

// StoreOf implements [Stores].
func (s *Service) StoreOf(img Image) string {
	if img.Size == nil || img.Status == Uploading {
		return ""
	}
	return cmp.Or(img.Store, s.blobs.Default())
}
