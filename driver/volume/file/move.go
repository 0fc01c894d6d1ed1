package file

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
	"github.com/nephos-cloud/nephos/driver/volume"
)

var (
	_ volume.Migrator    = (*Driver)(nil)
	_ volume.ImageCloner = (*Driver)(nil)
)

// Location implements volume.Migrator: the volume's path.
func (d *Driver) Location(ctx context.Context, id string) (l volume.Location, err error) {
	err = d.change(ctx, "locating", id, func(k disk) error {
		used, err := d.connected(id)
		if err != nil {
			return err
		}
		if used {
			return nephos.Errorf(nephos.ErrConflict, "it is connected")
		}
		l = volume.Location{Type: "file", Name: id, Format: k.format, SizeGiB: k.sizeGiB(), Options: map[string]string{"dir": d.cfg.Dir}}
		return nil
	})
	return l, err
}

// MigrateIn implements volume.Migrator, for volumes of this cloud in another
// directory on this host. A directory that no pool of the cloud has used is
// refused: a location may come from a driver that is not trusted with this
// host's files.
func (d *Driver) MigrateIn(ctx context.Context, id string, spec volume.Spec, from volume.Location) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	dir := from.Options["dir"]
	if from.Type != "file" || !filepath.IsAbs(dir) {
		return fmt.Errorf("taking over volume %s: a location of type %q: %w", id, from.Type, errors.ErrUnsupported)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "pool.json")); err != nil {
		return fmt.Errorf("taking over volume %s: directory %s: %w: %w", id, dir, errors.ErrUnsupported, err)
	} else if m, err := parseMarker(content); err != nil || m.CloudID != d.cfg.CloudID {
		return fmt.Errorf("taking over volume %s: directory %s is no pool of this cloud: %w", id, dir, errors.ErrUnsupported)
	}
	other := &Driver{cfg: Config{Dir: dir}}
	source, err := other.find(from.Name)
	if err != nil {
		return err
	}
	return d.copyOf(ctx, id, spec, source)
}

// CloneImage implements volume.ImageCloner, for images that are files below one
// of Config.Images. Where the file system can share blocks nothing is copied.
func (d *Driver) CloneImage(ctx context.Context, id string, spec volume.Spec, image volume.ImageLocation) error {
	if err := image.Check(spec.SizeGiB); err != nil {
		return err
	}
	src, err := d.openImage(image.Location)
	if err != nil {
		return fmt.Errorf("cloning an image for volume %s: %w", id, err)
	}
	defer src.Close()
	err = d.make(ctx, id, spec, func(t *durable.Temp) (string, error) {
		if image.Format == volume.FormatRaw && d.cfg.Format == volume.FormatRaw {
			if err := d.copyStill(ctx, t.File, src); err != nil {
				return "", err
			}
			if info, err := t.Stat(); err != nil || info.Size() > int64(spec.SizeGiB)*gibibyte {
				return "", errors.Join(err, nephos.Errorf(nephos.ErrInvalid, "image does not fit a volume of %d GiB", spec.SizeGiB).WithField("size"))
			}
			return volume.FormatRaw, t.Truncate(int64(spec.SizeGiB) * gibibyte)
		}
		own, err := d.temp() // which the converter's user may read
		if err != nil {
			return "", err
		}
		defer own.Abort()
		if err := d.copyStill(ctx, own.File, src); err != nil {
			return "", err
		}
		if err := d.tool.Convert(ctx, image.Format, own.File, d.cfg.Format, t.File, spec.SizeGiB); err != nil {
			return "", err
		}
		if d.cfg.Format == volume.FormatQCOW2 {
			return d.cfg.Format, d.resizeQCOW2(ctx, t.Name(), spec.SizeGiB)
		}
		return d.cfg.Format, t.Truncate(int64(spec.SizeGiB) * gibibyte)
	})
	if err != nil {
		return fmt.Errorf("cloning an image for volume %s: %w", id, meaning(err))
	}
	return nil
}

// openImage opens a file URL below one of the directories of images, which no
// link leads out of.
func (d *Driver) openImage(location string) (*os.File, error) {
	u, err := url.Parse(location)
	if err != nil || u.Scheme != "file" || u.Host != "" {
		return nil, fmt.Errorf("location %.200q is no file of this host: %w", location, errors.ErrUnsupported)
	}
	path := filepath.Clean(u.Path)
	below := slices.IndexFunc(d.cfg.Images, func(dir string) bool { return strings.HasPrefix(path, filepath.Clean(dir)+"/") })
	if below < 0 {
		return nil, fmt.Errorf("location %.200q is below no directory of images: %w", location, errors.ErrUnsupported)
	}
	root, err := os.OpenRoot(d.cfg.Images[below])
	if err != nil {
		return nil, err
	}
	defer root.Close()
	rel, err := filepath.Rel(filepath.Clean(d.cfg.Images[below]), path)
	if err != nil {
		return nil, err
	}
	info, err := root.Lstat(rel)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", nephos.ErrNotFound, err)
	}
	if !info.Mode().IsRegular() {
		return nil, nephos.Errorf(nephos.ErrInvalid, "image is not a regular file")
	}
	return root.Open(rel)
}
