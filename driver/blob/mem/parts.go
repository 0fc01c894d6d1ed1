package mem

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
)

var _ blob.Multiparter = (*Driver)(nil)

// part is a part of an upload, never changed once it is in the State.
type part struct {
	blob.Part
	data chunks
}

// BeginParts implements blob.Multiparter.
func (d *Driver) BeginParts(ctx context.Context, id string) error {
	if err := blob.CheckID(id); err != nil {
		return err
	}
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.state.uploads == nil {
		d.state.uploads = make(map[string]map[int]part)
	}
	if d.state.uploads[id] == nil {
		d.state.uploads[id] = make(map[int]part)
	}
	return nil
}

// upload returns the object's upload; the mutex is held.
func (d *Driver) upload(ctx context.Context, id string) (map[int]part, error) {
	if err := errors.Join(ctx.Err(), blob.CheckID(id)); err != nil {
		return nil, err
	}
	u, ok := d.state.uploads[id]
	if !ok {
		return nil, nephos.NotFound("Upload", id)
	}
	return u, nil
}

// PutPart implements blob.Multiparter.
func (d *Driver) PutPart(ctx context.Context, id string, number int, body io.Reader, _ int64) (blob.Part, error) {
	fail := func(err error) (blob.Part, error) {
		return blob.Part{}, fmt.Errorf("putting part %d of object %s: %w", number, id, err)
	}
	if err := blob.CheckPart(number); err != nil {
		return fail(err)
	}
	d.state.mu.Lock()
	_, err := d.upload(ctx, id)
	d.state.mu.Unlock()
	if err != nil {
		return fail(err)
	}
	limit := int64(-1)
	if d.max > 0 {
		limit = d.max
	}
	sum := sha256.New()
	data, n, err := readChunks(io.TeeReader(blob.Reader(ctx, body), sum), limit)
	if err != nil {
		return fail(err)
	}
	p := blob.Part{Number: number, Size: n, ETag: hex.EncodeToString(sum.Sum(nil))}
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	u, err := d.upload(ctx, id)
	if err != nil {
		return fail(err)
	}
	u[number] = part{p, data}
	return p, nil
}

// ListParts implements blob.Multiparter.
func (d *Driver) ListParts(ctx context.Context, id string) ([]blob.Part, error) {
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	u, err := d.upload(ctx, id)
	if err != nil {
		return nil, err
	}
	list := make([]blob.Part, 0, len(u))
	for _, n := range slices.Sorted(maps.Keys(u)) {
		list = append(list, u[n].Part)
	}
	return list, nil
}

// CompleteParts implements blob.Multiparter; the object shares the parts' memory
// where they are whole chunks.
func (d *Driver) CompleteParts(ctx context.Context, id string, parts []blob.Part) (int64, error) {
	fail := func(err error) (int64, error) { return 0, fmt.Errorf("completing object %s: %w", id, err) }
	d.state.mu.Lock()
	u, err := d.upload(ctx, id)
	var readers []io.Reader
	if err == nil {
		err = blob.CheckParts(parts)
	}
	if err == nil {
		for _, p := range parts {
			if u[p.Number].Part != p {
				err = nephos.Errorf(nephos.ErrInvalid, "part %d is not there as described", p.Number)
				break
			}
			readers = append(readers, io.NewSectionReader(u[p.Number].data, 0, p.Size))
		}
	}
	d.state.mu.Unlock()
	if err != nil {
		return fail(err)
	}
	data, n, err := readChunks(blob.Reader(ctx, io.MultiReader(readers...)), -1)
	if err == nil {
		err = d.store(ctx, id, data, n)
	}
	if err != nil {
		return fail(err)
	}
	return n, d.AbortParts(context.WithoutCancel(ctx), id)
}

// AbortParts implements blob.Multiparter.
func (d *Driver) AbortParts(ctx context.Context, id string) error {
	if err := errors.Join(ctx.Err(), blob.CheckID(id)); err != nil {
		return err
	}
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	delete(d.state.uploads, id)
	return nil
}

// ListUploads implements blob.Multiparter.
func (d *Driver) ListUploads(ctx context.Context) ([]string, error) {
	d.state.mu.RLock()
	defer d.state.mu.RUnlock()
	return slices.Sorted(maps.Keys(d.state.uploads)), ctx.Err()
}

var _ blob.Locator = (*Driver)(nil)

// Location implements blob.Locator: a URL that only a driver over the same State
// understands.
func (d *Driver) Location(ctx context.Context, id string) (string, error) {
	if _, err := d.get(ctx, id); err != nil {
		return "", err
	}
	return "mem:///" + id, nil
}
