//go:build ceph

package rbd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ceph/go-ceph/rbd"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/ceph"
	"github.com/nephos-cloud/nephos/driver/volume"
)

const (
	diffWindow = 1 << 30 // whose extents are asked for at once
	diffChunk  = 4 << 20 // what is read or written at a time
)

// ExportDiff implements volume.DiffExporter. What changed the cluster knows by
// itself, object by object; only that is read.
func (d *Driver) ExportDiff(ctx context.Context, volumeID, from, to string) (io.ReadCloser, error) {
	if err := volume.CheckID("snapshot ID", to); err != nil {
		return nil, err
	}
	im, err := ceph.Ask(ctx, d.pool, func() (*rbd.Image, error) { return d.diffImage(volumeID, from, to) })
	if err != nil {
		return nil, fmt.Errorf("exporting a difference of volume %s: %w", volumeID, err)
	}
	leave, err := d.pool.Enter()
	if err != nil {
		return nil, errors.Join(err, im.Close())
	}
	since := ""
	if from != "" {
		since = snapshotPrefix + from
	}
	ctx, cancel := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer leave()
		err := exportDiff(ctx, pw, im, since)
		if err != nil {
			err = fmt.Errorf("exporting a difference of volume %s: %w", volumeID, err)
		}
		_ = pw.CloseWithError(errors.Join(err, ceph.Meaning(im.Close())))
	}()
	stop := context.AfterFunc(ctx, func() { _ = pw.CloseWithError(ctx.Err()) })
	return &diffStream{PipeReader: pr, end: func() { stop(); cancel(); _ = pr.Close(); <-ended }}, nil
}

type diffStream struct {
	*io.PipeReader
	end func()
}

// Close implements io.Closer.
func (s *diffStream) Close() error {
	s.end()
	return nil
}

// diffImage opens the volume at the later snapshot.
func (d *Driver) diffImage(volumeID, from, to string) (*rbd.Image, error) {
	err := d.with(volumeID, func(im *rbd.Image) error {
		last, err := snapshot(im, to)
		if err != nil || from == "" {
			return err
		}
		first, err := snapshot(im, from)
		if err == nil && first.Id >= last.Id {
			err = nephos.Errorf(nephos.ErrInvalid, "snapshot %s is not older than %s", from, to)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return d.image(volumeID, snapshotPrefix+to)
}

func exportDiff(ctx context.Context, w io.Writer, im *rbd.Image, from string) error {
	out, err := volume.NewDiffWriter(w)
	if err != nil {
		return err
	}
	n, err := size(im)
	if err != nil {
		return err
	}
	buf := make([]byte, diffChunk)
	for at := int64(0); at < n; at += diffWindow {
		if err := ctx.Err(); err != nil {
			return err
		}
		extents, err := ceph.Extents(im, from, at, min(diffWindow, n-at))
		if err != nil {
			return err
		}
		for _, e := range extents {
			if err := exportExtent(ctx, out, im, e, buf); err != nil {
				return err
			}
		}
	}
	return out.Close(n)
}

func exportExtent(ctx context.Context, out *volume.DiffWriter, im *rbd.Image, e ceph.Extent, buf []byte) error {
	if e.Zero {
		return out.Zero(e.Offset, e.Length)
	}
	for off, end := e.Offset, e.Offset+e.Length; off < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := buf[:min(diffChunk, end-off)]
		if _, err := im.ReadAt(p, off); err != nil {
			return fmt.Errorf("reading the volume: %w", ceph.Meaning(err))
		}
		if err := out.Data(off, p); err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}

// ImportDiff implements volume.DiffImporter.
func (d *Driver) ImportDiff(ctx context.Context, volumeID string, diff io.Reader) error {
	unlock, err := d.locks.Lock(ctx, volumeID)
	if err != nil {
		return err
	}
	defer unlock()
	leave, err := d.pool.Enter()
	if err != nil {
		return err
	}
	defer leave()
	err = d.with(volumeID, func(im *rbd.Image) error {
		if err := unused(im, volumeID); err != nil {
			return err
		}
		return errors.Join(importDiff(ctx, im, diff), ceph.Meaning(im.Flush()))
	})
	if err != nil {
		return fmt.Errorf("importing a difference into volume %s: %w", volumeID, err)
	}
	return nil
}

func importDiff(ctx context.Context, im *rbd.Image, diff io.Reader) error {
	n, err := size(im)
	if err != nil {
		return err
	}
	in, err := volume.NewDiffReader(diff)
	if err != nil {
		return err
	}
	fits := func(end int64) error {
		if end > n {
			return nephos.Errorf(nephos.ErrInvalid, "the difference is of a volume of at least %d bytes, this one has %d", end, n).WithField("size")
		}
		return nil
	}
	buf := make([]byte, diffChunk)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := in.Next()
		if errors.Is(err, io.EOF) {
			return fits(in.Size())
		}
		if err == nil {
			err = fits(e.Offset + e.Length)
		}
		if err == nil && e.Zero {
			err = writeZeros(ctx, im, e.Offset, e.Length)
		} else if err == nil {
			err = importData(im, in, e, buf)
		}
		if err != nil {
			return err
		}
	}
}

func importData(im *rbd.Image, in io.Reader, e volume.Extent, buf []byte) error {
	for off, end := e.Offset, e.Offset+e.Length; off < end; {
		p := buf[:min(diffChunk, end-off)]
		if _, err := io.ReadFull(in, p); err != nil {
			return err
		}
		if _, err := im.WriteAt(p, off); err != nil {
			return ceph.Meaning(err)
		}
		off += int64(len(p))
	}
	return nil
}

// writeZeros drops whole objects, and writes zeros at the edges: a discard of a
// part of an object may leave it as it is.
func writeZeros(ctx context.Context, im *rbd.Image, off, n int64) error {
	for end := off + n; off < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		m := min(diffChunk-off%diffChunk, end-off)
		var err error
		if m == diffChunk {
			_, err = im.Discard(uint64(off), uint64(m))
		} else {
			_, err = im.WriteAt(make([]byte, m), off)
		}
		if err != nil {
			return ceph.Meaning(err)
		}
		off += m
	}
	return nil
}
