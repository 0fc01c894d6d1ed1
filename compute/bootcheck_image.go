package compute

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/image"
)

// checkImage holds the flavor against an image.
func (b *boot) checkImage(ctx context.Context, id string, local bool) (image.Image, error) {
	if b.s.cfg.Images == nil {
		return image.Image{}, invalid("Can not find requested image")
	}
	img, err := b.s.cfg.Images.Image(ctx, id)
	switch {
	case errors.Is(err, nephos.ErrNotFound):
		return img, invalid("Can not find requested image").WithField("imageRef")
	case err != nil:
		return img, err
	case img.Status != image.Active:
		return img, invalid("Image %s is not active.", id)
	case int64(b.row.MemoryMiB) < img.MinRAM:
		return img, invalid("Flavor's memory is too small for requested image.")
	}
	if !local {
		return img, nil
	}
	format, ok := map[string]string{"raw": "raw", "ami": "raw", "iso": "raw", "qcow2": "qcow2"}[img.DiskFormat]
	if !ok {
		return img, invalid("Image %s is unacceptable: the disk format %s cannot be booted here.", id, img.DiskFormat)
	}
	disk := int64(b.row.Flavor.DiskGiB) << 30
	size := deref(img.Size)
	if v := deref(img.VirtualSize); v > size {
		size = v
	}
	switch {
	case disk == 0:
		if !b.s.cfg.Policy.Allowed(ctx, serversRule("create:zero_disk_flavor"), b.target) {
			return img, nephos.Errorf(nephos.ErrForbidden, "Only volume-backed servers are allowed for flavors with zero disk.")
		}
	case disk < img.MinDisk<<30:
		return img, invalid("Flavor's disk is smaller than the minimum size specified in image metadata. "+
			"Flavor disk is %d bytes, minimum size is %d bytes.", disk, img.MinDisk<<30)
	case disk < size:
		return img, invalid("Flavor's disk is too small for requested image. Flavor disk is %d bytes, image is %d bytes.", disk, size)
	}
	b.row.Image = imageCopy{
		Format: format, Digest: img.HashValue, Size: deref(img.Size), MinDiskGiB: int(img.MinDisk), Properties: img.Properties,
	}
	return img, nil
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

var notHost = regexp.MustCompile(`[^a-zA-Z0-9-]+`)

// hostnameOf makes a host name of a server's name as Nova does; empty if nothing
// is left.
func hostnameOf(name string) string {
	h := strings.ToLower(notHost.ReplaceAllString(strings.NewReplacer(" ", "-", "_", "-", ".", "-").Replace(name), ""))
	if h = strings.Trim(h, ".-"); len(h) > 63 {
		h = h[:63]
	}
	return strings.TrimRight(h, "-")
}
