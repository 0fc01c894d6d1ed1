package agent

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sync/singleflight"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// imageCache keeps base images by digest. However many ask, an image is fetched
// once.
type imageCache struct {
	dir    string
	http   *http.Client
	flight singleflight.Group
}

func newImageCache(dir string, client *http.Client) (*imageCache, error) {
	c := &imageCache{dir: filepath.Join(dir, "images"), http: client}
	// Readable for the hypervisor's own user, which learns names only from us.
	if err := os.MkdirAll(c.dir, 0o711); err != nil {
		return nil, err
	}
	stale, err := filepath.Glob(filepath.Join(c.dir, "*.part"))
	if err != nil {
		return nil, err
	}
	for _, path := range stale {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return c, nil
}

var digestForm = regexp.MustCompile(`^[0-9a-f]{128}$`)

// fetch returns the image's file, fetching it if need be. The bytes are checked
// against the digest before anybody sees the file.
func (c *imageCache) fetch(ctx context.Context, src hypervisor.ImageSource) (driver.Image, error) {
	if !digestForm.MatchString(src.Digest) {
		return driver.Image{}, nephos.Errorf(nephos.ErrInvalid, "the image's digest is not a SHA-512")
	}
	path := filepath.Join(c.dir, src.Digest)
	image := driver.Image{Path: path, Format: src.Format, Digest: src.Digest}
	if _, err := os.Stat(path); err == nil {
		return image, nil
	}
	_, err, _ := c.flight.Do(src.Digest, func() (any, error) {
		if _, err := os.Stat(path); err == nil {
			return nil, nil
		}
		return nil, c.download(ctx, src, path)
	})
	return image, err
}

func (c *imageCache) download(ctx context.Context, src hypervisor.ImageSource, path string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, src.URL, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nephos.Errorf(nephos.ErrUnavailable, "%w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nephos.Errorf(nephos.ErrUnavailable, "the image service answered %s", resp.Status)
	}
	f, err := os.CreateTemp(c.dir, "*.part")
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	sum := sha512.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(resp.Body, src.Size+1))
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != src.Size || got != src.Digest {
		return fmt.Errorf("the bytes do not match the digest (%d of %d bytes)", n, src.Size)
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
