package s3

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
)

// Driver implements blob.Driver, blob.Copier, blob.Locator and blob.Multiparter.
type Driver struct {
	cfg       Config
	core      *minio.Core
	transport *http.Transport
}

// Open returns a driver on the bucket, which it looks for, and takes back
// uploads that nobody will finish.
func Open(ctx context.Context, cfg Config) (*Driver, error) {
	d, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening S3 store: %w", err)
	}
	return d, nil
}

func open(ctx context.Context, cfg Config) (*Driver, error) {
	u, err := cfg.check()
	if err != nil {
		return nil, err
	}
	core, transport, err := cfg.client(u)
	if err != nil {
		return nil, err
	}
	d := &Driver{cfg: cfg, core: core, transport: transport}
	if err := d.prepare(ctx); err != nil {
		_ = d.Close()
		return nil, err
	}
	if cfg.Abandoned > 0 {
		if n, err := d.takeBack(ctx); err != nil { // the store works without
			cfg.Log.Warn("looking for abandoned uploads failed", "bucket", cfg.Bucket, "error", err)
		} else if n > 0 {
			cfg.Log.Info("took back abandoned uploads", "bucket", cfg.Bucket, "count", n)
		}
	}
	return d, nil
}

func (d *Driver) key(id string) (string, error) {
	if err := blob.CheckID(id); err != nil {
		return "", err
	}
	return d.cfg.Prefix + id, nil
}

// Stat implements blob.Driver.
func (d *Driver) Stat(ctx context.Context, id string) (blob.Object, error) {
	info, err := d.stat(ctx, id)
	if err != nil {
		return blob.Object{}, fmt.Errorf("looking at object %s: %w", id, err)
	}
	return blob.Object{ID: id, Size: info.Size, Created: info.LastModified.UTC()}, nil
}

func (d *Driver) stat(ctx context.Context, id string) (minio.ObjectInfo, error) {
	key, err := d.key(id)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return minio.ObjectInfo{}, err
	}
	info, err := d.core.StatObject(ctx, d.cfg.Bucket, key, minio.StatObjectOptions{})
	return info, meaning(err, id)
}

// Delete implements blob.Driver.
func (d *Driver) Delete(ctx context.Context, id string) error {
	key, err := d.key(id)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	err = d.core.RemoveObject(ctx, d.cfg.Bucket, key, minio.RemoveObjectOptions{})
	if err != nil && response(err).Code != "NoSuchKey" {
		return fmt.Errorf("deleting object %s: %w", id, meaning(err, id))
	}
	return nil
}

// List implements blob.Driver, a page at a time, in the order of the IDs. Keys
// that are no object of ours are left out.
func (d *Driver) List(ctx context.Context, yield func(blob.Object) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range d.core.ListObjectsIter(ctx, d.cfg.Bucket, minio.ListObjectsOptions{Prefix: d.cfg.Prefix}) {
		if o.Err != nil {
			return fmt.Errorf("listing objects: %w", meaning(o.Err, ""))
		}
		id, ok := strings.CutPrefix(o.Key, d.cfg.Prefix)
		if !ok || blob.CheckID(id) != nil {
			continue
		}
		if !yield(blob.Object{ID: id, Size: o.Size, Created: o.LastModified.UTC()}) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Copy implements blob.Copier: the service copies, no byte comes here.
func (d *Driver) Copy(ctx context.Context, dst, src string) error {
	to, err := d.key(dst)
	if err != nil {
		return err
	}
	info, err := d.stat(ctx, src)
	if err != nil {
		return fmt.Errorf("copying object %s: %w", src, err)
	}
	if dst == src {
		return nil
	}
	from := minio.CopySrcOptions{Bucket: d.cfg.Bucket, Object: d.cfg.Prefix + src, MatchETag: info.ETag}
	dest := minio.CopyDestOptions{Bucket: d.cfg.Bucket, Object: to}
	if info.Size <= maxCopySize {
		_, err = d.core.Client.CopyObject(ctx, dest, from)
	} else {
		_, err = d.core.ComposeObject(ctx, dest, from)
	}
	if response(err).StatusCode == http.StatusPreconditionFailed {
		err = nephos.Errorf(nephos.ErrConflict, "object %s was replaced while it was copied; copy it again", src)
	}
	if err != nil {
		return fmt.Errorf("copying object %s: %w", src, meaning(err, src))
	}
	return nil
}

// Location implements blob.Locator: s3://bucket/key.
func (d *Driver) Location(ctx context.Context, id string) (string, error) {
	if _, err := d.stat(ctx, id); err != nil {
		return "", fmt.Errorf("locating object %s: %w", id, err)
	}
	return "s3://" + d.cfg.Bucket + "/" + d.cfg.Prefix + id, nil
}

// Close implements blob.Driver. Readers that are open read on.
func (d *Driver) Close() error {
	d.transport.CloseIdleConnections()
	return nil
}

// Get implements blob.Driver.
func (d *Driver) Get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	r, err := d.get(ctx, id, offset, length)
	if err != nil {
		return nil, fmt.Errorf("opening object %s: %w", id, err)
	}
	return r, nil
}

func (d *Driver) get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	key, err := d.key(id)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	if offset < 0 || length == 0 || length > math.MaxInt64-offset {
		return d.empty(ctx, id, offset, length) // there is no such Range header
	}
	r := &reader{ctx: ctx, d: d, id: id, key: key, at: offset, end: -1}
	if length > 0 {
		r.end = offset + length
	}
	total, err := r.connect()
	if response(err).StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return d.empty(ctx, id, offset, length)
	}
	if err != nil {
		return nil, meaning(err, id)
	}
	n, err := blob.Range(total, offset, length)
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	r.end = offset + n
	return r, nil
}

// empty answers a range that has no bytes, or is outside the object.
func (d *Driver) empty(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	info, err := d.stat(ctx, id)
	if err != nil {
		return nil, err
	}
	n, err := blob.Range(info.Size, offset, length)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		return nil, nephos.Errorf(nephos.ErrUnavailable, "object %s changed while it was opened", id)
	}
	return http.NoBody, nil
}
