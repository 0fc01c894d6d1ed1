package fake

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

var (
	_ hypervisor.DiskResizer   = (*Driver)(nil)
	_ hypervisor.DiskThrottler = (*Driver)(nil)
	_ hypervisor.DiskDecrypter = (*Driver)(nil)
	_ hypervisor.DiskExporter  = (*Driver)(nil)
	_ hypervisor.DiskImporter  = (*Driver)(nil)
	_ hypervisor.Rescuer       = (*Driver)(nil)
	_ hypervisor.ImageCacher   = (*Driver)(nil)
)

// maxStream bounds what an import or an image may hold: it is kept in memory.
const maxStream = 64 << 20

func (g *guest) disk(id string) (*driver.Disk, error) {
	if d := findDisk(g.spec.Disks, id); d != nil {
		return d, nil
	}
	return nil, nephos.NotFound("Disk", id)
}

// ResizeDisk implements hypervisor.DiskResizer.
func (d *Driver) ResizeDisk(ctx context.Context, id, diskID string, size int64) error {
	return d.with(ctx, "ResizeDisk", id, func(g *guest, _ time.Time) error {
		disk, err := g.disk(diskID)
		if err != nil {
			return err
		}
		if have := g.size(*disk); size < have {
			return nephos.Errorf(nephos.ErrInvalid, "resize disk %s of guest %s: it has %d bytes and cannot shrink to %d", diskID, id, have, size)
		}
		put(&g.held.sizes, diskID, size)
		return nil
	})
}

// ThrottleDisk implements hypervisor.DiskThrottler.
func (d *Driver) ThrottleDisk(ctx context.Context, id, diskID string, limits driver.Limits) error {
	if err := limits.Validate(); err != nil {
		return err
	}
	return d.with(ctx, "ThrottleDisk", id, func(g *guest, _ time.Time) error {
		if _, err := g.disk(diskID); err != nil {
			return err
		}
		put(&g.held.limits, diskID, limits)
		return nil
	})
}

// EncryptionFormats implements hypervisor.DiskDecrypter.
func (d *Driver) EncryptionFormats() []string { return []string{"luks", "luks2"} }

// ExportDisk implements hypervisor.DiskExporter.
func (d *Driver) ExportDisk(ctx context.Context, id, diskID string) (image hypervisor.DiskImage, body io.ReadCloser, err error) {
	err = d.with(ctx, "ExportDisk", id, func(g *guest, _ time.Time) error {
		disk, err := g.disk(diskID)
		switch {
		case err != nil:
			return err
		case disk.Source.Type != "local":
			return nephos.Errorf(nephos.ErrInvalid, "export disk %s of guest %s: it is no local disk", diskID, id)
		case g.state != hypervisor.Stopped && g.state != hypervisor.Crashed:
			return conflict(g, "export a disk of")
		}
		c := g.content(*disk)
		image, body = c.image, io.NopCloser(ctxReader{ctx, bytes.NewReader(c.bytes)})
		return nil
	})
	return image, body, err
}

// content is what a disk holds: what was imported, or a text of its own.
func (g *guest) content(disk driver.Disk) content {
	if c, ok := g.held.content[disk.ID]; ok {
		c.image.VirtualSize = g.size(disk)
		return c
	}
	size := max(g.size(disk), 1<<20)
	image := qcow2(size, []byte("nephos fake disk "+disk.ID+" of guest "+g.id+"\n"))
	return content{hypervisor.DiskImage{Format: "qcow2", Size: int64(len(image)), VirtualSize: size}, image}
}

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// ImportDisk implements hypervisor.DiskImporter.
func (d *Driver) ImportDisk(ctx context.Context, id, diskID string, image hypervisor.DiskImage, body io.Reader) error {
	fail := func(err error) error { return fmt.Errorf("import disk %s of guest %s: %w", diskID, id, err) }
	after, err := d.begin(ctx, "ImportDisk", id)
	if err != nil {
		return err
	}
	if err := first(hypervisor.CheckID(id), hypervisor.CheckID(diskID), image.Validate()); err != nil {
		return fail(err)
	}
	if err := d.importable(id); err != nil {
		return fail(err)
	}
	data, err := readAll(ctx, body, image.Size)
	if err != nil {
		return fail(err)
	}
	image.Size = int64(len(data))
	image.VirtualSize = max(image.VirtualSize, image.Size)
	if err := d.importable(id); err != nil { // it may have been started meanwhile
		return fail(err)
	}
	s := d.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.guests[id]; g != nil {
		put(&g.held.content, diskID, content{image, data})
		return after
	}
	if s.imports == nil {
		s.imports = make(map[string]map[string]content)
	}
	disks := s.imports[id]
	put(&disks, diskID, content{image, data})
	s.imports[id] = disks
	return after
}

func (d *Driver) importable(id string) error {
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	if g := d.state.guests[id]; g != nil && g.state != hypervisor.Stopped && g.state != hypervisor.Crashed {
		return conflict(g, "import a disk of")
	}
	return nil
}

// readAll reads a body of the size, or of any that memory bears when it is
// negative.
func readAll(ctx context.Context, body io.Reader, size int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(ctxReader{ctx, body}, maxStream+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxStream:
		return nil, nephos.Errorf(nephos.ErrNoCapacity, "the fake keeps at most %d bytes", maxStream)
	case size >= 0 && int64(len(data)) != size:
		return nil, nephos.Errorf(nephos.ErrInvalid, "body of %d bytes instead of %d", len(data), size)
	}
	return data, nil
}

// Rescue implements hypervisor.Rescuer.
func (d *Driver) Rescue(ctx context.Context, id string, disk driver.Disk) error {
	if err := hypervisor.ValidateRescue(disk); err != nil {
		return fmt.Errorf("rescue guest %s: %w", id, err)
	}
	return d.with(ctx, "Rescue", id, func(g *guest, now time.Time) error {
		switch {
		case findDisk(g.spec.Disks, disk.ID) != nil:
			return nephos.Errorf(nephos.ErrInvalid, "rescue guest %s: disk %s is its own", id, disk.ID)
		case g.held.rescue != nil && g.held.rescue.ID != disk.ID:
			return nephos.Errorf(nephos.ErrConflict, "rescue guest %s: it is rescued with disk %s", id, g.held.rescue.ID)
		case g.held.rescue == nil:
			d.state.off(g, hypervisor.Stopped, false, now)
			g.suspended, g.held.rescue = false, &disk
		}
		return d.power(g, now)
	})
}

// Unrescue implements hypervisor.Rescuer.
func (d *Driver) Unrescue(ctx context.Context, id string) error {
	return d.with(ctx, "Unrescue", id, func(g *guest, now time.Time) error {
		if g.held.rescue != nil {
			d.state.off(g, hypervisor.Stopped, false, now)
			g.suspended, g.held.rescue = false, nil
		}
		return nil
	})
}

// EnsureImage implements hypervisor.ImageCacher.
func (d *Driver) EnsureImage(ctx context.Context, image hypervisor.ImageSpec, body io.Reader) (driver.Image, error) {
	fail := func(err error) (driver.Image, error) {
		return driver.Image{}, fmt.Errorf("cache image %.16s: %w", image.Digest, err)
	}
	after, err := d.enter(ctx, "EnsureImage", "")
	if err != nil {
		return driver.Image{}, err
	}
	if err := image.Validate(); err != nil {
		return fail(err)
	}
	cached := driver.Image{Path: "fake/" + image.Digest, Format: image.Format, Digest: image.Digest}
	s := d.state
	s.mu.Lock()
	_, there := s.images[image.Digest]
	s.mu.Unlock()
	if there {
		return cached, after
	}
	data, err := readAll(ctx, body, image.Size)
	if err != nil {
		return fail(err)
	}
	if sum := sha512.Sum512(data); hex.EncodeToString(sum[:]) != image.Digest {
		return fail(nephos.Errorf(nephos.ErrInvalid, "the bytes have another digest, %x", sum))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	put(&s.images, image.Digest, hypervisor.CachedImage{Image: cached, Bytes: int64(len(data)), LastUsed: d.clock.Now()})
	return cached, after
}

// ListImages implements hypervisor.ImageCacher.
func (d *Driver) ListImages(ctx context.Context) ([]hypervisor.CachedImage, error) {
	after, err := d.enter(ctx, "ListImages", "")
	if err != nil || after != nil {
		return nil, first(err, after)
	}
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	list := make([]hypervisor.CachedImage, 0, len(d.state.images))
	for _, i := range d.state.images {
		i.Guests = d.state.users(i.Image.Digest)
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b hypervisor.CachedImage) int { return strings.Compare(a.Image.Digest, b.Image.Digest) })
	return list, nil
}

// EvictImage implements hypervisor.ImageCacher.
func (d *Driver) EvictImage(ctx context.Context, digest string) error {
	after, err := d.enter(ctx, "EvictImage", "")
	if err != nil {
		return err
	}
	if err := (hypervisor.ImageSpec{Digest: digest, Format: "raw"}).Validate(); err != nil {
		return fmt.Errorf("evict image %.16q: %w", digest, err)
	}
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	if n := d.state.users(digest); n > 0 {
		return nephos.Errorf(nephos.ErrConflict, "evict image %.16s: disks of %d guests are made from it", digest, n)
	}
	delete(d.state.images, digest)
	return after
}

// users counts the guests with a disk made from the image.
func (s *State) users(digest string) (n int) {
	for _, g := range s.guests {
		if slices.ContainsFunc(g.disks(), func(d driver.Disk) bool { return d.Base != nil && d.Base.Digest == digest }) {
			n++
		}
	}
	return n
}
