package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
	"github.com/nephos-cloud/nephos/driver/volume"
)

var (
	_ volume.DiffExporter = (*Driver)(nil)
	_ volume.DiffImporter = (*Driver)(nil)
)

// ExportDiff implements volume.DiffExporter: it compares the two snapshots while
// it streams. Snapshots in qcow2 are converted first.
func (d *Driver) ExportDiff(ctx context.Context, volumeID, from, to string) (io.ReadCloser, error) {
	r, err := d.exportDiff(ctx, volumeID, from, to)
	if err != nil {
		return nil, fmt.Errorf("exporting what changed in volume %s: %w", volumeID, meaning(err))
	}
	return r, nil
}

func (d *Driver) exportDiff(ctx context.Context, volumeID, from, to string) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := d.find(volumeID); err != nil {
		return nil, err
	}
	after, err := d.snapshot(volumeID, to)
	if err != nil {
		return nil, err
	}
	var old *os.File
	if from != "" {
		before, err := d.snapshot(volumeID, from)
		if err != nil {
			return nil, err
		}
		if before.seq >= after.seq {
			return nil, nephos.Errorf(nephos.ErrInvalid, "snapshot %s is not older than %s", from, to)
		}
		if old, err = d.rawOf(ctx, before); err != nil {
			return nil, err
		}
	}
	now, err := d.rawOf(ctx, after)
	if err != nil {
		if old != nil {
			err = errors.Join(err, old.Close())
		}
		return nil, err
	}
	pr, pw := io.Pipe()
	stop := context.AfterFunc(ctx, func() { _ = pw.CloseWithError(ctx.Err()) })
	go func() { // ends with the pipe, which the reader or ctx closes
		defer stop()
		defer now.Close()
		if old != nil {
			defer old.Close()
		}
		_ = pw.CloseWithError(writeDiff(ctx, pw, old, now))
	}()
	return pr, nil
}

// rawOf opens a snapshot as raw bytes.
func (d *Driver) rawOf(ctx context.Context, k disk) (*os.File, error) {
	f, err := os.Open(k.path)
	if err != nil || k.format == volume.FormatRaw {
		return f, err
	}
	defer f.Close()
	t, err := d.temp()
	if err != nil {
		return nil, err
	}
	defer t.Abort()
	if err := d.tool.Convert(ctx, volume.FormatQCOW2, f, volume.FormatRaw, t.File, k.sizeGiB()); err != nil {
		return nil, err
	}
	return os.Open(t.Name()) // it loses its name here, and stays until it is closed
}

// writeDiff writes what differs, in grains. old is nil for nothing but zeros.
func writeDiff(ctx context.Context, w io.Writer, old, now *os.File) error {
	d, err := volume.NewDiffWriter(w)
	if err != nil {
		return err
	}
	info, err := now.Stat()
	if err != nil {
		return err
	}
	size, oldSize := info.Size(), int64(0)
	if old != nil {
		if info, err = old.Stat(); err != nil {
			return err
		}
		oldSize = info.Size()
	}
	a, b := make([]byte, grain), make([]byte, grain)
	for at := int64(0); at < size; {
		next, err := eitherData(old, oldSize, now, size, at)
		if err != nil {
			return err
		}
		if at = next - next%grain; next >= size {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(grain, size-at)
		if err := errors.Join(readAt(old, a[:n], at), readAt(now, b[:n], at)); err != nil {
			return err
		}
		switch {
		case bytes.Equal(a[:n], b[:n]):
		case isZero(b[:n]):
			err = d.Zero(at, n)
		default:
			err = d.Data(at, b[:n])
		}
		if err != nil {
			return err
		}
		at += n
	}
	return d.Close(size)
}

// eitherData returns where the next data of one of the files is.
func eitherData(old *os.File, oldSize int64, now *os.File, size, at int64) (int64, error) {
	next, _, err := nextData(now, at, size)
	if err != nil || old == nil || at >= oldSize {
		return next, err
	}
	before, _, err := nextData(old, at, oldSize)
	if before >= oldSize {
		return next, err
	}
	return min(next, before), err
}

// readAt fills p; what lies behind the end of a file, or is of none, is zeros.
func readAt(f *os.File, p []byte, at int64) error {
	n := 0
	if f != nil {
		var err error
		if n, err = f.ReadAt(p, at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	clear(p[n:])
	return nil
}

// ImportDiff implements volume.DiffImporter. The volume is as it was until all
// has been read.
func (d *Driver) ImportDiff(ctx context.Context, volumeID string, diff io.Reader) error {
	if err := volume.CheckID("volume ID", volumeID); err != nil {
		return err
	}
	return d.change(ctx, "applying a difference to", volumeID, func(k disk) error {
		used, err := d.connected(volumeID)
		if err != nil {
			return err
		}
		if used {
			return nephos.Errorf(nephos.ErrConflict, "it is connected")
		}
		r, err := volume.NewDiffReader(diff)
		if err != nil {
			return err
		}
		raw, err := d.rawOf(ctx, k)
		if err != nil {
			return err
		}
		defer raw.Close()
		t, err := d.temp()
		if err != nil {
			return err
		}
		defer t.Abort()
		if err := d.copyStill(ctx, t.File, raw); err != nil {
			return err
		}
		if err := applyDiff(ctx, t.File, r, int64(k.sizeGiB())*gibibyte); err != nil {
			return meaning(err)
		}
		if k.format == volume.FormatRaw {
			return t.Commit(k.path)
		}
		q, err := d.temp()
		if err != nil {
			return err
		}
		defer q.Abort()
		if err := d.tool.Convert(ctx, volume.FormatRaw, t.File, volume.FormatQCOW2, q.File, k.sizeGiB()); err != nil {
			return err
		}
		return q.Commit(k.path)
	})
}

func applyDiff(ctx context.Context, f *os.File, r *volume.DiffReader, size int64) error {
	buf := make([]byte, chunk)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		x, err := r.Next()
		done := errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !done {
			return err
		}
		if x.Offset+x.Length > size || done && r.Size() > size {
			return nephos.Errorf(nephos.ErrInvalid, "it does not fit %d bytes", size)
		}
		if done {
			return nil
		}
		if x.Zero {
			if err := punch(f, x.Offset, x.Length); err != nil {
				return err
			}
			continue
		}
		for at, left := x.Offset, x.Length; left > 0; {
			p := buf[:min(left, chunk)]
			if _, err := io.ReadFull(r, p); err != nil {
				return err
			}
			if _, err := f.WriteAt(p, at); err != nil {
				return err
			}
			at, left = at+int64(len(p)), left-int64(len(p))
		}
		durable.StartWriteback(f, x.Offset, x.Length)
	}
}
