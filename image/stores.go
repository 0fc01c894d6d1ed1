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

// StoreOf implements [Stores].
func (s *Service) StoreOf(img Image) string {
	if img.Size == nil || img.Status == Uploading {
		return ""
	}
	return cmp.Or(img.Store, storeName(s.blobs.all[0]))
}
