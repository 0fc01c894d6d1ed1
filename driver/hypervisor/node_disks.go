package hypervisor

import (
	"context"
	"fmt"
	"io"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// ResizeDisk is [DiskResizer]'s.
func (n *Node) ResizeDisk(ctx context.Context, id, diskID string, size int64) error {
	d, err := able[DiskResizer](n, CanResizeDisk, "resize a disk of", id)
	if err != nil {
		return err
	}
	if size <= 0 {
		return fmt.Errorf("resize disk %s of guest %s to %d bytes: want at least one: %w", diskID, id, size, nephos.ErrInvalid)
	}
	return n.change(ctx, "ResizeDisk", id, n.opts.EnsureDeadline, func(ctx context.Context) error {
		return d.ResizeDisk(ctx, id, diskID, size)
	})
}

// ThrottleDisk is [DiskThrottler]'s.
func (n *Node) ThrottleDisk(ctx context.Context, id, diskID string, limits driver.Limits) error {
	d, err := able[DiskThrottler](n, CanThrottleDisk, "throttle a disk of", id)
	if err != nil {
		return err
	}
	if err := limits.Validate(); err != nil {
		return fmt.Errorf("throttle disk %s of guest %s: %w", diskID, id, err)
	}
	return n.change(ctx, "ThrottleDisk", id, n.opts.Deadline, func(ctx context.Context) error {
		return d.ThrottleDisk(ctx, id, diskID, limits)
	})
}

// EncryptionFormats is [DiskDecrypter]'s: none when the driver is not one.
func (n *Node) EncryptionFormats() []string {
	d, err := able[DiskDecrypter](n, CanDecryptDisk, "", "")
	if err != nil {
		return nil
	}
	return d.EncryptionFormats()
}

// ExportDisk is [DiskExporter]'s. The context bounds the stream; no deadline
// does.
func (n *Node) ExportDisk(ctx context.Context, id, diskID string) (DiskImage, io.ReadCloser, error) {
	d, err := able[DiskExporter](n, CanExportDisk, "export a disk of", id)
	if err != nil {
		return DiskImage{}, nil, err
	}
	var image DiskImage
	var body io.ReadCloser
	err = n.call(ctx, "ExportDisk", id, 0, func(ctx context.Context) (err error) {
		if err := CheckID(id); err != nil {
			return err
		}
		image, body, err = d.ExportDisk(ctx, id, diskID)
		return err
	})
	return image, body, err
}

// ImportDisk is [DiskImporter]'s.
func (n *Node) ImportDisk(ctx context.Context, id, diskID string, image DiskImage, body io.Reader) error {
	d, err := able[DiskImporter](n, CanImportDisk, "import a disk of", id)
	if err != nil {
		return err
	}
	if err := CheckID(diskID); err != nil {
		return fmt.Errorf("import a disk of guest %s: %w", id, err)
	}
	if err := image.Validate(); err != nil {
		return fmt.Errorf("import disk %s of guest %s: %w", diskID, id, err)
	}
	return n.change(ctx, "ImportDisk", id, n.opts.SnapshotDeadline, func(ctx context.Context) error {
		return d.ImportDisk(ctx, id, diskID, image, body)
	})
}

// Rescue is [Rescuer]'s.
func (n *Node) Rescue(ctx context.Context, id string, disk driver.Disk) error {
	d, err := able[Rescuer](n, CanRescue, "rescue", id)
	if err != nil {
		return err
	}
	if err := ValidateRescue(disk); err != nil {
		return fmt.Errorf("rescue guest %s: %w", id, err)
	}
	return n.change(ctx, "Rescue", id, n.opts.EnsureDeadline, func(ctx context.Context) error {
		return d.Rescue(ctx, id, disk)
	})
}

// Unrescue is [Rescuer]'s.
func (n *Node) Unrescue(ctx context.Context, id string) error {
	d, err := able[Rescuer](n, CanRescue, "unrescue", id)
	if err != nil {
		return err
	}
	return n.change(ctx, "Unrescue", id, n.opts.EnsureDeadline, func(ctx context.Context) error {
		return d.Unrescue(ctx, id)
	})
}

// EnsureImage is [ImageCacher]'s.
func (n *Node) EnsureImage(ctx context.Context, image ImageSpec, body io.Reader) (driver.Image, error) {
	d, err := able[ImageCacher](n, CanCacheImages, "cache an image for", "any")
	if err != nil {
		return driver.Image{}, err
	}
	var cached driver.Image
	err = n.call(ctx, "EnsureImage", "", n.opts.SnapshotDeadline, func(ctx context.Context) (err error) {
		if err := image.Validate(); err != nil {
			return err
		}
		cached, err = d.EnsureImage(ctx, image, body)
		return err
	})
	return cached, err
}

// ListImages is [ImageCacher]'s.
func (n *Node) ListImages(ctx context.Context) ([]CachedImage, error) {
	d, err := able[ImageCacher](n, CanCacheImages, "list the images of", "any")
	if err != nil {
		return nil, err
	}
	var list []CachedImage
	err = n.call(ctx, "ListImages", "", n.opts.Deadline, func(ctx context.Context) (err error) {
		list, err = d.ListImages(ctx)
		return err
	})
	return list, err
}

// EvictImage is [ImageCacher]'s.
func (n *Node) EvictImage(ctx context.Context, digest string) error {
	d, err := able[ImageCacher](n, CanCacheImages, "evict an image of", "any")
	if err != nil {
		return err
	}
	return n.call(ctx, "EvictImage", "", n.opts.Deadline, func(ctx context.Context) error {
		if err := (ImageSpec{Digest: digest, Format: "raw"}).Validate(); err != nil {
			return err
		}
		return d.EvictImage(ctx, digest)
	})
}
