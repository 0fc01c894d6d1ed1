package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
)

var _ blob.Multiparter = (*Driver)(nil)

// upload returns the directory of an object's upload: uploads/ID/NUMBER-ETAG are
// its parts.
func (d *Driver) upload(ctx context.Context, id string) (string, error) {
	if err := blob.CheckID(id); err != nil {
		return "", err
	}
	return filepath.Join(d.uploads, id), ctx.Err()
}

// BeginParts implements blob.Multiparter.
func (d *Driver) BeginParts(ctx context.Context, id string) error {
	dir, err := d.upload(ctx, id)
	if err == nil {
		err = durable.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("beginning parts of object %s: %w", id, meaning(err))
	}
	return nil
}

// PutPart implements blob.Multiparter.
func (d *Driver) PutPart(ctx context.Context, id string, number int, body io.Reader, _ int64) (blob.Part, error) {
	fail := func(err error) (blob.Part, error) {
		return blob.Part{}, fmt.Errorf("putting part %d of object %s: %w", number, id, meaning(err))
	}
	dir, err := d.upload(ctx, id)
	if err == nil {
		err = blob.CheckPart(number)
	}
	if err != nil {
		return fail(err)
	}
	if _, err := os.Stat(dir); err != nil {
		return fail(noUpload(err, id))
	}
	t, err := durable.Create(d.tmp, 0o600)
	if err != nil {
		return fail(err)
	}
	defer t.Abort()
	sum := sha256.New()
	n, err := d.copy(ctx, t.File, io.TeeReader(body, sum))
	if err != nil {
		return fail(err)
	}
	p := blob.Part{Number: number, Size: n, ETag: hex.EncodeToString(sum.Sum(nil))}
	before, err := d.parts(dir, id)
	if err != nil {
		return fail(err)
	}
	if err := t.Commit(filepath.Join(dir, partName(p))); err != nil {
		return fail(noUpload(err, id))
	}
	for _, old := range before {
		if old.Number == number && old.ETag != p.ETag {
			if err := durable.Remove(filepath.Join(dir, partName(old))); err != nil {
				return fail(err)
			}
		}
	}
	return p, nil
}

func partName(p blob.Part) string { return fmt.Sprintf("%05d-%s", p.Number, p.ETag) }

func noUpload(err error, id string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nephos.NotFound("Upload", id)
	}
	return err
}

// parts lists the parts in a directory, by number. Of two with one number, which
// a process leaves that died between two steps, the newer counts.
func (d *Driver) parts(dir, id string) ([]blob.Part, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, noUpload(err, id)
	}
	newest := make(map[int]fs.FileInfo)
	etags := make(map[int]string)
	for _, e := range entries {
		digits, etag, ok := strings.Cut(e.Name(), "-")
		number, err := strconv.Atoi(digits)
		if !ok || err != nil || blob.CheckPart(number) != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // replaced meanwhile
		}
		if have := newest[number]; have == nil || info.ModTime().After(have.ModTime()) {
			newest[number], etags[number] = info, etag
		}
	}
	list := make([]blob.Part, 0, len(newest))
	for number, info := range newest {
		list = append(list, blob.Part{Number: number, Size: info.Size(), ETag: etags[number]})
	}
	slices.SortFunc(list, func(a, b blob.Part) int { return a.Number - b.Number })
	return list, nil
}

// ListParts implements blob.Multiparter.
func (d *Driver) ListParts(ctx context.Context, id string) ([]blob.Part, error) {
	dir, err := d.upload(ctx, id)
	if err != nil {
		return nil, err
	}
	return d.parts(dir, id)
}

// CompleteParts implements blob.Multiparter. Where the file system can share
// blocks the parts are not copied.
func (d *Driver) CompleteParts(ctx context.Context, id string, parts []blob.Part) (int64, error) {
	fail := func(err error) (int64, error) {
		return 0, fmt.Errorf("completing object %s: %w", id, meaning(err))
	}
	dir, err := d.upload(ctx, id)
	if err != nil {
		return fail(err)
	}
	have, err := d.parts(dir, id)
	if err == nil {
		err = blob.CheckParts(parts)
	}
	if err != nil {
		return fail(err)
	}
	t, err := durable.Create(d.tmp, 0o600)
	if err != nil {
		return fail(err)
	}
	defer t.Abort()
	var total int64
	for _, p := range parts {
		if !slices.Contains(have, p) {
			return fail(nephos.Errorf(nephos.ErrInvalid, "part %d is not there as described", p.Number))
		}
		if err := appendFile(ctx, t.File, filepath.Join(dir, partName(p)), p.Size); err != nil {
			return fail(err)
		}
		total += p.Size
	}
	if err := t.Commit(filepath.Join(d.objects, id)); err != nil {
		return fail(err)
	}
	return total, d.AbortParts(context.WithoutCancel(ctx), id)
}

// appendFile copies a file to the end of another, by the kernel where it can.
func appendFile(ctx context.Context, dst *os.File, path string, size int64) error {
	src, err := os.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	const step = 256 << 20
	for left := size; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(dst, src, min(left, step)) // copy_file_range
		if left -= n; err != nil {
			return err
		}
	}
	return nil
}

// AbortParts implements blob.Multiparter. An upload goes in one step: the
// directory is moved away first.
func (d *Driver) AbortParts(ctx context.Context, id string) error {
	dir, err := d.upload(ctx, id)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	t, err := os.MkdirTemp(d.trash, "")
	if err == nil {
		err = os.Rename(dir, filepath.Join(t, "parts"))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = durable.SyncDir(d.uploads)
	}
	if err == nil {
		err = os.RemoveAll(t)
	}
	if err != nil {
		return fmt.Errorf("aborting parts of object %s: %w", id, err)
	}
	return nil
}

// ListUploads implements blob.Multiparter.
func (d *Driver) ListUploads(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(d.uploads)
	if err != nil {
		return nil, fmt.Errorf("listing uploads: %w", err)
	}
	ids := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.IsDir() && blob.CheckID(e.Name()) == nil {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}
