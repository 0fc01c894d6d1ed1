package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
)

// partsPrefix comes between the prefix and an ID in the key of a small object
// that names the upload which BeginParts began: the service lists uploads, but
// not whose they are. No ID has a slash in it, so it is no object of ours.
const partsPrefix = ".parts/"

// maxMark bounds what is read of such an object.
const maxMark = 4 << 10

func (d *Driver) markKey(id string) string { return d.cfg.Prefix + partsPrefix + id }

// uploadOf returns the upload that is under way for an object, or ErrNotFound.
func (d *Driver) uploadOf(ctx context.Context, id string) (string, error) {
	if err := blob.CheckID(id); err != nil {
		return "", err
	}
	body, _, _, err := d.core.GetObject(ctx, d.cfg.Bucket, d.markKey(id), minio.GetObjectOptions{})
	if response(err).Code == "NoSuchKey" {
		return "", nephos.NotFound("Upload of object", id)
	}
	if err != nil {
		return "", meaning(err, id)
	}
	defer body.Close()
	mark, err := io.ReadAll(io.LimitReader(body, maxMark))
	return string(mark), meaning(err, id)
}

// BeginParts implements blob.Multiparter.
func (d *Driver) BeginParts(ctx context.Context, id string) error {
	_, err := d.ListParts(ctx, id)
	if err == nil {
		return nil // it is under way
	}
	if errors.Is(err, nephos.ErrNotFound) {
		err = d.beginParts(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("beginning an upload of object %s: %w", id, err)
	}
	return nil
}

func (d *Driver) beginParts(ctx context.Context, id string) error {
	uploadID, err := d.core.NewMultipartUpload(ctx, d.cfg.Bucket, d.cfg.Prefix+id, minio.PutObjectOptions{})
	if err != nil {
		return meaning(err, id)
	}
	sums := d.sums([]byte(uploadID))
	_, err = d.core.PutObject(ctx, d.cfg.Bucket, d.markKey(id), strings.NewReader(uploadID), int64(len(uploadID)),
		sums.Md5Base64, sums.Sha256Hex, minio.PutObjectOptions{DisableContentSha256: true})
	if err != nil {
		(&upload{d: d, key: d.cfg.Prefix + id, id: uploadID}).abort(ctx)
	}
	return meaning(err, id)
}

// PutPart implements blob.Multiparter. What is longer than Config.PartSize waits
// in a temporary file, as the service wants to know the length first.
func (d *Driver) PutPart(ctx context.Context, id string, number int, body io.Reader, _ int64) (blob.Part, error) {
	if err := blob.CheckPart(number); err != nil {
		return blob.Part{}, err
	}
	upload, err := d.uploadOf(ctx, id)
	if err != nil {
		return blob.Part{}, fmt.Errorf("putting part %d of object %s: %w", number, id, err)
	}
	content, err := d.spool(blob.Reader(ctx, body))
	if err != nil {
		return blob.Part{}, fmt.Errorf("putting part %d of object %s: %w", number, id, err)
	}
	defer content.close()
	p, err := d.core.PutObjectPart(ctx, d.cfg.Bucket, d.cfg.Prefix+id, upload, number, content, content.size, content.sums)
	if err != nil {
		return blob.Part{}, fmt.Errorf("putting part %d of object %s: %w", number, id, noUpload(err, id))
	}
	return blob.Part{Number: number, Size: content.size, ETag: p.ETag}, nil
}

// noUpload gives the answer that an upload has ended its meaning.
func noUpload(err error, id string) error {
	if response(err).Code == "NoSuchUpload" {
		return nephos.NotFound("Upload of object", id)
	}
	return meaning(err, id)
}

// spooled is a part of known length, which can be sent again.
type spooled struct {
	io.ReadSeeker
	size int64
	sums minio.PutObjectPartOptions
	file *os.File // nil if it is in memory
}

func (s *spooled) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
}

func (d *Driver) spool(body io.Reader) (*spooled, error) {
	sums := d.newSummer()
	body = io.TeeReader(body, sums)
	first, err := readPart(body, nil, d.cfg.PartSize)
	s := &spooled{ReadSeeker: bytes.NewReader(first), size: int64(len(first))}
	if err == nil {
		err = s.overflow(first, body)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.close()
		return nil, err
	}
	s.sums = sums.options()
	return s, nil
}

// overflow moves a part that is too long for memory into a file.
func (s *spooled) overflow(first []byte, rest io.Reader) error {
	f, err := os.CreateTemp("", "nephos-s3-*")
	if err != nil {
		return fmt.Errorf("making a temporary file: %w", err)
	}
	s.file, s.ReadSeeker = f, f
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	if _, err := f.Write(first); err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(rest, maxPartSize-s.size+1))
	if err != nil {
		return err
	}
	if s.size += n; s.size > maxPartSize {
		return nephos.Errorf(nephos.ErrTooLarge, "a part has at most %d bytes", int64(maxPartSize))
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// ListParts implements blob.Multiparter.
func (d *Driver) ListParts(ctx context.Context, id string) ([]blob.Part, error) {
	upload, err := d.uploadOf(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("listing parts of object %s: %w", id, err)
	}
	return d.parts(ctx, id, upload)
}

func (d *Driver) parts(ctx context.Context, id, upload string) ([]blob.Part, error) {
	parts := []blob.Part{}
	for marker := 0; ; {
		page, err := d.core.ListObjectParts(ctx, d.cfg.Bucket, d.cfg.Prefix+id, upload, marker, 1000)
		if err != nil {
			return nil, fmt.Errorf("listing parts of object %s: %w", id, noUpload(err, id))
		}
		for _, p := range page.ObjectParts {
			parts = append(parts, blob.Part{Number: p.PartNumber, Size: p.Size, ETag: strings.Trim(p.ETag, `"`)})
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= marker {
			return parts, nil
		}
		marker = page.NextPartNumberMarker
	}
}

// CompleteParts implements blob.Multiparter.
func (d *Driver) CompleteParts(ctx context.Context, id string, parts []blob.Part) (int64, error) {
	if err := errors.Join(blob.CheckID(id), blob.CheckParts(parts)); err != nil {
		return 0, err
	}
	n, err := d.completeParts(ctx, id, parts)
	if err != nil {
		return 0, fmt.Errorf("completing object %s: %w", id, err)
	}
	return n, nil
}

func (d *Driver) completeParts(ctx context.Context, id string, parts []blob.Part) (int64, error) {
	upload, err := d.uploadOf(ctx, id)
	if err != nil {
		return 0, err
	}
	has, err := d.parts(ctx, id, upload)
	if err != nil {
		return 0, err
	}
	var total int64
	complete := make([]minio.CompletePart, 0, len(parts))
	for _, p := range parts {
		if !slices.Contains(has, p) {
			return 0, nephos.Errorf(nephos.ErrInvalid, "part %d is not there as described", p.Number)
		}
		total += p.Size
		complete = append(complete, minio.CompletePart{PartNumber: p.Number, ETag: p.ETag})
	}
	_, err = d.core.CompleteMultipartUpload(ctx, d.cfg.Bucket, d.cfg.Prefix+id, upload, complete, minio.PutObjectOptions{})
	if code := response(err).Code; code == "InvalidPart" || code == "EntityTooSmall" {
		return 0, nephos.Errorf(nephos.ErrInvalid, "the service refuses the parts: %w", err)
	}
	if err != nil {
		return 0, noUpload(err, id)
	}
	return total, d.unmark(context.WithoutCancel(ctx), id)
}

func (d *Driver) unmark(ctx context.Context, id string) error {
	err := d.core.RemoveObject(ctx, d.cfg.Bucket, d.markKey(id), minio.RemoveObjectOptions{})
	if response(err).Code == "NoSuchKey" {
		return nil
	}
	return meaning(err, id)
}

// AbortParts implements blob.Multiparter.
func (d *Driver) AbortParts(ctx context.Context, id string) error {
	upload, err := d.uploadOf(ctx, id)
	if errors.Is(err, nephos.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = d.core.AbortMultipartUpload(ctx, d.cfg.Bucket, d.cfg.Prefix+id, upload)
		if response(err).Code == "NoSuchUpload" {
			err = nil
		}
	}
	if err == nil {
		err = d.unmark(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("dropping the upload of object %s: %w", id, meaning(err, id))
	}
	return nil
}

// ListUploads implements blob.Multiparter, in the order of the IDs.
func (d *Driver) ListUploads(ctx context.Context) ([]string, error) {
	ids := []string{}
	prefix := d.markKey("")
	for o := range d.core.ListObjectsIter(ctx, d.cfg.Bucket, minio.ListObjectsOptions{Prefix: prefix}) {
		if o.Err != nil {
			return nil, fmt.Errorf("listing uploads: %w", meaning(o.Err, ""))
		}
		if id, ok := strings.CutPrefix(o.Key, prefix); ok && blob.CheckID(id) == nil {
			ids = append(ids, id)
		}
	}
	return ids, ctx.Err()
}
