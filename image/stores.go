package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/nephos-cloud/nephos"
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
type blobStores struct {
	all    []*blob.Store // the first is the default
	byName map[string]*blob.Store
}

func newBlobStores(all []*blob.Store) (blobStores, error) {
	b := blobStores{all: all, byName: map[string]*blob.Store{}}
	if len(all) == 0 {
		return b, errors.New("it needs a blob store")
	}
	for _, one := range all {
		name := storeName(one)
		if b.byName[name] != nil {
			return b, fmt.Errorf("two stores are called %s: blob.StoreOptions.Name tells them apart", name)
		}
		if strings.ContainsAny(name, ",/") || len(name) > 200 {
			return b, fmt.Errorf("%.300q is no name for a store: it must be short and without commas and slashes", name)
		}
		b.byName[name] = one
	}
	return b, nil
}

func storeName(s *blob.Store) string { return cmp.Or(s.Name(), "default") }

// of returns the store of that name; the default one's is empty.
func (b blobStores) of(name string) (*blob.Store, error) {
	if name == "" {
		return b.all[0], nil
	}
	store := b.byName[name]
	if store == nil {
		return nil, nephos.Errorf(nephos.ErrUnavailable, "the store %s is not there: it was taken out of the configuration", name)
	}
	return store, nil
}

// forget deletes an object from whichever store has it.
func (b blobStores) forget(ctx context.Context, id string, log *slog.Logger) error {
	var errs []error
	for name, store := range b.byName {
		err := store.Delete(ctx, id)
		if errors.Is(err, errors.ErrUnsupported) { // it only reads, so it has none of ours
			log.Debug("a store does not delete", "store", name, "object", id)
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
	store, err := s.blobs.of(row.Store)
	if err != nil || !store.Can(blob.AbilityLocator) {
		return "", err
	}
	return store.Location(ctx, *row.BlobID)
}

// StoreNames implements [Stores].
func (s *Service) StoreNames() []string {
	out := make([]string, len(s.blobs.all))
	for i, store := range s.blobs.all {
		out[i] = storeName(store)
	}
	return out
}

// DeleteFromStore implements [Stores].
func (s *Service) DeleteFromStore(ctx context.Context, store, id string) error {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return s.unlessUnknown(ctx, nil)
	}
	if s.blobs.byName[store] == nil {
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
	return cmp.Or(img.Store, storeName(s.blobs.all[0]))
}
