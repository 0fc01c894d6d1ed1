package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/nephos-cloud/nephos/driver/blob"
	blobfile "github.com/nephos-cloud/nephos/driver/blob/file"
	blobhttp "github.com/nephos-cloud/nephos/driver/blob/http"
	"github.com/nephos-cloud/nephos/driver/blob/s3"
	"github.com/nephos-cloud/nephos/driver/plugin"
	"github.com/nephos-cloud/nephos/driver/volume"
	volumefile "github.com/nephos-cloud/nephos/driver/volume/file"
)

// stores are where the bytes of images and volumes live: the first of each kind
// is the default.
type stores struct {
	images  []*blob.Store
	volumes []*volume.Pool
}

// openStores opens what -images and -volumes name: files, with either kind of
// hypervisor, unless they say otherwise.
func openStores(ctx context.Context, c *config, cloudID string, log *slog.Logger) (stores, opened, error) {
	var s stores
	var done opened
	fail := func(flag string, err error) (stores, opened, error) {
		return stores{}, nil, errors.Join(fmt.Errorf("-%s: %w", flag, err), done.close())
	}
	for _, one := range orDefault(c.images, "file") {
		d, err := openBlob(ctx, c, one, cloudID, log)
		if err != nil {
			return fail("images", err)
		}
		done = append(done, d.Close)
		store, err := blob.NewStore(ctx, d, blob.StoreOptions{Name: one.name(), Log: log})
		if err != nil {
			return fail("images", err)
		}
		s.images = append(s.images, store)
	}
	if first := orDefault(c.images, "file")[0]; first.driver == "http" {
		return fail("images", errors.New("the first store takes uploads, and http only reads: name another one before it"))
	}
	wants, err := placements(c.scheduler)
	if err != nil {
		return stores{}, nil, errors.Join(err, done.close())
	}
	for _, one := range orDefault(c.volumes, "file") {
		d, err := openVolumes(ctx, c, one, cloudID, log)
		if err != nil {
			return fail("volumes", err)
		}
		done = append(done, d.Close)
		pool, err := volume.NewPool(ctx, d, volume.PoolOptions{Name: one.name(), Placement: wants[one.name()], Log: log})
		if err != nil {
			return fail("volumes", err)
		}
		s.volumes = append(s.volumes, pool)
		delete(wants, one.name())
	}
	for name := range wants {
		return fail("scheduler", fmt.Errorf("volumes.pools: there is no pool %q: see -volumes", name))
	}
	return s, done, nil
}

func orDefault(c choices, name string) choices {
	if len(c) == 0 {
		return choices{{text: name, driver: name}}
	}
	return c
}

// dirOf is where a built-in store keeps its files: the first of a kind where it
// always was.
func dirOf(c *config, one choice, kind string) string {
	dir := kind
	if one.name() != "file" {
		dir += "-" + one.name()
	}
	return one.text1("dir", filepath.Join(c.data, dir))
}

func openBlob(ctx context.Context, c *config, one choice, cloudID string, log *slog.Logger) (blob.Driver, error) {
	switch {
	case one.isPlugin():
		o, err := one.launch(c.data, cloudID, log)
		if err != nil {
			return nil, err
		}
		return plugin.Launch[blob.Driver](ctx, one.driver, o)
	case one.driver == "file":
		if err := one.only("dir"); err != nil {
			return nil, err
		}
		return blobfile.Open(blobfile.Config{Dir: dirOf(c, one, "images"), Log: log})
	case one.driver == "http":
		if err := one.only("base", "allow"); err != nil {
			return nil, err
		}
		cfg := blobhttp.Config{Base: one.text1("base", "")}
		for _, text := range one.options["allow"] {
			prefix, err := netip.ParsePrefix(text)
			if err != nil {
				return nil, fmt.Errorf("%q: allow is not a range of addresses such as 10.1.0.0/16", one.text)
			}
			cfg.Allow = append(cfg.Allow, prefix)
		}
		return blobhttp.New(cfg)
	case one.driver == "s3":
		if err := one.only("endpoint", "bucket", "prefix", "region", "keys"); err != nil {
			return nil, err
		}
		access, secret, err := keys(one.text1("keys", ""))
		if err != nil {
			return nil, err
		}
		return s3.Open(ctx, s3.Config{
			Endpoint: one.text1("endpoint", ""), Bucket: one.text1("bucket", ""), Prefix: one.text1("prefix", ""),
			Region: one.text1("region", ""), AccessKey: access, SecretKey: secret,
		})
	}
	return nil, unknown(one, "file, s3, http")
}

// keys reads a file of two lines: an access key and its secret, which have no
// business on a command line.
func keys(path string) (access, secret string, err error) {
	if path == "" {
		return "", "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", fmt.Errorf("reading the keys: %w", err)
	}
	words := strings.Fields(string(text))
	if len(words) != 2 {
		return "", "", fmt.Errorf("reading the keys: %s must hold two lines, the access key and its secret", path)
	}
	return words[0], words[1], nil
}

// imageDirs are where images that are files lie, for volumes to share their bytes.
func imageDirs(c *config) (dirs []string) {
	for _, one := range orDefault(c.images, "file") {
		if one.driver == "file" {
			dirs = append(dirs, filepath.Join(dirOf(c, one, "images"), "objects"))
		}
	}
	return dirs
}

func openVolumes(ctx context.Context, c *config, one choice, cloudID string, log *slog.Logger) (volume.Driver, error) {
	switch {
	case one.isPlugin():
		o, err := one.launch(c.data, cloudID, log)
		if err != nil {
			return nil, err
		}
		return plugin.Launch[volume.Driver](ctx, one.driver, o)
	case one.driver == "file":
		if err := one.only("dir", "format", "size"); err != nil {
			return nil, err
		}
		size, err := one.number("size", 0)
		if err != nil {
			return nil, err
		}
		cfg := volumefile.Config{
			CloudID: cloudID, Dir: dirOf(c, one, "volumes"), Format: one.text1("format", ""), MaxGiB: int(size), Backend: one.name(),
			Images: imageDirs(c), Log: log,
		}
		if os.Geteuid() == 0 { // qemu-img is no more trusted than what it reads
			cfg.UID, cfg.GID = c.qemuUser, c.qemuUser
		}
		return volumefile.Open(cfg)
	}
	return nil, unknown(one, "file")
}

func unknown(one choice, names string) error {
	return fmt.Errorf("there is no built-in driver %q: use %s, or the path of a plugin, with a slash in it", one.driver, names)
}
