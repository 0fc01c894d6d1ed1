//go:build ceph

package rbd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ceph/go-ceph/rbd"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/internal/ceph"
	"github.com/nephos-cloud/nephos/driver/internal/keyed"
)

const (
	snapshotName = "snap"
	// staleTime is the age from which an image without an entry is removed.
	staleTime = time.Hour
)

// Driver implements blob.Driver, blob.Copier and blob.Locator.
type Driver struct {
	cfg   Config
	pool  *ceph.Pool
	locks keyed.Locks // of objects
}

// Open connects to the cluster, and removes what nobody needs any more.
func Open(ctx context.Context, cfg Config) (*Driver, error) {
	d, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening blob store in Ceph: %w", err)
	}
	return d, nil
}

func open(ctx context.Context, cfg Config) (*Driver, error) {
	cc, err := cfg.check()
	if err != nil {
		return nil, err
	}
	pool, err := ceph.Open(ctx, cc)
	if err != nil {
		return nil, err
	}
	d := &Driver{cfg: cfg, pool: pool}
	if err := pool.Do(ctx, d.sweep); err != nil {
		pool.Close()
		return nil, err
	}
	return d, nil
}

// sweep removes old images that no entry names.
func (d *Driver) sweep() error {
	named := make(map[string]bool)
	for after := ""; ; {
		values, err := d.page(after)
		if err != nil {
			return err
		}
		if len(values) == 0 {
			break
		}
		for id, value := range values {
			after = max(after, id)
			if e, err := parseEntry(id, value); err == nil {
				named[e.Image] = true
			}
		}
	}
	n, err := d.pool.Sweep(func(name string) bool {
		return strings.HasPrefix(name, imagePrefix) && !named[name] && d.stale(name)
	})
	if err == nil && n > 0 {
		d.cfg.Log.Info("removed images that nobody needs", "pool", d.cfg.Pool, "count", n)
	}
	return err
}

func (d *Driver) stale(name string) bool {
	im, err := rbd.OpenImage(d.pool.IO, name, rbd.NoSnapshot)
	if err != nil {
		return ceph.Is(err, ceph.ENOENT)
	}
	defer im.Close()
	made, err := im.GetCreateTimestamp()
	if err != nil || d.cfg.Clock.Now().Sub(time.Unix(made.Sec, made.Nsec)) < staleTime {
		return false
	}
	watchers, err := im.ListWatchers()
	return err == nil && len(watchers) <= 1 // us
}

// Close implements blob.Driver. Readers that are open read on.
func (d *Driver) Close() error {
	d.pool.Close()
	return nil
}

// Stat implements blob.Driver.
func (d *Driver) Stat(ctx context.Context, id string) (blob.Object, error) {
	if err := blob.CheckID(id); err != nil {
		return blob.Object{}, err
	}
	e, err := ceph.Ask(ctx, d.pool, func() (entry, error) { return d.lookup(id) })
	if err != nil {
		return blob.Object{}, fmt.Errorf("looking at object %s: %w", id, err)
	}
	return blob.Object{ID: id, Size: e.Size, Created: e.Created}, nil
}

// List implements blob.Driver, in the order of the IDs.
func (d *Driver) List(ctx context.Context, yield func(blob.Object) bool) error {
	for after := ""; ; {
		values, err := ceph.Ask(ctx, d.pool, func() (map[string][]byte, error) { return d.page(after) })
		if err != nil {
			return fmt.Errorf("listing objects: %w", err)
		}
		if len(values) == 0 {
			return nil
		}
		for _, id := range slices.Sorted(maps.Keys(values)) {
			after = id
			e, err := parseEntry(id, values[id])
			if err != nil {
				return fmt.Errorf("listing objects: %w", err)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if !yield(blob.Object{ID: id, Size: e.Size, Created: e.Created}) {
				return nil
			}
		}
	}
}

// Get implements blob.Driver.
func (d *Driver) Get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	if err := blob.CheckID(id); err != nil {
		return nil, err
	}
	r, err := ceph.Ask(ctx, d.pool, func() (io.ReadCloser, error) { return d.get(ctx, id, offset, length) })
	if err != nil {
		return nil, fmt.Errorf("opening object %s: %w", id, err)
	}
	return r, nil
}

func (d *Driver) get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	for range 3 { // it may be replaced between the two looks
		e, err := d.lookup(id)
		if err != nil {
			return nil, err
		}
		n, err := blob.Range(e.Size, offset, length)
		if err != nil {
			return nil, err
		}
		// Opened this way the cluster knows that somebody reads.
		im, err := rbd.OpenImage(d.pool.IO, e.Image, snapshotName)
		if ceph.Is(err, ceph.ENOENT) {
			continue
		}
		if err != nil {
			return nil, ceph.Meaning(err)
		}
		leave, err := d.pool.Enter()
		if err != nil {
			return nil, errors.Join(err, im.Close())
		}
		return ceph.NewReader(ctx, im, offset, n, func() error {
			defer leave()
			err := ceph.Meaning(im.Close())
			if now, lookErr := d.lookup(id); errors.Is(lookErr, nephos.ErrNotFound) || lookErr == nil && now.Image != e.Image {
				d.drop(e.Image) // it was only kept for us
			}
			return err
		}), nil
	}
	return nil, nephos.Errorf(nephos.ErrUnavailable, "the image of object %s is not there", id)
}

// drop removes an image that no entry names any more. Whoever reads it still
// drops it when done; what fails here is swept later.
func (d *Driver) drop(image string) {
	im, err := rbd.OpenImage(d.pool.IO, image, rbd.NoSnapshot)
	if err != nil {
		return
	}
	watchers, err := im.ListWatchers()
	if closeErr := im.Close(); err != nil || closeErr != nil || len(watchers) > 1 {
		return
	}
	if err := d.pool.Remove(image); err != nil {
		d.cfg.Log.Warn("removing an image failed; opening the store removes it later", "image", image, "error", err)
	}
}

// Delete implements blob.Driver. Volumes that share the object's bytes keep them.
func (d *Driver) Delete(ctx context.Context, id string) error {
	if err := blob.CheckID(id); err != nil {
		return err
	}
	err := d.locked(ctx, id, func() error {
		e, err := d.lookup(id)
		if errors.Is(err, nephos.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := d.pool.IO.RmOmapKeys(indexObject, []string{id}); err != nil {
			return ceph.Meaning(err)
		}
		d.drop(e.Image)
		return nil
	})
	if err != nil {
		return fmt.Errorf("deleting object %s: %w", id, err)
	}
	return nil
}

// locked runs a call about one object after those before it.
func (d *Driver) locked(ctx context.Context, id string, call func() error) error {
	return d.pool.Do(ctx, func() error {
		unlock, err := d.locks.Lock(ctx, id)
		if err != nil {
			return err
		}
		defer unlock()
		return call()
	})
}

// Location implements blob.Locator.
func (d *Driver) Location(ctx context.Context, id string) (string, error) {
	if err := blob.CheckID(id); err != nil {
		return "", err
	}
	e, err := ceph.Ask(ctx, d.pool, func() (entry, error) { return d.lookup(id) })
	if err != nil {
		return "", fmt.Errorf("locating object %s: %w", id, err)
	}
	parts := []string{d.pool.FSID, d.cfg.Pool}
	if d.cfg.Namespace != "" {
		parts = append(parts, d.cfg.Namespace)
	}
	parts = append(parts, e.Image, snapshotName)
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return "rbd://" + strings.Join(parts, "/"), nil
}
