// Package file is a blob driver that keeps each object as a file in a
// directory. Readers get the file itself, so that a server can send it without
// copying; an object is on disk, name and all, when Put returns.
//
// The layout below Config.Dir:
//
//	objects/ID   the objects
//	uploads/ID/  the parts of an object on its way, as NUMBER-DIGEST
//	tmp/         bodies on their way; what a dead process left is removed by Open
//	trash/       uploads that have ended; removed by Open too
//
// Several processes may use one directory.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
)

// Config configures a [Driver].
type Config struct {
	// Dir is made if it is not there. It belongs to the driver alone.
	Dir string
	// Log hears what Open cleaned up; nil is silence.
	Log *slog.Logger
}

// Driver implements blob.Driver and all its optional interfaces.
type Driver struct {
	objects, tmp   string
	uploads, trash string
	buffers        sync.Pool // *[bufferSize]byte
}

const (
	bufferSize = 1 << 20
	// writeback is how many bytes are handed to the disk at a time while a body
	// still comes in.
	writeback = 8 << 20
	// Reserving the room at once pays from preallocateFrom on; what a client
	// announces beyond preallocateMost it does not get before it sends it.
	preallocateFrom = 4 << 20
	preallocateMost = 1 << 30
)

// Open returns a driver on the directory.
func Open(cfg Config) (*Driver, error) {
	if cfg.Dir == "" {
		return nil, nephos.Errorf(nephos.ErrInvalid, "blob file driver: no directory is configured")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening blob directory: %w", err)
	}
	d := &Driver{
		objects: filepath.Join(dir, "objects"), tmp: filepath.Join(dir, "tmp"),
		uploads: filepath.Join(dir, "uploads"), trash: filepath.Join(dir, "trash"),
	}
	if err := os.RemoveAll(d.trash); err != nil {
		return nil, fmt.Errorf("opening blob directory: %w", err)
	}
	d.buffers.New = func() any { return new([bufferSize]byte) }
	for _, sub := range []string{d.objects, d.tmp, d.uploads, d.trash} {
		if err := durable.MkdirAll(sub, 0o700); err != nil {
			return nil, fmt.Errorf("opening blob directory: %w", err)
		}
	}
	n, err := durable.Clean(d.tmp)
	if err != nil {
		return nil, fmt.Errorf("opening blob directory: %w", err)
	}
	if n > 0 && cfg.Log != nil {
		cfg.Log.Info("removed bodies that were cut short", "dir", dir, "count", n)
	}
	return d, nil
}

// path returns the object's file. The ID is checked, so it stays in objects.
func (d *Driver) path(id string) (string, error) {
	if err := blob.CheckID(id); err != nil {
		return "", err
	}
	return filepath.Join(d.objects, id), nil
}

// Put implements blob.Driver.
func (d *Driver) Put(ctx context.Context, id string, body io.Reader, size int64) (int64, error) {
	path, err := d.path(id)
	if err != nil {
		return 0, err
	}
	n, err := d.put(ctx, path, body, size)
	if err != nil {
		return 0, fmt.Errorf("putting object %s: %w", id, meaning(err))
	}
	return n, nil
}

func (d *Driver) put(ctx context.Context, path string, body io.Reader, size int64) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	t, err := durable.Create(d.tmp, 0o600)
	if err != nil {
		return 0, err
	}
	defer t.Abort()
	if size >= preallocateFrom {
		// A full disk shows now, not after a gigabyte. A hint that is too large is
		// given back below.
		room := min(size, preallocateMost)
		if err := durable.Preallocate(t.File, room); err != nil {
			return 0, fmt.Errorf("reserving %d bytes: %w", room, err)
		}
	}
	n, err := d.copy(ctx, t.File, body)
	if err != nil {
		return 0, err
	}
	if size >= preallocateFrom && n < size {
		if err := t.Truncate(n); err != nil {
			return 0, err
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return n, t.Commit(path)
}

// copy writes the body to the file, keeping the disk busy all the while.
func (d *Driver) copy(ctx context.Context, f *os.File, body io.Reader) (n int64, err error) {
	buf := d.buffers.Get().(*[bufferSize]byte)
	defer d.buffers.Put(buf)
	var started int64
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		m, readErr := fill(body, buf[:])
		if m > 0 {
			w, err := f.Write(buf[:m])
			n += int64(w)
			if err != nil {
				return n, err
			}
			if n-started >= writeback {
				durable.StartWriteback(f, started, n-started)
				started = n
			}
		}
		if errors.Is(readErr, io.EOF) {
			return n, nil
		}
		if readErr != nil {
			return n, fmt.Errorf("reading the body: %w", readErr)
		}
	}
}

// fill reads until p is full. Unlike io.ReadFull it returns the reader's error
// as it is: io.ErrUnexpectedEOF of a body means that its sender is gone.
func fill(r io.Reader, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m, err := r.Read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Get implements blob.Driver; the reader is a *blob.File.
func (d *Driver) Get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	path, err := d.path(id)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening object: %w", missing(err, id))
	}
	r, err := section(f, offset, length)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("opening object %s: %w", id, err)
	}
	return r, nil
}

func section(f *os.File, offset, length int64) (*blob.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	n, err := blob.Range(info.Size(), offset, length)
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			return nil, err
		}
	}
	return blob.NewFile(f, n), nil
}

// Stat implements blob.Driver.
func (d *Driver) Stat(ctx context.Context, id string) (blob.Object, error) {
	path, err := d.path(id)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return blob.Object{}, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return blob.Object{}, fmt.Errorf("looking at object: %w", missing(err, id))
	}
	return object(info), nil
}

func object(info fs.FileInfo) blob.Object {
	return blob.Object{ID: info.Name(), Size: info.Size(), Created: info.ModTime().UTC()}
}

// Delete implements blob.Driver.
func (d *Driver) Delete(ctx context.Context, id string) error {
	path, err := d.path(id)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	if err := durable.Remove(path); err != nil {
		return fmt.Errorf("deleting object %s: %w", id, err)
	}
	return nil
}

// List implements blob.Driver, in no order.
func (d *Driver) List(ctx context.Context, yield func(blob.Object) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	dir, err := os.Open(d.objects)
	if err != nil {
		return fmt.Errorf("listing objects: %w", err)
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(256)
		for _, e := range entries {
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted meanwhile
			}
			if err != nil {
				return fmt.Errorf("listing objects: %w", err)
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if info.Mode().IsRegular() && blob.CheckID(e.Name()) == nil && !yield(object(info)) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listing objects: %w", err)
		}
	}
}

// Copy implements blob.Copier. Objects never change in place, so the copy is a
// second name of the same file, as old as the source.
func (d *Driver) Copy(ctx context.Context, dst, src string) error {
	to, err := d.path(dst)
	if err != nil {
		return err
	}
	from, err := d.path(src)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	t, err := durable.Create(d.tmp, 0o600)
	if err != nil {
		return fmt.Errorf("copying object %s: %w", src, meaning(err))
	}
	defer t.Abort()
	name := t.Name() + ".link" // where Clean finds it if this process dies
	defer os.Remove(name)      // a rename onto the same file leaves it
	if err := os.Link(from, name); err != nil {
		return fmt.Errorf("copying object: %w", missing(err, src))
	}
	if err := os.Rename(name, to); err != nil {
		return fmt.Errorf("copying object %s: %w", src, err)
	}
	return durable.SyncDir(d.objects)
}

// Location implements blob.Locator: a file URL.
func (d *Driver) Location(ctx context.Context, id string) (string, error) {
	if _, err := d.Stat(ctx, id); err != nil {
		return "", err
	}
	return "file://" + filepath.Join(d.objects, id), nil
}

// Close implements blob.Driver.
func (d *Driver) Close() error { return nil }

// missing gives a file's absence its meaning.
func missing(err error, id string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nephos.NotFound("Object", id)
	}
	return err
}

// meaning gives a full disk its meaning.
func meaning(err error) error {
	if durable.IsFull(err) {
		return fmt.Errorf("%w: %w", nephos.ErrNoCapacity, err)
	}
	return err
}
